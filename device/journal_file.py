"""The file of the history: whole after every power cut, set aside where it is broken, written by one at a time."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from device.errors import JournalError

WAITS_S = 5.0
"""How long one writer waits for another."""
_MAY_BE_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""What SQLite says of a file, not of the disk; the last, of a format that it does not know."""


class JournalFile:
    """The SQLite file of a `Journal`, which says what stands in it.

    `path`: the file; `-wal` and `-shm` lie beside it. `tables`: the SQL that makes what a new file holds, and does
    nothing to one that holds it. Every method raises `JournalError` where the disk or the file does not let it.
    """

    def __init__(self, path: Path, tables: str) -> None:
        self.path = path
        self._tables = tables
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None
        self._was_sound = False

    def examine(self) -> None:
        """Raises `JournalError` where the file fails SQLite's check; reads only."""
        with self._reading() as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise JournalError(f"The history {self.path} is broken ({found}); the bin sets it aside at its next start.")

    def close(self) -> None:
        """Let go of the file; closing twice is fine, and writing opens it again."""
        with self._lock:
            self._let_go()
            self._was_sound = False

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is None:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            if not self._is_in_place():
                # SQLite would leave the log here, without its file, and break with it what lies in the file's place.
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with contextlib.suppress(sqlite3.Error):
            database.close()

    def _is_in_place(self) -> bool:
        """Whether the file that is open is still the one of that name: neither removed nor replaced."""
        return self._opened is not None and self.path.exists() and os.path.samestat(self._opened, self.path.stat())

    def _prepare(self) -> Path | None:
        """Make the folder, and set a file aside that fails SQLite's integrity check. Returns where to, if so.

        The check reads the whole file. It is made at the first call, and again only after `close` and once SQLite has
        found something broken: a disk that is full costs no more than another try.
        """
        with self._lock, _told(self.path):  # nobody writes into a file that is on its way aside
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._let_go()
            must_check = self.path.exists() and not self._was_sound
            aside = self._set_aside() if must_check and not self._is_sound() else None
            self._was_sound = True
        return aside

    def _is_sound(self) -> bool:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=WAITS_S)) as database:
                return bool(database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # of the file's format, not of the disk
                return False
            raise JournalError(_sentence(self.path, fault)) from fault
        except sqlite3.DatabaseError:
            return False

    def _set_aside(self) -> Path:
        aside = self.path.with_name(f"{self.path.name}.broken-{time.strftime('%Y%m%dT%H%M%S')}")
        for ending in ("-wal", "-shm", ""):
            part = self.path.with_name(self.path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        return aside

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block ends (SQLite: `synchronous=FULL` syncs the log at each commit).

        The connection is kept, so that a drop costs the card one append to the log; after a fault it is opened anew.
        """
        with self._lock, _told(self.path):
            try:
                if self._database is not None and not self._is_in_place():
                    self._let_go()  # what is written into a removed file is lost
                if self._database is None:
                    self._database = self._connect()
                with self._database as database:
                    database.execute("BEGIN IMMEDIATE")
                    yield database
            except sqlite3.Error as fault:
                self._let_go()
                if getattr(fault, "sqlite_errorcode", 0) & 0xFF in _MAY_BE_BROKEN:
                    self._was_sound = False
                raise

    def _connect(self) -> sqlite3.Connection:
        if os.geteuid() == 0 and not self.path.exists():
            self._make_for_the_service()
        database = sqlite3.connect(self.path, timeout=WAITS_S, check_same_thread=False)
        self._opened = self.path.stat()
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.executescript(self._tables)
        return database

    def _make_for_the_service(self) -> None:
        """A file that root makes belongs to whom the folder belongs to; SQLite gives its logs the file's owner."""
        folder = self.path.parent.stat()
        handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.fchown(handle, folder.st_uid, folder.st_gid)
        os.close(handle)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _told(self.path):
            if self.path.exists():
                opened = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", timeout=WAITS_S, uri=True)
            else:
                opened = sqlite3.connect(":memory:")
                opened.executescript(self._tables)
            with contextlib.closing(opened) as database:
                database.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
                yield database


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        raise JournalError(_sentence(path, fault)) from fault


def _sentence(path: Path, fault: Exception) -> str:
    words = getattr(fault, "strerror", None) or fault
    return f"The history {path} cannot be used ({words}): look at the disk's space, its mount and the file's owner."
