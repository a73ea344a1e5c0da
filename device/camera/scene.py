"""Draws the simulated tray: brushed metal in changing light, cut-out things on it, hands and shadows over it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.errors import CameraError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Point = tuple[float, float]

NOISE = 3.0
"""Standard deviation of the sensor's noise, of 255 levels."""
SHADOW = 0.35
SHADOW_OFFSET = 0.015
DAY_STEP = 0.004
"""Daylight changes by no less, about one level, so that not every frame is drawn anew."""
DIMMED = 0.5
FLOOR = 0.25
"""How much darker than the tray the floor beside it is."""
BRUSH = 1.5
SIZES = (0.5, 0.8)
"""A thing's longer side, as part of the tray's height."""
LEAVES_S = 0.3
"""How long a thing takes to fall."""


@dataclass(frozen=True)
class Light:
    """Daylight (1 is plain), a lamp to the left of the bin, and whether all of it is dimmed to half."""

    day: float = 1.0
    lamp: bool = False
    is_dimmed: bool = False

    def drifted(self, by: float) -> Light:
        return replace(self, day=min(1.15, max(0.7, self.day + by)))

    def switched(self) -> Light:
        return replace(self, lamp=not self.lamp)

    def dimmed(self) -> Light:
        return replace(self, is_dimmed=not self.is_dimmed)

    @property
    def factor(self) -> float:
        """What dimming leaves of each lamp."""
        return DIMMED if self.is_dimmed else 1.0

    @property
    def strength(self) -> float:
        """How brightly a thing on the tray is lit."""
        return self.factor * self.day * (0.9 if self.lamp else 0.8)


@dataclass(frozen=True)
class Cutout:
    """What covers a picture: `picture * keeps + adds`, each (h, w, 3) float32."""

    keeps: Floats
    adds: Floats


@dataclass
class Sprite:
    """A thing on its way: from `start` to `rest` within `arrives_s`, and on to `end` from `leaves_s` on.

    A passer comes in, turns at `rest` and goes back, all within `arrives_s`. Points: the middle, (x, y) in pixels.
    """

    cutout: Cutout
    start: Point
    rest: Point
    end: Point
    since_s: float
    arrives_s: float
    passes: bool = False
    leaves_s: float | None = None

    def is_moving(self, now_s: float) -> bool:
        return self.leaves_s is not None or now_s < self.since_s + self.arrives_s

    def has_passed(self, now_s: float) -> bool:
        return self.passes and now_s >= self.since_s + self.arrives_s

    def has_left(self, now_s: float) -> bool:
        return self.leaves_s is not None and now_s >= self.leaves_s + LEAVES_S

    def place(self, now_s: float) -> Point:
        part = min(1.0, max(0.0, (now_s - self.since_s) / self.arrives_s))
        if self.passes:
            return _between(self.start, self.rest, math.sin(math.pi * part))
        if self.leaves_s is not None:
            return _between(self.rest, self.end, ((now_s - self.leaves_s) / LEAVES_S) ** 2)
        return _between(self.start, self.rest, 1 - (1 - part) ** 2)


class Scene:
    """The tray as the camera would see it. The same seed gives the same tray.

    `border`: how wide a strip of dark floor is seen around the tray, as part of the picture's height.
    """

    def __init__(self, width: int, height: int, seed: int, border: float = 0.0) -> None:
        self._width, self._height = width, height
        self._noise_random = np.random.default_rng(seed)
        self._day, self._lamp = _tray(width, height, self._noise_random)
        floor = np.ones((height, width), bool)
        strip = round(border * height)
        floor[strip : height - strip, strip : width - strip] = False
        for lit in (self._day, self._lamp):
            lit[floor] = _as_pixels(FLOOR * lit[floor].astype(np.float32))
        self._noise = np.asarray(
            np.clip(self._noise_random.normal(0, NOISE, (height + 64, width + 64, 3)), -127, 127), np.int8
        )
        self._kept: tuple[object, Pixels] | None = None

    def render(self, now_s: float, light: Light, sprites: list[Sprite]) -> Pixels:
        """The frame at `now_s`: (H, W, 3) uint8 RGB with fresh noise."""
        moving = any(sprite.is_moving(now_s) for sprite in sprites)
        day = round(light.day / DAY_STEP) * DAY_STEP
        key = (day, light.lamp, light.is_dimmed, [id(sprite) for sprite in sprites])
        if moving or self._kept is None or self._kept[0] != key:
            lit = cv2.addWeighted(self._day, light.factor * day, self._lamp, light.factor * light.lamp, 0)
            picture = np.asarray(lit, np.uint8)
            for sprite in sprites:
                _cover(picture, sprite.cutout, sprite.place(now_s), light.strength)
            self._kept = None if moving else (key, picture)
        else:
            picture = self._kept[1]
        top, left = self._noise_random.integers(0, 64, 2)
        noise = self._noise[top : top + self._height, left : left + self._width]
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)

    def thing(self, picture: Pixels, now_s: float, arrives_s: float, chance: random.Random) -> Sprite:
        """A sample, (h, w, 4) uint8 RGBA, that slides in to a place on the tray at a random angle, scale and light."""
        longer = chance.uniform(*SIZES) * self._height
        picture = _trimmed(picture)
        cutout = _cutout(
            _turned(picture, longer / max(picture.shape[:2]), chance.uniform(0, 360)),
            chance.uniform(0.9, 1.1),
            round(SHADOW_OFFSET * self._height),
        )
        height, width = cutout.keeps.shape[:2]
        rest = (_placed(self._width, width, chance), _placed(self._height, height, chance))
        start = chance.choice(((-width / 2, rest[1]), (self._width + width / 2, rest[1]), (rest[0], -height / 2)))
        return Sprite(cutout, start, rest, (rest[0], self._height + height / 2), now_s, arrives_s)

    def passer(self, now_s: float, chance: random.Random) -> Sprite:
        """A hand, or the soft shadow of someone, that reaches over the tray and goes back."""
        size = self._height * chance.uniform(0.8, 1.3)
        angle = chance.uniform(0, 2 * math.pi)
        picture = _hand(round(size), chance) if chance.random() < 0.6 else _shade(round(size), chance)
        cutout = _cutout(_turned(picture, 1.0, -90 - math.degrees(angle)), 1.0, round(SHADOW_OFFSET * self._height))
        away = 0.5 * (math.hypot(*cutout.keeps.shape[:2]) + math.hypot(self._width, self._height))
        middle = self._width / 2, self._height / 2
        start = middle[0] - away * math.cos(angle), middle[1] - away * math.sin(angle)
        rest = _between(middle, start, size * chance.uniform(0.4, 1.0) / away)
        return Sprite(cutout, start, rest, start, now_s, chance.uniform(0.6, 1.5), passes=True)


def read_cutout(file: Path) -> Pixels:
    """A sample's picture: (h, w, 4) uint8 RGBA. Raises `CameraError`."""
    picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4 or not picture[..., 3].any():
        raise CameraError(f"The sample {file} is no PNG with an alpha channel that shows something.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA), np.uint8)


def _tray(width: int, height: int, noise: np.random.Generator) -> tuple[Pixels, Pixels]:
    """The empty tray by daylight, and what the lamp adds: brushed along its width, darker in the corners."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    brushed = cv2.GaussianBlur(noise.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 12, sigmaY=0.6)
    brushed = brushed * (BRUSH / brushed.std())
    albedo = (185 + brushed)[..., None] * np.array([1.0, 1.0, 0.985], np.float32)
    vignette = (1 - 0.16 * (rows**2 + columns**2))[..., None]
    lamp = (0.35 * np.exp(-((columns + 1.1) ** 2 + (rows + 0.3) ** 2) / 4))[..., None]
    warm = np.array([1.0, 0.9, 0.7], np.float32)
    return _as_pixels(albedo * vignette), _as_pixels(albedo * vignette * lamp * warm)


def _cover(picture: Pixels, cutout: Cutout, middle: Point, strength: float) -> None:
    height, width = cutout.keeps.shape[:2]
    left, top = round(middle[0] - width / 2), round(middle[1] - height / 2)
    x, y = max(0, left), max(0, top)
    right, bottom = min(picture.shape[1], left + width), min(picture.shape[0], top + height)
    if right <= x or bottom <= y:
        return
    part = slice(y - top, bottom - top), slice(x - left, right - left)
    below = picture[y:bottom, x:right].astype(np.float32)
    picture[y:bottom, x:right] = _as_pixels(below * cutout.keeps[part] + cutout.adds[part] * np.float32(strength / 0.8))


def _cutout(picture: Pixels, brightness: float, offset: int) -> Cutout:
    """(h, w, 4) RGBA → what it covers, with a soft shadow to the lower right."""
    border = 4 * offset
    padded = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    alpha = padded[..., 3:].astype(np.float32) / 255
    shifted = np.roll(alpha[..., 0], (offset, offset), (0, 1))
    shadow = cv2.GaussianBlur(shifted, (0, 0), max(1, offset))[..., None] * np.float32(SHADOW)
    keeps = np.repeat((1 - shadow) * (1 - alpha), 3, axis=2)
    adds = padded[..., :3] * alpha * np.float32(brightness)
    return Cutout(keeps.astype(np.float32), adds.astype(np.float32))


def _turned(picture: Pixels, scale: float, angle_deg: float) -> Pixels:
    """Scaled, then turned counter-clockwise, on a canvas that holds it all."""
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle_deg, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    width, height = math.ceil(size[0] * cosine + size[1] * sine), math.ceil(size[0] * sine + size[1] * cosine)
    matrix[:, 2] += (width - size[0]) / 2, (height - size[1]) / 2
    return np.asarray(cv2.warpAffine(small, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _trimmed(picture: Pixels) -> Pixels:
    left, top, width, height = cv2.boundingRect((picture[..., 3] > 8).astype(np.uint8))
    return picture[top : top + height, left : left + width]


def _hand(size: int, chance: random.Random) -> Pixels:
    """A hand, pointing up, on an arm that comes from below: (2 · size, size, 4) RGBA."""
    tone = chance.choice(((224, 172, 140), (198, 134, 96), (141, 85, 56), (90, 56, 40)))
    picture = np.zeros((2 * size, size, 4), np.uint8)
    colour = (*tone, 255)
    middle = size // 2
    cv2.line(picture, (middle, 2 * size), (middle, round(0.5 * size)), colour, round(0.2 * size))
    cv2.ellipse(picture, (middle, round(0.42 * size)), (round(0.16 * size), round(0.17 * size)), 0, 0, 360, colour, -1)
    for finger in range(-2, 3):
        tip = (middle + round(0.09 * finger * size), round((0.1 + 0.03 * abs(finger)) * size))
        cv2.line(picture, (middle + round(0.06 * finger * size), round(0.4 * size)), tip, colour, round(0.06 * size))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def _shade(size: int, chance: random.Random) -> Pixels:
    """A shadow with a wide penumbra, (size, size, 4) RGBA."""
    picture = np.zeros((size, size, 4), np.uint8)
    axes = round(size * chance.uniform(0.15, 0.25)), round(size * chance.uniform(0.2, 0.3))
    alpha = np.zeros((size, size), np.uint8)
    cv2.ellipse(alpha, (size // 2, size // 2), axes, 0, 0, 360, round(255 * chance.uniform(0.15, 0.45)), -1)
    picture[..., 3] = cv2.GaussianBlur(alpha, (0, 0), size / 18)
    return picture


def _placed(length: int, wanted: int, chance: random.Random) -> float:
    """The middle of something `wanted` long, anywhere within `length`."""
    return chance.uniform(wanted / 2, length - wanted / 2) if wanted < length else length / 2


def _between(start: Point, end: Point, part: float) -> Point:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _as_pixels(picture: Floats) -> Pixels:
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
