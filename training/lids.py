"""Which bin's lids are measured, what its mistakes cost, and which of them are grave."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.bundle import CostMatrix, Thresholds
from device.config import Config, read_config
from device.decision import Policy, lid_cost
from device.evidence import rule_of
from training.errors import DataError

Openings = Sequence[tuple[str, str]]
"""For each photo the compartment that is right and the one that opens."""
FOUR_LIDS = Config()
"""The bin whose lids are measured unless another is named."""
NO_THRESHOLDS = Thresholds(confidence=0.0)
"""Nothing is sent to the fallback for doubt."""
COST_MATRIX: CostMatrix = {
    "organic": {"recyclable": 10.0, "reuse": 5.0, "residual": 1.0},
    "recyclable": {"organic": 4.0, "reuse": 1.0, "residual": 1.0},
    "reuse": {"organic": 4.0, "recyclable": 2.0, "residual": 1.0},
    "residual": {"organic": 4.0, "recyclable": 3.0, "reuse": 2.0},
}
"""Cost of opening a lid of `FOUR_LIDS` when another is right, in the price of burning something that could have been
used (1).

Organic waste among recyclables spoils what lies around it and rots into methane: the worst.
"""
GRAVE = 10.0
"""What a mistake costs, at least, that must hardly ever be made."""


def bin_of(file: Path | None) -> Config:
    """The bin that a configuration describes; without one the four lids. Raises `ConfigError`."""
    return FOUR_LIDS if file is None else read_config(file)


def policy(
    classes: Sequence[str], thresholds: Thresholds, costs: CostMatrix = COST_MATRIX, config: Config = FOUR_LIDS
) -> Policy:
    """The policy of the bin that `config` describes with a model of such thresholds and costs, as the device has it.

    Raises `DataError` for a class that the bin sends nowhere.
    """
    if homeless := config.homeless(classes):
        whose = "the default bin" if config is FOUR_LIDS else "this bin"
        raise DataError(
            f"The lids cannot be measured, for {whose} sends {', '.join(homeless)} nowhere: name the configuration "
            f"that maps them in [materials], --config pilah.toml (`make model LIDS=pilah.toml`)."
        )
    return rule_of(config, thresholds, costs)


def opened_well(lids: Openings) -> NDArray[np.bool_]:
    """For each photo, whether the right lid opens."""
    return np.array([right == opened for right, opened in lids], dtype=bool)


def mean_cost(lids: Openings, costs: CostMatrix) -> float:
    """Average cost of the opened lids."""
    return float(np.mean([lid_cost(costs, right, opened) for right, opened in lids]))


def grave_mistakes(rule: Policy) -> list[tuple[str, str]]:
    """Of this bin the lids that are right and those that open where that costs `GRAVE` or more.

    None are those that the fallback opens for: no threshold keeps things out of it.
    """
    lids = sorted({*rule.compartment_of.values()})
    pairs = (pair for pair in permutations(lids, 2) if pair[1] != rule.fallback)
    return [pair for pair in pairs if lid_cost(rule.cost_matrix, *pair) >= GRAVE]


def gravely_wrong(lids: Openings, rule: Policy) -> NDArray[np.bool_]:
    """For each photo that a grave mistake could be made with, whether it is made."""
    grave = grave_mistakes(rule)
    owners = {right for right, _ in grave}
    return np.array([pair in grave for pair in lids if pair[0] in owners], dtype=bool)


def told_grave(rule: Policy) -> str:
    """The grave mistakes in words, empty where there are none."""
    return ", ".join(f"{right} into {opened}" for right, opened in grave_mistakes(rule))
