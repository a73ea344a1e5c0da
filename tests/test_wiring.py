"""The drawing of the wiring shows the pins that the default configuration drives."""

from device.config import CompartmentSection, Config
from tests.wiring import DRAWING, HEADER_PINS, drawing


def test_the_drawing_shows_the_default_configuration() -> None:
    assert DRAWING.read_text(encoding="utf-8") == drawing(Config()), "draw it anew: python -m tests.wiring"


def test_another_pin_gives_another_drawing() -> None:
    config = Config(compartments={"residual": CompartmentSection(servo_pin=17)}, materials={"trash": "residual"})
    assert "GPIO17 (pin 11)" in drawing(config)
    assert "GPIO12 (pin 32)" not in drawing(config)


def test_the_pins_that_are_called_free_are_free() -> None:
    page = DRAWING.with_suffix(".md").read_text(encoding="utf-8")
    assert "Four lids leave GPIO 4, 17 and 21–27 free, and 2 and 3" in page
    used = {pin for lid in Config().compartments.values() for pin in (lid.servo_pin, lid.led_pin)}
    assert not used & {2, 3, 4, 17, *range(21, 28)}


def test_every_gpio_has_a_pin_of_its_own() -> None:
    assert sorted(HEADER_PINS) == list(range(2, 28))
    assert len(set(HEADER_PINS.values())) == len(HEADER_PINS)
