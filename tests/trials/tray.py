"""Presence on trial: what an empty tray may go through, and what a frame costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np

from device.camera import Frame
from device.camera.simulated import SimulatedTray, TrayLife
from device.clock import ManualClock
from device.config import CameraSection, PresenceSection, RegionSection
from device.presence import Presence

BUSY = TrayLife(
    gap_s=None, passers_per_minute=12, lamps_per_minute=4, drift_per_minute=0.2, dims_per_minute=4, border=0.08
)
"""An empty tray, with dark floor beside it, at which much more goes on than at a real bin."""


@dataclass(frozen=True)
class Soak:
    """What an empty tray went through, and for how often something was said to lie there."""

    frames: int
    passers: int
    lamps_switched: int
    times_dimmed: int
    arrivals: int
    false_openings: int


def soak_empty_tray(frames: int, seed: int) -> Soak:
    """Watch an empty tray in simulated time: changing light, noise, hands and shadows that pass."""
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
    return Soak(frames, tray.passers, tray.lamps_switched, tray.times_dimmed, arrivals, len(ids))


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
