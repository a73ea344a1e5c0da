"""LEDs and a buzzer that tell what the bin is doing.

| | LED of a lid | thinking | unsure | fault | three-colour LED | buzzer |
| --- | --- | --- | --- | --- | --- | --- |
| idle | | | | | off | |
| thinking | | on | | | blue | |
| here | on while the lid is not closed | | | | green | |
| unsure | on while the lid is not closed | | on | | yellow | one beep |
| fault | blinks, on the faulty lid | | | blinks | red, blinks | three beeps |
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from gpiozero import OutputDevice

from device.config import Config
from device.errors import LidError
from device.events import LidState, Signal
from device.pins import pin_faults

log = logging.getLogger(__name__)

BLINK_S = 0.5
BEEP_S = 0.12
_BEEPS: Mapping[Signal, int] = {"unsure": 1, "fault": 3}
_COLOURS: Mapping[Signal, tuple[bool, bool, bool]] = {
    "idle": (False, False, False),
    "thinking": (False, False, True),
    "here": (False, True, False),
    "unsure": (True, True, False),
    "fault": (True, False, False),
}


def lit(signal: Signal, since_s: float, fault_for_s: float | None, now_s: float) -> dict[str, bool]:
    """Which of the bin's own lights are on, `since_s` after the signal began; pure.

    `fault_for_s`: for how long something has been out of order although the bin goes on, or None; the fault's light
    then blinks beside the signal.
    """
    is_faulty = fault_for_s is not None or signal == "fault"
    colour = _COLOURS["fault" if is_faulty and signal == "idle" else signal]
    shown = _blinks(now_s) if is_faulty and signal in ("idle", "fault") else True
    beeps = [_beeps(since_s, _BEEPS.get(signal, 0)), fault_for_s is not None and _beeps(fault_for_s, _BEEPS["fault"])]
    return {
        "thinking": signal == "thinking",
        "unsure": signal == "unsure",
        "fault": is_faulty and _blinks(now_s),
        "red": colour[0] and shown,
        "green": colour[1] and shown,
        "blue": colour[2] and shown,
        "buzzer": any(beeps),
    }


def _blinks(now_s: float) -> bool:
    return int(now_s / BLINK_S) % 2 == 0


def _beeps(since_s: float, times: int) -> bool:
    beep = int(since_s / BEEP_S)
    return beep % 2 == 0 and beep // 2 < times


class Lights:
    """The LEDs of the lids, those of the bin, and its buzzer; each is optional.

    Wire each LED through 330 Ω from its GPIO pin to GND, an active buzzer from `buzzer_pin` to GND (through a
    transistor where it draws more than 16 mA). A light that cannot be driven costs one line in the log until it works
    again, never a drop.

    >>> from gpiozero.pins.mock import MockFactory
    >>> pins = MockFactory()
    >>> lights = Lights(Config(), pins)
    >>> lights.show("here", now_s=0.0)
    >>> lights.tick({"organic": "opening"}, is_faulty=False, now_s=0.0)
    >>> pins.pin(5).state                                       # the LED of organic
    1
    >>> lights.close()

    Parameters
    ----------
    config:
        names the pins, in `lights` and in each compartment's `led_pin`.
    pins:
        a gpiozero pin factory.
    """

    def __init__(self, config: Config, pins: Any) -> None:
        """Raises `LidError` where a pin is in use."""
        self._signal: tuple[Signal, float] = ("idle", 0.0)
        self._shown: dict[str, bool] = {}
        self._broken: set[str] = set()
        self._faulty_since_s: float | None = None
        self._lights: dict[str, OutputDevice] = {}
        with contextlib.ExitStack() as opened, pin_faults("The lights cannot use their pins: {}."):
            for key, pin in _pins(config).items():
                self._lights[key] = opened.enter_context(OutputDevice(pin, pin_factory=pins))
            self._devices = opened.pop_all()

    def show(self, signal: Signal, now_s: float) -> None:
        """From now on, and with the next tick, tell this; one that is told already goes on."""
        if signal != self._signal[0]:
            self._signal = signal, now_s

    def tick(self, lids: Mapping[str, LidState], is_faulty: bool, now_s: float) -> None:
        """Light what is so now; only what has changed is written."""
        if not is_faulty:
            self._faulty_since_s = None
        elif self._faulty_since_s is None:
            self._faulty_since_s = now_s
        fault_for_s = None if self._faulty_since_s is None else now_s - self._faulty_since_s
        signal, since_s = self._signal
        states = lit(signal, now_s - since_s, fault_for_s, now_s)
        for compartment, state in lids.items():
            states[f"lid {compartment}"] = _blinks(now_s) if state == "fault" else state != "closed"
        for key in self._lights:
            if self._shown.get(key, False) != states[key]:
                self._switch(key, states[key])

    def close(self) -> None:
        """Switch all off and let go of the pins, which may keep their level; doing it twice is fine."""
        for key in self._lights:
            self._switch(key, False)
        self._lights.clear()
        self._devices.close()

    def _switch(self, key: str, is_on: bool) -> None:
        try:
            with pin_faults(f"The light {key} cannot be driven ({{}})."):
                self._lights[key].value = is_on
        except LidError as fault:
            if key not in self._broken:
                log.warning("%s", fault)
            self._broken.add(key)
        else:
            self._shown[key] = is_on
            self._broken.discard(key)


def _pins(config: Config) -> dict[str, int]:
    pins: dict[str, int | None] = {name.removesuffix("_pin"): pin for name, pin in config.lights}
    pins |= {f"lid {name}": compartment.led_pin for name, compartment in config.compartments.items()}
    return {key: pin for key, pin in pins.items() if pin is not None}
