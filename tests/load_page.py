"""Whether a busy page slows the bin down: `make load`.

One bin sorts what its simulated camera shows, with simulated pins; clients come and go while it does, so that turns
with and without them lie side by side. What is compared is the time from a thing that lies still to the lid that
starts to move.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from device.config import Config
from tests.load_clients import UPLOADERS, WATCHERS
from tests.ports import free_ports

SETTLES = 2
"""Drops at the start of a turn that are not counted: clients are coming or going."""
LOOKS = 3
FIRST = -15
"""The bin's niceness, where it may be set: on the Pi nothing else is busy, and here that shall be so for the bin."""


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="The bundle; the bin's own without it.")
@click.option("--drops", default=12, show_default=True, help="That count, in each turn.")
@click.option("--turns", default=10, show_default=True, help="Alone and with clients, by turns.")
def load(model: Path | None, drops: int, turns: int) -> None:
    """Measure drop to lid alone and with 20 watching and 4 uploading clients."""
    p95s: dict[bool, list[float]] = {False: [], True: []}
    got: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, _bin(Path(folder), model) as (port, bin_):
        latencies = _latencies(bin_)
        for turn in range(turns):
            is_busy = turn % 2 == 1
            with _clients(port, got) if is_busy else contextlib.nullcontext():
                taken = [next(latencies) for _ in range(SETTLES + drops)][SETTLES:]
            p50, p95 = np.percentile(taken, [50, 95])
            p95s[is_busy].append(float(p95))
            click.echo(f"{'clients' if is_busy else 'alone  '}  p50 {p50:4.0f} ms  p95 {p95:4.0f} ms")
    alone, busy = statistics.median(p95s[False]), statistics.median(p95s[True])
    click.echo(f"median p95: {alone:.0f} ms alone, {busy:.0f} ms with {WATCHERS} watching and {UPLOADERS} uploading:")
    click.echo(f"{busy / alone:.2f} times. The clients got {dict(got)}")


@contextlib.contextmanager
def _bin(folder: Path, model: Path | None) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    config, port = _prepare(folder)
    command = ["run", "--config", config, "--camera", "simulated", "--pins", "mock", "--json"]
    command += ["--model", model] if model else []
    bin_ = subprocess.Popen(
        [sys.executable, "-m", "device", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, bin_.pid, FIRST)
    try:
        yield port, bin_
    finally:
        bin_.terminate()
        bin_.communicate()


def _prepare(folder: Path) -> tuple[Path, int]:
    """Settings under which drops follow each other quickly, and each is looked at equally often."""
    [port] = free_ports(1)
    lids = "".join(
        f"[compartments.{name}]\nservo_pin = {one.servo_pin}\nhold_s = 0.2\nspeed_deg_per_s = 360\n"
        for name, one in Config().compartments.items()
    )
    looks = f"[decision]\nframes_at_least = {LOOKS}\nframes_at_most = {LOOKS}\n"
    config = folder / "pilah.toml"
    config.write_text(f'[page]\nport = {port}\n[journal]\npath = "{folder}/journal.db"\n{looks}{lids}')
    return config, port


def _latencies(bin_: subprocess.Popen[bytes]) -> Iterator[float]:
    """Of each drop, from lying still to the lid that starts to move, in ms."""
    decided: dict[int, float] = {}
    assert bin_.stdout is not None
    for line in bin_.stdout:
        event = json.loads(line)
        if event["event"] == "decision":
            decided[event["drop"]] = event["time"]
        elif event["event"] == "lid" and event["state"] == "opening" and event.get("drop") in decided:
            yield event["latency_ms"] + (event["time"] - decided.pop(event["drop"])) * 1000
    raise click.ClickException("The bin ended; `python -m device run` says why.")


@contextlib.contextmanager
def _clients(port: int, got: Counter[str]) -> Iterator[None]:
    clients = subprocess.Popen([sys.executable, "-m", "tests.load_clients", str(port)], stdout=subprocess.PIPE)
    try:
        yield
    finally:
        clients.terminate()
        got.update(json.loads(clients.communicate()[0]))


if __name__ == "__main__":
    load()
