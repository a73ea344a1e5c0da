"""The shipped samples: enough of each material, small, and recognised by the shipped model through the real path."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from device.bundle import Bundle
from device.camera.scene import read_cutout
from device.camera.simulated import SAMPLES
from device.classifier import Classifier
from device.config import Config
from device.evidence import policy_of
from training.render.choose import POSES, main, right_lids

MODEL = Path(__file__).parents[1] / "models" / "default.onnx"
BYTES_AT_MOST = 3_000_000


def samples() -> list[Path]:
    return sorted(SAMPLES.glob("*/*.png"))


def test_every_material_of_the_default_bin_has_a_sample() -> None:
    assert {path.parent.name for path in samples()} == set(Config().materials)


def test_samples_are_cut_out_and_small() -> None:
    for path in samples():
        alpha = read_cutout(path)[..., 3]
        assert 0.02 < (alpha > 128).mean() < 0.9, path
        assert not alpha[0, 0], path
    assert sum(path.stat().st_size for path in samples()) < BYTES_AT_MOST


@pytest.mark.parametrize("path", samples(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_model_opens_the_right_lid_for_a_sample_at_most_angles(path: Path) -> None:
    config, classifier = Config(), Classifier(Bundle.open(MODEL))
    policy = policy_of(config, classifier.bundle.contract)
    right, _ = right_lids(read_cutout(path), config.materials[path.parent.name], classifier, policy)
    assert right >= POSES * 3 // 4, f"{right} of {POSES}"


@pytest.fixture
def candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one candidate of glass, which the model names, beside samples of glass and metal."""
    picture = (SAMPLES / "glass").glob("*.png").__next__().read_bytes()
    for name in ("candidates/glass/new.png", "samples/glass/old.png", "samples/metal/old.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(picture)
    monkeypatch.setattr("training.render.choose.right_lids", lambda *_: (POSES, 1.0))
    return tmp_path / "candidates"


def test_samples_without_candidates_are_kept(candidates: Path) -> None:
    out = candidates.parent / "samples"
    result = CliRunner().invoke(main, [str(candidates), "--model", str(MODEL), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.png")) == ["glass/new.png", "metal/old.png"]


def test_candidates_are_not_chosen_into_their_own_folder_nor_by_a_model_that_is_missing(candidates: Path) -> None:
    own = CliRunner().invoke(main, [str(candidates), "--model", str(MODEL), "--out", str(candidates)])
    assert own.exit_code == 2 and "--out is the folder of the candidates" in own.output
    assert (candidates / "glass" / "new.png").exists()
    missing = CliRunner().invoke(main, [str(candidates), "--model", "none.onnx", "--out", str(candidates.parent)])
    assert missing.exit_code == 1 and "There is no model at none.onnx" in missing.output


def test_the_renderer_makes_the_same_thing_from_the_same_seed() -> None:
    pytest.importorskip("mitsuba")
    from training.render.__main__ import make

    first, again, other = (make("metal", seed, size_px=48, samples=4) for seed in (3, 3, 4))
    assert first.shape == (48, 48, 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert cv2.countNonZero(first[..., 3]) > 100


def test_rendering_that_was_cut_off_goes_on_with_what_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba")
    from training.render.__main__ import main as render

    whole, half = tmp_path / "glass" / "0007.png", tmp_path / "metal" / "0007.png.part"
    for path in (whole, half):
        path.parent.mkdir()
        path.write_bytes(b"written before")
    command = [str(tmp_path), "--material", "glass", "--material", "metal", "--seeds", "7:8"]
    told = CliRunner().invoke(render, [*command, "--size", "32", "--samples", "1"])
    assert told.exit_code == 0 and told.output.startswith("1 of 2 pictures is there already and kept"), told.output
    assert whole.read_bytes() == b"written before"
    assert [path.name for path in half.parent.iterdir()] == ["0007.png"]
