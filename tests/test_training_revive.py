"""A bundle becomes a model that can be trained further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from device.bundle import Bundle  # noqa: E402
from device.camera.scene import read_cutout  # noqa: E402
from device.camera.simulated import SAMPLES  # noqa: E402
from device.classifier import Classifier  # noqa: E402
from export.calibrate import measure_ranges  # noqa: E402
from export.equalise import equalise  # noqa: E402
from export.graph import int8_model  # noqa: E402
from export.network import from_checkpoint  # noqa: E402
from tests.smooth import smooth_views  # noqa: E402
from tests.test_training_loop import photos  # noqa: E402
from training.augment import evaluation_view  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.models import DEVIATION, MEAN, Student  # noqa: E402
from training.prepare import Split  # noqa: E402
from training.revive import student_from_bundle  # noqa: E402
from training.start import begin, co_teacher  # noqa: E402

SHIPPED = Path(__file__).parents[1] / "models" / "default.onnx"
CLASSES = ("glass", "metal", "organic")


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    return smooth_views(8)


@pytest.fixture(scope="module")
def bundle(views: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported DenseNet121 whose BatchNorms have positive and negative scales."""
    torch.manual_seed(1)
    student = Student(len(CLASSES))
    with torch.no_grad():
        student.train()(views)
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.bias, 0.0, 0.1)
                module.weight[1::5] *= -1
        student.eval()
        network = from_checkpoint(student.network.state_dict(), MEAN[0] * 255, DEVIATION)
        model = int8_model(equalise(network, measure_ranges(network, [views])), temperature=1.0, size_px=64)
    path = tmp_path_factory.mktemp("bundle") / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def answers(pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the samples, (N, K): a student's, revived on every second of them, and the shipped bundle's."""
    classifier = Classifier(Bundle.open(SHIPPED))
    cutouts = [read_cutout(path) for path in sorted(SAMPLES.glob(pattern))]
    pictures = [np.where(one[..., 3:] > 128, one[..., :3], 200).astype(np.uint8) for one in cutouts]
    views = torch.stack([evaluation_view(picture) for picture in pictures])
    contract = classifier.bundle.contract
    student = student_from_bundle(SHIPPED, contract.classes, views[::2])
    with torch.no_grad():
        revived = torch.softmax(student(views)[0] / contract.temperature, dim=1).numpy()
    return revived, np.stack([classifier.observe(picture).probabilities for picture in pictures])


def test_a_student_revived_from_the_shipped_bundle_answers_as_the_bundle_does() -> None:
    revived, wanted = answers("*/0000.png")
    assert np.array_equal(revived.argmax(axis=1), wanted.argmax(axis=1))
    assert revived == pytest.approx(wanted, abs=0.05)


def test_it_also_does_so_on_pictures_that_it_was_not_revived_on_up_to_the_bundles_rounding() -> None:
    revived, wanted = answers("*/*.png")
    apart = np.abs(revived - wanted).max(axis=1)
    assert np.median(apart) < 0.01
    assert apart.max() < 0.1


def test_a_revived_student_starts_at_the_scale_of_a_fresh_one(bundle: Path, views: torch.Tensor) -> None:
    student = student_from_bundle(bundle, CLASSES, views)
    norms = [student.network.features.denseblock2.denselayer1.norm1, student.network.features.norm5]
    assert all(float(norm.weight.abs().max()) == pytest.approx(1) for norm in norms)
    weight = student.network.features.denseblock3.denselayer4.conv2.weight
    assert float(weight.square().mean().sqrt()) == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=1e-3)


def test_a_bundle_of_other_classes_or_of_another_making_is_refused(
    bundle: Path, views: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="knows 3 classes, the data 4"):
        student_from_bundle(bundle, (*CLASSES, "wood"), views)
    foreign = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), foreign)
    with pytest.raises(CheckpointError, match=r"foreign\.onnx is no bundle that Pilah's export wrote"):
        student_from_bundle(foreign, CLASSES, views)
    foreign.write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"cannot be read as an ONNX model"):
        student_from_bundle(foreign, CLASSES, views)


def test_a_bundle_of_as_many_other_materials_lends_its_eyes_but_not_its_names(tmp_path: Path) -> None:
    listed = [replace(photo, material=f"material {photo.cluster}") for photo in photos(tmp_path, count=10)]
    split = Split(tuple(listed), (), 0)
    student = Student(10)
    names, eyes = student.head.weight.clone(), student.network.features.conv0.weight.clone()
    told = begin(student, str(SHIPPED), split)
    assert told is not None
    assert told["bundle"] == Bundle.open(SHIPPED).contract.version
    assert torch.equal(student.head.weight, names)
    assert not torch.equal(student.network.features.conv0.weight, eyes)
    with pytest.raises(CheckpointError, match=r"default\.onnx tells cardboard, carton, .* this run material 0, "):
        co_teacher(SHIPPED, split)
