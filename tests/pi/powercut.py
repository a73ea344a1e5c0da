"""Power that goes while the journal writes: what was committed must be there after the next boot."""

from __future__ import annotations

import concurrent.futures
import random
import re
import time

from tests.pi.board import Board
from tests.pi.card import Card
from tests.pi.report import Report
from tests.pi.trees import run

BOARDS = 2
"""An emulated board that boots keeps one core busy."""


def cut(made: Card, report: Report, times: int) -> None:
    """Pull the power `times` times in all, by turns of two boards at once, each with its own copy of the card."""
    with concurrent.futures.ThreadPoolExecutor(BOARDS) as pool:
        shares = [len(range(number, times, BOARDS)) for number in range(BOARDS)]
        outcomes = list(pool.map(lambda number: _cut(made, report, number + 1, shares[number]), range(BOARDS)))
    done, lost = sum(done for done, _ in outcomes), [fault for _, faults in outcomes for fault in faults]
    report.check(f"power pulled {done} times: no committed drop is lost", done == times and not lost, "; ".join(lost))


def _cut(made: Card, report: Report, number: int, times: int) -> tuple[int, list[str]]:
    """Pull one board's power at random moments of writing, and look after each: how often, and what was lost."""
    image = made.image.with_name(f"cut-{number}.img")
    run("cp", "--sparse=always", made.image, image)
    committed = 0
    lost: list[str] = []
    done = 0
    for attempt in range(times + 1):
        with Board(image, made.kernel, made.initrd, made.tree, "init=/srv/powercut.sh") as board:
            found = board.wait_for(r"KEPT (\S+) (\d+) (\d+) (\d+)", within_s=900)
            if found is None:
                lost.append(f"board {number}, boot {attempt} did not reach the journal")
                break
            verdict, count, newest, asides = found.groups()
            said = f"board {number}, boot {attempt}: integrity {verdict}, {count} drops kept of {committed} committed"
            report.note(said)
            if verdict != "ok" or int(newest) < committed or int(count) < committed or asides != "0":
                lost.append(f"{said}, {asides} files set aside")
            if attempt == times:
                break
            if board.wait_for(r"COMMITTED", within_s=60) is None:
                lost.append(f"board {number}, boot {attempt} wrote no drop")
                break
            time.sleep(random.uniform(0.5, 4))
            board.cut_power()
            done += 1
            numbers = re.findall(r"COMMITTED (\d+)\r?\n", board.said)
            committed = max([committed, *map(int, numbers)])
    image.unlink()
    return done, lost
