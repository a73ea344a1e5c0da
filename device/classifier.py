"""From a picture to the probabilities of its materials: the one path that the loop, `classify` and the page use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.bundle import Bundle, Preprocess

NEARLY_SQUARE = 1.1
"""Long side over short side up to which the ends of a photo show next to nothing that its middle does not."""
LONGEST = 4
"""Short sides of a picture's long side that are resized; the crop sees the middle one at most."""


@dataclass(frozen=True)
class Observation:
    """What the model saw in one picture.

    `probabilities`: (K,) float32, calibrated, in the order of `classes`; `energy`: logsumexp of the logits.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    energy: float | None


class Classifier:
    """Names the material in pictures of any size.

    >>> classifier = Classifier(Bundle.open(path))              # doctest: +SKIP
    >>> classifier.observe(picture).probabilities.argmax()      # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def observe(self, picture: NDArray[np.uint8]) -> Observation:
        """`picture`: (H, W, 3) uint8 RGB, at least 1×1."""
        contract = self.bundle.contract
        probabilities, energy = self.bundle.run(prepare(picture, contract.preprocess))
        return Observation(contract.classes, probabilities, energy)

    def observe_photo(self, photo: NDArray[np.uint8]) -> list[Observation]:
        """What is seen in the squares of a photo, see `looks_at`; `decide` makes one answer of them.

        `photo`: (H, W, 3) uint8 RGB, at least 1×1.
        """
        return [self.observe(look) for look in looks_at(photo, self.bundle.contract.preprocess)]


def looks_at(photo: NDArray[np.uint8], preprocess: Preprocess) -> list[NDArray[np.uint8]]:
    """The middle of a photo and, of one that is no square, both its ends; each upright and turned by 180°.

    Whoever takes a photo frames no square, so what it is about may lie outside the middle; and what several looks agree
    on is right more often (docs/training.md has how often). The loop, which cuts out what lies on its tray and sees
    it in several frames, has no use for it. `photo`: (H, W, 3) uint8 RGB → each (crop, crop, 3) uint8 RGB.
    """
    side = min(photo.shape[:2])
    parts = [photo]
    if max(photo.shape[:2]) > NEARLY_SQUARE * side:
        parts += [photo[:side, :side], photo[-side:, -side:]]
    upright = [prepare(part, preprocess) for part in parts]
    return upright + [np.ascontiguousarray(square[::-1, ::-1]) for square in upright]


def prepare(picture: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize the short side and crop the centre as the bundle asks.

    `picture`: (H, W, 3) uint8 RGB → (crop, crop, 3) uint8 RGB. Area interpolation when the picture shrinks
    (no aliasing), linear when it grows. A very long picture is cut before it grows, or it would fill the memory.
    """
    longest = LONGEST * min(picture.shape[:2])
    top, left = (max(0, side - longest) // 2 for side in picture.shape[:2])
    picture = picture[top : top + longest, left : left + longest]
    height, width = picture.shape[:2]
    scale = preprocess.resize_short / min(height, width)
    size = (
        max(preprocess.resize_short, round(width * scale)),
        max(preprocess.resize_short, round(height * scale)),
    )
    if size != (width, height):
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)
    left, top = (size[0] - preprocess.crop) // 2, (size[1] - preprocess.crop) // 2
    return np.ascontiguousarray(picture[top : top + preprocess.crop, left : left + preprocess.crop])
