"""Power that goes while the journal writes: what was committed must be there after the next boot."""

from __future__ import annotations

import random
import re
import time

from tests.pi.board import Board
from tests.pi.card import Card
from tests.pi.report import Report


def cut(made: Card, report: Report, times: int) -> None:
    """Pull the power `times` times at random moments of writing, and look after each."""
    committed = 0
    lost: list[str] = []
    done = 0
    for attempt in range(times + 1):
        with Board(made.image, made.kernel, made.initrd, made.tree, "init=/srv/powercut.sh") as board:
            found = board.wait_for(r"KEPT (\S+) (\d+) (\d+) (\d+)", within_s=600)
            if found is None:
                lost.append(f"boot {attempt} did not reach the journal")
                break
            verdict, count, newest, asides = found.groups()
            report.note(f"boot {attempt}: integrity {verdict}, {count} drops kept, {committed} were committed")
            if verdict != "ok" or int(newest) < committed or int(count) < committed or asides != "0":
                lost.append(f"boot {attempt}: {found.group(0)}, {committed} were committed")
            if attempt == times:
                break
            board.wait_for(r"COMMITTED", within_s=60)
            time.sleep(random.uniform(0.5, 4))
            board.wait_for(r"COMMITTED", within_s=60)
            board.cut_power()
            done += 1
            numbers = re.findall(r"COMMITTED (\d+)\r?\n", board.said)
            committed = max(committed, *map(int, numbers))
    report.check(f"power pulled {done} times: no committed drop is lost", done == times and not lost, "; ".join(lost))
