"""What happened, as it happens: small frozen events that the loop publishes and anyone may follow.

A follower that does not keep up loses its oldest events and is told how many; it never holds the loop back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

LidState = Literal["opening", "open", "closing", "closed", "fault"]
SorterState = Literal["empty", "arriving", "still", "deciding", "serving", "leaving", "fault", "maintenance"]
Signal = Literal["idle", "thinking", "here", "unsure", "fault"]


@dataclass(frozen=True)
class Event:
    """`time_s`: seconds since 1970 (UTC)."""

    event: ClassVar[str]
    time_s: float

    def as_dict(self) -> dict[str, Any]:
        """The event as `--json` prints it: `event` and `time` first, then its own fields, without the unset ones."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {"event": self.event, "time": round(values.pop("time_s"), 3), **values}


@dataclass(frozen=True)
class DecisionEvent(Event):
    """One object was judged. `latency_ms`: from lying still to the decision; `file`: where a folder feeds the tray."""

    event = "decision"
    drop: int
    material: str
    compartment: str
    confidence: float
    verdict: str
    frames: int
    latency_ms: float
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model_version: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class LidEvent(Event):
    """A lid reached a state; `angle_deg` is the angle it was told to take, None when it is let go."""

    event = "lid"
    compartment: str
    state: LidState
    drop: int | None = None
    material: str | None = None
    confidence: float | None = None
    latency_ms: float | None = None
    angle_deg: float | None = None


@dataclass(frozen=True)
class StateEvent(Event):
    """The sorter went from one state to another."""

    event = "state"
    state: SorterState


@dataclass(frozen=True)
class SignalEvent(Event):
    """What the LEDs and the buzzer tell; `compartment` for *here*."""

    event = "signal"
    signal: Signal
    compartment: str | None = None


@dataclass(frozen=True)
class FaultEvent(Event):
    """Something is out of order (`is_over` False) or works again (`is_over` True)."""

    event = "fault"
    part: str
    message: str
    is_over: bool = False


class Subscription:
    """The events since one began to listen, newest last; at most `limit` wait at a time."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[Event] = deque(maxlen=limit)
        self._condition = threading.Condition()
        self._is_woken = False
        self.lost = 0

    def take(self, timeout_s: float | None = None) -> list[Event]:
        """All waiting events; waits up to `timeout_s` for the first, and returns an empty list when none came."""
        with self._condition:
            if not self._waiting and timeout_s and not self._is_woken:
                self._condition.wait(timeout_s)
            taken = list(self._waiting)
            self._waiting.clear()
            return taken

    def wake(self) -> None:
        """Let nobody wait for events any more: what follows them is about to end."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def _put(self, event: Event) -> None:
        with self._condition:
            if len(self._waiting) == self._waiting.maxlen:
                self.lost += 1
            self._waiting.append(event)
            self._condition.notify_all()


class EventBus:
    """Hands each event to every subscriber without ever waiting for one."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, limit: int = 256) -> Subscription:
        subscription = Subscription(limit)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)

    def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription._put(event)
