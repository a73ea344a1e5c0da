"""The board that the bin runs on: whether it is a Raspberry Pi, and what it says of its heat and its supply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device.clock import Clock

READS_EVERY_S = 30.0
_MODEL = Path("/proc/device-tree/model")
_THERMOMETER = Path("class/thermal/thermal_zone0/temp")
_FIRMWARE = "devices/platform/soc*/*firmware/get_throttled"
_NOW: Mapping[int, str] = {
    0: "The supply's voltage is too low; use the supply made for this Pi, and feed the servos from another.",
    1: "The processor's frequency is capped.",
    2: "The processor is throttled; give the Pi more air.",
    3: "The Pi is near its highest temperature; give it more air.",
}
"""Bits of the firmware's `get_throttled` (Raspberry Pi documentation, `vcgencmd`)."""


def is_raspberry_pi() -> bool:
    """Whether the machine calls itself a Raspberry Pi."""
    try:
        return _MODEL.read_bytes().startswith(b"Raspberry Pi")
    except OSError:
        return False


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


class Board:
    """The board's vitals, read anew every half a minute. `system`: where the kernel tells of them."""

    def __init__(self, clock: Clock, system: Path = Path("/sys")) -> None:
        self._clock = clock
        self._system = system
        self._read_s: float | None = None
        self._vitals = Vitals()

    def vitals(self) -> Vitals:
        now_s = self._clock.now()
        if self._read_s is None or now_s - self._read_s >= READS_EVERY_S:
            self._vitals, self._read_s = read_vitals(self._system), now_s
        return self._vitals
