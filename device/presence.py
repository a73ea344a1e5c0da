"""Whether something lies on the tray: nothing is decided before it lies still, and about each thing only once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from device.background import Background, FractionBox, Measurement, covers, log_levels
from device.camera import Frame
from device.config import PresenceSection, RegionSection

State = Literal["empty", "arriving", "still", "leaving"]
PixelBox = tuple[int, int, int, int]

QUIET = 0.002
"""Part of the region that may change from frame to frame while things lie still."""
STIRS = 0.002
"""Sum of the parts of the region that change from frame to frame while something comes; the sun's edge only creeps."""
ANOTHER = 0.35
"""Part of a thing that must look different for it to be another one."""
REACHES_IN = 3.0
"""What touches the region's edge may be an arm: it must lie still so many times longer."""
GAP_S = 1.0
"""After so long without a frame, nobody knows whether things lay still; a look at the tray does not count."""
LEARNS_S = 0.4
LEARNS_AT_MOST_S = 10.0
STIRS_AT_MOST_S = 180.0
"""After so long without rest on the tray, people are told: waste that is dropped lies still within seconds."""


@dataclass(frozen=True)
class Sighting:
    """What lies on the tray in one frame.

    `box` (around all that lies there) and `region`: (left, top, width, height) in pixels of the frame; `since_s`: when
    the state began; `at_rest_since_s`: since when nothing moves, None while something does; `object_id`: counts the
    things that came to lie still, None before the first frame in which this one does.
    """

    state: State
    time_s: float
    since_s: float
    region: PixelBox
    box: PixelBox | None = None
    at_rest_since_s: float | None = None
    object_id: int | None = None


@dataclass(frozen=True)
class Stage:
    """Where the story of the tray stands; `absorbs` and `remembers` tell the background what to do about it.

    `stirred`: the sum of what moved since the tray was empty, as parts of the region.
    """

    state: State = "empty"
    since_s: float = 0.0
    seen_s: float = 0.0
    at_rest_since_s: float | None = None
    clear_since_s: float | None = None
    object_id: int = 0
    found_s: float = 0.0
    stirred: float = 0.0
    absorbs: bool = False
    remembers: bool = False


def advance(
    stage: Stage,
    measurement: Measurement,
    time_s: float,
    settings: PresenceSection,
    looked_s: float = 0.0,
    waits: bool = False,
) -> Stage:
    """The next stage after what a frame at `time_s` shows, with a look of `looked_s` since the frame before it; pure.

    empty → arriving → still → leaving → empty. A thing keeps its id until the tray was clear for `clear_s` or
    something that looks different lies still. What lies there for `forgotten_s`, and the hole that a forgotten thing
    leaves, become tray, and so does what nobody saw come. `waits`: the thing has yet to be judged, and is not forgotten
    before its turn has come.
    """
    is_there = measurement.area > 0
    was_there = stage.state != "empty"
    is_at_rest = is_there and was_there and measurement.motion <= QUIET and time_s - stage.seen_s - looked_s <= GAP_S
    at_rest_since_s = (stage.at_rest_since_s or stage.seen_s) if is_at_rest else None
    found_s = time_s if waits else stage.found_s
    stirred = measurement.motion + (stage.stirred if was_there else 0.0)
    stage = replace(
        stage, seen_s=time_s, at_rest_since_s=at_rest_since_s, found_s=found_s, stirred=stirred, absorbs=False,
        remembers=False,
    )  # fmt: skip
    if not is_there:
        return _advance_clear(stage, settings)
    stage = replace(stage, clear_since_s=None)
    lies_still = at_rest_since_s is not None and time_s - at_rest_since_s >= settings.still_s * _patience(measurement)
    match stage.state:
        case "empty":
            return _enter(stage, "arriving")
        case "still":
            if time_s - stage.found_s >= settings.forgotten_s and is_at_rest:
                return replace(_enter(stage, "empty"), absorbs=True)
            return stage if is_at_rest else _enter(stage, "leaving")
        case "leaving" if lies_still and measurement.changed <= ANOTHER:
            return _enter(stage, "still")
    if lies_still and (measurement.is_ghost or stage.stirred < STIRS):
        return replace(_enter(stage, "empty"), absorbs=True)
    if lies_still:
        found = replace(stage, object_id=stage.object_id + 1, found_s=time_s, remembers=True)
        return _enter(found, "still")
    return stage


def _advance_clear(stage: Stage, settings: PresenceSection) -> Stage:
    clear_since_s = stage.seen_s if stage.clear_since_s is None else stage.clear_since_s
    stage = replace(stage, clear_since_s=clear_since_s)
    match stage.state:
        case "still":
            return _enter(stage, "leaving")
        case "arriving":
            return _enter(stage, "empty")
        case "leaving" if stage.seen_s - clear_since_s >= settings.clear_s:
            return _enter(stage, "empty")
    return stage


def _enter(stage: Stage, state: State) -> Stage:
    return replace(stage, state=state, since_s=stage.seen_s)


def _patience(measurement: Measurement) -> float:
    if measurement.box is None or covers(measurement.box):
        return 1.0
    left, top, width, height = measurement.box
    touches = min(left, top, 1 - left - width, 1 - top - height) < 0.01
    return REACHES_IN if touches else 1.0


class Presence:
    """Follows the tray from frame to frame.

    >>> presence = Presence(PresenceSection(), RegionSection())
    >>> presence.update(Frame(np.zeros((480, 640, 3), np.uint8), time_s=0.0)).state
    'empty'
    """

    def __init__(self, settings: PresenceSection, region: RegionSection) -> None:
        self._settings = settings
        self._region = region
        self._background = Background(settings.smallest_area)
        self._stage = Stage()
        self._learns_since_s: float | None = None
        self._learns_first_s: float | None = None
        self._is_learning = True
        self._looked_s = 0.0

    def looked(self, duration_s: float) -> None:
        """The model looked at the tray for so long; on the slowest Pi frames are missed meanwhile."""
        self._looked_s += duration_s

    def reset(self) -> None:
        """Learn the tray anew, as after a start: the camera may have been moved while it was away."""
        self._background.forget()
        self._stage = Stage(object_id=self._stage.object_id)
        self._learns_since_s = self._learns_first_s = None
        self._is_learning = True

    def update(self, frame: Frame, waits: bool = False) -> Sighting:
        """What `frame` shows, after the frames before it. Frames come in the order of their times.

        `waits`: what was last seen to lie there has yet to be judged, and is not taken for tray meanwhile.
        """
        view = frame.pixels if frame.small is None else frame.small
        left, top, width, height = _in_pixels(self._region, *view.shape[:2])
        picture = log_levels(view[top : top + height, left : left + width])
        region = _in_pixels(self._region, *frame.pixels.shape[:2])
        if self._is_learning:
            self._learn(picture, frame.time_s)
            return Sighting("empty", frame.time_s, self._stage.since_s, region)
        measurement = self._background.measure(picture, frame.time_s - self._stage.seen_s)
        self._stage = stage = advance(self._stage, measurement, frame.time_s, self._settings, self._looked_s, waits)
        self._looked_s = 0.0
        if stage.absorbs:
            self._background.absorb(picture)
        if stage.remembers:
            self._background.remember(picture)
        box = None if stage.state == "empty" or measurement.box is None else _placed(measurement.box, region)
        object_id = stage.object_id if stage.state in ("still", "leaving") else None
        return Sighting(stage.state, frame.time_s, stage.since_s, region, box, stage.at_rest_since_s, object_id)

    def _learn(self, picture: NDArray[np.float32], time_s: float) -> None:
        """Average frames until the tray was quiet for a while; a tray that never is, is taken as it is."""
        if self._learns_first_s is None or self._learns_since_s is None:
            self._learns_first_s = self._learns_since_s = time_s
        if self._background.learn(picture) > QUIET:
            self._background.absorb(picture)
            self._learns_since_s = time_s
        if time_s - self._learns_since_s >= LEARNS_S or time_s - self._learns_first_s >= LEARNS_AT_MOST_S:
            self._is_learning = False
            self._stage = replace(self._stage, since_s=time_s, seen_s=time_s)


def unrest(sighting: Sighting | None) -> str | None:
    """What is wrong where something has been moving on the tray for too long; None where nothing has."""
    if sighting is None or sighting.state not in ("arriving", "leaving"):
        return None
    if sighting.time_s - sighting.since_s < STIRS_AT_MOST_S:
        return None
    return (
        f"Something has been moving on the tray for over {STIRS_AT_MOST_S / 60:g} minutes, and nothing is judged "
        f"before it lies still; is there something that flutters, a lamp that flickers, a camera that shakes, or "
        f"pictures that come less than once a second?"
    )


def _in_pixels(region: RegionSection, height: int, width: int) -> PixelBox:
    """At least one pixel each way, however small the picture."""
    left, top = min(round(region.left * width), width - 1), min(round(region.top * height), height - 1)
    return left, top, max(1, round(region.right * width) - left), max(1, round(region.bottom * height) - top)


def _placed(box: FractionBox, region: PixelBox) -> PixelBox:
    left, top, width, height = box
    return (
        region[0] + round(left * region[2]),
        region[1] + round(top * region[3]),
        max(1, round(width * region[2])),
        max(1, round(height * region[3])),
    )
