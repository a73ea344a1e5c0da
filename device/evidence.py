"""When enough has been seen of one object: early stop, and limits on frames and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device.bundle import Contract, CostMatrix, Thresholds
from device.classifier import Observation
from device.config import Config, DecisionSection
from device.decision import Decision, Policy, decide
from device.errors import ConfigError

SETTLED = 0.02
"""Frames of a thing that lies still agree; once one more moves the confidence by less, others will tell no more."""


def policy_of(config: Config, contract: Contract) -> Policy:
    """The decision rule of this bin with this model; what the configuration says goes before what the bundle says.

    Raises `ConfigError` where the model knows a material that the configuration sends nowhere.
    """
    if homeless := config.homeless(contract.classes):
        raise ConfigError(
            f"The model {contract.version} names {', '.join(homeless)}, which the configuration sends nowhere: add "
            f"{'it' if len(homeless) == 1 else 'them'} to [materials]."
        )
    return rule_of(config, contract.thresholds, contract.cost_matrix)


def rule_of(config: Config, thresholds: Thresholds, costs: CostMatrix) -> Policy:
    """The decision rule of this bin with a model of such thresholds and costs, where its configuration is silent."""
    asked = config.decision.model_dump(include={"confidence", "energy"}, exclude_none=True)
    costs = dict(costs)
    for right, mistakes in (config.decision.cost or {}).items():
        costs[right] = {**costs.get(right, {}), **mistakes}
    return Policy(
        compartment_of=config.materials,
        fallback=config.decision.fallback,
        thresholds=thresholds.model_copy(update=asked),
        cost_matrix=costs,
    )


@dataclass(frozen=True)
class Jury:
    """Decides about one object as soon as its frames tell enough; pure.

    >>> jury.verdict(observations, waited_s=0.2)                # doctest: +SKIP
    Decision(material='glass', compartment='recyclable', ...)
    """

    policy: Policy
    settings: DecisionSection

    def wants_more(self, seen: int) -> bool:
        """Whether another frame may still be looked at after `seen` of them."""
        return seen < self.settings.frames_at_most

    def verdict(self, observations: Sequence[Observation], waited_s: float) -> Decision | None:
        """The decision, or None while another frame is worth waiting for.

        It is made once a sure one reaches `enough`, once the confidence no longer moves, or at the limit on frames or
        on time (`waited_s`, since the object came to rest); never without a frame.
        """
        if not observations:
            return None
        decision = decide(observations, self.policy)
        if len(observations) >= self.settings.frames_at_most or waited_s >= self.settings.time_limit_s:
            return decision
        if len(observations) < self.settings.frames_at_least:
            return None
        if decision.verdict == "sure" and decision.confidence >= self.settings.enough:
            return decision
        before = decide(observations[:-1], self.policy) if len(observations) > 1 else None
        if before is None or before.compartment != decision.compartment:
            return None
        return decision if abs(decision.confidence - before.confidence) < SETTLED else None
