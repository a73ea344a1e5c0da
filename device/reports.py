"""What the loop tells the world: events for those who follow, how things stand for those who come later, and to systemd
that the bin is alive."""

from __future__ import annotations

from collections.abc import Callable

from device.board import Board
from device.clock import Clock
from device.counting import counted
from device.events import (
    DecisionEvent,
    Event,
    EventBus,
    FaultEvent,
    LidEvent,
    Signal,
    SignalEvent,
    SorterState,
    StateEvent,
)
from device.heartbeat import Heartbeat
from device.lids import Lid
from device.situation import DecidedDrop


class Reports:
    """Publishes events, keeps the latest of each kind, and says in the heartbeat how the bin fares.

    >>> reports = Reports(clock, heartbeat, board, contract.version)    # doctest: +SKIP
    >>> reports.complain("camera", "The camera is frozen.")     # doctest: +SKIP
    >>> reports.faults                                          # doctest: +SKIP
    {'camera': 'The camera is frozen.'}
    """

    def __init__(self, clock: Clock, heartbeat: Heartbeat, board: Board, model_version: str) -> None:
        self.events = EventBus()
        self.heartbeat = heartbeat
        self.faults: dict[str, str] = {}
        self._clock = clock
        self._board = board
        self._model_version = model_version
        self._minded: list[tuple[str, Callable[[], str | None], str]] = []
        self._latest: dict[tuple[str, str], Event] = {}

    def latest(self) -> list[Event]:
        """The latest event of each kind, of each lid, and of each fault that holds; may be read by any thread."""
        return list(self._latest.values())

    def state(self, state: SorterState) -> None:
        self._publish(StateEvent(self._clock.wall(), state))

    def signal(self, signal: Signal, compartment: str | None) -> None:
        self._publish(SignalEvent(self._clock.wall(), signal, compartment))

    def decision(self, drop: DecidedDrop, file: str | None) -> None:
        decision = drop.decision
        self._publish(
            DecisionEvent(
                time_s=self._clock.wall(),
                drop=drop.number,
                material=decision.material,
                compartment=decision.compartment,
                confidence=decision.confidence,
                verdict=decision.verdict,
                frames=decision.frames,
                latency_ms=_in_ms(drop.latency_s),
                probabilities=decision.probabilities,
                model_version=self._model_version,
                file=file,
            )
        )

    def lid(self, lid: Lid, drop: DecidedDrop | None) -> None:
        """A lid came to a state; for a drop, the event says again what was decided about it."""
        self._publish(
            LidEvent(
                time_s=self._clock.wall(),
                compartment=lid.name,
                state=lid.state,
                drop=None if drop is None else drop.number,
                material=None if drop is None else drop.decision.material,
                confidence=None if drop is None else drop.decision.confidence,
                latency_ms=None if drop is None else _in_ms(drop.latency_s),
                angle_deg=lid.angle_deg,
            )
        )

    def complain(self, part: str, message: str) -> None:
        """A part is out of order; said once, as long as the message is the same."""
        if self.faults.get(part) != message:
            self.faults[part] = message
            self._publish(FaultEvent(self._clock.wall(), part, message))

    def mend(self, part: str, message: str) -> None:
        """A part works again; says nothing where nobody complained."""
        if self.faults.pop(part, None) is not None:
            self._publish(FaultEvent(self._clock.wall(), part, message, is_over=True))

    def judge(self, part: str, fault: str | None, over: str) -> None:
        """Complain where there is a fault; otherwise say `over`, where somebody complained."""
        if fault:
            self.complain(part, fault)
        else:
            self.mend(part, over)

    def mind(self, part: str, fault: Callable[[], str | None], over: str) -> None:
        """Judge a part at each `ask`. `fault`: must answer at once; `over`: said once there is no fault any more."""
        self._minded.append((part, fault, over))

    def ask(self) -> None:
        """Judge all parts that are minded."""
        for part, fault, over in self._minded:
            self.judge(part, fault(), over)

    def beat(self, state: SorterState, drops: int) -> None:
        """Let the watchdog know that the loop turns, with the bin's state, its heat and its faults for people."""
        status = f"{state}, {counted(drops, 'drop')}"
        if (temperature_c := self._board.vitals().temperature_c) is not None:
            status += f", {temperature_c:.0f} °C"
        self.heartbeat.beat(" ".join((status, *self.faults.values())))

    def _publish(self, event: Event) -> None:
        name = getattr(event, {"lid": "compartment", "fault": "part"}.get(event.event, ""), "")
        latest = {**self._latest, (event.event, name): event}
        if isinstance(event, FaultEvent) and event.is_over:
            del latest[event.event, name]
        self._latest = latest
        self.events.publish(event)


def _in_ms(duration_s: float) -> float:
    return round(duration_s * 1000, 1)
