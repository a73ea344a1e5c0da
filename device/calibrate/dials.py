"""What the keys turn: pure values, so that every key can be tried without a servo or a camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

from device.config import CameraSection, CompartmentSection, RegionSection

STEP_DEG, LEAP_DEG = 1.0, 10.0
FASTER = 1.1
SPEED_AT_MOST = 2000.0
FARTHER = 1.1
NEAREST_M, FARTHEST_M = 0.05, 10.0
STEP, LEAP = 0.01, 0.05
NARROWEST = 0.11
"""Just over what the configuration asks for, so that rounding makes no region too narrow."""
_SIGN = {"left": -1, "right": 1, "-": -1, "+": 1, "up": 1, "down": -1}
_FAR_SIGN = {"[": -1, "]": 1}
EDGES = {"l": "left", "t": "top", "r": "right", "b": "bottom"}


@dataclass(frozen=True)
class ServoDial:
    """The angle at which a servo is held, and what is to become of the lid's settings."""

    settings: CompartmentSection
    angle_deg: float

    def press(self, key: str) -> ServoDial:
        """← → turn by one degree, [ ] by ten; c and o take the angle as closed or open; < > change the speed."""
        if key in _SIGN:
            return self._at(self.angle_deg + _SIGN[key] * STEP_DEG)
        if key in _FAR_SIGN:
            return self._at(self.angle_deg + _FAR_SIGN[key] * LEAP_DEG)
        speed = self.settings.speed_deg_per_s
        match key:
            case "c" if self.angle_deg != self.settings.open_deg:
                return self._with(closed_deg=self.angle_deg)
            case "o" if self.angle_deg != self.settings.closed_deg:
                return self._with(open_deg=self.angle_deg)
            case "<":
                return self._with(speed_deg_per_s=round(speed / FASTER, 1))
            case ">":
                return self._with(speed_deg_per_s=round(min(SPEED_AT_MOST, speed * FASTER), 1))
        return self

    def changes(self, name: str) -> dict[str, object]:
        """What is to be written for the lid `name`, as `edit_config` takes it."""
        keys = ("closed_deg", "open_deg", "speed_deg_per_s")
        return {f"compartments.{name}.{key}": getattr(self.settings, key) for key in keys}

    def _at(self, angle_deg: float) -> ServoDial:
        return replace(self, angle_deg=min(max(angle_deg, self.settings.min_angle_deg), self.settings.max_angle_deg))

    def _with(self, **values: float) -> ServoDial:
        return replace(self, settings=self.settings.model_copy(update=values))


@dataclass(frozen=True)
class FocusDial:
    """How far away a lens with a motor looks."""

    settings: CameraSection

    def press(self, key: str) -> FocusDial:
        """+ and - turn it a tenth farther or nearer."""
        if key not in _SIGN:
            return self
        distance_m = round(self.settings.distance_m * FARTHER ** _SIGN[key], 3)
        within_m = min(max(distance_m, NEAREST_M), FARTHEST_M)
        return FocusDial(self.settings.model_copy(update={"distance_m": within_m}))

    def changes(self) -> dict[str, object]:
        """What is to be written, as `edit_config` takes it."""
        return {"camera.distance_m": self.settings.distance_m}


@dataclass(frozen=True)
class RegionDial:
    """The region of interest, and the edge that the arrows move."""

    region: RegionSection
    edge: str = "left"

    def press(self, key: str) -> RegionDial:
        """l t r b choose an edge; the arrows move it by a hundredth of the frame, [ ] by five; 0 takes it all."""
        if key in EDGES:
            return replace(self, edge=EDGES[key])
        if key == "0":
            return replace(self, region=RegionSection())
        sign = {**_SIGN, "up": -1, "down": 1}
        if key in sign:
            return self._moved(sign[key] * STEP)
        return self._moved(_FAR_SIGN[key] * LEAP) if key in _FAR_SIGN else self

    def changes(self) -> dict[str, object]:
        """What is to be written, as `edit_config` takes it."""
        return {f"camera.region.{edge}": getattr(self.region, edge) for edge in EDGES.values()}

    def _moved(self, by: float) -> RegionDial:
        region = self.region
        low, high = {
            "left": (0.0, max(0.0, region.right - NARROWEST)),
            "top": (0.0, max(0.0, region.bottom - NARROWEST)),
            "right": (min(1.0, region.left + NARROWEST), 1.0),
            "bottom": (min(1.0, region.top + NARROWEST), 1.0),
        }[self.edge]
        value = round(min(max(getattr(region, self.edge) + by, low), high), 3)
        return replace(self, region=region.model_copy(update={self.edge: value}))
