"""A view that is taught several times is a view each time, and its teacher's word still belongs to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from tests.test_training_loop import TINY, photos, training
from training.lesson import Batch, echoes


def batch(rows: int, seed: int) -> Batch:
    """Views whose teacher sees the mean grey of each 8×8 pixels, and names the sum of all."""
    seen = torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return Batch(seen, seen.mean(dim=(2, 3)), seen.sum(dim=(1, 2, 3)).view(-1, 1), [functional.avg_pool2d(seen, 8)])


def test_each_view_is_taught_as_often_as_asked_for_and_never_twice_alike() -> None:
    fresh = [batch(4, seed) for seed in range(3)]
    torch.manual_seed(0)
    taught = list(echoes(fresh, 3))
    assert [len(one.seen) for one in taught] == [4] * 9
    assert taught[:3] == fresh

    seen = torch.cat([one.seen for one in taught])
    views = torch.cat([one.seen for one in fresh])
    lit = views.sum(dim=(1, 2, 3))
    for view, amount in zip(views, lit, strict=True):
        mine = seen[torch.isclose(seen.sum(dim=(1, 2, 3)), amount, rtol=1e-6)]
        assert len(mine) == 3
        assert not any(torch.equal(view, again) for again in mine[1:])
    rounds = [{round(float(total), 3) for total in one.targets.sum(dim=1)} for one in taught]
    assert set(map(frozenset, rounds[3:])) != set(map(frozenset, rounds[:3])), "in other company"


def test_what_the_teacher_saw_turns_with_the_view() -> None:
    for one in echoes([batch(4, seed) for seed in range(3)], 8):
        (lesson,) = one.lessons
        torch.testing.assert_close(lesson, functional.avg_pool2d(one.seen, 8))
        torch.testing.assert_close(one.targets, one.seen.mean(dim=(2, 3)))
        assert one.taught is not None
        torch.testing.assert_close(one.taught, one.seen.sum(dim=(1, 2, 3)).view(-1, 1))


def test_the_eight_symmetries_differ() -> None:
    one = batch(1, seed=0)
    turned = [one.turned(symmetry).seen for symmetry in range(8)]
    assert torch.equal(turned[0], one.seen)
    assert len({tuple(view.flatten().tolist()) for view in turned}) == 8


def test_an_epoch_with_echoes_is_as_long_but_makes_fewer_views(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos", count=12)
    echoing = training(listed, tmp_path / "run", replace(TINY, echo=3))
    assert len(echoing._loader()) == 1
    assert len(list(echoing._batches())) == 3 == training(listed, tmp_path / "other").steps_per_epoch
    echoing.run()
    assert echoing.step == 6
