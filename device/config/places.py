"""Where this machine keeps what must last: the history, the owner's password, the page's key."""

from __future__ import annotations

import os
from pathlib import Path

import click

from device.config.schema import Config
from device.errors import ConfigError

SERVICE_STATE = Path("/var/lib/pilah")
"""What the service may write (StateDirectory= of its unit)."""
JOURNAL = "journal.db"


def journal_path(config: Config) -> Path:
    """The file of the history."""
    return config.journal.path or state_folder(config) / JOURNAL


def state_folder(config: Config) -> Path:
    """Beside the configured journal; else the folder that systemd names, `/var/lib/pilah` where this user may write
    it, or the user's own (XDG Base Directory Specification). Raises `ConfigError` where this user has none."""
    if config.journal.path is not None:
        return config.journal.path.parent
    if named := os.environ.get("STATE_DIRECTORY"):
        return Path(named.split(":")[0])
    if os.access(SERVICE_STATE, os.W_OK):
        return SERVICE_STATE
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pilah"
    except RuntimeError as fault:
        raise ConfigError(
            "This user has no home for the history and the password: set HOME, or journal.path in the configuration."
        ) from fault


def tell_whose(config: Config) -> None:
    """Say on standard error that a command looks at this user's own history and password, not at the service's."""
    folder = state_folder(config)
    is_own = config.journal.path is None and "STATE_DIRECTORY" not in os.environ and folder != SERVICE_STATE
    if is_own and SERVICE_STATE.is_dir():
        click.echo(
            f"This is about {folder}; the bin that runs as a service keeps its history and password in "
            f"{SERVICE_STATE}: put sudo before the command.", err=True,
        )  # fmt: skip
