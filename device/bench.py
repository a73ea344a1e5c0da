"""`pilah bench`: how fast, how large and how soon ready a bundle is on this machine, and its peers beside it."""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np

from device.bundle import Bundle
from device.config import read_config
from device.counting import counted
from device.errors import BenchError, PilahError
from device.model import model_path
from device.options import config_option, json_option
from device.processor import processor_name
from device.timing import Timed

log = logging.getLogger(__name__)

OURS = "pilah"
PEERS = "export.peers"
"""The module that makes the peers; it comes with the extra `training`, and `device/` does without it."""
WARM_UP = 3


@dataclass(frozen=True)
class Contestant:
    """A model to time. `factory`: `module:function` that loads the file at `path` (device/timing.py)."""

    name: str
    factory: str
    path: Path


@dataclass(frozen=True)
class LeftOut:
    """A peer that could not be made or run, and why."""

    name: str
    why: str


class Peers(Protocol):
    """What the module of the peers offers."""

    def make_peers(self, bundle: Path, folder: Path, run_folder: Path | None) -> Iterable[Contestant | LeftOut]: ...


@dataclass(frozen=True)
class Row:
    """One model on so many threads. `p50_ms`, `p95_ms`: of a picture, warm; the rest as in `Timed` and `Memory`."""

    name: str
    threads: int
    p50_ms: float
    p95_ms: float
    load_ms: float
    start_ms: float
    resident_mb: float
    peak_mb: float
    file_mb: float


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="The bundle to time; default: the bin's own.")
@config_option
@click.option("--threads", multiple=True, type=click.IntRange(1), help="Threads, repeatable; default: 1, 2, 4… cores.")
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1), help="Turns that each model gets.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="Pictures in a turn.")
@click.option("--peers/--no-peers", default=None, help="Time other runtimes too; default: where they are installed.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Peers from this training's checkpoint.")
@json_option
def bench(
    model: Path | None,
    config_file: Path | None,
    threads: tuple[int, ...],
    rounds: int,
    runs: int,
    peers: bool | None,
    run_folder: Path | None,
    as_json: bool,
) -> None:
    """Time a bundle on this machine: latency by threads, load time, memory, size.

    With the extra `training` the same network is timed in other runtimes too, each in a process of its own, in turns.
    """
    if peers is False and run_folder is not None:
        raise click.UsageError("--run makes peers and --no-peers leaves them out: give one of them.")
    path = model_path(read_config(config_file), model)
    version = Bundle.open(path).contract.version
    ours = Contestant(OURS, "device.timing:bundle", path)
    counts = sorted(set(threads)) or default_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="pilah-bench-") as folder:
        made = [] if peers is False else _make_peers(path, Path(folder), run_folder, must=bool(peers))
        contestants = [ours, *(one for one in made if isinstance(one, Contestant))]
        left_out = [one for one in made if isinstance(one, LeftOut)]
        rows: list[Row] = []
        for count in counts:
            log.info("%s on %s, %s", *map(counted, (len(contestants), count, rounds), ("model", "thread", "round")))
            measured, failed = time_in_turns(contestants, count, rounds, runs)
            rows += measured
            left_out += [one for one in failed if one not in left_out]
    told = {
        "machine": describe_machine(),
        "bundle": str(path),
        "version": version,
        "rows": [asdict(row) for row in rows],
        "times_ours": ratios(rows),
        "left_out": [asdict(one) for one in left_out],
    }
    click.echo(json.dumps(told, ensure_ascii=False) if as_json else "\n".join(table(told)))


def default_threads(cores: int) -> list[int]:
    """1, 2, 4 … and all cores."""
    return sorted({count for count in (1, 2, 4, 8) if count < cores} | {cores})


def time_in_turns(
    contestants: Sequence[Contestant], threads: int, rounds: int, runs: int
) -> tuple[list[Row], list[LeftOut]]:
    """Rows of those that run, in order, and what failed. Raises `BenchError` where the bundle itself does not run."""
    times_ms: dict[str, list[float]] = {}
    failed: list[LeftOut] = []
    timed: dict[str, Timed] = {}

    @contextmanager
    def leaving_out(name: str) -> Iterator[None]:
        """The others go on without one that fails, unless it is the bundle itself."""
        try:
            yield
        except BenchError as fault:
            if name == OURS:
                raise
            timed.pop(name, None)
            failed.append(LeftOut(name, str(fault)))

    with ExitStack() as stack:
        for one in contestants:
            with leaving_out(one.name):
                timed[one.name] = stack.enter_context(Timed(one.factory, one.path, threads))
                timed[one.name].turn(WARM_UP)
        for _ in range(rounds):
            for name, process in list(timed.items()):
                with leaving_out(name):
                    times_ms.setdefault(name, []).extend(process.turn(runs))
        return [
            _row(one, threads, times_ms[one.name], timed[one.name]) for one in contestants if one.name in timed
        ], failed


def _row(one: Contestant, threads: int, times_ms: list[float], timed: Timed) -> Row:
    return Row(
        name=one.name,
        threads=threads,
        p50_ms=round(statistics.median(times_ms), 2),
        p95_ms=round(percentile(times_ms, 0.95), 2),
        load_ms=round(timed.load_ms, 1),
        start_ms=round(timed.start_ms, 1),
        resident_mb=round(timed.memory.resident_mb, 1),
        peak_mb=round(timed.memory.peak_mb, 1),
        file_mb=round(_size(one.path) / 1e6, 2),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a `share` of the values does not exceed (nearest rank)."""
    return float(np.percentile(values, 100 * share, method="inverted_cdf"))


def ratios(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """By threads, how many times the bundle's median each peer's is."""
    ours = {row.threads: row.p50_ms for row in rows if row.name == OURS}
    told: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.name != OURS:
            told.setdefault(str(row.threads), {})[row.name] = round(row.p50_ms / ours[row.threads], 2)
    return told


def _make_peers(path: Path, folder: Path, run_folder: Path | None, must: bool) -> list[Contestant | LeftOut]:
    try:
        module: Peers = importlib.import_module(PEERS)
    except ImportError as fault:
        if must:
            raise BenchError(
                f"The peers need the extra `training` ({fault}): in the checkout, pip install -e '.[training]'."
            ) from fault
        return [LeftOut("all peers", "the extra `training` is not installed")]
    log.info("Making the peers from %s", run_folder or path)
    try:
        with _silent_output():
            return list(module.make_peers(path, folder, run_folder))
    except PilahError as fault:
        if must or run_folder is not None:
            raise
        return [LeftOut("all peers", str(fault))]


@contextmanager
def _silent_output() -> Iterator[None]:
    """Converters talk by the hundred lines, past Python; what they cannot convert is told by `LeftOut`."""
    sys.stdout.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for stream, back in zip((1, 2), kept, strict=True):
            os.dup2(back, stream)
        for descriptor in (nowhere, *kept):
            os.close(descriptor)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*"))


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import onnxruntime

    return {
        "processor": processor_name(), "architecture": platform.machine(), "cores": os.cpu_count(),
        "system": platform.platform(terse=True), "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__, "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def table(told: dict[str, Any]) -> Iterable[str]:
    """The figures as Markdown, for people."""
    machine = told["machine"]
    yield (
        f"Bundle {told['version']} on {machine['processor']}, {counted(machine['cores'], 'core')}, "
        f"{machine['system']}, ONNX Runtime {machine['onnxruntime']}, load {machine['load']}"
    )
    yield ""
    yield "| model | threads | p50 ms | p95 ms | times ours | load ms | with imports ms | RSS MB | peak MB | file MB |"
    yield "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    for row in told["rows"]:
        times = told["times_ours"].get(str(row["threads"]), {}).get(row["name"], 1.0)
        yield (
            f"| {row['name']} | {row['threads']} | {row['p50_ms']:.1f} | {row['p95_ms']:.1f} | {times:.2f} "
            f"| {row['load_ms']:.0f} | {row['start_ms']:.0f} | {row['resident_mb']:.0f} "
            f"| {row['peak_mb']:.0f} | {row['file_mb']:.1f} |"
        )
    for one in told["left_out"]:
        yield ""
        yield f"Left out: {one['name']}: {one['why']}"
