"""A rendered thing on the simulated tray, as the device would show it to the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.camera.scene import Light, Scene, Sprite


def crop_of(scene: Scene, thing: Sprite, light: Light, margin: float) -> NDArray[np.uint8]:
    """The square around a thing at rest, (h, w, 3) uint8 RGB; `margin`: its side as a multiple of the thing's."""
    frame = scene.render(1.0, light, [thing])
    rows, columns = frame.shape[:2]
    side = min(rows, round(max(thing.cutout.keeps.shape[:2]) * margin))
    left = min(max(0, round(thing.rest[0] - side / 2)), columns - side)
    top = min(max(0, round(thing.rest[1] - side / 2)), rows - side)
    return frame[top : top + side, left : left + side]
