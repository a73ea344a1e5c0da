"""Trees that are mounted and entered: whatever ends a run, nothing of it stays mounted, and nothing goes on in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pi import trees
from tests.pi.trees import CHECKOUT

GIVES_UP_AFTER_S = 60
BEGIN = """
import signal, sys
from pathlib import Path
from tests.pi import trees
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have it ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
trees.CACHE = Path(sys.argv[1])
trees.end_when_told()
"""
# A merged /usr is a root with a shell; what runs there ignores Ctrl-C.
ENTER = """
with trees.layer_over(Path("/usr")) as root:
    for name in ("proc", "sys", "dev"):
        (root / name).mkdir()
    print(trees.in_tree(root, "test -c /dev/null; test -e /proc/self; test -d /sys/class; echo entered"), flush=True)
    trees.in_tree(root, "trap '' INT TERM; echo >/began; sleep 60 </dev/null; sleep 60")
"""
MAKE = "trees.debian_tree('amd64')"
# Mounts and goes on as mmdebstrap does, when the signal did not reach it.
MMDEBSTRAP = """#!/bin/sh
trap '' INT TERM HUP
for part; do :; done
mkdir -p "$part/proc" && mount -t proc proc "$part/proc" && touch "${part%/*}/began"
sleep 60
sleep 60
"""
reason = trees.why_not(("mount", "unshare", "chroot"))


PROBE = """
cd "$0" && mkdir root upper work
mount -t overlay overlay -o lowerdir=/usr,upperdir="$0/upper",workdir="$0/work" root
mkdir root/dev && mount -t devtmpfs devtmpfs root/dev
"""


@pytest.fixture
def may_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where root may make namespaces but mount nothing in them."""
    try:
        trees.run("unshare", "--mount", "sh", "-ec", PROBE, tmp_path_factory.mktemp("probe"))
    except RuntimeError as fault:
        pytest.skip(f"this machine mounts no overlay, or no devices: {fault}")


@pytest.mark.skipif(reason is not None, reason=str(reason))
@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_leaves_no_device_to_whoever_removes_its_tree(number: int, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", BEGIN + ENTER, tmp_path], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert wait_until(lambda: any(tmp_path.glob("layer.*/root/began")))
    seen = mounted_in(tmp_path)
    process.send_signal(number)
    assert process.communicate()[0] == b"entered\n\n"
    assert [folder.name for folder in seen] == ["root"]
    assert not mounted_in(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(reason is not None, reason=str(reason))
@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_debian_that_is_ended_half_made_leaves_nothing_mounted_and_nothing_running(
    number: int, tmp_path: Path
) -> None:
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    (tmp_path / "mmdebstrap").chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen([sys.executable, "-c", BEGIN + MAKE, tmp_path], cwd=CHECKOUT, env=path)
    assert wait_until((tmp_path / "began").exists)
    process.send_signal(number)
    process.wait(GIVES_UP_AFTER_S)
    assert not mounted_in(tmp_path)
    assert wait_until(lambda: not running_with(tmp_path)), "it is ended with its parent, which takes a moment"


def test_a_tool_that_fails_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def make() -> int:
        trees.run("sh", "-c", "echo the mirror cannot be reached >&2; exit 3")
        return 0

    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert trees.as_command("make pi", make) == 1
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    said = capsys.readouterr().out
    assert said.startswith("make pi: sh -c ") and "failed: the mirror cannot be reached" in said
    assert "The same command goes on" in said


def wait_until(is_so: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + GIVES_UP_AFTER_S
    while not is_so() and time.monotonic() < until_s:
        time.sleep(0.1)
    return is_so()


def running_with(folder: Path) -> list[bytes]:
    """The command lines that name the folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes())
    return [line for line in lines if str(folder).encode() in line]


def mounted_in(folder: Path) -> list[Path]:
    """What everybody on this machine sees mounted there."""
    places = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    return [place for place in places if place.is_relative_to(folder)]
