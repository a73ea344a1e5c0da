"""What lgpio is told on a real Pi, with lgpio itself played, which drives nothing here; and what mock pins remember."""

from __future__ import annotations

import sys
import types
from typing import Any
from unittest.mock import MagicMock

import pytest

from device.config import CompartmentSection
from device.errors import LidError
from device.lids import open_servo
from device.pins import STATES_KEPT, open_pins


def test_a_mock_pin_remembers_its_last_motions_and_no_more() -> None:
    with open_pins("mock") as pins, open_servo(CompartmentSection(servo_pin=12), pins) as servo:
        for _ in range(5 * STATES_KEPT):
            servo.angle = 90
            servo.angle = 0
        assert len(pulses_ms(pins)) == STATES_KEPT
        assert pulses_ms(pins)[-2:] == [2.5, 1.5]
        pins.pin(12).clear_states()
        servo.angle = 90
        assert pulses_ms(pins) == [1.5, 2.5]


def pulses_ms(pins: Any) -> list[float]:
    return [round(state.state * 20, 3) for state in pins.pin(12).states]


@pytest.fixture
def lgpio(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """lgpio on a Pi 3 B."""
    played = MagicMock()
    monkeypatch.setitem(sys.modules, "lgpio", played)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    monkeypatch.setattr("gpiozero.pins.local.LocalPiFactory._get_revision", lambda _: 0xA02082)
    return played


@pytest.mark.parametrize(("angle_deg", "pulse_ms"), [(0, 1.5), (33, 1.867), (90, 2.5)])
def test_a_servo_gets_the_pulse_of_its_angle_to_the_microsecond(
    lgpio: MagicMock, angle_deg: float, pulse_ms: float
) -> None:
    with open_pins("native") as pins, open_servo(CompartmentSection(servo_pin=12), pins) as servo:
        servo.angle = angle_deg
        _, pin, frequency_hz, duty_percent = lgpio.tx_pwm.call_args.args
    assert pin == 12
    assert duty_percent / 100 / frequency_hz * 1000 == pytest.approx(pulse_ms, abs=0.001)


def test_a_servo_that_is_let_go_keeps_its_line_low(lgpio: MagicMock) -> None:
    with open_pins("native") as pins, open_servo(CompartmentSection(servo_pin=12), pins) as servo:
        servo.angle = 90
        servo.angle = None
        _, _, frequency_hz, duty_percent = lgpio.tx_pwm.call_args.args
        assert (frequency_hz, duty_percent) == (50, 0)
        assert servo.angle is None
        servo.angle = 90
        assert lgpio.tx_pwm.call_args.args[3] == pytest.approx(12.5)
        servo.angle = None
    assert lgpio.tx_pwm.call_args.args[2:] == (0, 0)


@pytest.mark.parametrize(
    ("fault", "says"), [(ImportError(), "sudo apt install python3-lgpio"), (OSError(), "start it in another")]
)
def test_pins_that_cannot_be_had_are_told_with_the_mend(
    fault: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lgpio(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise fault

    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", Lgpio("lgpio"))
    with pytest.raises(LidError, match=says):
        open_pins("native")
