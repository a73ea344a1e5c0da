"""From probabilities to the lid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.bundle import Thresholds
from device.classifier import Observation
from device.decision import Policy, decide, fuse

CLASSES = ("glass", "plastic", "organic", "trash")
POLICY = Policy(
    compartment_of={"glass": "recyclable", "plastic": "recyclable", "organic": "organic", "trash": "residual"},
    fallback="residual",
    thresholds=Thresholds(confidence=0.6, energy=0.0),
    cost_matrix={"organic": {"recyclable": 10.0}},
)


def seen(*probabilities: float, energy: float | None = 5.0) -> Observation:
    return Observation(CLASSES, np.array(probabilities, np.float32), energy)


def test_a_plain_bottle_opens_recyclable() -> None:
    decision = decide([seen(0.9, 0.05, 0.03, 0.02)], POLICY)
    assert (decision.material, decision.compartment, decision.verdict) == ("glass", "recyclable", "sure")
    assert decision.confidence == pytest.approx(0.95, abs=1e-4)


def test_glass_or_plastic_is_no_doubt_since_both_share_a_lid() -> None:
    decision = decide([seen(0.49, 0.48, 0.02, 0.01)], POLICY)
    assert (decision.compartment, decision.verdict) == ("recyclable", "sure")


def test_what_the_bin_is_unsure_of_goes_to_the_fallback() -> None:
    decision = decide([seen(0.3, 0.2, 0.0, 0.5)], replace(POLICY, thresholds=Thresholds(confidence=0.6)))
    assert (decision.compartment, decision.verdict) == ("residual", "unsure")


def test_what_looks_like_nothing_it_was_trained_on_goes_to_the_fallback() -> None:
    decision = decide([seen(0.99, 0.0, 0.01, 0.0, energy=-1.0)], POLICY)
    assert (decision.material, decision.compartment, decision.verdict) == ("glass", "residual", "unknown")


@pytest.mark.parametrize(("energies", "verdict"), [((-5, -5, 5), "unknown"), ((5, 5, -5), "sure")])
def test_one_odd_frame_makes_nothing_known_or_unknown(energies: tuple[float, ...], verdict: str) -> None:
    assert decide([seen(0.99, 0.0, 0.01, 0.0, energy=energy) for energy in energies], POLICY).verdict == verdict


def test_a_likely_peel_is_kept_from_recyclables_even_when_a_bottle_is_likelier() -> None:
    careful = replace(POLICY, thresholds=Thresholds(confidence=0.1))
    assert decide([seen(0.6, 0.0, 0.4, 0.0)], careful).compartment == "organic"
    indifferent = replace(careful, cost_matrix={})
    assert decide([seen(0.6, 0.0, 0.4, 0.0)], indifferent).compartment == "recyclable"


def test_one_bad_frame_does_not_overrule_two_good_ones() -> None:
    good, bad = seen(0.9, 0.04, 0.03, 0.03), seen(0.1, 0.1, 0.7, 0.1)
    assert decide([good, bad, good], POLICY).material == "glass"


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(sum), min_size=1, max_size=6))
def test_fused_probabilities_sum_to_one_whatever_the_frames_say(rows: list[list[float]]) -> None:
    posterior = fuse([seen(*(np.array(row) / sum(row))) for row in rows])
    assert posterior.shape == (4,)
    assert posterior.sum() == pytest.approx(1.0)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_one_frame_alone_is_believed_as_it_is(row: list[float]) -> None:
    probabilities = np.array(row) / sum(row)
    assert fuse([seen(*probabilities)]) == pytest.approx(probabilities, abs=1e-5)
