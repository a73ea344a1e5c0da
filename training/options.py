"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from device.errors import PilahError
from device.options import load


class Told(click.Command):
    """A command whose faults are one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # nobody reads on, which Click ends without a word
        except (PilahError, OSError) as fault:
            raise click.ClickException(str(fault)) from fault


DESCRIPTION = Path(__file__).parent / "data" / "shared.toml"


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which photos: `data` and `description`."""
    described = click.option(
        "--description", type=click.Path(path_type=Path), default=DESCRIPTION, show_default=True,
        help="TOML file that names their folders, licences and parts.",
    )  # fmt: skip
    data = click.option(
        "--data", type=click.Path(path_type=Path), required=True, help="Folder that the paths start from."
    )
    return data(described(command))


RUN = Path("runs/default")
run_option = click.option(
    "--run", "folder", type=click.Path(path_type=Path), default=RUN, show_default=True,
    help="Folder of the run.",
)  # fmt: skip
config_option = click.option(
    "--config", "config", type=click.Path(path_type=Path), default=None,
    callback=lambda _, __, file: load("training.lids:bin_of")(file),
    help="Of the bin whose lids are measured; it maps materials to them. [default: the four lids]",
)  # fmt: skip

HELD_OUT = 0.2
"""The share that becomes `val`, where no other is asked for."""

workers_option = click.option(
    "--workers", type=click.IntRange(0), default=lambda: load("training.processes:quick_workers")(),
    help="Processes that make views. [default: all cores but one with a GPU, else 1]",
)  # fmt: skip
