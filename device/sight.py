"""What the bin sees: the newest frame, what lies in it, and what the classifier is shown of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from device.camera import Frame
from device.classifier import Classifier, Observation
from device.clock import Clock
from device.presence import Presence, Sighting

FRAMES_FUSED = 4
"""The model is shown the mean of so many frames at most in which a thing lay still: noise costs it right answers."""
MARGIN = 0.12
"""Of the object's longer side, left around it in the crop."""
PICTURES_KEPT = 8
"""Of the last drops, for a history that is written late."""


class Sight:
    """From a camera's frames to what lies on the tray, and from there to what the model says of it.

    >>> sight = Sight(Presence(config.presence, config.camera.region), classifier, clock)     # doctest: +SKIP
    >>> sight.take(frame, waits=False).state                                                  # doctest: +SKIP
    'empty'

    `frame` and `sighting`: the newest, None before the first; `taken_s`: when that came, or when this was made.
    """

    def __init__(self, presence: Presence, classifier: Classifier, clock: Clock) -> None:
        self.frame: Frame | None = None
        self.sighting: Sighting | None = None
        self.taken_s = clock.now()
        self._presence = presence
        self._classifier = classifier
        self._clock = clock
        self._at_rest: deque[Frame] = deque(maxlen=FRAMES_FUSED)
        self._shown: NDArray[np.uint8] | None = None
        self._judged: dict[int, NDArray[np.uint8]] = {}

    def take(self, frame: Frame, waits: bool) -> Sighting:
        """What lies on the tray in a new frame; `waits`: the thing that lay there has yet to be judged."""
        self.taken_s = self._clock.now()
        self.frame, self.sighting = frame, self._presence.update(frame, waits)
        # Rest begins with the frame before the first in which nothing moved, so the newest is always kept.
        if self.sighting.at_rest_since_s is None:
            self._at_rest.clear()
        self._at_rest.append(frame)
        return self.sighting

    def look(self) -> Observation | None:
        """What the model says of the frames in which the thing lies still; None before the first frame."""
        if self.sighting is None:
            return None
        self._shown = crop_object(self._at_rest, self.sighting)
        start_s = self._clock.now()
        observation = self._classifier.observe(self._shown)
        self._presence.looked(self._clock.now() - start_s)
        return observation

    def keep(self, drop: int) -> None:
        """Keep what the model was shown last as the picture of a drop, until `PICTURES_KEPT` more drops have come."""
        if self._shown is not None:
            self._judged[drop] = self._shown
        self._judged.pop(drop - PICTURES_KEPT, None)

    def judged(self, drop: int) -> NDArray[np.uint8] | None:
        """The picture of a drop, (H, W, 3) uint8 RGB, where it is kept; may be asked by any thread."""
        return self._judged.get(drop)

    def learn_anew(self) -> None:
        """The camera was away: what it shows next is compared with nothing from before."""
        self._presence.reset()


def crop_object(frames: Sequence[Frame], sighting: Sighting) -> NDArray[np.uint8]:
    """What the classifier is shown: a square around the object with a margin, as far as the region allows.

    An object that fills the region gives the region whole, so does a sighting without one. (H, W, 3) uint8 RGB.
    `frames`: at least one, all of a size, in which the object lies as in `sighting`; their mean has less noise.
    """
    left, top, width, height = region = sighting.region
    if sighting.box is not None:
        side = round(max(sighting.box[2:]) * (1 + 2 * MARGIN))
        left, width = _span(sighting.box[0], sighting.box[2], side, region[0], region[2])
        top, height = _span(sighting.box[1], sighting.box[3], side, region[1], region[3])
    total = np.full((height, width, 3), len(frames) // 2, np.uint16)
    for frame in frames:
        total += frame.pixels[top : top + height, left : left + width]
    return (total // len(frames)).astype(np.uint8)


def _span(start: int, length: int, wanted: int, region_start: int, region_length: int) -> tuple[int, int]:
    """Start and length of `wanted` pixels around the middle of a stretch, moved into the region."""
    wanted = min(wanted, region_length)
    begin = start + length // 2 - wanted // 2
    return min(max(begin, region_start), region_start + region_length - wanted), wanted
