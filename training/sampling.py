"""Which photos are drawn, how often, and as which views."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from device.pictures import shrunk
from training.augment import EVALUATION_PX, Reader, read_photo, training_view
from training.split import Photo

KEPT_PX = 1024
"""The short side of a picture that is kept, at most: a third of its area still has more pixels than any view."""


class Photos(Dataset[tuple[Tensor, int]]):
    """Photos in memory, each drawn as a new view.

    Asked for `(index, seed)`, it makes the view that belongs to the seed: the same whichever process makes it.
    `read` gives the (H, W, channels) uint8 picture at a path; one whose short side is above `KEPT_PX` is shrunk.
    """

    def __init__(self, photos: Sequence[Photo], classes: tuple[str, ...], read: Reader = read_photo) -> None:
        pictures = (read(photo.path) for photo in photos)
        self.pictures = [
            torch.from_numpy(shrunk(picture, KEPT_PX / min(picture.shape[:2]))).permute(2, 0, 1).contiguous()
            for picture in pictures
        ]
        self.targets = [classes.index(photo.material) for photo in photos]
        self.view: nn.Module = training_view(EVALUATION_PX)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, drawn: int | tuple[int, int]) -> tuple[Tensor, int]:
        if isinstance(drawn, int):
            return self.view(self.pictures[drawn]), self.targets[drawn]
        index, seed = drawn
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.view(self.pictures[index]), self.targets[index]

    def views(self) -> Iterator[Tensor]:
        """One view of each photo, always the same one."""
        return (self[index, index][0] for index in range(len(self)))


def draw(weights: NDArray[np.float64], count: int, seed: int, epoch: int) -> list[tuple[int, int]]:
    """An epoch's photos: `count` indices drawn by weight, each with the seed of its view."""
    chance = np.random.default_rng((seed, epoch))
    indices = chance.choice(len(weights), count, p=weights).tolist()
    seeds = chance.integers(0, 2**62, count).tolist()
    return list(zip(indices, seeds, strict=True))


def weights_by_source(photos: Iterable[Photo], source_weights: Mapping[str, float]) -> dict[str, float]:
    """How often the photos of each of their sources are drawn; of one without a weight, as often as they come."""
    return {source: source_weights.get(source, 1.0) for source in {photo.source for photo in photos}}


def balanced_weights(photos: Sequence[Photo], source_weights: dict[str, float]) -> NDArray[np.float64]:
    """How often each photo is drawn, (N,) summing to 1: rare classes and small sources more often than they come.

    Within a class, a source is drawn by the square root of its size, times its weight; a class by the square root of
    the sum of those, which of a single source is the fourth root of its size. Roots lie between drawing classes evenly,
    which repeats 69 photos without end, and as they come (Mahajan et al. 2018).
    """
    groups = Counter((photo.source, photo.material) for photo in photos)
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
