"""Runs on the card, as its only program: says what the journal has kept, then writes drops until the power goes.

The drops are numbered by their time, so that a gap or a missing end is seen.
"""

import sqlite3
from pathlib import Path

from device.drops import Drop
from device.journal import Journal

FILE = Path("/srv/powercut/journal.db")


def main() -> None:
    FILE.parent.mkdir(exist_ok=True)
    journal = Journal(FILE)
    journal.open()
    with sqlite3.connect(FILE) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        kept = {int(row[0]) for row in database.execute("SELECT time_s FROM drops")}
    asides = [path for path in FILE.parent.iterdir() if not path.name.startswith(FILE.name)]
    number = max(kept, default=0)
    print(f"KEPT {verdict} {len(kept)} {number} {len(asides)}", flush=True)
    while True:
        number += 1
        journal.write(Drop(0, float(number), "glass", "recyclable", 0.9, "sure"))
        print(f"COMMITTED {number}", flush=True)


if __name__ == "__main__":
    main()
