"""The whole bin on trial for leaks: hours at full rate, with drops, camera faults and visitors of the page."""

from __future__ import annotations

import os
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from device.camera import Frame
from device.camera.simulated import Fault, SimulatedTray, TrayLife
from device.clock import ManualClock
from device.drops import Search
from device.page.commands import bin_of, serve
from tests.trials.bench import PacedWatch, simulated_bin, trial_config

BUSY = TrayLife(gap_s=5.0, passers_per_minute=2, lamps_per_minute=0.5)
FAULTS_EVERY_S = 300.0
FAULT_LASTS_S = 10.0
_FAULTS: tuple[Fault, ...] = ("gone", "frozen", "black")
_VISITED = ("/now", "/history", "/health", "/ask", "/history.csv", "/api/now", "/tray.jpg")


@dataclass(frozen=True)
class Footprint:
    """What the process holds."""

    resident_bytes: int
    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> Footprint:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), descriptors)

    def least(self, other: Footprint | None) -> Footprint:
        """The smaller of each: what is held only for a moment is no leak."""
        return self if other is None else Footprint(*map(min, astuple(self), astuple(other)))


@dataclass(frozen=True)
class Endurance:
    """`drops`: how many were served in each part of the time; `stages`: the least that was held in it."""

    frames: int
    drops: tuple[int, ...]
    recorded: int
    faults: int
    visits: int
    stages: tuple[Footprint, ...]

    @property
    def warm(self) -> Footprint:
        """What was held after a quarter of the time: until each thread of the page has served once, the C library's
        pools of memory fill, which is no leak."""
        return self.stages[len(self.stages) // 4]

    @property
    def grew_mb(self) -> float:
        """From then to the end, by the straight line through all stages since: each for itself is some MB more or less,
        as the C library gives memory back or keeps it (2.0, 2.8 and 5.8 MB between the same two of equal runs)."""
        since = [stage.resident_bytes / 1e6 for stage in self.stages[len(self.stages) // 4 :]]
        slope_mb = float(np.polyfit(range(len(since)), since, 1)[0])
        return slope_mb * (len(since) - 1)


def endure(
    folder: Path,
    hours: float,
    seed: int = 0,
    stages: int = 10,
    visits_every_s: float = 60.0,
    tell: Callable[[int, Footprint], None] = lambda *_: None,
) -> Endurance:
    """Run a bin for so many hours of simulated time, and look at what it holds before each visit of its page.

    `tell` hears of each stage as it ends.
    """
    config, clock = trial_config(folder), ManualClock()
    tray = SimulatedTray(config.camera, clock, seed=seed, life=BUSY)
    feed = _Counting(tray, config.camera, clock)
    visits = faults = 0
    drops: list[int] = []
    held: list[Footprint] = []
    with simulated_bin(config, feed, clock) as bin_:
        page = bin_of(config, None, None, bin_.appliance, bin_.journal)
        with serve(page, config, port=0) as server:
            for stage in range(stages):
                least: Footprint | None = None
                while clock.now() < (stage + 1) / stages * hours * 3600:
                    bin_.turn()
                    if clock.now() >= (visits + 1) * visits_every_s:
                        least = Footprint.now().least(least)
                        _visit(server.url)
                        visits += 1
                        del tray.history[:-2]
                    if clock.now() >= (faults + 1) * FAULTS_EVERY_S:
                        tray.fail(_FAULTS[faults % len(_FAULTS)], FAULT_LASTS_S)
                        faults += 1
                drops.append(bin_.appliance.finished_drops - sum(drops))
                held.append(least or Footprint.now())
                tell(drops[-1], held[-1])
        recorded = sum(number for *_, number in bin_.journal.counts(Search()))
    return Endurance(feed.frames, tuple(drops), recorded, faults, visits, tuple(held))


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
