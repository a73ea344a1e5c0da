"""Trainings in processes of their own, forked from one that has imported PyTorch already: that takes 6 s each time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import training.train  # noqa: F401 - read once, before processes are forked
from training.__main__ import run

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def start(command: list[str], said: Path) -> ForkServerProcess:
    """What `python -m training` does with a command; `said`: the file that gets what it prints."""
    training = FORKS.Process(target=_train, args=(command, said))
    training.start()
    return training


def _train(command: list[str], said: Path) -> None:
    with said.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["training", *command]
    run()
