"""A thing as the camera above a tray sees it: of few pixels, turned as it fell, soft and noisy, in the bin's square."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.sight import MARGIN
from training.grounds import Picture, ground

LONG_PX = 80.0, 340.0
"""How many of the camera's pixels a thing is long, or a picture wide."""
CUT_OFF = 0.05
"""So much of a photo's edge may be the thing's, and it counts as whole."""
WIDER = 0.25
"""How much wider than the thing its box may be, for its shadow."""
TIGHTEST = 0.86
"""A square may be so much narrower than the bin cuts it: in 192 pixels the thing is then as large as in 224 (Touvron et
al. 2019)."""
BLUR_PX, NOISE, QUALITY = (0.3, 1.6), 9.0, (45, 96)
"""What the camera does: its blur and, at most, its noise (standard deviations in its pixels and in grey values of 255;
the mean of a few frames has less than one), and JPEG."""
BRIGHTNESS, SHADE = (0.8, 1.15), 0.5
"""By what the light multiplies a thing's grey values, and how much of the light its shadow takes at most."""

Floats = NDArray[np.float32]


def is_whole(share: Picture) -> bool:
    """Whether a thing stands out in its photo and is not cut off; `share`: (H, W) uint8, as `grounds.cut_out`'s."""
    edge = np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]])
    return share.max() > 127 and edge.mean() <= 255 * CUT_OFF


def trimmed(picture: Picture, share: Picture) -> tuple[Picture, Floats]:
    """The box around a thing: (h, w, 3) of its photo, and (h, w, 1) of 0…1, how much of each pixel is the thing's."""
    left, top, width, height = cv2.boundingRect((share > 127).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    return picture[box], share[box][..., None].astype(np.float32) / 255


def on_a_tray(picture: Picture, share: Picture, chance: np.random.Generator) -> Picture:
    """A photo's whole thing on a made-up tray, in the square around its box.

    (H, W, 3) and (H, W) uint8 → (S, S, 3) uint8, as many of the camera's pixels as there are by chance.
    """
    pixels, own = trimmed(picture, share)
    cut = np.concatenate([pixels * own, own], axis=2, dtype=np.float32)
    scale = chance.uniform(*LONG_PX) / max(cut.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    thing = _turned(cv2.resize(cut, None, fx=scale, fy=scale, interpolation=interpolation), chance)
    side = len(thing)
    own = thing[..., 3:]
    shade = cv2.GaussianBlur(own[::4, ::4], (0, 0), chance.uniform(1, 6))
    away = np.array([[4, 0, chance.uniform(-0.12, 0.12) * side], [0, 4, chance.uniform(-0.12, 0.12) * side]])
    shadow = chance.uniform(0, SHADE) * cv2.warpAffine(shade, away, (side, side))[..., None]
    lit = thing[..., :3] * chance.uniform(*BRIGHTNESS)
    return seen_by_camera(ground(chance, side) * (1 - shadow) * (1 - own) + lit, chance)


def _turned(cut: Floats, chance: np.random.Generator) -> Floats:
    """(h, w, 4) → (S, S, 4): at any angle, in a square about as the bin cuts it around the thing and its shadow."""
    rows, columns = cut.shape[:2]
    reach = int(np.hypot(rows, columns)) + 4
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), chance.uniform(0, 360), 1.0)
    turn[:, 2] += (reach - columns) / 2, (reach - rows) / 2
    left, top, width, height = cv2.boundingRect(
        (cv2.warpAffine(cut[..., 3], turn, (reach, reach)) > 0.5).astype(np.uint8)
    )
    wider = np.multiply((width, height), WIDER * chance.random(2) ** 3)
    longer = max(np.add((width, height), wider))
    side = max(8, round(longer * (1 + 2 * MARGIN) * chance.uniform(TIGHTEST, 1.0)))
    turn[:, 2] += side / 2 - (left + width / 2), side / 2 - (top + height / 2)
    turn[:, 2] += wider * chance.choice([-0.5, 0.5], 2)
    return np.asarray(cv2.warpAffine(cut, turn, (side, side)), np.float32)


def seen_by_camera(picture: Floats, chance: np.random.Generator) -> Picture:
    """(H, W, 3) of 0…255 in the camera's own pixels → out of focus, with its noise and through JPEG: uint8."""
    soft = cv2.GaussianBlur(picture, (0, 0), chance.uniform(*BLUR_PX))
    noise = cv2.GaussianBlur(chance.standard_normal(soft.shape, np.float32), (0, 0), 0.5)
    noisy = np.clip(soft + noise * (NOISE * chance.random() ** 1.5 / noise.std()), 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(chance.integers(*QUALITY))])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
