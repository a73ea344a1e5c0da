"""`pilah history` and `pilah stats`: what was dropped, on a terminal or for a program."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from device.config import Config, read_config, tell_whose
from device.counting import counted
from device.drops import Drop, Search, all_drops, csv_lines, local_time
from device.journal import Journal
from device.options import config_option, json_lines_option, json_option

DAYS = 14
_SPAN = re.compile(r"(\d{1,9})\s*([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BLOCKS = "█▓▒░#=+o"
"""One for each compartment: without colours they tell the parts of a bar apart."""


def _time_s(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A span back from now, a date, or a date and time, as seconds since 1970."""
    if value is None:
        return None
    if span := _SPAN.fullmatch(value.strip()):
        return time.time() - int(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a span (30m, 12h, 7d, 4w) nor a time (2026-11-24, 2026-11-24T08:00)."
        ) from None


def _since(explained: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--since", "since_s", callback=_time_s, metavar="TIME", help=explained)


@click.command()
@config_option
@_since("30m, 12h, 7d, 4w, 2026-11-24 or 2026-11-24T08:00.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values with a heading.")
@json_lines_option
def history(config_file: Path | None, since_s: float | None, as_csv: bool, as_json: bool) -> None:
    """List what was dropped, the newest first."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    config = read_config(config_file)
    tell_whose(config)
    drops = all_drops(Journal.of(config), Search(since_s=since_s))
    if as_csv:
        for line in csv_lines(drops):
            click.echo(line, nl=False)
    elif as_json:
        for drop in drops:
            click.echo(json.dumps(drop.as_dict()))
    elif sys.stdout.isatty():
        click.echo_via_pager(f"{_sentence(drop)}\n" for drop in drops)
    else:
        for drop in drops:
            click.echo(_sentence(drop))


@click.command()
@config_option
@_since(f"As for `pilah history`; {DAYS} days unless it is given.")
@json_option
def stats(config_file: Path | None, since_s: float | None, as_json: bool) -> None:
    """Draw how much was dropped each day, and into which compartment."""
    config = read_config(config_file)
    tell_whose(config)
    if since_s is None:
        first = date.today() - timedelta(days=DAYS - 1)
        since_s = datetime(first.year, first.month, first.day).timestamp()
    counts = Journal.of(config).counts(Search(since_s=since_s))
    days: dict[date, Counter[str]] = {}
    verdicts = Counter[str]()
    for day, compartment, verdict, number in counts:
        days.setdefault(day, Counter())[compartment] += number
        verdicts[verdict] += number
    if as_json:
        told = {day.isoformat(): dict(numbers) for day, numbers in days.items()}
        click.echo(json.dumps({"drops": verdicts.total(), "verdicts": dict(verdicts), "days": told}))
    elif not verdicts:
        click.echo("Nothing was dropped in that time.")
    else:
        for line in bars(days, config, width=min(100, shutil.get_terminal_size().columns)):
            click.echo(line)
        shares = ", ".join(f"{number / verdicts.total():.0%} {verdict}" for verdict, number in verdicts.most_common())
        click.echo(f"{counted(verdicts.total(), 'drop')}: {shares}.")


def bars(days: Mapping[date, Mapping[str, int]], config: Config, width: int) -> Iterator[str]:
    """A bar for each day and a legend, `width` characters wide; each part at least one block where there is a drop.

    Many days on end without drops, holidays or a clock that was set wrongly, are one line.
    """
    names = list(dict.fromkeys([*config.compartments, *(name for day in days.values() for name in day)]))
    styled = {name: _style(name, number, config) for number, name in enumerate(names)}
    most = max(sum(numbers.values()) for numbers in days.values())
    per_drop = max(1, width - len("2026-11-24  ") - len(f" {most}") - len(names)) / most
    before = min(days)
    for day in sorted(days):
        if (empty := (day - before).days - 1) > DAYS:
            yield f"{empty} days without a drop"
        else:
            yield from (str(before + timedelta(days=number)) for number in range(1, empty + 1))
        parts = (styled[name](max(1, round(days[day][name] * per_drop))) for name in names if days[day].get(name))
        yield f"{day}  {''.join(parts)} {sum(days[day].values())}"
        before = day
    totals = Counter[str]()
    for numbers in days.values():
        totals.update(numbers)
    yield "  ".join(f"{styled[name](1)} {name} {totals[name]}" for name in names)


def _style(name: str, number: int, config: Config) -> Callable[[int], str]:
    block = _BLOCKS[number % len(_BLOCKS)]
    colour = config.compartments[name].colour if name in config.compartments else "#808080"
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return lambda length: click.style(block * length, fg=(red, green, blue))


def _sentence(drop: Drop) -> str:
    doubt = "" if drop.verdict == "sure" else f", {drop.verdict}"
    lid = ", its lid failed" if drop.lid == "fault" else ""
    corrected = f"; it was {drop.corrected}" if drop.corrected else ""
    when = local_time(drop.time_s).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when}  {drop.material} → {drop.compartment} ({drop.confidence:.0%}{doubt}{lid}){corrected}"
