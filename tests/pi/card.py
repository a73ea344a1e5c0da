"""The card of the emulated Pi: Debian for arm64 with Pilah installed by `make install`, and photos to drop."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.config import edit_config
from tests.pi import trees

PACKAGES = ("linux-image-arm64",)
INITRD = {
    "/etc/initramfs-tools/conf.d/pi": "MODULES=list\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n",
    "/usr/share/initramfs-tools/modules.d/pi": "bcm2835\nsdhci_iproc\nmmc_block\next4\n",
}
"""Only what finds the card: all of Debian's modules take minutes to pack, and a minute of each boot to unpack."""
PHOTOS = Path("/srv/photos")
SIZE = "4G"
"""A power of two, as QEMU wants of a card."""
LGPIO = "lgpio-0.2.2.0"
REVISION = "a02082"
"""A Pi 3 B of 1 GB, for gpiozero: what a real one's firmware writes into the device tree."""
UNUSED = ("/soc/mmc@7e300000", "/wifi-pwrseq", "/soc/usb@7e980000")
"""What QEMU does not have and Linux would wait for."""
PATIENCE = "[Service]\nWatchdogSec=45s\nTimeoutStartSec=15min\nTimeoutStopSec=60s\n"
"""An emulated Pi is some 20 times slower than a real one."""
SETTINGS = {
    "camera.source": f"images:{PHOTOS}",
    "camera.rate_hz": 5.0,
    "camera.lies_at_most_s": 120.0,
    "camera.lost_after_s": 60.0,
    "decision.frames_at_least": 1,
    "decision.frames_at_most": 1,
}
HOLD_S = 4.0
_CONSOLE = """[Service]
ExecStart=
ExecStart=-/bin/bash --noprofile --norc --noediting
Restart=always
"""
# Instead of systemd, which would make a boot a minute longer.
_POWERCUT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
exec /opt/pilah/bin/python /srv/writer.py
"""


@dataclass(frozen=True)
class Card:
    """The image, and what the firmware of a Pi would load."""

    image: Path
    kernel: Path
    initrd: Path
    tree: Path


def made() -> Card:
    """Where the card lies that was made last."""
    folder = trees.CACHE / "card"
    return Card(folder / "card.img", folder / "vmlinuz", folder / "initrd.img", folder / "pi3.dtb")


def build(photos: Mapping[str, Path], compartments: Sequence[str]) -> Card:
    """Make the card anew with those photos (name on the card → file); tree and wheels come from the cache."""
    wheels = trees.wheels_for("arm64")
    shutil.copy2(_lgpio(), wheels)
    system = trees.debian_tree("arm64", PACKAGES, INITRD)
    trees.run_foreign_programs()
    if not (system / "opt" / "pilah").exists():
        trees.carry_checkout(system, wheels)
        trees.in_tree(system, trees.install_command())
    card = made()
    card.image.parent.mkdir(exist_ok=True)
    with trees.layer_over(system) as root:
        trees.carry_checkout(root, wheels)
        trees.in_tree(root, trees.install_command())
        _configure(root, photos, compartments)
        shutil.copy2(next((root / "boot").glob("vmlinuz-*")), card.kernel)
        shutil.copy2(next((root / "boot").glob("initrd.img-*")), card.initrd)
        shutil.copy2(next((root / "usr/lib").glob("linux-image-*/broadcom/bcm2837-rpi-3-b.dtb")), card.tree)
        part = card.image.with_suffix(".part")
        for old in (part, card.image):
            old.unlink(missing_ok=True)
        trees.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", root, part, SIZE)
    trees.run("fdtput", "-p", "-t", "x", card.tree, "/system", "linux,revision", REVISION)
    for node in UNUSED:
        trees.run("fdtput", "-t", "s", card.tree, node, "status", "disabled")
    part.rename(card.image)
    return card


def _lgpio() -> Path:
    """lgpio's wheel for the card's Python, compiled on this machine once: Raspberry Pi OS has it, Debian has not.

    The linker finds the C library below /lib, which is base-files' link to usr/lib.
    """
    wheel = trees.CACHE / f"{LGPIO}-cp313-cp313-linux_aarch64.whl"
    if wheel.exists():
        return wheel
    trees.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=trees.CACHE, prefix="lgpio.") as name:
        folder = Path(name)
        source, headers = folder / LGPIO, folder / "headers"
        trees.run(
            *trees.APART,
            *("mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64"),
            *("--include=base-files,libpython3.13-dev", trees.RELEASE, headers),
        )
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "lgpio")
        trees.run(*pip, "--dest", folder, LGPIO.replace("-", "=="))
        shutil.unpack_archive(folder / f"{LGPIO}.tar.gz", folder)
        trees.run("swig", "-python", f"-I{source}", "-o", source / "lgpio_wrap.c", source / "lgpio.i")
        module = source / "_lgpio.cpython-313-aarch64-linux-gnu.so"
        sources = [*sorted(source.glob("src/lg*.c")), source / "src" / "rgpiod.c", source / "lgpio_wrap.c"]
        trees.run(
            *("aarch64-linux-gnu-gcc", f"--sysroot={headers}", "-shared", "-fPIC", "-O2", "-pthread", "-w"),
            *("-I", source / "src", "-I", headers / "usr/include/python3.13", *sources, "-o", module),
        )
        _pack(wheel, (module, source / "lgpio.py"), (source / "PKG-INFO").read_text())
    return wheel


def _pack(wheel: Path, files: Sequence[Path], metadata: str) -> None:
    """Write a wheel of those files at its root; its name's end is its tag."""
    about = f"{LGPIO}.dist-info"
    tag = wheel.stem.removeprefix(f"{LGPIO}-")
    texts = {
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    part = wheel.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as archive:
        for file in files:
            archive.write(file, file.name)
        for name, text in texts.items():
            archive.writestr(name, text)
        names = (*(file.name for file in files), *texts, f"{about}/RECORD")
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in names))
    part.rename(wheel)


def _configure(root: Path, photos: Mapping[str, Path], compartments: Sequence[str]) -> None:
    (root / "etc/fstab").write_text("LABEL=rootfs / ext4 noatime 0 1\n")
    (root / "etc/hostname").write_text("pilah\n")
    _write(root / "etc/systemd/system/serial-getty@ttyS1.service.d/shell.conf", _CONSOLE)
    _write(root / "etc/systemd/system/pilah.service.d/patience.conf", PATIENCE)
    target = root / PHOTOS.relative_to("/")
    target.mkdir(parents=True)
    for name, file in photos.items():
        shutil.copy2(file, target / name)
        (target / name).chmod(0o644)
    shutil.copy2(Path(__file__).parent / "writer.py", root / "srv")
    _write(root / "srv" / "powercut.sh", _POWERCUT)
    (root / "srv" / "powercut.sh").chmod(0o755)
    holds = {f"compartments.{name}.hold_s": HOLD_S for name in compartments}
    edit_config(root / "etc/pilah/pilah.toml", {**SETTINGS, **holds})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
