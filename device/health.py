"""The appliance's health: what systemd is told, and what a Raspberry Pi says of its heat and its supply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sdnotify

from device.clock import Clock

BEATS_EVERY_S = 1.0
FEELS_EVERY_S = 30.0
_THERMOMETER = Path("class/thermal/thermal_zone0/temp")
_FIRMWARE = "devices/platform/soc*/*firmware/get_throttled"
_NOW: Mapping[int, str] = {
    0: "The supply's voltage is too low; use the supply made for this Pi, and feed the servos from another.",
    1: "The processor's frequency is capped.",
    2: "The processor is throttled; give the Pi more air.",
    3: "The Pi is near its highest temperature; give it more air.",
}
"""Bits of the firmware's `get_throttled` (Raspberry Pi documentation, `vcgencmd`)."""


@dataclass(frozen=True)
class Vitals:
    """`temperature_c`: of the processor, None where it is not told; `warnings`: what the firmware complains of now."""

    temperature_c: float | None = None
    warnings: tuple[str, ...] = ()


def read_vitals(system: Path = Path("/sys")) -> Vitals:
    """The processor's temperature, and on a Raspberry Pi the state of its supply; what is not told is left out."""
    try:
        temperature_c = int((system / _THERMOMETER).read_text()) / 1000
    except (OSError, ValueError):
        temperature_c = None
    try:
        bits = int(next(system.glob(_FIRMWARE)).read_text(), 16)
    except (OSError, ValueError, StopIteration):
        bits = 0
    return Vitals(temperature_c, tuple(sentence for bit, sentence in _NOW.items() if bits >> bit & 1))


class Notifier(Protocol):
    """Something that hands a message to systemd, as `Systemd` does."""

    def notify(self, state: str) -> None: ...


class Systemd:
    """Hands messages to systemd in UTF-8: sdnotify by itself sends Latin-1, and loses what Latin-1 lacks."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def notify(self, state: str) -> None:
        self._notifier.notify(state.encode(errors="replace").decode("latin-1"))


class Heartbeat:
    """Tells systemd how the service is: READY, STATUS, WATCHDOG and STOPPING (sd_notify(3)).

    Without systemd it tells nobody and costs nothing. `system`: where the kernel tells of the board.
    """

    def __init__(self, clock: Clock, notifier: Notifier, system: Path = Path("/sys")) -> None:
        self._clock = clock
        self._notifier = notifier
        self._system = system
        self._last_s: float | None = None
        self._felt_s: float | None = None
        self._vitals = Vitals()

    def vitals(self) -> Vitals:
        """How the board is, read anew every half a minute."""
        now_s = self._clock.now()
        if self._felt_s is None or now_s - self._felt_s >= FEELS_EVERY_S:
            self._vitals, self._felt_s = read_vitals(self._system), now_s
        return self._vitals

    def ready(self) -> None:
        self._notifier.notify("READY=1")

    def beat(self, status: str) -> None:
        """The loop turns. Passed on once a second; a watchdog must allow for a few of those."""
        now_s = self._clock.now()
        if self._last_s is None or now_s - self._last_s >= BEATS_EVERY_S:
            self._last_s = now_s
            self._notifier.notify(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._notifier.notify("STOPPING=1")
