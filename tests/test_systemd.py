"""The service's unit, and `make install`: what a maintainer is promised."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from device.config import preset_text
from device.heartbeat import BEATS_EVERY_S

CHECKOUT = Path(__file__).parent.parent
UNIT = CHECKOUT / "systemd" / "pilah.service"
FACTORY = "usr/share/factory/etc/pilah/pilah.toml"
EXPOSURE_AT_MOST = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or not (Path("/run/systemd").is_dir() or os.access("/run", os.W_OK)),
    reason="systemd-analyze is not installed, or this is a container's user: it makes /run/systemd where there is none",
)


@needs_systemd
def test_the_unit_is_valid(tmp_path: Path) -> None:
    """On this machine nothing is installed, so the copy that is checked starts another program."""
    unit = tmp_path / "pilah.service"
    unit.write_text(UNIT.read_text().replace("/opt/pilah/bin/pilah run", "/bin/true"))
    said = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert said.returncode == 0, said.stderr
    # Bookworm's systemd does without these two, and says so.
    strange = [
        line
        for line in said.stderr.splitlines()
        if "pilah.service" in line and "RestartSteps" not in line and "RestartMaxDelaySec" not in line
    ]
    assert not strange


@needs_systemd
def test_the_service_is_hardened() -> None:
    said = exposure(UNIT)
    assert said.returncode == 0, said.stdout + said.stderr


@needs_systemd
def test_the_check_of_hardening_can_fail(tmp_path: Path) -> None:
    softened = tmp_path / "pilah.service"
    softened.write_text(
        "".join(
            line for line in UNIT.read_text().splitlines(keepends=True) if "Protect" not in line and "=~" not in line
        )
    )
    assert exposure(softened).returncode != 0


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    """systemd counts exposure in tenths of its scale of 0 to 10."""
    return run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_AT_MOST * 10:.0f}", str(unit))


def test_a_hung_loop_is_restarted_and_a_slow_one_is_not() -> None:
    service = settings_of_the_unit()
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert int(service["WatchdogSec"].removesuffix("s")) >= 10 * BEATS_EVERY_S


@pytest.mark.parametrize("device", ["char-gpiochip", "char-video4linux", "char-media", "char-dma_heap"])
def test_camera_and_pins_stay_within_reach(device: str) -> None:
    assert f"DeviceAllow={device} rw" in UNIT.read_text()
    service = settings_of_the_unit()
    assert service["SupplementaryGroups"].split() == ["gpio", "video"]
    assert "PrivateDevices" not in service


def settings_of_the_unit() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pilah's own wheel; what it depends on is left out, because pip's work is not what is tested."""
    folder = tmp_path_factory.mktemp("wheels")
    said = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), ".")
    if said.returncode != 0:
        pytest.skip(f"No wheel can be built here: {said.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    root = tmp_path_factory.mktemp("installed") / "root"
    install(root, wheels)
    return root


def install(root: Path, wheels: Path) -> str:
    said = run("make", "install", f"DESTDIR={root}", f"WHEELS={wheels}", "PIP_ARGS=--no-deps", "PRESET=three-lids")
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_a_layout_that_there_is_not_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    said = run("make", "install", f"DESTDIR={tmp_path / 'root'}", "PRESET=nosuch")
    assert said.returncode != 0
    assert "PRESET is one of " in said.stdout and "three-lids" in said.stdout and "not nosuch" in said.stdout
    assert not (tmp_path / "root").exists()


def test_what_is_installed_names_the_place_where_it_will_lie(installed: Path) -> None:
    assert (installed / "opt/pilah/bin/pilah").read_text().startswith("#!/opt/pilah/bin/python")
    assert "include-system-site-packages = true" in (installed / "opt/pilah/pyvenv.cfg").read_text()
    assert (installed / "usr/local/bin/pilah").readlink() == Path("/opt/pilah/bin/pilah")
    assert "ExecStart=/opt/pilah/bin/pilah run" in (installed / "usr/lib/systemd/system/pilah.service").read_text()
    assert (installed / FACTORY).read_text() == preset_text("three-lids")
    texts = [path for path in (installed / "opt/pilah/bin").iterdir() if path.is_file() and not path.is_symlink()]
    assert texts
    assert not [path for path in texts if str(installed).encode() in path.read_bytes()]


def test_installing_twice_changes_nothing_and_uninstalling_keeps_configuration_and_history(
    tmp_path: Path, installed: Path, wheels: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(installed, root, symlinks=True)
    kept = {root / "etc/pilah/pilah.toml": "# mine", root / "var/lib/pilah/journal.db": "drops"}
    for path, text in kept.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    before = files(root)

    said = install(root, wheels)
    assert files(root) == before
    assert "stays as it is; for three-lids in its place: sudo pilah config init --preset three-lids --force" in said

    assert run("make", "uninstall", f"DESTDIR={root}").returncode == 0
    assert {path: path.read_text() for path in root.rglob("*") if not path.is_dir()} == kept


def test_wheels_for_a_pi_hold_this_checkout_not_a_strangers_package_of_its_name(tmp_path: Path, wheels: Path) -> None:
    registry, folder = tmp_path / "registry", tmp_path / "wheels"
    registry.mkdir()
    for name in ("pilah-99.0", "numpy-99.0"):
        with zipfile.ZipFile(registry / f"{name}-py3-none-any.whl", "w") as archive:
            about = f"{name}.dist-info"
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name[:5]}\nVersion: 99.0\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
    environment = ("-o", f"{sys.prefix}/.pilah", f"VENV={sys.prefix}")
    from_there = f"PIP_ARGS=--no-deps --no-index --find-links {registry}"
    said = run("make", "wheels", "FOR=trixie", "NUMPY_trixie=99.0", f"WHEELS={folder}", *environment, from_there)
    assert said.returncode == 0, said.stdout + said.stderr
    assert [path.name for path in folder.glob("pilah-*")] == [path.name for path in wheels.glob("pilah-*")]


def test_a_missing_folder_of_wheels_is_said_in_a_sentence(tmp_path: Path) -> None:
    said = run("make", "install", f"DESTDIR={tmp_path}/root", f"WHEELS={tmp_path}/nothing")
    assert said.returncode != 0
    assert f"There is no wheel of Pilah in {tmp_path}/nothing" in said.stdout
    assert not (tmp_path / "root").exists()


def test_a_card_without_room_is_told_before_the_program_is_taken_apart(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "df").write_text("#!/bin/sh\necho Avail; echo 5M\n")
    (tmp_path / "df").chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    said = run("env", path, "make", "install", f"DESTDIR={tmp_path}/root", f"WHEELS={wheels}", "PIP_ARGS=--no-deps")
    assert said.returncode != 0
    assert "Only 5 MB are free for /opt/pilah, and an install takes 500" in said.stdout
    assert not (tmp_path / "root/opt/pilah").exists()


def files(root: Path) -> dict[str, int]:
    """Path → mode of every file; what Python compiles for itself is left out."""
    return {
        str(path.relative_to(root)): path.lstat().st_mode
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
