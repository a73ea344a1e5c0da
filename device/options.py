"""The options that several commands have, the help that groups of them give, and what they read only when called."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path
from typing import Any

import click

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="The configuration to use."
)
model_option = click.option("--model", type=click.Path(path_type=Path), help="The bundle to use.")
camera_option = click.option("--camera", help="auto, picamera2, webcam[:N], video:FILE, images:DIR or simulated.")
pins_option = click.option(
    "--pins", type=click.Choice(["native", "mock"]), help="Real pins (the default on a Pi) or mock ones."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


def load(place: str) -> Any:
    """What lies at `module:name`, of a module that is read only now: that may take seconds, in which Ctrl-C ends all.

    Libraries in C turn a KeyboardInterrupt into faults of their own, and nothing has begun yet that must end well.
    """
    module, _, name = place.partition(":")
    answer = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        signal.signal(signal.SIGINT, answer)


class Commands(click.Group):
    """Commands whose help says in a whole sentence what each does; Click cuts them off at the end of a line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in commands if command])
