"""A view that is taught several times keeps its teacher's word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn import functional

from tests.drawn import a_picture
from tests.test_training_loop import TINY, photos, training
from training.augment import ThroughPoorLens
from training.checkpoints import load_student
from training.lesson import Batch, Lesson, echoes
from training.loop import Training
from training.models import Explainer, Student


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


class GreyNamer(Explainer):
    """A teacher whose one logit is the mean grey of what it is shown."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return images.mean(dim=(1, 2, 3)).view(-1, 1), []


def test_a_teacher_sees_clearly_what_its_student_sees_through_a_poor_lens() -> None:
    clear, poor = torch.full((2, 3, 16, 16), 200.0), torch.full((2, 3, 16, 16), 50.0)
    lesson, targets = Lesson(Student(2), GreyNamer(), TINY), torch.eye(2)
    apart = lesson.ask(torch.cat([clear, poor], dim=1), targets, 8)
    assert apart.taught is not None
    torch.testing.assert_close(apart.taught, torch.full((2, 1), 200.0))
    torch.testing.assert_close(apart.seen, torch.full((2, 3, 8, 8), 50.0))
    alike = lesson.ask(poor, targets, 16)
    assert alike.taught is not None
    torch.testing.assert_close(alike.taught, torch.full((2, 1), 50.0))
    assert torch.equal(alike.seen, poor)


def test_a_view_through_a_poor_lens_is_also_given_as_it_was() -> None:
    picture = torch.from_numpy(a_picture(seed=1)).permute(2, 0, 1)
    torch.manual_seed(0)
    pairs = [(pair[:3].float(), pair[3:].float()) for pair in (ThroughPoorLens(1.0)(picture) for _ in range(60))]
    assert all(torch.equal(clear, picture.float()) for clear, _ in pairs)
    unspoilt = sum(torch.equal(clear, seen) for clear, seen in pairs)
    assert 5 < unspoilt < 30, "a quarter is neither blurred nor noisy"
    edges = [float((seen.diff(dim=-1)).abs().mean()) for _, seen in pairs]
    sharp = float(picture.float().diff(dim=-1).abs().mean())
    assert min(edges) < 0.8 * sharp, "blurred"
    assert max(edges) > sharp + 3, "noisy"
    assert torch.equal(ThroughPoorLens(0.0)(picture), torch.cat([picture, picture]))


@pytest.mark.parametrize("views", ["poor lens", "other ground", "tray"])
def test_a_recipe_whose_teacher_sees_more_trains_with_it_and_without(
    views: Literal["poor lens", "other ground", "tray"], tmp_path: Path
) -> None:
    listed = photos(tmp_path / "photos")
    for name, teacher in (("alone", None), ("taught", Student(2))):
        recipe = replace(TINY, views=views, mixup=0.2, cutmix=0.2, distillation=0.5)
        taught = Training(Student(2), recipe, listed, [], ("glass", "paper"), tmp_path / name, teacher, workers=0)
        taught.run()
        assert load_student(tmp_path / name / "model.pt")[1]["epoch"] == 2


def test_an_epoch_with_echoes_is_as_long_but_makes_fewer_views(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos", count=12)
    echoing = training(listed, tmp_path / "run", replace(TINY, echo=3))
    assert len(echoing._loader()) == 1
    assert len(list(echoing._batches())) == 3 == training(listed, tmp_path / "other").steps_per_epoch
    echoing.run()
    assert echoing.step == 6
