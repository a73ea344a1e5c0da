"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

run_option = click.option(
    "--run", "folder", type=click.Path(path_type=Path), default=Path("runs/default"), show_default=True,
    help="Folder of the run.",
)  # fmt: skip
