"""The device reads only bundles that keep the contract, and says what is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.bundle import Bundle
from device.classifier import Classifier
from device.errors import BundleError
from tests.bundles import COLOURS, plain, write_bundle


@pytest.mark.parametrize("material", COLOURS)
def test_a_bundle_that_keeps_the_contract_is_read_and_names_materials(tmp_path: Path, material: str) -> None:
    classifier = Classifier(Bundle.open(write_bundle(tmp_path / "model.onnx")))
    seen = classifier.observe(plain(material))
    assert seen.classes[int(seen.probabilities.argmax())] == material
    assert seen.energy == pytest.approx(0, abs=1)


def test_a_missing_model_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"There is no model at .*none\.onnx"):
        Bundle.open(tmp_path / "none.onnx")


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("hello")
    with pytest.raises(BundleError, match="cannot be loaded as an ONNX model"):
        Bundle.open(tmp_path / "model.onnx")


def test_a_truncated_model_is_told(tmp_path: Path) -> None:
    whole = write_bundle(tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="cut short"):
        Bundle.open(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"pilah_contract": None}, "no Pilah bundle"),
        ({"pilah_contract": 2}, "keeps contract 2, this program reads contract 1"),
        ({"thresholds": None}, "thresholds: Field required"),
        ({"classes": ["glass", "paper"]}, "1×2 for its 2 classes"),
        ({"classes": ["glass"] * 10}, "names a material twice"),
        ({"float_sha256": "short"}, "float_sha256"),
        ({"preprocess": {"resize_short": 64, "crop": 64, "interpolation": "area"}}, "1×64×64×3"),
        ({"preprocess": {"resize_short": 16, "crop": 32, "interpolation": "area"}}, "larger than resize_short"),
    ],
)
def test_a_bundle_that_breaks_the_contract_is_refused_in_one_sentence(
    tmp_path: Path, metadata: dict[str, object], says: str
) -> None:
    path = write_bundle(tmp_path / "model.onnx", **metadata)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=says) as caught:
        Bundle.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
