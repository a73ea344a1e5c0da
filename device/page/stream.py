"""What happens at the bin, told to all who watch: each event and picture is put into words once for all."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from device.clock import Clock
from device.events import Event, Subscription
from device.page.bin import Appliance
from device.pictures import encode_jpeg, shrunk

EVENTS_WAIT_AT_MOST = 64
LOOKS_EVERY_S = 0.5
"""How often a watcher is shown a new picture."""
SILENT_AT_MOST_S = 10.0
"""After so long without news that is told: it shows who has left, and shows a watcher that the bin has not."""
PICTURE_WIDTH = 640
PICTURE_QUALITY = 80
PICTURES_EVERY_S = 0.25
"""A picture is encoded at most this often, however many watch."""


class TrayPicture:
    """The newest frame as a JPEG, encoded once for all who watch."""

    def __init__(self, appliance: Appliance, clock: Clock) -> None:
        self._appliance = appliance
        self._clock = clock
        self._lock = threading.Lock()
        self._encoded: bytes | None = None
        self._encoded_s = float("-inf")
        self._frame_s: float | None = None

    def get(self) -> tuple[bytes | None, float | None]:
        """The picture and its frame's time; None and None as long as the camera has given nothing."""
        with self._lock:
            frame = self._appliance.newest_frame()
            too_soon = self._clock.now() - self._encoded_s < PICTURES_EVERY_S
            if frame is not None and frame.time_s != self._frame_s and not too_soon:
                small = shrunk(frame.pixels, PICTURE_WIDTH / frame.pixels.shape[1])
                self._encoded = encode_jpeg(small, PICTURE_QUALITY)
                self._frame_s, self._encoded_s = frame.time_s, self._clock.now()
            return self._encoded, self._frame_s


class Broadcast:
    """One thread listens to the bin while anyone watches; those who watch share what it says.

    A watcher who does not keep up is told how things stand, and of several pictures sees the newest.
    """

    def __init__(self, appliance: Appliance, tray: TrayPicture, clock: Clock, closing: threading.Event) -> None:
        self._appliance = appliance
        self._clock = clock
        self._tray = tray
        self._closing = closing
        self._news = threading.Condition()
        self._said: deque[bytes] = deque(maxlen=EVENTS_WAIT_AT_MOST)
        self._count = 0
        self._picture: tuple[float, bytes] | None = None
        self._watchers = 0
        self._listening: Subscription | None = None
        self._shown_s = float("-inf")
        self.start = secrets.token_hex(8)
        """Another one after each start of the bin, by which a page knows that it is out of date."""

    def watch(self) -> Iterator[bytes]:
        """The stream of one watcher (server-sent events; WHATWG HTML, section 9.2): first how things stand."""
        with self._news:
            if self._listening is None:
                subscription = self._appliance.events.subscribe(EVENTS_WAIT_AT_MOST)
                threading.Thread(target=self._listen, args=(subscription,), name="broadcast", daemon=True).start()
                self._listening, self._picture = subscription, None
            self._watchers += 1
            told = self._count
        try:
            yield from self._tell(told)
        finally:
            with self._news:
                self._watchers -= 1

    def _tell(self, told: int) -> Iterator[bytes]:
        yield b"retry: 2000\n\n" + self._standing()
        seen_s, silent_s = None, 0.0
        while not self._closing.is_set():
            with self._news:
                if self._listening is None:
                    return  # nobody listens any more; a browser that is cut off asks again, and someone does
                if self._count == told and (self._picture is None or self._picture[0] == seen_s):
                    self._news.wait(LOOKS_EVERY_S)
                missed, told = self._count - told, self._count
                said = list(self._said)[-missed:] if missed else []
                picture = self._picture
            news = [self._standing()] if missed > len(said) else said
            if picture is not None and picture[0] != seen_s:
                seen_s = picture[0]
                news.insert(0, picture[1])
            silent_s = 0.0 if news else silent_s + LOOKS_EVERY_S
            if silent_s >= SILENT_AT_MOST_S:
                silent_s, news = 0.0, [_data({"event": "quiet"})]
            if news:
                yield b"".join(news)

    def _listen(self, subscription: Subscription) -> None:
        try:
            self._pass_on(subscription)
        finally:
            self._appliance.events.unsubscribe(subscription)
            with self._news:
                if self._listening is subscription:
                    self._listening = None
                self._news.notify_all()

    def _pass_on(self, subscription: Subscription) -> None:
        lost = 0
        while self._is_wanted():
            if self._clock.now() - self._shown_s >= LOOKS_EVERY_S:
                self._show()
            events = subscription.take(LOOKS_EVERY_S)
            said = [_data(public(event)) for event in events]
            if subscription.lost > lost:
                lost, said = subscription.lost, [self._standing()]
            if any(event.event == "decision" for event in events):
                self._show()
            with self._news:
                self._said.extend(said)
                self._count += len(said)
                if said:
                    self._news.notify_all()

    def _is_wanted(self) -> bool:
        """Whether anyone watches; the next watcher after the last has someone else listen."""
        with self._news:
            if self._watchers and not self._closing.is_set():
                return True
            self._listening = None
            return False

    def _show(self) -> None:
        """Have the newest picture ready; at a decision, so that it shows what was decided about."""
        picture, frame_s = self._tray.get()
        if picture is None or frame_s is None or (self._picture is not None and frame_s == self._picture[0]):
            return
        self._shown_s = self._clock.now()
        source = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
        said = _data({"event": "frame", "time": frame_s, "picture": source})
        with self._news:
            self._picture = frame_s, said
            self._news.notify_all()

    def standing(self) -> list[dict[str, Any]]:
        """How things stand, event by event; first of all, which start of the bin this is."""
        return [{"event": "start", "start": self.start}, *map(public, self._appliance.snapshot())]

    def _standing(self) -> bytes:
        return _data({"event": "snapshot", "events": self.standing()})


def public(event: Event) -> dict[str, Any]:
    """The event without what is nobody's business on the network: paths of the bin's own files."""
    return {key: value for key, value in event.as_dict().items() if key != "file"}


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
