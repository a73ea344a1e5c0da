"""`pilah doctor`: what is in order, what is not, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from device import checks
from device.camera.sources import open_source
from device.checks import Check, answer_of, look_at
from device.clock import SystemClock
from device.config import Config, tell_whose
from device.model import model_path
from device.options import camera_option, config_option, json_option, model_option, pins_option
from device.pins import PinKind, default_pins, open_pins

_HELD = " If Pilah runs as a service it holds them: `sudo systemctl stop pilah`, or see Health on its page."


@click.command()
@config_option
@camera_option
@pins_option
@model_option
@json_option
def doctor(
    config_file: Path | None, camera: str | None, pins: PinKind | None, model: Path | None, as_json: bool
) -> None:
    """Check configuration, model, camera, pins, permissions, disk, history, clock, board; exit code 1 if one is ill."""
    clock, kind = SystemClock(), pins or default_pins()

    def body(config: Config) -> Sequence[Check]:
        tell_whose(config)
        spec = camera or config.camera.source
        found = [
            look_at("camera", lambda: checks.camera(lambda: open_source(spec, config.camera, clock), config, clock)),
            look_at("pins", lambda: checks.pins(config, lambda: open_pins(kind), kind)),
        ]
        is_held = not all(check.is_ok for check in found) and bool(answer_of("systemctl", "is-active", "pilah"))
        return [Check(one.name, one.is_ok, one.says + (_HELD if is_held and not one.is_ok else "")) for one in found]

    found = []
    for check in checks.examine(config_file, lambda config: model_path(config, model), body):
        found.append(check)
        if not as_json:
            mark = click.style("✓", fg="green") if check.is_ok else click.style("✗", fg="red", bold=True)
            click.echo(f"{mark} {check.name:<14} {check.says}")
    is_ok = all(check.is_ok for check in found)
    if as_json:
        click.echo(json.dumps({"is_ok": is_ok, "checks": [asdict(check) for check in found]}))
    if not is_ok:
        raise click.exceptions.Exit(1)
