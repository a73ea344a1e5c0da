"""The bin as it is now: the stream of events, its bounds, and the picture of the tray, over a real server."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import queue
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.clock import ManualClock
from device.config import Config
from device.drops import Drop
from device.errors import PageError
from device.events import DecisionEvent, FaultEvent, LidEvent, StateEvent, Subscription
from device.page.app import create_app
from device.page.now import STREAMS_AT_MOST
from device.page.server import WORKERS, PageServer
from device.page.stream import (
    EVENTS_WAIT_AT_MOST,
    LOOKS_EVERY_S,
    PICTURES_EVERY_S,
    SILENT_AT_MOST_S,
    Broadcast,
    TrayPicture,
)
from device.page.uploads import BODIES_BYTES_AT_MOST, BYTES_AT_MOST
from device.pictures import decode_picture
from tests.bundles import plain
from tests.page_parts import PlayedAppliance, journal_in, make_bin, photo_of


@pytest.fixture
def appliance() -> PlayedAppliance:
    return PlayedAppliance(Config().compartments)


@pytest.fixture
def server(tmp_path: Path, appliance: PlayedAppliance) -> Iterator[PageServer]:
    with PageServer(create_app(make_bin(tmp_path, appliance=appliance)), "127.0.0.1", 0) as server:
        yield server


class Watcher:
    """One who follows the stream."""

    def __init__(self, server: PageServer) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self.connection.request("GET", "/events")
        self.response = self.connection.getresponse()

    def next(self, event: str) -> dict[str, Any]:
        while (told := json.loads(self._line()[6:]))["event"] != event:
            pass
        return dict(told)

    def _line(self) -> bytes:
        while not (line := self.response.readline()).startswith(b"data: "):
            assert line, "the stream ended"
        return line

    def knows(self, event: LidEvent) -> bool:
        """Whether the next message tells of it, by itself or in how things stand."""
        told = json.loads(self._line()[6:])
        return event.as_dict() in [told, *told.get("events", [])]

    def leave(self) -> None:
        self.response.close()
        self.connection.close()


def get(server: PageServer, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse()


def test_a_watcher_hears_how_things_stand_and_then_what_happens(server: PageServer, appliance: PlayedAppliance) -> None:
    appliance.tell(StateEvent(1.0, "deciding"))
    watcher = Watcher(server)
    stands = {event["event"]: event for event in watcher.next("snapshot")["events"]}
    assert stands["state"]["state"] == "deciding"
    appliance.tell(LidEvent(2.0, "organic", "opening"))
    assert watcher.next("lid")["compartment"] == "organic"
    watcher.leave()


def test_a_watcher_is_told_of_a_new_picture_of_the_tray(server: PageServer, appliance: PlayedAppliance) -> None:
    assert get(server, "/tray.jpg").status == 404
    watcher = Watcher(server)
    appliance.show(plain("glass"), 5.0)
    told = watcher.next("frame")
    assert told["time"] == 5.0
    assert told["picture"].startswith("data:image/jpeg;base64,/9j/")
    assert get(server, "/tray.jpg").read()[:3] == b"\xff\xd8\xff"
    watcher.leave()


def test_a_watcher_of_a_bin_where_nothing_happens_hears_that_it_is_still_there(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.page.stream.SILENT_AT_MOST_S", 0.5)
    Watcher(server).next("quiet")


def test_one_watcher_too_many_is_told_to_come_back_and_can_ask_instead(server: PageServer) -> None:
    watchers = [Watcher(server) for _ in range(STREAMS_AT_MOST)]
    assert {watcher.response.status for watcher in watchers} == {200}
    refused = get(server, "/events")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert json.loads(get(server, "/api/now").read())
    for watcher in watchers:
        watcher.leave()


def test_a_watcher_who_leaves_makes_room(server: PageServer, appliance: PlayedAppliance) -> None:
    watchers = [Watcher(server) for _ in range(STREAMS_AT_MOST)]
    watchers.pop().leave()
    told = threading.Event()

    def keep_talking() -> None:
        number = 0.0
        while not told.wait(0.01):
            number += 1
            appliance.tell(StateEvent(number, "empty"))

    talker = threading.Thread(target=keep_talking, daemon=True)
    talker.start()
    while (again := Watcher(server)).response.status == 503:
        again.leave()
    told.set()
    talker.join()
    for watcher in (*watchers, again):
        watcher.leave()


def test_a_watcher_who_never_reads_holds_nobody_up(server: PageServer, appliance: PlayedAppliance) -> None:
    deaf = socket.create_connection(("127.0.0.1", server.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    other = Watcher(server)
    other.next("snapshot")
    message = "x" * 10_000
    for number in range(500):
        appliance.tell(FaultEvent(float(number), "camera", message))
    appliance.tell(LidEvent(2.0, "reuse", "open"))
    assert get(server, "/api/now").status == 200
    while not other.knows(LidEvent(2.0, "reuse", "open")):
        pass
    deaf.close()
    other.leave()


def test_clients_that_never_read_take_the_page_from_nobody_for_long(
    tmp_path: Path, appliance: PlayedAppliance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("device.page.server.UNREAD_AT_MOST_S", 0.5)
    monkeypatch.setattr("device.page.server.STREAMS_AT_MOST", 0)
    drops = [Drop(0, 0.0, "x" * 200_000, "residual", 0.9, "sure")] * 12
    bin_ = make_bin(tmp_path, appliance=appliance, journal=journal_in(tmp_path, drops))
    with PageServer(create_app(bin_), "127.0.0.1", 0) as server:
        deaf = [socket.socket() for _ in range(WORKERS)]
        for client in deaf:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /history.csv?from=1970-01-01 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert get(server, "/api/now").status == 200
        for client in deaf:
            client.close()
    assert "Traceback" not in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_picture_that_cannot_be_made_ends_the_stream_once_and_the_next_one_tells_what_happens(
    appliance: PlayedAppliance,
) -> None:
    clock, closing = ManualClock(), threading.Event()
    tray = TrayPicture(appliance, clock)
    tray.get = lambda: (_ for _ in ()).throw(MemoryError)  # type: ignore[method-assign]
    broadcast = Broadcast(appliance, tray, clock, closing)
    first, _ = follow(broadcast)
    first.join(5)
    assert not first.is_alive(), "a browser that is cut off asks again"
    del tray.get
    second, heard = follow(broadcast)
    assert b"snapshot" in heard.get(timeout=5)
    is_passed_on(LidEvent(2.0, "organic", "opening"), appliance, heard)
    closing.set()
    second.join()


def test_nothing_is_drawn_while_nobody_watches_and_the_next_watcher_sees_no_picture_of_the_last_ones_time(
    appliance: PlayedAppliance,
) -> None:
    clock = ManualClock()
    broadcast = Broadcast(appliance, TrayPicture(appliance, clock), clock, threading.Event())
    for time_s in (5.0, 3605.0):
        appliance.show(plain("glass"), time_s)
        others, stream = set(threading.enumerate()), broadcast.watch()
        said = next(said for said in stream if b'"frame"' in said)
        listens = set(threading.enumerate()) - others
        assert f'"time": {time_s}'.encode() in said
        stream.close()  # type: ignore[attr-defined]
        for thread in listens:
            thread.join(5)
            assert not thread.is_alive()
        assert not appliance.events._subscriptions
        clock.sleep(3600)


def test_a_watcher_who_comes_as_the_last_one_leaves_is_told_what_happens(
    appliance: PlayedAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, came = threading.Event(), queue.SimpleQueue[Any]()
    broadcast = Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing)
    unsubscribe = appliance.events.unsubscribe

    def comes(subscription: Subscription) -> None:
        watcher, heard = follow(broadcast)
        assert b"snapshot" in heard.get(timeout=5)
        unsubscribe(subscription)
        came.put((watcher, heard))

    others, last = set(threading.enumerate()), broadcast.watch()
    next(last)
    (listens,) = set(threading.enumerate()) - others
    with monkeypatch.context() as patched:
        patched.setattr(appliance.events, "unsubscribe", comes)
        last.close()  # type: ignore[attr-defined]
        watcher, heard = came.get(timeout=5)
        listens.join(5)
    is_passed_on(LidEvent(2.0, "organic", "opening"), appliance, heard)
    closing.set()
    watcher.join()


def test_a_watcher_sees_what_was_decided_about_no_later_than_the_decision(appliance: PlayedAppliance) -> None:
    clock, closing = ManualClock(), threading.Event()
    broadcast = Broadcast(appliance, TrayPicture(appliance, clock), clock, closing)
    stream = broadcast.watch()
    appliance.show(plain("glass"), 5.0)
    next(said for said in stream if b'"time": 5.0' in said)
    other, heard = follow(broadcast)
    clock.sleep(PICTURES_EVERY_S)
    appliance.show(plain("organic"), 6.0)
    appliance.tell(DecisionEvent(6.0, 1, "organic", "organic", 0.9, "sure", 2, 300.0))
    while b'"decision"' not in heard.get(timeout=5):
        pass
    told = next(stream)
    assert 0 < told.index(b'"time": 6.0, "picture"') < told.index(b'"decision"')
    closing.set()
    other.join()


def test_a_watcher_who_was_away_for_longer_than_events_wait_is_told_how_things_stand(
    appliance: PlayedAppliance,
) -> None:
    closing = threading.Event()
    broadcast = Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing)
    others, slow = set(threading.enumerate()), broadcast.watch()
    next(slow)
    quick, heard = follow(broadcast)
    for number in range(EVENTS_WAIT_AT_MOST + 1):
        assert heard.get(timeout=5)
        appliance.tell(StateEvent(number, "empty"))
    assert heard.get(timeout=5)
    assert b'"snapshot"' in next(slow)
    closing.set()
    quick.join()
    for thread in set(threading.enumerate()) - others:
        thread.join(5)


def test_a_page_that_missed_events_while_it_drew_a_picture_is_told_how_things_stand(appliance: PlayedAppliance) -> None:
    closing, draws, may_go_on = threading.Event(), threading.Event(), threading.Event()
    tray = TrayPicture(appliance, ManualClock())

    def draw() -> tuple[None, None]:
        draws.set()
        may_go_on.wait(5)
        return None, None

    tray.get = draw  # type: ignore[method-assign]
    stream = Broadcast(appliance, tray, ManualClock(), closing).watch()
    next(stream)
    assert draws.wait(5)
    for number in range(EVENTS_WAIT_AT_MOST + 1):
        appliance.tell(StateEvent(number, "empty"))
    may_go_on.set()
    assert b'"snapshot"' in next(stream)
    told = LidEvent(2.0, "organic", "opening")
    appliance.tell(told)
    assert json.loads(next(stream)[6:]) == told.as_dict()
    closing.set()


def test_all_that_happens_at_once_is_told_to_each_watcher_once_and_in_turn(appliance: PlayedAppliance) -> None:
    closing = threading.Event()
    broadcast = Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing)
    followed = [follow(broadcast) for _ in range(3)]
    for _, heard in followed:
        assert b"snapshot" in heard.get(timeout=5)
    assert len(appliance.events._subscriptions) == 1
    happens = [LidEvent(float(at), name, "opening") for at, name in enumerate([*Config().compartments] * 4)]
    for event in happens:
        appliance.tell(event)
    for _, heard in followed:
        told: list[dict[str, Any]] = []
        while len(told) < len(happens):
            told += [json.loads(said[6:]) for said in heard.get(timeout=5).splitlines() if said]
        assert told == [event.as_dict() for event in happens]
    closing.set()
    for watcher, _ in followed:
        watcher.join()


def test_who_opens_the_page_later_sees_no_lid_open_once_more(appliance: PlayedAppliance) -> None:
    closing = threading.Event()
    broadcast = Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing)
    first, heard = follow(broadcast)
    assert b"snapshot" in heard.get(timeout=5)
    for state in ("opening", "closed"):
        appliance.tell(LidEvent(1.0, "organic", state))
        assert state.encode() in heard.get(timeout=5)
    later, heard = follow(broadcast)
    assert b"snapshot" in heard.get(timeout=5)
    is_passed_on(LidEvent(2.0, "reuse", "opening"), appliance, heard)
    closing.set()
    first.join()
    later.join()


def test_a_picture_is_sent_once_and_brings_back_nothing_that_was_told_before(appliance: PlayedAppliance) -> None:
    closing = threading.Event()
    watcher, heard = follow(Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing))
    assert b"snapshot" in heard.get(timeout=5)
    is_passed_on(LidEvent(1.0, "organic", "opening"), appliance, heard)
    appliance.show(plain("glass"), 5.0)
    assert json.loads(heard.get(timeout=5)[6:])["event"] == "frame"
    is_passed_on(LidEvent(2.0, "organic", "open"), appliance, heard)
    closing.set()
    watcher.join()


def test_a_lid_and_a_picture_are_told_as_they_come_and_not_at_the_next_look(
    appliance: PlayedAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.page.stream.LOOKS_EVERY_S", 3600.0)
    clock, closing = ManualClock(), threading.Event()
    _, heard = follow(Broadcast(appliance, TrayPicture(appliance, clock), clock, closing))
    assert b"snapshot" in heard.get(timeout=5)
    told = LidEvent(1.0, "organic", "opening")
    appliance.tell(told)
    assert json.loads(heard.get(timeout=5)[6:]) == told.as_dict()
    appliance.show(plain("glass"), 5.0)
    appliance.tell(DecisionEvent(6.0, 1, "glass", "recyclable", 0.9, "sure", 2, 300.0))
    assert b'"frame"' in heard.get(timeout=5)
    closing.set()
    appliance.tell(told)


def test_what_happens_after_a_long_silence_is_not_lost(
    appliance: PlayedAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.page.stream.SILENT_AT_MOST_S", LOOKS_EVERY_S)
    closing = threading.Event()
    watcher, heard = follow(Broadcast(appliance, TrayPicture(appliance, ManualClock()), ManualClock(), closing))
    assert b"snapshot" in heard.get(timeout=5)
    assert b"quiet" in heard.get(timeout=5)
    appliance.tell(LidEvent(1.0, "organic", "opening"))
    assert any(b"opening" in heard.get(timeout=5) for _ in range(4))
    closing.set()
    watcher.join()


def test_a_watcher_sees_the_tray_move_twice_a_second(appliance: PlayedAppliance) -> None:
    clock, closing = ManualClock(), threading.Event()
    watcher, heard = follow(Broadcast(appliance, TrayPicture(appliance, clock), clock, closing))
    assert b"snapshot" in heard.get(timeout=5)
    for time_s in (5.0, 5.5):
        appliance.show(plain("glass"), time_s)
        assert f'"time": {time_s}'.encode() in heard.get(timeout=3)
        clock.sleep(0.5)
    closing.set()
    watcher.join()


def test_a_page_that_hears_in_time_that_nothing_happens_does_not_tell_that_the_connection_is_lost() -> None:
    script = Path("device/page/static/watch.js").read_text()
    lost_after = re.search(r"SILENT_AT_MOST_MS = (\d+)", script)
    assert lost_after and int(lost_after[1]) / 1000 > 2 * SILENT_AT_MOST_S


def follow(broadcast: Broadcast) -> tuple[threading.Thread, queue.SimpleQueue[bytes]]:
    heard = queue.SimpleQueue[bytes]()
    watcher = threading.Thread(target=lambda: [heard.put(said) for said in broadcast.watch()], daemon=True)
    watcher.start()
    return watcher, heard


def is_passed_on(event: LidEvent, appliance: PlayedAppliance, heard: queue.SimpleQueue[bytes]) -> None:
    """The next that a watcher hears is this event, and nothing from before."""
    appliance.tell(event)
    assert json.loads(heard.get(timeout=5)[6:]) == event.as_dict()


@pytest.mark.parametrize("jump_s", [-2e9, 0.0, 2e9])
def test_a_silent_client_is_hung_up_on_whatever_the_wall_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    monkeypatch.setattr("device.page.server.SILENT_AT_MOST_S", 2)
    jumped_s = [0.0]
    wall = SimpleNamespace(time=lambda: time.time() + jumped_s[0])
    monkeypatch.setattr("waitress.server.time", wall)
    monkeypatch.setattr("waitress.channel.time", wall)
    with PageServer(create_app(make_bin(tmp_path)), "127.0.0.1", 0) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        silent.sendall(b"GET /static/words.js HTTP/1.1\r\nHost: x\r\n")
        time.sleep(1.1)  # the server looks about it once a second
        jumped_s[0] = jump_s
        time.sleep(0.2)
        begun_s = time.monotonic()
        silent.sendall(b"Connection: keep-alive\r\n\r\n")
        while silent.recv(65536):
            pass
        assert time.monotonic() - begun_s > 1.5, "one who asks is answered first"
        silent.close()


@pytest.mark.parametrize("begun", ["GET /now HTTP/1.1\r\n", f"POST /ask HTTP/1.1\r\nContent-Length: {10**6}\r\n\r\n"])
def test_clients_that_drip_their_requests_close_the_page_to_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    monkeypatch.setattr("device.page.server.REQUEST_AT_MOST_S", 1)
    with PageServer(create_app(make_bin(tmp_path)), "127.0.0.1", 0) as server:
        dripping = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        dripping.sendall(begun.encode())
        begun_s = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - begun_s < 10:
                dripping.sendall(b"x")
                time.sleep(0.1)
        dripping.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own times hold")
def test_a_phone_that_has_left_the_network_is_noticed_within_a_minute(server: PageServer) -> None:
    asks = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as phone:
        phone.sendall(b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        phone.recv(1)
        (channel,) = server._server.active_channels.values()
        assert channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle_s, every_s, times = (channel.socket.getsockopt(socket.IPPROTO_TCP, option) for option in asks)
        assert idle_s + every_s * times <= 60


def test_the_bin_s_own_paths_are_nobody_s_business(server: PageServer, appliance: PlayedAppliance) -> None:
    decided = DecisionEvent(1.0, 1, "glass", "recyclable", 0.9, "sure", 3, 100.0, file="/home/owner/glass.jpg")
    appliance.tell(decided)
    assert "/home/owner" not in get(server, "/api/now").read().decode()
    watcher = Watcher(server)
    stands = {event["event"]: event for event in watcher.next("snapshot")["events"]}
    assert "file" not in stands["decision"]
    appliance.tell(decided)
    assert "file" not in watcher.next("decision")
    watcher.leave()


def test_the_tray_is_encoded_once_for_all_and_not_more_often_than_needed() -> None:
    appliance, clock = PlayedAppliance([]), ManualClock()
    tray = TrayPicture(appliance, clock)
    assert tray.get() == (None, None)
    appliance.show(plain("glass"), 1.0)
    first = tray.get()
    appliance.show(plain("organic"), 2.0)
    assert tray.get() == first
    clock.sleep(1.0)
    second = tray.get()
    assert second != first
    clock.sleep(1.0)
    assert tray.get()[0] is second[0]


def test_a_wide_picture_of_the_tray_is_sent_no_wider_than_a_phone_shows_it() -> None:
    appliance = PlayedAppliance([])
    appliance.show(np.zeros((960, 1280, 3), np.uint8), 1.0)
    picture, _ = TrayPicture(appliance, ManualClock()).get()
    assert picture is not None and decode_picture(picture).shape == (480, 640, 3)


def test_what_lies_on_the_tray_is_seen_clearly() -> None:
    appliance = PlayedAppliance([])
    tray = plain("glass", 480, 640)
    tray[200:280, 200:440] = plain("organic", 80, 240)
    appliance.show(tray, 1.0)
    picture, _ = TrayPicture(appliance, ManualClock()).get()
    assert picture is not None
    assert np.abs(decode_picture(picture).astype(int) - tray).mean() < 2


def test_fifty_megabytes_two_hundred_at_once_are_refused_while_the_page_goes_on(server: PageServer) -> None:
    def upload() -> socket.socket:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        head = "POST /api/classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        client.sendall(f"{head}Content-Length: 50000000\r\n\r\n--b\r\n".encode())
        return client

    for _ in range(4):
        clients = [upload() for _ in range(50)]
        answers = [client.recv(64) for client in clients]
        assert all(b"413" in answer for answer in answers)
        for client in clients:
            client.close()
    assert get(server, "/api/now").status == 200


def test_uploads_that_never_end_fill_neither_card_nor_memory_and_small_ones_still_pass(server: PageServer) -> None:
    fits = BODIES_BYTES_AT_MOST // BYTES_AT_MOST
    for _ in range(2):
        while len(held := hold_uploads(server, 2 * fits)) != fits:
            pass
        assert ask_over(server, photo_of("glass")) == 200
        for client in held:
            client.close()


def test_a_program_reads_in_json_that_its_photo_is_too_large_or_the_bin_busy(server: PageServer) -> None:
    head = "POST /api/classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"

    def begin(length: int, sent: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + b"x" * sent)
        return client

    def refusal(*clients: socket.socket) -> tuple[int, str, str | None]:
        answer = http.client.HTTPResponse(select.select(clients, [], [], 20)[0][0])
        answer.begin()
        return answer.status, json.loads(answer.read())["error"], answer.headers["Retry-After"]

    status, sentence, _ = refusal(begin(BYTES_AT_MOST, 0))
    assert status == 413 and "12 MB" in sentence
    room = BODIES_BYTES_AT_MOST + 1
    held = []
    while room > 0:
        held.append(begin(BYTES_AT_MOST - 1, min(room, BYTES_AT_MOST - 2)))
        room -= BYTES_AT_MOST - 2
    status, sentence, retry_s = refusal(*held)
    assert status == 503 and "try again" in sentence and int(retry_s) > 0
    for client in held:
        client.close()


def test_a_large_photo_is_answered_while_the_card_is_full(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/room")
    for size in (600_000, BYTES_AT_MOST - 1000):
        assert ask_over(server, photo_of("glass").ljust(size, b"\0")) == 200


def hold_uploads(server: PageServer, number: int) -> list[socket.socket]:
    """Begin so many uploads that lack their last byte; those that the server does not hang up on."""
    head = "POST /api/classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    held = []
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with contextlib.suppress(ConnectionError):
            client.sendall(f"{head}Content-Length: {BYTES_AT_MOST - 1}\r\n\r\n".encode())
            client.sendall(b"x" * (BYTES_AT_MOST - 2))
            held.append(client)
    return held


def ask_over(server: PageServer, photo: bytes) -> int:
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/api/classify", body, {"Content-Type": "multipart/form-data; boundary=b"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_two_hundred_photos_at_once_are_answered_or_told_to_wait_and_nothing_is_kept(
    server: PageServer, tmp_path: Path
) -> None:
    before = sorted(file.name for file in tmp_path.rglob("*"))
    photo = photo_of("glass")
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask_over(server, photo))) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429, 503}
    assert len(statuses) == 200
    assert 200 in statuses
    assert sorted(file.name for file in tmp_path.rglob("*")) == before


def test_no_client_can_fill_the_log(server: PageServer, caplog: pytest.LogCaptureFixture) -> None:
    """Nor by a name of the bin that no name can be; such a request wrote sixty lines."""
    caplog.set_level(logging.INFO)
    watchers = [Watcher(server) for _ in range(STREAMS_AT_MOST)]
    crowd = [threading.Thread(target=get, args=(server, "/health")) for _ in range(10 * WORKERS)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    for watcher in watchers:
        watcher.leave()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", "/language", "language=id")
    assert connection.getresponse().read()
    connection.request("GET", "/now", headers={"Host": "..", "Accept": "text/html"})

    assert connection.getresponse().status == 400
    assert caplog.messages == []


def test_a_port_that_is_taken_is_named_with_the_setting_that_mends_it(server: PageServer, tmp_path: Path) -> None:
    with pytest.raises(PageError, match=rf"port {server.port} .*\(Address already in use\): .*page\.port"):
        PageServer(create_app(make_bin(tmp_path)), "127.0.0.1", server.port)


@pytest.mark.parametrize("address", ["ünïcode..de", "a\0b", "256.0.0.1"])
def test_an_address_that_is_none_is_named_with_its_setting(tmp_path: Path, address: str) -> None:
    with pytest.raises(PageError, match=r"page\.address"):
        PageServer(create_app(make_bin(tmp_path)), address, 0)


def test_closing_ends_streams_frees_the_port_and_twice_is_fine(tmp_path: Path, appliance: PlayedAppliance) -> None:
    server = PageServer(create_app(make_bin(tmp_path, appliance=appliance)), "127.0.0.1", 0)
    watcher = Watcher(server)
    server.close()
    server.close()
    watcher.leave()
    PageServer(create_app(make_bin(tmp_path)), "127.0.0.1", server.port).close()


def test_on_a_workstation_without_a_bin_the_page_starts_with_ask(tmp_path: Path) -> None:
    client = create_app(make_bin(tmp_path)).test_client()
    assert client.get("/").headers["Location"] == "/ask"
    assert client.get("/events").status_code == 404


@pytest.mark.parametrize("path", ["/now", "/ask"])
def test_a_browser_that_runs_no_scripts_is_told_that_the_page_needs_them(server: PageServer, path: str) -> None:
    told = get(server, path).read().decode().split("<noscript>")[1].split("</noscript>")[0]
    assert "This page needs JavaScript" in told
