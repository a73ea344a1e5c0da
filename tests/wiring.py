"""Draws docs/wiring.svg from the default configuration: `python -m tests.wiring`."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from device.config import CompartmentSection, Config

DRAWING = Path(__file__).parent.parent / "docs" / "wiring.svg"
HEADER_PINS = {
    2: 3, 3: 5, 4: 7, 5: 29, 6: 31, 7: 26, 8: 24, 9: 21, 10: 19, 11: 23, 12: 32, 13: 33, 14: 8, 15: 10, 16: 36, 17: 11,
    18: 12, 19: 35, 20: 38, 21: 40, 22: 15, 23: 16, 24: 18, 25: 22, 26: 37, 27: 13,
}  # fmt: skip
"""GPIO number → pin of the 40-pin header, the same on every Pi with that header."""
GROUND_PINS = (6, 9, 14, 20, 25, 30, 34, 39)
SUPPLY_PINS = {1: "3V3", 2: "5V", 4: "5V", 17: "3V3"}
GROUND = "#212121"
PLUS = "#c62828"
SIGNAL = "#ef6c00"
PLUS_X, GROUND_X = 830, 880
FIRST_Y, EACH_Y = 112, 112


def drawing(config: Config) -> str:
    """The whole picture as SVG."""
    rows = list(config.compartments.items())
    bottom = FIRST_Y + EACH_Y * len(rows)
    parts = [
        *_header(config),
        *_pi(bottom),
        *_rails(bottom),
        *(part for index, (name, lid) in enumerate(rows) for part in _lid(name, lid, FIRST_Y + EACH_Y * index)),
        *_supplies(bottom),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 {bottom + 150}" font-family="system-ui, sans-serif" '
        'font-size="14" role="img" aria-label="Wiring: each servo has its signal from the Pi and its current from a '
        'supply of its own; both supplies share one ground">\n'
        f'  <rect width="980" height="{bottom + 150}" fill="#fafafa"/>\n  ' + "\n  ".join(parts) + "\n</svg>\n"
    )


def _header(config: Config) -> list[str]:
    """The 40 pins as seen from above, those in use in the colour of their lid."""
    uses = {}
    for lid in config.compartments.values():
        uses[HEADER_PINS[lid.servo_pin]] = lid.colour
        if lid.led_pin is not None:
            uses[HEADER_PINS[lid.led_pin]] = lid.colour
    parts = [
        _text(100, 40, "header, seen from above", size=13, colour="#37474f", anchor="middle"),
        _box(64, 54, 72, 534),
    ]
    for pin in range(1, 41):
        is_even = pin % 2 == 0
        x, y = (114, 74 + 26 * ((pin - 1) // 2)) if is_even else (86, 74 + 26 * ((pin - 1) // 2))
        fill = GROUND if pin == GROUND_PINS[0] else uses.get(pin, "#ffffff")
        parts.append(f'<circle cx="{x}" cy="{y}" r="10" fill="{fill}" stroke="#90a4ae"/>')
        parts.append(_text(x, y + 4, str(pin), size=10, colour=_on(fill), anchor="middle"))
        label = SUPPLY_PINS.get(pin) or ("GND" if pin in GROUND_PINS else "")
        if label or pin in uses:
            gpio = next((f"GPIO{number}" for number, at in HEADER_PINS.items() if at == pin), label)
            parts.append(_text(144 if is_even else 56, y + 4, gpio, 11, "#546e7a", "start" if is_even else "end"))
    return [*parts, _text(170, 92, "no servo", 11, PLUS), _text(170, 105, "here!", 11, PLUS)]


def _pi(bottom: int) -> list[str]:
    return [
        _box(240, 54, 170, bottom + 10, fill="#e8f5e9", stroke="#2e7d32"),
        _text(325, 76, "Raspberry Pi", 15, "#1b5e20", "middle", bold=True),
        _text(398, bottom + 24, f"GND (pin {GROUND_PINS[0]})", anchor="end"),
        _line(f"M410 {bottom + 20}H{GROUND_X}", GROUND),
        _dot(GROUND_X, bottom + 20),
        _text(600, bottom + 12, "common ground: without it no servo obeys", 13, GROUND, bold=True, anchor="middle"),
    ]


def _rails(bottom: int) -> list[str]:
    """Plus and ground of the servos' supply, with the capacitor that starting servos drink from."""
    middle = (PLUS_X + GROUND_X) // 2
    return [
        _line(f"M{PLUS_X} 60V{bottom + 60}", PLUS, 3),
        _line(f"M{GROUND_X} 60V{bottom + 60}", GROUND, 3),
        _line(f"M{PLUS_X} 60H{middle - 4}", PLUS),
        _line(f"M{middle + 4} 60H{GROUND_X}", GROUND),
        _line(f"M{middle - 4} 48v24", PLUS, 3),
        _line(f"M{middle + 4} 48v24", GROUND, 3),
        _text(middle, 38, "1000 µF, 10 V", 12, "#37474f", "middle"),
    ]


def _lid(name: str, lid: CompartmentSection, y: int) -> list[str]:
    """One row: the servo with its three cables, and the LED with its resistor."""
    parts = [
        _text(398, y + 4, f"GPIO{lid.servo_pin} (pin {HEADER_PINS[lid.servo_pin]})", anchor="end"),
        _line(f"M410 {y}H560", SIGNAL),
        _text(485, y - 6, "signal", 11, SIGNAL, "middle"),
        _box(560, y - 22, 170, 46, stroke=lid.colour),
        f'<circle cx="584" cy="{y}" r="12" fill="{lid.colour}"/>',
        f'<path d="M584 {y}l14 -14" stroke="{lid.colour}" stroke-width="5" stroke-linecap="round"/>',
        _text(606, y + 5, f"servo {escape(name)}"),
        _line(f"M730 {y - 10}H{PLUS_X}", PLUS),
        _dot(PLUS_X, y - 10, PLUS),
        _text(776, y - 15, "red", 11, PLUS, "middle"),
        _line(f"M730 {y + 12}H{GROUND_X}", GROUND),
        _dot(GROUND_X, y + 12),
        _text(776, y + 25, "brown", 11, "#5d4037", "middle"),
    ]
    if lid.led_pin is None:
        return parts
    led_y = y + 50
    return [
        *parts,
        _text(398, led_y + 4, f"GPIO{lid.led_pin} (pin {HEADER_PINS[lid.led_pin]})", anchor="end"),
        _line(f"M410 {led_y}H574", lid.colour),
        _line(f"M595 {led_y}H{GROUND_X}", GROUND),
        _box(470, led_y - 8, 52, 16, radius=2),
        _text(496, led_y + 4, "330 Ω", 11, "#37474f", "middle"),
        f'<path d="M574 {led_y - 11}v22l20 -11z" fill="{lid.colour}"/>',
        _line(f"M595 {led_y - 11}v22", GROUND, 3),
        _text(606, led_y - 5, f"LED {escape(name)}, long leg left", 12),
        _dot(GROUND_X, led_y),
    ]


def _supplies(bottom: int) -> list[str]:
    return [
        _box(742, bottom + 60, 226, 66, stroke=PLUS),
        _text(PLUS_X, bottom + 78, "+", 17, PLUS, "middle", bold=True),
        _text(GROUND_X, bottom + 78, "−", 17, GROUND, "middle", bold=True),
        _text(855, bottom + 96, "servos' supply", 14, PLUS, "middle", bold=True),
        _text(855, bottom + 114, "5 V, at least 4 A", 12, "#37474f", "middle"),
        _box(240, bottom + 92, 170, 42),
        _text(325, bottom + 110, "the Pi's own supply", 13, "#37474f", "middle"),
        _text(325, bottom + 126, "5 V by its USB socket", 11, "#37474f", "middle"),
        _line(f"M325 {bottom + 92}v-28", PLUS, 3),
        _box(480, bottom + 60, 130, 46),
        _text(545, bottom + 79, "camera", 13, "#37474f", "middle"),
        _text(545, bottom + 95, "ribbon to CAM", 11, "#37474f", "middle"),
        _line(f"M410 {bottom + 50}H450V{bottom + 83}H480", "#90a4ae", 7),
    ]


def _on(fill: str) -> str:
    """Black or white, whichever is read better on that colour (relative luminance)."""
    red, green, blue = (int(fill[at : at + 2], 16) for at in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def _text(
    x: int, y: int, text: str, size: int = 14, colour: str = "#212121", anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>{text}</text>'


def _line(path: str, colour: str, width: float = 2) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _dot(x: int, y: int, colour: str = GROUND) -> str:
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>'


def _box(
    x: int, y: int, width: int, height: int, fill: str = "#ffffff", stroke: str = "#90a4ae", radius: int = 8
) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="1.6"/>'
    )


if __name__ == "__main__":
    DRAWING.write_text(drawing(Config()), encoding="utf-8")
