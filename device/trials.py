"""Trials of presence that anyone can repeat: `python -m device.trials soak` and `python -m device.trials presence`."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click
import cv2
import numpy as np

from device.camera import Frame
from device.camera.simulated import SimulatedTray, TrayLife
from device.clock import ManualClock
from device.config import CameraSection, PresenceSection, RegionSection
from device.presence import Presence

BUSY = TrayLife(gap_s=None, passers_per_minute=12, lamps_per_minute=4, drift_per_minute=0.2)
"""An empty tray at which much more goes on than at a real bin."""


@dataclass(frozen=True)
class Soak:
    """What an empty tray went through, and for how often something was said to lie there."""

    frames: int
    passers: int
    lamps_switched: int
    arrivals: int
    false_openings: int


def soak_empty_tray(frames: int, seed: int) -> Soak:
    """Watch an empty tray in simulated time: drifting light, noise, lamps that switch, hands and shadows that pass."""
    clock = ManualClock()
    tray = SimulatedTray(CameraSection(), clock, seed=seed, life=BUSY)
    presence = Presence(PresenceSection(), RegionSection())
    arrivals, ids, before = 0, set(), "empty"
    for _ in range(frames):
        sighting = presence.update(tray.read())
        arrivals += sighting.state == "arriving" != before
        before = sighting.state
        if sighting.state == "still":
            ids.add(sighting.object_id)
    return Soak(frames, tray.passers, tray.lamps_switched, arrivals, len(ids))


def time_presence(frames: int, with_thing: bool) -> list[float]:
    """Milliseconds of one core that each of `frames` 640×480 frames cost, whatever else the machine does."""
    cv2.setNumThreads(1)
    chance = np.random.default_rng(0)
    presence = Presence(PresenceSection(), RegionSection())
    pictures = [chance.normal(170, 3, (480, 640, 3)).astype(np.uint8) for _ in range(8)]
    times_ms = []
    for number in range(frames + 30):
        frame = Frame(pictures[number % len(pictures)].copy(), number / 15)
        if with_thing and number >= 30:
            frame.pixels[120:360, 200:420] //= 3
        start_s = time.thread_time()
        presence.update(frame)
        times_ms.append(1000 * (time.thread_time() - start_s))
    return times_ms[30:]


@click.group()
def main() -> None:
    """Trials of presence."""


@main.command()
@click.option("--frames", default=10_000, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Repeat with so many different trays.")
def soak(frames: int, seeds: int) -> None:
    """Count false openings over an empty tray; the exit code is 1 where there is one."""
    results = [soak_empty_tray(frames, seed) for seed in range(seeds)]
    for result in results:
        click.echo(
            f"{result.frames} frames, {result.passers} hands and shadows, {result.lamps_switched} lamp switches: "
            f"something was seen {result.arrivals} times, {result.false_openings} false openings"
        )
    raise SystemExit(any(result.false_openings for result in results))


@main.command()
@click.option("--frames", default=1000, show_default=True)
def presence(frames: int) -> None:
    """Time presence on 640×480 frames, one thread."""
    for name, with_thing in (("empty tray", False), ("a thing lies there", True)):
        median, most = np.percentile(time_presence(frames, with_thing), (50, 95))
        click.echo(f"{name}: median {median:.2f} ms, 95th percentile {most:.2f} ms of one core a frame")


if __name__ == "__main__":
    main()
