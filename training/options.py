"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

import click
import torch


def quick_workers() -> int:
    """Processes that keep the network busy: all cores but one for a GPU, else one, for it needs the cores itself."""
    return max(1, (os.cpu_count() or 1) - 1) if torch.cuda.is_available() else 1


run_option = click.option(
    "--run", "folder", type=click.Path(path_type=Path), default=Path("runs/default"), show_default=True,
    help="Folder of the run.",
)  # fmt: skip
workers_option = click.option(
    "--workers", type=click.IntRange(0), default=quick_workers,
    help="Processes that make views. [default: all cores but one with a GPU, else 1]",
)  # fmt: skip
