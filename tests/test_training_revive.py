"""A bundle becomes a model that can be trained further."""

from __future__ import annotations

import copy
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
from tests.unrounded import unrounded  # noqa: E402
from training import start  # noqa: E402
from training.augment import evaluation_view  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.models import DEVIATION, MEAN, Student  # noqa: E402
from training.revive import student_from_bundle  # noqa: E402
from training.sampling import Photos  # noqa: E402
from training.split import Split  # noqa: E402
from training.start import begin, trained  # noqa: E402

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
    return _exported(student, views, tmp_path_factory.mktemp("bundle"))


@torch.no_grad()
def _exported(student: Student, views: torch.Tensor, folder: Path) -> Path:
    network = from_checkpoint(student.network.state_dict(), MEAN[0] * 255, DEVIATION)
    model = int8_model(equalise(network, measure_ranges(network, [views])), temperature=1.0, size_px=64)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def samples(pattern: str) -> list[np.ndarray]:
    """The published samples on a grey tray, each (H, W, 3) uint8 RGB."""
    cutouts = [read_cutout(path) for path in sorted(SAMPLES.glob(pattern))]
    return [np.where(one[..., 3:] > 128, one[..., :3], 200).astype(np.uint8) for one in cutouts]


def answers(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, (N, K): a student's, revived on every second of the pictures, and the shipped bundle's."""
    classifier = Classifier(Bundle.open(SHIPPED))
    views = torch.stack([evaluation_view(picture) for picture in pictures])
    contract = classifier.bundle.contract
    student = student_from_bundle(SHIPPED, contract.classes, views[::2])
    with torch.no_grad():
        revived = torch.softmax(student(views)[0] / contract.temperature, dim=1).numpy()
    return revived, np.stack([classifier.observe(picture).probabilities for picture in pictures])


def test_a_student_revived_from_the_shipped_bundle_answers_as_the_bundle_does() -> None:
    revived, wanted = answers(samples("*/0000.png"))
    assert np.array_equal(revived.argmax(axis=1), wanted.argmax(axis=1))
    assert revived == pytest.approx(wanted, abs=0.05)


def test_it_also_does_so_on_pictures_that_it_was_not_revived_on_up_to_the_bundles_rounding() -> None:
    pictures = samples("*/*.png")
    revived, wanted = answers(pictures)
    assert np.array_equal(revived.argmax(axis=1), wanted.argmax(axis=1))
    apart = np.sort(np.abs(revived - wanted).max(axis=1))
    assert np.median(apart) < 0.01
    # Colours of one doubtful picture lie beyond what the bundle was calibrated on: it cuts off what the student sees.
    assert apart[-2] < 0.05
    assert apart[-1] < 0.12
    prepared = [evaluation_view(picture).permute(1, 2, 0).numpy() for picture in pictures]
    assert wanted == pytest.approx(unrounded(SHIPPED, prepared), abs=0.03)
    assert revived == pytest.approx(unrounded(SHIPPED, prepared, top=np.inf), abs=0.002)


def test_a_revived_student_starts_at_the_scale_of_a_fresh_one(bundle: Path, views: torch.Tensor) -> None:
    student = student_from_bundle(bundle, CLASSES, views)
    norms = [student.network.features.denseblock2.denselayer1.norm1, student.network.features.norm5]
    assert all(float(norm.weight.detach().abs().max()) == pytest.approx(1) for norm in norms)
    weight = student.network.features.denseblock3.denselayer4.conv2.weight
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=1e-3)


def averaged(first: Student, second: Student) -> Student:
    """A student whose weights are the means of both, as `average` makes them."""
    mean, other = copy.deepcopy(first), second.network.state_dict()
    for key, value in mean.network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[key], 0.5)
    return mean


def test_a_student_revived_beside_its_ancestor_has_its_scales_and_can_be_averaged_with_it(
    views: torch.Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    ancestor = Student(len(CLASSES))
    with torch.no_grad():
        for module in ancestor.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(torch.randn(len(module.weight), 1, 1, 1).exp())
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_((0.5 * torch.randn_like(module.weight)).exp())
        ancestor.network.features.norm0.weight[::4] *= -1
        _settle(ancestor, views)
        taught = copy.deepcopy(ancestor)
        for weight in taught.parameters():
            weight.mul_(1 + 0.05 * torch.randn_like(weight))
        _settle(taught, views)
        path = _exported(taught, views, tmp_path)
        plain, beside = (student_from_bundle(path, CLASSES, views, one) for one in (None, ancestor))
        answers = taught(views)[0]
        torch.testing.assert_close(beside(views)[0], plain(views)[0], atol=1e-2, rtol=0)
        for name in ("conv0", "denseblock2.denselayer5.conv2", "denseblock4.denselayer9.conv1"):
            mine, theirs = (one.network.features.get_submodule(name).weight for one in (beside, taught))
            lives = mine.abs().sum(dim=(0, 2, 3)) > 0
            assert float((mine - theirs)[:, lives].norm() / theirs[:, lives].norm()) < 0.15, name
        far, near = ((averaged(one, taught)(views)[0] - answers).abs().mean() for one in (plain, beside))
        assert near < 0.3 * far


@torch.no_grad()
def test_a_channel_for_which_its_ancestor_has_no_use_is_not_revived_louder_than_any_other(
    views: torch.Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    ancestor = Student(len(CLASSES))
    _settle(ancestor, views)
    path = _exported(ancestor, views, tmp_path)
    ancestor.network.features.denseblock2.denselayer3.conv1.weight[:, :8] *= 1e-6
    plain, beside = (student_from_bundle(path, CLASSES, views, one) for one in (None, ancestor))
    assert max(float(m.weight.abs().max()) for m in beside.modules() if isinstance(m, nn.BatchNorm2d)) < 1.5
    torch.testing.assert_close(beside(views)[0], plain(views)[0], atol=1e-2, rtol=0)


def _settle(student: Student, views: torch.Tensor) -> None:
    """Let the BatchNorms take the statistics of the views."""
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    student.train()(views)
    student.eval()


def test_a_bundle_that_did_not_begin_with_these_weights_keeps_a_fresh_networks_scales(
    bundle: Path, views: torch.Tensor
) -> None:
    torch.manual_seed(2)
    plain = student_from_bundle(bundle, CLASSES, views)
    beside = student_from_bundle(bundle, CLASSES, views, ancestor=Student(len(CLASSES)).eval())
    name = "features.denseblock2.denselayer5.conv2.weight"
    lengths = [one.network.state_dict()[name].flatten(1).norm(dim=1) for one in (plain, beside)]
    torch.testing.assert_close(*lengths)


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


def test_a_revived_student_answers_its_training_views_alike_as_soon_as_training_begins(tmp_path: Path) -> None:
    listed = [replace(photo, material=f"material {photo.cluster}") for photo in photos(tmp_path, count=10)]
    split = Split(tuple(listed), (), 0)
    student, _, _ = trained(SHIPPED, split)
    pictures = Photos(listed, split.classes)
    with torch.no_grad():
        shown = torch.stack(list(pictures.views()))
        plain = torch.stack([evaluation_view(picture.permute(1, 2, 0).numpy()) for picture in pictures.pictures])
        before = [student.eval()(views)[0].softmax(dim=1) for views in (shown, plain)]
        now = [copy.deepcopy(student).train()(views)[0].softmax(dim=1) for views in (shown, plain)]
    on_views, on_plain = (float((one - other).abs().max()) for one, other in zip(before, now, strict=True))
    assert on_views < 0.01 < on_plain, "BatchNorms look at training views while training"


def test_a_bundle_of_other_classes_lends_its_eyes_to_a_training_of_ours(tmp_path: Path) -> None:
    student = Student(2)
    names, eyes = student.head.weight.clone(), student.network.features.conv0.weight.clone()
    begin(student, str(SHIPPED), Split(tuple(photos(tmp_path, count=10)), (), 0))
    assert torch.equal(student.head.weight, names)
    assert not torch.equal(student.network.features.conv0.weight, eyes)


def test_a_bundle_is_revived_on_so_many_photos_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def count(_path: Path, classes: tuple[str, ...], views: torch.Tensor, _ancestor: Student | None) -> Student:
        seen.append(len(views))
        return Student(len(classes))

    monkeypatch.setattr(start, "student_from_bundle", count)
    monkeypatch.setattr(start, "REVIVED_ON", 4)
    listed = photos(tmp_path, count=9)
    for number in (3, 4, 7, 9):
        trained(SHIPPED, Split(tuple(listed[:number]), (), 0))
    assert seen == [3, 4, 4, 3]


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
        trained(SHIPPED, split, split.classes)
