"""The emulated Pi's registers are read right: checked on a trace that is made up, with known pulses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.pi.trace import Cycle, Sample, cycles, moved, open_and_closed_ms, pulse_ms, until_dark

SERVO, LED, STEP_S = 12, 5, 0.0003


def a_trace(width_ms: Callable[[float], float], is_lit: Callable[[float], bool], length_s: float) -> list[Sample]:
    """A servo's pulses every 20 ms, read once in 0.3 ms, and its LED."""
    samples = []
    for index in range(int(length_s / STEP_S)):
        time_s = index * STEP_S
        is_high = time_s % 0.02 < width_ms(time_s) / 1000
        samples.append((time_s, is_high << SERVO | is_lit(time_s) << LED))
    return samples


@pytest.fixture(scope="module")
def opened() -> list[Sample]:
    """Home for 0.5 s, then from second 2 open for 6 s, of which the first and the last second move."""

    def width_ms(time_s: float) -> float:
        if time_s < 0.5 or 7 <= time_s < 8:
            return 1.5
        return 2.5 if 2 <= time_s < 7 else 0.0

    return a_trace(width_ms, lambda time_s: time_s < 0.5 or 2 <= time_s < 8, 9)


def test_a_lid_that_goes_home_has_served_nobody(opened: list[Sample]) -> None:
    (cycle,) = cycles(opened, {"organic": LED})
    assert cycle.compartment == "organic"
    assert cycle.from_s == pytest.approx(2, abs=0.01)
    assert cycle.to_s == pytest.approx(8, abs=0.01)


def test_open_and_closed_pulses_are_told_apart(opened: list[Sample]) -> None:
    open_ms, closed_ms = open_and_closed_ms(opened, SERVO, Cycle("organic", 2, 8))
    assert open_ms == pytest.approx(2.5, abs=0.2)
    assert closed_ms == pytest.approx(1.5, abs=0.2)


def test_reads_that_are_missed_now_and_then_change_no_width(opened: list[Sample]) -> None:
    some = [sample for sample in opened if int(sample[0] / 0.004) % 7]
    open_ms, closed_ms = open_and_closed_ms(some, SERVO, Cycle("organic", 2, 8))
    assert open_ms == pytest.approx(2.5, abs=0.2)
    assert closed_ms == pytest.approx(1.5, abs=0.2)


def test_what_comes_after_a_light_that_came_on_is_cut_off(opened: list[Sample]) -> None:
    assert until_dark(opened, LED)[-1][0] == pytest.approx(8, abs=0.01), "it was on from the first sample to 0.5 s"
    assert until_dark(opened[:20000], LED) == opened[:20000], "on since second 2, and not off yet"


def test_a_servo_on_another_pin_has_no_pulses(opened: list[Sample]) -> None:
    assert pulse_ms(opened, 13, 2, 8) == 0.0
    assert moved(opened, (SERVO, 13), 2, 8) == {SERVO}
    assert moved(opened, (SERVO, 13), 0.6, 1.9) == set()
