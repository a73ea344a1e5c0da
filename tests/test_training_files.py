"""What training and export write where the disk fills: whole, or not there, and the disk is named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import torch
from click.testing import CliRunner
from torch import Tensor, nn

from export.__main__ import main as export_command
from export.floating import export_float
from tests.disks import disk_that_takes
from training.__main__ import main as training_command
from training.files import write_checkpoint, write_picture, write_text


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
        export_float(TinyStudent(), 1.0, path, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))  # type: ignore[arg-type]
    assert path.read_bytes() == b"the earlier one" and list(tmp_path.iterdir()) == [path]


def test_of_a_full_disk_it_is_told_which_file_it_had_no_room_for(tmp_path: Path) -> None:
    with disk_that_takes(4096), pytest.raises(OSError) as told:
        write_text(tmp_path / "split.json", "x" * 5000)
    assert told.value.filename == str(tmp_path / "split.json")


def test_a_checkpoint_for_which_there_is_no_room_is_a_fault_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a fault that holds a view of memory is cleared away, Python 3.12 crashes and 3.13 complains."""
    written = io.BytesIO(bytes(5000))
    monkeypatch.setattr("training.files.io.BytesIO", lambda: written)
    monkeypatch.setattr(torch, "save", lambda *_: None)
    with disk_that_takes(4096), pytest.raises(OSError) as told:
        write_checkpoint(tmp_path / "model.pt", {})
    written.truncate(0)  # raises BufferError where there is such a view
    assert told.value.filename == str(tmp_path / "model.pt")


@pytest.mark.parametrize("place", ["a folder", "a file/below"])
@pytest.mark.parametrize("ending", [".onnx", ".html", ".json"])
def test_a_place_that_takes_no_bundle_or_report_is_told_before_minutes_of_work(
    tmp_path: Path, place: str, ending: str
) -> None:
    (tmp_path / f"a folder{ending}").mkdir()
    (tmp_path / "a file").touch()
    out, none = tmp_path / f"{place}{ending}", ["--run", str(tmp_path / "no run")]
    page = str(out.with_suffix(".html"))
    if ending == ".onnx":
        assert "the old bundle is in place" in CliRunner().invoke(export_command, [*none, "--out", str(out)]).output
    else:
        assert isinstance(CliRunner().invoke(training_command, ["report", *none, "--out", page]).exception, OSError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", f"a folder{ending}"]
