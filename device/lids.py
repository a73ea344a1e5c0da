"""Lids that open and close softly, one servo each."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gpiozero import AngularServo, InputDevice

from device.clock import Clock
from device.config import CompartmentSection
from device.errors import LidError
from device.events import LidState
from device.motion import PEAK_OF_EASE, Motion
from device.pins import pin_faults

log = logging.getLogger(__name__)

SETTLE_S = 0.2
"""A hobby servo trails the pulses it is sent; it is trusted to have arrived so much later."""
HOMES_S = 0.6
"""How long a lid that was left open, by a power cut for example, may take to fall back to its place."""
RETRIES = 2
LATE_S = 0.1
"""A motion that nobody follows for longer, where the machine is busy, goes on from where it is: a lid never jumps."""
HAIR_DEG = 1e-9
"""gpiozero works its largest angle out anew, for some servos as a hair less, and refuses what is larger."""


class Lid:
    """A lid that a hobby servo opens and closes.

    Wire the servo's brown or black cable to the ground of a 5–6 V supply of its own *and* to a GND pin of the Pi, the
    red one to the plus of that supply (never to the Pi's 5 V: a starting servo draws over an ampere), the orange or
    white one to the GPIO pin `servo_pin`. A switch, if there is one, goes between `switch_pin` and GND and is pressed
    while the lid is closed; a button between `button_pin` and GND holds the lid open while it is pressed.

    >>> from gpiozero.pins.mock import MockFactory, MockPWMPin
    >>> with Lid("organic", CompartmentSection(servo_pin=12), MockFactory(pin_class=MockPWMPin)) as lid:
    ...     lid.open(now_s=0.0)
    ...     [state for state in (lid.tick(now_s=turn / 50) for turn in range(60)) if state], lid.angle_deg
    (['open'], 90.0)

    Nothing here waits: `open` and `close` begin a motion, and each `tick` takes it to where it should be at that time.
    A servo tells nobody where it stands, so a lid is taken to be closed until `home` has sent it there. After closing
    it is let go (no pulses), which ends the hum and the jitter.

    Parameters
    ----------
    name:
        the compartment it covers.
    settings:
        pins, angles in degrees, pulse widths in milliseconds and top speed. An `open_deg` below `closed_deg` turns the
        other way round. `switch_pin` and `button_pin` may be None: then every motion is trusted, and no button asks.
    pins:
        a gpiozero pin factory.
    """

    def __init__(self, name: str, settings: CompartmentSection, pins: Any) -> None:
        """Raises `LidError` where a pin is in use or cannot be a servo's."""
        self.name = name
        self.settings = settings
        self.state: LidState = "closed"
        self.angle_deg: float | None = None
        self.fault: str | None = None
        self.button_fault: str | None = None
        self._legs: list[float] = []
        self._motion: Motion | None = None
        self._followed_s = 0.0
        self._last_deg = settings.closed_deg
        self._speed_deg_per_s = settings.speed_deg_per_s
        self._retries = 0
        self._is_hurried = False
        self._is_known = False
        with contextlib.ExitStack() as opened, pin_faults(f"The lid {name} cannot use its pins: {{}}."):
            self._servo = opened.enter_context(open_servo(settings, pins))
            self._switch = _input(settings.switch_pin, pins, opened)
            self._button = _input(settings.button_pin, pins, opened)
            self._devices = opened.pop_all()

    @property
    def is_moving(self) -> bool:
        """Whether it needs ticks, at least 50 a second."""
        return self._motion is not None

    @property
    def is_held(self) -> bool:
        """Whether its button is pressed; one that cannot be read is not, and `button_fault` says so."""
        self.button_fault = None
        try:
            with pin_faults(f"The button of the lid {self.name} cannot be read ({{}}); check its wiring."):
                return self._button is not None and bool(self._button.is_active)
        except LidError as fault:
            self.button_fault = str(fault)
            return False

    def home(self, now_s: float) -> None:
        """Send the pulses of the closed position straight away: a lid that is closed does not stir."""
        self._is_known = True
        self._begin(self.settings.closed_deg, now_s)
        self._motion = Motion(self.settings.closed_deg, self.settings.closed_deg, now_s, HOMES_S - SETTLE_S)
        self.state = "closing"

    def open(self, now_s: float) -> None:
        """Begin to open; a lid that opens or is open goes on as it is."""
        if self.state not in ("opening", "open"):
            self._begin(self.settings.open_deg, now_s)
            self.state = "opening"

    def close(self, now_s: float, within_s: float | None = None) -> None:
        """Begin to close, also from a fault; a lid that closes or is closed goes on as it is.

        `within_s`: close at once, faster than usual where that is needed, and trust the lid to arrive; one that was
        never sent home may stand anywhere, so it is sent too.
        """
        is_wanted = within_s is not None and (self.state == "closing" or not self._is_known)
        if self.state in ("closed", "closing") and not is_wanted:
            return
        if within_s is not None:
            way_deg = abs(self._last_deg - self.settings.closed_deg)
            self._speed_deg_per_s = max(self._speed_deg_per_s, PEAK_OF_EASE * way_deg / within_s)
        self._begin(self.settings.closed_deg, now_s, is_hurried=within_s is not None)
        self.state = "closing"

    def tick(self, now_s: float) -> LidState | None:
        """Take the motion to where it should be now; the state that the lid has reached with this tick, if any."""
        if self._motion is None:
            return None
        try:
            with pin_faults(f"The pins of the lid {self.name} cannot be driven ({{}}); check their wiring."):
                return self._follow(self._motion, now_s)
        except LidError as fault:
            is_first, self.fault = self.fault is None, str(fault)
        with contextlib.suppress(LidError), pin_faults("{}"):
            if is_first and self.is_moving:  # only its switch may have failed, or a pulse: it is not let go while open
                self._legs = [self.settings.closed_deg]
                self._turn(now_s)
                return self._follow(self._motion, now_s)
        with contextlib.suppress(LidError), pin_faults("{}"):  # the servo may still be let go
            self._end("fault")
        return self.state

    def __enter__(self) -> Lid:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the pins; doing it twice is fine. Whoever wants the lid closed closes it first."""
        self._motion = None
        self._devices.close()

    def _begin(self, target_deg: float, now_s: float, is_hurried: bool = False) -> None:
        self._is_hurried = is_hurried
        self._retries = RETRIES
        self.fault = None
        self._legs = [target_deg]
        self._turn(now_s)

    def _turn(self, now_s: float) -> None:
        self._motion = Motion.at_speed(self._last_deg, self._legs[0], now_s, self._speed_deg_per_s)
        self._followed_s = now_s

    def _follow(self, motion: Motion, now_s: float) -> LidState | None:
        late_s, self._followed_s = now_s - self._followed_s - LATE_S, now_s
        if late_s > 0 and not self._is_hurried and self._last_deg != motion.to_deg:
            self._motion = motion = replace(motion, start_s=motion.start_s + late_s)
        self._servo.angle = self.angle_deg = self._last_deg = motion.angle_deg(now_s)
        if now_s < motion.end_s + SETTLE_S:
            return None
        if len(self._legs) > 1:
            self._legs.pop(0)
            self._turn(now_s)
            return None
        if self.fault is not None:
            return self._end("fault")
        return self._arrive(self._legs[0] == self.settings.closed_deg, now_s)

    def _arrive(self, is_closing: bool, now_s: float) -> LidState | None:
        """Believe the switch: what did not reach its place goes back and tries again, and gives up in the end."""
        if self._is_hurried or self._switch is None or bool(self._switch.is_active) == is_closing:
            return self._end("closed" if is_closing else "open")
        closed_deg, open_deg = self.settings.closed_deg, self.settings.open_deg
        if self._retries > 0:
            self._retries -= 1
            log.warning("The lid %s did not reach its place; it tries again.", self.name)
            self._legs = [open_deg, closed_deg] if is_closing else [closed_deg, open_deg]
        else:
            self.fault = f"The lid {self.name} does not {'close' if is_closing else 'open'}; look for what blocks it."
            self._legs = [closed_deg]
        self._turn(now_s)
        return None

    def _end(self, state: LidState) -> LidState:
        self.state = state
        self._motion = None
        self._speed_deg_per_s = self.settings.speed_deg_per_s
        if state != "open":
            self._servo.angle = self.angle_deg = None
        return state


class Lids(dict[str, Lid]):
    """The lids of a bin by their compartments; `tick` also sends them home at first, one after the other.

    Together they would draw more current than many supplies give.

    >>> with Lids(config.compartments, pins) as lids:                                   # doctest: +SKIP
    ...     for lid, state in lids.tick(clock.now()):
    ...         print(lid.name, state)
    organic closed
    """

    def __init__(self, compartments: Mapping[str, CompartmentSection], pins: Any) -> None:
        """Raises `LidError` where a pin is in use or cannot be a servo's."""
        super().__init__()
        with contextlib.ExitStack() as opened:
            for name, settings in compartments.items():
                self[name] = opened.enter_context(Lid(name, settings, pins))
            self._devices = opened.pop_all()
        self._away = deque(self.values())
        self._homing: Lid | None = None

    @property
    def is_home(self) -> bool:
        """Whether each was sent home and is there, or has failed."""
        return not self._away and self._homing is None

    @property
    def is_moving(self) -> bool:
        return any(lid.is_moving for lid in self.values())

    @property
    def held(self) -> frozenset[str]:
        """Those whose button is pressed."""
        return frozenset(name for name, lid in self.items() if lid.is_held)

    def tick(self, now_s: float) -> Iterator[tuple[Lid, LidState]]:
        """Take each to where it should be now; those that have reached a state with this tick."""
        if self._homing is None or not (self._homing.is_moving and self._homing.state == "closing"):
            self._homing = self._away.popleft() if self._away else None
            if self._homing is not None:
                self._homing.home(now_s)
        for lid in self.values():
            if (reached := lid.tick(now_s)) is not None:
                yield lid, reached

    def __enter__(self) -> Lids:
        return self

    def __exit__(self, *_: object) -> None:
        self._devices.close()


def close_all(lids: Collection[Lid], clock: Clock, within_s: float) -> None:
    """Close every lid at once, whatever it is doing, within a time; a lid that cannot be driven is left as it is."""
    for lid in lids:
        lid.close(clock.now(), within_s=within_s)
    until_s = clock.now() + within_s + 2 * SETTLE_S
    while any(lid.is_moving for lid in lids) and clock.now() < until_s:
        for lid in lids:
            lid.tick(clock.now())
        clock.sleep(0.01)


def open_servo(settings: CompartmentSection, pins: Any) -> AngularServo:
    """The servo of a lid; it is sent nothing until it is given an angle."""
    return AngularServo(
        settings.servo_pin,
        initial_angle=None,
        min_angle=settings.min_angle_deg,
        max_angle=settings.max_angle_deg + HAIR_DEG,
        min_pulse_width=settings.min_pulse_ms / 1000,
        max_pulse_width=settings.max_pulse_ms / 1000,
        pin_factory=pins,
    )


def _input(pin: int | None, pins: Any, opened: contextlib.ExitStack) -> InputDevice | None:
    return None if pin is None else opened.enter_context(InputDevice(pin, pull_up=True, pin_factory=pins))
