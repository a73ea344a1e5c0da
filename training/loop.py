"""The training loop, for a teacher alone or a student that learns from one.

Runs on one GPU, several (`torchrun`), or a CPU. Stopped at any moment and started again with the same settings, it
goes on from its last whole epoch and ends with the same result: each epoch draws from a generator of its own seed.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from tqdm import tqdm

from training.augment import EVALUATION_PX, VIEWS, evaluation_view, reader_of
from training.checkpoints import load_checkpoint
from training.errors import CheckpointError, TrainingError
from training.files import write_checkpoint
from training.lesson import Batch, Lesson, echoes
from training.log import Log
from training.models import Explainer, Normalised
from training.outcome import Outcome, logits_of
from training.precision import mixed_precision
from training.processes import Processes
from training.recipes import Recipe
from training.resume import read_state, require_as_begun
from training.sampling import Photos, balanced_weights, draw, weights_by_source
from training.split import Photo, digest_of

MEASURED = 6
"""How often in a training the held-out photos are looked at: on a CPU a look costs as much as an epoch."""
TOGETHER = 16
"""Batches among whose rows echoes find their company."""


class Training:
    """A model on its way: weights, optimiser, moving average and the epoch that comes next.

    `folder` gets `last.pt` (to go on from), `model.pt` (the moving average, after each epoch), `log.jsonl` and
    `tensorboard/`. `begun_with`: what else shaped it, as JSON has it; with anything else it does not go on.
    `after_epoch` hears of each row of the log, and may raise to end the training.
    """

    def __init__(
        self,
        model: Normalised,
        recipe: Recipe,
        photos: list[Photo],
        held_out: list[Photo],
        classes: tuple[str, ...],
        folder: Path,
        teacher: Explainer | None = None,
        source_weights: dict[str, float] | None = None,
        provenance: dict[str, Any] | None = None,
        begun_with: dict[str, Any] | None = None,
        workers: int = 1,
        processes: Processes | None = None,
        after_epoch: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.processes = processes or Processes.join()
        self.device = self.processes.device
        self.recipe, self.classes, self.folder, self.workers = recipe, classes, folder, workers
        self.provenance, self.after_epoch = provenance or {}, after_epoch
        self.begun_with = {**(begun_with or {}), "source_weights": weights_by_source(photos, source_weights or {})}
        self.model = model.to(self.device)
        teacher = teacher.to(self.device).eval().requires_grad_(False) if teacher is not None else None
        if recipe.frozen_backbone:
            model.requires_grad_(False)
            model.head.requires_grad_(True)
        if recipe.frozen_edges:
            model.freeze_edges()
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.averaged = [_measured(network) for network in (self.average, self.model)]
        self.lesson = Lesson(model, teacher, recipe).to(self.device)
        self.joined = self.processes.joined(self.lesson)
        self.data = Photos(photos, classes, reader_of(recipe.views))
        self.weights = balanced_weights(photos, source_weights or {})
        self.held_out = Photos(held_out, classes), held_out
        self.digest = digest_of(photos)
        self.optimiser = torch.optim.AdamW(self._parameter_groups(), lr=recipe.learning_rate, fused=True)
        self.mix = mixing(recipe, len(classes))
        self.epoch = 0
        self.step = 0
        self.fresh_per_epoch = max(1, len(photos) // (recipe.batch * recipe.echo))
        self.steps_per_epoch = self.fresh_per_epoch * recipe.echo

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Biases and scales are not pulled towards zero."""
        learned = [p for p in self.lesson.parameters() if p.requires_grad]
        return [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def run(self) -> None:
        """Train the epochs that are left, saving after each."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        first = self.processes.is_first
        steps = self.recipe.epochs * self.steps_per_epoch  # of the whole training, so its end is what the bar foretells
        with (
            Log(self.folder, self.epoch) if first else contextlib.nullcontext() as log,
            tqdm(total=steps, initial=self.step, leave=False, mininterval=5, disable=not first) as bar,
        ):
            while self.epoch < self.recipe.epochs:
                row = self._one_epoch(bar)
                if log is not None:
                    log.tell(row)
                    self.save()
                if self.after_epoch is not None:
                    self.after_epoch(row)
        self.processes.wait()

    def _one_epoch(self, bar: tqdm[NoReturn]) -> dict[str, Any]:
        began = time.monotonic()
        loss = self.processes.mean(self._train_epoch(bar))
        self.epoch += 1
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of epoch {self.epoch} is {loss}, so nothing of it is saved: begin anew with --restart and a "
                f"smaller learning rate."
            )
        row = {
            "epoch": self.epoch, "size_px": self.recipe.phase_at(self.epoch - 1).size_px, "loss": round(loss, 4),
            "learning_rate": self.learning_rate(), "minutes": round((time.monotonic() - began) / 60, 2),
        }  # fmt: skip
        due = self.epoch % max(1, self.recipe.epochs // MEASURED) == 0 or self.epoch == self.recipe.epochs
        if due and self.held_out[1] and self.processes.is_first:
            row["val_accuracy"] = round(self.accuracy(), 4)
        return row

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017)."""
        total = self.recipe.epochs * self.steps_per_epoch
        warm = self.recipe.warmup * total
        if self.step < warm:
            return self.recipe.learning_rate * (self.step + 1) / (warm + 1)
        done = (self.step - warm) / max(1.0, total - warm)
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def _train_epoch(self, bar: tqdm[NoReturn]) -> float:
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 100_003 + self.epoch)
        self.model.train()
        if recipe.frozen_backbone:
            self.model.eval()
            self.model.head.train()
        total = torch.zeros((), device=self.device)
        bar.set_description(f"epoch {self.epoch + 1}/{recipe.epochs}", refresh=False)
        for batch in self._batches():
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate()
            with mixed_precision(self.device.type):
                loss = self.joined(batch)
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(list(self.lesson.parameters()), recipe.clip_norm)
            self.optimiser.step()
            self._update_average()
            self.step += 1
            bar.update()
            total += loss.detach()
        return float(total) / self.steps_per_epoch

    def _batches(self) -> Iterator[Batch]:
        """The epoch's batches, mixed, with the teacher's word on them."""
        loader, echo = iter(self._loader()), self.recipe.echo
        together = TOGETHER if echo > 1 else 1
        while fresh := [self._explained(*drawn) for drawn in itertools.islice(loader, together)]:
            yield from echoes(fresh, echo)

    def _explained(self, images: Tensor, targets: Tensor) -> Batch:
        images, targets = self.mix(images.to(self.device).float(), targets.to(self.device))
        with mixed_precision(self.device.type):
            return self.lesson.ask(images, targets, self.recipe.phase_at(self.epoch).size_px)

    def _loader(self) -> DataLoader[tuple[Tensor, int]]:
        """This process's share of the epoch's batches."""
        recipe, processes = self.recipe, self.processes
        phase = recipe.phase_at(self.epoch)
        size_px = phase.view_px if recipe.learns_from_teacher else phase.size_px
        self.data.view = VIEWS[recipe.views](size_px, recipe.strength)
        drawn = draw(self.weights, self.fresh_per_epoch * recipe.batch, recipe.seed, self.epoch)
        return DataLoader(
            self.data, processes.share_of(recipe.batch), sampler=drawn[processes.rank :: processes.count],
            num_workers=self.workers, worker_init_fn=lambda _: torch.set_num_threads(1),
        )  # fmt: skip

    def _update_average(self) -> None:
        """All tensors at once: on a GPU hundreds of small steps would take as long as the training itself."""
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(*self.averaged, None)

    def outcome(self, held_out: Photos, photos: list[Photo], size_px: int = EVALUATION_PX) -> Outcome:
        """What the averaged model says of `photos`, whose pictures are `held_out`, prepared as on the device."""

        def answer(batch: Tensor) -> Tensor:
            with mixed_precision(self.device.type):
                logits: Tensor = self.average(batch.to(self.device))[0]
            return logits

        views = (evaluation_view(picture.permute(1, 2, 0).numpy(), size_px) for picture in held_out.pictures)
        return Outcome(tuple(photos), self.classes, logits_of(answer, views), np.array(held_out.targets, np.int64))

    def accuracy(self) -> float:
        """Share of the held-out photos that the averaged model names right."""
        return float(self.outcome(*self.held_out).right.mean())

    def save(self) -> None:
        """Write `model.pt`, then `last.pt`; where there is no room for both, neither.

        What `last.pt` says is done, all files say.
        """
        recipe = json.dumps(asdict(self.recipe))
        finished = {
            "state_dict": {key: value.float().cpu() if value.is_floating_point() else value.cpu()
                           for key, value in self.average.published().items()},
            "classes": list(self.classes), "head": self.average.head_kind, "epoch": self.epoch, "recipe": recipe,
            "provenance": json.dumps(self.provenance), "photos": self.digest,
        }  # fmt: skip
        projection = self.lesson.projection
        state = {
            "recipe": recipe, "photos": self.digest, "begun_with": json.dumps(self.begun_with),
            "epoch": self.epoch, "step": self.step,
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "projection": projection.state_dict() if projection is not None else None,
        }  # fmt: skip
        write_checkpoint(
            self.folder / "last.pt", state, first=lambda: write_checkpoint(self.folder / "model.pt", finished)
        )

    def resume(self) -> None:
        """Go on from `last.pt` if there is one. Raises `CheckpointError` where it is another training's."""
        path = self.folder / "last.pt"
        if not path.exists():
            return
        state = read_state(path, self.device)
        require_as_begun(self.folder, state, self.recipe, self.digest, self.begun_with)
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            if self.lesson.projection is not None:
                self.lesson.projection.load_state_dict(state["projection"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as fault:
            raise CheckpointError(
                f"{path} holds another network than this training's: use another --run, or begin anew with --restart."
            ) from fault
        self.epoch, self.step = state["epoch"], state["step"]
        self.provenance = json.loads(load_checkpoint(self.folder / "model.pt")["provenance"])


def _measured(network: nn.Module) -> list[Tensor]:
    """The weights and statistics of a network, without its counters."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def mixing(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mixup, cutmix, one of both by chance, or neither: (N, 3, H, W) float and (N,) → images and (N, K) shares."""
    kinds = []
    if recipe.mixup > 0:
        kinds.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix > 0:
        kinds.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    if kinds:
        return v2.RandomChoice(kinds)
    return lambda images, targets: (images, functional.one_hot(targets, classes).float())
