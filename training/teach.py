"""A teacher in minutes: a new head on frozen ImageNet features, fitted on views; then, if asked, the layers below."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.augment import training_view
from training.checkpoints import load_checkpoint, require_classes
from training.errors import CheckpointError
from training.files import sha256_of, write_checkpoint
from training.loop import Training
from training.models import Normalised, Teacher
from training.precision import mixed_precision
from training.processes import Processes
from training.recipes import Phase, Recipe
from training.sampling import Photos
from training.split import Split, digest_of

log = logging.getLogger(__name__)

HEAD_PX, HEAD_VIEWS = 160, 3
"""The side of the views on which a head is fitted, and how many of each photo."""
GENTLE = 6e-4
"""The learning rate at which a pretrained teacher is fine-tuned."""
MILD = 0.4
"""The mixup of a teacher: its few epochs do not wear out the photos, as a student's many do."""


def teacher_of(folder: Path, split: Split, recipe: Recipe, size: int, workers: int, processes: Processes) -> Teacher:
    """The teacher of the run in `folder`: made once, kept in `teacher-SIZE.pt`. Raises `CheckpointError`."""
    path, photos = _place(folder, size).with_suffix(".pt"), split.part("train")
    teacher, digest = Teacher(len(split.classes), size), digest_of(photos)
    if processes.is_first and not path.exists():
        torch.manual_seed(recipe.seed + size)
        accuracy = fit_head(teacher, Photos(photos, split.classes), workers)
        log.info("teacher's head: %.1f %% of its training views", 100 * accuracy)
        write_checkpoint(path, {"photos": digest, "state_dict": teacher.state_dict()})
    processes.wait()
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        teacher.load_state_dict(saved["state_dict"])
    except Exception as fault:
        raise CheckpointError(
            f"{path} is no EfficientNet-Lite{size} with {len(split.classes)} classes: remove it, and it is made anew."
        ) from fault
    if saved["photos"] != digest:
        raise CheckpointError(f"{path} was made of other photos: begin anew with --restart.")
    if recipe.teacher_epochs == 0:
        return teacher
    fine_tune(teacher, _place(folder, size), split, recipe, workers, processes)
    return teacher_from(folder, split.classes, size)


def teacher_from(run: Path, classes: tuple[str, ...], size: int) -> Teacher:
    """The fine-tuned teacher of that size of `run`, as it is. Raises `CheckpointError`."""
    path = _place(run, size) / "model.pt"
    if not path.exists():
        raise CheckpointError(f"{run} has no fine-tuned EfficientNet-Lite{size}: name a --teacher that it has.")
    teacher, values = Teacher(len(classes), size, pretrained=False), load_checkpoint(path)
    require_classes(path, tuple(values["classes"]), classes)
    try:
        teacher.network.load_state_dict(values["state_dict"])
    except RuntimeError as fault:
        raise CheckpointError(f"{path} is no EfficientNet-Lite{size}: name its --teacher.") from fault
    return teacher


def teacher_identity(run: Path, size: int, is_fine_tuned: bool) -> str:
    """Which teacher of that size `run` has: its name and, once it is made, the beginning of its file's SHA-256."""
    path = _place(run, size) / "model.pt" if is_fine_tuned else _place(run, size).with_suffix(".pt")
    name = f"EfficientNet-Lite{size}"
    return f"{name} ({sha256_of(path)[:12]})" if path.exists() else name


def _place(run: Path, size: int) -> Path:
    return run / f"teacher-{size}"


def fine_tune(teacher: Teacher, place: Path, split: Split, recipe: Recipe, workers: int, processes: Processes) -> None:
    """Train the teacher above stride 8 for `recipe.teacher_epochs`, in the folder `place`; stopped, it goes on there.

    Its pictures are as large as those that it explains longest: a network knows best the scale it was trained at
    (Touvron et al. 2019, FixRes).
    """
    longest = max(recipe.phases, key=lambda phase: phase.epochs)
    phase = Phase(recipe.teacher_epochs, longest.view_px)
    own = replace(
        recipe,
        phases=(phase,),
        distillation=0.0,
        hint=0.0,
        mixup=min(recipe.mixup, MILD),
        cutmix=0.0,
        teacher_epochs=0,
        echo=1,
        learning_rate=GENTLE,
        frozen_backbone=False,
        frozen_edges=True,
    )
    Training(
        teacher, own, split.part("train"), split.part("val"), split.classes, place, workers=workers, processes=processes
    ).run()


@torch.no_grad()
def pooled_features(backbone: Normalised, photos: Photos, workers: int) -> tuple[Tensor, Tensor]:
    """One random view of each photo through the backbone: (N, C) float features and (N,) targets."""
    features, targets = [], []
    loader = DataLoader(photos, 32, num_workers=workers, worker_init_fn=lambda _: torch.set_num_threads(1))
    for images, labels in tqdm(loader, desc="features", leave=False, mininterval=5):
        with mixed_precision():
            maps = backbone.maps(images)
        features.append(maps[-1].float().mean(dim=(2, 3)))
        targets.append(labels)
    return torch.cat(features), torch.cat(targets)


def fit_head(teacher: Teacher, photos: Photos, workers: int) -> float:
    """Fit the teacher's linear head on random views of each photo; returns its accuracy on them, 0…1.

    Multinomial logistic regression with weight decay, balanced by class, full-batch L-BFGS.
    """
    teacher.eval()
    photos.view = training_view(HEAD_PX)
    passes = [pooled_features(teacher, photos, workers) for _ in range(HEAD_VIEWS)]
    features, targets = torch.cat([p[0] for p in passes]), torch.cat([p[1] for p in passes])
    mean, deviation = features.mean(0), features.std(0) + 1e-4
    scaled = (features - mean) / deviation
    classes = int(targets.max()) + 1
    balance = 1 / torch.bincount(targets, minlength=classes).float().clamp(min=1).sqrt()
    balance = balance / balance.mean()
    head = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(head(scaled), targets, weight=balance) + 2e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        teacher.head.weight.copy_(head.weight / deviation)
        teacher.head.bias.copy_(head.bias - (head.weight * (mean / deviation)).sum(1))
        return float((head(scaled).argmax(1) == targets).float().mean())
