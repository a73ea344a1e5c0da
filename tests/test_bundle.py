"""The device reads only bundles that keep the contract, and says what is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device.bundle import UNTOLD, Bundle, Preprocess, digest
from device.classifier import Classifier, prepare
from device.errors import BundleError
from tests.bundles import COLOURS, SHARPNESS, plain, write_bundle


@pytest.mark.parametrize("material", COLOURS)
def test_a_bundle_that_keeps_the_contract_is_read_and_names_materials(tmp_path: Path, material: str) -> None:
    classifier = Classifier(Bundle.open(write_bundle(tmp_path / "model.onnx")))
    seen = classifier.observe(plain(material))
    assert seen.classes[int(seen.probabilities.argmax())] == material
    assert seen.energy == pytest.approx(0, abs=1)


@pytest.mark.parametrize("shape", [(1, 9001, 3), (9001, 1, 3)])
def test_a_very_long_picture_is_seen_by_its_middle_and_takes_little_memory(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    resize = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda picture, size, **how: sizes.append(size) or resize(picture, size, **how))
    picture = np.zeros(shape, np.uint8)
    picture.reshape(-1, 3)[4499:4502] = 200
    seen = prepare(picture, Preprocess(resize_short=224, crop=224, interpolation="area"))
    assert seen.shape == (224, 224, 3) and (seen == 200).all()
    assert max(sizes[0]) <= 4 * 224


def test_a_fine_pattern_shrinks_to_its_mean_and_a_small_picture_grows_smoothly() -> None:
    asked = Preprocess(resize_short=64, crop=64, interpolation="area")
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::4] = 200
    assert (prepare(stripes, asked) == 50).all()
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[:, 1] = 200
    assert len(np.unique(prepare(halves, asked))) > 10


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


def test_a_model_whose_description_the_card_has_damaged_is_told(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes().replace(b'"licence"', b'"lic\xe5nce"'))
    with pytest.raises(BundleError, match=r"cannot be loaded as an ONNX model.* copy it again"):
        Bundle.open(path)


def sealed(path: Path) -> bytes:
    """A bundle that tells its own digest."""
    told = digest(write_bundle(path, sha256=UNTOLD).read_bytes(), UNTOLD)
    return write_bundle(path, sha256=told).read_bytes()


def test_a_model_that_lost_a_weight_but_still_loads_is_told_by_its_own_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = sealed(path)
    Bundle.open(path)
    path.write_bytes(whole.replace(np.float32(-SHARPNESS).tobytes(), np.float32(-1).tobytes()))
    with pytest.raises(BundleError, match=r"model\.onnx is damaged: .* copy it again"):
        Bundle.open(path)


@pytest.mark.parametrize("digit", [0, 63])
def test_a_digest_that_is_damaged_itself_is_told(tmp_path: Path, digit: int) -> None:
    path = tmp_path / "model.onnx"
    whole = bytearray(sealed(path))
    at = whole.index(Bundle.open(path).contract.sha256.encode()) + digit  # type: ignore[union-attr]
    whole[at] = ord("e") if whole[at] != ord("e") else ord("f")
    path.write_bytes(whole)
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.open(path)


def test_a_model_that_gives_no_numbers_is_told(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model.onnx", COLOURS | {"wood": (float("nan"), 70, 20)})  # type: ignore[dict-item]
    with pytest.raises(BundleError, match="gives no numbers; the file may be damaged"):
        Bundle.open(path)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"pilah_contract": None}, "no Pilah bundle"),
        ({"pilah_contract": 2}, "keeps contract 2, this program reads contract 1"),
        ({"pilah_contract": "1"}, "keeps contract '1', this program reads contract 1"),
        ({"classes": ["Food waste"] + ["glass"] * 9}, r"classes\.0: String should match pattern"),
        ({"thresholds": {"confidence": 0.6, "energy": float("inf")}}, r"energy: Input should be a finite number"),
        ({"thresholds": None}, "thresholds: Field required"),
        ({"classes": ["glass", "paper"]}, "1×2 for its 2 classes"),
        ({"classes": ["glass"] * 10}, "metadata: classes names a material twice"),
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
