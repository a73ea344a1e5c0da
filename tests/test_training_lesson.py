"""A view that is taught several times keeps its teacher's word."""

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


def test_each_view_is_taught_as_often_as_asked_for_and_in_other_company() -> None:
    fresh = [batch(4, seed) for seed in range(3)]
    torch.manual_seed(0)
    taught = list(echoes(fresh, 3))
    assert [len(one.seen) for one in taught] == [4] * 9
    assert taught[:3] == fresh
    for view in torch.cat([one.seen for one in fresh]):
        assert sum(bool((one.seen == view).flatten(1).all(dim=1).any()) for one in taught) == 3
    company = [frozenset(float(row.sum()) for row in one.seen) for one in taught]
    assert len(set(company)) == 9


def test_what_the_teacher_says_and_sees_stays_with_the_view() -> None:
    for one in echoes([batch(4, seed) for seed in range(3)], 3):
        (lesson,) = one.lessons
        torch.testing.assert_close(lesson, functional.avg_pool2d(one.seen, 8))
        torch.testing.assert_close(one.targets, one.seen.mean(dim=(2, 3)))
        assert one.taught is not None
        torch.testing.assert_close(one.taught, one.seen.sum(dim=(1, 2, 3)).view(-1, 1))


def test_an_epoch_with_echoes_is_as_long_but_makes_fewer_views(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos", count=12)
    echoing = training(listed, tmp_path / "run", replace(TINY, echo=3))
    assert len(echoing._loader()) == 1
    assert len(list(echoing._batches())) == 3 == training(listed, tmp_path / "other").steps_per_epoch
    echoing.run()
    assert echoing.step == 6
