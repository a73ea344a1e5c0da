"""The journal on trial: its writer is killed at random moments, over and over, on one and the same file."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path

from device.drops import Drop, Search
from device.journal import Journal

LIVES_AT_MOST_S = 0.05
"""A writer is killed so long after its first drop at the latest; each fourth one so long after it was begun, while it
opens and checks the file."""
BEGINS_WITHIN_S = 10.0
DROP = Drop(0, 1e9, "glass", "recyclable", 0.9, "sure", {"glass": 0.9}, "1-1", latency_ms=200.0, lid="closed")
THUMBNAIL = 9000 * b"j"
DROPS_AT_MOST = 10_000_000
"""More than any trial writes: none may be lost to make room."""
CONFIRMATION = 8
"""Bytes: the number of a drop that was committed."""


@dataclass(frozen=True)
class PowerCuts:
    """`committed`: drops whose writing was confirmed; `lost`: those of them that are gone; `unsound`: how often the
    file failed SQLite's integrity check; `amid`: writers that were killed after their first drop."""

    kills: int
    amid: int
    committed: int
    lost: int
    unsound: int


def cut_power(folder: Path, kills: int, seed: int = 0) -> PowerCuts:
    """`kill -9` the writer `kills` times at random moments; look at the file after each. POSIX only."""
    chance, path = random.Random(seed), folder / "journal.db"
    journal = Journal(path, DROPS_AT_MOST)
    committed, amid, unsound = set[int](), 0, 0
    for kill in range(kills):
        confirmed = _write_until_killed(path, chance.uniform(0, LIVES_AT_MOST_S), is_awaited=kill % 4 != 3)
        amid += bool(confirmed)
        committed.update(confirmed)
        unsound += not _is_sound(path)
    there = {drop.id for drop in journal.drops(Search(), DROPS_AT_MOST)}
    return PowerCuts(kills, amid, len(committed), len(committed - there), unsound)


def _write_until_killed(path: Path, lives_s: float, is_awaited: bool) -> list[int]:
    """Fork a writer and kill it after so long, counted from its first drop where that is awaited; what it confirmed."""
    answers, confirms = os.pipe()
    writer = os.fork()
    if writer == 0:
        _write_for_ever(path, confirms)
    os.close(confirms)
    if is_awaited:
        select.select([answers], [], [], BEGINS_WITHIN_S)
    time.sleep(lives_s)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    told = b""
    while chunk := os.read(answers, 65536):
        told += chunk
    os.close(answers)
    whole = len(told) // CONFIRMATION * CONFIRMATION
    return [int.from_bytes(told[at : at + CONFIRMATION]) for at in range(0, whole, CONFIRMATION)]


def _write_for_ever(path: Path, confirms: int) -> None:
    with contextlib.suppress(BaseException):
        journal = Journal(path, DROPS_AT_MOST, thumbnails_at_most=20)
        journal.open()
        while True:
            number = journal.write(replace(DROP, time_s=time.time()), THUMBNAIL)
            os.write(confirms, number.to_bytes(CONFIRMATION))
    os._exit(1)


def _is_sound(path: Path) -> bool:
    if not path.exists():
        return True
    with contextlib.closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))
