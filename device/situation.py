"""The sorter's vocabulary: what it is told, what it asks for, and where it stands; plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from device.classifier import Observation
from device.decision import Decision
from device.events import LidState, Signal, SorterState
from device.presence import Sighting
from device.requests import CloseLid, Maintenance, OpenLid


@dataclass(frozen=True)
class DecidedDrop:
    """What was decided of one object. `latency_s`: from lying still, with the bin free, to the decision."""

    number: int
    decision: Decision
    latency_s: float


# What the sorter is told.


@dataclass(frozen=True)
class Seen:
    """A new frame of the tray."""

    sighting: Sighting


@dataclass(frozen=True)
class Observed:
    """What the model saw in the frame that `Look` asked for."""

    observation: Observation


@dataclass(frozen=True)
class LidReached:
    """A lid has come to *open*, *closed* or *fault*."""

    compartment: str
    state: LidState


@dataclass(frozen=True)
class Pressed:
    """The buttons that are pressed now."""

    compartments: frozenset[str]


@dataclass(frozen=True)
class CameraLost:
    """What lies on the tray is not known any more."""


@dataclass(frozen=True)
class Failed:
    """Something unforeseen went wrong in the loop."""


@dataclass(frozen=True)
class Elapsed:
    """Nothing but time."""


Input = Seen | Observed | LidReached | Pressed | CameraLost | Failed | Elapsed | OpenLid | CloseLid | Maintenance

# What the sorter asks for.


@dataclass(frozen=True)
class Look:
    """Show the newest frame to the model."""


@dataclass(frozen=True)
class Announce:
    """A decision was made."""

    drop: DecidedDrop


@dataclass(frozen=True)
class Open:
    compartment: str


@dataclass(frozen=True)
class Close:
    compartment: str


@dataclass(frozen=True)
class CloseAll:
    """Close every lid that is not closed."""


@dataclass(frozen=True)
class Show:
    signal: Signal
    compartment: str | None = None


@dataclass(frozen=True)
class Finish:
    """A drop is done with."""

    drop: DecidedDrop


Effect = Look | Announce | Open | Close | CloseAll | Show | Finish

# Where the sorter stands.


@dataclass(frozen=True)
class Waiting:
    """No lid serves; nothing begins before all are closed."""


@dataclass(frozen=True)
class Deciding:
    """Something rests on the tray and is looked at, frame by frame. `looked_s`: the time of the last such frame."""

    since_s: float
    looked_s: float
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class Serving:
    """One lid opens, is open or closes: for a drop, or because someone asked (`drop` None).

    `stays`: until it is told to close; `is_cleared`: what it was opened for has left the tray.
    """

    compartment: str
    drop: DecidedDrop | None
    since_s: float
    lid: Literal["opening", "open", "closing"] = "opening"
    stays: bool = False
    is_cleared: bool = False
    was_open: bool = False


@dataclass(frozen=True)
class Halted:
    """Something went wrong; the lids are closed, and the bin tries again after a while."""

    until_s: float


Phase = Waiting | Deciding | Serving | Halted


@dataclass(frozen=True)
class Situation:
    """All that the sorter remembers.

    `judged_id`: the object that was decided about; `free_since_s`: when the last lid was closed; `asked`: the lid that
    waits for its turn; `unclosed`: the lids that may be open; `out_of_service`: the lids that failed; `mends_at_s`:
    when each lid that failed is or was tried again; `stuck`: the buttons that were pressed for too long, and still are.
    """

    phase: Phase = Waiting()
    sighting: Sighting | None = None
    judged_id: int | None = None
    drops: int = 0
    free_since_s: float = 0.0
    failures: int = 0
    asked: str | None = None
    is_maintenance: bool = False
    pressed: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    unclosed: frozenset[str] = frozenset()
    out_of_service: frozenset[str] = frozenset()
    mends_at_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> SorterState:
        """The state's name, for people."""
        if self.is_maintenance:
            return "maintenance"
        match self.phase:
            case Deciding():
                return "deciding"
            case Serving():
                return "serving"
            case Halted():
                return "fault"
        return "empty" if self.sighting is None else self.sighting.state
