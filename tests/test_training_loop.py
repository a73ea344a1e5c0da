"""A training may be stopped at any moment and ends the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.drawn import a_picture, save
from training.augment import VIEWS, evaluation_view, plain_view, training_view
from training.checkpoints import load_checkpoint, load_student
from training.errors import CheckpointError, TrainingError
from training.loop import Training, mixing
from training.models import Norms, Student
from training.processes import quick_workers
from training.recipes import Phase, Recipe
from training.sampling import Photos, balanced_weights, draw
from training.split import Photo

TINY = Recipe(phases=(Phase(2, 32),), batch=4, distillation=0.0, hint=0.0, ema_decay=0.9, mixup=0.2)


def photos(root: Path, count: int = 8) -> list[Photo]:
    listed = []
    for number in range(count):
        path = root / f"{number}.jpg"
        save(a_picture(seed=number), path)
        listed.append(Photo(str(path), "drawn", ("glass", "paper")[number % 2], "train", number))
    return listed


def training(listed: list[Photo], folder: Path, recipe: Recipe = TINY) -> Training:
    torch.manual_seed(0)
    student = Student(2, norms=recipe.norms)
    return Training(student, recipe, listed, listed[:4], ("glass", "paper"), folder, workers=0)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "model.pt")["state_dict"]


@pytest.mark.parametrize("echo", [1, 2])
def test_a_training_that_was_stopped_ends_with_the_same_weights_and_one_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], echo: int
) -> None:
    listed, recipe = photos(tmp_path / "photos"), replace(TINY, echo=echo)
    training(listed, tmp_path / "whole", recipe).run()

    class PowerCutError(Exception):
        pass

    def cut(row: dict[str, object]) -> None:
        raise PowerCutError

    stopped = training(listed, tmp_path / "stopped", recipe)
    stopped.after_epoch = cut
    with pytest.raises(PowerCutError):
        stopped.run()
    capsys.readouterr()
    training(listed, tmp_path / "stopped", recipe).run()
    done, steps = stopped.step, stopped.steps_per_epoch * recipe.epochs
    assert f"| {done}/{steps} [" in capsys.readouterr().err, "its bar tells when the whole training ends"

    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("whole", "stopped")]
    losses = [[(row["epoch"], row["loss"]) for row in map(json.loads, log)] for log in logs]
    assert losses[0] == losses[1]
    assert list((tmp_path / "stopped" / "tensorboard").glob("events.*"))


def test_the_average_follows_weights_and_statistics_and_ends_where_they_stay(tmp_path: Path) -> None:
    one = training(photos(tmp_path / "photos"), tmp_path / "run")
    before = {key: value.clone() for key, value in one.average.state_dict().items()}
    with torch.no_grad():
        for value in one.model.state_dict().values():
            value += 1
    one.step = 10**6
    one._update_average()
    for key, value in one.average.state_dict().items():
        moved = 1 - TINY.ema_decay if value.is_floating_point() else 0
        torch.testing.assert_close(value, before[key] + moved, msg=f"{key} is not {moved} further")


def test_a_frozen_backbone_keeps_its_weights_and_learns_a_head(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    frozen = training(listed, tmp_path / "run", replace(TINY, frozen_backbone=True, views="seed", ema_decay=0.0))
    before = {key: value.clone() for key, value in frozen.model.network.state_dict().items()}
    frozen.run()
    after = frozen.model.network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("norms", ["own", "shared"])
def test_frozen_edges_keep_what_lies_below_stride_8_and_the_rest_learns(tmp_path: Path, norms: Norms) -> None:
    recipe = replace(TINY, frozen_edges=True, norms=norms)
    frozen = training(photos(tmp_path / "photos"), tmp_path / "run", recipe)
    features = frozen.model.network.features
    before = {name: value.clone() for name, value in features.named_parameters()}
    frozen.run()
    kept = {name for name, value in features.named_parameters() if torch.equal(value, before[name])}
    below = tuple(f"{part}." for part in ("conv0", "norm0", "denseblock1", "transition1"))
    assert kept == {name for name in before if name.startswith(below)}


def test_a_rare_class_is_drawn_more_often_than_it_comes_but_not_as_often_as_a_common_one() -> None:
    listed = [Photo(f"{i}", "street", "glass", "train", i) for i in range(90)]
    listed += [Photo(f"r{i}", "street", "trash", "train", i) for i in range(10)]
    share = balanced_weights(listed, {})[90:].sum()
    assert 0.10 < share < 0.50


def test_a_view_is_the_same_whichever_process_makes_it_and_processes_share_an_epoch(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    pictures, drawn = Photos(listed, ("glass", "paper")), draw(balanced_weights(listed, {}), 6, seed=3, epoch=1)
    here = [pictures[one] for one in drawn]
    there = DataLoader(pictures, 2, sampler=drawn, num_workers=1)
    assert torch.equal(torch.stack([view for view, _ in here]), torch.cat([views for views, _ in there]))
    assert not torch.equal(pictures[(0, 1)][0], pictures[(0, 2)][0])
    assert draw(balanced_weights(listed, {}), 6, seed=3, epoch=2) != drawn


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4)])
def test_mixed_pictures_carry_the_shares_of_both_classes(mixup: float, cutmix: float) -> None:
    torch.manual_seed(0)
    mix = mixing(replace(TINY, mixup=mixup, cutmix=cutmix), 2)
    images = torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), 200.0)])
    mixed, shares = mix(images, torch.tensor([0, 1]))
    assert shares.sum(dim=1) == pytest.approx([1.0, 1.0])
    assert mixed.mean(dim=(1, 2, 3)) / 200 == pytest.approx(shares[:, 1], abs=1e-3)


@pytest.mark.parametrize(
    ("view", "takes", "gives"),
    [
        (make(40), *{"poor lens": (3, 6), "other ground": (4, 6), "tray": (4, 6)}.get(name, (3, 3)))
        for name, make in VIEWS.items()
    ],
    ids=list(VIEWS),
)
def test_a_view_has_the_size_asked_for_and_is_new_each_time(view: torch.nn.Module, takes: int, gives: int) -> None:
    pixels = a_picture(seed=1)
    picture = torch.from_numpy(np.dstack([pixels, pixels])[..., :takes]).permute(2, 0, 1)
    torch.manual_seed(0)
    first, second = view(picture), view(picture)
    assert (first.shape, first.dtype) == ((gives, 40, 40), torch.uint8)
    assert not torch.equal(first, second)


def test_plain_views_are_nearer_to_what_the_device_is_shown() -> None:
    pixels = np.full((60, 60, 3), 220, np.uint8)
    pixels[20:40, 25:35] = (160, 60, 40)
    shown, picture = evaluation_view(pixels, 40).float(), torch.from_numpy(pixels).permute(2, 0, 1)

    def away(view: torch.nn.Module) -> float:
        torch.manual_seed(0)
        return float(torch.stack([(view(picture).float() - shown).abs().mean() for _ in range(100)]).mean())

    assert 0 < away(plain_view(40)) < 0.9 * away(training_view(40))


def test_photos_larger_than_any_view_are_kept_smaller_and_others_as_they_are(tmp_path: Path) -> None:
    save(a_picture(1100, 2200), tmp_path / "large.png")
    small = a_picture(96, 1500, seed=1)
    save(small, tmp_path / "small.png")
    listed = [Photo(str(tmp_path / f"{name}.png"), "drawn", "glass", "train", 0) for name in ("large", "small")]
    large, kept = Photos(listed, ("glass",)).pictures
    assert tuple(large.shape) == (3, 1024, 2048)
    assert np.array_equal(kept.permute(1, 2, 0).numpy(), small)


def test_a_loss_that_is_no_number_ends_a_training_before_it_is_saved(tmp_path: Path) -> None:
    lost = training(photos(tmp_path / "photos"), tmp_path / "run", replace(TINY, learning_rate=1e30))
    with pytest.raises(TrainingError, match=r"epoch 1 is (nan|inf), so nothing of it is saved"):
        lost.run()
    assert not (tmp_path / "run" / "model.pt").exists()


def test_a_checkpoint_of_another_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(CheckpointError, match="no PyTorch checkpoint"):
        load_student(tmp_path / "noise.pt")
    torch.save({"state_dict": {"x": torch.zeros(1)}, "classes": ["a", "b"], "head": "linear"}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="another network"):
        load_student(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_student(tmp_path / "missing.pt")


@pytest.mark.parametrize(
    ("gpu", "cores", "processes", "workers"),
    [(False, 16, "1", 1), (True, 16, "1", 15), (True, 16, "4", 3), (True, 1, "1", 1)],
)
def test_views_are_made_by_all_cores_but_one_beside_a_gpu(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, cores: int, processes: str, workers: int
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert quick_workers() == workers
