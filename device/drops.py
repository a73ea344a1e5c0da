"""What the history says of a drop, and how one asks for some."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

ROWS = 500
NUMBER_AT_MOST = 2**63 - 1
"""Of a drop: SQLite counts no further."""


@dataclass(frozen=True)
class Drop:
    """One line of the history.

    `id`: 0 until it is written; `lid`: the state that its lid came to at last (closed or fault), None where that is
    not known; `corrected`: the material that the owner says it was.
    """

    id: int
    time_s: float
    material: str
    compartment: str
    confidence: float
    verdict: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model_version: str | None = None
    has_thumbnail: bool = False
    corrected: str | None = None
    latency_ms: float | None = None
    lid: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The drop as `--json` prints it: `id` and `time` first, then the rest, without what is unset."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {"id": values.pop("id"), "time": round(values.pop("time_s"), 3), **values}


@dataclass(frozen=True)
class Search:
    """Which drops: times in seconds since 1970 (`until_s` excluded); None asks for all."""

    since_s: float | None = None
    until_s: float | None = None
    compartment: str | None = None
    verdict: str | None = None


class Reader(Protocol):
    """A history that can be read."""

    def drops(self, search: Search, limit: int, before_id: int | None = None) -> list[Drop]: ...


def all_drops(journal: Reader, search: Search) -> Iterator[Drop]:
    """Every drop that was asked for, the newest first; read as they are taken, however many there are."""
    before = None
    while drops := journal.drops(search, ROWS, before):
        yield from drops
        before = drops[-1].id


def csv_lines(drops: Iterable[Drop]) -> Iterator[str]:
    """A heading and a line for each drop, RFC 4180.

    No form of day and time together is a date to both Excel and LibreOffice; a day alone is, as ISO 8601 writes it.
    """
    yield "id,day,time,material,compartment,confidence,verdict,model,corrected,latency_ms,lid\r\n"
    for drop in drops:
        line, when = io.StringIO(), local_time(drop.time_s)
        csv.writer(line).writerow(
            (
                drop.id,
                when.date(),
                when.isoformat(timespec="seconds"),
                drop.material,
                drop.compartment,
                f"{drop.confidence:.4f}",
                drop.verdict,
                drop.model_version or "",
                drop.corrected or "",
                "" if drop.latency_ms is None else drop.latency_ms,
                drop.lid or "",
            )
        )
        yield line.getvalue()


def local_time(time_s: float) -> datetime:
    """Seconds since 1970 as a time of this machine's zone."""
    return datetime.fromtimestamp(time_s).astimezone()
