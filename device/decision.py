"""From what the model saw to the one lid that opens: pure functions over plain values.

Several frames of one object are fused, materials are added up to compartments, and the compartment of least
expected cost is chosen; what is unsure or unknown goes to the fallback compartment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from device.bundle import CostMatrix, Thresholds
from device.classifier import Observation

Verdict = Literal["sure", "unsure", "unknown"]
_SMALLEST_PROBABILITY = 1e-6
"""Keeps one frame's zero from ruling a material out for ever."""


@dataclass(frozen=True)
class Policy:
    """How probabilities become a lid.

    `compartment_of`: material → compartment; `fallback`: what opens for the unsure and the unknown.
    """

    compartment_of: Mapping[str, str]
    fallback: str
    thresholds: Thresholds
    cost_matrix: CostMatrix


@dataclass(frozen=True)
class Decision:
    """One object's verdict.

    `material` is the likeliest one; `compartment` is what opens; `confidence` is the posterior probability that
    the chosen compartment is right, before a fallback.
    """

    material: str
    compartment: str
    confidence: float
    verdict: Verdict
    probabilities: Mapping[str, float]
    frames: int


def fuse(observations: Sequence[Observation]) -> NDArray[np.float64]:
    """Posterior over materials, (K,) float64 that sums to 1, from at least one frame of the same object.

    The mean of the log-probabilities, normalised (a logarithmic opinion pool; Genest and Zidek 1986): frames of
    an object that lies still share most of their errors, so they are averaged, not multiplied as if independent.
    """
    logs = np.log(np.clip([one.probabilities for one in observations], _SMALLEST_PROBABILITY, 1.0)).mean(axis=0)
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum(), np.float64)


def decide(observations: Sequence[Observation], policy: Policy) -> Decision:
    """Choose the lid for one object from all its frames; `observations` holds at least one."""
    probabilities = dict(zip(observations[0].classes, map(float, fuse(observations)), strict=True))
    chosen, confidence = _choose_compartment(probabilities, policy)
    energies = [one.energy for one in observations if one.energy is not None]
    verdict: Verdict = "sure"
    if policy.thresholds.energy is not None and energies and np.median(energies) < policy.thresholds.energy:
        verdict = "unknown"
    elif confidence < policy.thresholds.confidence:
        verdict = "unsure"
    return Decision(
        material=max(probabilities, key=lambda name: probabilities[name]),
        compartment=chosen if verdict == "sure" else policy.fallback,
        confidence=confidence,
        verdict=verdict,
        probabilities=probabilities,
        frames=len(observations),
    )


def lid_cost(costs: CostMatrix, right: str, opened: str) -> float:
    """What it costs to open a lid when another is right: 0 for the right one, 1 where the matrix is silent."""
    return costs.get(right, {}).get(opened, 0.0 if right == opened else 1.0)


def _choose_compartment(posterior: Mapping[str, float], policy: Policy) -> tuple[str, float]:
    belief: dict[str, float] = {}
    for material, probability in posterior.items():
        compartment = policy.compartment_of[material]
        belief[compartment] = belief.get(compartment, 0.0) + probability

    def expected_cost(opened: str) -> float:
        return sum(probability * lid_cost(policy.cost_matrix, right, opened) for right, probability in belief.items())

    chosen = min(belief, key=lambda compartment: (expected_cost(compartment), -belief[compartment]))
    return chosen, belief[chosen]
