"""What a bundle does with things that no class covers is measured by the device's own rule."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
from tests.bundles import COLOURS, write_bundle
from tests.drawn import save
from training.__main__ import main
from training.errors import DataError
from training.split import Photo, Split, save_split
from training.unknown import separation


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one photo per material, and beside it `strange`: two pictures of no known colour, one of a bag."""
    photos = []
    for number, (material, colour) in enumerate(COLOURS.items()):
        file = save(np.full((48, 64, 3), colour, np.uint8), tmp_path / "data" / material / "0.png")
        photos.append(Photo(str(file), "street", material, "val", number))
    save_split(Split(tuple(photos), (), 0), tmp_path / "run" / "split.json")
    for name, colour in {"pink": (255, 20, 120), "lime": (130, 255, 0), "bag": (20, 20, 170)}.items():
        save(np.full((48, 64, 3), colour, np.uint8), tmp_path / "strange" / f"{name}.png")
    return tmp_path / "run"


def test_the_unknown_are_counted_with_and_without_thresholds(run: Path) -> None:
    write_bundle(run / "bundle.onnx", thresholds={"confidence": 0.0, "energy": -20})
    command = ["unknown", str(run.parent / "strange"), "--run", str(run), "--bundle", str(run / "bundle.onnx")]
    said = CliRunner().invoke(main, command, catch_exceptions=False).output
    fallback, anyway, known, known_anyway = re.findall(r"(\d+) of (\d+):", said)
    assert fallback == ("3", "3")
    assert anyway == ("1", "3")
    assert known == known_anyway == ("10", "10")
    assert "energy is higher for a known thing than for an unknown one in 100.0 % of pairs" in said


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_counted(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(run / "bundle.onnx", thresholds={"confidence": 0.0, "energy": -20})
    broken = run.parent / "strange" / "cut-short.png"
    broken.write_bytes((run.parent / "strange" / "pink.png").read_bytes()[:40])
    command = ["unknown", str(run.parent / "strange"), "--run", str(run), "--bundle", str(run / "bundle.onnx")]
    told = CliRunner().invoke(main, command, catch_exceptions=False)
    assert re.findall(r"(\d+) of (\d+):", told.output)[0] == ("3", "3")
    assert f"left out: {broken} is truncated" in caplog.text


def test_a_folder_without_pictures_is_told(run: Path) -> None:
    write_bundle(run / "bundle.onnx")
    (run / "empty").mkdir()
    with pytest.raises(DataError, match="no photo of unknown things"):
        CliRunner().invoke(
            main, ["unknown", str(run / "empty"), "--run", str(run), "--bundle", str(run / "bundle.onnx")],
            catch_exceptions=False,
        )  # fmt: skip


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert separation(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert separation(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == pytest.approx(1.5 / 4)
