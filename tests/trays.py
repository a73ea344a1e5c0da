"""Trays that no camera saw, and the things of photos that fall on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera import Frame
from device.camera.scene import Cutout, Light, Scene, Sprite
from device.clock import Clock
from device.config import CameraSection
from device.pictures import decode_picture
from device.presence import PixelBox
from training.augment import read_photo
from training.grounds import cut_out, ground
from training.render.textures import grain
from training.split import Photo
from training.tray import is_whole, trimmed

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Numbers = NDArray[np.generic]
Chance = np.random.Generator

WIDTH, HEIGHT = CameraSection().width, CameraSection().height
SIZES = 0.2, 0.667
"""A thing's longer side, as part of the frame's height."""
ARRIVES_S, ROCKS_S = 0.35, 0.6


@dataclass(frozen=True)
class Thing:
    """What was cut out of a photo: (h, w, 4) float32 of 0…1, RGB times how much of each pixel is the thing's."""

    photo: Photo
    picture: Floats


def whole_thing(photo: Photo) -> Thing | None:
    """None where no thing stands out, or the photo's edge cuts it off."""
    picture = read_photo(photo.path)
    part = cut_out(picture)
    if part is None or not is_whole(part):
        return None
    pixels, own = trimmed(picture, part)
    return Thing(photo, np.concatenate([pixels / 255 * own, own], axis=2, dtype=np.float32))


def _plain(low: float, high: float) -> Callable[[Chance], Numbers]:
    return lambda chance: np.full((HEIGHT, WIDTH, 3), chance.uniform(low, high)) + chance.uniform(-6, 6, 3)


GROUNDS: dict[str, Callable[[Chance], Numbers]] = {
    "bright": _plain(195, 225),
    "grey": _plain(100, 160),
    "dark": _plain(25, 60),
    "wood": lambda chance: 255 * cv2.resize(grain(chance), (WIDTH, WIDTH))[:HEIGHT],
    "metal": lambda chance: Scene(WIDTH, HEIGHT, int(chance.integers(2**31))).render(0.0, Light(), []),
    "made up": lambda chance: ground(chance, WIDTH)[:HEIGHT],
}
"""Trays, (H, W, 3) RGB of 0…255: three plain ones, one rendered, the simulated camera's, and those of trainings."""


class Fall:
    """How one thing falls or slides in, rocks, lies and leaves; its size, place, turn and shadow are `chance`'s."""

    def __init__(self, thing: Thing, since_s: float, chance: Chance) -> None:
        scale = chance.uniform(*SIZES) * HEIGHT / max(thing.picture.shape[:2])
        self._picture = cv2.resize(thing.picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._picture[..., :3] *= 255 * chance.uniform(0.85, 1.1)
        half = np.hypot(*self._picture.shape[:2]) / 2
        middle = WIDTH / 2, HEIGHT / 2
        rest = chance.uniform(np.minimum(half, middle), np.maximum((WIDTH - half, HEIGHT - half), middle))
        side = [(-half, rest[1]), (WIDTH + half, rest[1]), (rest[0], -half)][chance.integers(3)]
        self._height = chance.choice([0.0, 0.3])
        start = rest if self._height else side
        nothing = np.zeros((0, 0, 3), np.float32)
        self.way = Sprite(Cutout(nothing, nothing), start, rest, (rest[0], HEIGHT + half), since_s, ARRIVES_S)
        self._turn_deg, self._rock_deg = chance.uniform(0, 360), chance.uniform(0, 10)
        self._shade, self._softness_px = chance.uniform(0.15, 0.5), chance.uniform(1, 6)
        self._shadow = np.array([[4, 0, chance.uniform(-30, 30)], [0, 4, chance.uniform(2, 30)]])

    def is_moving(self, now_s: float) -> bool:
        return self.way.is_moving(now_s - ROCKS_S)

    def on(self, tray: Floats, now_s: float) -> tuple[Floats, PixelBox | None]:
        """The tray with the thing and its shadow, (H, W, 3) float32, and the box around what is seen of the thing."""
        after_s = now_s - self.way.since_s - ARRIVES_S
        above = self._height * max(0.0, -after_s / ARRIVES_S)
        rocks = self._rock_deg * np.clip(1 - after_s / ROCKS_S, 0, 1) ** 2 * np.cos(18 * max(0.0, after_s))
        height, width = self._picture.shape[:2]
        turned = cv2.getRotationMatrix2D((width / 2, height / 2), self._turn_deg + rocks + 200 * above, 1 + above)
        turned[:, 2] += np.subtract(self.way.place(now_s), (width / 2, height / 2))
        thing = cv2.warpAffine(self._picture, turned, (WIDTH, HEIGHT))
        own = thing[..., 3:]
        small = cv2.GaussianBlur(cv2.resize(own, (WIDTH // 4, HEIGHT // 4)), (0, 0), self._softness_px)
        shadow = self._shade * cv2.warpAffine(small, self._shadow, (WIDTH, HEIGHT))[..., None]
        box = cv2.boundingRect((own > 0.5).astype(np.uint8))
        return tray * (1 - shadow) * (1 - own) + thing[..., :3], box if box[2] else None


class MadeUpTray:
    """A camera over a tray, soft, noisy and JPEG.

    `lies`: what a caller let drop, until a lid has opened and it has fallen; `outline`: the true box around it in the
    last frame, None while none of it is in view.
    """

    is_sensor = True

    def __init__(self, tray: Numbers, clock: Clock, chance: Chance) -> None:
        self._clock, self._chance = clock, chance
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        light = 1 - 0.12 * (x**2 + y**2) + chance.uniform(-0.1, 0.1) * x + chance.uniform(-0.1, 0.1) * y
        self._tray = np.asarray(tray * light[..., None], np.float32)
        self._blur_px, self._quality = chance.uniform(0.4, 1.0), int(chance.integers(70, 93))
        noise = cv2.GaussianBlur(chance.standard_normal((HEIGHT + 64, WIDTH + 64, 3), np.float32), (0, 0), 0.5)
        self._noise = np.clip(noise * chance.uniform(3, 8) / noise.std(), -127, 127).astype(np.int8)
        self._kept: tuple[Fall | None, Picture] | None = None
        self.lies: Fall | None = None
        self.outline: PixelBox | None = None

    def read(self) -> Frame:
        now_s = self._clock.now()
        if self.lies is not None and self.lies.way.has_left(now_s):
            self.lies = None
        is_moving = self.lies is not None and self.lies.is_moving(now_s)
        if is_moving or self._kept is None or self._kept[0] is not self.lies:
            picture, self.outline = (self._tray, None) if self.lies is None else self.lies.on(self._tray, now_s)
            drawn = np.clip(cv2.GaussianBlur(picture, (0, 0), self._blur_px), 0, 255).astype(np.uint8)
            self._kept = None if is_moving else (self.lies, drawn)
        else:
            drawn = self._kept[1]
        top, left = self._chance.integers(0, 64, 2)
        noisy = cv2.add(drawn, self._noise[top : top + HEIGHT, left : left + WIDTH], dtype=cv2.CV_8U)
        _, encoded = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        return Frame(decode_picture(encoded.tobytes()), now_s)

    def reopen(self) -> MadeUpTray:
        return self

    def lid_opened(self) -> None:
        if self.lies is not None and self.lies.way.leaves_s is None:
            self.lies.way.leaves_s = self._clock.now()

    def lid_closed(self) -> None: ...

    def close(self) -> None: ...
