"""LEDs and the buzzer tell what the bin is doing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from device.config import Config, LightsSection
from device.errors import LidError
from device.events import LidState, Signal
from device.lights import BEEP_S, BLINK_S, Lights, lit

PINS = {"thinking": 2, "unsure": 3, "fault": 4, "red": 7, "green": 8, "blue": 9, "buzzer": 10}
CONFIG = Config(lights=LightsSection(**{f"{name}_pin": pin for name, pin in PINS.items()}))
CLOSED: Mapping[str, LidState] = dict.fromkeys(CONFIG.compartments, "closed")


def shown(pins: MockFactory) -> set[str]:
    return {name for name, pin in PINS.items() if pins.pin(pin).state}


@pytest.mark.parametrize(
    ("signal", "lights"),
    [
        ("idle", set()),
        ("thinking", {"thinking", "blue"}),
        ("here", {"green"}),
        ("unsure", {"unsure", "red", "green", "buzzer"}),
        ("fault", {"fault", "red", "buzzer"}),
    ],
)
def test_each_signal_has_its_lights(signal: Signal, lights: set[str]) -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    panel.show(signal, 0.0)
    panel.tick(CLOSED, is_faulty=False, now_s=0.0)
    assert shown(pins) == lights
    panel.close()
    panel.close()


def test_lights_go_off_before_their_pins_are_let_go() -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    panel.show("thinking", 0.0)
    panel.tick(CLOSED, is_faulty=False, now_s=0.0)
    states = pins.pin(PINS["blue"]).states
    panel.close()
    assert [state.state for state in states] == [0, 1, 0]


def test_a_lid_s_led_is_on_while_the_lid_is_not_closed() -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    panel.show("here", 0.0)
    for state, is_on in (("opening", 1), ("open", 1), ("closing", 1), ("closed", 0)):
        panel.tick({**CLOSED, "organic": state}, is_faulty=False, now_s=0.0)
        assert pins.pin(5).state == is_on
        assert pins.pin(6).state == 0


def test_a_faulty_lid_s_led_blinks() -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    for beat in range(6):
        panel.tick({**CLOSED, "organic": "fault"}, is_faulty=True, now_s=beat * BLINK_S)
    assert [state.state for state in pins.pin(5).states] == [0, 1, 0, 1, 0, 1, 0]


def test_unsure_beeps_once_and_a_fault_three_times() -> None:
    def beeps(signal: Signal) -> int:
        sounds = [lit(signal, beat * BEEP_S + 0.01, None, 0.0)["buzzer"] for beat in range(20)]
        return sum(now and not before for before, now in zip([False, *sounds], sounds, strict=False))

    assert (beeps("idle"), beeps("here"), beeps("unsure"), beeps("fault")) == (0, 0, 1, 3)


def test_a_fault_beeps_three_times_as_it_begins_and_not_while_it_stands() -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    panel.show("here", -60.0)
    for beat in range(40):
        panel.tick(CLOSED, is_faulty=2 <= beat < 30, now_s=(beat + 0.01) * BEEP_S)
    assert [state.state for state in pins.pin(PINS["buzzer"]).states] == [0, 1, 0, 1, 0, 1, 0]


def test_a_light_that_could_not_be_driven_once_is_right_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    panel.show("thinking", 0.0)
    panel.tick(CLOSED, is_faulty=False, now_s=0.0)
    with monkeypatch.context() as broken:
        broken.setattr(MockPin, "_set_state", _refuse)
        panel.show("idle", 0.1)
        panel.tick(CLOSED, is_faulty=False, now_s=0.1)
    panel.tick(CLOSED, is_faulty=False, now_s=0.2)
    assert shown(pins) == set()


def test_a_standing_fault_still_blinks_while_the_bin_sorts() -> None:
    assert lit("here", 0.0, 0.0, 0.0)["fault"]
    assert not lit("here", 0.0, 0.0, BLINK_S)["fault"]
    assert lit("here", 0.0, 0.0, BLINK_S)["green"]


def test_a_light_that_cannot_be_driven_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = MockFactory()
    panel = Lights(CONFIG, pins)
    monkeypatch.setattr(MockPin, "_set_state", _refuse)
    panel.show("thinking", 0.0)
    panel.tick(CLOSED, is_faulty=False, now_s=0.0)


def test_a_light_that_cannot_be_driven_is_told_once_until_it_works_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pins, lids = MockFactory(), {**CLOSED, "organic": "fault"}
    panel = Lights(Config(), pins)

    def blink(times: int) -> None:
        for beat in range(times):
            panel.tick(lids, is_faulty=True, now_s=beat * BLINK_S)

    for _ in range(2):
        with monkeypatch.context() as broken:
            broken.setattr(MockPin, "_set_state", _refuse)
            blink(20)
        blink(2)
    assert [record.message for record in caplog.records] == ["The light lid organic cannot be driven (I/O error)."] * 2


def test_a_pin_that_is_in_use_is_refused_until_it_is_let_go() -> None:
    pins = MockFactory()
    first = Lights(CONFIG, pins)
    with pytest.raises(LidError, match="lights cannot use their pins"):
        Lights(CONFIG, pins)
    first.close()
    Lights(CONFIG, pins).close()


def _refuse(*_: object) -> None:
    raise OSError("I/O error")
