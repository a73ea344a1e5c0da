"""What training and export write where the disk fills: whole, or not there, and the disk is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from torch import Tensor, nn

from export.floating import export_float
from tests.disks import disk_that_takes
from training.files import write_picture, write_text


class TinyStudent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4096)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pooled = image.float().mean(dim=(2, 3))
        return self.head(pooled), pooled


def test_a_picture_for_which_there_is_no_room_is_told_and_leaves_no_half(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    with disk_that_takes(4096), pytest.raises(OSError):
        write_picture(tmp_path / "contact-sheet.jpg", Image.fromarray(noise))
    assert not list(tmp_path.iterdir())


def test_a_float_model_for_which_there_is_no_room_leaves_the_earlier_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(b"the earlier one")
    with disk_that_takes(4096), pytest.raises(OSError):
        export_float(TinyStudent(), 1.0, path, 8)  # type: ignore[arg-type]
    assert path.read_bytes() == b"the earlier one" and list(tmp_path.iterdir()) == [path]


def test_of_a_full_disk_it_is_told_which_file_it_had_no_room_for(tmp_path: Path) -> None:
    with disk_that_takes(4096), pytest.raises(OSError) as told:
        write_text(tmp_path / "split.json", "x" * 5000)
    assert told.value.filename == str(tmp_path / "split.json")
