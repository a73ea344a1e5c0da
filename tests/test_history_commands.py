"""`pilah history` and `pilah stats`: what was dropped, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from datetime import date, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from device.cli import cli
from device.config import Config, places
from device.drops import Drop
from device.history import bars
from device.journal import Journal

HOUR_S = 3600.0


@pytest.fixture
def journal(state_of_its_own: Path) -> Journal:
    """Three drops: a day ago, an hour ago, now."""
    journal = Journal(state_of_its_own / "journal.db")
    journal.open()
    now_s = time.time()
    for age_h, material, verdict, lid in ((24, "wood", "sure", "closed"), (1, "glass", "unsure", "fault")):
        journal.write(Drop(0, now_s - age_h * HOUR_S, material, "reuse", 0.75, verdict, {material: 0.75}, lid=lid))
    newest = journal.write(Drop(0, now_s, "paper", "recyclable", 0.987, "sure", {"paper": 0.987}, "7-1"))
    journal.correct(newest, "cardboard")
    journal.close()
    return journal


def pilah(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.mark.usefixtures("journal")
def test_the_newest_drop_comes_first_with_all_that_is_known_about_it() -> None:
    said = [line[21:] for line in pilah("history").output.splitlines()]
    assert said == [
        "paper → recyclable (99%); it was cardboard",
        "glass → reuse (75%, unsure, its lid failed)",
        "wood → reuse (75%)",
    ]


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(("since", "number"), [("90m", 2), ("2h", 2), ("2d", 3), ("1w", 3), ("tomorrow", 0)])
def test_since_leaves_out_what_is_older(since: str, number: int) -> None:
    if since == "tomorrow":
        since = str(date.today() + timedelta(days=1))
    assert len(pilah("history", "--since", since, "--json").output.splitlines()) == number


@pytest.mark.parametrize("command", ["history", "stats"])
def test_a_span_longer_than_time_is_wrong_usage(command: str) -> None:
    result = pilah(command, "--since", f"{'9' * 400}w")
    assert result.exit_code == 2
    assert "neither a span" in result.output


@pytest.mark.usefixtures("journal")
def test_programs_read_lines_of_json_or_csv() -> None:
    drops = [json.loads(line) for line in pilah("history", "--json").output.splitlines()]
    assert [(drop["id"], drop["material"], drop.get("corrected")) for drop in drops] == [
        (3, "paper", "cardboard"),
        (2, "glass", None),
        (1, "wood", None),
    ]
    assert list(drops[0])[:2] == ["id", "time"]
    rows = list(csv.DictReader(io.StringIO(pilah("history", "--csv").output)))
    assert [(row["id"], row["confidence"], row["lid"]) for row in rows] == [
        ("3", "0.9870", ""),
        ("2", "0.7500", "fault"),
        ("1", "0.7500", "closed"),
    ]


def test_more_drops_than_one_page_of_them_are_all_listed(state_of_its_own: Path) -> None:
    journal = Journal(state_of_its_own / "journal.db", drops_at_most=2000)
    journal.open()
    with journal._writing() as database:
        database.executemany(
            "INSERT INTO drops (time_s, material, compartment, verdict, confidence, probabilities)"
            " VALUES (?, 'wood', 'reuse', 'sure', 1.0, '{}')",
            [(float(number),) for number in range(1203)],
        )
    assert len(pilah("history", "--json").output.splitlines()) == 1203


def test_an_empty_history_is_no_fault() -> None:
    assert pilah("history").exit_code == 0
    assert pilah("stats").output == "Nothing was dropped in that time.\n"


@pytest.mark.usefixtures("journal")
def test_what_cannot_be_asked_is_told() -> None:
    for words in (("history", "--since", "soon"), ("history", "--csv", "--json")):
        result = pilah(*words)
        assert result.exit_code == 2
    assert "30m, 12h, 7d" in pilah("stats", "--since", "soon").output


@pytest.mark.usefixtures("journal")
def test_stats_count_drops_by_day_compartment_and_verdict() -> None:
    told = json.loads(pilah("stats", "--since", "3d", "--json").output)
    assert told["drops"] == 3
    assert told["verdicts"] == {"sure": 2, "unsure": 1}
    assert sum(day.get("reuse", 0) for day in told["days"].values()) == 2
    assert "3 drops: 67% sure, 33% unsure." in pilah("stats").output
    assert "1 drop: 100% sure." in pilah("stats", "--since", "10m").output


def test_a_bar_is_as_long_as_its_day_was_busy_and_days_without_drops_are_shown() -> None:
    days = {date(2026, 6, 1): {"organic": 30, "residual": 10}, date(2026, 6, 3): {"organic": 10, "cellar": 1}}
    shown = [click.unstyle(line) for line in bars(days, Config(), width=80)]
    assert [line.split()[0] for line in shown[:3]] == ["2026-06-01", "2026-06-02", "2026-06-03"]
    assert shown[0].endswith(" 40") and shown[2].endswith(" 11")
    assert shown[0].count("█") == 3 * shown[2].count("█")
    assert max(map(len, shown[:3])) <= 80
    assert "cellar 1" in shown[3]


def test_a_drop_of_a_day_on_which_the_clock_was_years_ahead_leaves_the_other_days_in_sight() -> None:
    days = {date(2026, 6, 1): {"organic": 3}, date(2062, 6, 3): {"organic": 1}}
    shown = [click.unstyle(line) for line in bars(days, Config(), width=80)]
    assert [line.split()[0] for line in shown[:3]] == ["2026-06-01", "13150", "2062-06-03"]
    assert shown[1] == "13150 days without a drop" and len(shown) == 4


@pytest.mark.parametrize("command", ["history", "stats", "export-corrections out", "page set-password", "doctor"])
def test_who_may_not_read_the_services_history_is_told_that_this_is_another(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "services").mkdir()
    may, services = os.access, tmp_path / "services"
    monkeypatch.setattr(places, "SERVICE_STATE", services)
    told = pilah(*command.split()).stderr
    assert "put sudo" not in told, "root, who may"
    monkeypatch.setattr(os, "access", lambda path, mode: path != services and may(path, mode))
    told = pilah(*command.split()).stderr
    assert f"This is about {tmp_path}/mine/pilah; the bin that runs as a service keeps" in told
    assert f"in {services}: put sudo before the command." in told
