"""The figures of the report, as plain values that go into JSON as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.decision import Decision, Policy, lid_cost
from training.evaluate import (
    BINS,
    cross_fitted_calibration_error,
    decisions,
    expected_calibration_error,
    lids_of,
    open_lids,
    share,
)
from training.lids import NO_THRESHOLDS, Openings, gravely_wrong, mean_cost, opened_well, told_grave
from training.outcome import Outcome

POOLED = "held out"
"""The part that joins all others: every photo that the model was not trained on."""
THRESHOLDS = np.round(np.arange(0.0, 1.0, 0.05), 2)
"""Confidence thresholds at which the cost of wrong lids is shown."""


def figures(parts: Mapping[str, Outcome], temperature: float, rule: Policy) -> dict[str, Any]:
    """Everything measured on `parts` (name → what the model said), and on all of them together if they are several."""
    first, *others = parts.values()
    outcomes = dict(parts)
    if others:
        outcomes[POOLED] = sum(others, start=first)
    return {
        "classes": list(first.classes),
        "compartment_of": {name: rule.compartment_of[name] for name in first.classes},
        "temperature": temperature,
        "thresholds": rule.thresholds.model_dump(),
        "cost_matrix": rule.cost_matrix,
        "parts": {name: _part(outcome, name, temperature, rule) for name, outcome in outcomes.items()},
    }


def _part(outcome: Outcome, name: str, temperature: float, rule: Policy) -> dict[str, Any]:
    decided, forced = (decisions(outcome, temperature, one) for one in (rule, replace(rule, thresholds=NO_THRESHOLDS)))
    lids, first_choice = lids_of(outcome, decided, rule), lids_of(outcome, forced, rule)
    said = outcome.logits.argmax(axis=1)
    right, well, chosen_well = outcome.right, opened_well(lids), opened_well(first_choice)
    sources = np.array([photo.source for photo in outcome.photos])
    owners, materials = np.array([owner for owner, _ in lids]), outcome.classes
    return {
        "photos": len(outcome.photos),
        "accuracy": share("all sources", name, right),
        "per_class": [
            {**share(material, name, right[outcome.targets == k]), "named_so": int((said == k).sum())}
            for k, material in enumerate(outcome.classes)
            if (outcome.targets == k).any()
        ],
        "per_source": [
            {**share(source, name, right[own]), "lids": share(source, name, well[own])}
            for source, own in ((source, sources == source) for source in sorted(set(sources.tolist())))
        ],
        "confusion": _counts([(materials[t], materials[s]) for t, s in zip(outcome.targets, said, strict=True)]),
        "lids": {
            "as_shipped": share("all sources", name, well),
            "without_fallback": share("all sources", name, chosen_well),
            "grave_mistakes": share(told_grave(rule), name, gravely_wrong(lids, rule)),
            "per_compartment": [share(c, name, well[owners == c]) for c in sorted(set(owners.tolist()))],
            "confusion": _counts(lids),
            "mean_cost": round(mean_cost(lids, rule.cost_matrix), 4),
            "wrong": _wrong(lids, rule),
            "by_threshold": [_at_threshold(float(c), outcome, temperature, rule) for c in THRESHOLDS],
        },
        "calibration": _calibration(outcome, temperature),
        "risk_coverage": {
            "material": _risk_coverage(outcome.probabilities(temperature).max(axis=1), right),
            "lid": _risk_coverage(np.array([one.confidence for one in forced]), chosen_well),
            "as_shipped": _as_shipped(decided, well),
        },
    }  # fmt: skip


def _counts(pairs: Openings) -> dict[str, dict[str, int]]:
    """How often each first goes with each second: first → second → photos."""
    counts: dict[str, dict[str, int]] = {}
    for (first, second), photos in sorted(Counter(pairs).items()):
        counts.setdefault(first, {})[second] = photos
    return counts


def _wrong(lids: Openings, rule: Policy) -> list[dict[str, Any]]:
    """The wrong lids by what they cost together, dearest first."""
    rows = [
        {"right": right, "opened": opened, "photos": n, "cost": round(n * lid_cost(rule.cost_matrix, right, opened), 2)}
        for (right, opened), n in sorted(Counter(lids).items())
        if right != opened
    ]
    return sorted(rows, key=lambda row: -row["cost"])


def _at_threshold(confidence: float, outcome: Outcome, temperature: float, rule: Policy) -> dict[str, float]:
    rule = replace(rule, thresholds=rule.thresholds.model_copy(update={"confidence": confidence}))
    lids = open_lids(outcome, temperature, rule)
    grave = gravely_wrong(lids, rule)
    return {
        "confidence": confidence,
        "mean_cost": round(mean_cost(lids, rule.cost_matrix), 4),
        "right": round(float(opened_well(lids).mean()), 4),
        "grave_mistakes": round(float(grave.mean()) if len(grave) else 0.0, 4),
    }


def _calibration(outcome: Outcome, temperature: float) -> dict[str, Any]:
    raw, scaled = outcome.probabilities(1.0), outcome.probabilities(temperature)
    return {
        "before": round(expected_calibration_error(raw, outcome.targets), 4),
        "after": round(expected_calibration_error(scaled, outcome.targets), 4),
        "cross_fitted": round(cross_fitted_calibration_error(outcome), 4),
        "bins_before": _reliability(raw, outcome.targets),
        "bins_after": _reliability(scaled, outcome.targets),
    }


def _reliability(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> list[dict[str, float]]:
    """For each of 15 bins that holds photos: mean confidence, accuracy, photos (Niculescu-Mizil and Caruana 2005)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "from": round(b / BINS, 4), "confidence": round(float(confidence[which == b].mean()), 4),
            "accuracy": round(float(right[which == b].mean()), 4), "photos": int((which == b).sum()),
        }
        for b in sorted(set(which.tolist()))
    ]  # fmt: skip


def _risk_coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any]:
    """The share of errors among the surest photos, for each share of photos answered (El-Yaniv and Wiener 2010).

    `area` is the mean risk over all coverages; the curve is thinned to at most 200 points.
    """
    order = np.argsort(-confidence, kind="stable")
    risk = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    points = np.unique(np.linspace(0, len(order) - 1, min(200, len(order))).astype(int))
    return {
        "area": round(float(risk.mean()), 5),
        "coverage": [round(float(point + 1) / len(order), 4) for point in points],
        "risk": [round(float(risk[point]), 5) for point in points],
    }


def _as_shipped(decided: Sequence[Decision], opened_well: NDArray[np.bool_]) -> dict[str, float]:
    """Where the shipped thresholds lie on the lids' curve: share of sure drops, and share of errors among them."""
    sure = np.array([one.verdict == "sure" for one in decided])
    risk = float(1 - opened_well[sure].mean()) if sure.any() else 0.0
    return {"coverage": round(float(sure.mean()), 4), "risk": round(risk, 5)}
