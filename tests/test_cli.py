"""The command line, as a user and as systemd meet it: output, exit codes, signals, and one sentence per mistake."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from device import run as run_module
from device.drops import Search
from device.errors import PageError
from device.events import DecisionEvent, EventBus, FaultEvent, LidEvent, StateEvent
from device.journal import Journal
from device.page.owner import Password
from tests.bundles import COLOURS, plain, write_bundle
from tests.owner import start_again
from tests.page_parts import PASSWORD
from tests.ports import free_ports

PILAH = [sys.executable, "-m", "device"]
QUICK = "\n".join(
    f"[compartments.{name}]\nservo_pin = {pin}\nspeed_deg_per_s = 2000\nhold_s = 0.0\nhold_at_most_s = 1.0"
    for name, pin in (("organic", 12), ("recyclable", 13), ("reuse", 18), ("residual", 19))
)
"""A bin whose lids are too fast for wood and glue, so that a test need not wait for them."""
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name, material in (("b.png", "glass"), ("a.png", "organic"), ("deep/c.png", "wood")):
        cv2.imwrite(str(folder / name), plain(material, 240, 320)[:, :, ::-1])
    return folder


def pilah(*arguments: object, into: str = "") -> subprocess.CompletedProcess[str]:
    """`into`: where a shell sends the output, as in >/dev/full."""
    command = ["sh", "-c", f'exec "$@" {into}', "sh", *PILAH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_version_and_help_answer() -> None:
    version = pilah("--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "pilah")
    text = pilah("--help").stdout
    assert "run " in text
    assert "classify " in text


@pytest.mark.parametrize("group", [[], ["page"], ["config"], ["calibrate"]])
def test_help_says_in_a_whole_sentence_what_each_command_does(group: list[str]) -> None:
    _, commands = pilah(*group, "--help").stdout.split("Commands:\n")
    assert "..." not in commands
    assert commands.endswith(".\n")


def test_classify_prints_a_line_for_each_picture_in_order(photos: Path, model: Path) -> None:
    done = pilah("classify", photos, "--model", model, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = lines(done.stdout)
    assert [Path(line["file"]).name for line in told] == ["a.png", "b.png", "c.png"]
    assert [line["material"] for line in told] == ["organic", "glass", "wood"]
    assert [line["compartment"] for line in told] == ["organic", "recyclable", "reuse"]
    for line in told:
        assert list(line) == ["file", "material", "compartment", "confidence", "verdict", "probabilities"]
        assert set(line["probabilities"]) == set(COLOURS)
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert 0.9 < line["confidence"] <= 1


def test_classify_speaks_to_people_too(photos: Path, model: Path) -> None:
    done = pilah("classify", photos / "a.png", "--model", model)
    assert done.stdout == f"{photos / 'a.png'}: organic → organic (100%)\n"


def test_a_broken_picture_among_good_ones_is_told_and_the_others_are_named(photos: Path, model: Path) -> None:
    jpeg = bytes(cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1])
    (photos / "a1.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    done = pilah("classify", photos, "--model", model, "--json")
    assert done.returncode == 1
    assert len(lines(done.stdout)) == 3
    assert done.stderr.count("\n") == 1
    assert "a1.jpg is truncated" in done.stderr


def test_an_empty_folder_among_good_pictures_is_told_and_they_are_named(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = pilah("classify", tmp_path / "empty", photos / "a.png", "--model", model, "--json")
    assert done.returncode == 1
    assert [line["material"] for line in lines(done.stdout)] == ["organic"]
    assert done.stderr == f"pilah: The folder {tmp_path / 'empty'} holds no picture (JPEG, PNG or WebP).\n"


def test_run_sorts_a_folder_and_ends_after_so_many_drops(photos: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "bin.toml").write_text(QUICK)
    done = run(tmp_path, photos, model, "--drops", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = lines(done.stdout)
    for line in told:
        assert {"event", "time", "drop", "material", "compartment", "confidence", "latency_ms"} <= set(line)
    decisions = [line for line in told if line["event"] == "decision"]
    assert [(line["drop"], line["material"]) for line in decisions] == [(1, "organic"), (2, "glass")]
    assert [Path(line["file"]).name for line in decisions] == ["a.png", "b.png"]
    states = [(line["drop"], line["compartment"], line["state"]) for line in told if line["event"] == "lid"]
    assert states == [
        (drop, lid, state)
        for drop, lid in ((1, "organic"), (2, "recyclable"))
        for state in ("opening", "open", "closing", "closed")
    ]


def test_run_with_mock_pins_believes_the_switches_of_lids_that_do_not_exist(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin.toml").write_text(QUICK.replace("servo_pin = 13", "servo_pin = 13\nswitch_pin = 23"))
    done = run(tmp_path, photos, model, "--drops", "2", "--json")
    told = [(line["event"], line.get("compartment")) for line in lines(done.stdout) if line.get("state") == "open"]
    assert (done.returncode, done.stderr.count("does not")) == (0, 0)
    assert told == [("lid", "organic"), ("lid", "recyclable")]


def test_run_keeps_a_history_and_no_pictures(photos: Path, model: Path, tmp_path: Path, state_of_its_own: Path) -> None:
    (tmp_path / "bin.toml").write_text(QUICK)
    run(tmp_path, photos, model, "--drops", "2")
    drops = Journal(state_of_its_own / "journal.db").drops(Search(), 10)
    assert [(drop.material, drop.lid, drop.has_thumbnail) for drop in drops] == [
        ("glass", "closed", False),
        ("organic", "closed", False),
    ]


def test_run_sorts_where_no_history_can_be_kept(photos: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "card").write_text("a file where the folder should be")
    (tmp_path / "bin.toml").write_text(f'{QUICK}\n[journal]\npath = "{tmp_path}/card/journal.db"')
    done = run(tmp_path, photos, model, "--drops", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = lines(done.stdout)
    (fault,) = (line for line in told if line["event"] == "fault")
    assert fault["part"] == "journal"
    assert fault["message"].startswith(f"The history {tmp_path}/card/journal.db cannot be used (File exists): look at")
    assert len([line for line in told if line["event"] == "decision"]) == 2


def test_run_sorts_where_the_page_cannot_be_served(
    photos: Path, model: Path, tmp_path: Path, state_of_its_own: Path
) -> None:
    (state_of_its_own / "owner-password").write_bytes(b"\xff\xfe")
    (tmp_path / "bin.toml").write_text(QUICK)
    done = run(tmp_path, photos, model, "--drops", "1", "--page")
    assert done.returncode == 0, done.stderr
    assert "owner-password is damaged; set the password again." in done.stderr
    assert "drop 1: organic" in done.stdout


@pytest.mark.parametrize(("into", "complaints"), [(">/dev/full", 1), (">&-", 0)])
def test_run_sorts_where_nothing_can_be_printed(
    photos: Path, model: Path, tmp_path: Path, state_of_its_own: Path, into: str, complaints: int
) -> None:
    (tmp_path / "bin.toml").write_text(QUICK)
    done = run(tmp_path, photos, model, "--drops", "2", into=into)
    assert done.returncode == 0, done.stderr
    assert len(Journal(state_of_its_own / "journal.db").drops(Search(), 10)) == 2
    assert done.stderr.count("Nothing is printed any more") == complaints
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "classify"])
def test_a_file_name_that_no_encoding_has_is_printed_all_the_same(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    (tmp_path / "bin.toml").write_text(QUICK)
    (tmp_path / "photos").mkdir()
    file = tmp_path / "photos" / os.fsdecode(b"bad\xff.png")
    file.write_bytes(cv2.imencode(".png", plain("glass", 240, 320)[:, :, ::-1])[1].tobytes())
    if command == "run":
        done = run(tmp_path, file.parent, model, "--drops", "1")
    else:
        done = pilah("classify", file, "--model", model)
    assert done.returncode == 0, done.stderr
    assert "glass" in done.stdout and "bad?.png" in done.stdout
    assert "Traceback" not in done.stderr


def test_output_that_the_card_has_no_room_for_is_told_in_a_sentence() -> None:
    done = pilah("config", "show", into=">/dev/full")
    assert (done.returncode, done.stderr) == (1, "pilah: standard output: No space left on device.\n")


def test_output_that_was_closed_is_no_fault_to_talk_about() -> None:
    done = pilah("config", "show", into=">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_run_tells_people_what_it_does_in_a_calm_line_each(photos: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "bin.toml").write_text(QUICK)
    done = run(tmp_path, photos, model, "--drops", "1")
    said = [line.split("  ", 1)[1] for line in done.stdout.splitlines()]
    assert said[0].startswith("drop 1: organic → organic (100%")
    assert said[1:] == ["lid organic: open", "lid organic: closed"]


def test_people_are_told_of_doubt_of_faults_and_of_lids_that_fail_and_not_of_each_motion() -> None:
    events = [
        DecisionEvent(0.0, 1, "glass", "residual", 0.41, "unsure", 2, 200.0, {"glass": 0.41}, "7-1"),
        LidEvent(0.0, "residual", "opening"),
        LidEvent(0.0, "residual", "fault"),
        FaultEvent(0.0, "camera", "The camera is frozen."),
        StateEvent(0.0, "empty"),
    ]
    said = [line and line.split("  ", 1)[1] for line in (run_module._line(event, False) for event in events)]
    assert said == [
        "drop 1: glass → residual (41%, unsure, 200 ms)",
        None,
        "lid residual: fault",
        "The camera is frozen.",
        None,
    ]


def test_a_reader_that_does_not_read_holds_the_end_up_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    os.set_blocking(writes, True)
    bus = EventBus()
    with os.fdopen(writes, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        begun_s = time.monotonic()
        with run_module._Printer(bus.subscribe(), True, MagicMock()):
            bus.publish(FaultEvent(0.0, "camera", "The camera is frozen."))
            time.sleep(0.2)
        assert 0.9 < time.monotonic() - begun_s < 10
        os.close(reads)


def test_run_ends_where_the_pictures_end_and_says_when_that_was_too_few(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin.toml").write_text(QUICK)
    done = run(tmp_path, photos, model, "--drops", "4", "--json")
    assert done.returncode == 1
    assert "came to their end after 3 of 4 drops" in done.stderr
    assert [line["state"] for line in lines(done.stdout) if line["event"] == "lid"][-1] == "closed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("state", ["opening", "open"])
def test_a_signal_in_the_middle_of_a_motion_closes_the_lid_and_ends_well(
    photos: Path, model: Path, number: signal.Signals, state: str
) -> None:
    with started(photos, model) as process:
        told = until(process, state)
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    told += lines(rest)
    assert [line["state"] for line in told if line["event"] == "lid"][-1] == "closed"


def test_an_owner_who_starts_the_bin_again_gets_the_same_service_with_what_the_file_says_by_now(
    photos: Path, model: Path, tmp_path: Path, state_of_its_own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bin.toml"
    ports = free_ports(2)
    file.write_text(f"[page]\nport = {ports[0]}\n")
    Password(state_of_its_own).set(PASSWORD)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(TIMEOUT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        command = [*PILAH, "run", "--model", str(model), "--pins", "mock", "--camera", "simulated"]
        with subprocess.Popen([*command, "--config", str(file)], stderr=subprocess.PIPE, text=True) as process:
            notes = [heard(systemd, "READY")]
            file.write_text(f"[page]\nport = {ports[1]}\n")
            start_again(f"http://localhost:{ports[0]}", PASSWORD)
            notes += [heard(systemd, "RELOADING", "STOPPING"), heard(systemd, "READY", "STOPPING")]
            with urllib.request.urlopen(f"http://localhost:{ports[1]}/api/openapi.json", timeout=TIMEOUT_S) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            notes.append(heard(systemd, "STOPPING"))
            _, complaints = process.communicate(timeout=TIMEOUT_S)
    assert notes == ["READY", "RELOADING", "READY", "STOPPING"]
    assert process.returncode == 0, complaints
    assert complaints.count("The page is at") == 2


def test_nohup_lets_a_run_outlive_its_terminal(photos: Path, model: Path) -> None:
    with started(photos, model, "nohup") as process:
        until(process, "open")
        process.send_signal(signal.SIGHUP)
        until(process, "closed")
        until(process, "open")
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaints


def test_an_impatient_second_ctrl_c_leaves_no_lid_open(photos: Path, model: Path) -> None:
    with started(photos, model) as process:
        told = until(process, "open")
        for _ in range(3):
            process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaints
    assert [line["state"] for line in told + lines(rest) if line["event"] == "lid"][-1] == "closed"


def test_a_second_signal_while_the_first_is_being_noted_hangs_nothing() -> None:
    program = """
import signal, sys
from device.run import _Stop

stop = _Stop()

def impatient(frame, event, _):
    if event == "call" and calls:
        calls.pop()
        signal.raise_signal(signal.SIGINT)

calls = [1] * 20
sys.setprofile(impatient)
signal.raise_signal(signal.SIGTERM)
sys.setprofile(None)
sys.exit(0 if stop.is_asked() else 1)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0


def test_a_reader_that_goes_away_ends_the_run_without_a_word(photos: Path, model: Path) -> None:
    with started(photos, model) as process:
        until(process, "opening")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        complaints = process.stderr.read()
        process.wait(timeout=TIMEOUT_S)
    assert [line for line in complaints.splitlines() if not line.startswith("INFO")] == []


def test_a_reader_of_classify_that_goes_away_is_no_fault_to_talk_about(photos: Path, model: Path) -> None:
    command = [*PILAH, "classify", *[str(photos)] * 200, "--model", str(model), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["classify", "{tmp}/none.jpg"], "There is no file {tmp}/none.jpg"),
        (["classify", "{tmp}/text.jpg"], "text.jpg is no JPEG, PNG or WebP picture"),
        (["classify", "{tmp}/empty"], "The folder {tmp}/empty holds no picture"),
        (["classify", "{tmp}/text.jpg", "--model", "{tmp}/none.onnx"], "There is no model at {tmp}/none.onnx"),
        (["classify", "{tmp}/text.jpg", "--model", "{tmp}/text.jpg"], "cannot be loaded as an ONNX model"),
        (["classify", "{tmp}/text.jpg", "--model", "{tmp}/cut.onnx"], "it may be cut short"),
        (["classify", "{tmp}/text.jpg", "--model", "{tmp}/foreign.onnx"], "is an ONNX model but no Pilah bundle"),
        (["classify", "{tmp}/text.jpg", "--config", "{tmp}/none.toml"], "none.toml"),
        (["classify", "{tmp}/" + "x" * 300], "xxx cannot be read: File name too long."),
        (["run", "--camera", "images:{tmp}/empty"], "The folder {tmp}/empty holds no picture"),
        (["run", "--camera", "images:{tmp}/none"], "There is no folder {tmp}/none"),
        (["run", "--camera", "video:{tmp}/none.mp4"], "none.mp4"),
        (["run", "--config", "{tmp}/empty"], "The configuration {tmp}/empty cannot be read: Is a directory."),
        (["run", "--camera", "webcam:63"], "63"),
        (["run", "--camera", "webcam:99999999999"], "There is no camera 'webcam:99999999999'"),
        (["run", "--camera", "telescope"], "There is no camera 'telescope'"),
        (["run", "--config", "{tmp}/unknown.toml"], "materials.glass = 'cellar': is no compartment of this bin"),
        (["run", "--config", "{tmp}/twice.toml"], "GPIO12 is compartments.residual.servo_pin already"),
        (
            ["run", "--config", "{tmp}/short.toml", "--camera", "images:{photos}"],
            "which the configuration sends nowhere",
        ),
    ],
)
def test_each_mistake_gets_one_sentence_and_no_traceback(
    tmp_path: Path, photos: Path, model: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:500])
    _write_foreign_model(tmp_path / "foreign.onnx")
    (tmp_path / "unknown.toml").write_text('[materials]\nglass = "cellar"\n')
    (tmp_path / "twice.toml").write_text("[compartments.residual]\nservo_pin = 12\nled_pin = 12\n")
    (tmp_path / "short.toml").write_text('[materials]\nglass = "recyclable"\n')
    command = [part.format(tmp=tmp_path, photos=photos) for part in arguments]
    if "--model" not in command:
        command += ["--model", str(model)]
    if command[0] == "run":
        command += ["--pins", "mock", "--no-page"] + (
            [] if "--camera" in command else ["--camera", f"images:{tmp_path}/empty"]
        )
    done = pilah(*command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert says.format(tmp=tmp_path) in done.stderr
    assert done.stderr.startswith("pilah: ")
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_libraries_are_read_ends_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(
        "import signal\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    raise ImportError('initialization failed')  # as NumPy and ONNX Runtime have it\n"
    )
    program = "from device import cli; cli.COMMANDS['late'] = 'library:late'; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "late"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_run_in_a_copied_or_renamed_folder_starts_the_program_of_that_folder(tmp_path: Path) -> None:
    root, stamps = Path(__file__).parents[1], tmp_path / "stamps"
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(root / file, tmp_path)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "__init__.py").touch()
    (tmp_path / "device" / "__main__.py").write_text("import sys; print('started here:', *sys.argv[1:])")
    stamps.mkdir()
    (stamps / "base").touch()  # what the device needs is installed
    command = ["make", "--silent", "run", f"BIN={Path(sys.executable).parent}", f"STAMPS={stamps}", "ARGS=--drops 5"]
    env = {**os.environ, "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "started here: run --camera simulated --pins mock --drops 5\n", done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("python", "is_made"), [("gone", True), ("of another version", True), ("as it was", False)])
def test_an_environment_of_a_python_that_was_upgraded_is_made_anew(tmp_path: Path, python: str, is_made: bool) -> None:
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(Path(__file__).parents[1] / file, tmp_path)
    made, new, old = tmp_path / ".venv" / ".pilah", tmp_path / "python", tmp_path / ".venv" / "bin" / "python"
    for folder in (made, old.parent):
        folder.mkdir(parents=True)
    (made / "base").touch()  # what the device needs is installed
    new.write_text('#!/bin/sh\n[ "$2" != venv ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }\n')
    new.chmod(0o755)
    match python:
        case "gone":
            old.symlink_to("/usr/bin/python3.1")
        case "of another version":
            old.symlink_to("/bin/false")  # it finds no module
        case _:
            shutil.copy(new, old)
    env = {**os.environ, "MAKEFLAGS": ""}
    subprocess.run(["make", "help"], cwd=tmp_path, env=env, capture_output=True, check=True)
    assert (made / "base").exists(), "what needs no environment leaves it alone"
    command = ["make", "--silent", "run", f"PYTHON={new}"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("Making a virtual environment" in done.stdout) is is_made
    assert old.read_text() == new.read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_installation_without_internet_ends_in_the_advice_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "stamps").mkdir()
    (tmp_path / "python").write_text("#!/bin/sh\necho No matching distribution found >&2; exit 1\n")
    (tmp_path / "python").chmod(0o755)
    command = ["make", "--silent", "run", f"BIN={tmp_path}", f"STAMPS={tmp_path / 'stamps'}"]
    env = {**os.environ, "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is this machine online? The same command goes on from there." in done.stdout
    assert not list((tmp_path / "stamps").iterdir())


@pytest.mark.parametrize(
    "arguments", [["sort"], ["run", "--drops", "0"], ["run", "--seed", "-1"], ["classify"], ["run", "--pins", "real"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    done = pilah(*arguments)
    assert done.returncode == 2
    assert "Usage: pilah" in done.stderr


def run(folder: Path, photos: Path, model: Path, *more: str, into: str = "") -> subprocess.CompletedProcess[str]:
    return pilah(
        "run",
        "--no-page",
        "--camera",
        f"images:{photos}",
        "--model",
        model,
        "--pins",
        "mock",
        "--config",
        folder / "bin.toml",
        *more,
        into=into,
    )


def test_a_bin_whose_configured_camera_is_not_there_begins_without_and_tells(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bin.toml").write_text('[camera]\nsource = "webcam:63"\nlost_after_s = 1.0\n')
    command = [*PILAH, "run", "--model", str(model), "--pins", "mock", "--json", "--no-page"]
    command += ["--config", str(tmp_path / "bin.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert (told["event"], told["part"]) == ("fault", "camera")
    assert told["message"].startswith("The camera webcam:63 cannot be opened; is it plugged in")
    assert process.returncode == 0
    assert "Traceback" not in rest


def test_a_page_whose_address_comes_later_is_served_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []
    is_served, ended = threading.Event(), []

    class Server:
        def end_soon(self) -> None:
            ended.append("soon")

        def close(self) -> None:
            ended.append("closed")

    def start() -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise PageError("No such address yet.")
        is_served.set()
        return Server()

    monkeypatch.setattr(run_module, "TRIES_EVERY_S", 0.001)
    with run_module.Page(start):
        assert is_served.wait(20)
    assert len(tries) == 3
    assert ended == ["soon", "closed"]
    assert [record.message for record in caplog.records] == ["No such address yet. It is tried again every 0.001 s."]
    with run_module.Page(lambda: (_ for _ in ()).throw(PageError("Never."))):
        pass


def started(photos: Path, model: Path, *before: str) -> subprocess.Popen[str]:
    """A run that someone stops before its drops are done with, which is no fault."""
    command = [
        *before,
        *PILAH,
        "run",
        "--camera",
        f"images:{photos}",
        "--model",
        str(model),
        "--pins",
        "mock",
        "--json",
        "--no-page",
        "--drops",
        "99",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def heard(systemd: socket.socket, *kinds: str) -> str:
    """The first of these that systemd is told."""
    while (kind := systemd.recv(4096).decode().partition("=")[0]) not in kinds:
        pass
    return kind


def until(process: subprocess.Popen[str], state: str) -> list[dict[str, Any]]:
    """What a run prints until a lid comes to a state."""

    def told() -> Iterator[dict[str, Any]]:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
            if json.loads(line).get("state") == state:
                return
        raise AssertionError(f"no lid came to {state}: {process.stderr.read() if process.stderr else ''}")

    return list(told())


def _write_foreign_model(path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "foreign",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
