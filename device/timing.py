"""Time models side by side: each in a process of its own, a few runs at a turn, so that all meet the same weather.

`python -m device.timing FACTORY PATH THREADS` is such a process. `FACTORY` names a `module:function`; called
with the path and the number of threads, it imports what it needs and gives a function that loads the model, which gives
a function that names one picture. The process tells in a line of JSON how long that took, then, for each number that it
reads, how long so many pictures took.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.errors import BenchError

Run = Callable[[], object]
Load = Callable[[], Run]
_STATUS = Path("/proc/self/status")
_REST_S = 0.02
"""After a run, threads of the one before wait actively for a moment; nobody's turn should begin beside them."""


@dataclass(frozen=True)
class Memory:
    """Of a whole process, in MB (10⁶ bytes): `resident_mb` now, `peak_mb` at most."""

    resident_mb: float
    peak_mb: float


class Timed:
    """One model in a process of its own.

    >>> with Timed("device.timing:bundle", Path("models/default.onnx"), threads=2) as timed:    # doctest: +SKIP
    ...     timed.turn(5), timed.load_ms, timed.memory

    Parameters
    ----------
    factory:
        `module:function` that loads the model at `path`.
    threads:
        cores that a run may use.

    `load_ms`: from opening the file to the first answer; `start_ms`: from starting the process, its imports included.
    `memory`: after the last turn. Raises `BenchError` where the model cannot be loaded or run.
    """

    def __init__(self, factory: str, path: Path, threads: int) -> None:
        self._name = factory
        began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.timing", factory, str(path), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        told = self._hear()
        self.start_ms = 1000 * (time.perf_counter() - began_s)
        self.load_ms: float = told["load_ms"]
        self.memory = Memory(**told["memory"])

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def turn(self, runs: int) -> list[float]:
        """Run so many times; milliseconds of each."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{runs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process ended; _hear says why
        told = self._hear()
        self.memory = Memory(**told["memory"])
        times_ms: list[float] = told["times_ms"]
        return times_ms

    def close(self) -> None:
        """End the process; a second time is fine."""
        self._process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            last = errors.strip().splitlines()[-1] if errors.strip() else f"it ended with {self._process.returncode}"
            raise BenchError(f"{self._name} cannot be timed: {last[:200].rstrip('.')}.")
        told: dict[str, Any] = json.loads(line)
        return told


def bundle(path: Path, threads: int) -> Load:
    """The device's own way to name what is in a picture: the whole classifier, on a picture of the bundle's size."""
    import numpy as np

    from device.bundle import Bundle
    from device.classifier import Classifier

    def load() -> Run:
        classifier = Classifier(Bundle.open(path, threads))
        side = classifier.bundle.contract.preprocess.resize_short
        picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        return lambda: classifier.observe(picture)

    return load


def memory() -> Memory:
    """What this process takes."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return Memory(*(int(lines[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM")))


def _serve(factory: str, path: Path, threads: int) -> None:
    # What libraries print goes to standard error: standard output carries the answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**values: Any) -> None:
        answers.write(json.dumps({**values, "memory": vars(memory())}) + "\n")
        answers.flush()

    module, _, name = factory.partition(":")
    make: Callable[[Path, int], Load] = getattr(importlib.import_module(module), name)
    load = make(path, threads)
    began_s = time.perf_counter()
    run = load()
    run()
    tell(load_ms=1000 * (time.perf_counter() - began_s))
    for line in sys.stdin:
        time.sleep(_REST_S)
        times_ms = []
        for _ in range(int(line)):
            began_s = time.perf_counter()
            run()
            times_ms.append(1000 * (time.perf_counter() - began_s))
        tell(times_ms=times_ms)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
