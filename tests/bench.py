"""A whole bin on a bench: the real appliance with a played tray, mock pins, and a clock that only the bench moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpiozero.pins.mock import MockFactory, MockPWMPin
from numpy.typing import NDArray

from device.appliance import Appliance
from device.board import Board
from device.bundle import Bundle
from device.camera import Frame
from device.classifier import Classifier
from device.clock import ManualClock
from device.config import Config
from device.errors import CameraError
from device.events import DecisionEvent, Event, FaultEvent, LidEvent, StateEvent
from device.heartbeat import Heartbeat
from device.journal import Journal
from device.recorder import Recorder
from tests.bundles import COLOURS, write_bundle
from tests.trials.bench import PacedWatch

SHAPE = (120, 160)
THING = 100
"""Side of what lies on the tray: the crop around it has a margin, of which the small bundle sees nothing."""


class PlayedTray:
    """A camera over a grey tray, on which a test lays things; they fall when a lid opens.

    `lies`: the material of the thing in the middle; `beside`: of a small one that lies beside it;
    `fault`: "gone", "frozen", "black" or "white", until a test takes it away; `is_stuck`: what lies there does not
    fall.
    """

    is_sensor = True

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._noise = np.random.default_rng(0)
        self._last: NDArray[np.uint8] = self._picture()
        self.lies: str | None = None
        self.beside: str | None = None
        self.is_stuck = False
        self.fault: str | None = None
        self.cleared_s = clock.now()

    def read(self) -> Frame:
        if self.fault == "gone":
            raise CameraError("The played camera is gone.")
        if self.fault == "black":
            self._last = np.zeros((*SHAPE, 3), np.uint8)
        elif self.fault == "white":
            self._last = np.full((*SHAPE, 3), 255, np.uint8)
            self._last[:4, :4] = self._noise.integers(100, 110, (4, 4, 3))
        elif self.fault != "frozen":
            self._last = self._picture(self.lies, self.beside)
        return Frame(self._last, self._clock.now())

    def reopen(self) -> PlayedTray:
        if self.fault == "gone":
            raise CameraError("The played camera is still gone.")
        return self

    def lid_opened(self) -> None:
        if not self.is_stuck:
            self.lies, self.beside, self.cleared_s = None, None, self._clock.now()

    def lid_closed(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _picture(self, middle: str | None = None, beside: str | None = None) -> NDArray[np.uint8]:
        plain = np.full((*SHAPE, 3), 128)
        top, left = (SHAPE[0] - THING) // 2, (SHAPE[1] - THING) // 2
        if middle is not None:
            plain[top : top + THING, left : left + THING] = _striped(middle)
        if beside is not None:
            plain[top : top + THING, 2 : left - 4] = _striped(beside)
        picture = np.clip(plain, 2, 253).astype(np.uint8)
        picture[::8, ::8] += self._noise.integers(0, 2, picture[::8, ::8].shape, dtype=np.uint8)
        return picture


def _striped(material: str) -> NDArray[np.int64]:
    """Stripes, each material its own, that leave the mean colour as it is: presence looks at shapes."""
    stripe = 2 + list(COLOURS).index(material) % 6
    return np.array(COLOURS[material]) + np.where(np.arange(THING) // stripe % 2, 15, -15)[:, None, None]


class Notes(list[str]):
    """Keeps what systemd would have been told."""

    def notify(self, state: str) -> None:
        self.append(state)


class Bench:
    """A bin that a test feeds and watches.

    >>> with Bench(tmp_path) as bench:                          # doctest: +SKIP
    ...     bench.drop("glass")
    ...     bench.until(lambda: bench.appliance.finished_drops == 1)
    ...     bench.opened
    ['recyclable']
    """

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        """The history lies in `folder`; it is written between the loop's turns, without a thread."""
        self.config = config or Config()
        self.clock = ManualClock(start_s=1000.0)
        self.tray = PlayedTray(self.clock)
        self.pins = MockFactory(pin_class=MockPWMPin)
        self.notes = Notes()
        self.model = write_bundle(folder / "model.onnx")
        self.appliance = Appliance(
            self.config,
            Classifier(Bundle.open(self.model, threads=1)),
            PacedWatch(self.tray, self.config.camera, self.clock),
            self.pins,
            self.clock,
            Heartbeat(self.clock, self.notes),
            Board(self.clock, system=folder),
        )
        self.journal = Journal(folder / "journal.db", thumbnails_at_most=10)
        self.recorder = Recorder(self.journal, self.appliance.events, self.clock, self.appliance.sight.judged)
        self.appliance.mind("journal", lambda: self.recorder.fault, "The history is written again.")
        self._servos = {
            name: self.pins.pin(lid.servo_pin)  # the factory forgets its pins when it is closed
            for name, lid in self.config.compartments.items()
        }
        self._follower = self.appliance.events.subscribe(limit=100_000)
        self.events: list[Event] = []

    def __enter__(self) -> Bench:
        self.run(4.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.appliance.close()
        self.hear()
        self.recorder.turn(0.0, is_last=True)
        self.journal.close()

    def hear(self) -> None:
        self.events += self._follower.take()

    def turn(self) -> None:
        self.appliance.turn()
        self.recorder.turn(0.0)
        self.hear()

    def run(self, duration_s: float) -> None:
        """Let the loop turn for so long, on the bench's clock."""
        until_s = self.clock.now() + duration_s
        while self.clock.now() < until_s:
            self.turn()

    def until(self, holds: Callable[[], bool], at_most_s: float = 30.0) -> None:
        until_s = self.clock.now() + at_most_s
        while not holds():
            assert self.clock.now() < until_s, "it does not come to pass"
            self.turn()

    def drop(self, material: str) -> None:
        self.tray.lies = material

    def serve(self, material: str) -> None:
        """Drop something and wait until it is sorted and all lids are closed."""
        before = self.appliance.finished_drops
        self.drop(material)
        self.until(lambda: self.appliance.finished_drops == before + 1)
        self.run(1.0)

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def state(self) -> str:
        """Where the sorter stands."""
        return next(event.state for event in self.appliance.snapshot() if isinstance(event, StateEvent))

    @property
    def opened(self) -> list[str]:
        """The lids that opened, in order."""
        return [event.compartment for event in self.told(LidEvent) if event.state == "open"]

    @property
    def decisions(self) -> list[DecisionEvent]:
        return self.told(DecisionEvent)

    @property
    def faults(self) -> list[tuple[str, bool]]:
        """Part and whether it is over, in order."""
        return [(event.part, event.is_over) for event in self.told(FaultEvent)]

    def pulses_ms(self, compartment: str) -> list[float]:
        """Every pulse width that a lid's servo was sent, in order."""
        return [round(state.state * 20, 3) for state in self._servos[compartment].states if state.state > 0]

    def away(self) -> list[str]:
        """The lids whose servo is sent somewhere else than to its closed position just now."""
        return [
            name
            for name, servo in self._servos.items()
            if servo.state > 0 and abs(servo.state * 20 - self._closed_ms(name)) > 0.001
        ]

    def assert_all_closed(self) -> None:
        """Every servo was last told to close, and was let go."""
        for name in self.config.compartments:
            assert self.pulses_ms(name)[-1] == self._closed_ms(name), name
            assert self._servos[name].state == 0, name

    def _closed_ms(self, name: str) -> float:
        lid = self.config.compartments[name]
        return round(lid.pulse_ms(lid.closed_deg), 3)
