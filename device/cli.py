"""The command line: `pilah COMMAND`. Each command lives beside what it works on, and is read when it is called."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import click

from device.errors import PilahError
from device.options import Commands, load

COMMANDS = {
    "run": "device.run:run",
    "classify": "device.classify:classify",
    "page": "device.page.commands:page",
    "export-corrections": "device.corrections:export_corrections",
    "history": "device.history:history",
    "stats": "device.history:stats",
    "config": "device.config.commands:config",
    "doctor": "device.doctor:doctor",
    "calibrate": "device.calibrate.commands:calibrate",
    "bench": "device.bench:bench",
}
"""Name of the command → module and the function in it."""


class _Commands(Commands):
    """Reads a command's module only when it is called, so that no command waits for what another one needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = load(COMMANDS[cmd_name])
        return command


def _version() -> str:
    try:
        return version("pilah")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="pilah", message="%(prog)s %(version)s")
def cli() -> None:
    """A bin that sorts: it names the waste on its tray and opens the right lid."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)


def main() -> NoReturn:
    """Run a command; a fault is one sentence on standard error and exit code 1, wrong usage is 2."""
    _mend_streams()
    try:
        code = cli.main(prog_name="pilah", standalone_mode=False) or 0
        sys.stdout.flush()
    except PilahError as fault:
        click.echo(f"pilah: {fault}", err=True)
        code = 1
    except click.ClickException as fault:
        fault.show()
        code = fault.exit_code
    except click.Abort:
        code = 130
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter would complain about it once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as fault:
        # Whoever works on files words their faults; what is left is a path that cannot be looked at, and printing.
        with contextlib.suppress(OSError):
            click.echo(f"pilah: {fault.filename or 'standard output'}: {fault.strerror or fault}.", err=True)
        code = 1
    _leave(code)


def _mend_streams() -> None:
    """Let nothing that is printed end a command: not a stream that was closed, whose place the next file would take,
    and not a character that the terminal or a file name's encoding does not have."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _leave(code: int) -> NoReturn:
    """End the program at once: taking the interpreter and its libraries apart takes a busy machine seconds, and what
    must be closed was closed by whoever opened it."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
