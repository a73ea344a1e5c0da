"""What the empty tray looks like, and what in a frame differs from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
FractionBox = tuple[float, float, float, float]

WIDTH, HEIGHT = 160, 120
"""Presence looks at this many pixels: averaging the frame down takes most of the sensor's noise out."""
DARK = 16.0
"""Added to each level before the logarithm, so that noise in the dark is not taken for a change of light."""
DIFFERS = 0.07
"""Of the logarithm of the level: a change by a fourteenth is something."""
EDGE = 0.06
"""Step across two pixels that a thing's outline has and a soft shadow lacks."""
OUTLINED = 0.25
"""Part of a thing's circumference that must show such steps."""
MOVES = 0.06
NOISES = 6.0
"""Nothing is taken for a change that is less than so many standard deviations of the noise."""
NOISE_AT_FIRST = 0.005
NOISE_GROWS = 4.0
ADAPTS_OVER_S = 8.0
SPARSE = 5
"""The light is fitted to every fifth pixel of each row and column."""
WHITE = 253.0
"""What a picture shows as bright as this may be any brighter."""
TELLS = 0.05
"""Part of the samples that must be darker than white for the light to be fitted to them alone."""

_LOGARITHMS = np.log(np.minimum(np.arange(256, dtype=np.float32), np.float32(WHITE)) + np.float32(DARK))
_BRIGHTEST = _LOGARITHMS[-1]
_RIDGE = np.diag(np.array([1e-3, *[0.3] * 5], np.float32))
"""Light is taken for even where too little is seen of it to tell how it falls."""
_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Measurement:
    """What one frame shows, as fractions of the region.

    `area`: covered by what is not the tray, 0 where that is less than the smallest thing; `motion`: changed since the
    frame before; `box`: (left, top, width, height) around all that covers it, None where nothing does; `changed`: how
    much of the thing that last lay still looks different now, 1 without such a thing; `is_ghost`: what differs is a
    hole that something left which had been taken for tray.
    """

    area: float = 0.0
    motion: float = 0.0
    box: FractionBox | None = None
    changed: float = 1.0
    is_ghost: bool = False


def log_levels(picture: NDArray[np.uint8]) -> Floats:
    """(H, W, 3) uint8 → (120, 160, 3) float32: logarithm of the averaged levels, each with `DARK` added."""
    small = picture
    while small.shape[0] >= 2 * HEIGHT and small.shape[1] >= 2 * WIDTH and not (small.shape[0] | small.shape[1]) & 1:
        # OpenCV halves several times as fast as it averages by any other factor.
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_AREA), np.uint8)
    small = np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.LUT(small, _LOGARITHMS), np.float32)


class Background:
    """A slowly adapting picture of the empty tray.

    Compares logarithms of the levels. A change of light multiplies the levels, those of the tray and of the dark floor
    beside it alike, by a smooth field: it is fitted, and the remembered tray is put into that light before anything
    is compared. What still differs counts only where it has outlines, which soft shadows lack. All
    pictures: `log_levels`.
    """

    def __init__(self, smallest_area: float) -> None:
        self._smallest_area = smallest_area
        self._tray: Floats | None = None
        self._learnt = 0
        self._last: Floats | None = None
        self._thing: tuple[Floats, Mask] | None = None
        self._mask: Mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        self._noise = NOISE_AT_FIRST
        self._light = _Light()

    def learn(self, picture: Floats) -> float:
        """Average `picture` into the background; the fraction of it that moved since the last."""
        self._learnt += 1
        if self._tray is None:
            self.absorb(picture)
        else:
            rest = picture - _logarithms_of(self._tray)
            self._noise = max(self._noise, _noise(rest[::SPARSE, ::SPARSE]))
            self._tray += (_levels_of(picture) - self._tray) / self._learnt
        return self._motion(picture)

    def forget(self) -> None:
        """Begin anew: the next pictures are learnt."""
        self._tray, self._learnt, self._last, self._thing = None, 0, None, None
        self._noise = NOISE_AT_FIRST

    def absorb(self, picture: Floats) -> None:
        """From now on, all that `picture` shows is tray."""
        self._tray, self._thing = _levels_of(picture), None

    def remember(self, picture: Floats) -> None:
        """Keep the looks of what covers the tray, to tell later whether it is still the same thing."""
        self._thing = picture, self._mask

    def measure(self, picture: Floats, elapsed_s: float) -> Measurement:
        """Compare `picture` with what was learnt; an empty tray adapts by what `elapsed_s` seconds are worth."""
        if self._tray is None:
            raise ValueError("nothing was learnt yet")
        motion = self._motion(picture)
        lit = self._tray * self._light.fit(self._tray, picture)
        expected = np.minimum(_logarithms_of(lit), _BRIGHTEST)
        rest = picture - expected
        noise = self._bounded(_noise(rest[::SPARSE, ::SPARSE]))
        self._mask = _outlined(rest, expected, noise)
        area = cv2.countNonZero(self._mask) / (WIDTH * HEIGHT)
        if area == 0 or area < self._smallest_area:
            self._noise += (noise - self._noise) / 10
            adapts = np.float32(min(1.0, elapsed_s / ADAPTS_OVER_S))
            self._tray = (lit + np.float32(DARK)) * np.asarray(cv2.exp(rest * adapts)) - np.float32(DARK)
            return Measurement(motion=motion)
        left, top, width, height = cv2.boundingRect(self._mask)
        box = (left / WIDTH, top / HEIGHT, width / WIDTH, height / HEIGHT)
        changed = self._changed(picture)
        is_ghost = changed > 0 and not covers(box) and self._outline_is_older(picture, expected)
        return Measurement(area, motion, box, changed, is_ghost)

    def _motion(self, picture: Floats) -> float:
        last, self._last = self._last, picture
        if last is None:
            return 0.0
        # What moves does so over several pixels; noise, strong on dark things, is averaged away.
        change = np.asarray(cv2.blur(picture - last, (3, 3)), np.float32)
        sparse = change[::SPARSE, ::SPARSE].reshape(-1, 3)
        light = _median(sparse)
        noise = self._bounded(_noise(sparse - light))
        # NumPy takes three numbers from each pixel much more slowly than a row from each row.
        rest = change.reshape(HEIGHT, -1) - np.tile(light, WIDTH)
        moves = _exceeds(rest.reshape(change.shape), MOVES, noise, picture)
        return cv2.countNonZero(moves) / (WIDTH * HEIGHT)

    def _bounded(self, noise: float) -> float:
        """Noise grows when a lamp goes out, but what is many times noisier than the tray is a thing with a pattern."""
        return min(noise, NOISE_GROWS * self._noise)

    def _changed(self, picture: Floats) -> float:
        """How much of what covers the tray, or covered it when something last lay still, looks different now."""
        if self._thing is None:
            return 1.0
        looks, mask = self._thing
        region = self._mask | mask
        around = _around(region)
        rest = np.abs(picture[around] - looks[around])
        return float(np.mean(_largest(rest)[region[around] > 0] > 2 * DIFFERS))

    def _outline_is_older(self, picture: Floats, expected: Floats) -> bool:
        """Whether the outline of what differs is seen in the remembered tray rather than in the picture."""
        around = _around(self._mask)
        outline = cv2.morphologyEx(self._mask[around], cv2.MORPH_GRADIENT, _KERNEL)[1:-1, 1:-1] > 0
        now, remembered = (float(_steps(one[around])[outline].mean()) for one in (picture, expected))
        return remembered > EDGE / 2 and remembered > 1.5 * now


class _Light:
    """Fits a smooth change of light, by least squares that leave out what does not follow it.

    The logarithm of the factor is a quadratic surface for each colour.
    """

    def __init__(self) -> None:
        rows, columns = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
        terms = (np.ones_like(rows), rows, columns, rows * columns, rows**2, columns**2)
        self._surface = np.stack(terms, axis=2).reshape(-1, len(terms))
        self._sparse = np.stack(terms, axis=2)[::SPARSE, ::SPARSE].reshape(-1, len(terms)).copy()

    def fit(self, tray: Floats, picture: Floats) -> Floats:
        """`tray`: levels, (120, 160, 3) float32 → by what the light multiplies them; 1 where most does not follow."""
        before = np.maximum(tray[::SPARSE, ::SPARSE].reshape(-1, 3), 1)
        now = np.maximum(_levels_of(picture[::SPARSE, ::SPARSE].reshape(-1, 3)), 1)
        tells = np.all(np.maximum(before, now) < WHITE - 0.5, axis=1)
        terms, samples = self._sparse, np.log(now / before)
        trust = np.minimum(before, now)
        if TELLS * len(tells) <= np.count_nonzero(tells) < len(tells):
            terms, samples, trust = terms[tells], samples[tells], trust[tells]
        # What a step of the softened logarithm is worth: a level more or less says little about light in the dark.
        trust /= trust + DARK
        trusted = terms * (trust.mean(axis=1) ** 2)[:, None]
        rest = samples - _median(samples)
        follows = np.zeros(len(samples), bool)
        weights = np.zeros((6, 3), np.float32)
        for _ in range(3):
            distance = _largest(np.abs(rest) * trust)
            previous, follows = follows, distance <= max(DIFFERS, 2.5 * float(_median(distance)))
            if np.array_equal(previous, follows):
                break
            followed = trusted * follows[:, None]
            weights = np.linalg.solve(followed.T @ terms + _RIDGE, followed.T @ samples)
            rest = samples - terms @ weights
        if np.count_nonzero(_largest(np.abs(rest) * trust) <= 2 * DIFFERS) < len(rest) / 2:
            return np.ones_like(tray)
        return np.asarray(cv2.exp((self._surface @ weights).reshape(tray.shape)), np.float32)


def covers(box: FractionBox) -> bool:
    """Whether a box fills the region, but for a strip."""
    return box[2] >= 0.85 and box[3] >= 0.85


def _outlined(rest: Floats, expected: Floats, noise: float) -> Mask:
    """The parts of what is left of a picture, once tray and light are taken away, that have outlines."""
    mask = _exceeds(rest, DIFFERS, noise, expected)
    if not mask.any():
        return mask
    around = _around(mask)
    closed = cv2.morphologyEx(mask[around], cv2.MORPH_CLOSE, _KERNEL)
    steps = np.zeros(closed.shape, bool)
    steps[1:-1, 1:-1] = _steps(rest[around]) > max(EDGE, NOISES * noise)
    count, labels, sizes, _ = cv2.connectedComponentsWithStats(closed)
    outlines = np.bincount(labels[steps].astype(np.intp), minlength=count)
    lengths = 2 * (sizes[:, cv2.CC_STAT_WIDTH] + sizes[:, cv2.CC_STAT_HEIGHT])
    is_thing = (outlines > OUTLINED * lengths) & (sizes[:, cv2.CC_STAT_AREA] >= 6)
    is_thing[0] = False
    mask[around] = is_thing[labels]
    return mask


def _around(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns around all that is set, two more on each side: the rest is not worth looking at."""
    left, top, width, height = cv2.boundingRect(mask)
    return slice(max(0, top - 2), top + height + 2), slice(max(0, left - 2), left + width + 2)


def _exceeds(rest: Floats, least: float, noise: float, picture: Floats) -> Mask:
    """Where any colour of `rest`, up or down, is more than `least`, and more than noise in such a `picture`.

    A sensor's noise is about as strong in the dark as in the light, so its logarithm is larger there.
    """
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    change = np.abs(rest)
    if change.max() <= least:
        return mask
    at = np.flatnonzero(_largest(change) > least)
    darker = np.asarray(cv2.exp(_median(picture[::SPARSE, ::SPARSE].ravel()) - picture.reshape(-1, 3)[at]), np.float32)
    limits = np.maximum(darker * np.float32(NOISES * noise), np.float32(least))
    mask.reshape(-1)[at] = _largest(change.reshape(-1, 3)[at] - limits) > 0
    return mask


def _steps(picture: Floats) -> Floats:
    """Largest step across two pixels, to the right or down, of each inner pixel."""
    across = cv2.absdiff(picture[1:-1, 2:], picture[1:-1, :-2])
    down = cv2.absdiff(picture[2:, 1:-1], picture[:-2, 1:-1])
    return _largest(np.asarray(cv2.max(across, down), np.float32))


def _logarithms_of(tray: Floats) -> Floats:
    return np.asarray(cv2.log(tray + np.float32(DARK)), np.float32)


def _levels_of(picture: Floats) -> Floats:
    return np.asarray(cv2.exp(picture), np.float32).reshape(picture.shape) - np.float32(DARK)


def _largest(colours: Floats) -> Floats:
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def _noise(rest: Floats) -> float:
    """Standard deviation of what is mostly noise, from its median, which things do not sway."""
    return 1.4826 * float(_median(np.abs(rest).ravel()))


def _median(values: Floats) -> Floats:
    """Of each column; NumPy's own spends most of its time on other cases than so few numbers."""
    ordered = np.sort(values.T)
    half = len(values) // 2
    return np.asarray((ordered[..., half] + ordered[..., (len(values) - 1) // 2]) / 2)
