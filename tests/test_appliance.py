"""The whole path from the camera to the servos, and every fault that a bin may meet, without waiting for any."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from gpiozero.pins.mock import MockPin, MockPWMPin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.appliance import Appliance
from device.board import Board
from device.bundle import Bundle
from device.camera import CameraReport, Frame
from device.classifier import Classifier, Observation
from device.config import CameraSection, CompartmentSection, Config, LightsSection, PresenceSection
from device.drops import Search
from device.errors import BundleError, ConfigError, LidError
from device.events import FaultEvent, LidEvent, StateEvent
from device.heartbeat import Heartbeat
from device.presence import Sighting
from device.recorder import TRIES_AGAIN_S
from device.requests import CloseLid, Maintenance, OpenLid
from device.sight import FRAMES_FUSED, crop_object
from tests.bench import Bench
from tests.bundles import COLOURS, write_bundle
from tests.trials.bench import PacedWatch

CLOSED_MS, OPEN_MS = 1.5, 2.5


@pytest.mark.parametrize("material", COLOURS)
def test_each_material_opens_its_own_lid_and_no_other(tmp_path: Path, material: str) -> None:
    with Bench(tmp_path) as bench:
        bench.serve(material)
    wanted = bench.config.materials[material]
    assert [decision.material for decision in bench.decisions] == [material]
    for name in bench.config.compartments:
        widths = bench.pulses_ms(name)
        assert max(widths) == (OPEN_MS if name == wanted else CLOSED_MS)
        assert min(widths) == CLOSED_MS
    bench.assert_all_closed()


def test_the_lid_s_events_tell_the_drop_again(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("glass")
    lid_events = bench.told(LidEvent)
    assert [event.state for event in lid_events] == ["opening", "open", "closing", "closed"]
    assert {(event.drop, event.material, event.compartment) for event in lid_events} == {(1, "glass", "recyclable")}
    decision = bench.decisions[0]
    assert {event.latency_ms for event in lid_events} == {decision.latency_ms}
    assert lid_events[1].angle_deg == 90
    assert decision.model_version == "2026.1.1-1"


def test_an_empty_tray_opens_nothing_and_never_asks_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        monkeypatch.setattr(Classifier, "observe", _fail("an idle frame was shown to the model"))
        bench.run(60)
        assert bench.faults == []
    assert bench.opened == []


def test_the_model_is_shown_the_mean_of_the_last_frames_in_which_a_thing_lay_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[list[float], Sighting]] = []

    def crop(frames: Iterable[Frame], sighting: Sighting) -> NDArray[np.uint8]:
        shown.append(([frame.time_s for frame in frames], sighting))
        return crop_object(list(frames), sighting)

    monkeypatch.setattr("device.sight.crop_object", crop)
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        bench.serve("wood")
    for times_s, sighting in shown:
        assert times_s[-1] == sighting.time_s
        assert times_s[0] == sighting.at_rest_since_s or (len(times_s) == FRAMES_FUSED and sighting.at_rest_since_s)
    assert [len(times_s) for times_s, _ in shown][:2] == [2, 3]


def test_nothing_stirs_at_the_start(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        for name in bench.config.compartments:
            assert set(bench.pulses_ms(name)) == {CLOSED_MS}
        bench.assert_all_closed()
    assert bench.notes[0] == "READY=1"


def test_what_is_dropped_while_the_lids_are_sent_home_is_served_and_told_as_any_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(1.0)
    bench.drop("trash")
    with bench:
        bench.until(lambda: bench.appliance.finished_drops == 1)
    assert [event.state for event in bench.told(LidEvent)] == ["opening", "open", "closing", "closed"]


def test_the_sweep_is_smooth_and_no_faster_than_the_lid_may_move(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("organic")
    angles = np.array([(width - 1.5) * 90 for width in bench.pulses_ms("organic")])
    assert np.abs(np.diff(angles)).max() <= 180 * 0.021


def test_what_is_like_nothing_known_goes_to_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        monkeypatch.setitem(COLOURS, "neon", (60, 220, 60))
        bench.serve("neon")
    assert [decision.verdict for decision in bench.decisions] == ["unknown"]
    assert bench.opened == ["residual"]


def test_a_bin_with_three_lids_is_a_matter_of_configuration(tmp_path: Path) -> None:
    config = Config(
        compartments={
            "wet": CompartmentSection(servo_pin=12, open_deg=-45, closed_deg=45),
            "dry": CompartmentSection(servo_pin=13),
            "rest": CompartmentSection(servo_pin=18),
        },
        materials={name: {"organic": "wet", "trash": "rest"}.get(name, "dry") for name in COLOURS},
        decision={"fallback": "rest"},  # type: ignore[arg-type]
    )
    with Bench(tmp_path, config) as bench:
        bench.serve("organic")
        bench.serve("wood")
    assert bench.opened == ["wet", "dry"]
    assert (bench.pulses_ms("wet")[0], min(bench.pulses_ms("wet"))) == (2.0, 1.0)
    bench.assert_all_closed()


def test_two_things_that_lie_there_at_once_get_one_decision_and_one_lid(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.tray.beside = "wood"
        bench.serve("glass")
        bench.run(20)
        bench.assert_all_closed()
    assert len(bench.decisions) == len(bench.opened) == 1


def test_a_second_thing_that_lands_during_a_decision_is_judged_with_the_first(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: "deciding" in [event.state for event in bench.told(StateEvent)])
        bench.tray.beside = "wood"
        landed_s = bench.clock.wall()
        bench.until(lambda: bench.appliance.finished_drops == 1)
        bench.run(20)
    assert len(bench.decisions) == len(bench.opened) == 1
    assert bench.decisions[0].time_s - landed_s > bench.config.presence.still_s


def test_two_things_one_after_the_other_open_one_lid_at_a_time(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.tray.is_stuck = True
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
        bench.tray.is_stuck = False
        bench.drop("organic")
        bench.until(lambda: bench.appliance.finished_drops == 2)
    assert bench.opened == ["recyclable", "organic"]
    bench.assert_all_closed()


def test_a_new_thing_while_a_lid_is_open_waits_for_its_turn(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
        bench.run(1.0)
        bench.drop("organic")
        bench.until(lambda: len(bench.opened) == 2)
        states = [(event.compartment, event.state) for event in bench.told(LidEvent)]
        assert states.index(("recyclable", "closed")) < states.index(("organic", "opening"))
        bench.until(lambda: bench.appliance.finished_drops == 2)


def test_a_thing_that_is_never_taken_opens_one_lid_once_and_for_no_longer_than_its_limit(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.tray.is_stuck = True
        bench.drop("glass")
        bench.run(60)
        bench.assert_all_closed()
    assert bench.opened == ["recyclable"]
    times = {event.state: event.time_s for event in bench.told(LidEvent)}
    assert times["closing"] - times["open"] == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(
    ("fault", "says"),
    [("gone", "gone"), ("frozen", "frozen"), ("black", "black"), ("white", "white")],
    ids=["gone", "frozen", "black", "white"],
)
def test_a_camera_that_fails_is_noticed_in_three_seconds_and_the_bin_goes_on_once_it_is_back(
    tmp_path: Path, fault: str, says: str
) -> None:
    with Bench(tmp_path) as bench:
        bench.tray.fault = fault
        failed_s = bench.clock.wall()
        bench.until(lambda: bench.faults == [("camera", False)], at_most_s=3.5)
        report = bench.events[-1]
        assert says in report.message  # type: ignore[attr-defined]
        assert report.time_s - failed_s <= 3.2
        bench.run(300)
        bench.notes.clear()
        bench.run(30)
        assert len(bench.notes) >= 25, "the watchdog must hear that the camera is being looked after"
        bench.tray.fault = None
        bench.until(lambda: bench.faults == [("camera", False), ("camera", True)], at_most_s=61)
        bench.run(2)
        bench.serve("glass")
    assert bench.opened == ["recyclable"]


def test_a_camera_that_goes_while_a_lid_is_open_leaves_no_lid_open(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.tray.is_stuck = True
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
        bench.tray.fault = "gone"
        bench.run(15)
        bench.assert_all_closed()


def test_a_camera_that_goes_during_a_decision_decides_nothing(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: "deciding" in [event.state for event in bench.told(StateEvent)])
        bench.tray.fault = "gone"
        bench.run(30)
        assert bench.state == "empty", "it decides no longer"
    assert bench.decisions == []


def test_a_picture_that_comes_with_the_news_that_the_camera_is_gone_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: "deciding" in [event.state for event in bench.told(StateEvent)])
        with monkeypatch.context() as patch:
            patch.setattr(PacedWatch, "reports", lambda _: [CameraReport("The camera is gone.")])
            bench.turn()
        monkeypatch.setattr(PacedWatch, "latest", lambda watch, timeout_s: bench.clock.sleep(timeout_s))
        bench.run(10)
        assert bench.state == "empty", "it decides no longer"
    assert bench.decisions == []


def test_what_lies_there_when_the_camera_comes_back_is_taken_for_tray_and_the_next_thing_is_sorted(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        bench.tray.fault = "gone"
        bench.run(5)
        bench.tray.beside = "wood"
        bench.tray.fault = None
        bench.until(lambda: bench.faults == [("camera", False), ("camera", True)])
        bench.run(5)
        assert bench.opened == ["recyclable"]
        bench.serve("organic")
    assert bench.opened == ["recyclable", "organic"]


def test_a_model_file_replaced_by_garbage_disturbs_no_running_bin_and_is_refused_at_the_next_start(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path) as bench:
        bench.model.write_bytes(b"garbage" * 100)
        bench.serve("glass")
    assert bench.opened == ["recyclable"]
    with pytest.raises(BundleError, match="cannot be loaded"):
        Bundle.open(bench.model)


def test_each_drop_is_in_the_history_with_its_lid_and_the_picture_that_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.sight.PICTURES_KEPT", 1)
    with Bench(tmp_path) as bench:
        bench.run(20)
        bench.serve("glass")
        bench.serve("organic")
    newest, first = bench.journal.drops(Search(), 10)
    assert [(drop.material, drop.compartment, drop.lid) for drop in (first, newest)] == [
        ("glass", "recyclable", "closed"),
        ("organic", "organic", "closed"),
    ]
    assert (first.latency_ms, first.model_version) == (bench.decisions[0].latency_ms, "2026.1.1-1")
    _assert_shows(bench.journal.thumbnail(first.id), "glass")
    assert bench.appliance.sight.judged(1) is None, "or the memory would be full after some months"


def test_a_card_that_holds_the_history_up_mixes_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench, monkeypatch.context() as held_up:
        held_up.setattr(bench.recorder, "turn", lambda _: None)
        for material in ("glass", "organic", "wood"):
            bench.serve(material)
    drops = bench.journal.drops(Search(), 10)
    assert [drop.material for drop in drops] == ["wood", "organic", "glass"]
    for drop in drops:
        _assert_shows(bench.journal.thumbnail(drop.id), drop.material)


def test_a_card_that_is_full_costs_history_and_no_sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        bench.journal.close()
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", _full_card(sqlite3.connect))
            for _ in range(30):
                bench.serve("organic")
            assert ("journal", False) in bench.faults
            assert "full" in bench.told(FaultEvent)[-1].message
        bench.run(11)
        assert bench.faults == [("journal", False), ("journal", True)]
    assert bench.opened == ["recyclable", *["organic"] * 30]
    assert len(bench.journal.drops(Search(), 100)) == 31, "what waited is written once there is room"


def test_a_card_that_is_read_only_costs_history_and_no_sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        bench.journal.close()
        monkeypatch.setattr(sqlite3, "connect", _read_only_card(sqlite3.connect))
        bench.serve("organic")
        bench.serve("wood")
        bench.run(60)
        assert bench.faults == [("journal", False)], "said once, not at every attempt"
        assert "readonly" in bench.told(FaultEvent)[-1].message
        assert bench.state == "empty"
    assert bench.opened == ["recyclable", "organic", "reuse"]


def test_a_history_that_is_broken_is_set_aside_and_the_bin_sorts(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"garbage" * 1000)
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        assert bench.faults == []
    assert [drop.material for drop in bench.journal.drops(Search(), 10)] == ["glass"]
    assert len(list(tmp_path.glob("journal.db.broken-*"))) == 1


@pytest.mark.parametrize("jump_s", [-86_400.0 * 365, 86_400.0 * 365])
def test_a_clock_that_is_set_changes_no_timing(tmp_path: Path, jump_s: float) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
        begun_s = bench.clock.now()
        bench.clock.jump_wall(jump_s)
        bench.until(lambda: bench.appliance.finished_drops == 1)
        assert bench.clock.now() - begun_s < 5
        bench.serve("organic")
    assert bench.opened == ["recyclable", "organic"]
    assert bench.decisions[1].latency_ms < 400
    assert [drop.material for drop in bench.journal.drops(Search(), 10)] == ["organic", "glass"]


def test_a_pi_that_looks_for_two_seconds_sorts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observe = Classifier.observe
    with Bench(tmp_path) as bench:

        def slowly(classifier: Classifier, picture: NDArray[np.uint8]) -> Observation:
            bench.clock.sleep(2)
            return observe(classifier, picture)

        monkeypatch.setattr(Classifier, "observe", slowly)
        bench.serve("glass")
        bench.serve("organic")
    assert bench.opened == ["recyclable", "organic"]


def test_a_lid_that_does_not_arrive_is_out_of_service_and_its_waste_goes_to_the_fallback(tmp_path: Path) -> None:
    config = _with_switch("recyclable", 23)
    with Bench(tmp_path, config) as bench:
        bench.until(lambda: bench.faults == [("lid recyclable", False)])
        assert [(told.compartment, told.state) for told in bench.told(LidEvent)] == [("recyclable", "fault")]
        bench.run(2)
        bench.serve("glass")
        bench.serve("organic")
        assert bench.opened == ["residual", "organic"]
        bench.pins.pin(23).drive_low()
        bench.appliance.request(Maintenance(True))
        bench.appliance.request(Maintenance(False))
        bench.until(lambda: ("lid recyclable", True) in bench.faults)
    bench.assert_all_closed()


def test_a_lid_that_the_end_closes_is_told_of_and_no_other(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
    assert {told.compartment for told in bench.told(LidEvent)} == {"recyclable"}
    assert bench.told(LidEvent)[-1].state == "closed"
    assert bench.journal.drops(Search(), 1)[0].lid == "closed"


def test_a_lid_that_sticks_while_it_serves_hands_its_drop_to_the_fallback(tmp_path: Path) -> None:
    config = _with_switch("recyclable", 23)
    bench = Bench(tmp_path, config)
    bench.pins.pin(23).drive_low()
    with bench:
        assert bench.faults == []
        bench.serve("glass")
    assert bench.opened == ["residual"]
    assert bench.faults == [("lid recyclable", False)]
    assert bench.decisions[0].compartment == "recyclable"
    bench.assert_all_closed()


def test_a_servo_that_fails_in_mid_motion_is_let_go_and_keeps_no_other_lid_from_opening_and_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.sorter.MENDS_AFTER_S", 30.0)
    with Bench(tmp_path) as bench:
        servo = bench.pins.pin(13)
        bench.drop("glass")
        bench.until(lambda: max(bench.pulses_ms("recyclable")) > 2)
        with monkeypatch.context() as patch:
            patch.setattr(servo, "_set_state", _fail("I/O error"))
            bench.until(lambda: bench.appliance.finished_drops == 1)
            assert (bench.opened, bench.faults) == (["residual"], [("lid recyclable", False)])
            assert servo.frequency is None
            bench.serve("glass")
            bench.serve("organic")
            assert bench.opened == ["residual", "residual", "organic"]
        bench.until(lambda: bench.faults == [("lid recyclable", False), ("lid recyclable", True)], at_most_s=60)
        bench.serve("glass")
        assert bench.opened[-1] == "recyclable"
    bench.assert_all_closed()


def test_a_servo_that_fails_keeps_no_other_lid_from_closing_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    for act in ("_set_state", "_set_frequency"):
        monkeypatch.setattr(bench.pins.pin(12), act, _fail("I/O error"))
    with bench:
        bench.drop("trash")
        bench.until(lambda: bench.opened == ["residual"])
    assert bench.faults == [("lid organic", False)]
    assert (bench.pulses_ms("residual")[-1], bench.away()) == (CLOSED_MS, [])


def test_a_fallback_whose_servo_fails_in_mid_motion_costs_its_own_waste_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("trash")
        bench.until(lambda: max(bench.pulses_ms("residual")) > 2)
        monkeypatch.setattr(bench.pins.pin(19), "_set_state", _fail("I/O error"))
        bench.until(lambda: bench.appliance.finished_drops == 1)
        assert (bench.opened, bench.faults, bench.away()) == ([], [("lid residual", False)], [])
        bench.serve("glass")
    assert bench.opened == ["recyclable"]


@pytest.mark.parametrize(
    "state",
    [
        "homing",
        "empty",
        "arriving",
        "deciding",
        "opening",
        "open",
        "closing",
        "leaving",
        "camera lost",
        "lid retries",
        "fault",
        "maintenance",
    ],
)
def test_stopping_in_any_state_closes_every_lid_within_two_seconds(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, _with_switch("recyclable", 23))
    bench.pins.pin(23).drive_low()
    if state != "homing":
        bench.run(4.0)
    _bring_to(bench, state, monkeypatch)
    monkeypatch.setattr(MockPWMPin, "close", MockPin.close)  # a pin that is let go may keep its level
    leds = [bench.pins.pin(lid.led_pin) for lid in bench.config.compartments.values()]
    stopped_s = bench.clock.now()
    bench.appliance.close()
    assert bench.clock.now() - stopped_s < 1.5
    assert not any(led.state for led in leds)
    assert not bench.pins.pins
    bench.hear()
    bench.appliance.close()
    assert bench.away() == []
    for name in bench.config.compartments:
        assert bench.pulses_ms(name)[-1:] in ([CLOSED_MS], []), name
    assert bench.notes[-1] == "STOPPING=1"


def test_a_pin_or_a_camera_that_cannot_be_let_go_keeps_the_bin_from_no_clean_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Bench(tmp_path) as bench, monkeypatch.context() as patch:
        bench.serve("glass")
        patch.setattr(bench.tray, "close", _fail("the camera hangs"))
        patch.setattr(bench.pins.pin(12), "close", _fail("I/O error"))
        bench.appliance.close()
    assert "could not be let go of" in caplog.text
    assert "the camera hangs" in caplog.text
    bench.assert_all_closed()


def test_whatever_goes_wrong_in_the_loop_closes_the_lids_and_the_bin_sorts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        with monkeypatch.context() as patch:
            patch.setattr(Classifier, "observe", _fail("out of memory"))
            bench.until(lambda: ("loop", False) in bench.faults)
            bench.run(0.5)
            assert bench.state == "fault"
        bench.until(lambda: ("loop", True) in bench.faults)
        bench.until(lambda: bench.appliance.finished_drops == 1)
    assert bench.opened == ["recyclable"]


def test_a_model_that_fails_at_every_try_is_told_once_and_untold_once_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Bench(tmp_path, Config(camera=CameraSection(rate_hz=3.0))) as bench:
        with monkeypatch.context() as patch:
            patch.setattr(Classifier, "observe", _fail("out of memory"))
            bench.drop("glass")
            bench.run(300)
            assert bench.faults == [("loop", False)]
            assert caplog.text.count("Something went wrong") == 1
        bench.until(lambda: bench.appliance.finished_drops == 1, at_most_s=90)
        bench.run(2)
        assert bench.faults == [("loop", False), ("loop", True)]


def test_what_goes_wrong_while_the_bin_looks_after_itself_stops_it_no_more_than_anything_else(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        faults = ["the sensor is mad"]
        bench.appliance.mind("sensor", lambda: _fail(faults.pop())() if faults else None, "")
        bench.run(0.5)
        assert bench.faults == [("loop", False)]
        bench.serve("glass")
    assert bench.opened == ["recyclable"]


def test_a_fault_while_a_lid_moves_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        bench.drop("glass")
        bench.until(lambda: bench.told(LidEvent) != [] and bench.told(LidEvent)[-1].state == "opening")
        bench.run(0.3)
        with monkeypatch.context() as patch:
            patch.setattr(PacedWatch, "latest", _fail("the driver is mad"))
            bench.run(3)
            bench.assert_all_closed()
        bench.run(61)
        assert bench.faults[-1] == ("loop", True)


def test_the_watchdog_hears_of_a_bin_that_is_well_for_as_long_as_frames_flow(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.notes.clear()
        bench.run(30)
        assert len(bench.notes) >= 25


def test_a_loop_that_fails_at_every_turn_does_not_tell_the_watchdog_that_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        bench.run(2)
        bench.notes.clear()
        monkeypatch.setattr(PacedWatch, "latest", _fail("the driver is mad"))
        bench.run(60)
        assert bench.notes == []
        assert bench.faults == [("loop", False)], "said once, not at every turn"


def test_frames_that_stop_without_a_word_are_not_hidden_from_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:

        def silence(watch: PacedWatch, timeout_s: float) -> Frame | None:
            bench.clock.sleep(timeout_s)
            return None

        monkeypatch.setattr(PacedWatch, "latest", silence)
        bench.run(5)
        bench.notes.clear()
        bench.run(60)
    assert bench.notes == ["STOPPING=1"]


def test_a_supply_that_is_too_weak_is_reported_and_so_is_its_end(tmp_path: Path) -> None:
    firmware = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("50005")
    with Bench(tmp_path) as bench:
        assert bench.faults == [("board", False)]
        firmware.write_text("50000")
        bench.run(31)
    assert bench.faults == [("board", False), ("board", True)]


def with_a_button(config: Config) -> Config:
    organic = config.compartments["organic"].model_copy(update={"button_pin": 24})
    return config.model_copy(update={"compartments": {**config.compartments, "organic": organic}})


def test_what_never_comes_to_rest_is_told_after_three_minutes_and_costs_no_sorting(tmp_path: Path) -> None:
    with Bench(tmp_path, Config(camera=CameraSection(rate_hz=4.0))) as bench:
        _flutter(bench, 175)
        assert (bench.state, bench.faults) == ("arriving", [])
        _flutter(bench, 10)
        assert (bench.state, bench.faults) == ("arriving", [("tray", False)])
        assert "moving on the tray for over 3 minutes" in bench.told(FaultEvent)[0].message
        _flutter(bench, 120)
        bench.tray.lies = None
        bench.run(1)
        assert bench.faults == [("tray", False), ("tray", True)]
        bench.serve("glass")
    assert bench.opened == ["recyclable"]


def test_what_was_served_and_never_leaves_nor_rests_is_told_as_well(tmp_path: Path) -> None:
    with Bench(tmp_path, Config(camera=CameraSection(rate_hz=4.0))) as bench:
        bench.tray.is_stuck = True
        bench.drop("glass")
        bench.until(lambda: bench.opened == ["recyclable"])
        _flutter(bench, 200)
        assert (bench.state, bench.faults) == ("leaving", [("tray", False)])
        bench.assert_all_closed()


def _flutter(bench: Bench, duration_s: float) -> None:
    """Something on the tray looks different in each picture."""
    until_s = bench.clock.now() + duration_s
    while bench.clock.now() < until_s:
        bench.tray.lies = "metal" if bench.tray.lies == "glass" else "glass"
        bench.turn()


def test_pictures_that_come_too_seldom_to_tell_whether_a_thing_lies_still_are_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.appliance._feed._period_s = 1.2  # type: ignore[attr-defined]
    with bench:
        bench.run(10)
        bench.drop("glass")
        bench.run(190)
        assert bench.faults == [("tray", False)]
        assert "pictures that come less than once a second" in bench.told(FaultEvent)[0].message


def test_a_button_that_is_stuck_is_told_and_costs_no_sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.sorter.HELD_AT_MOST_S", 10.0)
    with Bench(tmp_path, with_a_button(Config())) as bench:
        bench.pins.pin(24).drive_low()
        bench.until(lambda: bench.faults == [("button", False)])
        bench.drop("glass")
        bench.until(lambda: bench.appliance.finished_drops == 1)
        bench.pins.pin(24).drive_high()
        bench.run(2)
    assert bench.faults == [("button", False), ("button", True)]


def test_a_button_that_cannot_be_read_is_told_and_costs_no_sorting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, with_a_button(Config())) as bench:
        with monkeypatch.context() as patch:
            patch.setattr(bench.pins.pin(24), "_get_state", _fail("I/O error"))
            bench.serve("glass")
            assert bench.faults == [("button", False)]
            assert "organic" in bench.told(FaultEvent)[0].message
        bench.run(1)
        assert bench.faults == [("button", False), ("button", True)]
    assert bench.opened == ["recyclable"]


def test_a_button_opens_its_lid_for_as_long_as_it_is_pressed(tmp_path: Path) -> None:
    with Bench(tmp_path, with_a_button(Config())) as bench:
        bench.pins.pin(24).drive_low()
        bench.run(30)
        assert bench.opened == ["organic"]
        assert bench.pulses_ms("organic")[-1] == OPEN_MS
        bench.pins.pin(24).drive_high()
        bench.run(2)
        bench.assert_all_closed()
    assert bench.appliance.finished_drops == 0


def test_what_lies_there_while_a_button_holds_a_lid_waits_for_its_turn_however_long(tmp_path: Path) -> None:
    with Bench(tmp_path, with_a_button(Config())) as bench:
        bench.pins.pin(24).drive_low()
        bench.until(lambda: bench.opened == ["organic"])
        bench.drop("glass")
        bench.run(Config().presence.forgotten_s + 30)
        assert bench.decisions == []
        bench.pins.pin(24).drive_high()
        bench.until(lambda: bench.appliance.finished_drops == 1)
    assert bench.opened == ["organic", "recyclable"]


def test_what_was_judged_and_never_leaves_is_forgotten_so_long_after_its_judgement(tmp_path: Path) -> None:
    presence = PresenceSection(forgotten_s=20)
    with Bench(tmp_path, with_a_button(Config(presence=presence))) as bench:
        bench.tray.is_stuck = True
        bench.pins.pin(24).drive_low()
        bench.until(lambda: bench.opened == ["organic"])
        bench.drop("glass")
        bench.run(30)
        bench.pins.pin(24).drive_high()
        bench.until(lambda: len(bench.decisions) == 1)
        bench.run(15)
        assert bench.state != "empty"
        bench.run(10)
        assert bench.state == "empty"


def test_what_lies_there_in_a_long_maintenance_becomes_tray(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.appliance.request(Maintenance(True))
        bench.drop("glass")
        bench.run(Config().presence.forgotten_s + 10)
        bench.appliance.request(Maintenance(False))
        bench.run(10)
    assert bench.decisions == []


def test_a_lid_that_is_not_held_open_is_told_to_the_tray_all_the_same(tmp_path: Path) -> None:
    recyclable = Config().compartments["recyclable"].model_copy(update={"hold_s": 0.0, "hold_at_most_s": 0.0})
    config = Config().model_copy(update={"compartments": {**Config().compartments, "recyclable": recyclable}})
    with Bench(tmp_path, config) as bench:
        bench.serve("glass")
        bench.run(5)
        assert bench.tray.lies is None


def test_the_owner_opens_and_closes_lids_and_keeps_the_bin_from_sorting(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.appliance.request(Maintenance(True))
        bench.appliance.request(OpenLid("reuse"))
        bench.drop("glass")
        bench.run(60)
        assert bench.opened == ["reuse"]
        assert bench.state == "maintenance"
        bench.appliance.request(CloseLid("reuse"))
        bench.run(2)
        bench.assert_all_closed()
        assert bench.decisions == []
        bench.drop("glass")
        bench.appliance.request(Maintenance(False))
        bench.until(lambda: bench.appliance.finished_drops == 1)
    with pytest.raises(LidError, match="no lid 'cellar'; it has organic, recyclable"):
        bench.appliance.request(OpenLid("cellar"))


def test_one_who_comes_later_sees_how_things_stand(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.serve("glass")
        told = [event.as_dict() for event in bench.appliance.snapshot()]
        assert {event["compartment"]: event["state"] for event in told if event["event"] == "lid"} == dict.fromkeys(
            bench.config.compartments, "closed"
        )
        assert [event["state"] for event in told if event["event"] == "state"] == ["empty"]
        assert [event["material"] for event in told if event["event"] == "decision"] == ["glass"]
        frame = bench.appliance.newest_frame()
        assert frame is not None
        assert frame.time_s == pytest.approx(bench.clock.now(), abs=0.1)


def test_the_leds_follow_a_drop(tmp_path: Path) -> None:
    config = Config(lights=LightsSection(thinking_pin=2))
    with Bench(tmp_path, config) as bench:
        bench.serve("glass")
        led = [state.state for state in bench.pins.pin(config.compartments["recyclable"].led_pin).states]
        thinking = [state.state for state in bench.pins.pin(2).states]
    assert led == [0, 1, 0, 1, 0], "once on the way home, once for the drop"
    assert thinking[-2:] == [1, 0]


LIT = Config(lights=LightsSection(fault_pin=21, unsure_pin=22, buzzer_pin=25))


def _levels(bench: Bench, pin: int) -> list[int]:
    """What a light was told, in order."""
    return [state.state for state in bench.pins.pin(pin).states]


def test_a_dead_camera_blinks_the_fault_s_led_and_beeps_three_times(tmp_path: Path) -> None:
    with Bench(tmp_path, LIT) as bench:
        bench.tray.fault = "gone"
        bench.run(10)
        assert _levels(bench, LIT.lights.fault_pin)[:7] == [0, 1, 0, 1, 0, 1, 0]
        assert _levels(bench, LIT.lights.buzzer_pin) == [0, 1, 0, 1, 0, 1, 0]


def test_a_fault_of_each_turn_beeps_three_times_and_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, LIT) as bench:
        monkeypatch.setattr(PacedWatch, "latest", _fail("the driver is mad"))
        bench.run(10)
        assert _levels(bench, LIT.lights.buzzer_pin) == [0, 1, 0, 1, 0, 1, 0]


def test_what_the_bin_does_not_know_lights_the_led_of_doubt_and_beeps_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, LIT) as bench:
        monkeypatch.setitem(COLOURS, "neon", (60, 220, 60))
        bench.serve("neon")
        assert _levels(bench, LIT.lights.unsure_pin) == [0, 1, 0]
        assert _levels(bench, LIT.lights.buzzer_pin) == [0, 1, 0]


def test_the_loop_ends_after_so_many_drops(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def drops_for_ever() -> bool:
        since_clear_s = bench.clock.now() - bench.tray.cleared_s
        if bench.tray.lies is None and since_clear_s > 5:
            bench.drop("organic")
        return bench.clock.now() > 1060

    with bench.appliance:
        bench.appliance.run(should_stop=drops_for_ever, drops=2)
    bench.hear()
    assert bench.clock.now() < 1060
    assert bench.opened == ["organic", "organic"]
    bench.assert_all_closed()


def test_a_model_with_a_material_that_goes_nowhere_does_not_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.appliance.close()
    foreign = Classifier(
        Bundle.open(write_bundle(tmp_path / "foreign.onnx", {"lava": (255, 0, 0), "glass": (0, 9, 0)}))
    )
    with pytest.raises(ConfigError, match="lava"):
        Appliance(
            bench.config,
            foreign,
            PacedWatch(bench.tray, bench.config.camera, bench.clock),
            bench.pins,
            bench.clock,
            Heartbeat(bench.clock, bench.notes),
            Board(bench.clock),
        )


def _assert_shows(jpeg: bytes | None, material: str) -> None:
    assert jpeg is not None
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    height, width = shown.shape[:2]
    middle = shown[height // 3 : -height // 3, width // 3 : -width // 3].mean((0, 1))
    np.testing.assert_allclose(middle, COLOURS[material], atol=25)


def _with_switch(compartment: str, pin: int) -> Config:
    config = Config()
    lid = config.compartments[compartment].model_copy(update={"switch_pin": pin})
    return config.model_copy(update={"compartments": {**config.compartments, compartment: lid}})


def _full_card(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    def connect_where_there_is_no_room(*given: object, **more: object) -> sqlite3.Connection:
        database = connect(*given, **more)
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    return connect_where_there_is_no_room


def _read_only_card(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    def connect_for_reading(*given: object, **more: object) -> sqlite3.Connection:
        database = connect(*given, **more)
        database.execute("PRAGMA query_only = ON")
        return database

    return connect_for_reading


def _fail(message: str) -> Callable[..., None]:
    def raises(*_: object) -> None:
        raise RuntimeError(message)

    return raises


def _bring_to(bench: Bench, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match state:
        case "homing":
            bench.run(0.3)
            assert bench.notes == [], "it is not ready yet"
        case "arriving" | "deciding":
            bench.drop("glass")
            bench.until(lambda: bench.state == state)
        case "opening" | "lid retries":
            bench.drop("glass")
            bench.until(lambda: bool(bench.told(LidEvent)) and bench.told(LidEvent)[-1].state == "opening")
            bench.run(0.3 if state == "opening" else 2.0)
            assert bench.told(LidEvent)[-1].state == "opening", "its switch says that it does not stir"
        case "open" | "closing" | "leaving":
            bench.tray.is_stuck = state == "leaving"
            bench.drop("organic")
            wanted = "open" if state == "leaving" else state
            bench.until(lambda: bool(bench.told(LidEvent)) and bench.told(LidEvent)[-1].state == wanted)
            bench.run(0.3)
            if state == "leaving":
                bench.until(lambda: bench.appliance.finished_drops == 1)
                bench.tray.lies = None
                bench.until(lambda: bench.state == "leaving")
        case "camera lost":
            bench.tray.fault = "gone"
            bench.run(5)
            assert bench.faults == [("camera", False)]
        case "fault":
            monkeypatch.setattr(PacedWatch, "latest", _fail("the driver is mad"))
            bench.run(0.5)
            assert bench.state == "fault"
        case "maintenance":
            bench.appliance.request(Maintenance(True))
            bench.appliance.request(OpenLid("reuse"))
            bench.run(10)
            assert bench.opened == ["reuse"]


BROKEN = {
    "servo": (13, "_set_state"),
    "letting go": (13, "_set_frequency"),
    "switch": (23, "_get_state"),
    "button": (24, "_get_state"),
    "led": (6, "_set_state"),
}
"""What a broken pin of the story's bin cannot do any more."""
STEPS = st.one_of(
    st.tuples(st.just("drop"), st.sampled_from(list(COLOURS))),
    st.tuples(st.just("beside"), st.sampled_from(list(COLOURS))),
    st.tuples(st.just("camera"), st.sampled_from([None, "gone", "frozen", "black", "white"])),
    st.tuples(st.just("stuck"), st.booleans()),
    st.tuples(st.just("switch"), st.booleans()),
    st.tuples(st.just("button"), st.booleans()),
    st.tuples(st.just("maintenance"), st.booleans()),
    st.tuples(st.just("open"), st.sampled_from(list(Config().compartments))),
    st.tuples(st.just("close"), st.sampled_from(list(Config().compartments))),
    st.tuples(st.just("broken"), st.sampled_from([None, *BROKEN])),
    st.tuples(st.just("model"), st.booleans()),
    st.tuples(st.just("history"), st.sampled_from(["removed", "garbage"])),
    st.tuples(st.just("clock"), st.floats(-1e8, 1e8)),
    st.tuples(st.just("gap"), st.floats(1.0, 100.0)),
    st.tuples(st.just("take"), st.none()),
)


@given(st.lists(st.tuples(STEPS, st.floats(0.05, 3.0)), min_size=1, max_size=12))
@settings(max_examples=10, derandomize=True)
def test_whatever_happens_lids_open_one_at_a_time_and_for_something_and_the_bin_sorts_on_once_it_is_over(
    story: list[tuple[tuple[str, Any], float]],
) -> None:
    config = with_a_button(_with_switch("recyclable", 23))
    config = config.model_copy(update={"camera": CameraSection(reopen_at_most_s=2.0, rate_hz=8.0)})
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder, Bench(Path(folder), config) as bench:
        patch.setattr("device.sorter.BACK_OFF_AT_MOST_S", 4.0)
        bench.pins.pin(23).drive_low()
        laid = 0
        for (what, how), wait_s in [*story, *_MENDED]:
            laid += what in ("drop", "beside")
            _happen(bench, what, how)
            until_s = bench.clock.now() + wait_s
            while bench.clock.now() < until_s:
                bench.turn()
                lids = [event for event in bench.appliance.snapshot() if isinstance(event, LidEvent)]
                states = {lid.compartment: lid.state for lid in lids}
                assert sum(state in ("opening", "closing") for state in states.values()) <= 1, "two lids move"
                assert len([name for name in bench.away() if states[name] != "fault"]) <= 1, "two lids are open"
        bench.run(20)
        assert bench.away() == []
        assert len(bench.decisions) <= 2 * laid, "what is left of two things may be judged once more"
        assert bool(laid) or bench.decisions == []
        opened_before = len(bench.opened)
        bench.serve("organic")
        assert "organic" in bench.opened[opened_before:]
        bench.run(TRIES_AGAIN_S)  # the last drop may be the first to meet garbage, which the next try sets aside
        bench.appliance.close()
        bench.assert_all_closed()
        bench.recorder.turn(0.0, is_last=True)
        is_whole = "history" not in [what for (what, _), _ in story]
        assert len(bench.journal.drops(Search(), 100)) == len(bench.decisions) or not is_whole


_MENDED = (
    (("camera", None), 1.0),
    (("broken", None), 1.0),
    (("model", True), 1.0),
    (("button", False), 1.0),
    (("maintenance", False), 1.0),
    (("take", None), 10.0),
    (("stuck", False), 1.0),
)


def _happen(bench: Bench, what: str, how: Any) -> None:
    tray = bench.tray
    match what:
        case "drop":
            tray.lies = how
        case "beside":
            tray.beside = how
        case "take":
            tray.lies = tray.beside = None
        case "camera":
            tray.fault = how
        case "stuck":
            tray.is_stuck = how
        case "switch":
            bench.pins.pin(23).drive_low() if how else bench.pins.pin(23).drive_high()
        case "button":
            bench.pins.pin(24).drive_low() if how else bench.pins.pin(24).drive_high()
        case "maintenance":
            bench.appliance.request(Maintenance(how))
        case "open":
            bench.appliance.request(OpenLid(how))
        case "close":
            bench.appliance.request(CloseLid(how))
        case "broken":
            for pin, act in BROKEN.values():
                vars(bench.pins.pin(pin)).pop(act, None)
            if how is not None:
                pin, act = BROKEN[how]
                setattr(bench.pins.pin(pin), act, _fail("I/O error"))
        case "model":
            vars(bench.appliance.sight._classifier).pop("observe", None)
            if not how:
                bench.appliance.sight._classifier.observe = _fail("out of memory")  # type: ignore[assignment, method-assign]
        case "history":
            bench.journal.path.unlink(missing_ok=True)
            if how == "garbage":
                bench.journal.path.write_bytes(b"garbage" * 1000)
        case "clock":
            bench.clock.jump_wall(how)
        case "gap":
            bench.clock.sleep(how)
