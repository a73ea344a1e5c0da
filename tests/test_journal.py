"""The history: kept through faults, bounded, and never in the loop's way."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from device.clock import ManualClock
from device.drops import Drop, Search
from device.events import DecisionEvent, EventBus, LidEvent
from device.journal import Journal
from device.recorder import TRIES_AGAIN_S, Recorder

NOBODY = 65534
NOON_S = 1_750_000_000.0
DROP = Drop(0, NOON_S, "glass", "recyclable", 0.93, "sure", {"glass": 0.93, "metal": 0.07}, "7-1", latency_ms=210.0)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.db", drops_at_most=100, thumbnails_at_most=3)
    journal.open()
    return journal


def _decision(drop: int) -> DecisionEvent:
    return DecisionEvent(NOON_S + drop, drop, "glass", "recyclable", 0.9, "sure", 2, 200.0, {"glass": 0.9}, "7-1")


def test_a_drop_is_read_as_it_was_written(journal: Journal) -> None:
    number = journal.write(replace(DROP, lid="closed"), b"jpeg")
    assert journal.drops(Search(), 10) == [replace(DROP, id=number, lid="closed", has_thumbnail=True)]
    assert journal.thumbnail(number) == b"jpeg"


def test_the_search_leaves_what_was_asked_for_the_newest_first(journal: Journal) -> None:
    for day, compartment, verdict in ((0, "organic", "sure"), (1, "residual", "unsure"), (2, "organic", "unsure")):
        journal.write(replace(DROP, time_s=NOON_S + 86400 * day, compartment=compartment, verdict=verdict))
    assert [drop.id for drop in journal.drops(Search(), 10)] == [3, 2, 1]
    assert [drop.id for drop in journal.drops(Search(compartment="organic"), 10)] == [3, 1]
    assert [drop.id for drop in journal.drops(Search(verdict="unsure"), 10, before_id=3)] == [2]
    assert [drop.id for drop in journal.drops(Search(NOON_S + 1, NOON_S + 86401), 10)] == [2]
    assert [number for *_, number in journal.counts(Search())] == [1, 1, 1]


def test_a_drop_is_counted_on_the_day_that_the_bin_s_clock_shows(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    late_s = datetime(2026, 6, 1, 20, tzinfo=UTC).timestamp()
    journal.write(replace(DROP, time_s=late_s))
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TZ", "Asia/Jakarta")
            time.tzset()
            assert journal.counts(Search()) == [(date(2026, 6, 2), "recyclable", "sure", 1)]
    finally:
        time.tzset()


def test_a_drop_is_on_the_card_when_it_counts_as_written(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], sqlite3.connect
    journal.close()
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: opened.append(real(*given, **more)) or opened[-1])
    journal.write(DROP)
    assert opened[0].execute("PRAGMA synchronous").fetchone() == (2,), "FULL: SQLite syncs at each commit"


def test_threads_that_write_at_once_lose_no_drop(journal: Journal) -> None:
    with ThreadPoolExecutor(4) as writers:
        numbers = list(writers.map(lambda _: journal.write(DROP), range(40)))
    assert sorted(numbers) == list(range(1, 41))


def test_a_clock_that_jumps_back_does_not_disturb_the_order(journal: Journal) -> None:
    journal.write(DROP)
    journal.write(replace(DROP, time_s=NOON_S - 1e6))
    assert [drop.time_s for drop in journal.drops(Search(), 10)] == [NOON_S - 1e6, NOON_S]


def test_the_newest_of_a_long_time_are_found_without_a_look_at_all_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.write(DROP)
    with contextlib.closing(sqlite3.connect(journal.path)) as database, database:
        database.execute(
            "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 50000) INSERT INTO drops "
            "(time_s, material, compartment, verdict, confidence, probabilities) "
            "SELECT time_s + n, material, compartment, verdict, confidence, probabilities FROM drops, many"
        )

    def processor_s(search: Search) -> float:
        begun_s = time.process_time()
        assert len(journal.drops(search, 51)) == 51
        return time.process_time() - begun_s

    everything, since_ever = Search(), Search(since_s=0.0, until_s=4e9)
    assert min(processor_s(since_ever) for _ in range(5)) < 10 * min(processor_s(everything) for _ in range(5))


def test_the_oldest_make_room(journal: Journal) -> None:
    for number in range(105):
        journal.write(replace(DROP, time_s=NOON_S + number), b"jpeg")
    drops = journal.drops(Search(), 1000)
    assert [drop.id for drop in drops] == list(range(105, 5, -1))
    assert [drop.id for drop in drops if drop.has_thumbnail] == [105, 104, 103]


def test_thumbnails_are_removed_once_they_are_not_wanted(journal: Journal) -> None:
    number = journal.write(DROP, b"a picture")
    journal.close()
    private = Journal(journal.path)
    private.open()
    private.write(DROP, b"a picture")
    private.close()
    assert private.thumbnail(number) is None and private.thumbnail(number + 1) is None
    assert b"a picture" not in journal.path.read_bytes()


def test_pictures_that_are_switched_off_are_gone_from_the_card_while_the_bin_runs(journal: Journal) -> None:
    journal.write(DROP, b"a picture")
    journal.close()

    Journal(journal.path).open()

    assert all(b"a picture" not in file.read_bytes() for file in journal.path.parent.iterdir())


def test_what_the_owner_teaches_is_kept(journal: Journal) -> None:
    sure = journal.write(DROP, b"one")
    unsure = journal.write(replace(DROP, verdict="unsure"), b"two")
    newest = journal.write(DROP, b"three")
    assert [drop.id for drop in journal.to_teach(10)] == [unsure, newest, sure]
    assert journal.correct(unsure, "metal")
    journal.keep_photo(b"four", "wood")
    assert [drop.id for drop in journal.to_teach(10)] == [newest, sure]
    (drop, *of_drop), (photo, *of_photo) = journal.lessons()
    assert drop == f"drop-{unsure}-{1000 * DROP.time_s:.0f}" and photo.startswith("photo-1-")
    assert (of_drop, of_photo) == (["metal", b"two"], ["wood", b"four"])
    assert not journal.correct(99, "metal")


def test_only_so_many_photos_are_kept_and_the_oldest_make_room(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as database:
        database.executemany("INSERT INTO photos (time_s, material, jpeg) VALUES (0, 'wood', ?)", [(b"old",)] * 600)
    journal.keep_photo(b"new", "wood")
    photos = [photo for *_, photo in journal.lessons()]
    assert len(photos) == 500 and b"new" in photos


def test_a_broken_file_takes_its_log_along_when_someone_reads_it(journal: Journal) -> None:
    for _ in range(100):
        journal.write(DROP)
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path)) as reader:
        reader.execute("SELECT count(*) FROM drops").fetchone()
        journal.write(DROP)
        content = journal.path.read_bytes()
        journal.path.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))
        aside = journal.open()
        assert aside is not None and aside.with_name(f"{aside.name}-wal").exists()
        assert journal.write(DROP) == 1
    assert len(journal.drops(Search(), 10)) == 1


@pytest.mark.parametrize("harm", ["garbage", "a page in the middle", "the number of its format"])
def test_a_broken_file_is_set_aside(journal: Journal, harm: str) -> None:
    for _ in range(100):
        journal.write(DROP)
    journal.close()
    content = bytearray(journal.path.read_bytes())
    harmed = slice(44, 48) if harm == "the number of its format" else slice(4096, 8192)
    content[harmed] = b"\x5a" * len(content[harmed])
    journal.path.write_bytes(b"garbage" * 1000 if harm == "garbage" else content)
    aside = journal.open()
    assert aside is not None and aside.exists() and ".broken-" in aside.name
    assert journal.drops(Search(), 10) == []
    assert journal.write(DROP) == 1


def test_nothing_new_is_written_into_a_history_that_is_set_aside(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(DROP)
    journal.close()
    teaching = threading.Thread(target=journal.correct, args=(1, "metal"))

    def finds_it_broken(_: Journal) -> bool:
        teaching.start()
        teaching.join(0.5)
        return False

    monkeypatch.setattr(Journal, "_is_sound", finds_it_broken)
    aside = journal.open()
    teaching.join()
    assert aside is not None and len(Journal(aside).drops(Search(), 10)) == 1
    journal.write(DROP)
    journal.write(DROP)
    assert [drop.id for drop in journal.drops(Search(), 10)] == [2, 1]
    assert len(Journal(aside).drops(Search(), 10)) == 1


@pytest.mark.parametrize("text", ['{"glass": 0.9', b'{"gla\xf3s": 0.9}'])
def test_a_text_that_the_card_has_altered_hides_no_drop(journal: Journal, text: str | bytes) -> None:
    journal.write(DROP)
    with sqlite3.connect(journal.path) as database:
        database.execute("UPDATE drops SET probabilities = CAST(? AS TEXT)", (text,))
    (drop,) = journal.drops(Search(), 10)
    assert (drop.material, drop.confidence) == (DROP.material, DROP.confidence)


def test_a_folder_that_comes_back_is_written_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(journal, EventBus(), ManualClock())
    recorder.hear(_decision(1))
    recorder.hear(_decision(2))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "exists", _unreadable)
        recorder.write()
    assert recorder.fault is not None and "Input/output error" in recorder.fault
    recorder.write()
    assert recorder.fault is None and len(journal.drops(Search(), 10)) == 1


def _unreadable(path: Path) -> bool:
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def test_a_disk_that_failed_is_tried_again_after_a_while_and_not_at_each_turn(tmp_path: Path) -> None:
    (tmp_path / "card").write_text("a file where the folder should be")
    clock = ManualClock()
    recorder = Recorder(Journal(tmp_path / "card" / "journal.db"), EventBus(), clock)
    recorder.turn(0.0)
    (tmp_path / "card").unlink()
    recorder.turn(0.0)
    assert recorder.fault is not None
    clock.sleep(TRIES_AGAIN_S)
    recorder.turn(0.0)
    assert recorder.fault is None


def test_what_waits_for_a_disk_that_came_back_is_written_at_the_end_before_its_next_try_is_due(tmp_path: Path) -> None:
    (tmp_path / "card").write_text("a file where the folder should be")
    journal, events = Journal(tmp_path / "card" / "journal.db"), EventBus()
    with Recorder(journal, events, ManualClock()) as recorder:
        events.publish(_decision(1))
        while recorder.fault is None:
            time.sleep(0.01)
        (tmp_path / "card").unlink()
    recorder._thread.join()
    assert len(journal.drops(Search(), 10)) == 1


def test_a_history_that_breaks_while_the_bin_runs_is_set_aside(journal: Journal) -> None:
    recorder = Recorder(journal, EventBus(), ManualClock())
    recorder.write()
    journal.close()
    journal.path.write_bytes(b"garbage" * 1000)
    recorder.hear(_decision(1))
    recorder.hear(_decision(2))
    recorder.write()
    assert recorder.fault is not None
    recorder.write()
    assert recorder.fault is None and len(journal.drops(Search(), 10)) == 1


def test_a_history_that_is_removed_while_the_bin_runs_is_begun_anew(journal: Journal) -> None:
    journal.write(DROP)
    journal.path.unlink()
    journal.write(replace(DROP, material="metal"))
    assert [drop.material for drop in journal.drops(Search(), 10)] == ["metal"]


@pytest.mark.parametrize("writes", [0, 2])
def test_a_history_put_in_the_place_of_another_while_the_bin_runs_is_gone_on_with_and_neither_breaks(
    journal: Journal, tmp_path: Path, writes: int
) -> None:
    other = Journal(tmp_path / "other.db", drops_at_most=1000, thumbnails_at_most=3)
    for _ in range(300):
        other.write(replace(DROP, material="paper"))
    other.close()
    for _ in range(100):
        journal.write(DROP)
    journal.close()
    journal.write(replace(DROP, material="metal"))
    journal.path.rename(tmp_path / "before.db")
    other.path.rename(journal.path)

    for _ in range(writes):
        journal.write(replace(DROP, material="wood"))
    journal.close()

    after = Journal(journal.path)
    assert after.open() is None, "none is set aside as broken"
    materials = Counter(drop.material for drop in after.drops(Search(), 1000))
    assert materials["wood"] == writes and materials.total() == materials["wood"] + materials["paper"]
    assert Journal(tmp_path / "before.db").drops(Search(), 1)[0].material == "metal", "nor is a drop of the first lost"


def test_drops_that_wait_for_a_disk_do_not_fill_the_memory(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.recorder.WAITING_AT_MOST", 3)
    recorder = Recorder(journal, EventBus(), ManualClock())
    for drop in range(6):
        recorder.hear(_decision(drop))
    recorder.write()
    assert [drop.time_s - NOON_S for drop in journal.drops(Search(), 10)] == [4, 3, 2]


def test_another_lid_that_closes_meanwhile_is_not_the_drop_s(journal: Journal) -> None:
    recorder = Recorder(journal, EventBus(), ManualClock())
    recorder.hear(_decision(1))
    recorder.hear(LidEvent(NOON_S, "organic", "closed"))
    recorder.hear(LidEvent(NOON_S, "recyclable", "fault", 1))
    recorder.write()
    assert [drop.lid for drop in journal.drops(Search(), 10)] == ["fault"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_recorder_whose_thread_has_ended_says_so(journal: Journal) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    events = EventBus()
    with Recorder(journal, events, ManualClock(), fails) as recorder:
        assert recorder.fault is None
        events.publish(_decision(1))
        recorder._thread.join()
        assert recorder.fault is not None and "thread has ended" in recorder.fault


def test_a_history_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none.db").drops(Search(), 10) == []
    assert not (tmp_path / "none.db").exists()


def test_another_reader_sees_drops_while_the_journal_is_written(journal: Journal) -> None:
    with sqlite3.connect(journal.path, isolation_level=None) as writer:
        journal.write(DROP)
        writer.execute("BEGIN IMMEDIATE")
        assert len(Journal(journal.path).drops(Search(), 10)) == 1


def test_each_drop_is_written_once_with_what_became_of_its_lid(journal: Journal) -> None:
    recorder = Recorder(journal, EventBus(), ManualClock())
    for drop, last in ((1, "closed"), (2, "fault")):
        recorder.hear(_decision(drop))
        recorder.hear(LidEvent(NOON_S, "recyclable", "open", drop))
        recorder.hear(LidEvent(NOON_S, "recyclable", last, drop))
    recorder.hear(_decision(3))
    recorder.hear(_decision(4))
    recorder.write()
    assert [drop.lid for drop in journal.drops(Search(), 10)] == [None, "fault", "closed"]


def test_the_thumbnail_is_what_the_classifier_was_shown(journal: Journal) -> None:
    shown = np.full((480, 640, 3), (200, 30, 30), np.uint8)
    recorder = Recorder(journal, EventBus(), ManualClock(), lambda _: shown)
    recorder.hear(_decision(1))
    recorder.hear(LidEvent(NOON_S, "recyclable", "closed", 1))
    recorder.write()
    jpeg = journal.thumbnail(1)
    assert jpeg is not None
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture.shape == (224, 299, 3)
    np.testing.assert_allclose(picture.mean((0, 1)), (200, 30, 30), atol=4)


def test_a_disk_that_cannot_be_written_costs_no_drop_once_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "card").write_text("a file where the folder should be")
    journal = Journal(tmp_path / "card" / "journal.db")
    recorder = Recorder(journal, EventBus(), ManualClock())
    recorder.hear(_decision(1))
    recorder.hear(_decision(2))
    recorder.write()
    assert recorder.fault is not None and "look at the disk" in recorder.fault
    (tmp_path / "card").unlink()
    recorder.write()
    assert recorder.fault is None
    assert len(journal.drops(Search(), 10)) == 1


def test_a_full_disk_is_told_and_what_was_written_stays(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.write(DROP)
    recorder = Recorder(journal, EventBus(), ManualClock())
    recorder.write()
    journal.close()
    real = sqlite3.connect

    def small(*given: object, **more: object) -> sqlite3.Connection:
        database = real(*given, **more)  # type: ignore[call-overload]
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    monkeypatch.setattr(sqlite3, "connect", small)
    for drop in range(90):
        recorder.hear(_decision(drop))
    recorder.write()
    assert recorder.fault is not None and "full" in recorder.fault
    monkeypatch.undo()
    recorder.write()
    assert recorder.fault is None
    assert len(journal.drops(Search(), 1000)) == 90


@pytest.mark.parametrize("pragma", ["max_page_count = 1", "query_only = ON"], ids=["full", "read-only"])
def test_a_card_that_takes_nothing_is_tried_again_without_another_look_at_the_whole_history(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, pragma: str
) -> None:
    journal.close()
    looks, look = list[Journal](), Journal._is_sound
    monkeypatch.setattr(Journal, "_is_sound", lambda journal: looks.append(journal) or look(journal))
    clock = ManualClock()
    recorder = Recorder(journal, EventBus(), clock)
    with monkeypatch.context() as bad:
        bad.setattr(sqlite3, "connect", _with(pragma))
        _hear_and_wait(recorder, clock, minutes=10)
        assert recorder.fault is not None
    recorder.turn(0.0)
    assert recorder.fault is None and len(journal.drops(Search(), 100)) == 90
    assert len(looks) == 1


def test_a_history_that_breaks_while_the_card_is_full_is_set_aside(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    recorder = Recorder(journal, EventBus(), clock)
    recorder.turn(0.0)
    journal.close()
    with monkeypatch.context() as full:
        full.setattr(sqlite3, "connect", _with("max_page_count = 1"))
        _hear_and_wait(recorder, clock, minutes=1)
    journal.path.write_bytes(b"garbage" * 10_000)
    _hear_and_wait(recorder, clock, minutes=1)
    assert recorder.fault is None
    assert len(list(journal.path.parent.glob("journal.db.broken-*"))) == 1
    assert journal.drops(Search(), 1)[0].id > 90


def _with(pragma: str) -> Callable[..., sqlite3.Connection]:
    """`sqlite3.connect` on a card that takes nothing more."""
    connect = sqlite3.connect

    def connect_to_a_bad_card(*given: Any, **more: Any) -> sqlite3.Connection:
        database = connect(*given, **more)
        database.execute(f"PRAGMA {pragma}")
        return database

    return connect_to_a_bad_card


def _hear_and_wait(recorder: Recorder, clock: ManualClock, minutes: int) -> None:
    """Ninety drops, and so many minutes without any."""
    for drop in range(90):
        recorder.hear(_decision(drop))
    for _ in range(60 * minutes):
        recorder.turn(0.0)
        clock.sleep(1.0)


def test_a_drop_whose_lid_is_never_told_of_again_is_written_after_a_minute(journal: Journal) -> None:
    clock = ManualClock()
    recorder = Recorder(journal, EventBus(), clock)
    recorder.hear(_decision(1))
    recorder.hear(LidEvent(NOON_S, "recyclable", "open", 1))
    clock.sleep(59.0)
    recorder.turn(0.0)
    assert journal.drops(Search(), 10) == []
    clock.sleep(1.0)
    recorder.turn(0.0)
    assert [drop.lid for drop in journal.drops(Search(), 10)] == [None]
    recorder.hear(LidEvent(NOON_S, "recyclable", "closed", 1))
    recorder.hear(_decision(2))
    recorder.turn(0.0)
    assert len(journal.drops(Search(), 10)) == 1


def test_the_recorder_writes_the_last_drop_before_it_ends(journal: Journal) -> None:
    events = EventBus()
    with Recorder(journal, events, ManualClock()) as recorder:
        events.publish(_decision(1))
    assert recorder.fault is None
    assert len(journal.drops(Search(), 10)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_history_that_root_begins_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    journal.write(DROP)
    owners = {file.name: file.stat().st_uid for file in tmp_path.iterdir()}
    journal.close()
    assert owners == {"journal.db": NOBODY, "journal.db-wal": NOBODY, "journal.db-shm": NOBODY}
