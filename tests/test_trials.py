"""The trials of docs/reliability.md, small enough for every run; the Makefile has the whole ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.clock import ManualClock
from device.drops import Search
from device.journal import Journal
from tests.trials import __main__ as trials
from tests.trials import powercut
from tests.trials.__main__ import main
from tests.trials.bench import WorkingClock
from tests.trials.endurance import Endurance, Footprint, endure
from tests.trials.leaving import leave
from tests.trials.powercut import THUMBNAIL, cut_power
from tests.trials.speed import latencies_ms

# From Python 3.12 on; the writer of powercut touches nothing that another thread of the tests could hold.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def test_no_committed_drop_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    found = cut_power(tmp_path, kills=15, seed=1)
    assert found.amid >= 11, "three of four writers are killed after their first drop"
    assert (found.lost, found.unsound) == (0, 0)


def test_the_power_cut_trial_sees_a_journal_that_confirms_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write

    def forgetful(journal: Journal, *given: object) -> int:
        number = write(journal, *given)  # type: ignore[arg-type]
        if number % 3 == 0:
            with sqlite3.connect(journal.path) as database:
                database.execute("DELETE FROM drops WHERE id = ?", (number,))
        return number

    monkeypatch.setattr(Journal, "write", forgetful)
    assert cut_power(tmp_path, kills=8).lost > 0


@pytest.mark.parametrize("cut_bytes", [1, 4096, 10_000, 50_001])
def test_a_log_that_was_cut_short_costs_its_last_drops_only(tmp_path: Path, cut_bytes: int) -> None:
    journal = Journal(tmp_path / "journal.db", thumbnails_at_most=10)
    journal.open()
    for _ in range(30):
        journal.write(powercut.DROP, THUMBNAIL)
    database, log = journal.path.read_bytes(), journal.path.with_name("journal.db-wal").read_bytes()
    after = Journal(tmp_path / "after" / "journal.db", thumbnails_at_most=10)
    after.path.parent.mkdir()
    after.path.write_bytes(database)
    after.path.with_name("journal.db-wal").write_bytes(log[:-cut_bytes])
    assert after.open() is None, "it is sound"
    there = [drop.id for drop in after.drops(Search(), 100)]
    assert 0 < len(there) < 30 and there == list(range(len(there), 0, -1))
    assert after.write(powercut.DROP) == len(there) + 1


@pytest.mark.parametrize(
    ("resident_mb", "grew_mb"),
    [
        ((176, 184, 186, 195, 197, 188, 199, 199, 191, 192), 3.25),  # measured: a pool that fills and empties
        ((176, 184, 186, 187, 188, 189, 190, 191, 192, 193), 7.0),  # a megabyte leaks in each stage
    ],
)
def test_memory_that_comes_and_goes_is_no_leak_and_what_leaks_slowly_is(
    resident_mb: tuple[int, ...], grew_mb: float
) -> None:
    stages = tuple(Footprint(one * 10**6, 42, 14) for one in resident_mb)
    assert Endurance(103877, (90,) * 10, 900, 24, 120, stages).grew_mb == pytest.approx(grew_mb, abs=0.05)


def test_a_few_busy_minutes_leak_neither_threads_nor_descriptors(tmp_path: Path) -> None:
    found = endure(tmp_path, hours=0.05, stages=4, visits_every_s=15)
    assert all(found.drops) and sum(found.drops) >= 5
    assert found.recorded == sum(found.drops)
    assert found.visits == 12
    assert found.stages[-1].threads == found.warm.threads
    assert found.stages[-1].descriptors <= found.warm.descriptors


def test_every_thing_that_lies_still_moves_a_servo_in_time(tmp_path: Path) -> None:
    found = list(latencies_ms(tmp_path, drops=4, clock=ManualClock()))
    assert len(found) == 4
    assert all(200 < latency < 400 for latency in found), "simulated time alone: what the frames make a thing wait"


def test_a_bin_that_is_told_to_end_while_its_page_is_watched_closes_its_lid_and_leaves_well(tmp_path: Path) -> None:
    (end,) = leave(tmp_path, times=1, hogs=0)
    assert (end.exit_code, end.last) == (0, "closed")


def test_a_trial_says_what_it_found() -> None:
    result = CliRunner().invoke(main, ["powercut", "--kills", "3"])
    assert result.exit_code == 0
    assert result.output.startswith("3 kills, ")
    assert "0 lost; integrity check failed 0 times" in result.output


def test_the_trial_of_speed_counts_the_work_of_the_loop_as_time() -> None:
    clock = WorkingClock()
    begun_s = clock.now()
    sum(range(100_000))
    worked_s = clock.now() - begun_s
    clock.sleep(10)
    assert worked_s > 0
    assert clock.now() - begun_s >= 10 + worked_s


def test_the_trial_of_speed_says_how_many_were_served() -> None:
    assert CliRunner().invoke(main, ["latency", "--drops", "2"]).output.startswith("2 drops, 2 served: ")


@pytest.mark.parametrize(("most_ms", "code"), [(1.9, 0), (2.1, 1)])
def test_presence_that_takes_longer_than_is_promised_ends_in_one(
    most_ms: float, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "time_presence", lambda frames, with_thing: [most_ms if with_thing else 0.5] * frames)
    assert CliRunner().invoke(main, ["presence"]).exit_code == code
