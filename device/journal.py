"""The history: what is written of each drop and read again; it stays within bounds, and writes little.

Drops are numbered in the order in which they were written; a clock that jumps does not disturb that order.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from device.config import Config, journal_path
from device.drops import Drop, Search
from device.journal_file import JournalFile

PHOTOS_AT_LEAST = 500
"""Asked photos that are kept, where no pictures of drops are: each was given a material by hand."""
_TABLES = """
CREATE TABLE IF NOT EXISTS drops (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_s REAL NOT NULL,
    material TEXT NOT NULL,
    compartment TEXT NOT NULL,
    verdict TEXT NOT NULL,
    confidence REAL NOT NULL,
    probabilities TEXT NOT NULL,
    model_version TEXT,
    latency_ms REAL,
    lid TEXT,
    corrected TEXT
);
CREATE INDEX IF NOT EXISTS drops_by_time ON drops (time_s);
CREATE TABLE IF NOT EXISTS thumbnails (drop_id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_s REAL NOT NULL, material TEXT NOT NULL, jpeg BLOB NOT NULL
);
"""
_COLUMNS = (
    "id, time_s, material, compartment, verdict, confidence, probabilities, model_version, latency_ms, lid, corrected, "
    "EXISTS (SELECT 1 FROM thumbnails WHERE drop_id = drops.id) AS has_thumbnail"
)


class Journal(JournalFile):
    """A history on disk; may be used by any thread and, for reading, by other processes meanwhile.

    >>> journal = Journal(Path("journal.db"))                   # doctest: +SKIP
    >>> journal.open()                                          # doctest: +SKIP
    >>> journal.write(drop)                                     # doctest: +SKIP

    Reading a file that is not there finds nothing. Every method raises `JournalError` where the disk or the file
    does not let it.

    Parameters
    ----------
    path:
        the SQLite file; `-wal` and `-shm` lie beside it.
    drops_at_most, thumbnails_at_most:
        bounds; the oldest go first. No thumbnails are kept, and those of before are removed, where that is 0.
    """

    def __init__(self, path: Path, drops_at_most: int = 100_000, thumbnails_at_most: int = 0) -> None:
        super().__init__(path, _TABLES)
        self._drops_at_most = drops_at_most
        self._thumbnails_at_most = thumbnails_at_most

    @classmethod
    def of(cls, config: Config) -> Journal:
        """The history of the bin that these are the settings of; no file is touched."""
        settings = config.journal
        thumbnails_at_most = settings.thumbnails_at_most if settings.thumbnails else 0
        return cls(journal_path(config), settings.drops_at_most, thumbnails_at_most)

    # Writing.

    def open(self) -> Path | None:
        """Make the file ready; one that is broken is set aside. Returns where to, if so."""
        broken = self._prepare()
        with self._writing() as database:
            if self._thumbnails_at_most == 0:
                database.execute("DELETE FROM thumbnails")
        if self._thumbnails_at_most == 0:
            with self._lock:
                self._let_go()  # until the log is written into the file, the pictures still lie there
        return broken

    def write(self, drop: Drop, thumbnail: bytes | None = None) -> int:
        """Write one drop in one transaction, and return its number; it is on the disk when this returns."""
        probabilities = json.dumps({name: round(value, 4) for name, value in drop.probabilities.items()})
        with self._writing() as database:
            number = database.execute(
                "INSERT INTO drops (time_s, material, compartment, verdict, confidence, probabilities, model_version,"
                " latency_ms, lid) VALUES (:time_s, :material, :compartment, :verdict, :confidence, :probabilities,"
                " :model_version, :latency_ms, :lid)",
                {**vars(drop), "probabilities": probabilities},
            ).lastrowid
            assert number is not None
            if thumbnail is not None and self._thumbnails_at_most:
                database.execute("INSERT INTO thumbnails VALUES (?, ?)", (number, thumbnail))
                _keep_newest(database, "thumbnails", "drop_id", self._thumbnails_at_most)
            database.execute("DELETE FROM drops WHERE id <= ?", (number - self._drops_at_most,))
            database.execute("DELETE FROM thumbnails WHERE drop_id <= ?", (number - self._drops_at_most,))
        return number

    def correct(self, drop: int, material: str) -> bool:
        """Note what a drop really was. Returns whether there is such a drop; it may have made room for newer ones."""
        with self._writing() as database:
            return database.execute("UPDATE drops SET corrected = ? WHERE id = ?", (material, drop)).rowcount > 0

    def keep_photo(self, encoded: bytes, material: str) -> None:
        """Keep an asked photo for training: JPEG, under its right material; one that is kept already moves there."""
        with self._writing() as database:
            is_kept = database.execute(
                # The length first: it is read without the picture.
                "UPDATE photos SET material = ? WHERE length(jpeg) = ? AND jpeg = ?",
                (material, len(encoded), encoded),
            ).rowcount
            if is_kept:
                return
            database.execute(
                "INSERT INTO photos (time_s, material, jpeg) VALUES (?, ?, ?)", (time.time(), material, encoded)
            )
            _keep_newest(database, "photos", "id", max(self._thumbnails_at_most, PHOTOS_AT_LEAST))

    # Reading.

    def drops(self, search: Search, limit: int, before_id: int | None = None) -> list[Drop]:
        """The newest first; with `before_id`, those that came before that one."""
        where, values = _where(search)
        if before_id is not None:
            where, values = f"{where} AND id < ?", [*values, before_id]
        return self._select(f"WHERE {where} ORDER BY id DESC LIMIT ?", [*values, limit])

    def counts(self, search: Search) -> list[tuple[date, str, str, int]]:
        """Local day, compartment, verdict, number of drops."""
        where, values = _where(search)
        with self._reading() as database:
            rows = database.execute(
                "SELECT date(time_s, 'unixepoch', 'localtime') AS day, compartment, verdict, count(*) FROM drops "
                f"WHERE {where} GROUP BY day, compartment, verdict ORDER BY day",
                values,
            ).fetchall()
        return [(date.fromisoformat(row[0]), row[1], row[2], row[3]) for row in rows]

    def to_teach(self, limit: int) -> list[Drop]:
        """Drops with a thumbnail that nobody has corrected yet: unsure and unknown ones first, then the newest."""
        where = "WHERE corrected IS NULL AND has_thumbnail ORDER BY verdict = 'sure', id DESC LIMIT ?"
        return self._select(where, [limit])

    def thumbnail(self, drop: int) -> bytes | None:
        """A JPEG."""
        with self._reading() as database:
            row = database.execute("SELECT jpeg FROM thumbnails WHERE drop_id = ?", (drop,)).fetchone()
        return None if row is None else bytes(row[0])

    def lessons(self) -> Iterator[tuple[str, str, bytes]]:
        """What the owner taught: a name that is unique among all histories, the right material, and the JPEG."""
        with self._reading() as database:
            yield from database.execute(
                "SELECT 'drop-' || id || '-' || CAST(1000 * time_s AS INTEGER), corrected, jpeg "
                "FROM drops JOIN thumbnails ON drop_id = id WHERE corrected IS NOT NULL UNION ALL "
                "SELECT 'photo-' || id || '-' || CAST(1000 * time_s AS INTEGER), material, jpeg FROM photos"
            )

    def corrected_without_picture(self) -> int:
        """How many corrections teach nothing, since the drop's picture was not kept, or has made room."""
        with self._reading() as database:
            (count,) = database.execute(
                "SELECT count(*) FROM drops WHERE corrected IS NOT NULL AND id NOT IN (SELECT drop_id FROM thumbnails)"
            ).fetchone()
        return int(count)

    def _select(self, rest: str, values: list[Any]) -> list[Drop]:
        """Found by their numbers: by the index of times, all drops of that time would be read to sort a few."""
        with self._reading() as database:
            database.row_factory = sqlite3.Row
            return [_drop(row) for row in database.execute(f"SELECT {_COLUMNS} FROM drops NOT INDEXED {rest}", values)]


def _where(search: Search) -> tuple[str, list[Any]]:
    asked = {
        "time_s >= ?": search.since_s,
        "time_s < ?": search.until_s,
        "compartment = ?": search.compartment,
        "verdict = ?": search.verdict,
    }
    asked = {condition: value for condition, value in asked.items() if value is not None}
    return " AND ".join(asked) or "TRUE", list(asked.values())


def _drop(row: sqlite3.Row) -> Drop:
    try:
        probabilities = json.loads(row["probabilities"])
    except ValueError:
        probabilities = {}  # the card has altered the text: SQLite has no checksums, and the rest is worth reading
    return Drop(**{**dict(row), "probabilities": probabilities, "has_thumbnail": bool(row["has_thumbnail"])})


def _keep_newest(database: sqlite3.Connection, table: str, key: str, at_most: int) -> None:
    newest = f"SELECT {key} FROM {table} ORDER BY {key} DESC LIMIT 1 OFFSET ?"
    database.execute(f"DELETE FROM {table} WHERE {key} <= ({newest})", (at_most,))
