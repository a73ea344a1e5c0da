"""The one typed tree of settings. Every key has a default, so an empty file is a working four-lid bin.

What each key means stands in `default.toml`, beside this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, field_validator

from device.config.sections import (
    Cost,
    Degrees,
    Fraction,
    Language,
    Milliseconds,
    Name,
    Pin,
    Probability,
    Seconds,
    Section,
    Switch,
    Wrong,
    must_reach,
)

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]


class ModelSection(Section):
    path: Path | None = None
    threads: Whole = Field(default=0, ge=0, le=64)


class RegionSection(Section):
    """The part of the frame in which the tray lies, as fractions of its width and height."""

    left: Fraction = 0.0
    top: Fraction = 0.0
    right: Fraction = 1.0
    bottom: Fraction = 1.0

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        return [
            Wrong((far,), values[far], f"must exceed {near} ({values[near]}) by at least 0.1, a tenth of the frame")
            for near, far in (("left", "right"), ("top", "bottom"))
            if values[far] - values[near] < 0.1 - 1e-9
        ]


SOURCES = "auto, picamera2, webcam[:N], video:FILE, images:DIR, simulated"
_SOURCE = re.compile(r"auto|picamera2|webcam(:[0-9]{0,3})?|(video|images):.+|simulated", re.DOTALL)
"""Linux has no /dev/video256."""


def is_source(text: str) -> bool:
    """Whether `text` names a frame source; whether that is there is another question."""
    return _SOURCE.fullmatch(text) is not None


class CameraSection(Section):
    source: str = "auto"
    width: Whole = Field(default=640, ge=160, le=4096, multiple_of=2)
    height: Whole = Field(default=480, ge=120, le=4096, multiple_of=2)
    rate_hz: Number = Field(default=15.0, ge=2, le=60)
    distance_m: Number = Field(default=0.35, ge=0.05, le=10)
    mains_hz: Literal[50, 60] = 50
    lost_after_s: Number = Field(default=3.0, ge=0.5, le=60)
    reopen_after_s: Number = Field(default=1.0, ge=0.1, le=60)
    reopen_at_most_s: Number = Field(default=60.0, ge=1, le=3600)
    lies_at_most_s: Number = Field(default=8.0, ge=1, le=600)
    region: RegionSection = RegionSection()

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        wrongs = list(must_reach(values, "reopen_at_most_s", "reopen_after_s"))
        if isinstance(values["source"], str) and not is_source(values["source"]):
            wrongs.append(Wrong(("source",), values["source"], f"must be one of {SOURCES}"))
        if (two_frames_s := 2 / values["rate_hz"]) > values["lost_after_s"]:
            told = f"must be at least the time of two frames at rate_hz, {math.ceil(100 * two_frames_s) / 100:g} s"
            wrongs.append(Wrong(("lost_after_s",), values["lost_after_s"], told))
        return wrongs


class PresenceSection(Section):
    still_s: Seconds = 0.25
    smallest_area: Number = Field(default=0.005, ge=0, le=0.5)
    clear_s: Number = Field(default=0.4, ge=0, le=10)
    forgotten_s: Number = Field(default=120.0, ge=5, le=3600)


class DecisionSection(Section):
    fallback: str = "residual"
    confidence: Probability | None = None
    energy: Number | None = Field(default=None, allow_inf_nan=False)
    frames_at_least: Whole = Field(default=2, ge=1, le=100)
    frames_at_most: Whole = Field(default=8, ge=1, le=100)
    time_limit_s: Seconds = 2.0
    enough: Probability = 0.95
    cost: dict[str, dict[str, Cost]] | None = None

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        return list(must_reach(values, "frames_at_most", "frames_at_least"))


PALETTE = (
    "#68a078",
    "#d08018",
    "#2898f8",
    "#980880",
    "#008898",
    "#4040b8",
    "#905058",
    "#8058e0",
    "#807000",
    "#485800",
)
"""Of lids without a colour, in their order: told apart by who sees no red or no green, on a light and a dark page."""


class CompartmentSection(Section):
    """One lid: its servo, its LED, and how it moves."""

    servo_pin: Pin
    led_pin: Pin | None = None
    colour: str = Field(default="#808080", pattern=r"^#[0-9a-fA-F]{6}$")
    label: dict[Language, str] = Field(default_factory=dict)
    closed_deg: Degrees = 0.0
    open_deg: Degrees = 90.0
    min_angle_deg: Degrees = -90.0
    max_angle_deg: Degrees = 90.0
    min_pulse_ms: Milliseconds = 0.5
    max_pulse_ms: Milliseconds = 2.5
    speed_deg_per_s: Number = Field(default=180.0, ge=5, le=2000)
    hold_s: Seconds = 2.0
    hold_at_most_s: Seconds = 10.0
    switch_pin: Pin | None = None
    button_pin: Pin | None = None

    def pulse_ms(self, angle_deg: float) -> float:
        """How wide the pulses are that send the servo to an angle."""
        part = (angle_deg - self.min_angle_deg) / (self.max_angle_deg - self.min_angle_deg)
        return self.min_pulse_ms + part * (self.max_pulse_ms - self.min_pulse_ms)

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        wrongs = [
            Wrong((high,), values[high], f"must be larger than {low} ({values[low]})")
            for low, high in (("min_angle_deg", "max_angle_deg"), ("min_pulse_ms", "max_pulse_ms"))
            if values[high] <= values[low]
        ]
        low_deg, high_deg = values["min_angle_deg"], values["max_angle_deg"]
        if not wrongs:
            wrongs += [
                Wrong((key,), values[key], f"must lie between min_angle_deg ({low_deg}) and max_angle_deg ({high_deg})")
                for key in ("closed_deg", "open_deg")
                if values[key] < low_deg or values[key] > high_deg
            ]
        if values["open_deg"] == values["closed_deg"]:
            wrongs.append(
                Wrong(("open_deg",), values["open_deg"], "must differ from closed_deg, or the lid never opens")
            )
        return [*wrongs, *must_reach(values, "hold_at_most_s", "hold_s")]


class LightsSection(Section):
    """LEDs and buzzer that tell *thinking, here, unsure, fault* for the whole bin."""

    thinking_pin: Pin | None = None
    unsure_pin: Pin | None = None
    fault_pin: Pin | None = None
    red_pin: Pin | None = None
    green_pin: Pin | None = None
    blue_pin: Pin | None = None
    buzzer_pin: Pin | None = None


class JournalSection(Section):
    path: Path | None = None
    drops_at_most: Whole = Field(default=100_000, ge=100, le=10_000_000)
    thumbnails: Switch = False
    thumbnails_at_most: Whole = Field(default=500, ge=1, le=100_000)

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        path = values["path"]
        names_a_file = not isinstance(path, str | Path) or (Path(path).name and "\0" not in str(path))
        return [] if names_a_file else [Wrong(("path",), str(path), "must name a file")]


class PageSection(Section):
    port: Whole = Field(default=8080, ge=1, le=65535)
    address: str | None = Field(default=None, min_length=1)
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")], ...] = ()


def _default_compartments() -> dict[str, CompartmentSection]:
    return {
        "organic": CompartmentSection(servo_pin=12, led_pin=5, colour="#2e7d32"),
        "recyclable": CompartmentSection(servo_pin=13, led_pin=6, colour="#f9a825"),
        "reuse": CompartmentSection(servo_pin=18, led_pin=16, colour="#1565c0"),
        "residual": CompartmentSection(servo_pin=19, led_pin=20, colour="#616161"),
    }


def _default_materials() -> dict[str, str]:
    recyclable = ("cardboard", "paper", "carton", "glass", "metal", "plastic")
    return {
        "organic": "organic",
        **dict.fromkeys(recyclable, "recyclable"),
        **dict.fromkeys(("textile", "wood"), "reuse"),
        "trash": "residual",
    }


class Config(Section):
    """All settings of one bin."""

    model: ModelSection = ModelSection()
    camera: CameraSection = CameraSection()
    presence: PresenceSection = PresenceSection()
    decision: DecisionSection = DecisionSection()
    compartments: dict[Name, CompartmentSection] = Field(default_factory=_default_compartments, min_length=1)
    materials: dict[Name, str] = Field(default_factory=_default_materials, min_length=1)
    lights: LightsSection = LightsSection()
    journal: JournalSection = JournalSection()
    page: PageSection = PageSection()

    @field_validator("compartments")
    @classmethod
    def _each_has_a_colour(cls, lids: dict[str, CompartmentSection]) -> dict[str, CompartmentSection]:
        return {
            name: lid if "colour" in lid.model_fields_set else lid.model_copy(update={"colour": colour})
            for (name, lid), colour in zip(lids.items(), cycle(PALETTE), strict=False)
        }

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        return [*_strangers(values), *_pins_used_twice(values)]

    def homeless(self, materials: Iterable[str]) -> list[str]:
        """Those of a model's materials that this bin sends nowhere."""
        return [name for name in materials if name not in self.materials]

    def idle_lids(self) -> list[str]:
        """The compartments that open for no waste and by no button; most likely a material was forgotten."""
        wanted = {*self.materials.values(), self.decision.fallback}
        return [name for name, one in self.compartments.items() if name not in wanted and one.button_pin is None]


def _strangers(values: Mapping[str, Any]) -> Iterator[Wrong]:
    """Names of compartments that this bin does not have."""
    known = _table(values, "compartments")
    decision = _table(values, "decision")
    costs = _table(decision, "cost")
    materials, has = _table(values, "materials"), f"it has {', '.join(known)}"
    if materials == _default_materials():  # what was not given is one wrong, not ten
        if missing := [lid for lid in dict.fromkeys(materials.values()) if lid not in known]:
            told = f"not in this bin; {has}: write [materials], with a lid for each of {', '.join(materials)}"
            yield Wrong(("materials",), ", ".join(missing), told)
        materials = {}
    named: list[tuple[tuple[str, ...], Any]] = [(("materials", material), lid) for material, lid in materials.items()]
    named.append((("decision", "fallback"), decision.get("fallback", DecisionSection().fallback)))
    named += [(("decision", "cost", right), right) for right in costs]
    named += [(("decision", "cost", right, opened), opened) for right in costs for opened in _table(costs, right)]
    for right in costs:
        if isinstance(cost := _table(costs, right).get(right), int | float) and cost > 0:
            yield Wrong(("decision", "cost", right, right), cost, "must be 0: the right lid costs nothing")
    for key, compartment in named:
        if isinstance(compartment, str) and compartment not in known:
            yield Wrong(key, compartment, f"is no compartment of this bin; {has}")


def _pins_used_twice(values: Mapping[str, Any]) -> Iterator[Wrong]:
    tables: dict[tuple[str, ...], Any] = {
        ("compartments", name): table for name, table in _table(values, "compartments").items()
    }
    owners: dict[int, str] = {}
    for path, table in {**tables, ("lights",): _table(values, "lights")}.items():
        for name, pin in table.items() if isinstance(table, Mapping) else ():
            if name.endswith("_pin") and isinstance(pin, int):
                key = (*path, name)
                if (owner := owners.setdefault(pin, ".".join(key))) != ".".join(key):
                    yield Wrong(key, pin, f"GPIO{pin} is {owner} already; give each its own pin")


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
