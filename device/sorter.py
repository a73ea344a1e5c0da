"""The sorter: a pure state machine from what is seen to what is done. It moves nothing itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from device.config import CompartmentSection
from device.events import LidState, Signal
from device.evidence import Jury
from device.presence import Sighting
from device.requests import CloseLid, Maintenance, OpenLid
from device.situation import (
    Announce,
    CameraLost,
    Close,
    CloseAll,
    DecidedDrop,
    Deciding,
    Effect,
    Failed,
    Finish,
    Halted,
    Input,
    LidReached,
    Look,
    Observed,
    Open,
    Pressed,
    Seen,
    Serving,
    Show,
    Situation,
    Waiting,
)

HELD_AT_MOST_S = 300.0
"""A button that is pressed for longer is stuck: it opens nothing until it was released."""
BACK_OFF_S, BACK_OFF_AT_MOST_S = 1.0, 60.0
MENDS_SOON_S, MENDS_AFTER_S = 10.0, 600.0
"""A lid that failed is tried again soon, for a bag that it caught may be gone, and from then on so seldom."""


@dataclass(frozen=True)
class Sorter:
    """The rules of one bin: which lids it has, and when enough was seen.

    >>> situation, effects = sorter.step(situation, Seen(sighting), now_s)      # doctest: +SKIP

    Invariants, whatever comes: at most one lid is open or moving; every lid is closed in the end; nothing is decided
    about what does not lie still; nothing is decided twice about one object.
    """

    lids: Mapping[str, CompartmentSection]
    jury: Jury = field(repr=False)

    def step(self, situation: Situation, given: Input, now_s: float) -> tuple[Situation, list[Effect]]:
        """The next situation and what is to be done, in that order; `now_s` never goes back."""
        effects: list[Effect] = []
        situation = self._take_note(situation, given, now_s, effects)
        match situation.phase:
            case Waiting():
                situation = self._wait(situation, now_s, effects)
            case Deciding() as phase:
                situation = self._decide(situation, phase, now_s, effects)
            case Serving(lid="open") as phase if not self._stays_open(situation, phase, now_s):
                stuck = situation.stuck | situation.pressed & {phase.compartment}
                situation = _close_now(replace(situation, stuck=stuck), phase, now_s, effects)
            case Halted(until_s) if now_s >= until_s and not situation.unclosed:
                situation = replace(situation, phase=Waiting(), free_since_s=now_s)
                effects.append(Show("idle"))
        return situation, effects

    # Facts.

    def _take_note(self, situation: Situation, given: Input, now_s: float, effects: list[Effect]) -> Situation:
        match given:
            case Seen(sighting):
                situation = replace(situation, sighting=sighting)
                if isinstance(situation.phase, Serving) and _is_cleared(situation.judged_id, sighting):
                    return replace(situation, phase=replace(situation.phase, is_cleared=True))
            case Observed(observation) if isinstance(situation.phase, Deciding):
                seen = (*situation.phase.observations, observation)
                return replace(situation, phase=replace(situation.phase, observations=seen))
            case LidReached(compartment, state):
                return self._note_lid(situation, compartment, state, now_s, effects)
            case Pressed(compartments):
                return replace(situation, pressed=compartments, stuck=situation.stuck & compartments)
            case CameraLost():
                return replace(situation, sighting=None)
            case Failed():
                return _halt(situation, now_s, effects)
            case OpenLid() | CloseLid() | Maintenance():
                return _heed(situation, given, now_s, effects)
        return situation

    def _note_lid(
        self, situation: Situation, compartment: str, state: LidState, now_s: float, effects: list[Effect]
    ) -> Situation:
        if state in ("closed", "fault"):
            situation = replace(situation, unclosed=situation.unclosed - {compartment}, free_since_s=now_s)
        if state == "closed":
            situation = replace(situation, out_of_service=situation.out_of_service - {compartment})
        if state == "fault":
            is_again = now_s - situation.mends_at_s.get(compartment, -math.inf) < MENDS_AFTER_S
            at_s = now_s + (MENDS_AFTER_S if is_again else MENDS_SOON_S)
            situation = replace(
                situation,
                out_of_service=situation.out_of_service | {compartment},
                mends_at_s={**situation.mends_at_s, compartment: at_s},
            )
        phase = situation.phase
        if not isinstance(phase, Serving) or phase.compartment != compartment:
            return situation
        if state == "open" and phase.lid == "opening":
            return replace(situation, phase=replace(phase, lid="open", since_s=now_s, was_open=True))
        if state == "fault" and phase.drop is not None and not phase.was_open:
            return self._serve(situation, phase.drop, now_s, effects)
        return _finish(situation, phase, effects) if state in ("closed", "fault") else situation

    # Rules.

    def _wait(self, situation: Situation, now_s: float, effects: list[Effect]) -> Situation:
        if situation.unclosed:
            return situation
        wanted = sorted(situation.pressed - situation.stuck - situation.out_of_service)
        if wanted:
            return _open(situation, Serving(wanted[0], None, now_s), "here", effects)
        if situation.asked is not None:
            serving = Serving(situation.asked, None, now_s, stays=situation.is_maintenance)
            return _open(replace(situation, asked=None), serving, "here", effects)
        if situation.is_maintenance:
            return situation
        sighting = situation.sighting
        if sighting is not None and _is_worth_a_look(sighting, situation.judged_id):
            since_s = max(sighting.at_rest_since_s or 0.0, situation.free_since_s)
            effects += [Show("thinking"), Look()]
            return replace(situation, phase=Deciding(since_s, sighting.time_s))
        due = sorted(lid for lid in situation.out_of_service if now_s >= situation.mends_at_s.get(lid, now_s))
        return _mend(situation, due[0], now_s, effects) if due else situation

    def _decide(self, situation: Situation, phase: Deciding, now_s: float, effects: list[Effect]) -> Situation:
        sighting = situation.sighting
        if sighting is None or situation.is_maintenance or not _is_worth_a_look(sighting, situation.judged_id):
            effects.append(Show("idle"))
            return replace(situation, phase=Waiting())
        if sighting.state == "still":
            decision = self.jury.verdict(phase.observations, now_s - phase.since_s)
            if decision is not None:
                drop = DecidedDrop(situation.drops + 1, decision, now_s - phase.since_s)
                situation = replace(situation, drops=drop.number, judged_id=sighting.object_id)
                return self._serve(situation, drop, now_s, effects, is_new=True)
        if sighting.time_s > phase.looked_s and self.jury.wants_more(len(phase.observations)):
            effects.append(Look())
            return replace(situation, phase=replace(phase, looked_s=sighting.time_s))
        return situation

    def _serve(
        self, situation: Situation, drop: DecidedDrop, now_s: float, effects: list[Effect], is_new: bool = False
    ) -> Situation:
        """Open the lid of the decision, or the fallback where that lid is out of service."""
        lids = (drop.decision.compartment, self.jury.policy.fallback)
        usable = [lid for lid in lids if lid not in situation.out_of_service]
        drop = replace(drop, decision=replace(drop.decision, compartment=usable[0] if usable else lids[-1]))
        if is_new:
            effects.append(Announce(drop))
        if not usable:
            effects += [Finish(drop), Show("fault")]
            return replace(situation, phase=Waiting(), free_since_s=now_s)
        signal: Signal = "here" if drop.decision.verdict == "sure" else "unsure"
        return _open(situation, Serving(usable[0], drop, now_s), signal, effects)

    def _stays_open(self, situation: Situation, phase: Serving, now_s: float) -> bool:
        lid, open_for_s = self.lids[phase.compartment], now_s - phase.since_s
        is_held = phase.compartment in situation.pressed - situation.stuck and open_for_s < HELD_AT_MOST_S
        stirs = situation.sighting is not None and situation.sighting.state in ("arriving", "leaving")  # maybe a hand
        awaits = (stirs or (phase.drop is not None and not phase.is_cleared)) and open_for_s < lid.hold_at_most_s
        return phase.stays or is_held or awaits or open_for_s < lid.hold_s


def stuck_buttons(situation: Situation) -> str | None:
    """What is wrong with buttons that are pressed for too long; None where nothing is."""
    if not situation.stuck:
        return None
    return (
        f"The button of {', '.join(sorted(situation.stuck))} has been pressed for {HELD_AT_MOST_S / 60:g} minutes and "
        f"opens nothing until it is released; is it stuck, or its cable shorted?"
    )


def _is_worth_a_look(sighting: Sighting, judged_id: int | None) -> bool:
    """Something rests that was not judged; it is looked at before it has lain still for long enough to be judged."""
    if sighting.at_rest_since_s is None:
        return False
    return sighting.state == "arriving" or (sighting.state == "still" and sighting.object_id != judged_id)


def _is_cleared(judged_id: int | None, sighting: Sighting) -> bool:
    return sighting.state == "empty" or sighting.object_id not in (None, judged_id)


def _open(situation: Situation, phase: Serving, signal: Signal, effects: list[Effect]) -> Situation:
    effects += [Open(phase.compartment), Show(signal, phase.compartment)]
    return replace(situation, phase=phase, unclosed=situation.unclosed | {phase.compartment})


def _mend(situation: Situation, compartment: str, now_s: float, effects: list[Effect]) -> Situation:
    """Close a lid that failed, in the hope that it can be closed again."""
    effects.append(Close(compartment))
    phase = Serving(compartment, None, now_s, lid="closing")
    return replace(situation, phase=phase, unclosed=situation.unclosed | {compartment})


def _close_now(situation: Situation, phase: Serving, now_s: float, effects: list[Effect]) -> Situation:
    if phase.lid == "closing":
        return situation
    effects.append(Close(phase.compartment))
    return replace(situation, phase=replace(phase, lid="closing", since_s=now_s))


def _finish(situation: Situation, phase: Serving, effects: list[Effect]) -> Situation:
    if phase.drop is not None:
        effects.append(Finish(phase.drop))
    effects.append(Show("idle"))
    failures = 0 if phase.was_open else situation.failures
    return replace(situation, phase=Waiting(), failures=failures)


def _halt(situation: Situation, now_s: float, effects: list[Effect]) -> Situation:
    if isinstance(situation.phase, Serving) and situation.phase.drop is not None:
        effects.append(Finish(situation.phase.drop))
    effects += [CloseAll(), Show("fault")]
    # A fault that lasts is met at every turn, but only the first one after a try is another failure.
    failures = situation.failures + (not isinstance(situation.phase, Halted))
    pause_s = min(BACK_OFF_AT_MOST_S, BACK_OFF_S * 2.0 ** min(failures - 1, 10))
    return replace(situation, phase=Halted(now_s + pause_s), sighting=None, asked=None, failures=failures)


def _heed(
    situation: Situation, request: OpenLid | CloseLid | Maintenance, now_s: float, effects: list[Effect]
) -> Situation:
    phase = situation.phase if isinstance(situation.phase, Serving) else None
    match request:
        case OpenLid(compartment):
            if phase is not None and phase.compartment == compartment and phase.lid != "closing":
                return replace(situation, phase=replace(phase, stays=phase.stays or situation.is_maintenance))
            situation = replace(situation, asked=compartment)
            if phase is not None and phase.stays:
                return _close_now(situation, phase, now_s, effects)
            return situation
        case CloseLid(compartment):
            if situation.asked == compartment:
                situation = replace(situation, asked=None)
            if phase is not None and phase.compartment == compartment:
                return _close_now(situation, phase, now_s, effects)
            return situation
        case Maintenance(is_on):
            # Lids that failed are tried again as soon as it is over.
            situation = replace(situation, is_maintenance=is_on, asked=None, mends_at_s={})
            if phase is not None and phase.stays and not is_on:
                return _close_now(situation, phase, now_s, effects)
            return situation
