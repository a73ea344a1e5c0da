"""The training loop, for a teacher alone or a student that learns from one.

Runs on one GPU, several (`torchrun`), or a CPU. Stopped at any moment and started again with the same settings, it
goes on from its last whole epoch and ends with the same result: each epoch draws from a generator of its own seed.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from training.augment import evaluation_view, read_photo, seed_view, training_view
from training.files import write_atomically
from training.models import Normalised
from training.prepare import Photo

EVALUATION_PX = 224
"""The side of the pictures that the device shows the model."""
MEASURED = 6
"""How often in a training the held-out photos are looked at: on a CPU a look costs as much as an epoch."""


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

    `distillation`: weight of the teacher's soft labels against the true ones; `hint`: weight of the pooled-feature
    loss (Romero et al. 2015, FitNets) at stride 8, 16 and 32; `temperature`: of the soft labels (Hinton et al. 2015).
    """

    phases: tuple[Phase, ...]
    batch: int = 32
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.03
    warmup: float = 0.04
    label_smoothing: float = 0.05
    mixup: float = 0.2
    strength: float = 1.0
    distillation: float = 0.6
    hint: float = 1.5
    temperature: float = 2.0
    clip_norm: float = 2.0
    ema_decay: float = 0.995
    frozen_backbone: bool = False
    views: str = "bin"
    seed: int = 0

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

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


def _projections(student: Normalised, teacher: Normalised) -> nn.ModuleList:
    """1×1 convolutions that bring the student's feature maps to the teacher's widths."""
    pairs = zip(student.widths, teacher.widths, strict=True)
    return nn.ModuleList(nn.Conv2d(own, taught, 1, bias=False) for own, taught in pairs)


def _resized(lesson: Tensor, own: Tensor) -> Tensor:
    """The teacher's map on the student's grid."""
    return lesson if lesson.shape[2:] == own.shape[2:] else functional.adaptive_avg_pool2d(lesson, own.shape[2:])


class Photos(Dataset[tuple[Tensor, int]]):
    """Photos in memory, each drawn as a new view."""

    def __init__(self, photos: list[Photo], classes: tuple[str, ...]) -> None:
        self.pictures = [torch.from_numpy(read_photo(photo.path)).permute(2, 0, 1).contiguous() for photo in photos]
        self.targets = [classes.index(photo.material) for photo in photos]
        self.view: v2.Transform = training_view(224)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.view(self.pictures[index]), self.targets[index]


def balanced_weights(photos: list[Photo], source_weights: dict[str, float]) -> np.ndarray:
    """How often each photo is drawn, (N,) summing to 1: by the square root of its class's and source's size.

    The root lies between drawing classes evenly, which repeats 69 photos without end, and as they come (Mahajan et
    al. 2018).
    """
    groups: dict[tuple[str, str], int] = {}
    for photo in photos:
        groups[(photo.source, photo.material)] = groups.get((photo.source, photo.material), 0) + 1
    by_class: dict[str, float] = {}
    for (source, material), count in groups.items():
        by_class[material] = by_class.get(material, 0.0) + source_weights.get(source, 1.0) * math.sqrt(count)
    weights = np.array(
        [
            source_weights.get(p.source, 1.0)
            / math.sqrt(groups[(p.source, p.material)])
            / math.sqrt(by_class[p.material])
            for p in photos
        ]
    )
    return weights / weights.sum()


class Training:
    """A model on its way: weights, optimiser, moving average and the epoch that comes next.

    `folder` gets `last.pt` (to go on from), `model.pt` (the moving average, after each epoch) and `log.jsonl`.
    """

    def __init__(
        self,
        model: Normalised,
        recipe: Recipe,
        photos: list[Photo],
        held_out: list[Photo],
        classes: tuple[str, ...],
        folder: Path,
        teacher: Normalised | None = None,
        source_weights: dict[str, float] | None = None,
        provenance: dict[str, Any] | None = None,
        workers: int = 1,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.recipe, self.classes, self.folder, self.workers = recipe, classes, folder, workers
        self.provenance = provenance or {}
        self.model = model.to(self.device)
        self.teacher = teacher.to(self.device).eval().requires_grad_(False) if teacher is not None else None
        self.projection = _projections(model, teacher).to(self.device) if teacher is not None else None
        if recipe.frozen_backbone:
            model.requires_grad_(False)
            model.head.requires_grad_(True)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.data = Photos(photos, classes)
        self.weights = balanced_weights(photos, source_weights or {})
        self.held_out = Photos(held_out, classes)
        learned = [p for p in self._learned_parameters() if p.requires_grad]
        decayed = [p for p in learned if p.ndim > 1]
        plain = [p for p in learned if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
        )
        self.epoch = 0
        self.step = 0
        self.steps_per_epoch = max(1, len(photos) // recipe.batch)

    def _learned_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.model.parameters()
        if self.projection is not None:
            yield from self.projection.parameters()

    def run(self) -> None:
        """Train the epochs that are left, saving after each."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        while self.epoch < self.recipe.epochs:
            began = time.monotonic()
            loss = self._train_epoch()
            self.epoch += 1
            line = {
                "epoch": self.epoch, "size_px": self.recipe.phase_at(self.epoch - 1).size_px, "loss": round(loss, 4),
                "learning_rate": self.learning_rate(), "minutes": round((time.monotonic() - began) / 60, 2),
            }  # fmt: skip
            if self.epoch % max(1, self.recipe.epochs // MEASURED) == 0 or self.epoch == self.recipe.epochs:
                line["val_accuracy"] = round(self.accuracy(self.held_out), 4)
            self.save()
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            tqdm.write(json.dumps(line))

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017)."""
        total = self.recipe.epochs * self.steps_per_epoch
        warm = self.recipe.warmup * total
        if self.step < warm:
            return self.recipe.learning_rate * (self.step + 1) / (warm + 1)
        done = (self.step - warm) / max(1.0, total - warm)
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def _train_epoch(self) -> float:
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 100_003 + self.epoch)
        chance = np.random.default_rng((recipe.seed, self.epoch))
        phase = recipe.phase_at(self.epoch)
        size_px = phase.view_px if self.teacher is not None else phase.size_px
        self.data.view = training_view(size_px, recipe.strength) if recipe.views == "bin" else seed_view(size_px)
        drawn = chance.choice(len(self.data), self.steps_per_epoch * recipe.batch, p=self.weights)
        loader = DataLoader(
            self.data, recipe.batch, sampler=drawn.tolist(), num_workers=self.workers,
            worker_init_fn=lambda _: torch.set_num_threads(1),
        )  # fmt: skip
        self.model.train()
        if recipe.frozen_backbone:
            self.model.eval()
            self.model.head.train()
        total = torch.zeros(())
        for images, targets in tqdm(loader, desc=f"epoch {self.epoch + 1}/{recipe.epochs}", leave=False, mininterval=5):
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate()
            images, targets = images.to(self.device), functional.one_hot(targets, len(self.classes)).to(self.device)
            images, targets = self._mix(images, targets.float(), chance)
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = self._loss(images, targets, phase.size_px)
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(list(self._learned_parameters()), recipe.clip_norm)
            self.optimiser.step()
            self._update_average()
            self.step += 1
            total += loss.detach().cpu()
        return float(total) / len(loader)

    def _mix(self, images: Tensor, targets: Tensor, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mixup (Zhang et al. 2018), one share for the batch."""
        if self.recipe.mixup <= 0:
            return images, targets
        share = float(chance.beta(self.recipe.mixup, self.recipe.mixup))
        order = torch.from_numpy(chance.permutation(len(images))).to(self.device)
        mixed = images.float() * share + images[order].float() * (1 - share)
        return mixed.round().to(torch.uint8), targets * share + targets[order] * (1 - share)

    def _loss(self, images: Tensor, targets: Tensor, size_px: int) -> Tensor:
        recipe = self.recipe
        seen = images
        if images.shape[-1] != size_px:
            seen = functional.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)
        logits, maps = self.model(seen)
        smooth = targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / len(self.classes)
        loss = functional.cross_entropy(logits.float(), smooth)
        if self.teacher is None or self.projection is None:
            return loss
        with torch.no_grad():
            taught, lessons = self.teacher(images)
        soft = functional.softmax(taught.float() / recipe.temperature, dim=1)
        distance = functional.kl_div(
            functional.log_softmax(logits.float() / recipe.temperature, dim=1), soft, reduction="batchmean"
        )
        hint = torch.stack(
            [
                1 - functional.cosine_similarity(project(own).float(), _resized(lesson, own).float(), dim=1).mean()
                for project, own, lesson in zip(self.projection, maps, lessons, strict=True)
            ]
        ).mean()
        return (
            (1 - recipe.distillation) * loss
            + recipe.distillation * recipe.temperature**2 * distance
            + recipe.hint * hint
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def accuracy(self, photos: Photos, size_px: int = EVALUATION_PX, batch: int = 32) -> float:
        """Share of photos that the averaged model names right, seen as the device sees them."""
        right = 0
        for start in range(0, len(photos), batch):
            views = [
                evaluation_view(p.permute(1, 2, 0).numpy(), size_px) for p in photos.pictures[start : start + batch]
            ]
            with torch.autocast(self.device.type, torch.bfloat16):
                logits, _ = self.average(torch.stack(views).to(self.device))
            right += int((logits.argmax(1).cpu() == torch.tensor(photos.targets[start : start + batch])).sum())
        return right / max(1, len(photos))

    def save(self) -> None:
        """Write `last.pt` and `model.pt`, each whole or not at all."""
        state = {
            "recipe": json.dumps(asdict(self.recipe)), "epoch": self.epoch, "step": self.step,
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "projection": self.projection.state_dict() if self.projection is not None else None,
        }  # fmt: skip
        write_atomically(self.folder / "last.pt", lambda path: torch.save(state, path))
        network = self.average.network
        finished = {
            "state_dict": {key: value.float().cpu() if value.is_floating_point() else value.cpu()
                           for key, value in network.state_dict().items()},
            "classes": list(self.classes), "head": self.average.head_kind,
            "epoch": self.epoch, "recipe": json.dumps(asdict(self.recipe)), "provenance": json.dumps(self.provenance),
        }  # fmt: skip
        write_atomically(self.folder / "model.pt", lambda path: torch.save(finished, path))

    def resume(self) -> None:
        """Go on from `last.pt` if there is one."""
        path = self.folder / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.projection is not None:
            self.projection.load_state_dict(state["projection"])
        self.epoch, self.step = state["epoch"], state["step"]
