"""Debian trees and wheels, made once and kept in .cache/pi; and the checkout that is installed from them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from device.errors import PilahError

CHECKOUT = Path(__file__).parent.parent.parent
CACHE = CHECKOUT / ".cache" / "pi"
RELEASE = "trixie"
SYSTEM = ("systemd", "systemd-sysv", "dbus", "udev", "python3", "python3-venv", "make")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's name of an architecture → the kernel's and Python's."""
LEAN = (
    "force-unsafe-io",
    *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")),
)
"""For dpkg: these trees are thrown away rather than repaired, and nobody reads their manuals."""
IN_GUEST = Path("/root/pilah")
"""Where the guest finds the checkout, with the wheels in `wheels`."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""What a command mounts and starts goes with it, however it ends."""


def why_not(tools: Iterable[str]) -> str | None:
    """Why this machine cannot run it, in a sentence; None where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it needs root on Linux: sudo make nspawn, sudo make pi"
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not installed (docs/emulated-pi.md tells what to install)"
    try:
        run("unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "true")
    except RuntimeError:
        return "this machine lets root make no namespaces (a container of its own?)"
    return None


def run(*command: str | Path, quiet: bool = True, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end and give what it printed; a failure is raised with what it said."""
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment
    )
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {(result.stderr or result.stdout)[-2000:]}")
    if not quiet:
        print(result.stdout, end="")
    return result.stdout


def debian_tree(architecture: str, more: Sequence[str] = (), files: Mapping[str, str] | None = None) -> Path:
    """A bootable Debian with Python and make; takes minutes once. `files` (path → text) lie there before packages."""
    tree = CACHE / f"{RELEASE}-{architecture}"
    if not tree.exists():
        part = tree.with_name(f"{tree.name}.part")
        remove_tree(part)
        part.parent.mkdir(parents=True, exist_ok=True)
        if architecture != "amd64":
            run_foreign_programs()
        packages = ",".join((*SYSTEM, *more))
        options = [f"--dpkgopt={option}" for option in LEAN]
        with tempfile.TemporaryDirectory() as folder:
            for path, text in (files or {}).items():
                local = Path(folder, path.lstrip("/"))
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_text(text)
            options += [f'--setup-hook=cp -r {folder}/. "$1"']
            run(
                *APART,
                *("mmdebstrap", "--quiet", f"--architectures={architecture}", "--variant=minbase"),
                *(*options, f"--include={packages}", RELEASE, part),
            )
        part.rename(tree)
    return tree


def run_foreign_programs() -> None:
    """Have the kernel hand arm64 programs to QEMU, as binfmt-support does on a machine that boots."""
    if not (BINFMT / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_bytes(Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes().strip())


def wheels_for(architecture: str) -> Path:
    """The folder that `make wheels` fills for that architecture, with Pilah itself as it is in this checkout.

    What Pilah needs is fetched again only after pyproject.toml has changed.
    """
    folder = CACHE / f"wheels-{architecture}"
    stamp, wanted = folder / "pyproject.sha256", hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        wheel = next(folder.glob("pilah-*.whl"), None)
        if wheel is not None and wheel.stat().st_mtime > _newest_change():
            return folder
        if wheel is not None:
            wheel.unlink()
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CHECKOUT)
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    machine = f"ARCH={MACHINES[architecture]}"
    run("make", "wheels", f"FOR={RELEASE}", machine, f"WHEELS={folder}", environment=environment)
    stamp.write_text(wanted)
    return folder


def _newest_change() -> float:
    """When a file that goes into Pilah's wheel was changed last; git tells root nothing of another's checkout."""
    files = [CHECKOUT / "pyproject.toml"]
    for folder in ("device", "training", "export", "models"):
        files += (path for path in (CHECKOUT / folder).rglob("*.*") if path.is_file() and path.suffix != ".pyc")
    return max(file.stat().st_mtime for file in files)


def carry_checkout(root: Path, wheels: Path) -> None:
    """Lay into a tree what a maintainer would carry to a Pi without internet: the checkout and the wheels."""
    target = root / IN_GUEST.relative_to("/")
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(CHECKOUT / name, target)
    for name in ("systemd", "device/config"):
        shutil.copytree(CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(wheels, target / "wheels")


def install_command() -> str:
    """What the maintainer types in the guest."""
    return f"make -C {IN_GUEST} install WHEELS={IN_GUEST}/wheels"


def in_tree(root: Path, command: str) -> str:
    """Run a shell command in a tree that is not booted.

    It sees its tree's /dev, which is this machine's own, in a namespace that goes with it: were it mounted for all, an
    interrupted run would leave it to whoever removes the tree.
    """
    plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    mounts = (("proc", "proc"), ("sysfs", "sys"), ("devtmpfs", "dev"))
    enter = "; ".join(f'mount -t {kind} {kind} "$0/{folder}"' for kind, folder in mounts)
    return run(*APART, "sh", "-ec", f'{enter}; exec chroot "$0" sh -ec "$1"', root, command, environment=plain)


@contextlib.contextmanager
def layer_over(tree: Path) -> Iterator[Path]:
    """The tree with a layer over it that takes all changes and is thrown away."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="layer.") as folder:
        root, upper, work = (Path(folder) / name for name in ("root", "upper", "work"))
        for path in (root, upper, work):
            path.mkdir()
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={tree},upperdir={upper},workdir={work}", root)
        try:
            yield root
        finally:
            # Lazily: whatever may still run in it, the folder is removed next, and never through a mount.
            run("umount", "--lazy", root)


def as_command(name: str, main: Callable[[], int]) -> int:
    """`main` as a command; where a tool fails or somebody ends it, it says so and what goes on from there."""
    end_when_told()
    goes_on = f"The same command goes on with what is whole in {CACHE}."
    try:
        return main()
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted. {goes_on}")
        return 128 + signal.SIGINT
    except (PilahError, RuntimeError, OSError) as fault:
        print(f"{name}: {fault}\n{goes_on}")
        return 1


def end_when_told() -> None:
    """SIGTERM and a closed terminal end a run as Ctrl-C does: what it has started and mounted ends first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def remove_tree(tree: Path) -> None:
    """Remove a tree, but never through something that is still mounted in it."""
    if any(line.split()[1].startswith(f"{tree}/") for line in Path("/proc/mounts").read_text().splitlines()):
        raise RuntimeError(f"Something is still mounted in {tree}; umount it first.")
    if tree.exists():
        shutil.rmtree(tree)
