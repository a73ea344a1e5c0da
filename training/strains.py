"""What a bin's camera and light may do to a picture, one thing at a time and always alike: to measure what each costs.

Figures are for the (3, S, S) uint8 pictures that the device shows the model; all strains take and give such.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from training.grounds import cut_out, ground, laid_on

BLUR_PX, NOISE = 1.5, 10.0
"""Standard deviations: of the blur in pixels, of the noise in grey values of 255."""
DARKNESS, LAMP = 0.55, (1.15, 1.0, 0.75)
"""Factors of grey values: of all of them in little light; of red, green and blue under a warm lamp."""
BOARD = 200
"""The grey around a turned picture."""


def out_of_focus(view: Tensor) -> Tensor:
    """A lens of fixed focus sees far things sharp, and a tray is near."""
    blurred: Tensor = functional.gaussian_blur(view, [13, 13], [BLUR_PX, BLUR_PX])
    return blurred


def noisy(view: Tensor) -> Tensor:
    """As from a small sensor in a dim hall; the same noise each time."""
    chance = torch.Generator().manual_seed(0)
    return (view + NOISE * torch.randn(view.shape, generator=chance)).clamp(0, 255).to(torch.uint8)


def dark(view: Tensor) -> Tensor:
    return (view * DARKNESS).to(torch.uint8)


def warm_light(view: Tensor) -> Tensor:
    return (view * torch.tensor(LAMP).view(3, 1, 1)).clamp(0, 255).to(torch.uint8)


def turned(view: Tensor) -> Tensor:
    """By 45°."""
    tilted: Tensor = functional.rotate(view, 45, fill=[BOARD])
    return tilted


def far(view: Tensor) -> Tensor:
    """Two thirds as large, between stripes of what its border shows."""
    side = view.shape[-1]
    small = functional.resize(view, [2 * side // 3] * 2, antialias=True)
    before, after = (side - small.shape[-1]) // 2, (side - small.shape[-1] + 1) // 2
    padded: Tensor = functional.pad(small, [before, before, after, after], padding_mode="edge")
    return padded


def other_ground(view: Tensor) -> Tensor:
    """On a made-up tray, always the same, where the thing can be cut out; else as it was."""
    picture = view.permute(1, 2, 0).contiguous().numpy()
    share = cut_out(picture)
    if share is None:
        return view
    tray = ground(np.random.default_rng(zlib.crc32(picture.tobytes())), view.shape[-1])
    return torch.from_numpy(laid_on(picture, share, tray)).permute(2, 0, 1)


STRAINS = {
    "out of focus": out_of_focus, "noisy": noisy, "dark": dark, "warm light": warm_light, "turned": turned, "far": far,
    "other ground": other_ground,
}  # fmt: skip
