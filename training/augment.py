"""What a bin's cheap camera may do to a picture: views for training, the same for teacher and student."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from device.bundle import Preprocess
from device.classifier import prepare
from device.pictures import read_picture
from training.grounds import OnOtherGround, cut_out
from training.recipes import Views
from training.tray import LONG_PX, is_whole, on_a_tray, seen_by_camera

Reader = Callable[[str], NDArray[np.uint8]]
"""Gives the (H, W, channels) picture at a path."""
EVALUATION_PX = 224
"""The side of the pictures that the device shows the model."""
SHOWN, TURNED, ERASED = 0.35, 0.7, 0.25
"""Of a training view: the least part of a photo's area that it shows, how often it is turned, or loses a patch."""
BOARD = 225
"""The grey of a turned picture's corners, as of a white board."""
MOVED = 0.75
"""How often, at full strength, a thing that can be cut out lies on another ground."""
FALLS = 0.75
"""How often, with the views `tray`, a thing that is whole in its photo falls on a tray."""
BLUR_PX, NOISE = 2.2, 25.0
"""The worst that `ThroughPoorLens` does: standard deviations in pixels and in grey values of 255."""


class CheapCamera(torch.nn.Module):
    """White balance off in half of the pictures; sensor noise and JPEG artefacts, each in half × `strength` of them.

    Takes and gives (…, 3, H, W) uint8.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.float()
        if torch.rand(()) < 0.5:
            pixels = pixels * (1 + 0.15 * self.strength * torch.randn(3, 1, 1))
        if torch.rand(()) < 0.5 * self.strength:
            pixels = pixels + torch.randn_like(pixels) * (10 * self.strength * torch.rand(()))
        image = pixels.clamp_(0, 255).to(torch.uint8)
        return _through_jpeg(image, int(torch.randint(35, 91, ()))) if torch.rand(()) < 0.5 * self.strength else image


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    """(…, 3, H, W) uint8 after compression at `quality` and back."""
    if image.ndim > 3:
        return torch.stack([_through_jpeg(one, quality) for one in image])
    rows = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    _, encoded = cv2.imencode(".jpg", rows, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return torch.from_numpy(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))).permute(2, 0, 1)


class ThroughPoorLens(torch.nn.Module):
    """The picture as it is and, in three more channels, as a camera out of focus or in the dark would take it.

    A student that sees the second is told what its teacher makes of the first: else it would learn what blur and noise
    make of the teacher too (Hendrycks et al. 2020, "AugMix", asks for the same answer to both). A blur of up to
    `BLUR_PX` and noise of up to `NOISE`, each with probability one half × `strength`. Takes (3, H, W) uint8, or two
    such pictures, the teacher's and the student's; gives (6, H, W) uint8.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.p, self.noise = 0.5 * strength, NOISE * strength
        self.blur = v2.GaussianBlur(2 * math.ceil(3 * BLUR_PX) + 1, (0.3, BLUR_PX))

    def forward(self, image: Tensor) -> Tensor:
        clear, seen = image if image.ndim > 3 else (image, image)
        if torch.rand(()) < self.p:
            seen = self.blur(seen)
        if torch.rand(()) < self.p:
            noise = torch.randn(seen.shape) * (self.noise * torch.rand(()) ** 2)
            seen = (seen + noise).clamp_(0, 255).to(torch.uint8)
        return torch.cat([clear, seen])


class OnTray(torch.nn.Module):
    """A photo as the device would show it, perhaps mirrored, and its whole thing fallen on a made-up tray.

    A student that sees the second is told what its teacher makes of the first. (4, H, W) uint8, the last channel as
    `grounds.cut_out` gives it → (2, 3, S, S) uint8.
    """

    def __init__(self, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px

    def forward(self, image: Tensor) -> Tensor:
        chance, pixels = _chance(), image.permute(1, 2, 0).numpy()
        fallen = on_a_tray(pixels[..., :3], pixels[..., 3], chance)
        photo = np.ascontiguousarray(pixels[:, :: int(chance.choice([-1, 1])), :3])
        return torch.stack([evaluation_view(picture, self.size_px) for picture in (photo, fallen)])


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
            chance, size_px = _chance(), image.shape[-1]
            pixels = np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
            small = evaluation_view(pixels, min(size_px, round(chance.uniform(*LONG_PX))))
            taken = seen_by_camera(small.permute(1, 2, 0).numpy().astype(np.float32), chance)
            seen = evaluation_view(taken, size_px)
        return torch.stack([clear, seen])


def _chance() -> np.random.Generator:
    """NumPy's, which follows torch's: a view is its seed's."""
    return np.random.default_rng(int(torch.randint(2**31, ())))


class Shadow(torch.nn.Module):
    """A soft-edged half-plane of the picture lies darker, with probability `p`. Takes and gives (…, 3, H, W) uint8."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image: Tensor) -> Tensor:
        if torch.rand(()) >= self.p:
            return image
        height, width = image.shape[-2:]
        angle = float(torch.rand(()) * 2 * torch.pi)
        ys, xs = torch.linspace(-1, 1, height).view(-1, 1), torch.linspace(-1, 1, width).view(1, -1)
        side = xs * float(np.cos(angle)) + ys * float(np.sin(angle)) + float(torch.rand(()) - 0.5)
        darkness = 0.5 * torch.rand(()) * torch.sigmoid(side * 12)
        return (image * (1 - darkness)).to(torch.uint8)


def training_view(
    size_px: int, strength: float = 1.0, shown: float = SHOWN, turned: float = TURNED, erased: float = ERASED
) -> v2.Transform:
    """A random view of one photo: (3, H, W) uint8 → (3, size_px, size_px) uint8.

    Scaling, cropping and stretching, flips, rotation over the full circle, colour, white balance, blur, noise, JPEG,
    shadow, erasing. `strength`: 0 leaves the geometry only, 1 is the default. `shown`: the least part of a photo's area
    that a view shows; `turned`, `erased`: how often one is rotated, or loses a patch, 0…1.
    """
    return v2.Compose([*_framed(size_px, shown, turned, (BOARD,)), *_taken(strength, erased)])


def _framed(size_px: int, shown: float, turned: float, fill: tuple[int, ...]) -> list[v2.Transform]:
    """Which part of a photo a view shows, and which side up; `fill` are the channels of a turned picture's corners."""
    return [
        v2.RandomResizedCrop(size_px, scale=(shown, 1.0), ratio=(0.8, 1.25), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomApply([v2.RandomRotation(180, v2.InterpolationMode.BILINEAR, fill=fill)], p=turned),
    ]


def _taken(strength: float, erased: float) -> list[torch.nn.Module]:
    """What light and a cheap camera make of it."""
    return [
        v2.RandomApply([v2.ColorJitter(0.35 * strength, 0.35 * strength, 0.35 * strength, 0.03 * strength)], p=0.8),
        Shadow(0.3 * strength),
        v2.RandomApply([v2.GaussianBlur(3, (0.1, 1.5))], p=0.2 * strength),
        CheapCamera(strength),
        v2.RandomErasing(p=erased * strength, scale=(0.02, 0.15), value=128),
    ]


def plain_view(size_px: int, strength: float = 1.0) -> v2.Transform:
    """A tamer view, nearer to what the device is shown, to end a training with: same shapes as `training_view`.

    He et al. 2019, "Data Augmentation Revisited: Rethinking the Distribution Gap between Clean and Augmented Data".
    """
    return training_view(size_px, strength, shown=0.6, turned=0.3, erased=0.0)


def poor_lens_view(size_px: int, strength: float = 1.0) -> v2.Transform:
    """A `training_view`, and the same through a poor lens: (3, H, W) uint8 → (6, size_px, size_px) uint8."""
    return v2.Compose([training_view(size_px, strength), ThroughPoorLens(strength)])


def other_ground_view(size_px: int, strength: float = 1.0) -> v2.Transform:
    """A `training_view`, and the same of the thing on another ground, through a poor lens.

    (4, H, W) uint8, the last channel as `grounds.cut_out` gives it → (6, size_px, size_px) uint8.
    """
    framed = _framed(size_px, SHOWN, TURNED, (BOARD, BOARD, BOARD, 0))
    moved = OnOtherGround(MOVED * strength)
    return v2.Compose([*framed, moved, *_taken(strength, ERASED), ThroughPoorLens(strength)])


class TrayView(torch.nn.Module):
    """A view of a photo, and as a bin's camera might see its thing on the tray.

    A thing that is whole in its photo falls on a tray, with probability `FALLS`; all else is a `training_view`. Of that
    the student sees the thing, where it can be cut out, on another ground, and half as by a small camera.
    (4, H, W) uint8, the last channel as `grounds.cut_out` gives it → (6, size_px, size_px) uint8, for teacher and
    student.
    """

    def __init__(self, size_px: int, strength: float = 1.0) -> None:
        super().__init__()
        taken = _taken(strength, ERASED)
        self.fallen = v2.Compose([OnTray(size_px), *taken])
        framed = _framed(size_px, SHOWN, TURNED, (BOARD, BOARD, BOARD, 0))
        half = 0.5 * strength
        self.other = v2.Compose([*framed, OnOtherGround(half), *taken, ThroughSmallCamera(half)])

    def forward(self, image: Tensor) -> Tensor:
        falls = bool(torch.rand(()) < FALLS) and is_whole(image[3].numpy())
        views: Tensor = (self.fallen if falls else self.other)(image)
        return views.flatten(0, 1)


def seed_view(size_px: int, strength: float = 1.0) -> v2.Transform:
    """The student project's augmentation: rotation ±30°, random resized crop, horizontal flip; of one strength."""
    return v2.Compose([v2.RandomRotation(30), v2.RandomResizedCrop(size_px, antialias=True), v2.RandomHorizontalFlip()])


VIEWS: dict[Views, Callable[[int, float], torch.nn.Module]] = {
    "bin": training_view, "plain": plain_view, "poor lens": poor_lens_view, "other ground": other_ground_view,
    "tray": TrayView, "seed": seed_view,
}  # fmt: skip
"""What a recipe may call its views → of which side in pixels and which strength they are made."""


def evaluation_view(picture: NDArray[np.uint8], size_px: int = EVALUATION_PX) -> Tensor:
    """Exactly what the device does with a picture: (H, W, 3) uint8 RGB → (3, size_px, size_px) uint8."""
    prepared = prepare(picture, Preprocess(resize_short=size_px, crop=size_px, interpolation="area"))
    return torch.from_numpy(prepared).permute(2, 0, 1)


def read_photo(path: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, as the device reads it. Raises `PictureError`."""
    return read_picture(Path(path))


def photo_and_cut_out(path: str) -> NDArray[np.uint8]:
    """(H, W, 4) uint8: RGB as `read_photo` gives it, and how much of each pixel is the thing's.

    All of each is, where no thing stands out from its ground.
    """
    picture = read_photo(path)
    share = cut_out(picture)
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8) if share is None else share])


def reader_of(views: str) -> Reader:
    """How photos are read of which such `views` are made, see `VIEWS`."""
    return photo_and_cut_out if views in ("other ground", "tray") else read_photo
