"""`pilah calibrate`, at a real (pseudo) terminal: what is seen is written, and nothing else."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from device.calibrate import commands
from device.calibrate.dials import FocusDial, RegionDial, ServoDial
from device.calibrate.terminal import picture, scale
from device.config import CameraSection, CompartmentSection, RegionSection, preset_text, read_config
from device.errors import ConfigError
from device.pins import open_pins

KEYS = st.sampled_from([*"ltrb0co<>[]+-xt", "left", "right", "up", "down", "\x1b"])
ENDS_WITHIN_S = 30
WATCHED = """
import json, pathlib, sys
from device.calibrate import commands
from device.cli import cli
from device.pins import open_pins

pins = open_pins("mock")
servo = pins.pin(12)
commands.open_pins = lambda _: pins
try:
    cli.main(["calibrate", *sys.argv[2:]], standalone_mode=False)
finally:
    pathlib.Path(sys.argv[1]).write_text(json.dumps([state.state for state in servo.states]))
"""
"""`pilah calibrate`, which writes in the end what the servo of organic was sent."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "pilah.toml"
    file.write_text(preset_text())
    return file


def at_a_terminal(
    keys: str, *words: object, run: tuple[str, str] = ("-m", "device"), meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, str]:
    """Run a command at a terminal, press keys once it has drawn something; its exit code and all that was shown.

    `meanwhile`: what somebody else does before the keys are pressed.
    """
    ours, its = pty.openpty()
    command = [sys.executable, *run, "calibrate", *map(str, words)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env={**os.environ, "COLUMNS": "80"}) as process:
        os.close(its)
        shown, is_pressed, until_s = b"", False, time.monotonic() + ENDS_WITHIN_S
        while time.monotonic() < until_s:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the terminal was hung up: the command has ended
                break
            if not is_pressed and b"q leave" in shown:
                meanwhile()
                os.write(ours, keys.encode())
                is_pressed = True
        process.wait(ENDS_WITHIN_S)
    os.close(ours)
    return process.returncode, shown.decode(errors="replace")


def test_the_servo_s_angles_are_those_at_which_it_stood(config: Path) -> None:
    code, shown = at_a_terminal("]]\x1b[Cc]o>s", "servo", "organic", "--config", config, "--pins", "mock")
    assert code == 0, shown
    lid = read_config(config).compartments["organic"]
    assert (lid.closed_deg, lid.open_deg, lid.speed_deg_per_s) == (21, 31, 198)
    assert "GPIO12" in shown and "├" in shown
    assert "# Fastest motion in degrees a second" in config.read_text(), "comments stay"
    assert (config.parent / "pilah.toml.previous").read_text() == preset_text()


@pytest.mark.parametrize(("keys", "closed_deg"), [("]]cs", 20.0), ("]]cq", 0.0)])
def test_the_servo_is_let_go_where_the_lid_is_closed_from_now_on(
    keys: str, closed_deg: float, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PressedTerminal:
        def __init__(self) -> None:
            self.keys = list(keys)

        def __enter__(self) -> PressedTerminal:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def draw(self, lines: list[str]) -> None:
            pass

        def size(self) -> tuple[int, int]:
            return 80, 24

        def key(self, timeout_s: float) -> str:
            return self.keys.pop(0)

    factory = open_pins("mock")
    lid = read_config(config).compartments["organic"]
    pin = factory.pin(lid.servo_pin)
    monkeypatch.setattr(commands, "Terminal", PressedTerminal)
    monkeypatch.setattr(commands, "open_pins", lambda _: factory)
    monkeypatch.setattr(commands, "_end_no_more", lambda: None)

    told = CliRunner().invoke(commands.servo, ["organic", "--config", str(config), "--pins", "mock"])

    assert told.exit_code == 0, told.output
    pulses_ms = [20 * state.state for state in pin.states]
    assert pulses_ms[-2:] == [pytest.approx(lid.pulse_ms(closed_deg), abs=0.001), 0]


def test_who_forgot_sudo_is_told_before_angles_are_found_that_could_not_be_kept(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != config.parent or mode != os.W_OK)
    told = CliRunner().invoke(commands.calibrate, ["servo", "organic", "--config", str(config), "--pins", "mock"])
    assert isinstance(told.exception, ConfigError) and "put sudo before the command" in str(told.exception)


def test_leaving_changes_nothing(config: Path) -> None:
    for words in (("servo", "organic", "--pins", "mock"), ("tray", "--camera", "simulated")):
        code, shown = at_a_terminal("]]cq", *words, "--config", config)
        assert code == 0, shown
    assert config.read_text() == preset_text()


def sent_to_the_servo(config: Path, keys: str, *signals: signal.Signals, hangs_up: bool = False) -> list[float]:
    """The pulses while keys turn it to 20°, and then signals, or a terminal that goes away, end that."""
    sent = config.with_name("sent.json")
    command = [sys.executable, "-c", WATCHED, str(sent), "servo", "organic", "--config", str(config), "--pins", "mock"]
    ours, its = pty.openpty()
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.DEVNULL) as process:
        os.close(its)
        shown = b""
        while b"q leave" not in shown:
            shown += os.read(ours, 65536)
        os.write(ours, keys.encode())
        while "angle 20°" not in shown.decode(errors="replace"):
            shown += os.read(ours, 65536)
        if hangs_up:
            os.close(ours)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        process.wait(ENDS_WITHIN_S)
    if not hangs_up:
        os.close(ours)
    return [pulse for pulse in json.loads(sent.read_text()) if pulse]


@pytest.mark.parametrize(
    ("keys", "signals"),
    [
        ("]]", [signal.SIGINT]),
        ("]]", [signal.SIGTERM]),
        ("]]", [signal.SIGHUP, signal.SIGHUP]),
        ("]]q", [signal.SIGHUP]),
    ],
)
def test_a_signal_leaves_no_lid_open(config: Path, keys: str, signals: list[signal.Signals]) -> None:
    pulses = sent_to_the_servo(config, keys, *signals)
    assert max(pulses) > pulses[0], "it was open"
    assert pulses[-1] == pulses[0], "it is closed"
    assert config.read_text() == preset_text()


def test_what_was_saved_is_written_though_the_terminal_is_closed_meanwhile(config: Path) -> None:
    sent_to_the_servo(config, "]o]s", hangs_up=True)
    assert read_config(config).compartments["organic"].open_deg == 10


def test_the_tray_s_edges_are_moved_over_the_picture_and_saved(config: Path) -> None:
    code, shown = at_a_terminal("]]b\x1b[As", "tray", "--config", config, "--camera", "simulated")
    assert code == 0, shown
    region = read_config(config).camera.region
    assert (region.left, region.top, region.right, region.bottom) == (0.1, 0.0, 1.0, 0.99)
    assert "▀" in shown


def test_the_camera_is_shown_with_its_sharpness_and_chosen(config: Path) -> None:
    code, shown = at_a_terminal("s", "camera", "--config", config, "--camera", "simulated")
    assert code == 0, shown
    assert "sharpness" in shown and "light" in shown
    assert read_config(config).camera.source == "simulated"


def test_a_motor_s_focus_is_turned_and_saved(config: Path) -> None:
    code, shown = at_a_terminal("--+-s", "camera", "--config", config, "--camera", "simulated")
    assert code == 0, shown
    assert read_config(config).camera.distance_m == 0.289
    assert "# From the lens to the tray in metres" in config.read_text()


def test_a_camera_that_cannot_be_opened_is_told_and_the_next_one_can_be_chosen(config: Path) -> None:
    program = (
        "from device.calibrate import commands\n"
        "from device.cli import main\n"
        "commands._found = lambda _: ['webcam:99', 'simulated']\n"
        "main()"
    )
    code, shown = at_a_terminal("ns", "camera", "--config", config, run=("-c", program))
    assert code == 0, shown
    assert "The camera webcam:99 cannot be opened" in shown and "sharpness" in shown
    assert read_config(config).camera.source == "simulated"


def test_an_only_camera_that_cannot_be_opened_ends_it_with_the_reason(config: Path) -> None:
    code, shown = at_a_terminal("q", "camera", "--config", config, "--camera", "webcam:99")
    assert code == 1, shown
    assert "The camera webcam:99 cannot be opened" in shown


def test_what_was_turned_is_told_to_be_lost_where_somebody_broke_the_file_meanwhile(config: Path) -> None:
    words = ("servo", "organic", "--config", config, "--pins", "mock")
    code, shown = at_a_terminal("]os", *words, meanwhile=lambda: config.write_text("[camera\n"))
    assert code == 1
    assert "is not valid TOML" in shown and "Traceback" not in shown


def test_a_file_that_leaves_the_lids_to_the_defaults_gets_them_all(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text("[camera]\nrate_hz = 10.0\n")
    code, shown = at_a_terminal("]os", "servo", "reuse", "--config", file, "--pins", "mock")
    assert code == 0, shown
    config = read_config(file)
    assert list(config.compartments) == ["organic", "recyclable", "reuse", "residual"]
    assert (config.compartments["reuse"].open_deg, config.camera.rate_hz) == (10, 10)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("servo", "cellar"), "it has organic, recyclable"),
        (("tray", "--camera", "telescope"), "There is no camera 'telescope'"),
        (("tray", "--config", "/none.toml"), "pilah config init"),
        (("tray", "--config", "/" + 100 * "long"), "longlong: File name too long."),
    ],
)
def test_what_cannot_be_calibrated_is_told_in_a_sentence(config: Path, words: tuple[str, ...], says: str) -> None:
    code, shown = at_a_terminal("", *words, *(() if "--config" in words else ("--config", config)))
    assert code == 1
    assert says in shown and "Traceback" not in shown


def test_without_a_terminal_it_says_so(config: Path) -> None:
    command = [sys.executable, "-m", "device", "calibrate", "tray", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 1
    assert "a person at a terminal" in done.stderr


@example(list("r" + 8 * "[" + "l" + 20 * "]"))
@given(st.lists(KEYS, max_size=200))
def test_no_keys_make_settings_that_the_configuration_would_refuse(keys: list[str]) -> None:
    servo = ServoDial(CompartmentSection(servo_pin=12), 0.0)
    region, focus = RegionDial(RegionSection()), FocusDial(CameraSection())
    for key in keys:
        servo, region, focus = servo.press(key), region.press(key), focus.press(key)
    assert CompartmentSection.model_validate(servo.settings.model_dump()) == servo.settings
    assert RegionSection.model_validate(region.region.model_dump()) == region.region
    assert CameraSection.model_validate(focus.settings.model_dump()) == focus.settings


def test_a_region_that_is_as_narrow_as_can_be_at_the_edge_stays_one() -> None:
    for left, keys in ((0.0, ["l", "right"]), (0.0, ["l", "left"]), (0.899, ["r", "left"]), (0.899, ["r", "right"])):
        dial = RegionDial(RegionSection(left=left, right=round(left + 0.101, 3)))
        for key in keys:
            dial = dial.press(key)
        RegionSection.model_validate(dial.region.model_dump())


def test_a_picture_fits_its_place_and_keeps_its_colours() -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:240] = (255, 0, 0)
    lines = picture(pixels, columns=40, lines=10)
    assert len(lines) == 10
    assert all(line.count("▀") <= 40 for line in lines)
    assert lines[0].startswith("\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m▀")
    assert lines[-1].startswith("\x1b[38;2;0;0;0m")


def test_a_scale_shows_where_things_are() -> None:
    assert scale(-90, 90, {"c": -90, "o": 90, "●": 0}, 5) == "-90 ├c─●─o┤ 90"
