"""What a model says of photos, asked as the device would ask it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.bundle import Bundle
from device.classifier import Classifier
from training.augment import EVALUATION_PX, evaluation_view, read_photo, training_view
from training.errors import DataError
from training.models import Student
from training.sampling import Photos
from training.split import Photo, require_photos

SMALLEST_PROBABILITY = 1e-38
"""Below the smallest float32 that a softmax gives, so that its logarithm exists."""
VIEWS_AT_ONCE = 32


@dataclass(frozen=True)
class Outcome:
    """What a model said of some photos: (N, K) float logits and (N,) indices of the true classes.

    `tells_energy`: False for a bundle without an energy output, whose drops are never unknown.
    """

    photos: tuple[Photo, ...]
    classes: tuple[str, ...]
    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    tells_energy: bool = True

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,): whether the likeliest class is the true one."""
        return np.asarray(self.logits.argmax(axis=1) == self.targets)

    def probabilities(self, temperature: float) -> NDArray[np.float64]:
        """(N, K), each row's sum 1: the softmax of the logits over the temperature."""
        scaled = self.logits.astype(np.float64) / temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    @property
    def energies(self) -> NDArray[np.float64]:
        """(N,) logsumexp of the untempered logits (Liu et al. 2020)."""
        return np.asarray(np.logaddexp.reduce(self.logits.astype(np.float64), axis=1))

    def subset(self, keep: NDArray[np.bool_]) -> Outcome:
        chosen = tuple(photo for photo, kept in zip(self.photos, keep, strict=True) if kept)
        return replace(self, photos=chosen, logits=self.logits[keep], targets=self.targets[keep])

    def __add__(self, other: Outcome) -> Outcome:
        return replace(
            self, photos=self.photos + other.photos, logits=np.concatenate([self.logits, other.logits]),
            targets=np.concatenate([self.targets, other.targets]),
        )  # fmt: skip


def targets_of(photos: Sequence[Photo], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) indices of the photos' materials.

    Raises `DataError` for a material that the model does not know, and where there are no photos or some are gone.
    """
    if not photos:
        raise DataError("The split holds no photos to measure on: prepare it anew, with more photos of each class.")
    if strange := sorted({photo.material for photo in photos} - set(classes)):
        raise DataError(
            f"The model knows no {', '.join(strange)}, only {', '.join(classes)}: measure it on its own run."
        )
    require_photos(photos)
    return np.array([classes.index(photo.material) for photo in photos], np.int64)


def predict(student: Student, photos: Sequence[Photo], classes: tuple[str, ...]) -> Outcome:
    """Run the float model over photos through the device's own preprocessing."""
    return next(predict_under([lambda view: view], student, photos, classes))


def predict_strained(student: Student, photos: Sequence[Photo], classes: tuple[str, ...]) -> Outcome:
    """What the float model says of one augmented view of each photo, at full strength and always the same one.

    A stand-in for cameras, light and tilt that no photo here has.
    """
    targets, drawn = targets_of(photos, classes), Photos(photos, classes)
    drawn.view = training_view(EVALUATION_PX)
    return Outcome(tuple(photos), classes, _logits(student, drawn.views()), targets)


def predict_under(
    strains: Iterable[Callable[[Tensor], Tensor]], student: Student, photos: Sequence[Photo], classes: tuple[str, ...]
) -> Iterator[Outcome]:
    """What the float model says of photos that are prepared as on the device, then strained: one outcome per strain.

    The strains are those of training/strains.py; each photo is read once for all of them.
    """
    targets = targets_of(photos, classes)
    views = [evaluation_view(read_photo(photo.path)) for photo in photos]
    for strain in strains:
        yield Outcome(tuple(photos), classes, _logits(student, map(strain, views)), targets)


def _logits(student: Student, views: Iterable[Tensor]) -> NDArray[np.float32]:
    student.eval()
    return logits_of(lambda batch: student(batch)[0], views)


@torch.no_grad()
def logits_of(network: Callable[[Tensor], Tensor], views: Iterable[Tensor]) -> NDArray[np.float32]:
    """(N, K) logits of N views, each (3, S, S) uint8, shown to the network a batch at a time."""
    rest, logits = iter(views), []
    while together := list(itertools.islice(rest, VIEWS_AT_ONCE)):
        logits.append(network(torch.stack(together)).float().cpu())
    return np.asarray(torch.cat(logits).numpy())


def observe(bundle: Bundle, photos: Sequence[Photo], progress: Callable[[Any], Iterable[Photo]] = iter) -> Outcome:
    """What a bundle says of photos, by the code that the loop and `pilah classify` use.

    A bundle gives probabilities p at its temperature T and the energy of its logits z, from which the logits follow:
    softmax(z / T) = p leaves z = T·log p + c, and logsumexp(z) gives c.
    """
    contract, targets = bundle.contract, targets_of(photos, bundle.contract.classes)
    classifier = Classifier(bundle)
    logits, energies = [], []
    for photo in progress(photos):
        seen = classifier.observe(read_photo(photo.path))
        scaled = contract.temperature * np.log(np.maximum(seen.probabilities.astype(np.float64), SMALLEST_PROBABILITY))
        energies.append(seen.energy)
        logits.append(scaled + ((seen.energy or 0.0) - np.logaddexp.reduce(scaled)))
    told = all(energy is not None for energy in energies)
    return Outcome(tuple(photos), contract.classes, np.stack(logits).astype(np.float32), targets, told)
