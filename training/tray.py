"""A thing as the camera above a tray sees it: of few pixels, turned as it fell, soft and noisy, in the bin's square."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.presence import MARGIN
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

Floats = NDArray[np.float32]


def is_whole(share: Picture) -> bool:
    """Whether a thing stands out in its photo and is not cut off; `share`: (H, W) uint8, as `grounds.cut_out`'s."""
    edge = np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]])
    return share.max() > 127 and edge.mean() <= 255 * CUT_OFF


def on_a_tray(picture: Picture, share: Picture, chance: np.random.Generator) -> Picture:
    """A photo's whole thing on a made-up tray, in the square around its box.

    (H, W, 3) and (H, W) uint8 → (S, S, 3) uint8, as many of the camera's pixels as there are by chance.
    """
    left, top, width, height = cv2.boundingRect((share > 127).astype(np.uint8))
    scale = chance.uniform(*LONG_PX) / max(width, height)
    own = share[top : top + height, left : left + width, None].astype(np.float32) / 255
    cut = np.concatenate([picture[top : top + height, left : left + width] * own, own], axis=2, dtype=np.float32)
    thing = _turned(cv2.resize(cut, None, fx=scale, fy=scale, interpolation=_interpolation(scale)), chance)
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


def _resized(square: Picture, size_px: int) -> Picture:
    """As the device resizes what it shows the model."""
    interpolation = _interpolation(size_px / len(square))
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=interpolation), np.uint8)


def _interpolation(scale: float) -> int:
    return cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR


class OnTray(torch.nn.Module):
    """The middle of a photo as it was, perhaps mirrored, and its whole thing fallen on a made-up tray.

    A student that sees the second is told what its teacher makes of the first. (4, H, W) uint8, the last channel as
    `grounds.cut_out` gives it → (2, 3, S, S) uint8.
    """

    def __init__(self, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px

    def forward(self, image: Tensor) -> Tensor:
        chance = np.random.default_rng(int(torch.randint(2**31, ())))
        rows = image.permute(1, 2, 0).numpy()
        fallen = on_a_tray(rows[..., :3], rows[..., 3], chance)
        height, width = rows.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = rows[top : top + side, left : left + side, :3][:, :: int(chance.choice([-1, 1]))]
        both = [_resized(np.ascontiguousarray(square), self.size_px) for square in (middle, fallen)]
        return torch.from_numpy(np.stack(both)).permute(0, 3, 1, 2)


class ThroughSmallCamera(torch.nn.Module):
    """Two pictures, the teacher's as it was, the student's with probability `p` as of a camera of few pixels.

    Its blur and noise are enlarged with the pixels, as in the square that a bin cuts around a small thing. Takes and
    gives (2, 3, S, S) uint8.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image: Tensor) -> Tensor:
        clear, seen = image
        if torch.rand(()) < self.p:
            chance, size_px = np.random.default_rng(int(torch.randint(2**31, ()))), image.shape[-1]
            pixels = np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
            small = _resized(pixels, min(size_px, round(chance.uniform(*LONG_PX))))
            taken = _resized(seen_by_camera(small.astype(np.float32), chance), size_px)
            seen = torch.from_numpy(taken).permute(2, 0, 1)
        return torch.stack([clear, seen])
