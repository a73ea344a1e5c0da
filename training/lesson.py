"""What one batch teaches a student: the true classes, and what its teacher says and sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models import Normalised
from training.recipes import Recipe


class Lesson(nn.Module):
    """A student, the projections onto its teacher's feature maps, and the loss that the recipe asks for.

    The loss is the cross-entropy with smoothed labels; with a teacher also the divergence from its soft labels
    (Hinton et al. 2015) and, through 1×1 projections, the angle between the feature maps (Romero et al. 2015, FitNets).
    """

    def __init__(self, student: Normalised, teacher: Normalised | None, recipe: Recipe) -> None:
        super().__init__()
        self.student, self.recipe = student, recipe
        self.projection: nn.ModuleList | None = None
        if teacher is not None and recipe.hint > 0:
            pairs = zip(student.widths, teacher.widths, strict=True)
            self.projection = nn.ModuleList(nn.Conv2d(own, taught, 1, bias=False) for own, taught in pairs)
        self._teacher = (teacher,)
        """In a tuple, so that its weights are none of this module's."""

    def forward(self, images: Tensor, targets: Tensor, size_px: int) -> Tensor:
        """(N, 3, H, W) images of 0…255 and (N, K) shares of classes → the loss; the student sees `size_px` pixels."""
        recipe, (teacher,) = self.recipe, self._teacher
        seen = images
        if images.shape[-1] != size_px:
            seen = functional.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)
        logits, maps = self.student(seen)
        smooth = targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / targets.shape[1]
        loss = functional.cross_entropy(logits.float(), smooth)
        if teacher is None:
            return loss
        with torch.no_grad():
            taught, lessons = teacher(images)
        soft = functional.softmax(taught.float() / recipe.temperature, dim=1)
        own = functional.log_softmax(logits.float() / recipe.temperature, dim=1)
        distance = functional.kl_div(own, soft, reduction="batchmean")
        loss = (1 - recipe.distillation) * loss + recipe.distillation * recipe.temperature**2 * distance
        return loss if self.projection is None else loss + recipe.hint * self._hint(maps, lessons)

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
