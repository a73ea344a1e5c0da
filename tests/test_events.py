"""Events reach those who listen, and never wait for them."""

from __future__ import annotations

from device.clock import ManualClock
from device.events import EventBus, LidEvent, StateEvent


def test_an_event_prints_its_name_and_time_first_and_leaves_out_what_is_not_known() -> None:
    printed = LidEvent(time_s=12.3456, compartment="organic", state="open", drop=3).as_dict()
    assert list(printed)[:2] == ["event", "time"]
    assert printed == {"event": "lid", "time": 12.346, "compartment": "organic", "state": "open", "drop": 3}


def test_a_listener_that_sleeps_loses_the_oldest_and_is_told() -> None:
    bus = EventBus()
    listener = bus.subscribe(limit=2)
    for time_s in range(5):
        bus.publish(StateEvent(time_s=time_s, state="empty"))
    assert [event.time_s for event in listener.take()] == [3, 4]
    assert listener.lost == 3


def test_one_who_leaves_hears_nothing_more() -> None:
    bus = EventBus()
    listener = bus.subscribe()
    bus.unsubscribe(listener)
    bus.publish(StateEvent(time_s=0.0, state="empty"))
    assert listener.take() == []


def test_hours_pass_on_a_manual_clock_without_waiting_and_the_wall_clock_may_jump() -> None:
    clock = ManualClock(wall_s=1000.0)
    clock.sleep(7200)
    clock.sleep(-1)
    clock.jump_wall(-500)
    assert (clock.now(), clock.wall()) == (7200.0, 7700.0)
