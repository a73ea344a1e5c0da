"""`pilah config`: check, show and make the configuration."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from device.cli import cli
from device.config import (
    PRESETS,
    Config,
    JournalSection,
    edit_config,
    files,
    journal_path,
    places,
    preset_text,
    read_config,
    state_folder,
)
from device.config.files import parse_config, write_config
from device.errors import ConfigError

NOBODY = 65534
LID = "compartments.rest"


def pilah(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("preset", PRESETS)
def test_what_init_writes_is_in_order_and_says_every_setting(tmp_path: Path, preset: str) -> None:
    file = tmp_path / "etc" / "pilah.toml"
    assert "is written" in pilah("config", "init", file, "--preset", preset).output
    assert pilah("config", "check", file).output == f"{file} is in order.\n"
    text, defaults = file.read_text(), Config().model_dump()
    said = tomllib.loads(re.sub(r"(?m)^#(?=\w+ = )", "", text))
    assert set(said["compartments"]["organic"]) == set(defaults["compartments"]["organic"])
    for section in ("model", "camera", "presence", "decision", "lights", "journal", "page"):
        assert f"[{section}]" in text
        assert set(said[section]) == set(defaults[section])
        assert getattr(read_config(file), section) == getattr(Config(), section)
    assert not Config().journal.thumbnails, "no picture is kept unless the owner says so"


def test_a_file_that_is_no_configuration_is_told_in_a_line_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "photos.toml").write_text(
        f"[[source]]\nclasses = {{ {', '.join(f'bottle_{i} = 1' for i in range(99))} }}\n"
    )
    with pytest.raises(ConfigError, match=r"source = .{80}: no key that Pilah knows") as told:
        read_config(tmp_path / "photos.toml")
    assert len(str(told.value)) < 400


def test_a_layout_that_make_install_takes_is_one_that_init_writes() -> None:
    layouts = Path(files.__file__).parent / "presets"
    assert {layout.stem for layout in layouts.iterdir()} == set(PRESETS)


def test_init_replaces_nothing_unless_it_is_told_to_and_keeps_what_was(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("# mine\n")
    refused = pilah("config", "init", file)
    assert isinstance(refused.exception, ConfigError) and "--force" in str(refused.exception)
    assert file.read_text() == "# mine\n"
    pilah("config", "init", file, "--force", "--preset", "three-lids")
    assert len(read_config(file).compartments) == 3
    assert (tmp_path / "pilah.toml.previous").read_text() == "# mine\n"


def test_check_lists_everything_that_is_wrong_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text('[camera]\nrate_hz = 0\nwitdh = 640\n[decision]\nfallback = "cellar"\n')
    wrong = str(pilah("config", "check", file).exception)
    assert "camera.rate_hz = 0" in wrong
    assert "did you mean width?" in wrong
    assert "There is no configuration" in str(pilah("config", "check", tmp_path / "none.toml").exception)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('camera.source = "wbcam:0"', "camera.source = 'wbcam:0': must be one of auto, picamera2, webcam"),
        ("camera.source = 0", "camera.source = 0: must be text in quotes."),
        ("camera.width = 641", "camera.width = 641: input should be a multiple of 2"),
        ("camera.rate_hz = 1.9", "camera.rate_hz = 1.9: input should be greater than or equal to 2"),
        ("camera.rate_hz = 2.0\ncamera.lost_after_s = 0.5", "at least the time of two frames at rate_hz, 1 s"),
        ("camera.rate_hz = 2.4\ncamera.lost_after_s = 0.83", "at least the time of two frames at rate_hz, 0.84 s"),
        ("camera.region = { left = 0.91 }", "region.right = 1.0: must exceed left (0.91) by at least 0.1"),
        ("presence.smallest_area = 0.6", "presence.smallest_area = 0.6: input should be less than or equal to 0.5"),
        ("presence.clear_s = 30.0", "presence.clear_s = 30.0: input should be less than or equal to 10"),
        ("decision.energy = inf", "decision.energy = inf: input should be a finite number"),
        ("decision.cost = { organic = { organic = 9.0 } }", "cost.organic.organic = 9.0: must be 0: the right lid"),
        (
            "decision.cost = { cellar = { organic = 9.0 } }",
            "decision.cost.cellar = 'cellar': is no compartment of this",
        ),
        ("decision.cost = { organic = { cellar = 9.0 } }", "cost.organic.cellar = 'cellar': is no compartment of this"),
        (
            'materials = { glass = "cellar" }',
            "materials.glass = 'cellar': is no compartment of this bin; it has organic",
        ),
        ("lights.fault_pin = 12", "lights.fault_pin = 12: GPIO12 is compartments.organic.servo_pin already"),
        (f"{LID} = {{ servo_pin = 0, led_pin = 0 }}", f"{LID}.led_pin = 0: GPIO0 is {LID}.servo_pin already"),
        (f"{LID} = {{ servo_pin = [12] }}", f"{LID}.servo_pin = [12]: must be a whole number, without quotes."),
        (f"{LID} = {{ servo_pin = 32 }}", f"{LID}.servo_pin = 32: must be a GPIO number, 0 to 27, and no number of"),
        (f'{LID} = {{ servo_pin = 12, label = {{ english = "Rest" }} }}', f"{LID}.label.english: a language is a code"),
        ('journal.thumbnails = "off"', "journal.thumbnails = 'off': must be true or false, without quotes."),
        ("camera = 3", "camera = 3: must be a table: { key = value }."),
        (f'{LID} = {{ servo_pin = 12, label = "Rest" }}', f"{LID}.label = 'Rest': must be a table: {{ key = value }}."),
        (f'{LID} = {{ servo_pin = 12, hold_s = "3" }}', f"{LID}.hold_s = '3': must be a number, without quotes."),
        ('camera.width = 641\ncamera.source = "wbcam"', "camera.source = 'wbcam': must be one of auto"),
        ("model.path = 3", "model.path = 3: must be a path in quotes."),
        ("camera.mains_hz = 55", "camera.mains_hz = 55: input should be 50 or 60"),
        (
            "camera = { reopen_after_s = 2.0, reopen_at_most_s = 1.0 }",
            "camera.reopen_at_most_s = 1.0: must not be smaller than reopen_after_s (2.0)",
        ),
        (f"{LID} = {{ servo_pin = 12, speed_deg_per_s = 0.5 }}", "input should be greater than or equal to 5"),
        ('page.address = ""', "page.address = '': String should have at least 1 character"),
        ('journal.path = ""', "must name a file"),
        ('journal.path = "/"', "journal.path = '/': must name a file"),
        (
            f'{LID} = {{ servo_pin = 12, colour = "green" }}',
            f"{LID}.colour = 'green': must be #RRGGBB, such as #2e7d32",
        ),
        ("[compartments.Rest]\nservo_pin = 12", "compartments.Rest: a name has at most 32 of a-z, 0-9, - and _"),
        ('materials = { "Bio Waste" = "organic" }', "materials.Bio Waste: a name has at most 32 of a-z, 0-9, - and _"),
        ('journal.path = "/a\\u0000b"', "must name a file"),
        ("presence.forgotten_s = 0.0", "presence.forgotten_s = 0.0: input should be greater than or equal to 5"),
        (
            "decision.frames_at_least = 5\ndecision.frames_at_most = 4",
            "decision.frames_at_most = 4: must not be smaller than frames_at_least (5)",
        ),
        (f"{LID} = {{ servo_pin = 12, open_deg = 0.0 }}", f"{LID}.open_deg = 0.0: must differ from closed_deg"),
        (f"{LID} = {{ servo_pin = 12, open_deg = 120.0 }}", "must lie between min_angle_deg (-90.0) and max_angle_deg"),
        (f"{LID} = {{ servo_pin = 12, closed_deg = -91.0 }}", f"{LID}.closed_deg = -91.0: must lie between min_angle"),
        (f"{LID} = {{ servo_pin = 12, max_angle_deg = -90.0 }}", "max_angle_deg = -90.0: must be larger than min_"),
        (f"{LID} = {{ servo_pin = 12, min_pulse_ms = 2.5 }}", "max_pulse_ms = 2.5: must be larger than min_pulse_ms"),
        (
            "page.names = ['http://bin.example']",
            "page.names.0 = 'http://bin.example': must be a name alone, such as bin",
        ),
        (f"{LID} = {{ servo_pin = 12, hold_at_most_s = 1.0 }}", "hold_at_most_s = 1.0: must not be smaller than hold"),
    ],
)
def test_check_refuses_what_the_bin_could_not_run_with(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "pilah.toml").write_text(text)
    refused = pilah("config", "check", tmp_path / "pilah.toml").exception
    assert isinstance(refused, ConfigError) and says in str(refused)


def test_lids_without_a_table_of_materials_are_told_so_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("decision.fallback = 'left'\n[compartments]\nleft = { servo_pin = 12 }\nright = { servo_pin = 13 }")
    assert str(pilah("config", "check", file).exception) == (
        f"{file}: materials = 'organic, recyclable, reuse, residual': not in this bin; it has left, right: write "
        "[materials], with a lid for each of organic, cardboard, paper, carton, glass, metal, plastic, textile, wood, "
        "trash."
    )


def test_a_value_of_another_kind_is_told_whatever_its_key() -> None:
    def keys(table: dict[str, Any], *above: str) -> Iterator[tuple[str, bool]]:
        for name, value in table.items():
            is_list = isinstance(value, tuple)
            yield from keys(value, *above, name) if isinstance(value, dict) else [(".".join((*above, name)), is_list)]

    for key, is_list in keys(Config().model_dump()):
        told = r"\.0 = \[1\]: must be text in quotes" if is_list else r".* = \[\[1\]\]: "
        with pytest.raises(ConfigError, match=rf"(?m)^file: {key}{told}"):
            parse_config(f"{key} = [[1]]", "file")


@pytest.mark.parametrize("left", [0.9, 0.8])
def test_a_region_of_a_tenth_of_the_frame_is_wide_enough(tmp_path: Path, left: float) -> None:
    (tmp_path / "pilah.toml").write_text(f"camera.region = {{ left = {left}, right = {round(left + 0.1, 1)} }}")
    assert "is in order." in pilah("config", "check", tmp_path / "pilah.toml").output


def test_check_names_a_lid_to_which_no_waste_goes(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text(preset_text() + "\n[compartments.hazard]\nservo_pin = 21\n")
    assert "But no waste goes to hazard: name its materials" in pilah("config", "check", file).output
    edit_config(file, {"decision.fallback": "hazard"})
    assert "But" not in pilah("config", "check", file).output
    file.write_text(preset_text() + "\n[compartments.hazard]\nservo_pin = 21\nbutton_pin = 4\n")
    assert "But" not in pilah("config", "check", file).output


def test_check_warns_of_a_history_that_the_service_would_lose(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    for path, is_lost in (("history.db", True), ("~/history.db", True), ("/var/lib/pilah/history.db", False)):
        edit_config(file, {"journal.path": path})
        told = pilah("config", "check", file).output
        assert told.startswith(f"{file} is in order.")
        assert (f"But journal.path = {path!r} lies wherever the bin is started" in told) is is_lost


def test_check_names_a_material_of_the_model_s_that_goes_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text(preset_text().replace("plastic =", "plastics ="))
    refused = pilah("config", "check", file).exception
    assert isinstance(refused, ConfigError) and "names plastic, which the configuration sends nowhere" in str(refused)


def test_a_file_that_windows_has_marked_as_utf_8_is_read_and_one_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text(preset_text(), encoding="utf-8-sig")
    assert pilah("config", "check", file).output == f"{file} is in order.\n"
    for encoding in ("utf-16", "latin-1"):
        file.write_text('[compartments.residual]\nservo_pin = 12\nlabel = { id = "Müll" }', encoding=encoding)
        assert "is no text in UTF-8; save it as such" in str(pilah("config", "check", file).exception)


def test_a_new_file_may_be_read_by_all_and_one_that_is_edited_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    edit_config(file, {"camera.rate_hz": 10.0})
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(0o640)
    edit_config(file, {"camera.rate_hz": 12.0})
    previous = tmp_path / "pilah.toml.previous"
    assert [one.stat().st_mode & 0o777 for one in (file, previous)] == [0o640, 0o640]


def test_without_a_file_named_the_one_in_etc_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "DEFAULT_PATH", tmp_path / "pilah.toml")
    assert read_config() == Config()
    (tmp_path / "pilah.toml").write_text("camera.rate_hz = 10.0")
    assert read_config().camera.rate_hz == 10


def test_what_must_last_lies_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, mine, services = tmp_path / "disk", tmp_path / "mine", tmp_path / "services"
    told = Config(journal=JournalSection(path=disk / "drops.db"))
    assert (journal_path(told), state_folder(told)) == (disk / "drops.db", disk)
    monkeypatch.setenv("STATE_DIRECTORY", f"{services}:/var/other")
    assert journal_path(Config()) == services / "journal.db"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(mine))
    monkeypatch.setattr(places, "SERVICE_STATE", services)
    assert state_folder(Config()) == mine / "pilah"
    services.mkdir()
    assert state_folder(Config()) == services


def test_a_user_without_a_home_is_told_where_the_history_could_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr(places, "SERVICE_STATE", Path("/nowhere"))
    refused = pilah("stats").exception
    assert isinstance(refused, ConfigError) and "set HOME, or journal.path in the configuration" in str(refused)


def test_a_change_that_would_leave_the_file_wrong_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("camera.rate_hz = 10.0")
    with pytest.raises(ConfigError, match=r"camera\.rate_hz = 0\.0"):
        edit_config(file, {"camera.rate_hz": 0.0})
    assert file.read_text() == "camera.rate_hz = 10.0" and list(tmp_path.iterdir()) == [file]


def test_a_setting_is_written_into_a_table_of_one_line(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text('camera = { source = "simulated" }  # the one here\n')
    edit_config(file, {"camera.region.left": 0.1})
    assert read_config(file).camera.region.left == 0.1 and "# the one here" in file.read_text()


@pytest.mark.parametrize("source", ['camera.source = "simulated"', 'camera = { source = "simulated" }', ""])
def test_the_tray_is_written_into_a_file_however_its_tables_are_written(tmp_path: Path, source: str) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text(f"{source}\ndecision.confidence = 0.5\n[lights]\nfault_pin = 21\n")
    edit_config(file, {"camera.region.left": 0.1, "camera.region.top": 0.2})
    config = read_config(file)
    assert (config.camera.region.left, config.camera.region.top) == (0.1, 0.2)
    assert (config.decision.confidence, config.lights.fault_pin) == (0.5, 21)


def test_a_file_in_which_a_table_became_a_number_is_told_in_one_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "bin.toml"
    file.write_text("camera = 3\n")
    with pytest.raises(ConfigError, match=r"camera must be a table, so camera\.rate_hz cannot be set"):
        edit_config(file, {"camera.rate_hz": 10.0})
    assert file.read_text() == "camera = 3\n"


def test_what_is_taken_out_where_nothing_is_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bin.toml"
    edit_config(file, {"compartments.organic.switch_pin": None})
    assert file.read_text() == ""


@pytest.mark.parametrize("text", [f"a = {'9' * 5000}", f"a = 0x{'F' * 5000}", f"a = {'[' * 5000}{']' * 5000}"])
def test_what_python_itself_refuses_to_read_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text(text)
    refused = pilah("config", "check", file).exception
    assert isinstance(refused, ConfigError) and "thousands of digits" in str(refused)


def test_a_place_that_cannot_be_looked_at_is_told_by_init(tmp_path: Path) -> None:
    refused = pilah("config", "init", tmp_path / ("long" * 100)).exception
    assert isinstance(refused, ConfigError) and "cannot be written: File name too long" in str(refused)


def test_show_prints_what_is_in_force_as_a_file_that_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("[camera]\nrate_hz = 10.0\n")
    shown = tomllib.loads(pilah("config", "show", file).output)
    assert (shown["camera"]["rate_hz"], shown["camera"]["width"]) == (10.0, 640)
    again = tmp_path / "again.toml"
    again.write_text(pilah("config", "show", file).output)
    assert read_config(again) == read_config(file)
    assert json.loads(pilah("config", "show", file, "--json").output) == shown


def test_a_power_cut_finds_the_old_settings_or_the_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace = Path.replace

    def sync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    def put_in_place(new: Path, old: Path) -> Path:
        done.append("put in place" if new.parent == old.parent else "moved to another disk")
        return replace(new, old)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", put_in_place)
    write_config(tmp_path / "pilah.toml", preset_text())
    assert done == ["file", "put in place", "folder"]


def test_settings_that_the_card_has_no_room_for_leave_the_old_ones_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "pilah.toml"
    write_config(file, "of old")
    monkeypatch.setattr(os, "fsync", has_no_room)
    with pytest.raises(ConfigError, match="No space left"):
        write_config(file, preset_text())
    assert file.read_text() == "of old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_for_the_service_stays_the_services_and_is_written_through_no_link(tmp_path: Path) -> None:
    folder, victim = tmp_path / "etc", tmp_path / "victim"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    config, previous = folder / "pilah.toml", folder / "pilah.toml.previous"
    victim.write_text("of root")
    previous.symlink_to(victim)
    write_config(config, preset_text())
    edit_config(config, {"camera.rate_hz": 10.0})
    assert victim.read_text() == "of root" and not previous.is_symlink()
    assert [file.stat().st_uid for file in (config, previous)] == [NOBODY, NOBODY]
    assert previous.read_text() == preset_text()
    assert [one.name for one in sorted(folder.iterdir())] == ["pilah.toml", "pilah.toml.previous"]
