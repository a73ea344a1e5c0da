"""The service's unit, and `make install`: what a maintainer is promised."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from device.config import preset_text
from device.health import BEATS_EVERY_S

CHECKOUT = Path(__file__).parent.parent
UNIT = CHECKOUT / "systemd" / "pilah.service"
EXPOSURE_AT_MOST = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


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
    pip = ("python3", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), ".")
    said = run(*pip)
    if said.returncode != 0:
        pytest.skip(f"No wheel can be built here: {said.stderr.strip().splitlines()[-1]}")
    return folder


def test_installing_twice_changes_nothing_and_uninstalling_keeps_configuration_and_history(
    tmp_path: Path, wheels: Path
) -> None:
    root = tmp_path / "root"
    install = ("make", "install", f"DESTDIR={root}", f"WHEELS={wheels}", "PIP_ARGS=--no-deps")
    first = run(*install)
    assert first.returncode == 0, first.stdout + first.stderr
    config = root / "etc" / "pilah" / "pilah.toml"
    assert config.read_text() == preset_text()
    config.write_text("# mine\n")
    history = root / "var" / "lib" / "pilah" / "journal.db"
    history.parent.mkdir(parents=True)
    history.write_text("drops")
    files = installed(root)

    second = run(*install)
    assert second.returncode == 0, second.stdout + second.stderr
    assert installed(root) == files
    assert config.read_text() == "# mine\n"

    assert run("make", "uninstall", f"DESTDIR={root}").returncode == 0
    left = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert left == {"etc/pilah/pilah.toml", "var/lib/pilah/journal.db"}


def test_what_is_installed_names_the_place_where_it_will_lie(tmp_path: Path, wheels: Path) -> None:
    root = tmp_path / "root"
    said = run("make", "install", f"DESTDIR={root}", f"WHEELS={wheels}", "PIP_ARGS=--no-deps", "PRESET=three-lids")
    assert said.returncode == 0, said.stdout + said.stderr
    assert (root / "opt/pilah/bin/pilah").read_text().startswith("#!/opt/pilah/bin/python")
    assert "include-system-site-packages = true" in (root / "opt/pilah/pyvenv.cfg").read_text()
    assert (root / "usr/local/bin/pilah").readlink() == Path("/opt/pilah/bin/pilah")
    assert "ExecStart=/opt/pilah/bin/pilah run" in (root / "usr/lib/systemd/system/pilah.service").read_text()
    assert (root / "etc/pilah/pilah.toml").read_text() == preset_text("three-lids")
    for folder in ("bin", "lib"):
        texts = [path for path in (root / "opt/pilah" / folder).glob("*") if path.is_file()]
        assert not [path for path in texts if str(root).encode() in path.read_bytes()]


def test_a_missing_folder_of_wheels_is_said_in_a_sentence(tmp_path: Path) -> None:
    said = run("make", "install", f"DESTDIR={tmp_path}/root", f"WHEELS={tmp_path}/nothing")
    assert said.returncode != 0
    assert f"There is no wheel of Pilah in {tmp_path}/nothing" in said.stdout
    assert not (tmp_path / "root").exists()


def installed(root: Path) -> dict[str, int]:
    """Path → mode of all files below."""
    return {
        str(path.relative_to(root)): path.lstat().st_mode
        for path in root.rglob("*")
        if path.is_file() and path.name != "direct_url.json" and "__pycache__" not in path.parts
    }


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
