"""The one typed tree of settings, read from one TOML file.

Every key has a default, so an empty file is a working four-lid bin. What the file says wrong is told all at once,
each with its key, its value and what is allowed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from device.errors import ConfigError

DEFAULT_PATH = Path("/etc/pilah/pilah.toml")

Pin = Annotated[int, Field(ge=0, le=27)]
"""A GPIO number as Broadcom counts (GPIO17 is 17)."""
Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    path: Path | None = None
    threads: int = Field(default=0, ge=0, le=64)


class RegionSection(_Section):
    """The part of the frame in which the tray lies, as fractions of its width and height."""

    left: Fraction = 0.0
    top: Fraction = 0.0
    right: Fraction = 1.0
    bottom: Fraction = 1.0

    @model_validator(mode="after")
    def _not_empty(self) -> RegionSection:
        if self.right - self.left < 0.1 or self.bottom - self.top < 0.1:
            raise ValueError("the region is narrower than a tenth of the frame; right/bottom must exceed left/top")
        return self


class CameraSection(_Section):
    source: str = "auto"
    width: int = Field(default=640, ge=160, le=4096)
    height: int = Field(default=480, ge=120, le=4096)
    rate_hz: float = Field(default=15.0, ge=1, le=60)
    lost_after_s: float = Field(default=3.0, ge=0.5, le=60)
    reopen_after_s: float = Field(default=1.0, ge=0.1, le=60)
    reopen_at_most_s: float = Field(default=60.0, ge=1, le=3600)
    region: RegionSection = RegionSection()


class PresenceSection(_Section):
    still_s: Seconds = 0.25
    smallest_area: Fraction = 0.005
    clear_s: Seconds = 0.4
    forgotten_s: Seconds = 120.0


class DecisionSection(_Section):
    fallback: str = "residual"
    confidence: Probability | None = None
    energy: float | None = None
    frames_at_least: int = Field(default=2, ge=1, le=100)
    frames_at_most: int = Field(default=8, ge=1, le=100)
    time_limit_s: Seconds = 2.0
    enough: Probability = 0.95
    cost: dict[str, dict[str, float]] | None = None

    @model_validator(mode="after")
    def _frames_in_order(self) -> DecisionSection:
        if self.frames_at_most < self.frames_at_least:
            raise ValueError("frames_at_most is smaller than frames_at_least")
        return self


class CompartmentSection(_Section):
    """One lid: its servo, its LED, and how it moves."""

    servo_pin: Pin
    led_pin: Pin | None = None
    colour: str = Field(default="#808080", pattern=r"^#[0-9a-fA-F]{6}$")
    label: dict[str, str] = {}
    closed_deg: float = Field(default=0.0, ge=-180, le=180)
    open_deg: float = Field(default=90.0, ge=-180, le=180)
    min_angle_deg: float = Field(default=-90.0, ge=-180, le=180)
    max_angle_deg: float = Field(default=90.0, ge=-180, le=180)
    min_pulse_ms: float = Field(default=0.5, ge=0.3, le=3)
    max_pulse_ms: float = Field(default=2.5, ge=0.3, le=3)
    speed_deg_per_s: float = Field(default=180.0, gt=0, le=2000)
    hold_s: Seconds = 2.0
    hold_at_most_s: Seconds = 10.0
    switch_pin: Pin | None = None
    button_pin: Pin | None = None

    @model_validator(mode="after")
    def _reaches_its_angles(self) -> CompartmentSection:
        if self.max_angle_deg <= self.min_angle_deg:
            raise ValueError("max_angle_deg must be larger than min_angle_deg")
        if self.max_pulse_ms <= self.min_pulse_ms:
            raise ValueError("max_pulse_ms must be larger than min_pulse_ms")
        for name in ("closed_deg", "open_deg"):
            angle_deg = getattr(self, name)
            if not self.min_angle_deg <= angle_deg <= self.max_angle_deg:
                raise ValueError(f"{name} ({angle_deg}) lies outside min_angle_deg … max_angle_deg")
        return self


class LightsSection(_Section):
    """LEDs and buzzer that tell *thinking, here, unsure, fault* for the whole bin."""

    thinking_pin: Pin | None = None
    unsure_pin: Pin | None = None
    fault_pin: Pin | None = None
    red_pin: Pin | None = None
    green_pin: Pin | None = None
    blue_pin: Pin | None = None
    buzzer_pin: Pin | None = None


class JournalSection(_Section):
    path: Path | None = None
    drops_at_most: int = Field(default=100_000, ge=100, le=10_000_000)
    thumbnails: bool = False
    thumbnails_at_most: int = Field(default=500, ge=1, le=100_000)


class PageSection(_Section):
    port: int = Field(default=8080, ge=1, le=65535)
    address: str | None = None


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


class Config(_Section):
    """All settings of one bin."""

    model: ModelSection = ModelSection()
    camera: CameraSection = CameraSection()
    presence: PresenceSection = PresenceSection()
    decision: DecisionSection = DecisionSection()
    compartments: dict[str, CompartmentSection] = Field(default_factory=_default_compartments, min_length=1)
    materials: dict[str, str] = Field(default_factory=_default_materials, min_length=1)
    lights: LightsSection = LightsSection()
    journal: JournalSection = JournalSection()
    page: PageSection = PageSection()

    @model_validator(mode="after")
    def _names_and_pins_agree(self) -> Config:
        known = ", ".join(self.compartments)
        wrongs = [
            f"materials.{material} = {compartment!r} is no compartment of this bin (it has {known})"
            for material, compartment in self.materials.items()
            if compartment not in self.compartments
        ]
        if self.decision.fallback not in self.compartments:
            wrongs.append(
                f"decision.fallback = {self.decision.fallback!r} is no compartment of this bin (it has {known})"
            )
        wrongs += _pins_used_twice(self)
        if wrongs:
            raise ValueError("; ".join(wrongs))
        return self


def _pins_used_twice(config: Config) -> list[str]:
    users: dict[int, list[str]] = {}
    for name, compartment in config.compartments.items():
        for key in ("servo_pin", "led_pin", "switch_pin", "button_pin"):
            if (pin := getattr(compartment, key)) is not None:
                users.setdefault(pin, []).append(f"compartments.{name}.{key}")
    for key in LightsSection.model_fields:
        if (pin := getattr(config.lights, key)) is not None:
            users.setdefault(pin, []).append(f"lights.{key}")
    return [
        f"GPIO{pin} is used twice ({' and '.join(keys)}); give each its own pin"
        for pin, keys in users.items()
        if len(keys) > 1
    ]


def read_config(path: Path | None) -> Config:
    """The settings in `path`; without one, those in `/etc/pilah/pilah.toml` where it exists, else the defaults.

    Raises `ConfigError` that lists everything wrong at once.
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return Config()
        path = DEFAULT_PATH
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"The configuration {path} cannot be read: {fault}.") from fault
    return parse_config(text, str(path))


def parse_config(text: str, name: str) -> Config:
    """The settings that a TOML text gives; `name` stands in messages. Raises `ConfigError`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{name} is not valid TOML: {fault}.") from fault
    try:
        return Config.model_validate(values)
    except ValidationError as fault:
        raise ConfigError("\n".join(f"{name}: {_say(error)}" for error in fault.errors())) from fault


def _say(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key} is no key that Pilah knows; `pilah config show` lists them all."
    if not key:
        return f"{message}."
    if isinstance(error["input"], dict):
        return f"{key}: {message}."
    return f"{key} = {error['input']!r}: {message}."
