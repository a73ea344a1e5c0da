"""What systemd is told of the bin: that it is ready, alive, and how it fares."""

from __future__ import annotations

import time
from typing import Protocol

import sdnotify

from device.clock import Clock

BEATS_EVERY_S = 1.0


class Notifier(Protocol):
    """Something that hands a message to systemd, as `Systemd` does."""

    def notify(self, state: str) -> None: ...


class Systemd:
    """Hands messages to systemd in UTF-8: sdnotify by itself sends Latin-1, and loses what Latin-1 lacks."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def notify(self, state: str) -> None:
        self._notifier.notify(state.encode(errors="replace").decode("latin-1"))


class Heartbeat:
    """Tells systemd how the service is: READY, STATUS, WATCHDOG, RELOADING and STOPPING (sd_notify(3)).

    Without systemd it tells nobody and costs nothing.
    """

    def __init__(self, clock: Clock, notifier: Notifier) -> None:
        self._clock = clock
        self._notifier = notifier
        self._last_s: float | None = None
        self._starts_again = False

    def beat(self, status: str) -> None:
        """The loop turns; the first time the bin is ready. Passed on once a second: a watchdog must allow for a few."""
        now_s = self._clock.now()
        if self._last_s is None:
            self._notifier.notify("READY=1")
        if self._last_s is None or now_s - self._last_s >= BEATS_EVERY_S:
            self._last_s = now_s
            self._notifier.notify(f"WATCHDOG=1\nSTATUS={status}")

    def starting_again(self) -> None:
        """What comes next is no end, after which systemd would kill the process: the same one will be ready again."""
        self._starts_again = True
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        if not self._starts_again:
            self._notifier.notify("STOPPING=1")
