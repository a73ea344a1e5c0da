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
    if method == "entropy":
        losses = np.stack([_divergence(counts, sixteenths) for sixteenths in range(8, 17)])
        return np.asarray((8 + losses.argmin(axis=0)) / 16)
    cumulative = counts.cumsum(axis=1)
    reached = cumulative >= _KEPT[method] * cumulative[:, -1:]
    return np.asarray((1 + reached.argmax(axis=1)) / BINS)


def _divergence(counts: NDArray[np.int64], sixteenths: int) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of the rounded distribution from the true one, (C,), where the rest saturates."""
    end = sixteenths * LEVELS
    kept = counts[:, :end].astype(np.float64)
    levels = kept.reshape(len(kept), LEVELS, sixteenths)
    occupied = levels > 0
    rounded = np.where(occupied, levels.sum(2, keepdims=True) / np.maximum(occupied.sum(2, keepdims=True), 1), 0)
    true = kept.copy()
    true[:, -1] += counts[:, end:].sum(axis=1)
    rounded = rounded.reshape(true.shape)
    p = true / np.maximum(true.sum(1, keepdims=True), 1)
    q = rounded / np.maximum(rounded.sum(1, keepdims=True), 1)
    terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), 0)
    return np.asarray(terms.sum(axis=1))
