"""A whole bin over the simulated tray, for trials: appliance and history wired as `pilah run` wires them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.appliance import Appliance
from device.board import Board
from device.camera import Feed, Frame
from device.camera.watch import Watch
from device.classifier import Classifier
from device.clock import Clock
from device.config import CameraSection, Config, JournalSection, ModelSection, PageSection
from device.heartbeat import Heartbeat, Systemd
from device.journal import Journal
from device.model import open_classifier
from device.pins import FRAME_MS, open_pins
from device.recorder import Recorder


class WorkingClock:
    """Simulated time plus the processor time of this thread: what a bin takes that has a core to itself.

    Trials with it say the same on a busy machine as on an idle one.
    """

    def __init__(self) -> None:
        self._slept_s = -time.thread_time()

    def now(self) -> float:
        return self._slept_s + time.thread_time()

    def wall(self) -> float:
        return 1_750_000_000.0 + self.now()

    def sleep(self, duration_s: float) -> None:
        self._slept_s += max(0.0, duration_s)


class PacedWatch(Watch):
    """A feed that gives its frames at the camera's rate, and never makes the loop wait longer than it asked for."""

    def __init__(self, source: Any, settings: CameraSection, clock: Clock) -> None:
        super().__init__(source, source.reopen, settings, clock)
        self._period_s = 1 / settings.rate_hz
        self._due_s = clock.now()

    def latest(self, timeout_s: float) -> Frame | None:
        wait_s = self._due_s - self._clock.now()
        if wait_s > timeout_s:
            self._clock.sleep(timeout_s)
            return None
        self._clock.sleep(wait_s)
        self._due_s = max(self._due_s, self._clock.now() - self._period_s) + self._period_s
        return super().latest(0.0)


@dataclass(frozen=True)
class SimulatedBin:
    """What a trial gets to see."""

    config: Config
    pins: Any
    appliance: Appliance
    journal: Journal
    recorder: Recorder

    def turn(self) -> None:
        """One turn of the loop, and of the recorder, which has no thread here."""
        self.appliance.turn()
        self.recorder.turn(0.0)

    def away(self) -> bool:
        """Whether any servo is sent somewhere else than to its closed position."""
        for lid in self.config.compartments.values():
            state = self.pins.pin(lid.servo_pin).state
            if state > 0 and abs(state * FRAME_MS - lid.pulse_ms(lid.closed_deg)) > 2e-5:
                return True
        return False


def trial_config(folder: Path, threads: int = 1) -> Config:
    """The default bin, but that its lids hurry, its model has so many cores, and its history with pictures is here."""
    return Config(
        model=ModelSection(threads=threads),
        compartments={
            name: lid.model_copy(update={"speed_deg_per_s": 720.0, "hold_s": 0.2})
            for name, lid in Config().compartments.items()
        },
        page=PageSection(address="127.0.0.1"),
        journal=JournalSection(path=folder / "journal.db", thumbnails=True, thumbnails_at_most=20),
    )


@contextlib.contextmanager
def simulated_bin(
    config: Config, feed: Feed, clock: Clock, classifier: Classifier | None = None
) -> Iterator[SimulatedBin]:
    """A bin at work, whose loop the caller turns; `classifier`: instead of the one that `config` names."""
    pins, journal = open_pins("mock", config.compartments.values()), Journal.of(config)
    heartbeat, board = Heartbeat(clock, Systemd()), Board(clock)
    with Appliance(config, classifier or open_classifier(config), feed, pins, clock, heartbeat, board) as appliance:
        recorder = Recorder(journal, appliance.events, clock, appliance.sight.judged)
        appliance.mind("journal", lambda: recorder.fault, "The history is written again.")
        yield SimulatedBin(config, pins, appliance, journal, recorder)
        recorder.turn(0.0, is_last=True)
    journal.close()
