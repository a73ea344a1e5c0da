"""A DenseNet121 whose norms are shared is still torchvision's DenseNet121, and leaves no clip on the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torchvision.models import DenseNet, densenet121  # noqa: E402

from export.calibrate import measure_ranges  # noqa: E402
from export.equalise import equalise, narrow  # noqa: E402
from export.graph import int8_model  # noqa: E402
from export.network import from_checkpoint  # noqa: E402
from tests.smooth import smooth_views  # noqa: E402
from tests.test_training_loop import TINY, photos, training  # noqa: E402
from training.checkpoints import load_student  # noqa: E402
from training.models import DEVIATION, MEAN, Student  # noqa: E402
from training.pace import main as pace  # noqa: E402
from training.shared import SharedDenseNet  # noqa: E402


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    return smooth_views(8)


@pytest.fixture(scope="module")
def student(views: torch.Tensor) -> Student:
    """Shared norms with positive, negative and zero scales, and statistics of real pictures."""
    torch.manual_seed(1)
    student = Student(3, norms="shared")
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 0.8, 0.4)
                nn.init.normal_(module.bias, 0.0, 0.3)
                module.weight[1::5] *= -1
                module.weight[::11] = 0.0
        for _ in range(30):
            student.train()(views)
    return student.eval()


def published(student: Student) -> DenseNet:
    network = densenet121(num_classes=3)
    network.load_state_dict(student.published())
    return network.eval()


@torch.no_grad()
def logits(network: DenseNet, student: Student, views: torch.Tensor) -> torch.Tensor:
    return network(student.normalise(views))


@torch.no_grad()
def test_what_is_published_is_torchvisions_densenet_and_answers_the_same(student: Student, views: torch.Tensor) -> None:
    wanted = student(views)[0]
    torch.testing.assert_close(logits(published(student), student, views), wanted, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_published_network_is_taken_up_again_as_it_was(student: Student, views: torch.Tensor) -> None:
    again = Student(3, norms="shared").eval()
    again.take(published(student))
    torch.testing.assert_close(again(views)[0], student(views)[0], atol=2e-3, rtol=2e-3)


@torch.no_grad()
def test_readers_that_disagree_leave_a_channel_with_their_mean_threshold() -> None:
    network, shared = densenet121(num_classes=3), SharedDenseNet(3)
    first, *others = (layer for layer in list(network.features.denseblock4.values())[1:])
    first.norm1.bias[512:544] = 1.0
    for other in others:
        other.norm1.bias[512:544] = 0.0
    shared.adopt(network)
    bias = shared.features.get_submodule("denseblock4.denselayer1.norm").bias
    assert float(bias.min()) > 0 and float(bias.max()) < 0.5


@torch.no_grad()
def test_shared_norms_leave_no_clip_between_the_convolutions_of_the_bundle(
    student: Student, views: torch.Tensor
) -> None:
    def kinds(state: dict[str, torch.Tensor]) -> set[str]:
        network = from_checkpoint(state, MEAN[0] * 255, DEVIATION)
        ranges = narrow(network, measure_ranges(network, [views]))
        return {node.op_type for node in int8_model(equalise(network, ranges), 1.0, size_px=64).graph.node}

    own = student.published()
    assert not {"Max", "Min"} & kinds(own)
    own["features.denseblock2.denselayer4.norm1.bias"] += 0.3
    assert "Max" in kinds(own)


def test_a_training_with_shared_norms_ends_with_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    shared = training(listed, tmp_path / "shared", replace(TINY, norms="shared"))
    shared.run()
    plain, checkpoint = load_student(tmp_path / "shared" / "model.pt")
    assert checkpoint["epoch"] == 2
    views = torch.stack(shared.held_out[0].pictures)
    with torch.no_grad():
        torch.testing.assert_close(plain(views)[0], shared.average(views)[0], atol=1e-3, rtol=1e-3)


def test_the_pace_is_told_side_by_side_and_what_a_teacher_takes_of_it() -> None:
    told = CliRunner().invoke(pace, ["--size", "32", "--batch", "2", "--rounds", "1"])
    assert told.exit_code == 0
    size_px, own, shared, taught, echoed = told.output.splitlines()[-1].strip("| ").split(" | ")
    assert size_px == "32" and float(own) > 0
    assert 0 < float(taught) <= float(echoed) <= float(shared)
