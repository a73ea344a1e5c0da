"""History: what was dropped, how sure the bin was, and what that may have saved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import cycle, islice
from typing import Any

from babel.dates import format_skeleton
from flask import Blueprint, Flask, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import format_date, get_locale

from device.drops import NUMBER_AT_MOST, Search, all_drops, csv_lines
from device.page import words
from device.page.bin import Bin, the_bin, the_journal
from device.page.estimate import ORGANIC_DROP_KG, saving

DAYS_AT_FIRST = 14
DAYS_IN_CHART = 92
ROWS = 50
LINES_AT_ONCE = 500
COLOURS_OF_THE_PAST = "#8d8d8d", "#b0a8b9", "#a3b18a"
"""For the chart, of compartments that the configuration does not know any more."""
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9999, 1, 1)
"""Far enough from the first and the last day that Python knows, whatever is added and whatever the time zone."""
FILTER = ("from", "to", "compartment", "verdict")

Counts = list[tuple[date, str, str, int]]
"""Local day, compartment, verdict, number of drops."""

history = Blueprint("history", __name__)


def install(app: Flask, bin_: Bin) -> None:
    if bin_.journal is not None:
        app.extensions["pilah-table-turn"] = threading.Lock()
        app.register_blueprint(history)
        app.add_template_filter(_day_word, "day_word")
        app.add_template_filter(_local_time, "local_time")


@history.get("/history")
def page() -> ResponseReturnValue:
    search, first, last, all_counts = _search()
    compartments = _compartments(all_counts)
    counts = [one for one in all_counts if search.compartment in (None, one[1]) and search.verdict in (None, one[2])]
    total = sum(number for *_, number in counts)
    unsure = sum(number for _, _, verdict, number in counts if verdict != "sure")
    composted = _organic_lid()
    organic = sum(number for _, compartment, _, number in counts if compartment == composted)
    drops = the_journal().drops(search, ROWS + 1, request.args.get("before", type=_number))
    return render_template(
        "history.html",
        first=first,
        last=last,
        search=search,
        asked={name: request.args[name] for name in FILTER if name in request.args},
        total=total,
        unsure_share=unsure / total if total else 0.0,
        saving=saving(organic) if composted else None,
        drop_kg=words.exact(ORGANIC_DROP_KG),
        chart=_chart(counts, compartments, first, last),
        days_in_chart=DAYS_IN_CHART,
        is_whole=(last - first).days < DAYS_IN_CHART,
        drops=drops[:ROWS],
        older=drops[ROWS - 1].id if len(drops) > ROWS else None,
        compartments=compartments,
    )


@history.get("/history.csv")
def table() -> ResponseReturnValue:
    """The drops that the filter leaves, newest first; written as they are read."""
    search, first, last, _ = _search()
    lines = csv_lines(all_drops(the_journal(), search))
    response = Response(_in_turn(lines, current_app.extensions["pilah-table-turn"]), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="pilah-{first}-{last}.csv"'
    return response


def _in_turn(lines: Iterator[str], turn: threading.Lock) -> Iterator[str]:
    """Many lines at once, and for one reader at a time: several would share Python with the loop and slow lids down."""
    while True:
        with turn:
            part = "".join(islice(lines, LINES_AT_ONCE))
        if not part:
            return
        yield part


def _organic_lid() -> str | None:
    """The lid that the material organic goes into, None where there is none but the fallback's, which is no compost."""
    config = the_bin().config
    lid = config.materials.get("organic")
    return None if lid == config.decision.fallback else lid


def _search() -> tuple[Search, date, date, Counts]:
    """What the visitor asks for, its first and last day, and the counts of that time, whatever the lid and verdict.

    A value that means nothing is left out.
    """
    today = datetime.fromtimestamp(the_bin().clock.wall()).date()
    last = request.args.get("to", today, _day)
    first = min(last, request.args.get("from", last - timedelta(days=DAYS_AT_FIRST - 1), _day))
    compartment, verdict = request.args.get("compartment"), request.args.get("verdict")
    days = Search(_midnight_s(first), _midnight_s(last + timedelta(days=1)))
    counts = the_journal().counts(days)
    search = replace(
        days,
        compartment=compartment if compartment in _compartments(counts) else None,
        verdict=verdict if verdict in ("sure", "unsure", "unknown") else None,
    )
    return search, first, last, counts


def _compartments(counts: Counts) -> list[str]:
    """Those of the configuration, then those that drops went into before."""
    return list(dict.fromkeys([*the_bin().config.compartments, *sorted(name for _, name, *_ in counts)]))


def _day(text: str) -> date:
    """The day, or the nearest one that can be asked for. Raises `ValueError` for what is no day."""
    return min(max(date.fromisoformat(text), FIRST_DAY), LAST_DAY)


def _number(text: str) -> int:
    """The number, or the nearest one that a drop can have. Raises `ValueError` for what is no number."""
    return min(max(int(text), 0), NUMBER_AT_MOST)


def _midnight_s(day: date) -> float:
    return datetime(day.year, day.month, day.day).timestamp()


def _chart(counts: Counts, compartments: list[str], first: date, last: date) -> dict[str, Any]:
    """Drops per day and compartment, for the script that draws them and for the table beside it."""
    first = max(first, last - timedelta(days=DAYS_IN_CHART - 1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    numbers = {(day, name): 0 for day in days for name in compartments}
    for day, name, _, number in counts:
        if (day, name) in numbers:
            numbers[day, name] += number
    configured, past = the_bin().config.compartments, cycle(COLOURS_OF_THE_PAST)
    series = [
        {
            "label": words.compartment_word(name),
            "colour": configured[name].colour if name in configured else next(past),
            "values": [numbers[day, name] for day in days],
        }
        for name in compartments
    ]
    return {"days": [day.isoformat() for day in days], "series": series}


def _day_word(day: str) -> str:
    """The day, 2026-06-15, as people write it: 15 Jun 2026."""
    return str(format_date(date.fromisoformat(day), "d MMM y"))


def _local_time(time_s: float) -> str:
    """Day and time of day: 12:00 in English, 12.00 in Indonesian."""
    when = datetime.fromtimestamp(time_s)
    return f"{_day_word(when.date().isoformat())}, {format_skeleton('Hm', when, locale=get_locale())}"
