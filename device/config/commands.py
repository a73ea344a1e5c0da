"""`pilah config`: check, show and make the configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import tomlkit

from device.bundle import Bundle
from device.config.files import DEFAULT_PATH, PRESETS, check_config, preset_text, read_config, write_config
from device.errors import ConfigError
from device.evidence import policy_of
from device.model import model_path
from device.options import Commands, json_option

_file = click.argument("file", type=click.Path(path_type=Path), required=False)


@click.group(cls=Commands)
def config() -> None:
    """Check, show or make the configuration (/etc/pilah/pilah.toml unless a FILE is named)."""


@config.command()
@_file
def check(file: Path | None) -> None:
    """Say whether a configuration can be used with its model, and everything that is wrong with it."""
    told, settings = check_config(file), read_config(file)
    policy_of(settings, Bundle.open(model_path(settings), threads=1).contract)
    click.echo(told)


@config.command()
@_file
@json_option
def show(file: Path | None, as_json: bool) -> None:
    """Print every setting in force, the defaults included."""
    values = read_config(file).model_dump(mode="json", exclude_none=True)
    click.echo(json.dumps(values) if as_json else tomlkit.dumps(values).rstrip())


@config.command()
@_file
@click.option("--preset", type=click.Choice(PRESETS), default=PRESETS[0], show_default=True, help="The bin's layout.")
@click.option("--force", is_flag=True, help="Replace a file that is there; it is kept as FILE.previous.")
def init(file: Path | None, preset: str, force: bool) -> None:
    """Write a configuration with every setting and its comment, to start from."""
    path = file or DEFAULT_PATH
    if os.access(path, os.F_OK) and not force:
        raise ConfigError(f"{path} is there already; --force replaces it and keeps it as {path.name}.previous.")
    write_config(path, preset_text(preset))
    click.echo(
        f"{path} is written, for {preset}. Change what is different in your bin, then: pilah config check {path}"
    )
