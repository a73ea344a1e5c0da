"""What a bundle does with things that no class covers: batteries, toys, whatever a town's waste holds besides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.bundle import Bundle
from device.classifier import Classifier
from device.config import Config
from device.decision import Decision, Policy, decide
from device.errors import PictureError
from training.augment import read_photo
from training.errors import DataError
from training.evaluate import decisions, lids_of
from training.lids import FOUR_LIDS, NO_THRESHOLDS, opened_well, policy
from training.outcome import observe
from training.split import Photo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lids:
    """Under one rule: whether the right lid opens for each known thing, and the fallback for each unknown one."""

    right: NDArray[np.bool_]
    fallback: NDArray[np.bool_]


@dataclass(frozen=True)
class Caution:
    """What thresholds do to known and to unknown things.

    `separation`: for confidence and energy, the chance that it is higher for a known thing than for an unknown one
    (the area under the ROC curve; Fawcett 2006), whatever the threshold: 0.5 is blind.
    """

    shipped: Lids
    without: Lids
    separation: dict[str, float]


def caution(
    bundle: Bundle,
    known: Sequence[Photo],
    unknown: Sequence[Path],
    progress: Callable[[Any], Iterable[Any]] = iter,
    config: Config = FOUR_LIDS,
) -> Caution:
    """Ask the bundle about known and unknown things, and decide as the device does with the lids of `config`.

    An unknown one that cannot be read is named and left out. Raises `DataError` where there are none of either, or
    known ones are of a material that the bundle does not know.
    """
    if not known or not unknown:
        raise DataError(f"There is no photo of {'known' if unknown else 'unknown'} things, so nothing can be compared.")
    contract, classifier = bundle.contract, Classifier(bundle)
    shipped = policy(contract.classes, contract.thresholds, contract.cost_matrix, config)
    bold = replace(shipped, thresholds=NO_THRESHOLDS)
    outcome = observe(bundle, known, progress)
    seen = []
    for path in progress(unknown):
        try:
            seen.append(classifier.observe(read_photo(str(path))))
        except PictureError as fault:
            log.warning("left out: %s", fault)
    if not seen:
        raise DataError("None of the photos of unknown things can be read, so nothing can be compared.")

    def decided(rule: Policy) -> tuple[list[Decision], list[Decision]]:
        return decisions(outcome, contract.temperature, rule), [decide([one], rule) for one in seen]

    def lids(rule: Policy, of_known: list[Decision], of_unknown: list[Decision]) -> Lids:
        opened = np.array([one.compartment for one in of_unknown])
        return Lids(opened_well(lids_of(outcome, of_known, rule)), opened == rule.fallback)

    boldly = decided(bold)
    scores = {"confidence": tuple([one.confidence for one in part] for part in boldly)}
    if outcome.tells_energy:
        scores["energy"] = (outcome.energies.tolist(), [one.energy or 0.0 for one in seen])
    return Caution(
        lids(shipped, *decided(shipped)), lids(bold, *boldly),
        {name: separation(*map(np.array, both)) for name, both in scores.items()},
    )  # fmt: skip


def separation(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """The chance that a known thing's score is above an unknown one's; ties count half (Mann and Whitney 1947)."""
    higher, level = known[:, None] > unknown[None], known[:, None] == unknown[None]
    return float((higher + level / 2).mean())
