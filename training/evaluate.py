"""How good a trained model is, where it fails, and the thresholds that follow: measured as the device would see it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from device.bundle import Thresholds
from device.classifier import Observation
from device.config import Config
from device.decision import Decision, Policy, decide
from training.errors import DataError
from training.files import sha256_of
from training.lids import FOUR_LIDS, NO_THRESHOLDS, gravely_wrong, mean_cost, opened_well, policy, told_grave
from training.outcome import Outcome

BINS = 15
"""Of the reliability diagram and the expected calibration error (Guo et al. 2017)."""
TEMPERATURES = 0.2, 10.0
"""Beyond these, a few held-out photos that are all right, or a model that knows nothing, would take it to 0 or ∞."""
CAUTION = 0.0025
"""What the mean cost of known things may rise by, so that more of what is unknown goes to the fallback."""
GRAVE_SHARE = 0.01
"""Of the photos that a grave mistake could be made with, the share that it may be made with."""


def wilson(correct: int, photos: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (0, 1) without photos."""
    if photos == 0:
        return 0.0, 1.0
    z, share = 1.959964, correct / photos
    middle = share + z * z / (2 * photos)
    spread = z * math.sqrt(share * (1 - share) / photos + z * z / (4 * photos * photos))
    return max(0.0, (middle - spread) / (1 + z * z / photos)), min(1.0, (middle + spread) / (1 + z * z / photos))


def share(data: str, split: str, right: NDArray[np.bool_]) -> dict[str, Any]:
    """An accuracy with its data, split and interval, in the form of the bundle's `metrics`."""
    correct, photos = int(right.sum()), len(right)
    low, high = wilson(correct, photos)
    return {
        "data": data, "split": split, "photos": photos, "correct": correct,
        "accuracy": round(correct / max(1, photos), 6), "interval95": [round(low, 6), round(high, 6)],
    }  # fmt: skip


def in_percent(row: dict[str, Any]) -> str:
    """What `share` made, to print: the accuracy, and its interval in brackets."""
    low, high = (100 * end for end in row["interval95"])
    return f"{100 * row['accuracy']:.1f} % ({low:.1f}…{high:.1f})"


def fit_temperature(outcome: Outcome) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017, "On calibration of modern networks")."""
    logits, targets = torch.from_numpy(outcome.logits).double(), torch.from_numpy(outcome.targets)
    log_temperature = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / log_temperature.exp(), targets)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(np.clip(float(log_temperature.detach().exp()), *TEMPERATURES))


def expected_calibration_error(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Mean gap of confidence and accuracy over 15 equal-width bins, weighted by their photos."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = (abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in set(which))
    return float(sum(gaps))


def cross_fitted_calibration_error(outcome: Outcome) -> float:
    """The calibration error on photos that the temperature was not fitted on: two folds by duplicate cluster."""
    fold = np.array([photo.cluster % 2 == 0 for photo in outcome.photos])
    if fold.all() or not fold.any():
        return expected_calibration_error(outcome.probabilities(fit_temperature(outcome)), outcome.targets)
    probabilities = np.empty(outcome.logits.shape)
    for held in (fold, ~fold):
        probabilities[held] = outcome.subset(held).probabilities(fit_temperature(outcome.subset(~held)))
    return expected_calibration_error(probabilities, outcome.targets)


def decisions(outcome: Outcome, temperature: float, rule: Policy) -> list[Decision]:
    """What the device decides on each photo, by its own rule."""
    energies = outcome.energies if outcome.tells_energy else [None] * len(outcome.photos)
    rows = zip(outcome.probabilities(temperature), energies, strict=True)
    return [
        decide([Observation(outcome.classes, row.astype(np.float32), None if energy is None else float(energy))], rule)
        for row, energy in rows
    ]


def open_lids(outcome: Outcome, temperature: float, rule: Policy) -> list[tuple[str, str]]:
    """For each photo the compartment that is right and the one that opens by this rule."""
    return lids_of(outcome, decisions(outcome, temperature, rule), rule)


def lids_of(outcome: Outcome, decided: Sequence[Decision], rule: Policy) -> list[tuple[str, str]]:
    """For each photo the compartment that is right and the one that was decided on."""
    owners = (rule.compartment_of[outcome.classes[target]] for target in outcome.targets)
    return [(owner, decision.compartment) for owner, decision in zip(owners, decided, strict=True)]


def choose_thresholds(outcome: Outcome, temperature: float, config: Config = FOUR_LIDS) -> Thresholds:
    """The strictest confidence that costs little more than the cheapest one and makes hardly any grave mistake.

    No threshold on the energy: at the same loss of right lids, confidence sends more unknown things to the fallback
    (docs/training.md).
    """
    costs, rule = {}, policy(outcome.classes, NO_THRESHOLDS, config=config)
    for confidence in np.round(np.arange(0.30, 0.96, 0.05), 2):
        lids = open_lids(outcome, temperature, replace(rule, thresholds=Thresholds(confidence=float(confidence))))
        grave = gravely_wrong(lids, rule)
        if not len(grave) or grave.mean() <= GRAVE_SHARE:
            costs[float(confidence)] = mean_cost(lids, rule.cost_matrix)
    affordable = [confidence for confidence, cost in costs.items() if cost <= min(costs.values()) + CAUTION]
    return Thresholds(confidence=max(affordable, default=0.95))


def evaluate(held_out: Outcome, test: Outcome | None = None, config: Config = FOUR_LIDS) -> dict[str, Any]:
    """Everything that the report and the bundle say, fitted on `held_out` and measured on both.

    `config`: of the bin whose lids are measured; it must map every class, or `DataError` is raised.
    """
    temperature = fit_temperature(held_out)
    thresholds = choose_thresholds(held_out, temperature, config)
    rule = policy(held_out.classes, thresholds, config=config)
    parts = [("val", held_out)] + ([("test", test)] if test is not None else [])
    result: dict[str, Any] = {
        "classes": list(held_out.classes),
        "temperature": temperature,
        "thresholds": thresholds.model_dump(),
        "cost_matrix": rule.cost_matrix,
        "expected_calibration_error": {
            "before": expected_calibration_error(held_out.probabilities(1.0), held_out.targets),
            "cross_fitted": cross_fitted_calibration_error(held_out),
        },
        "metrics": [], "per_class": {}, "compartments": {},
    }  # fmt: skip
    for name, outcome in parts:
        right = outcome.right
        result["metrics"].append(share("all sources" if name == "val" else "test", name, right))
        sources = np.array([photo.source for photo in outcome.photos])
        result["metrics"] += [share(source, name, right[sources == source]) for source in sorted(set(sources))]
        result["per_class"][name] = {
            material: share(material, name, right[outcome.targets == k])
            for k, material in enumerate(outcome.classes)
            if (outcome.targets == k).any()
        }
        result["compartments"][name] = _judge_lids(outcome, temperature, rule, name)
    return result


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `evaluate` measured of the run in `folder`. Raises `DataError` where that was another `model.pt`."""
    path = folder / "evaluation.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path} cannot be read: run `python -m training evaluate` on this run first.") from fault
    if values.get("model_sha256") not in (None, sha256_of(folder / "model.pt")):
        raise DataError(f"{path} is of another model.pt: run `python -m training evaluate` on this run again.")
    return values


def _judge_lids(outcome: Outcome, temperature: float, rule: Policy, part: str) -> dict[str, Any]:
    lids = open_lids(outcome, temperature, rule)
    forced = open_lids(outcome, temperature, replace(rule, thresholds=NO_THRESHOLDS))
    return {
        "as_shipped": share("all sources", part, opened_well(lids)),
        "without_fallback": share("all sources", part, opened_well(forced)),
        "grave_mistakes": share(told_grave(rule), part, gravely_wrong(lids, rule)),
        "mean_cost": round(mean_cost(lids, rule.cost_matrix), 4),
    }
