"""How many instructions a picture takes on ARM64, counted by an emulator that is built for it.

`make arm64-count` (`python -m tests.arm64_count`) fetches Debian's source package of QEMU into `.cache/qemu` and builds
its user-mode emulator with plugins, which Debian's binary package lacks, and `howvec`, QEMU's plugin that counts
instructions by kind. That takes minutes once. Then the float network, the plain INT8 recipes and the bundle each name
pictures on an emulated Pi 4 and Pi 5, one thread. What a process takes to start cancels: two differ by some pictures.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.bench import OURS, Contestant
from device.bundle import Bundle
from export.plot import PAGE, insert
from export.runtimes import picture
from tests import arm64
from tests.pi.trees import run

FOLDER = arm64.TREE.parent / "qemu"
EMULATOR = FOLDER / "build" / "qemu-aarch64"
PLUGIN = FOLDER / "build" / "howvec.so"
MODEL = Path(__file__).parents[1] / "models" / "default.onnx"
PICTURES = 2
_TOOLS = {
    "apt-get": "apt", "dpkg-source": "dpkg-dev", "cc": "gcc", "meson": "meson", "ninja": "ninja-build",
    "pkg-config": "pkg-config", "mmdebstrap": "mmdebstrap",
}  # fmt: skip
_TABLE_OF_KINDS = "aarch64_insn_classes[] = {"


@dataclass(frozen=True)
class Kind:
    """Instructions whose word has the bits `pattern` where `mask` is set (Arm Architecture Reference Manual, C4)."""

    name: str
    mask: int
    pattern: int


KINDS = (
    *(Kind(f"{sign}{name}", mask, pattern | (sign == "U") << 29)
      for name, mask, pattern in (
          ("DOT", 0xBFE0FC00, 0x0E809400), ("DOT", 0xBFC0F400, 0x0F80E000),  # of vectors; by element
          ("MULL", 0xBF20FC00, 0x0E20C000), ("MLAL", 0xBF20FC00, 0x0E208000), ("ADALP", 0xBF3FFC00, 0x0E206800),
      ) for sign in "SU"),
    Kind("FMLA", 0xBFA0FC00, 0x0E20CC00), Kind("FMLA", 0xBF80F400, 0x0F801000),
)  # fmt: skip
"""What multiplies and adds; `howvec` knows all of them as `Scalar FP`."""
VECTOR, MEMORY, REST = "other vector, float", "load, store", "rest"
COLUMNS = tuple(dict.fromkeys((*(kind.name for kind in KINDS), VECTOR, MEMORY, REST)))
ALL = frozenset(COLUMNS)

Counts = Mapping[str, float]
"""Instructions of a picture by column."""


@dataclass(frozen=True)
class Limit:
    """At most so many instructions of these kinds start in a cycle."""

    kinds: frozenset[str]
    a_cycle: int


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi with four cores. `limits`: of each, by Arm's Software Optimization Guides (performance.md)."""

    name: str
    processor: arm64.Processor
    clock_ghz: float
    limits: tuple[Limit, ...]


BOARDS = (
    Board("Pi 4", arm64.PI_4, 1.5, (
        Limit(ALL, 3), Limit(frozenset(("SMULL", "SMLAL", "UMULL", "UMLAL")), 1), Limit(frozenset(("FMLA",)), 1),
        Limit(frozenset(("SADALP", "UADALP")), 1), Limit(ALL - {MEMORY, REST}, 2),
    )),
    Board("Pi 5", arm64.PI_5, 2.4, (Limit(ALL, 4), Limit(ALL - {MEMORY, REST}, 2))),
)  # fmt: skip


def least_cycles(counts: Counts, limits: Iterable[Limit]) -> float:
    """Fewer cycles than this no core with these limits can take."""
    return max(sum(counts.get(kind, 0) for kind in limit.kinds) / limit.a_cycle for limit in limits)


def parse(report: str) -> Counter[str]:
    """Instructions by column from what `howvec` printed; raises `ValueError` where it counted nothing."""
    counts: Counter[str] = Counter()
    for name, hits in re.findall(r"^Class: +(.+?)\s*\((\d+) hits\)$", report, re.MULTILINE):
        counts[_column(name)] += int(hits)
    if not counts:
        raise ValueError(f"howvec counted nothing: {report[-200:]}")
    return counts


def _column(name: str) -> str:
    if name in COLUMNS:
        return name
    if name == "Scalar FP":
        return VECTOR
    return MEMORY if "ldst" in name or name.startswith("Load") else REST


def a_picture(few: Counts, many: Counts, more: int) -> Counts:
    """What a picture takes, where `many` counts a process that named so many `more` than that of `few`."""
    return {column: (many.get(column, 0) - few.get(column, 0)) / more for column in COLUMNS}


def table(rows: Sequence[tuple[Board, str, Counts]]) -> Iterator[str]:
    """Markdown, in millions; kinds of which nobody has a hundredth go to the other vector instructions."""
    rare = {kind.name for kind in KINDS if all(counts[kind.name] < sum(counts.values()) / 100 for *_, counts in rows)}
    columns = [column for column in COLUMNS if column not in rare]
    heads = ["board", "model", *columns, "all", "times ours", "least cycles", "ms on four cores, at least"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- | --- |" + " --: |" * (len(heads) - 2)
    ours = {board: sum(counts.values()) for board, name, counts in rows if name == OURS}
    for board, name, counts in rows:
        cycles = least_cycles(counts, board.limits)
        shown = {**counts, VECTOR: counts[VECTOR] + sum(counts[kind] for kind in rare)}
        cells = [board.name, name, *(f"{shown[column] / 1e6:.1f}" for column in columns)]
        cells += [f"{sum(counts.values()) / 1e6:.0f}", f"{sum(counts.values()) / ours[board]:.2f}"]
        cells += [f"{cycles / 1e6:.0f}", f"{cycles / (4 * board.clock_ghz * 1e6):.1f}"]
        yield "| " + " | ".join(cells) + " |"


def why_not() -> str | None:
    """Why this machine cannot build the emulator, in a sentence; None where it can."""
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if not missing and subprocess.run(["pkg-config", "--exists", "glib-2.0"], check=False).returncode:
        missing = ["libglib2.0-dev"]
    return f"it needs Debian with {', '.join(missing)}" if missing else None


def build() -> None:
    """The emulator and the plugin from Debian's source package, which any user may fetch."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "build"):
        (FOLDER / folder).mkdir(parents=True)
    sources = run(
        "apt-get", "indextargets", "--format", "deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages",
        "Origin: Debian",
    )  # fmt: skip
    (FOLDER / "sources.list").write_text(sources)
    places = [f"Dir::Etc::SourceList={FOLDER / 'sources.list'}", "Dir::Etc::SourceParts=/dev/null"]
    places += [f"Dir::State::Lists={FOLDER / 'lists'}", f"Dir::Cache={FOLDER / 'cache'}"]
    apt = ["env", f"--chdir={FOLDER}", "apt-get", *(f"--option={place}" for place in places)]
    run(*apt, "update")
    run(*apt, "source", "qemu")
    source = next(folder for folder in FOLDER.glob("qemu-*") if folder.is_dir())
    run(
        "env", f"--chdir={EMULATOR.parent}", source / "configure", "--target-list=aarch64-linux-user",
        "--enable-plugins", "--without-default-features",
    )  # fmt: skip
    run("ninja", "-C", EMULATOR.parent, EMULATOR.name)
    mine = "".join(f'{{"{one.name}", "-", {one.mask:#x}, {one.pattern:#x}, COUNT_CLASS}},\n' for one in KINDS)
    howvec = (source / "contrib" / "plugins" / "howvec.c").read_text()
    PLUGIN.with_suffix(".c").write_text(howvec.replace(_TABLE_OF_KINDS, f"{_TABLE_OF_KINDS}\n{mine}"))
    flags = run("pkg-config", "--cflags", "glib-2.0").split()
    run("cc", "-O2", "-shared", "-fPIC", f"-I{source / 'include' / 'qemu'}", *flags, "-o", PLUGIN,
        PLUGIN.with_suffix(".c"))  # fmt: skip


def count(board: Board, model: Path, folder: Path) -> Counts:
    """Instructions that a picture takes, by column."""
    emulator = (EMULATOR, "-plugin", f"{PLUGIN},inline=on", "-d", "plugin")
    few, many = (
        parse(arm64.run(emulator, board.processor, model, [picture()] * pictures, folder).stderr)
        for pictures in (1, 1 + PICTURES)
    )
    return a_picture(few, many, PICTURES)


def models(folder: Path) -> Iterator[Contestant]:
    """The peers that ONNX Runtime runs, and the bundle."""
    from export.peers import make_peers

    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):
        made = list(itertools.islice(make_peers(MODEL, folder), 4))
    yield from (one for one in made if isinstance(one, Contestant) and one.path.suffix == ".onnx")
    yield Contestant(OURS, "", MODEL)


def main() -> None:
    """Build what is missing, count, and write the table into docs/performance.md."""
    if reason := why_not():
        print(f"make arm64-count: skipped, {reason}.")
        return
    if not arm64.is_built():
        arm64.build()
    if not PLUGIN.exists():
        print("Building QEMU with plugins (minutes, once)", file=sys.stderr)
        build()
    with tempfile.TemporaryDirectory(prefix="pilah-count-") as folder:
        contestants = list(models(Path(folder)))
        rows = [(board, one.name, count(board, one.path, Path(folder))) for board in BOARDS for one in contestants]
    version = run(EMULATOR, "--version").splitlines()[0]
    wheel = next((arm64.TREE / "opt" / "py").glob("onnxruntime-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    bundle = Bundle.open(MODEL).contract.version
    title = (
        f"Millions of instructions a picture, one thread; bundle {bundle}, {version}, ONNX Runtime {wheel} (aarch64)"
    )
    lines = [title, "", *table(rows)]
    print("\n".join(lines))
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), "count", lines), encoding="utf-8")


if __name__ == "__main__":
    main()
