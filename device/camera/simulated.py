"""A tray that does not exist: the default camera off the Pi, and the one that tests drive."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from device.camera import Frame
from device.camera.scene import Light, Scene, Sprite, read_cutout
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError

SAMPLES = Path(__file__).parent / "samples"
ARRIVES_S = 0.4
LIES_AT_MOST_S = 20.0
"""How long a thing lies where no lid opens for it."""

Fault = Literal["gone", "frozen", "black", "white"]


@dataclass(frozen=True)
class TrayLife:
    """What happens at the simulated tray, on average.

    `gap_s`: from a free tray to the next thing, None where nothing is dropped; `passers_per_minute`: hands and shadows
    that pass over the empty tray; `lamps_per_minute`: a lamp beside the bin is switched; `drift_per_minute`: part by
    which daylight grows or fades; `dims_per_minute`: all light is dimmed to half, or is whole again; `border`: strip of
    dark floor around the tray, as part of the picture's height.
    """

    gap_s: float | None = 2.0
    passers_per_minute: float = 1.0
    lamps_per_minute: float = 0.2
    drift_per_minute: float = 0.05
    dims_per_minute: float = 0.0
    border: float = 0.0


@dataclass
class Thing:
    """One thing in the simulated tray's history; times on the appliance's clock, None where it has not come so far."""

    file: str
    material: str
    dropped_s: float
    at_rest_s: float | None = None
    left_s: float | None = None


class SimulatedTray:
    """Sample things appear before a camera that does not exist, at a random angle, scale, place and light.

    A thing slides in, lies still, and falls when a lid opens. `history` tells what was dropped when, `passers`,
    `lamps_switched` and `times_dimmed` count what else happened. The same seed gives the same life. For tests, the
    camera can be taken away, freeze, or go black or white, and things can be dropped by hand.

    >>> tray = SimulatedTray(CameraSection(), clock, seed=7)    # doctest: +SKIP
    >>> tray.read().pixels.shape                                # doctest: +SKIP
    (480, 640, 3)
    >>> tray.drop("glass"); tray.fail("frozen", 10)             # doctest: +SKIP
    """

    is_sensor = True

    def __init__(
        self,
        settings: CameraSection,
        clock: Clock,
        seed: int = 0,
        samples: Path = SAMPLES,
        life: TrayLife | None = None,
    ) -> None:
        """`samples`: a folder of cut-outs (PNG with alpha), `<material>/<name>.png`.

        Raises `CameraError` where it holds none and things are to be dropped.
        """
        self._life = life or TrayLife()
        self._files = sorted(samples.glob("*/*.png"))
        if not self._files and self._life.gap_s is not None:
            raise CameraError(f"The simulated camera finds no samples in {samples}; install Pilah again.")
        self._settings = settings
        self._clock = clock
        self._random = random.Random(seed)
        self._scene = Scene(settings.width, settings.height, seed, self._life.border)
        self._lock = threading.Lock()
        self._lying: list[tuple[Thing, Sprite]] = []
        self._passer: Sprite | None = None
        self._light = Light()
        self._is_open = False
        self._fault: tuple[Fault, float] | None = None
        self._frozen: NDArray[np.uint8] | None = None
        self._seen_s = clock.now()
        self._next_drop_s = clock.now() + 1.5
        self._next_frame_s = clock.now()
        self.history: list[Thing] = []
        self.passers = 0
        self.lamps_switched = 0
        self.times_dimmed = 0

    def read(self) -> Frame:
        self._clock.sleep(self._next_frame_s - self._clock.now())
        now_s = self._clock.now()
        self._next_frame_s = max(self._next_frame_s, now_s - 1 / self._settings.rate_hz) + 1 / self._settings.rate_hz
        with self._lock:
            self._live(now_s)
            fault = self._fault_at(now_s)
            if fault == "gone":
                raise CameraError("The simulated camera was pulled out.")
            if fault in ("black", "white"):
                level = 0 if fault == "black" else 255
                return Frame(np.full((self._settings.height, self._settings.width, 3), level, np.uint8), now_s)
            if fault == "frozen" and self._frozen is not None:
                return Frame(self._frozen, now_s)
            sprites = [sprite for _, sprite in self._lying] + ([self._passer] if self._passer else [])
            self._frozen = self._scene.render(now_s, self._light, sprites)
            return Frame(self._frozen, now_s)

    def close(self) -> None:
        """Closing lets go of nothing: the tray lives on, and `reopen` shows it again."""

    def reopen(self) -> SimulatedTray:
        """Open the camera again, over the same tray. Raises `CameraError` while it is gone."""
        if self._fault_at(self._clock.now()) == "gone":
            raise CameraError("The simulated camera is still pulled out.")
        return self

    def lid_opened(self) -> None:
        with self._lock:
            self._is_open = True

    def lid_closed(self) -> None:
        with self._lock:
            self._is_open = False
            self._next_drop_s = self._clock.now() + self._gap_s()

    def drop(self, material: str | None = None) -> Thing:
        """Drop a sample now, of `material` where it is given, whatever lies there already; the entry in the history."""
        with self._lock:
            return self._drop(material, self._clock.now())

    def fail(self, fault: Fault, duration_s: float) -> None:
        """From now on, for `duration_s`: the camera is gone (raises), frozen (equal frames), black or white."""
        with self._lock:
            self._fault = fault, self._clock.now() + duration_s

    def _fault_at(self, now_s: float) -> Fault | None:
        return self._fault[0] if self._fault is not None and now_s < self._fault[1] else None

    def _live(self, now_s: float) -> None:
        minutes = (now_s - self._seen_s) / 60
        self._seen_s = now_s
        chance = self._random.random
        self._light = self._light.drifted(minutes * self._life.drift_per_minute * self._random.choice((-1, 1)))
        if chance() < minutes * self._life.lamps_per_minute:
            self._light = self._light.switched()
            self.lamps_switched += 1
        if self._life.dims_per_minute and chance() < minutes * self._life.dims_per_minute:
            self._light = self._light.dimmed()
            self.times_dimmed += 1
        self._clear(now_s)
        if self._passer is not None and self._passer.has_passed(now_s):
            self._passer = None
        if self._lying or self._passer is not None:
            return
        if chance() < minutes * self._life.passers_per_minute:
            self._passer = self._scene.passer(now_s, self._random)
            self.passers += 1
        elif self._life.gap_s is not None and not self._is_open and now_s >= self._next_drop_s:
            self._drop(None, now_s)

    def _drop(self, material: str | None, now_s: float) -> Thing:
        files = [file for file in self._files if material in (None, file.parent.name)]
        if not files:
            raise CameraError(f"The simulated camera has no sample of {material}.")
        file = self._random.choice(files)
        sprite = self._scene.thing(read_cutout(file), now_s, ARRIVES_S, self._random)
        drop = Thing(str(file), file.parent.name, now_s)
        self._lying.append((drop, sprite))
        self.history.append(drop)
        return drop

    def _clear(self, now_s: float) -> None:
        """What lies there falls when a lid stands open, or is taken away after a while."""
        for drop, sprite in self._lying:
            rests_s = drop.dropped_s + ARRIVES_S
            if drop.at_rest_s is None and now_s >= rests_s:
                drop.at_rest_s = rests_s
            falls = self._is_open or now_s >= rests_s + LIES_AT_MOST_S
            if falls and drop.at_rest_s is not None and sprite.leaves_s is None:
                sprite.leaves_s = now_s
            if sprite.has_left(now_s):
                drop.left_s = now_s
                self._next_drop_s = now_s + self._gap_s()
        self._lying = [(drop, sprite) for drop, sprite in self._lying if drop.left_s is None]

    def _gap_s(self) -> float:
        return self._random.uniform(0.5, 1.5) * (self._life.gap_s or 0.0)
