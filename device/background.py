"""What the empty tray looks like, and what in a frame differs from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]

WIDTH, HEIGHT = 160, 120
"""Presence looks at this many pixels: averaging the frame down takes most of the sensor's noise out."""
DARK = 16.0
"""Added to each level before the logarithm, so that noise in the dark is not taken for a change of light."""
DIFFERS = 0.13
"""Of the logarithm of the level: a change by an eighth is something."""
EDGE = 0.10
"""Step between neighbouring pixels that a thing's outline has and a soft shadow lacks."""
MOVES = 0.10
ADAPTS_OVER_S = 8.0
FIT_STEP = 5
"""The light is fitted on every fifth pixel of each row and column."""

_LEVELS = np.log(np.arange(256, dtype=np.float32) + DARK)
_BRIGHTEST = float(_LEVELS[-2])
_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Measurement:
    """What one frame shows. Fractions are of the region's area; the box is (left, top, width, height) of the region.

    `area`: covered by something that is not the tray; `motion`: changed since the frame before; `box`: around all
    that covers it, as fractions of the region, None where nothing does; `is_ghost`: what differs is a thing that was
    taken for tray and has gone.
    """

    area: float
    motion: float
    box: tuple[float, float, float, float] | None
    is_ghost: bool = False


class Background:
    """A slowly adapting picture of the empty tray.

    Works on the logarithm of the levels, where a change of light is an addition: a lamp that is switched adds a
    smooth field, which is fitted (a quadratic surface per colour) and taken away before anything is compared. What
    still differs counts only where it has outlines, which soft shadows lack.
    """

    def __init__(self) -> None:
        self._mean: Floats | None = None
        self._learnt = 0
        self._last: Floats | None = None
        self._light = _LightFit()

    def learn(self, picture: Floats) -> None:
        """Average `picture` into a fresh background."""
        self._learnt += 1
        if self._mean is None:
            self._mean = picture.copy()
        else:
            self._mean += (picture - self._mean) / self._learnt

    def forget(self) -> None:
        self._mean, self._learnt, self._last = None, 0, None

    def absorb(self, picture: Floats) -> None:
        """From now on what `picture` shows is the tray."""
        self._mean = picture.copy()

    def motion(self, picture: Floats) -> float:
        """Fraction of pixels that changed since the frame before, apart from a change of all."""
        last, self._last = self._last, picture
        if last is None:
            return 0.0
        change = picture - last
        change -= np.median(change[::FIT_STEP, ::FIT_STEP].reshape(-1, 3), axis=0)
        return float(np.count_nonzero(np.abs(change).max(axis=2) > MOVES)) / (WIDTH * HEIGHT)
