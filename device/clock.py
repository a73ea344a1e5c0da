"""Time as a value that is passed in: the machine's clock, and one that a test moves by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the appliance asks of time."""

    def now(self) -> float:
        """Seconds of a clock that never jumps (`time.monotonic`)."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Wait; a duration of zero or less returns at once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            time.sleep(duration_s)


class ManualClock:
    """A clock that stands still until someone sleeps on it: hours of a bin's life pass in seconds of a test.

    >>> clock = ManualClock()
    >>> clock.sleep(3600)
    >>> clock.now()
    3600.0
    """

    def __init__(self, start_s: float = 0.0, wall_s: float = 1_750_000_000.0) -> None:
        self._now_s = start_s
        self._wall_offset_s = wall_s - start_s

    def now(self) -> float:
        return self._now_s

    def wall(self) -> float:
        return self._now_s + self._wall_offset_s

    def sleep(self, duration_s: float) -> None:
        self._now_s += max(0.0, duration_s)

    def jump_wall(self, by_s: float) -> None:
        """Set the wall clock forward or back, as NTP does after a start without network."""
        self._wall_offset_s += by_s
