"""The wheels of a Raspberry Pi under QEMU's user-mode emulation: times mean nothing there, results do.

`make arm64` (`python -m tests.arm64`) puts an ARM64 Python, ONNX Runtime and NumPy into `.cache/arm64` without running
anything of it; it needs Debian's packages `mmdebstrap` and `qemu-user-static`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TREE = Path(__file__).parent.parent / ".cache" / "arm64"
EMULATOR = "qemu-aarch64-static"
_PACKAGES = "python3.11-minimal,libpython3.11-stdlib,libstdc++6,libgcc-s1,zlib1g"
_PYTHON = "usr/bin/python3.11"
_TIMEOUT_S = 280
_PROGRAM = """
import json, sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for picture in numpy.load(sys.argv[2]):
    print(json.dumps(session.run(["probabilities"], {"image": picture[None]})[0][0].tolist()), flush=True)
"""


@dataclass(frozen=True)
class Processor:
    """A processor that QEMU knows as `name`; `part` and `features` as Linux tells them in /proc/cpuinfo."""

    name: str
    part: str
    features: str

    def tell(self, tree: Path) -> None:
        """Write what ONNX Runtime reads of its processor, or it would read that of the machine outside."""
        system = tree / "sys" / "devices" / "system" / "cpu"
        system.mkdir(parents=True, exist_ok=True)
        for name in ("possible", "present", "online"):
            (system / name).write_text("0\n")
        (tree / "proc").mkdir(exist_ok=True)
        (tree / "proc" / "cpuinfo").write_text(
            f"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {self.part}\nCPU revision\t: 3\n\n"
        )


PI_4 = Processor("cortex-a72", "0xd08", "fp asimd evtstrm crc32 cpuid")
PI_5 = Processor(
    "cortex-a76", "0xd0b",
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
)  # fmt: skip


def what_is_missing() -> str | None:
    """Why nothing can be emulated here, or None."""
    if shutil.which(EMULATOR) is None:
        return f"needs {EMULATOR}: apt install qemu-user-static"
    return None if is_built() else "needs the ARM64 tree: make arm64"


def is_built() -> bool:
    """The tree is there."""
    return (TREE / _PYTHON).exists() and (TREE / "opt" / "py" / "onnxruntime").is_dir()


def build() -> None:
    """Fetch Debian's ARM64 Python and the wheels, half a minute; the old tree stays until the new one is whole."""
    part = TREE.with_name(f"{TREE.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["mmdebstrap", "--variant=extract", "--architectures=arm64", f"--include={_PACKAGES}", "bookworm", part],
        check=True,
    )
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in (34, 28, 27, 17)] + ["manylinux2014_aarch64", "any"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-compile",
         "--python-version=3.11", *(f"--platform={one}" for one in platforms), f"--target={part / 'opt' / 'py'}",
         "onnxruntime>=1.20,<2", "numpy>=2,<3"],
        check=True,
    )  # fmt: skip
    shutil.rmtree(TREE, ignore_errors=True)
    part.rename(TREE)


def emulate(
    processor: Processor, model: Path, pictures: Sequence[NDArray[np.uint8]], folder: Path
) -> NDArray[np.float32]:
    """(N, K) probabilities that `model` gives on an emulated processor for (S, S, 3) uint8 pictures."""
    done = run((EMULATOR,), processor, model, pictures, folder)
    return np.array([json.loads(line) for line in done.stdout.splitlines()], np.float32)


def run(
    emulator: Sequence[str | Path],
    processor: Processor,
    model: Path,
    pictures: Sequence[NDArray[np.uint8]],
    folder: Path,
) -> subprocess.CompletedProcess[str]:
    """A process in which `model` names the pictures on one thread; `emulator`: the program and its own options."""
    processor.tell(TREE)
    np.save(folder / "pictures.npy", np.stack(pictures))
    done = subprocess.run(
        [*emulator, "-cpu", processor.name, "-L", TREE, "-E", f"PYTHONHOME={TREE / 'usr'}",
         "-E", f"PYTHONPATH={TREE / 'opt' / 'py'}", "-E", "OPENBLAS_NUM_THREADS=1", TREE / _PYTHON,
         "-c", _PROGRAM, model, folder / "pictures.npy"],
        capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    return done


def main() -> None:
    """Make the tree anew; says why not where a tool is missing."""
    if missing := [tool for tool in ("mmdebstrap", EMULATOR) if shutil.which(tool) is None]:
        print(f"make arm64: skipped, {', '.join(missing)} not installed.")
        return
    build()


if __name__ == "__main__":
    main()
