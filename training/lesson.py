"""What one batch teaches a student: the true classes, and what its teacher says and sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models import Explainer, Normalised
from training.recipes import Recipe


@dataclass(frozen=True)
class Batch:
    """What a student is shown, and what its teacher says and sees of the same views, which may be clearer for it.

    `seen`: (N, 3, S, S) float 0…255; `targets`: (N, K) shares of classes; `taught`: (N, K) logits; `lessons`: feature
    maps, finest first, of the teacher's own size. Without a teacher the last two are empty.
    """

    seen: Tensor
    targets: Tensor
    taught: Tensor | None = None
    lessons: list[Tensor] = field(default_factory=list)

    def picked(self, rows: Tensor) -> Batch:
        taught = self.taught[rows] if self.taught is not None else None
        return Batch(self.seen[rows], self.targets[rows], taught, [lesson[rows] for lesson in self.lessons])


def joined(batches: list[Batch]) -> Batch:
    """One batch of all rows, in order."""
    taught = [batch.taught for batch in batches if batch.taught is not None]
    return Batch(
        torch.cat([batch.seen for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
        torch.cat(taught) if taught else None,
        [torch.cat(maps) for maps in zip(*(batch.lessons for batch in batches), strict=True)],
    )


def echoes(fresh: list[Batch], times: int) -> Iterator[Batch]:
    """Every row of the batches so many `times`, after the first time in other company (Choi et al. 2019).

    As it was, not turned or mirrored: a teacher's maps do not turn with the picture (their cosine falls to 0.4 … 0.7).
    """
    yield from fresh
    if times > 1:
        whole, size = joined(fresh), len(fresh[0].targets)
        for _ in range(times - 1):
            for rows in torch.randperm(len(whole.targets)).split(size):
                yield whole.picked(rows.to(whole.targets.device))


class Lesson(nn.Module):
    """A student, the projections onto its teacher's feature maps, and the loss that the recipe asks for.

    The loss is the cross-entropy with smoothed labels; with a teacher also the divergence from its soft labels
    (Hinton et al. 2015) and, through 1×1 projections, the angle between the feature maps (Romero et al. 2015, FitNets).
    """

    def __init__(self, student: Normalised, teacher: Explainer | None, recipe: Recipe) -> None:
        super().__init__()
        self.student, self.recipe = student, recipe
        self.projection: nn.ModuleList | None = None
        if teacher is not None and recipe.hint > 0:
            pairs = zip(student.widths, teacher.widths, strict=True)
            self.projection = nn.ModuleList(nn.Conv2d(own, taught, 1, bias=False) for own, taught in pairs)
        self._teacher = (teacher,)
        """In a tuple, so that its weights are none of this module's."""

    @torch.no_grad()
    def ask(self, images: Tensor, targets: Tensor, size_px: int) -> Batch:
        """The teacher's word on (N, 3, H, W) images of 0…255, with (N, K) shares; the student sees `size_px` pixels.

        Of six channels the teacher sees the first three, the student the last (`ThroughPoorLens`).
        """
        (teacher,) = self._teacher
        clear, seen = images[:, :3], images[:, -3:]
        if images.shape[-1] != size_px:
            seen = functional.interpolate(seen, size=(size_px, size_px), mode="bilinear", antialias=True)
        return Batch(seen, targets, *teacher(clear)) if teacher is not None else Batch(seen, targets)

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch."""
        recipe = self.recipe
        logits, maps = self.student(batch.seen)
        smooth = batch.targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / batch.targets.shape[1]
        loss = functional.cross_entropy(logits.float(), smooth)
        if batch.taught is None:
            return loss
        soft = functional.softmax(batch.taught.float() / recipe.temperature, dim=1)
        own = functional.log_softmax(logits.float() / recipe.temperature, dim=1)
        distance = functional.kl_div(own, soft, reduction="batchmean")
        loss = (1 - recipe.distillation) * loss + recipe.distillation * recipe.temperature**2 * distance
        return loss if self.projection is None else loss + recipe.hint * self._hint(maps, batch.lessons)

    def _hint(self, maps: list[Tensor], lessons: list[Tensor]) -> Tensor:
        """One minus the cosine between projected and taught maps, mean over the three strides."""
        assert self.projection is not None
        angles = [
            1 - functional.cosine_similarity(project(own).float(), _resized(lesson, own).float(), dim=1).mean()
            for project, own, lesson in zip(self.projection, maps, lessons, strict=True)
        ]
        return torch.stack(angles).mean()


def _resized(lesson: Tensor, own: Tensor) -> Tensor:
    """The teacher's map on the student's grid."""
    return lesson if lesson.shape[2:] == own.shape[2:] else functional.adaptive_avg_pool2d(lesson, own.shape[2:])
