"""Which ranges and which biases the INT8 graph gets: candidates are measured on photos, and the best is taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.session import open_session
from export.calibrate import METHODS, choose_ranges, measure_histograms
from export.correct import bias_corrections
from export.equalise import Range, equalise
from export.graph import Corrections, int8_model
from export.network import Network, run

log = logging.getLogger(__name__)

BATCH = 16
CORRECTED_ON = 64
"""Photos on which biases are corrected; they are held in memory at once."""


@dataclass(frozen=True)
class Quantization:
    """An equalised network and the corrections of its biases. `divergence`: see `divergence`; `agreement`: 0…1."""

    name: str
    network: Network
    corrections: Corrections
    divergence: float
    agreement: float


def choose_quantization(
    network: Network, ranges: dict[str, Range], calibration: Tensor, measured: Tensor
) -> Quantization:
    """The candidate that is nearest to float on photos that nothing was calibrated on.

    Each way to choose ranges is tried with biases as they are and corrected: what correction wins differs so much that
    the best before it need not be the best after.

    `ranges`: of the network's intermediates on `calibration`; both (N, 3, S, S) uint8 of the training part, other
    photos each. Prints a line for each candidate.
    """
    with torch.no_grad():
        wanted = torch.cat([run(network, batch) for batch in torch.split(measured, BATCH)]).softmax(dim=1).numpy()
    equal = equalise(network, ranges)
    histograms = measure_histograms(equal, torch.split(calibration, BATCH))

    def measure(name: str, candidate: Network, corrections: Corrections) -> Quantization:
        told = probabilities_of(candidate, corrections, measured)
        made = Quantization(name, candidate, corrections, divergence(wanted, told), agreement(wanted, told))
        log.info("%-40s divergence from float %.5f, agreement %.1f %%", name, made.divergence, 100 * made.agreement)
        return made

    some = calibration[:: max(1, len(calibration) // CORRECTED_ON)]
    candidates = []
    for method in METHODS:
        ranged = equalise(equal, choose_ranges(histograms, method))
        corrections = bias_corrections(ranged, some, BATCH)
        candidates += [measure(method, ranged, {}), measure(f"{method}, biases corrected", ranged, corrections)]
    return nearest(candidates)


def nearest(candidates: Sequence[Quantization]) -> Quantization:
    """The one that diverges least; the earlier of equals."""
    return min(candidates, key=lambda candidate: candidate.divergence)


def probabilities_of(network: Network, corrections: Corrections, photos: Tensor) -> NDArray[np.float32]:
    """(N, K) of the INT8 graph of an equalised network, by ONNX Runtime."""
    model = int8_model(network, 1.0, photos.shape[-1], corrections)
    session = open_session(model.SerializeToString())
    pictures = photos.permute(0, 2, 3, 1).numpy()
    return np.concatenate([session.run(["probabilities"], {"image": picture[None]})[0] for picture in pictures])


def divergence(wanted: NDArray[np.float32], told: NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence of (N, K) probabilities from those that are wanted, in nats."""
    floor = 1e-9
    terms = wanted * np.log(np.maximum(wanted, floor) / np.maximum(told, floor))
    return float(terms.sum(axis=1).mean())


def agreement(wanted: NDArray[np.float32], told: NDArray[np.float32]) -> float:
    """How often the likeliest class is the same, 0…1."""
    return float((wanted.argmax(axis=1) == told.argmax(axis=1)).mean())
