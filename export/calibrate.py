"""What the channels of each intermediate span on real photos, and how much of that is worth its place in 8 bits.

An intermediate has 256 steps. Min-max spends them on everything that was ever seen; a percentile lets the rarest values
saturate; entropy saturates where the rounded distribution tells most of the true one (Migacz 2017, "8-bit inference
with TensorRT"). Which is best is measured by each export, not believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.equalise import Range
from export.network import Arithmetic, Network, run

Method = Literal["min-max", "percentile 99.99", "percentile 99.9", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
LEVELS = 256
BINS = 16 * LEVELS
"""Of the histograms: the entropy's candidates are the sixteenths of the range."""
_KEPT: dict[str, float] = {"percentile 99.99": 0.9999, "percentile 99.9": 0.999}

Histograms = dict[str, NDArray[np.int64]]
"""By intermediate, (C, BINS) counts of values of 0…1; what lies outside counts in the end bins."""


class _Spans(Arithmetic):
    def __init__(self) -> None:
        self.ranges: dict[str, Range] = {}

    def store(self, name: str, value: Tensor) -> Tensor:
        flat = value.transpose(0, 1).flatten(1)
        low, high = flat.amin(dim=1).double().numpy(), flat.amax(dim=1).double().numpy()
        known = self.ranges.get(name, Range(low, high))
        self.ranges[name] = Range(np.minimum(known.low, low), np.maximum(known.high, high))
        return value


class _Counts(Arithmetic):
    def __init__(self) -> None:
        self.histograms: Histograms = {}

    def store(self, name: str, value: Tensor) -> Tensor:
        flat = value.transpose(0, 1).flatten(1)
        which = (flat * BINS).long().clamp_(0, BINS - 1) + BINS * torch.arange(len(flat)).view(-1, 1)
        counts = torch.bincount(which.flatten(), minlength=BINS * len(flat)).view(-1, BINS).numpy()
        self.histograms[name] = self.histograms.get(name, 0) + counts
        return value


@torch.no_grad()
def measure_ranges(network: Network, batches: Iterable[Tensor]) -> dict[str, Range]:
    """The least and the greatest value of each channel of each intermediate over (N, 3, H, W) uint8 photos."""
    spans = _Spans()
    for batch in batches:
        run(network, batch, spans)
    return spans.ranges


@torch.no_grad()
def measure_histograms(network: Network, batches: Iterable[Tensor]) -> Histograms:
    """How often each channel of each intermediate of an equalised network takes which value."""
    counts = _Counts()
    for batch in batches:
        run(network, batch, counts)
    return counts.histograms


def choose_ranges(histograms: Histograms, method: Method) -> dict[str, Range]:
    """The part of 0…1 that gets the 256 steps, by channel."""
    return {
        name: Range(1 - _upper(counts[:, ::-1], method), _upper(counts, method)) for name, counts in histograms.items()
    }


def _upper(counts: NDArray[np.int64], method: Method) -> NDArray[np.float64]:
    """The upper end for (C, BINS) counts, (C,)."""
    if method == "min-max":
        return np.ones(len(counts))
    cumulative = counts.cumsum(axis=1)
    if method == "entropy":
        used, entropies = (counts > 0).cumsum(axis=1), _entropy(counts).cumsum(axis=1)
        losses = np.stack([_divergence(cumulative, used, entropies, sixteenths) for sixteenths in range(8, 17)])
        return np.asarray((8 + losses.round(12).argmin(axis=0)) / 16)  # the least of ends that are alike
    reached = cumulative >= _KEPT[method] * cumulative[:, -1:]
    return np.asarray((1 + reached.argmax(axis=1)) / BINS)


def _divergence(
    cumulative: NDArray[np.int64], used: NDArray[np.int64], entropies: NDArray[np.float64], sixteenths: int
) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of the rounded distribution from the true one, (C,), where the rest saturates.

    Rounding spreads what a level holds evenly over those of its bins that hold anything. All are (C, BINS), of each bin
    and all before it: how much they hold, how many hold anything, their entropies.
    """
    end = sixteenths * LEVELS
    held, bins = (np.diff(sums[:, sixteenths - 1 : end : sixteenths], prepend=0) for sums in (cumulative, used))
    last = cumulative[:, end - 1] - cumulative[:, end - 2]
    saturated = cumulative[:, -1] - cumulative[:, end - 1]
    spread = held / np.maximum(bins, 1)
    true, rounded = np.maximum(held.sum(axis=1) + saturated, 1), np.maximum(held.sum(axis=1), 1)
    told = np.log(np.maximum(spread / rounded[:, None], 1e-12))
    told_of_last = np.where(last > 0, told[:, -1], np.log(1e-12))
    entropy = entropies[:, end - 1] - _entropy(last) + _entropy(last + saturated)
    return np.asarray((entropy - (held * told).sum(axis=1) - saturated * told_of_last) / true - np.log(true))


def _entropy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """n · log(n), and 0 of 0."""
    return np.asarray(counts * np.log(np.maximum(counts, 1)))
