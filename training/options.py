"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

import click
import torch


def quick_workers() -> int:
    """Processes that make views for this one: beside a GPU its share of the cores but one, else one.

    On a CPU the network needs the cores itself. `torchrun` tells how many processes share the machine.
    """
    share = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, share - 1) if torch.cuda.is_available() else 1


run_option = click.option(
    "--run", "folder", type=click.Path(path_type=Path), default=Path("runs/default"), show_default=True,
    help="Folder of the run.",
)  # fmt: skip
workers_option = click.option(
    "--workers", type=click.IntRange(0), default=quick_workers,
    help="Processes that make views. [default: all cores but one with a GPU, else 1]",
)  # fmt: skip
