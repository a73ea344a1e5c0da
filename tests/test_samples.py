"""The shipped samples: enough of each material, small, and recognised by the shipped model through the real path."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device.bundle import Bundle
from device.camera.scene import read_cutout
from device.camera.simulated import SAMPLES
from device.classifier import Classifier
from device.config import Config
from device.evidence import policy_of
from training.render.choose import POSES, right_lids

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


def test_the_renderer_makes_the_same_thing_from_the_same_seed() -> None:
    pytest.importorskip("mitsuba")
    from training.render.__main__ import make

    first, again, other = (make("metal", seed, size_px=48, samples=4) for seed in (3, 3, 4))
    assert first.shape == (48, 48, 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert cv2.countNonZero(first[..., 3]) > 100
