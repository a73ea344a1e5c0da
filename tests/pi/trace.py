"""What the GPIO registers of the emulated board tell: which lid moved, and how wide its pulses were. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Sample = tuple[float, int]
"""Seconds of the board's time, and GPLEV0 at that time: bit N is the level of GPIO N (BCM2835 Peripherals, page 96)."""
PLATEAU = (0.4, 0.7)
"""The part of a lid's cycle in which it is surely open: it opens and closes in the rest."""
LAST_S = 0.3
"""At the end of its cycle a lid gets the pulses of its closed place, at least so long."""


@dataclass(frozen=True)
class Cycle:
    """One time that a lid's LED was on: the lid opened, held and closed.

    `compartment`: the LED's; `from_s`, `to_s`: when it was on.
    """

    compartment: str
    from_s: float
    to_s: float


def cycles(samples: Sequence[Sample], led_pins: Mapping[str, int]) -> list[Cycle]:
    """Every whole cycle of a lid that served, in the order of their beginnings, in a trace from before the start.

    The first time that its LED is on, a lid is only sent home; how long depends on whether the model looks meanwhile.
    """
    found = [
        Cycle(compartment, from_s, to_s)
        for compartment, pin in led_pins.items()
        for from_s, to_s in itertools.islice(_high(samples, pin), 1, None)
    ]
    return sorted(found, key=lambda cycle: cycle.from_s)


def _high(samples: Sequence[Sample], pin: int) -> Iterator[tuple[float, float]]:
    since_s: float | None = None
    for time_s, word in samples:
        if word >> pin & 1:
            since_s = time_s if since_s is None else since_s
        elif since_s is not None:
            yield since_s, time_s
            since_s = None


def until_dark(samples: Sequence[Sample], pin: int) -> list[Sample]:
    """The samples until a light that comes on in them is off again; all of them where none does both."""
    for since_s, until_s in _high(samples, pin):
        if since_s > samples[0][0]:
            return [sample for sample in samples if sample[0] < until_s]
    return list(samples)


def pulse_ms(samples: Sequence[Sample], pin: int, from_s: float, to_s: float) -> float:
    """The median of the widths of the pin's pulses; 0.0 without pulses.

    While nothing happens on the board, its clock as read from outside stands at what happened last: the first read
    that is high has the time of the rise, and the first that is low has that of the fall. Where this machine is busy
    and reads are missed, single pulses come out too long or too short, and the median as it is.
    """
    widths_ms = list(_widths_ms([sample for sample in samples if from_s <= sample[0] <= to_s], pin))
    return statistics.median(widths_ms) if widths_ms else 0.0


def _widths_ms(samples: Sequence[Sample], pin: int) -> Iterator[float]:
    """Each whole pulse's width."""
    rose_s: float | None = None
    for (_, before), (time_s, word) in itertools.pairwise(samples):
        was_high, is_high = before >> pin & 1, word >> pin & 1
        if is_high and not was_high:
            rose_s = time_s
        elif was_high and not is_high and rose_s is not None:
            yield 1000 * (time_s - rose_s)
            rose_s = None


def open_and_closed_ms(samples: Sequence[Sample], pin: int, cycle: Cycle) -> tuple[float, float]:
    """The widths of a servo's pulses while the lid was open, and at the end of its cycle."""
    whole_s = cycle.to_s - cycle.from_s
    from_s, to_s = (cycle.from_s + part * whole_s for part in PLATEAU)
    return pulse_ms(samples, pin, from_s, to_s), pulse_ms(samples, pin, cycle.to_s - LAST_S, cycle.to_s)


def moved(samples: Sequence[Sample], servo_pins: Sequence[int], from_s: float, to_s: float) -> set[int]:
    """The servos' pins that had any pulse in that time."""
    seen = 0
    for time_s, word in samples:
        if from_s <= time_s <= to_s:
            seen |= word
    return {pin for pin in servo_pins if seen >> pin & 1}
