"""`pilah page`: the page alone, for a workstation, and the owner's password."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from device.bundle import Bundle
from device.checks import Check, examine, look_at, running_camera, running_pins
from device.classifier import Classifier
from device.clock import SystemClock
from device.config import Config, config_path, edit_config, read_config, state_folder, tell_whose
from device.evidence import policy_of
from device.journal import Journal
from device.model import model_path
from device.options import Commands, config_option, model_option
from device.page.app import create_app
from device.page.bin import Appliance, Bin
from device.page.owner import Password
from device.page.server import PageServer, address_of


@click.group(cls=Commands, invoke_without_command=True)
@config_option
@model_option
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of the configuration's; 0 takes a free one.")
@click.pass_context
def page(context: click.Context, config_file: Path | None, model: Path | None, port: int | None) -> None:
    """Serve the page without a bin: ask it about photos from a browser."""
    if context.invoked_subcommand is not None:
        return
    config, is_ended = read_config(config_file), threading.Event()
    # Said outright, since a shell's background job is started deaf to Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: is_ended.set())
    with serve(bin_of(config, config_file, model), config, port) as server:
        click.echo(f"The page is at {server.url} (Ctrl-C ends it).")
        is_ended.wait()


@page.command("set-password")
@config_option
def set_password(config_file: Path | None) -> None:
    """Set the owner's password; the bin serves the page to its network from its next start."""
    config = read_config(config_file)
    tell_whose(config)
    password = Password(state_folder(config))
    password.set(click.prompt("The owner's new password", hide_input=True, confirmation_prompt=True))
    click.echo("The password is set. Start the bin again to reach the page from other devices.")


def bin_of(
    config: Config,
    config_file: Path | None,
    model: Path | None,
    appliance: Appliance | None = None,
    journal: Journal | None = None,
    start_again: Callable[[], None] | None = None,
) -> Bin:
    """What the page knows. Raises `BundleError` and `ConfigError` where model and settings do not fit.

    The page has a model of its own, which runs on one core and is loaded when the first photo is asked about.
    """
    path, file = model_path(config, model), config_path(config_file)
    contract = Bundle.open(path, threads=1).contract
    return Bin(
        config=config,
        contract=contract,
        policy=policy_of(config, contract),
        open_classifier=lambda: Classifier(Bundle.open(path, threads=1)),
        saved_config=partial(read_config, config_file),
        state=state_folder(config),
        appliance=appliance,
        journal=journal,
        diagnose=tuple if appliance is None else partial(_diagnose, config_file, path, appliance),
        edit_config=None if file is None else partial(edit_config, file),
        start_again=start_again,
    )


def _diagnose(config_file: Path | None, model: Path, appliance: Appliance) -> list[Check]:
    """What `pilah doctor` finds, but that the running bin is asked about its camera and its lids."""
    clock = SystemClock()

    def body(config: Config) -> list[Check]:
        return [
            look_at("camera", lambda: running_camera(appliance, clock, config)),
            look_at("pins", lambda: running_pins(appliance)),
        ]

    return list(examine(config_file, lambda _: model, body, threads=1))


def serve(bin_: Bin, config: Config, port: int | None = None) -> PageServer:
    """Start the page where the settings say. Raises `PageError` when the port cannot be had."""
    address = address_of(config.page, bin_.state)
    return PageServer(create_app(bin_), address, config.page.port if port is None else port)
