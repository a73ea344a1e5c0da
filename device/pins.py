"""The one seam between logic and hardware: a gpiozero pin factory, real on the Pi and mock elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from device.board import is_raspberry_pi
from device.config import CompartmentSection
from device.errors import LidError

PinKind = Literal["native", "mock"]
STATES_KEPT = 1000
"""Of a mock pin; a lid that opens and closes takes about a hundred."""
FRAME_MS = 20.0
"""A hobby servo takes a pulse so often."""
NEARLY_MS = 0.02
"""Two degrees: so far a lid may be from closed and press its switch still."""


def default_pins() -> PinKind:
    """Real pins on a Raspberry Pi, mock pins elsewhere."""
    return "native" if is_raspberry_pi() else "mock"


def open_pins(kind: PinKind, lids: Iterable[CompartmentSection] = ()) -> Any:
    """A gpiozero pin factory: `native` drives the Pi's pins through lgpio, `mock` keeps a history of their last states.

    `lids`: those whose switches follow their servos where the pins are mock ones; on a Pi, the lids themselves see to
    that. Raises `LidError` where the machine has no pins to drive.
    """
    if kind == "mock":
        from gpiozero.pins.mock import MockFactory, MockPWMPin

        factory = MockFactory(pin_class=_forgetful(MockPWMPin))
        for lid in lids:
            if lid.switch_pin is not None:
                switch = factory.pin(lid.switch_pin)
                factory.pin(lid.servo_pin, pin_class=_switching(factory.pin_class, lid, switch))
        return factory
    try:
        from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin
    except ImportError as fault:
        raise LidError(
            "Real pins need lgpio, which is not installed: `sudo apt install python3-lgpio`, or, in the "
            "checkout, `pip install -e '.[pi]'`; `--pins mock` runs without a Pi."
        ) from fault
    except OSError as fault:
        raise LidError(
            "lgpio keeps a pipe in the folder in which Pilah is started, and this user may not write there; start "
            "it in another, such as your own."
        ) from fault
    with pin_faults("The Pi's pins cannot be opened ({}): add the user to the group gpio, or use `--pins mock`."):
        factory = LGPIOFactory()
    factory.pin_class = _fine(LGPIOPin)
    return factory


def _forgetful(pin_class: Any) -> Any:
    """gpiozero's mock pin, but that its history does not grow for ever: a bin without a Pi may run for months."""

    class ForgetfulPin(pin_class):  # type: ignore[misc]
        states: Any

        def clear_states(self) -> None:
            super().clear_states()
            self.states = deque(self.states, maxlen=STATES_KEPT)

    return ForgetfulPin


def _switching(pin_class: Any, lid: CompartmentSection, switch: Any) -> Any:
    """A mock servo's pin whose lid follows at once, and presses its switch while it is closed.

    Without pulses the lid stays where it is. A test lets the switch stick by taking its `drive_low` or `drive_high`.
    """

    class SwitchingPin(pin_class):  # type: ignore[misc]
        def _change_state(self, value: float) -> Any:
            if value > 0:
                is_closed = abs(value * FRAME_MS - lid.pulse_ms(lid.closed_deg)) < NEARLY_MS
                (switch.drive_low if is_closed else switch.drive_high)()
            return super()._change_state(value)

    return SwitchingPin


def _fine(pin_class: Any) -> Any:
    """gpiozero's pin for lgpio, but with pulses to the microsecond, and low when it is let go.

    Its own knows only whole percents of a period: of a servo's 20 ms, a percent is 18 degrees. And it stops pulses
    wherever they are, so that one in a few leaves the line high until the servo's next motion.
    """

    class FinePin(pin_class):  # type: ignore[misc]
        _pwm: tuple[float, float] | None
        _is_silent = False

        def _set_state(self, value: float) -> None:
            if self._pwm is None:
                super()._set_state(value)
            else:
                frequency_hz, _ = self._pwm
                self._pwm = frequency_hz, 100 * value
                self._set_frequency(frequency_hz)

        def _set_frequency(self, value: float | None) -> None:
            if self._pwm is None or value:
                super()._set_frequency(value)
                return
            # Pulses of no width from the next period on: the one that is under way ends as it should.
            frequency_hz, _ = self._pwm
            self._pwm = frequency_hz, 0.0
            super()._set_frequency(frequency_hz)
            self._pwm, self._is_silent = None, True

        def close(self) -> None:
            # gpiozero has only the pulses stopped that it knows of.
            if self._is_silent:
                self._pwm, self._is_silent = (1.0, 0.0), False
                super()._set_frequency(None)
            super().close()

    return FinePin


@contextmanager
def pin_faults(sentence: str) -> Iterator[None]:
    """Turn whatever a pin raises into a `LidError` that says `sentence`, with the pin's own words for its `{}`."""
    try:
        yield
    except Exception as fault:  # lgpio's own error derives from Exception itself
        raise LidError(sentence.format(str(fault).rstrip("."))) from fault
