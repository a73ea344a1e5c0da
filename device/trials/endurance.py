"""The whole bin on trial for leaks: hours at full rate, with drops, camera faults and visitors of the page."""

from __future__ import annotations

import gc
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from device.camera import Frame
from device.camera.simulated import Fault, SimulatedTray, TrayLife
from device.clock import ManualClock
from device.drops import Search
from device.page.commands import bin_of, serve
from device.trials.bench import PacedWatch, simulated_bin, trial_config

SETTLES_S = 1.5
"""Streams and connections that visitors have left are closed by then."""
BUSY = TrayLife(gap_s=5.0, passers_per_minute=2, lamps_per_minute=0.5)
VISITS_EVERY_S = 60.0
FAULTS_EVERY_S = 300.0
FAULT_LASTS_S = 10.0
_FAULTS: tuple[Fault, ...] = ("gone", "frozen", "black")
_VISITED = ("/now", "/history", "/health", "/api/now", "/tray.jpg")


@dataclass(frozen=True)
class Footprint:
    """What the process holds."""

    resident_bytes: int
    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> Footprint:
        time.sleep(SETTLES_S)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), descriptors)


@dataclass(frozen=True)
class Endurance:
    """`warm`: once everything had been used; `end`: after the hours."""

    frames: int
    drops: int
    recorded: int
    faults: int
    visits: int
    warm: Footprint
    end: Footprint

    @property
    def grew_mb(self) -> float:
        return (self.end.resident_bytes - self.warm.resident_bytes) / 1e6


def endure(folder: Path, hours: float, seed: int = 0, tell: Callable[[Footprint], None] = lambda _: None) -> Endurance:
    """Run a bin for so many hours of simulated time; `tell` hears of its footprint ten times."""
    config, clock = trial_config(folder), ManualClock()
    tray = SimulatedTray(config.camera, clock, seed=seed, life=BUSY)
    feed = _Counting(tray, config.camera, clock)
    visits = faults = 0
    warm: Footprint | None = None
    with simulated_bin(config, tray, feed, clock) as bin_:
        page = replace(bin_of(config, None, None, bin_.appliance, bin_.journal), state=folder)
        with serve(page, config, port=0) as server:
            for tenth in range(10):
                while clock.now() < (tenth + 1) / 10 * hours * 3600:
                    bin_.turn()
                    if clock.now() >= (visits + 1) * VISITS_EVERY_S:
                        _visit(server.url)
                        visits += 1
                        bin_.forget_pins()
                        del tray.history[:-2]
                    if clock.now() >= (faults + 1) * FAULTS_EVERY_S:
                        tray.fail(_FAULTS[faults % len(_FAULTS)], FAULT_LASTS_S)
                        faults += 1
                end = Footprint.now()
                tell(end)
                warm = warm or end
        drops = bin_.appliance.finished_drops
        recorded = sum(number for *_, number in bin_.journal.counts(Search()))
    assert warm is not None
    return Endurance(feed.frames, drops, recorded, faults, visits, warm, end)


class _Counting(PacedWatch):
    frames = 0

    def latest(self, timeout_s: float) -> Frame | None:
        frame = super().latest(timeout_s)
        self.frames += frame is not None
        return frame


def _visit(url: str) -> None:
    """Look at every page, and follow the stream for a moment."""
    for path in _VISITED:
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            answer.read()
    with urllib.request.urlopen(f"{url}/events", timeout=60) as stream:
        stream.readline()
