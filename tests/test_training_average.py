"""Networks that went on from one another average to one; what cannot be averaged is refused."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from click.testing import CliRunner  # noqa: E402

from device.bundle import Bundle  # noqa: E402
from tests.disks import disk_that_takes  # noqa: E402
from tests.test_training_loop import TINY, photos, training, weights  # noqa: E402
from tests.test_training_revive import SHIPPED  # noqa: E402
from training import average, start  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.average import averaged  # noqa: E402
from training.checkpoints import load_checkpoint, load_student  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.files import write_checkpoint  # noqa: E402
from training.models import Student  # noqa: E402
from training.split import Split, save_split  # noqa: E402

SPLIT = Split((), (), 0)
"""Checkpoints need no photos."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs, `first` and `second`, which began with the same weights."""
    root = tmp_path_factory.mktemp("some runs")
    listed = photos(root / "photos")
    for seed, name in enumerate(("first", "second")):
        training(listed, root / name, replace(TINY, seed=seed)).run()
        save_split(Split(tuple(listed), (), 0), root / name / "split.json")
    return root


def test_an_average_lies_in_the_middle_and_tells_of_its_origin(runs: Path) -> None:
    paths = [runs / name / "model.pt" for name in ("first", "second")]
    mean, first, second = averaged(paths, SPLIT)["state_dict"], weights(runs / "first"), weights(runs / "second")
    name = "features.denseblock4.denselayer3.conv2.weight"
    assert not torch.equal(first[name], second[name])
    for key, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (first[key] + second[key]) / 2)

    write_checkpoint(runs / "kept.pt", averaged(paths, SPLIT))
    student, told = load_student(runs / "kept.pt")
    assert student(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))[0].isfinite().all()
    assert told["epoch"] == 4
    origin = json.loads(told["provenance"])["average_of"]
    assert [one["recipe"]["seed"] for one in origin] == [0, 1]


def test_an_average_says_what_it_learnt_from_only_where_all_say_the_same(runs: Path) -> None:
    paths = [runs / name / "model.pt" for name in ("first", "second")]
    learnt_from = load_checkpoint(paths[0])["photos"]
    assert averaged(paths, SPLIT)["photos"] == learnt_from
    for name, told in (("others", {"photos": "another digest"}), ("silent", {})):
        kept = {key: value for key, value in load_checkpoint(paths[1]).items() if key != "photos"}
        write_checkpoint(runs / f"{name}.pt", {**kept, **told})
        assert "photos" not in averaged([paths[0], runs / f"{name}.pt"], SPLIT)


def test_imagenets_share_is_mixed_in_below_the_head(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(student: Student) -> dict[str, str]:
        for value in student.network.state_dict().values():
            value.fill_(1)
        return {"weights": "all ones"}

    monkeypatch.setattr(average, "take_imagenet", ones)
    mixed, alone = averaged([runs / "first" / "model.pt"], SPLIT, imagenet=0.25), weights(runs / "first")
    for key, value in mixed["state_dict"].items():
        if key.startswith("classifier."):
            assert torch.equal(value, alone[key]), "ImageNet's classes are others"
        elif value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * alone[key] + 0.25)
    assert json.loads(mixed["provenance"])["imagenet"] == {"share": 0.25, "weights": "all ones"}


def test_the_command_keeps_what_lay_there(runs: Path) -> None:
    before = weights(runs / "second")
    paths = [str(runs / name / "model.pt") for name in ("first", "second")]
    command = ["average", *paths, "--run", str(runs / "second")]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "the mean of 2" in result.output
    kept = load_checkpoint(runs / "second" / "earlier-model.pt")["state_dict"]
    assert all(torch.equal(value, kept[key]) for key, value in before.items())
    now = weights(runs / "second")
    assert not torch.equal(now["classifier.weight"], before["classifier.weight"])
    told = json.loads(load_checkpoint(runs / "second" / "model.pt")["provenance"])["command"]
    assert shlex.split(told) == ["python", "-m", "training", *command, "--imagenet", "0"]


def test_an_average_for_which_the_disk_has_no_room_leaves_the_model_in_its_place(runs: Path) -> None:
    before, there = (runs / "first" / "model.pt").read_bytes(), sorted((runs / "first").iterdir())
    with disk_that_takes(1_000_000):
        refused = CliRunner().invoke(main, ["average", str(runs / "second/model.pt"), "--run", str(runs / "first")])
    assert isinstance(refused.exception, OSError)
    assert (runs / "first" / "model.pt").read_bytes() == before
    assert sorted((runs / "first").iterdir()) == there


def test_a_bundle_is_averaged_with_what_went_on_from_it(tmp_path: Path) -> None:
    listed = [replace(photo, material=f"material {photo.cluster}") for photo in photos(tmp_path, count=10)]
    split, version = Split(tuple(listed), (), 0), Bundle.open(SHIPPED).contract.version
    alone = averaged([SHIPPED], split)
    assert json.loads(alone["provenance"])["average_of"][0]["bundle"] == version
    went_on = {key: value + 0.01 if value.is_floating_point() else value for key, value in alone["state_dict"].items()}
    write_checkpoint(tmp_path / "on.pt", {**alone, "state_dict": went_on, "epoch": 7})
    mean = averaged([SHIPPED, tmp_path / "on.pt"], split)
    assert mean["epoch"] == 7
    for key, value in mean["state_dict"].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, alone["state_dict"][key] + 0.005)


def test_what_cannot_be_averaged_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runs / "first" / "model.pt"
    checkpoint = load_checkpoint(first)
    write_checkpoint(runs / "wood.pt", {**checkpoint, "classes": ["glass", "wood"]})
    with pytest.raises(CheckpointError, match=r"wood\.pt tells glass, wood, .*model\.pt glass, paper"):
        averaged([first, runs / "wood.pt"], SPLIT)
    head = {"state_dict": Student(2, "seed").network.state_dict(), "head": "seed"}
    write_checkpoint(runs / "seed.pt", {**checkpoint, **head})
    with pytest.raises(CheckpointError, match=r"seed\.pt has a seed head, .*model\.pt a linear one"):
        averaged([first, runs / "seed.pt"], SPLIT)
    monkeypatch.setattr(start, "imagenet_densenet121", lambda: None)
    with pytest.raises(CheckpointError, match="no ImageNet weights to mix in: leave --imagenet out"):
        averaged([first], SPLIT, imagenet=0.1)
