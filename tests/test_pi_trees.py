"""Trees that are mounted and entered: whatever ends a run, nothing of it stays mounted, and nothing goes on in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pi import trees

GIVES_UP_AFTER_S = 60
# A merged /usr is a root with a shell; what runs there ignores Ctrl-C.
RUN = """
import sys
from pathlib import Path
from tests.pi import trees
trees.CACHE = Path(sys.argv[1])
trees.end_when_told()
with trees.layer_over(Path("/usr")) as root:
    for name in ("proc", "sys", "dev"):
        (root / name).mkdir()
    print(trees.in_tree(root, "test -c /dev/null; test -e /proc/self; test -d /sys/class; echo entered"), flush=True)
    trees.in_tree(root, "trap '' INT TERM; echo >/began; sleep 60 </dev/null; sleep 60")
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
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_no_device_to_whoever_removes_its_tree(number: int, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, tmp_path], cwd=trees.CHECKOUT, stdout=subprocess.PIPE)
    until_s = time.monotonic() + GIVES_UP_AFTER_S
    while not any(tmp_path.glob("layer.*/root/began")) and time.monotonic() < until_s:
        time.sleep(0.1)
    seen = mounted_in(tmp_path)
    process.send_signal(number)
    assert process.communicate()[0] == b"entered\n\n"
    assert [folder.name for folder in seen] == ["root"]
    assert not mounted_in(tmp_path)
    assert not list(tmp_path.iterdir())


def mounted_in(folder: Path) -> list[Path]:
    """What everybody on this machine sees mounted there."""
    places = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    return [place for place in places if place.is_relative_to(folder)]
