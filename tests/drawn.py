"""Pictures that tests draw for themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def a_picture(height: int = 256, width: int = 341, seed: int = 0) -> NDArray[np.uint8]:
    """Something with colours, edges and texture: (height, width, 3) uint8 RGB."""
    chance = np.random.default_rng(seed)
    picture = np.full((height, width, 3), chance.integers(120, 235, 3), np.uint8)
    for _ in range(12):
        centre = int(chance.integers(width)), int(chance.integers(height))
        colour = tuple(int(level) for level in chance.integers(0, 255, 3))
        cv2.circle(picture, centre, int(chance.integers(8, max(9, height // 4))), colour, -1)
    return cv2.add(picture, chance.integers(0, 12, picture.shape).astype(np.uint8))


def save(picture: NDArray[np.uint8], file: Path) -> Path:
    """Write (H, W, 3) RGB or (H, W, 4) RGBA to `file` in the format of its suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    assert cv2.imwrite(str(file), cv2.cvtColor(picture, order))
    return file


def encoded(suffix: str, picture: NDArray[np.uint8] | None = None) -> bytes:
    """A picture as the bytes of a file with `suffix`."""
    picture = a_picture() if picture is None else picture
    return cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def samples(folder: Path) -> Path:
    """Cut-outs of three plain things, as the simulated tray takes them: `<material>/<name>.png`."""
    for material, colour, is_round in (
        ("metal", (70, 60, 60), True),
        ("glass", (40, 120, 60), False),
        ("paper", (230, 228, 225), False),
    ):
        picture = np.zeros((400, 300, 4), np.uint8)
        if is_round:
            cv2.ellipse(picture, (150, 200), (120, 180), 0, 0, 360, (*colour, 255), -1)
        else:
            cv2.rectangle(picture, (30, 30), (270, 370), (*colour, 255), -1)
        cv2.line(picture, (60, 60), (200, 300), (*(level // 2 for level in colour), 255), 10)
        save(picture, folder / material / "one.png")
    return folder
