"""Writes what happens into the journal, in a thread of its own: a disk that is slow, full or read-only costs history,
never sorting."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from device.clock import Clock
from device.drops import Drop
from device.errors import JournalError
from device.events import DecisionEvent, Event, EventBus, LidEvent
from device.journal import Journal
from device.pictures import encode_jpeg, shrunk

log = logging.getLogger(__name__)

WAITING_AT_MOST = 1000
"""Drops that wait for a disk to come back; then the oldest are lost."""
TRIES_AGAIN_S = 10.0
LISTENS_S = 0.5
ENDS_WITHIN_S = 1.0
LID_AT_MOST_S = 60.0
"""A drop waits so long for its lid to close: after a fault of the loop none is told of, and a power cut would cost the
drop."""
THUMBNAIL_SIDE = 224
"""Pixels of the short side: what the classifier looks at."""
THUMBNAIL_QUALITY = 85

Written = tuple[Drop, bytes | None]


class Recorder:
    """Follows the events and writes each drop once its lid has closed, or a minute after it was decided about.

    >>> with Recorder(journal, bin.events, clock, bin.sight.judged) as recorder:     # doctest: +SKIP
    ...     bin.run(...)

    Parameters
    ----------
    journal:
        where drops are written.
    events:
        what is followed; the loop never waits for this.
    clock:
        when a disk that failed is tried again.
    picture:
        drop → what the classifier was shown of it, (H, W, 3) uint8 RGB; None where no pictures are to be kept.
    """

    def __init__(
        self,
        journal: Journal,
        events: EventBus,
        clock: Clock,
        picture: Callable[[int], NDArray[np.uint8] | None] | None = None,
    ) -> None:
        self._journal = journal
        self._subscription = events.subscribe(4 * WAITING_AT_MOST)
        self._clock = clock
        self._picture = picture
        self._open: tuple[int, Written] | None = None
        self._open_since_s = clock.now()
        self._waiting: deque[Written] = deque(maxlen=WAITING_AT_MOST)
        self._is_ready = False
        self._fault: str | None = None
        self._tries_at_s = clock.now()
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="recorder", daemon=True)

    @property
    def fault(self) -> str | None:
        """Why nothing can be written now; None while all is well. Answers at once, in any thread."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._is_ending.is_set():
            return "The history is not written any more: its thread has ended, and the log tells why."
        return self._fault

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits; a disk that hangs is not waited for. Closing twice is fine."""
        self._is_ending.set()
        self._subscription.wake()
        if self._thread.ident is not None:
            self._thread.join(ENDS_WITHIN_S)

    def _follow(self) -> None:
        while not self._is_ending.is_set():
            self.turn(LISTENS_S)
        self._tries_at_s = self._clock.now()
        self.turn(0.0, is_last=True)
        self._journal.close()

    def turn(self, timeout_s: float, is_last: bool = False) -> None:
        """Hear what happened, waiting up to `timeout_s` for it, and write what is due."""
        for event in self._subscription.take(timeout_s):
            self.hear(event)
        if is_last or self._clock.now() - self._open_since_s >= LID_AT_MOST_S:
            self._finish_open()
        if self._clock.now() >= self._tries_at_s:
            self.write()
            self._tries_at_s = self._clock.now() + (TRIES_AGAIN_S if self._fault else 0.0)

    def hear(self, event: Event) -> None:
        """Take an event in; touches no disk."""
        if isinstance(event, DecisionEvent):
            self._finish_open()
            drop = Drop(
                id=0,
                time_s=event.time_s,
                material=event.material,
                compartment=event.compartment,
                confidence=event.confidence,
                verdict=event.verdict,
                probabilities=event.probabilities,
                model_version=event.model_version,
                latency_ms=event.latency_ms,
            )
            self._open = event.drop, (drop, self._thumbnail(event.drop))
            self._open_since_s = self._clock.now()
        elif isinstance(event, LidEvent) and event.state in ("closed", "fault"):
            self._finish_open(event)

    def write(self) -> None:
        """Write all that waits; what cannot be written waits on, and `fault` says why."""
        try:
            if not self._is_ready:
                if (aside := self._journal.open()) is not None:
                    log.warning("The history was broken and lies at %s now; a new one was begun.", aside)
                self._is_ready = True
            while self._waiting:
                self._journal.write(*self._waiting[0])
                self._waiting.popleft()
        except JournalError as fault:
            self._is_ready = False
            self._fault = str(fault)
        else:
            self._fault = None

    def _finish_open(self, lid: LidEvent | None = None) -> None:
        """Let the drop that is open be written; `lid`: only if it is that drop's lid, with its state."""
        if self._open is None or (lid is not None and lid.drop != self._open[0]):
            return
        drop, thumbnail = self._open[1]
        self._waiting.append((drop if lid is None else replace(drop, lid=lid.state), thumbnail))
        self._open = None

    def _thumbnail(self, drop: int) -> bytes | None:
        picture = None if self._picture is None else self._picture(drop)
        if picture is None:
            return None
        return encode_jpeg(shrunk(picture, THUMBNAIL_SIDE / min(picture.shape[:2])), THUMBNAIL_QUALITY)
