"""Everything that shapes a training, and the named ways to train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from training.errors import DataError

IMAGENET, RANDOM = "imagenet", "random"
"""What a training may start from besides a file."""
Views = Literal["bin", "plain", "poor lens", "other ground", "tray", "seed"]


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs at one picture size; later phases are usually larger (Touvron et al. 2019, FixRes).

    `teacher_px`: the teacher sees the same view at this size, which may be larger than what the student sees.
    """

    epochs: int
    size_px: int
    teacher_px: int | None = None

    @property
    def view_px(self) -> int:
        return max(self.size_px, self.teacher_px or 0)


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a training; the same recipe and seed give the same model.

    `batch` is drawn over all processes together; `mixup` and `cutmix`: the parameter of their Beta distribution, 0 for
    none; where both are given, each batch takes one of them by chance (Zhang et al. 2018; Yun et al. 2019).
    `distillation`: weight of the teacher's soft labels against the true ones; `hint`: weight of the feature
    maps' directions (Romero et al. 2015, FitNets) at stride 8, 16 and 32; `temperature`: of the soft labels (Hinton et
    al. 2015).
    `echo`: how often a view is taught, which is made and shown to the teacher once (Choi et al. 2019, data echoing).
    `teacher_epochs`: how long the teacher is fine-tuned above stride 8, after its head was fitted; 0: not at all.
    `norms`: of the student, see training/shared.py; `own` keeps what ImageNet weights know, `shared` is faster.
    `views`: how a photo is altered, see `VIEWS` in training/augment.py; of `poor lens` the student alone sees the lens,
    of `other ground` the other ground as well, of `tray` the tray on which a thing has fallen.
    `frozen_edges`: the weights of the first layers stay as they were at the start, for a network that has learnt to see
    already; their BatchNorms still take their statistics from the views.
    """

    phases: tuple[Phase, ...]
    batch: int = 32
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.03
    warmup: float = 0.04
    label_smoothing: float = 0.05
    mixup: float = 0.2
    cutmix: float = 0.0
    strength: float = 1.0
    distillation: float = 0.6
    hint: float = 1.5
    temperature: float = 2.0
    clip_norm: float = 2.0
    ema_decay: float = 0.995
    frozen_backbone: bool = False
    views: Views = "bin"
    seed: int = 0
    teacher_epochs: int = 0
    echo: int = 1
    norms: Literal["own", "shared"] = "own"
    frozen_edges: bool = False

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    @property
    def learns_from_teacher(self) -> bool:
        return self.distillation > 0 or self.hint > 0

    def phase_at(self, epoch: int) -> Phase:
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase
            epoch -= phase.epochs
        return self.phases[-1]


SEED_RECIPE = Recipe(
    phases=(Phase(20, 224),), batch=64, learning_rate=3e-3, weight_decay=0.0, warmup=0.0, label_smoothing=0.0,
    mixup=0.0, distillation=0.0, hint=0.0, ema_decay=0.0, frozen_backbone=True, views="seed",
)  # fmt: skip
"""The student project's: frozen backbone, Adam 0.003, negative log-likelihood, plain augmentation."""

PATIENT = Recipe(
    phases=(Phase(16, 160, 224), Phase(5, 224)), batch=64, learning_rate=5e-4, weight_decay=0.1,
    strength=0.8, mixup=0.4, distillation=0.5, hint=0.0, teacher_epochs=10, echo=2,
)  # fmt: skip
"""Fine-tuning from ImageNet weights: a small learning rate, and a teacher at the size at which the device looks."""

ONWARD = replace(
    PATIENT, phases=(Phase(30, 192, 224),), learning_rate=2.5e-4, distillation=0.8, frozen_edges=True
)  # fmt: skip
"""Going on from a good model: it and the teacher together know more than either, and teach what they agree on.

Views at 192 px, of which a crop shows four fifths of a photo's side, show things as large as whole photos at 224 px do
(Touvron et al. 2019).
"""

STEADY = replace(ONWARD, phases=(Phase(24, 192, 224),), learning_rate=1.5e-4, views="poor lens")
"""Going on from a good model, which is also the only teacher, to stand blur and noise."""

RECIPES = {
    "default": replace(ONWARD, phases=(Phase(98, 192, 256),), learning_rate=3e-4, teacher_epochs=16),
    "short": replace(PATIENT, phases=(Phase(6, 160), Phase(3, 224)), teacher_epochs=0, echo=1),
    "patient": PATIENT,
    "onward": ONWARD,
    "mixed": replace(ONWARD, phases=(Phase(24, 192, 224),), mixup=0.8, cutmix=1.0, distillation=0.9),
    "settled": replace(
        ONWARD,
        phases=(Phase(6, 192, 224),),
        learning_rate=1.2e-4,
        strength=0.5,
        mixup=0.2,
        distillation=0.7,
        views="plain",
    ),
    "steady": STEADY,
    "anywhere": replace(STEADY, phases=(Phase(20, 192, 224),), views="other ground"),
    "tray": replace(STEADY, phases=(Phase(18, 192, 224),), views="tray"),
    "scratch": Recipe(
        phases=(Phase(84, 96, 176), Phase(44, 128, 176), Phase(15, 160, 176), Phase(6, 176)),
        batch=64,
        learning_rate=2e-3,
        weight_decay=0.1,
        strength=0.8,
        mixup=0.8,
        cutmix=1.0,
        distillation=0.75,
        norms="shared",
        teacher_epochs=24,
        echo=3,
    ),
    "fast": Recipe(phases=(Phase(2, 64),), batch=16, distillation=0.0, hint=0.0, ema_decay=0.9),
    "seed": SEED_RECIPE,
}
"""`default`: for a GPU, a quarter of an hour, best beside a trained model as co-teacher; `short`: for a CPU, three
quarters of an hour; `patient`: for a CPU, two hours, its teacher fine-tuned; all three from ImageNet weights or another
good start. `onward`: beside a trained model as co-teacher, from it or anew; `mixed`: the same with pictures mixed
harder, no better by itself, but worth averaging with the others (`average`); `settled`: from a trained model, a few
epochs of tamer views, to be averaged with it: half an hour at most; `steady`: from a trained model, which is also its
only teacher, to stand blur and noise, and to be averaged with it: an hour and a half of a CPU; `anywhere`: the same,
to stand other grounds as well; `tray`: the same, for things that lie small and turned on a tray. `scratch`: from
nothing, or for a bundle that is a little faster, with shared norms; `fast`: for the tests; `seed`: the student
project's, to measure against."""


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; `auto` is `default` with a GPU and `short` without. Raises `DataError`."""
    import torch  # only now: the names of recipes stand in help, which need not wait for it

    if name == "auto":
        name = "default" if torch.cuda.is_available() else "short"
    if name not in RECIPES:
        raise DataError(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]
