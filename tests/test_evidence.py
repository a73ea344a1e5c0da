"""When enough was seen of one object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device.bundle import Contract, Thresholds
from device.classifier import Observation
from device.config import Config, DecisionSection
from device.decision import Policy, decide
from device.errors import ConfigError
from device.evidence import Jury, policy_of
from tests.bundles import COLOURS, contract

CLASSES = ("glass", "organic")
POLICY = Policy({"glass": "recyclable", "organic": "organic"}, "residual", Thresholds(confidence=0.6), {"organic": {}})
JURY = Jury(POLICY, DecisionSection(frames_at_least=2, frames_at_most=4, time_limit_s=2.0, enough=0.95))


def glass(probability: float) -> Observation:
    return Observation(CLASSES, np.array([probability, 1 - probability], np.float32), None)


def test_nothing_is_decided_without_a_frame_however_long_it_takes() -> None:
    assert JURY.verdict([], waited_s=100) is None


def test_one_frame_is_not_enough_however_sure() -> None:
    assert JURY.verdict([glass(0.99)], waited_s=0.1) is None


def test_two_sure_frames_are_enough() -> None:
    decision = JURY.verdict([glass(0.99), glass(0.98)], waited_s=0.1)
    assert decision is not None
    assert (decision.compartment, decision.frames) == ("recyclable", 2)


def test_frames_that_disagree_ask_for_another() -> None:
    assert JURY.verdict([glass(0.9), glass(0.5)], waited_s=0.1) is None


def test_frames_that_speak_for_different_lids_ask_for_another_however_sure_each_is() -> None:
    assert decide([glass(0.62)], POLICY).compartment != decide([glass(0.62), glass(0.187)], POLICY).compartment
    assert JURY.verdict([glass(0.62), glass(0.187)], waited_s=0.1) is None


def test_an_odd_frame_of_a_likely_thing_asks_for_another_before_anything_is_called_unknown() -> None:
    known, odd = (Observation(CLASSES, np.array([0.99, 0.01], np.float32), energy) for energy in (0.0, -60.0))
    jury = Jury(replace(POLICY, thresholds=Thresholds(confidence=0.6, energy=-20)), JURY.settings)
    assert decide([known, odd], jury.policy).verdict == "unknown"
    assert jury.verdict([known, odd], waited_s=0.1) is None
    decision = jury.verdict([known, odd, known], waited_s=0.2)
    assert decision is not None and decision.compartment == "recyclable"


def test_frames_that_agree_in_their_doubt_end_the_wait() -> None:
    decision = JURY.verdict([glass(0.55), glass(0.55)], waited_s=0.1)
    assert decision is not None
    assert (decision.verdict, decision.compartment) == ("unsure", "residual")


@pytest.mark.parametrize(("frames", "waited_s"), [(4, 0.1), (1, 2.0)])
def test_frames_and_time_have_a_limit(frames: int, waited_s: float) -> None:
    flicker = [glass(0.9 if number % 2 else 0.2) for number in range(frames)]
    assert JURY.verdict(flicker, waited_s) is not None
    assert JURY.wants_more(3)
    assert not JURY.wants_more(4)


def test_the_configuration_goes_before_the_bundle() -> None:
    bundle = Contract.model_validate(contract(tuple(COLOURS)))
    bundle = bundle.model_copy(update={"cost_matrix": {"organic": {"recyclable": 10.0, "reuse": 5.0}}})
    assert policy_of(Config(), bundle).thresholds == Thresholds(confidence=0.6, energy=-20)
    asked = Config(decision=DecisionSection(confidence=0.9, cost={"organic": {"reuse": 7}, "reuse": {"organic": 3}}))
    policy = policy_of(asked, bundle)
    assert policy.thresholds == Thresholds(confidence=0.9, energy=-20)
    told = {"organic": {"recyclable": 10, "reuse": 7}, "reuse": {"organic": 3}}
    assert policy.cost_matrix == told, "who names one mistake makes no other one cheaper"
    assert policy_of(Config(), bundle).cost_matrix == bundle.cost_matrix


def test_a_material_that_the_configuration_sends_nowhere_is_told_and_one_the_model_does_not_know_is_fine() -> None:
    bundle = Contract.model_validate(contract(("glass", "uranium")))
    with pytest.raises(ConfigError, match=r"names uranium, which the configuration sends nowhere: add it to \[mat"):
        policy_of(Config(), bundle)
    policy_of(Config(), Contract.model_validate(contract(("glass", "organic"))))
