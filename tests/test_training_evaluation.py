"""How good a model is, said with its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
from device.bundle import Thresholds
from device.config import Config, DecisionSection
from training.errors import DataError
from training.evaluate import (
    CAUTION,
    choose_thresholds,
    cross_fitted_calibration_error,
    evaluate,
    expected_calibration_error,
    fit_temperature,
    open_lids,
    wilson,
)
from training.lids import COST_MATRIX, mean_cost, policy
from training.outcome import Outcome
from training.split import Photo

CLASSES = ("glass", "organic", "textile", "trash")


def outcome(sharpness: float, photos: int = 600, wrong: float = 0.15, seed: int = 0) -> Outcome:
    """A model that errs on a share of photos, and whose logits are `sharpness` times too sure of themselves."""
    chance = np.random.default_rng(seed)
    targets = chance.integers(0, len(CLASSES), photos)
    said = np.where(chance.uniform(size=photos) < wrong, chance.integers(0, len(CLASSES), photos), targets)
    logits = np.zeros((photos, len(CLASSES)), np.float32)
    logits[np.arange(photos), said] = np.log((1 - wrong * 0.75) / (wrong * 0.25))
    listed = tuple(Photo(f"{i}.jpg", "street", CLASSES[t], "val", i) for i, t in enumerate(targets))
    return Outcome(listed, CLASSES, logits * np.float32(sharpness), targets)


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(17, 17) == pytest.approx((0.8157, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_temperature_undoes_what_made_a_model_too_sure() -> None:
    assert fit_temperature(outcome(3.0)) == pytest.approx(3 * fit_temperature(outcome(1.0)), rel=1e-3)


@pytest.mark.parametrize("scale", [0.05, 1, 5, 30])
def test_the_temperature_of_photos_that_are_all_right_ends_somewhere(scale: float) -> None:
    right = outcome(1.0, photos=50)
    certain = replace(right, logits=(scale * 9 * np.eye(len(right.classes))[right.targets]).astype(np.float32))
    assert 0.2 <= fit_temperature(certain) <= 1
    assert fit_temperature(replace(right, logits=np.zeros_like(right.logits))) <= 10


def test_calibration_lowers_the_error_on_photos_it_was_not_fitted_on() -> None:
    sure = outcome(3.0)
    assert expected_calibration_error(sure.probabilities(1.0), sure.targets) > 0.08
    assert cross_fitted_calibration_error(sure) < 0.04


def test_a_model_that_is_always_right_and_sure_has_no_calibration_error() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0.0


def test_organic_waste_in_recyclables_costs_most() -> None:
    assert (
        mean_cost([("organic", "recyclable")], COST_MATRIX)
        > mean_cost([("recyclable", "organic")], COST_MATRIX)
        > mean_cost([("reuse", "reuse")], COST_MATRIX)
    )


def test_the_chosen_threshold_keeps_organic_waste_out_of_recyclables() -> None:
    rash = outcome(1.7, wrong=0.4)
    lids = open_lids(rash, 1.0, policy(CLASSES, choose_thresholds(rash, 1.0)))
    organic = [opened for right, opened in lids if right == "organic"]
    assert organic.count("recyclable") / len(organic) <= 0.01
    careless = open_lids(rash, 1.0, policy(CLASSES, Thresholds(confidence=0.0)))
    assert [o for r, o in careless if r == "organic"].count("recyclable") > 0


def test_which_mistakes_are_grave_follows_from_what_they_cost_the_bin_and_not_from_the_names_of_its_lids() -> None:
    rash, lids = outcome(1.7, wrong=0.4), ("grey", "green", "blue", "black")
    dear, grave = (
        Config(
            compartments={lid: {"servo_pin": pin} for pin, lid in enumerate(lids, start=12)},
            materials=dict(zip(CLASSES, lids, strict=True)),
            decision={"fallback": "black", "cost": {"green": {"blue": cost, "black": cost}}},
        )
        for cost in (9.999, 10.0)
    )
    none, told = (evaluate(rash, config=own)["compartments"]["val"]["grave_mistakes"] for own in (dear, grave))
    assert (none["data"], none["photos"]) == ("", 0)
    assert (told["data"], told["photos"]) == ("green into blue", int((rash.targets == 1).sum()))
    assert choose_thresholds(rash, 1.0, grave).confidence > choose_thresholds(rash, 1.0, dear).confidence


def test_the_chosen_threshold_is_the_strictest_that_costs_little_more() -> None:
    held_out = outcome(1.0, wrong=0.02)
    chosen = choose_thresholds(held_out, 1.0)
    steps = np.round(np.arange(0.30, 0.96, 0.05), 2)
    rules = {c: policy(CLASSES, Thresholds(confidence=c)) for c in steps.tolist()}
    costs = {c: mean_cost(open_lids(held_out, 1.0, rule), COST_MATRIX) for c, rule in rules.items()}
    affordable = [c for c, cost in costs.items() if cost <= min(costs.values()) + CAUTION]
    assert chosen.confidence == affordable[-1]
    assert chosen.energy is None


def test_the_threshold_follows_what_mistakes_cost_the_bin_that_is_named() -> None:
    held_out = replace(outcome(0.7, wrong=0.03), classes=("glass", "wood", "textile", "trash"))
    free = {right: {"residual": 0.0} for right in ("organic", "recyclable", "reuse")}
    own = Config(decision=DecisionSection(cost=free))
    assert choose_thresholds(held_out, 1.0, own).confidence > choose_thresholds(held_out, 1.0).confidence
    measured, usual = evaluate(held_out, config=own), evaluate(held_out)
    assert measured["cost_matrix"]["reuse"] == {"organic": 4.0, "recyclable": 2.0, "residual": 0.0}
    assert measured["compartments"]["val"]["mean_cost"] < usual["compartments"]["val"]["mean_cost"]


def test_a_bin_whose_fallback_is_dear_dares_more() -> None:
    clear = replace(outcome(1.0), classes=("glass", "wood", "textile", "trash"))
    is_right = clear.right
    sureness = np.linspace(0.2, 1.5, len(clear.photos)) * np.where(is_right, 1.0, 0.5)
    held_out = replace(clear, logits=clear.logits * sureness[:, None].astype(np.float32))
    dear = Config(decision=DecisionSection(cost={right: {"residual": 5.0} for right in ("recyclable", "reuse")}))
    assert choose_thresholds(held_out, 1.0, dear).confidence < choose_thresholds(held_out, 1.0).confidence


def test_a_threshold_that_the_bin_sets_itself_changes_its_lids_and_not_what_the_model_is_given() -> None:
    held_out = outcome(0.7, wrong=0.1)
    bold, strict = (evaluate(held_out, config=Config(decision=DecisionSection(confidence=c))) for c in (0.3, 1.0))
    assert bold["thresholds"] == strict["thresholds"] == evaluate(held_out)["thresholds"]
    bold_lids, strict_lids = bold["compartments"]["val"], strict["compartments"]["val"]
    assert bold_lids["without_fallback"] == strict_lids["without_fallback"]
    assert bold_lids["as_shipped"]["correct"] > strict_lids["as_shipped"]["correct"]


def test_lids_of_own_materials_are_measured_by_the_bin_that_maps_them_and_by_no_other() -> None:
    own = replace(outcome(1.0, wrong=0.3), classes=("botol_pet", "sisa", "kain", "residu"))
    with pytest.raises(DataError, match=r"the default bin sends botol_pet, sisa, kain, residu nowhere: .*--config"):
        evaluate(own)
    lids = dict(zip(own.classes, ("recyclable", "organic", "reuse", "residual"), strict=True))
    measured = evaluate(own, config=Config(materials=lids))
    known = evaluate(outcome(1.0, wrong=0.3))
    assert measured["compartments"] == known["compartments"]
    assert measured["thresholds"] == known["thresholds"]
    assert measured["compartments"]["val"]["without_fallback"]["correct"] < 600


def test_the_evaluation_counts_each_photo_once_in_each_table() -> None:
    held_out = outcome(2.0)
    result = evaluate(held_out, None)
    assert result["metrics"][0]["photos"] == 600
    assert sum(row["photos"] for row in result["per_class"]["val"].values()) == 600
    assert sum(row["correct"] for row in result["per_class"]["val"].values()) == result["metrics"][0]["correct"]
