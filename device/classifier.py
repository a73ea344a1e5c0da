"""From a picture to the probabilities of its materials: the one path that the loop, `classify` and the page use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.bundle import Bundle, Preprocess

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
