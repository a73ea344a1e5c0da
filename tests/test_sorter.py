"""The sorter's promises, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from device.bundle import Thresholds
from device.classifier import Observation
from device.config import CompartmentSection, DecisionSection
from device.decision import Policy
from device.events import LidState
from device.evidence import Jury
from device.presence import Sighting, State
from device.requests import CloseLid, Maintenance, OpenLid
from device.situation import (
    Announce,
    CameraLost,
    Close,
    CloseAll,
    DecidedDrop,
    Effect,
    Elapsed,
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
    Show,
    Situation,
    Waiting,
)
from device.sorter import BACK_OFF_AT_MOST_S, HELD_AT_MOST_S, MENDS_AFTER_S, MENDS_SOON_S, Sorter

LIDS = {
    "organic": CompartmentSection(servo_pin=12),
    "recyclable": CompartmentSection(servo_pin=13),
    "residual": CompartmentSection(servo_pin=19),
}
POLICY = Policy(
    {"glass": "recyclable", "organic": "organic", "trash": "residual"}, "residual", Thresholds(confidence=0.6), {}
)
CLASSES = ("glass", "organic", "trash")
SORTER = Sorter(LIDS, Jury(POLICY, DecisionSection()))
REGION = (0, 0, 640, 480)


class Bin:
    """The sorter with lids that do as they are told, and a clock."""

    def __init__(self) -> None:
        self.situation = Situation()
        self.now_s = 0.0
        self.lids: dict[str, LidState] = dict.fromkeys(LIDS, "closed")
        self.sees = "glass"
        self.effects: list[Effect] = []
        self.announced: list[int] = []

    def tell(self, given: Input) -> list[Effect]:
        self.situation, effects = SORTER.step(self.situation, given, self.now_s)
        self.effects += effects
        for effect in effects:
            match effect:
                case Open(name):
                    others = [other for other in self.lids if other != name]
                    assert all(self.lids[other] in ("closed", "fault") for other in others), "two lids open"
                    self.lids[name] = "opening"
                case Close(name):
                    self.lids[name] = "closing"
                case CloseAll():
                    for name in self.lids:
                        if self.lids[name] in ("opening", "open"):
                            self.lids[name] = "closing"
                case Announce():
                    sighting = self.situation.sighting
                    assert sighting is not None, "a decision without presence"
                    assert sighting.state == "still", "a decision about what moves"
                    assert sighting.object_id is not None
                    assert sighting.object_id not in self.announced, "two decisions about one object"
                    assert not self.situation.is_maintenance, "a decision while the owner is at work"
                    self.announced.append(sighting.object_id)
        for effect in effects:
            if isinstance(effect, Look):
                effects = effects + self.tell(Observed(observation(self.sees)))
        return effects

    def sees_tray(self, state: State, object_id: int | None = None, at_rest: bool = False) -> list[Effect]:
        """One more frame, 1/15 s after the last."""
        self.now_s += 1 / 15
        rests = self.situation.sighting.at_rest_since_s if self.situation.sighting else None
        at_rest_since_s = (self.now_s - 1 / 15 if rests is None else rests) if at_rest else None
        box = None if state == "empty" else (200, 100, 200, 200)
        return self.tell(Seen(Sighting(state, self.now_s, self.now_s, REGION, box, at_rest_since_s, object_id)))

    def drop(self, object_id: int, material: str = "glass") -> None:
        """Something is dropped, comes to rest and lies still for four frames."""
        self.sees = material
        self.sees_tray("arriving")
        self.sees_tray("arriving", at_rest=True)
        self.sees_tray("arriving", at_rest=True)
        for _ in range(4):
            self.sees_tray("still", object_id, at_rest=True)

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s
        self.tell(Elapsed())

    def lid_arrives(self, fails: bool = False) -> str | None:
        """Whichever lid moves gets to its end."""
        for name, state in self.lids.items():
            if state in ("opening", "closing"):
                self.lids[name] = "fault" if fails else "open" if state == "opening" else "closed"
                self.tell(LidReached(name, self.lids[name]))
                return name
        return None

    def asked_for(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def observation(material: str) -> Observation:
    return Observation(CLASSES, np.array([0.98 if name == material else 0.01 for name in CLASSES], np.float32), None)


def test_a_drop_opens_its_lid_and_the_lid_closes_once_the_tray_is_clear() -> None:
    bin_ = Bin()
    bin_.drop(1)
    assert bin_.asked_for(Open) == [Open("recyclable")]
    assert bin_.lid_arrives() == "recyclable"
    bin_.sees_tray("leaving", 1)
    bin_.wait(1.8)
    bin_.sees_tray("empty")
    assert bin_.asked_for(Close) == []
    bin_.wait(0.1)
    assert bin_.asked_for(Close) == [Close("recyclable")]
    bin_.lid_arrives()
    assert [finish.drop.number for finish in bin_.asked_for(Finish)] == [1]
    assert bin_.situation.state == "empty"
    assert bin_.asked_for(Show)[-1] == Show("idle")


def test_the_model_is_asked_only_once_something_rests() -> None:
    bin_ = Bin()
    for _ in range(20):
        bin_.sees_tray("empty")
        bin_.sees_tray("arriving")
        bin_.sees_tray("leaving")
    assert bin_.effects == []


def test_an_arm_that_rests_for_long_is_looked_at_no_more_often_than_a_decision_may_take() -> None:
    bin_ = Bin()
    bin_.sees_tray("arriving")
    for _ in range(30):
        bin_.sees_tray("arriving", at_rest=True)
    assert len(bin_.asked_for(Look)) == DecisionSection().frames_at_most


def test_a_hand_that_pauses_is_looked_at_but_opens_nothing() -> None:
    bin_ = Bin()
    for _ in range(5):
        bin_.sees_tray("arriving")
        bin_.sees_tray("arriving", at_rest=True)
        bin_.sees_tray("arriving", at_rest=True)
    bin_.sees_tray("empty")
    assert len(bin_.asked_for(Look)) >= 5
    assert bin_.asked_for(Open) == []
    assert bin_.situation.state == "empty"


def test_a_lid_holds_for_what_is_not_taken_and_closes_in_the_end() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.wait(LIDS["recyclable"].hold_at_most_s - 0.1)
    assert bin_.asked_for(Close) == []
    bin_.wait(0.1)
    bin_.lid_arrives()
    for _ in range(100):
        bin_.sees_tray("still", 1, at_rest=True)
    assert len(bin_.asked_for(Open)) == 1
    assert bin_.situation.state == "still"


def test_a_lid_does_not_close_while_a_hand_moves_over_the_tray_but_it_does_in_the_end() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.sees_tray("arriving")
    bin_.wait(LIDS["recyclable"].hold_at_most_s - 0.2)
    assert bin_.lids["recyclable"] == "open"
    bin_.wait(0.2)
    assert bin_.lids["recyclable"] == "closing"


def test_a_new_thing_while_a_lid_is_open_waits_for_its_turn() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.sees_tray("leaving", 1)
    bin_.sees_tray("empty")
    bin_.drop(2, "organic")
    assert len(bin_.asked_for(Announce)) == 1
    bin_.wait(2.0)
    bin_.lid_arrives()
    assert len(bin_.asked_for(Announce)) == 1
    for _ in range(3):
        bin_.sees_tray("still", 2, at_rest=True)
    assert bin_.asked_for(Open) == [Open("recyclable"), Open("organic")]
    assert bin_.asked_for(Announce)[-1].drop.latency_s < 0.5


def test_a_new_thing_on_the_tray_tells_that_the_old_one_has_fallen() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.sees_tray("leaving", 1)
    bin_.sees_tray("still", 2, at_rest=True)
    bin_.wait(LIDS["recyclable"].hold_s)
    assert bin_.asked_for(Close) == [Close("recyclable")]


def test_the_waste_of_a_lid_that_fails_goes_to_the_fallback() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives(fails=True)
    assert bin_.asked_for(Open) == [Open("recyclable"), Open("residual")]
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives()
    bin_.drop(2)
    assert bin_.asked_for(Open)[-1] == Open("residual")
    assert bin_.asked_for(Announce)[-1].drop.decision.compartment == "residual"


def test_a_lid_that_fails_while_it_closes_has_had_its_waste_and_opens_no_other() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives(fails=True)
    assert bin_.asked_for(Open) == [Open("recyclable")]
    assert [finish.drop.number for finish in bin_.asked_for(Finish)] == [1]


def test_a_bin_whose_fallback_fails_too_says_so_and_opens_nothing() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives(fails=True)
    bin_.lid_arrives(fails=True)
    assert [finish.drop.number for finish in bin_.asked_for(Finish)] == [1]
    assert bin_.asked_for(Show)[-1] == Show("fault")
    assert isinstance(bin_.situation.phase, Waiting)


def test_a_lid_that_failed_is_tried_again_after_a_while_and_serves_again() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives(fails=True)
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives()
    bin_.wait(MENDS_AFTER_S)
    assert bin_.asked_for(Close)[-1] == Close("recyclable")
    bin_.lid_arrives()
    bin_.drop(2)
    assert bin_.asked_for(Open)[-1] == Open("recyclable")


def test_a_lid_that_fails_again_and_again_is_tried_once_soon_and_then_seldom() -> None:
    bin_ = Bin()
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives(fails=True)
    pauses_s = []
    for _ in range(3):
        failed_s = bin_.now_s
        while bin_.lids["organic"] != "closing":
            bin_.wait(1.0)
        pauses_s.append(bin_.now_s - failed_s)
        bin_.lid_arrives(fails=True)
    assert pauses_s == [MENDS_SOON_S, MENDS_AFTER_S, MENDS_AFTER_S]


def test_a_lid_is_tried_again_soon_whatever_other_lid_fails_meanwhile_and_right_after_maintenance() -> None:
    bin_ = Bin()
    bin_.tell(Maintenance(True))
    bin_.tell(Maintenance(False))
    for lid in ("organic", "recyclable"):
        bin_.tell(OpenLid(lid))
        bin_.lid_arrives(fails=True)
        bin_.wait(1.0)
    bin_.wait(MENDS_SOON_S - 2.0)
    assert bin_.lids["organic"] == "closing"
    bin_.lid_arrives()
    bin_.wait(1.0)
    assert bin_.lids["recyclable"] == "closing"
    bin_.lid_arrives()
    assert bin_.situation.out_of_service == frozenset()


def test_a_lid_that_fails_while_another_is_out_of_service_for_long_is_tried_again_soon() -> None:
    bin_ = Bin()
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives(fails=True)
    bin_.wait(MENDS_SOON_S)
    bin_.lid_arrives(fails=True)
    bin_.wait(60)
    bin_.tell(OpenLid("recyclable"))
    bin_.lid_arrives(fails=True)
    bin_.wait(MENDS_SOON_S)
    assert bin_.asked_for(Close) == [Close("organic"), Close("recyclable")]


def test_a_lid_that_closes_but_never_opens_costs_two_drops_in_ten_minutes_their_patience() -> None:
    bin_ = Bin()
    for number in range(1, 4):
        bin_.drop(number)
        bin_.lid_arrives(fails=bin_.lids["recyclable"] == "opening")
        if bin_.lids["residual"] == "opening":
            bin_.lid_arrives()
        bin_.sees_tray("empty")
        bin_.wait(2.0)
        bin_.lid_arrives()
        bin_.wait(2 * MENDS_SOON_S)
        if bin_.lids["recyclable"] == "closing":
            bin_.lid_arrives()
    assert [opened.compartment for opened in bin_.asked_for(Open)].count("recyclable") == 2


def test_something_unforeseen_closes_the_lids_drops_what_was_half_done_and_is_forgotten_after_a_while() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.tell(Failed())
    assert bin_.lids["recyclable"] == "closing"
    assert bin_.situation.state == "fault"
    bin_.wait(100)
    assert isinstance(bin_.situation.phase, Halted), "the lid is not closed yet"
    bin_.lid_arrives()
    assert bin_.situation.state == "empty"
    assert [finish.drop.number for finish in bin_.asked_for(Finish)] == [1]


def test_the_pause_after_a_fault_grows_up_to_a_minute_and_starts_anew_after_a_good_drop() -> None:
    bin_ = Bin()
    pauses = []
    for _ in range(8):
        bin_.tell(Failed())
        assert isinstance(bin_.situation.phase, Halted)
        pauses.append(bin_.situation.phase.until_s - bin_.now_s)
        bin_.wait(pauses[-1])
    assert pauses[:3] == [1, 2, 4]
    assert pauses[-1] == BACK_OFF_AT_MOST_S
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives()
    assert bin_.situation.failures == 0


def test_one_fault_that_lasts_for_many_turns_costs_no_longer_pause_than_one_of_a_single_turn() -> None:
    bin_ = Bin()
    for _ in range(100):
        bin_.tell(Failed())
    bin_.wait(1.0)
    assert bin_.situation.state == "empty"


def test_a_lid_that_did_not_open_is_no_good_drop_and_shortens_no_pause() -> None:
    bin_ = Bin()
    bin_.tell(Failed())
    bin_.wait(1.0)
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives(fails=True)
    assert isinstance(bin_.situation.phase, Waiting)
    bin_.tell(Failed())
    assert isinstance(bin_.situation.phase, Halted)
    assert bin_.situation.phase.until_s - bin_.now_s == 2


def test_evidence_is_thrown_away_when_the_camera_is_lost() -> None:
    bin_ = Bin()
    bin_.sees_tray("arriving")
    bin_.sees_tray("arriving", at_rest=True)
    bin_.sees_tray("arriving", at_rest=True)
    bin_.tell(CameraLost())
    assert isinstance(bin_.situation.phase, Waiting)
    assert bin_.asked_for(Open) == []


def test_a_lid_that_the_owner_closed_meanwhile_needs_no_mending() -> None:
    bin_ = Bin()
    for lid in ("organic", "recyclable"):
        bin_.tell(OpenLid(lid))
        bin_.lid_arrives(fails=True)
    bin_.wait(MENDS_AFTER_S)
    assert bin_.lids["organic"] == "closing", "the first is tried again"
    bin_.tell(OpenLid("recyclable"))
    bin_.lid_arrives()
    bin_.lid_arrives()
    bin_.wait(LIDS["recyclable"].hold_s)
    bin_.lid_arrives()
    assert set(bin_.lids.values()) == {"closed"} and bin_.situation.out_of_service == frozenset()
    bin_.drop(1)
    assert bin_.announced == [1]


def test_a_pressed_button_holds_its_lid_open_but_not_for_ever() -> None:
    bin_ = Bin()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.lid_arrives()
    bin_.wait(60)
    assert bin_.lids["organic"] == "open"
    bin_.wait(HELD_AT_MOST_S)
    assert bin_.lids["organic"] == "closing"


def test_a_stuck_button_opens_nothing_until_it_is_released_and_the_bin_sorts_on() -> None:
    bin_ = Bin()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.lid_arrives()
    bin_.wait(HELD_AT_MOST_S)
    bin_.lid_arrives()
    bin_.drop(1)
    assert bin_.lids["organic"] == "closed" and bin_.asked_for(Announce)
    bin_.lid_arrives()
    bin_.wait(10)
    bin_.lid_arrives()
    bin_.tell(Pressed(frozenset()))
    bin_.tell(Pressed(frozenset({"organic"})))
    assert bin_.lids["organic"] == "opening"


def test_a_stuck_button_holds_its_lid_open_for_no_drop() -> None:
    bin_ = Bin()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.lid_arrives()
    bin_.wait(HELD_AT_MOST_S)
    bin_.lid_arrives()
    bin_.drop(1, "organic")
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(LIDS["organic"].hold_s)
    assert bin_.lids["organic"] == "closing"


def test_a_button_that_is_pressed_while_another_lid_is_open_opens_its_own_in_turn() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.sees_tray("empty")
    bin_.wait(LIDS["recyclable"].hold_s)
    assert bin_.lids == {"organic": "closed", "recyclable": "closing", "residual": "closed"}
    bin_.lid_arrives()
    assert bin_.lids["organic"] == "opening"


def test_a_button_that_is_held_does_not_drive_a_lid_that_failed() -> None:
    bin_ = Bin()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.lid_arrives(fails=True)
    bin_.wait(10)
    assert bin_.asked_for(Open) == [Open("organic")]


def test_a_released_button_lets_its_lid_close() -> None:
    bin_ = Bin()
    bin_.tell(Pressed(frozenset({"organic"})))
    bin_.lid_arrives()
    bin_.wait(3)
    bin_.tell(Pressed(frozenset()))
    assert bin_.lids["organic"] == "closing"


def test_a_lid_that_the_owner_asks_for_waits_until_the_open_one_is_closed() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.tell(OpenLid("organic"))
    assert bin_.lids["organic"] == "closed"
    bin_.lid_arrives()
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives()
    assert bin_.lids["organic"] == "opening"
    bin_.lid_arrives()
    bin_.wait(LIDS["organic"].hold_s)
    assert bin_.lids["organic"] == "closing"


def test_a_lid_that_is_asked_for_as_it_closes_opens_again() -> None:
    bin_ = Bin()
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives()
    bin_.tell(CloseLid("organic"))
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives()
    assert bin_.lids["organic"] == "opening"


def test_a_lid_that_waits_for_its_turn_still_opens_once_the_open_one_was_told_to_close() -> None:
    bin_ = Bin()
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives()
    bin_.tell(OpenLid("residual"))
    bin_.tell(CloseLid("organic"))
    bin_.lid_arrives()
    assert bin_.lids["residual"] == "opening"


@pytest.mark.parametrize(
    "meanwhile", [CloseLid("organic"), Failed(), Maintenance(True), Maintenance(False)], ids=lambda given: str(given)
)
def test_a_lid_that_waits_for_its_turn_is_forgotten_when_things_change(meanwhile: Input) -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.tell(OpenLid("organic"))
    bin_.tell(meanwhile)
    bin_.sees_tray("empty")
    bin_.wait(2.0)
    bin_.lid_arrives()
    bin_.wait(BACK_OFF_AT_MOST_S)
    assert bin_.asked_for(Open) == [Open("recyclable")]
    assert set(bin_.lids.values()) == {"closed"}


def test_maintenance_that_begins_during_a_decision_opens_nothing() -> None:
    bin_ = Bin()
    bin_.sees_tray("arriving")
    bin_.sees_tray("arriving", at_rest=True)
    assert bin_.situation.state == "deciding"
    bin_.tell(Maintenance(True))
    for _ in range(4):
        bin_.sees_tray("still", 1, at_rest=True)
    assert bin_.asked_for(Announce) == bin_.asked_for(Open) == []


def test_in_maintenance_nothing_is_sorted_and_an_opened_lid_stays_open_until_told() -> None:
    bin_ = Bin()
    bin_.tell(Maintenance(True))
    bin_.drop(1)
    assert bin_.effects == []
    bin_.tell(OpenLid("organic"))
    bin_.lid_arrives()
    bin_.wait(3600)
    assert bin_.lids["organic"] == "open"
    bin_.tell(OpenLid("residual"))
    assert bin_.lids == {"organic": "closing", "recyclable": "closed", "residual": "closed"}
    bin_.lid_arrives()
    assert bin_.lids["residual"] == "opening"
    bin_.lid_arrives()
    bin_.tell(Maintenance(False))
    assert bin_.lids["residual"] == "closing"


def test_a_lid_that_is_open_already_stays_open_for_an_owner_who_asks_for_it_in_maintenance() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.tell(Maintenance(True))
    bin_.tell(OpenLid("recyclable"))
    bin_.sees_tray("empty")
    bin_.wait(3600)
    assert bin_.lids["recyclable"] == "open"
    bin_.tell(Maintenance(False))
    assert bin_.lids["recyclable"] == "closing"


def test_the_end_of_maintenance_closes_no_lid_over_waste_that_is_still_served() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.lid_arrives()
    bin_.tell(Maintenance(True))
    bin_.tell(Maintenance(False))
    assert bin_.lids["recyclable"] == "open"


def test_the_end_of_maintenance_tries_faulty_lids_again() -> None:
    bin_ = Bin()
    bin_.situation = replace(bin_.situation, out_of_service=frozenset({"organic"}), mends_at_s={"organic": 500.0})
    bin_.tell(Maintenance(True))
    assert bin_.effects == []
    bin_.tell(Maintenance(False))
    assert bin_.asked_for(Close) == [Close("organic")]
    bin_.lid_arrives()
    assert bin_.situation.out_of_service == frozenset()


def test_the_owner_may_close_a_lid_at_any_time_and_no_other_with_it() -> None:
    bin_ = Bin()
    bin_.drop(1)
    bin_.tell(CloseLid("organic"))
    assert bin_.lids["recyclable"] == "opening"
    bin_.tell(CloseLid("recyclable"))
    assert bin_.lids["recyclable"] == "closing"
    bin_.lid_arrives()
    assert [finish.drop.number for finish in bin_.asked_for(Finish)] == [1]


@given(st.sampled_from(CLASSES), st.integers(1, 9))
def test_every_material_opens_the_lid_it_belongs_to(material: str, object_id: int) -> None:
    bin_ = Bin()
    bin_.drop(object_id, material)
    assert bin_.asked_for(Open) == [Open(POLICY.compartment_of[material])]
    drop: DecidedDrop = bin_.asked_for(Announce)[0].drop
    assert (drop.number, drop.decision.material) == (1, material)


class AnyLife(RuleBasedStateMachine):
    """Frames, lids, owners, buttons and faults, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bin = Bin()
        self.object_id = 0
        self.on_tray: State = "empty"

    @rule(state=st.sampled_from(["empty", "arriving", "still", "leaving"]), at_rest=st.booleans(), new=st.booleans())
    def frame(self, state: State, at_rest: bool, new: bool) -> None:
        self.object_id += state == "still" and (new or self.object_id == 0)
        known = self.object_id if state in ("still", "leaving") and self.object_id else None
        self.bin.sees_tray(state, known, at_rest=at_rest or state == "still")
        self.on_tray = state

    @rule(times=st.integers(2, 6))
    def lies_still(self, times: int) -> None:
        for _ in range(times):
            self.frame("still", True, False)

    @rule(material=st.sampled_from(CLASSES))
    def other_waste(self, material: str) -> None:
        self.bin.sees = material

    @rule(duration_s=st.floats(0, 30))
    def time_passes(self, duration_s: float) -> None:
        self.bin.wait(duration_s)

    @precondition(lambda self: any(state in ("opening", "closing") for state in self.bin.lids.values()))
    @rule(fails=st.booleans())
    def lid_arrives(self, fails: bool) -> None:
        self.bin.lid_arrives(fails)

    @rule(name=st.sampled_from(list(LIDS)))
    def owner_opens(self, name: str) -> None:
        self.bin.tell(OpenLid(name))

    @rule(name=st.sampled_from(list(LIDS)))
    def owner_closes(self, name: str) -> None:
        self.bin.tell(CloseLid(name))

    @rule(is_on=st.booleans())
    def maintenance(self, is_on: bool) -> None:
        self.bin.tell(Maintenance(is_on))

    @rule(names=st.frozensets(st.sampled_from(list(LIDS))))
    def buttons(self, names: frozenset[str]) -> None:
        self.bin.tell(Pressed(names))

    @rule()
    def camera_is_lost(self) -> None:
        self.bin.tell(CameraLost())

    @rule()
    def something_fails(self) -> None:
        self.bin.tell(Failed())

    @invariant()
    def at_most_one_lid_is_not_closed(self) -> None:
        assert sum(state not in ("closed", "fault") for state in self.bin.lids.values()) <= 1

    @invariant()
    def the_sorter_knows_which_lids_are_not_closed(self) -> None:
        unclosed = {name for name, state in self.bin.lids.items() if state not in ("closed", "fault")}
        assert self.bin.situation.unclosed == unclosed

    def teardown(self) -> None:
        """Once everyone lets go and time passes, every lid is closed and every drop is done with."""
        self.bin.tell(Maintenance(False))
        self.bin.tell(Pressed(frozenset()))
        for _ in range(40):
            self.bin.wait(61.0)
            self.bin.lid_arrives()
            self.bin.sees_tray("empty")
        assert set(self.bin.lids.values()) <= {"closed"}
        assert isinstance(self.bin.situation.phase, Waiting)
        drops = [drop.drop.number for drop in self.bin.asked_for(Announce)]
        assert drops == [finish.drop.number for finish in self.bin.asked_for(Finish)]


AnyLife.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
test_whatever_happens_one_lid_at_a_time_and_all_closed_in_the_end = AnyLife.TestCase
