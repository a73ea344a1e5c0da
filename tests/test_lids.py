"""Lids open and close softly, know when they are stuck, and never jump."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin
from hypothesis import given
from hypothesis import strategies as st

from device.clock import ManualClock
from device.config import CompartmentSection
from device.errors import LidError
from device.lids import HOMES_S, LATE_S, RETRIES, SETTLE_S, Lid, close_all
from device.motion import Motion
from device.pins import open_pins

SERVO, SWITCH, BUTTON = 12, 23, 24


def mock_pins() -> MockFactory:
    return MockFactory(pin_class=MockPWMPin)


def make_lid(pins: MockFactory, **settings: Any) -> Lid:
    return Lid("organic", CompartmentSection(servo_pin=SERVO, **settings), pins)


def run(lid: Lid, clock: ManualClock, for_s: float = 10.0) -> None:
    """Tick 50 times a second until the lid stands still."""
    until_s = clock.now() + for_s
    while lid.is_moving and clock.now() < until_s:
        lid.tick(clock.now())
        clock.sleep(0.02)
    assert not lid.is_moving


def pulses_ms(pins: MockFactory, pin: int = SERVO) -> list[float]:
    """Every pulse width that the servo was sent, in order."""
    return [round(state.state * 20, 3) for state in pins.pin(pin).states if state.state > 0]


def test_a_new_lid_sends_no_pulse() -> None:
    pins = mock_pins()
    with make_lid(pins):
        assert pins.pin(SERVO).frequency is None
        assert pulses_ms(pins) == []


def test_coming_home_sends_only_the_pulse_of_the_closed_position_then_lets_go() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, closed_deg=-45) as lid:
        lid.home(clock.now())
        run(lid, clock)
        assert lid.state == "closed"
        assert set(pulses_ms(pins)) == {1.0}
        assert pins.pin(SERVO).frequency is None


def test_a_lid_that_was_left_open_has_time_to_fall_before_it_is_let_go() -> None:
    with make_lid(mock_pins()) as lid:
        lid.home(0.0)
        assert lid.tick(HOMES_S - 0.01) is None
        assert lid.tick(HOMES_S + 0.01) == "closed"


def test_a_servo_is_trusted_to_have_arrived_a_moment_after_its_last_pulse() -> None:
    with make_lid(mock_pins()) as lid:
        lid.open(0.0)
        end_s = Motion.at_speed(0, 90, 0.0, lid.settings.speed_deg_per_s).end_s
        for turn in range(51):
            lid.tick(turn / 50 * end_s)
        assert lid.tick(end_s + SETTLE_S - 0.01) is None
        assert lid.tick(end_s + SETTLE_S) == "open"


def test_opening_sweeps_from_closed_to_open_and_keeps_holding() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        assert lid.state == "opening"
        run(lid, clock)
        widths = pulses_ms(pins)
        assert (lid.state, lid.angle_deg) == ("open", 90)
        assert (widths[0], widths[-1]) == (1.5, 2.5)
        assert widths == sorted(widths)
        assert pins.pin(SERVO).frequency == 50


def test_closing_ends_where_it_began_and_stops_the_pulses() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        run(lid, clock)
        lid.close(clock.now())
        run(lid, clock)
        assert (lid.state, lid.angle_deg) == ("closed", None)
        assert pulses_ms(pins)[-1] == 1.5
        assert pins.pin(SERVO).frequency is None


def test_a_lid_that_opens_the_other_way_round_gets_shorter_pulses() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, closed_deg=30, open_deg=-60, min_pulse_ms=1.0, max_pulse_ms=2.0) as lid:
        lid.open(clock.now())
        run(lid, clock)
        widths = pulses_ms(pins)
        assert (widths[0], widths[-1]) == (pytest.approx(1.667), pytest.approx(1.167))


@given(st.floats(-180, -1).map(lambda deg: round(deg, 1)), st.floats(1, 180).map(lambda deg: round(deg, 1)))
def test_a_lid_may_open_as_far_as_its_servo_turns(least_deg: float, most_deg: float) -> None:
    pins, clock = mock_pins(), ManualClock()
    settings = {"min_angle_deg": least_deg, "max_angle_deg": most_deg, "closed_deg": least_deg, "open_deg": most_deg}
    with make_lid(pins, **settings) as lid:
        lid.open(clock.now())
        run(lid, clock)
        assert (lid.state, pulses_ms(pins)[0], pulses_ms(pins)[-1]) == ("open", 0.5, 2.5)


def test_a_lid_told_to_close_while_it_opens_turns_back_from_where_it_is() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        clock.sleep(0.4)
        lid.tick(clock.now())
        half_way = pulses_ms(pins)[-1]
        lid.close(clock.now())
        run(lid, clock)
        assert lid.state == "closed"
        assert 1.5 < max(pulses_ms(pins)) == half_way < 2.5


def test_a_lid_that_nobody_follows_for_a_while_goes_on_from_where_it_is_and_is_not_let_go_on_its_way() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        run(lid, clock)
        lid.close(clock.now())
        for _ in range(20):
            lid.tick(clock.now())
            clock.sleep(0.02)
        before_deg = lid.angle_deg
        clock.sleep(60)
        assert lid.tick(clock.now()) is None
        assert lid.angle_deg == pytest.approx(before_deg, abs=180 * (LATE_S + 0.02))
        run(lid, clock)
        assert (lid.state, pulses_ms(pins)[-1]) == ("closed", 1.5)


@given(st.floats(-90, 90), st.floats(-90, 90), st.floats(10, 2000), st.lists(st.floats(0, 30), min_size=2, max_size=20))
def test_no_motion_exceeds_its_top_speed_or_leaves_its_way(
    from_deg: float, to_deg: float, speed: float, times: list[float]
) -> None:
    motion = Motion.at_speed(from_deg, to_deg, 0.0, speed)
    times = sorted(times)
    angles = [motion.angle_deg(time_s) for time_s in times]
    low, high = sorted((from_deg, to_deg))
    assert all(low - 1e-9 <= angle <= high + 1e-9 for angle in angles)
    for (t0, a0), (t1, a1) in pairwise(zip(times, angles, strict=True)):
        assert abs(a1 - a0) <= speed * (t1 - t0) + 1e-6
    assert motion.angle_deg(motion.end_s) == to_deg


def test_opening_starts_and_ends_softly() -> None:
    motion = Motion.at_speed(0, 90, 0.0, 180)
    early = motion.angle_deg(0.02)
    late = 90 - motion.angle_deg(motion.end_s - 0.02)
    assert early < 0.25
    assert late < 0.25
    assert motion.angle_deg(motion.end_s / 2) == pytest.approx(45)


def test_a_switch_that_agrees_lets_the_lid_be() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        lid.open(clock.now())
        run(lid, clock)
        assert lid.state == "open"
        pins.pin(SWITCH).drive_low()
        lid.close(clock.now())
        run(lid, clock)
        assert (lid.state, lid.fault) == ("closed", None)


def test_a_lid_that_does_not_close_tries_again_then_gives_up_and_says_so() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        lid.open(clock.now())
        run(lid, clock)
        lid.close(clock.now())
        run(lid, clock, for_s=30)
        assert lid.state == "fault"
        assert lid.fault == "The lid organic does not close; look for what blocks it."
        assert [width for width, _ in groupby(pulses_ms(pins))].count(2.5) == 1 + RETRIES
        assert pins.pin(SERVO).frequency is None


def test_a_lid_that_does_not_open_is_sent_back_to_closed_before_it_gives_up() -> None:
    pins, clock = mock_pins(), ManualClock()
    pins.pin(SWITCH).drive_low()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        pins.pin(SWITCH).drive_low()
        lid.open(clock.now())
        run(lid, clock, for_s=30)
        assert (lid.state, lid.fault) == ("fault", "The lid organic does not open; look for what blocks it.")
        assert pulses_ms(pins)[-1] == 1.5


def test_a_lid_that_was_freed_between_two_tries_goes_on() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        lid.open(clock.now())
        run(lid, clock)
        lid.close(clock.now())
        while lid.angle_deg != 0:
            lid.tick(clock.now())
            clock.sleep(0.02)
        clock.sleep(SETTLE_S)
        lid.tick(clock.now())
        pins.pin(SWITCH).drive_low()
        run(lid, clock)
        assert (lid.state, lid.fault) == ("closed", None)


def test_a_faulty_lid_may_be_told_to_close_again() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        lid.home(clock.now())
        run(lid, clock, for_s=30)
        assert lid.state == "fault"
        pins.pin(SWITCH).drive_low()
        lid.close(clock.now())
        run(lid, clock)
        assert (lid.state, lid.fault) == ("closed", None)


def test_a_servo_that_cannot_be_driven_is_a_fault_of_its_lid(monkeypatch: pytest.MonkeyPatch) -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        with monkeypatch.context() as patch:
            patch.setattr(MockPWMPin, "_set_state", _refuse)
            assert lid.tick(clock.now()) == "fault"
        assert lid.fault is not None
        assert "I/O error" in lid.fault


def test_a_servo_that_cannot_be_let_go_is_a_fault_of_its_lid_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.home(clock.now())
        with monkeypatch.context() as patch:
            patch.setattr(MockPWMPin, "_set_frequency", _refuse_to_stop)
            run(lid, clock)
        assert (lid.state, pins.pin(SERVO).frequency) == ("fault", 50)
        assert lid.fault is not None and "I/O error" in lid.fault
        lid.close(clock.now())
        run(lid, clock)
        assert (lid.state, lid.fault, pins.pin(SERVO).frequency) == ("closed", None, None)


def test_all_lids_close_in_time_on_the_way_out_however_slow_they_are() -> None:
    pins, clock = mock_pins(), ManualClock()
    slow = Lid("slow", CompartmentSection(servo_pin=12, speed_deg_per_s=5), pins)
    stuck = Lid("stuck", CompartmentSection(servo_pin=13, switch_pin=SWITCH), pins)
    with slow, stuck:
        slow.open(0.0)
        stuck.open(0.0)
        clock.sleep(60)
        slow.tick(clock.now())
        stuck.tick(clock.now())
        begun_s = clock.now()
        close_all([slow, stuck], clock, within_s=0.8)
        assert clock.now() - begun_s <= 1.3
        assert (slow.state, stuck.state) == ("closed", "closed")
        assert pulses_ms(pins, 12)[-1] == pulses_ms(pins, 13)[-1] == 1.5


def test_a_slow_lid_that_closes_already_is_hurried_on_the_way_out() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, speed_deg_per_s=5) as lid:
        lid.home(clock.now())
        run(lid, clock)
        lid.open(clock.now())
        run(lid, clock, for_s=60)
        lid.close(clock.now())
        close_all([lid], clock, within_s=0.8)
        assert lid.state == "closed" and pulses_ms(pins)[-1] == 1.5


def test_a_lid_that_was_not_yet_sent_home_is_sent_on_the_way_out() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        close_all([lid], clock, within_s=0.8)
        assert lid.state == "closed" and 1.5 in pulses_ms(pins, 12)


def test_a_lid_that_is_closed_does_not_stir_on_the_way_out() -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.home(clock.now())
        run(lid, clock)
        before = pulses_ms(pins)
        close_all([lid], clock, within_s=0.8)
        assert pulses_ms(pins) == before


def test_a_mock_lid_presses_its_switch_while_it_is_closed_as_a_real_one_does() -> None:
    settings, clock = CompartmentSection(servo_pin=SERVO, switch_pin=SWITCH, closed_deg=-45), ManualClock()
    with open_pins("mock", [settings]) as pins, Lid("organic", settings, pins) as lid:
        lid.home(clock.now())
        run(lid, clock)
        assert (lid.state, pins.pin(SWITCH).state) == ("closed", 0)
        lid.open(clock.now())
        run(lid, clock)
        assert (lid.state, pins.pin(SWITCH).state) == ("open", 1)
        lid.close(clock.now())
        run(lid, clock)
        assert (lid.state, lid.fault) == ("closed", None)


def test_a_mock_lid_s_switch_may_stick_as_a_real_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, clock = CompartmentSection(servo_pin=SERVO, switch_pin=SWITCH), ManualClock()
    with open_pins("mock", [settings]) as pins, Lid("organic", settings, pins) as lid:
        lid.open(clock.now())
        run(lid, clock)
        monkeypatch.setattr(pins.pin(SWITCH), "drive_low", lambda: None)
        lid.close(clock.now())
        run(lid, clock, for_s=30)
        assert lid.fault == "The lid organic does not close; look for what blocks it."


def test_a_button_tells_whether_the_lid_is_held() -> None:
    pins = mock_pins()
    with make_lid(pins, button_pin=BUTTON) as lid:
        assert not lid.is_held
        pins.pin(BUTTON).drive_low()
        assert lid.is_held


def test_a_pin_used_twice_is_refused_with_the_lid_s_name() -> None:
    pins = mock_pins()
    with make_lid(pins), pytest.raises(LidError, match=r"lid organic cannot use its pins.*GPIO12"):
        make_lid(pins)


def test_letting_go_twice_is_fine() -> None:
    lid = make_lid(mock_pins())
    lid.release()
    lid.release()


def test_pins_that_were_let_go_are_free_for_another() -> None:
    pins = mock_pins()
    lid = make_lid(pins, switch_pin=SWITCH, button_pin=BUTTON)
    lid.release()
    make_lid(pins, switch_pin=SWITCH, button_pin=BUTTON).release()


def test_a_lid_whose_switch_cannot_be_read_is_closed_before_it_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins, switch_pin=SWITCH) as lid:
        monkeypatch.setattr(pins.pin(SWITCH), "_get_state", _refuse)
        lid.open(clock.now())
        run(lid, clock)
        assert lid.state == "fault" and "I/O error" in str(lid.fault)
        assert (max(pulses_ms(pins)), pulses_ms(pins)[-1], pins.pin(SERVO).frequency) == (2.5, 1.5, None)


def test_a_lid_whose_servo_fails_for_a_moment_is_closed_before_it_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    pins, clock = mock_pins(), ManualClock()
    with make_lid(pins) as lid:
        lid.open(clock.now())
        while (lid.angle_deg or 0) < 60:
            lid.tick(clock.now())
            clock.sleep(0.02)
        with monkeypatch.context() as patch:
            fails = iter([_refuse])
            set_state = pins.pin(SERVO)._set_state
            patch.setattr(pins.pin(SERVO), "_set_state", lambda value: next(fails, set_state)(value))
            run(lid, clock)
        assert (lid.state, pulses_ms(pins)[-1], pins.pin(SERVO).frequency) == ("fault", 1.5, None)


def _refuse_to_stop(pin: MockPWMPin, frequency_hz: float | None) -> None:
    if frequency_hz is None:
        _refuse()
    pin._frequency = frequency_hz


def _refuse(*_: object) -> None:
    raise OSError("I/O error")
