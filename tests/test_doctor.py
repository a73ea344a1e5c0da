"""`pilah doctor`: names what is ill and how to mend it, and finds a healthy machine healthy."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from device import checks
from device.board import Vitals
from device.bundle import Bundle
from device.camera.simulated import SimulatedTray, TrayLife
from device.camera.watch import Watch
from device.checks import Check, look_at
from device.cli import cli
from device.clock import ManualClock
from device.config import CameraSection, CompartmentSection, Config, JournalSection
from device.drops import Drop, Search
from device.errors import LidError, MachineError
from device.events import FaultEvent
from device.journal import Journal
from device.page.commands import bin_of
from device.pins import open_pins
from tests.bundles import write_bundle
from tests.page_parts import PlayedAppliance

CHECKS = ["configuration", "model", "camera", "pins", "permissions", "disk", "history", "clock", "board"]
NOBODY = 65534


def doctor(tmp_path: Path, *words: object) -> tuple[int, dict[str, Any]]:
    if "--model" not in words:
        words = (*words, "--model", write_bundle(tmp_path / "colours.onnx"))
    command = ["doctor", "--json", "--pins", "mock", *map(str, words)]
    if "--camera" not in words:
        command += ["--camera", "simulated"]
    result = CliRunner().invoke(cli, command)
    told = json.loads(result.output.splitlines()[-1])
    return result.exit_code, {check["name"]: check for check in told["checks"]} | {"is_ok": told["is_ok"]}


@pytest.fixture
def sound_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this one is like: its devices, its card, its clock and its thermometer."""
    monkeypatch.setattr(checks, "_DEVICES", ())
    monkeypatch.setattr(checks, "FREE_BYTES", 0)
    monkeypatch.setattr(checks, "_synchronised", lambda: "yes")
    monkeypatch.setattr(checks, "read_vitals", lambda: Vitals(47.0))


@pytest.mark.usefixtures("sound_machine")
def test_a_bin_in_order_passes_every_check(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert [name for name in found if name != "is_ok"] == CHECKS
    assert (code, found["is_ok"]) == (0, True), found


@pytest.mark.usefixtures("sound_machine")
def test_people_see_a_line_for_each_check(tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "colours.onnx")
    result = CliRunner().invoke(cli, ["doctor", "--camera", "simulated", "--pins", "mock", "--model", str(model)])
    assert [line.split()[:2] for line in result.output.splitlines()] == [["✓", name] for name in CHECKS]


@pytest.mark.usefixtures("sound_machine")
def test_what_is_ill_is_named_with_its_mend_and_the_other_checks_are_made(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[camera]\nrate_hz = 0\n")
    (tmp_path / "garbage.onnx").write_bytes(b"garbage" * 100)
    code, found = doctor(
        tmp_path, "--config", tmp_path / "wrong.toml", "--model", tmp_path / "garbage.onnx", "--camera", "webcam:63"
    )
    assert code == 1 and not found["is_ok"]
    ill = {name: check["says"] for name, check in found.items() if name != "is_ok" and not check["is_ok"]}
    assert list(ill) == ["configuration", "model", "camera"]
    assert "camera.rate_hz = 0" in ill["configuration"]
    assert "cannot be loaded" in ill["model"]
    assert "is it plugged in" in ill["camera"]


@pytest.mark.parametrize(("state", "code", "is_told"), [("active", 0, True), ("inactive", 3, False)])
@pytest.mark.usefixtures("sound_machine")
def test_a_camera_that_the_service_may_hold_is_told_so_where_the_service_runs(
    state: str, code: int, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$*" = "is-active pilah" ] && echo {state}; exit {code}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    _, found = doctor(tmp_path, "--camera", "webcam:63")
    assert ("sudo systemctl stop pilah" in found["camera"]["says"]) is is_told
    assert "systemctl" not in found["pins"]["says"], "they are in order"


@pytest.mark.parametrize("fault", ["frozen", "black", "white"])
def test_a_camera_that_gives_no_live_pictures_is_ill(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "Grabber", Watch)  # in this thread, so that the clock is the test's
    clock, config = ManualClock(), Config(camera=CameraSection(width=160, height=120))
    tray = SimulatedTray(config.camera, clock, life=TrayLife(gap_s=None))
    tray.fail(fault, 60)
    check = look_at("camera", lambda: checks.camera(lambda: tray, config, clock))
    assert not check.is_ok
    assert fault in check.says and "cable" in check.says


def test_a_pin_that_something_else_holds_is_ill() -> None:
    factory = open_pins("mock")
    with pytest.raises(LidError, match="GPIO12"):
        from gpiozero import LED

        with LED(12, pin_factory=factory):
            checks.pins(Config(), lambda: factory, "native")


def test_the_doctor_moves_no_lid() -> None:
    factory, config = open_pins("mock"), Config()
    servo = factory.pin(config.compartments["organic"].servo_pin)
    assert "4 lids" in checks.pins(config, lambda: factory, "native")
    assert {state.state for state in servo.states} == {0}


def test_a_history_that_is_broken_is_ill(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"garbage" * 1000)
    check = look_at("history", lambda: checks.history(Journal(tmp_path / "journal.db")))
    assert not check.is_ok


def test_a_history_that_is_broken_where_its_oldest_drops_lie_is_ill(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    for _ in range(300):
        journal.write(Drop(0, 1.0, "glass", "recyclable", 0.9, "sure", {"glass": 0.9}))
    journal.close()
    whole = journal.path.read_bytes()
    at = whole.index(b"recyclable", len(whole) // 2) // 4096 * 4096
    journal.path.write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
    assert journal.drops(Search(), 1)
    assert not look_at("history", lambda: checks.history(journal)).is_ok


def test_a_card_without_room_is_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(journal=JournalSection(path=tmp_path / "deep" / "journal.db"))
    assert "GB are free" in checks.disk(config)
    monkeypatch.setattr(checks, "FREE_BYTES", 10**18)
    check = look_at("disk", lambda: checks.disk(config))
    assert not check.is_ok and "remove something" in check.says


def test_a_card_that_lets_nothing_be_written_any_more_is_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 6.14 and later still call a card writable that has failed while it was mounted."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    check = look_at("disk", lambda: checks.disk(Config(journal=JournalSection(path=tmp_path / "journal.db"))))
    assert not check.is_ok and "(Read-only file system): change its owner, or remount" in check.says


def test_a_folder_that_one_may_not_search_is_ill(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    config = Config(journal=JournalSection(path=folder / "deep" / "journal.db"))
    folder.mkdir(mode=0)
    is_root = os.geteuid() == 0
    if is_root:  # who may search everything
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        check = look_at("disk", lambda: checks.disk(config))
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
    assert not check.is_ok and "change its owner" in check.says


def test_a_clock_behind_the_history_is_wrong(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    assert "synchronised" in checks.clock_is_right(journal, lambda: "yes")
    journal.write(Drop(0, time.time() + 60, "glass", "recyclable", 0.9, "sure"))
    assert "synchronised" in checks.clock_is_right(journal, lambda: "yes"), "it may be set by a little"
    journal.write(Drop(0, time.time() + 86400, "glass", "recyclable", 0.9, "sure"))
    with pytest.raises(MachineError, match="behind the newest drop"):
        checks.clock_is_right(journal)


def test_a_clock_that_starts_in_1970_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "journal.db").write_text("a history that cannot be read is told by its own check")
    journal = Journal(tmp_path / "journal.db")
    assert "synchronised" in checks.clock_is_right(journal, lambda: "yes")
    monkeypatch.setattr(checks.time, "time", lambda: 100.0)
    with pytest.raises(MachineError, match="earlier than Pilah was installed"):
        checks.clock_is_right(journal, lambda: "yes")


def test_a_supply_that_is_too_weak_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "read_vitals", lambda: Vitals(47.0, ("The supply's voltage is too low.",)))
    assert look_at("board", checks.board) == Check("board", False, "The supply's voltage is too low.")


def test_a_clock_that_nobody_sets_is_told(tmp_path: Path) -> None:
    journal, rtc = Journal(tmp_path / "none.db"), tmp_path / "rtc0"
    with pytest.raises(MachineError, match="set-ntp true"):
        checks.clock_is_right(journal, lambda: "no", rtc)
    rtc.touch()
    assert checks.clock_is_right(journal, lambda: "no", rtc).endswith("by the machine's own clock; no network sets it.")


def test_devices_that_may_not_be_used_are_named_with_the_groups_that_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "neither" in checks.permissions(tmp_path)
    (tmp_path / "gpiochip0").touch()
    assert "(1 device)" in checks.permissions(tmp_path)
    monkeypatch.setattr(checks.os, "access", lambda _, mode: mode == os.R_OK)  # root may use what nobody may
    with pytest.raises(MachineError, match=r"gpiochip0.*usermod -aG gpio,video"):
        checks.permissions(tmp_path)


def test_the_page_s_findings_come_from_the_same_doctor_but_ask_the_running_bin(tmp_path: Path) -> None:
    config = Config(compartments={"rest": CompartmentSection(servo_pin=12)}, **_all_to("rest"))
    appliance = PlayedAppliance(config.compartments)
    bin_ = bin_of(config, None, write_bundle(tmp_path / "colours.onnx"), appliance)
    assert [check.name for check in bin_.diagnose()] == CHECKS
    found = {check.name: check for check in bin_.diagnose()}
    assert found["pins"] == Check("pins", True, "Every lid moves as it should.")
    assert not found["camera"].is_ok, "no frame has come yet"
    appliance.tell(FaultEvent(0.0, "lid rest", "The lid rest does not close; look for what blocks it."))
    found = {check.name: check for check in bin_.diagnose()}
    assert found["pins"] == Check("pins", False, "The lid rest does not close; look for what blocks it.")
    appliance.tell(FaultEvent(1.0, "lid rest", "The lid rest closes again.", is_over=True))
    assert checks.running_pins(appliance) == "Every lid moves as it should."


def test_the_running_bin_s_camera_is_well_while_its_frames_are_new() -> None:
    clock, config = ManualClock(), Config()
    appliance = PlayedAppliance(config.compartments)
    tray = SimulatedTray(config.camera, clock, life=TrayLife(gap_s=None))
    frame = tray.read()
    appliance.show(frame.pixels, frame.time_s)
    assert look_at("camera", lambda: checks.running_camera(appliance, clock, config)).is_ok
    appliance.tell(FaultEvent(0.0, "camera", "The camera gives black pictures."))
    assert look_at("camera", lambda: checks.running_camera(appliance, clock, config)).says.endswith("black pictures.")
    appliance.tell(FaultEvent(0.0, "camera", "The camera is right again.", is_over=True))
    clock.sleep(10)
    assert not look_at("camera", lambda: checks.running_camera(appliance, clock, config)).is_ok


def test_a_model_that_names_what_the_bin_sends_nowhere_is_ill(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "lava.onnx", {"lava": (255, 0, 0), "glass": (0, 9, 0)})
    assert Bundle.open(path).contract.classes == ("lava", "glass")
    found = look_at("model", lambda: checks.model(path, Config(), 1))
    assert not found.is_ok and "names lava, which the configuration sends nowhere" in found.says


def _all_to(compartment: str) -> dict[str, Any]:
    return {"materials": dict.fromkeys(Config().materials, compartment), "decision": {"fallback": compartment}}
