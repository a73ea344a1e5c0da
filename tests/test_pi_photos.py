"""The photos that are dropped before the emulated Pi."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device.errors import PictureError
from tests.pi import photos


@pytest.mark.parametrize("sides", [(), (641,)])
def test_a_folder_without_a_picture_that_is_small_enough_is_told(
    sides: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in sides:
        cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((32, side, 3), np.uint8))
    monkeypatch.setenv("PILAH_DATA", str(tmp_path))
    with pytest.raises(PictureError, match="has no picture with sides of at most 640 pixels: shrink some"):
        photos.choose(4)
