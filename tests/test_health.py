"""What systemd is told, and what a Pi tells of itself."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from device.board import READS_EVERY_S, Board, Vitals, read_vitals
from device.clock import ManualClock
from device.heartbeat import Heartbeat, Systemd


class Notes(list[str]):
    """Keeps what systemd would have been told."""

    def notify(self, state: str) -> None:
        self.append(state)


def test_the_watchdog_hears_of_the_loop_once_a_second_however_fast_it_turns() -> None:
    clock, notes = ManualClock(), Notes()
    heartbeat = Heartbeat(clock, notes)
    for _ in range(45):
        heartbeat.beat("empty, 0 drops")
        clock.sleep(0.1)
    heartbeat.stopping()
    assert notes == ["READY=1", *["WATCHDOG=1\nSTATUS=empty, 0 drops"] * 5, "STOPPING=1"]


def test_systemd_is_told_of_a_new_start_and_of_no_end_which_would_have_it_kill_the_bin() -> None:
    notes = Notes()
    heartbeat = Heartbeat(ManualClock(), notes)
    heartbeat.starting_again()
    heartbeat.stopping()
    assert [note.split("=")[0] for note in notes] == ["RELOADING"]
    assert abs(int(notes[0].rpartition("=")[2]) / 1e6 - time.monotonic()) < 60


def test_systemd_reads_degrees_and_names_in_any_alphabet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        Heartbeat(ManualClock(), Systemd()).beat("empty, 61 °C, ağaç → odun")

        assert systemd.recv(4096) == b"READY=1"
        assert systemd.recv(4096).decode() == "WATCHDOG=1\nSTATUS=empty, 61 °C, ağaç → odun"


def test_a_file_whose_name_is_no_text_does_not_keep_the_loop_s_beat_from_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        Heartbeat(ManualClock(), Systemd()).beat(f"The history {os.fsdecode(b'caf%c' % 0xE9)} cannot be used.")

        assert systemd.recv(4096) == b"READY=1"
        assert systemd.recv(4096).decode() == "WATCHDOG=1\nSTATUS=The history caf? cannot be used."


def test_a_pi_s_temperature_and_low_supply_are_read(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/temp", "61234\n")
    write(tmp_path / "devices/platform/soc/soc:firmware/get_throttled", "d0005\n")
    vitals = read_vitals(tmp_path)
    assert vitals.temperature_c == 61.234
    assert len(vitals.warnings) == 2
    assert "voltage is too low" in vitals.warnings[0]
    assert "throttled" in vitals.warnings[1]


def test_a_pi_is_asked_for_its_heat_twice_a_minute_however_fast_the_loop_turns(tmp_path: Path) -> None:
    thermometer = tmp_path / "class/thermal/thermal_zone0/temp"
    thermometer.parent.mkdir(parents=True)
    clock = ManualClock()
    board, told = Board(clock, system=tmp_path), []
    for temperature_c in range(40, 100):
        thermometer.write_text(f"{1000 * temperature_c}\n")
        told.append(board.vitals().temperature_c)
        clock.sleep(1)
    assert sorted(set(told)) == [40, 40 + READS_EVERY_S]


def test_what_a_pi_suffered_in_the_past_is_no_warning_now(tmp_path: Path) -> None:
    write(tmp_path / "devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    assert read_vitals(tmp_path).warnings == ()


def test_a_laptop_that_tells_nothing_is_fine(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/temp", "hot\n")
    assert read_vitals(tmp_path) == read_vitals(tmp_path / "nothing") == Vitals()


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
