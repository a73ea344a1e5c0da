"""What the page may see and ask of the bin: plain values and a few narrow protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from flask import current_app

from device.bundle import Contract
from device.camera import Frame
from device.checks import Check
from device.classifier import Classifier
from device.clock import Clock, SystemClock
from device.config import Config
from device.decision import Policy
from device.drops import Drop, Search
from device.events import Event, EventBus
from device.requests import Request


class Appliance(Protocol):
    """A running bin; the page reads it and leaves requests, and never waits for it."""

    @property
    def events(self) -> EventBus: ...

    def snapshot(self) -> list[Event]:
        """How things stand, as the latest event of each kind (and of each lid, and each fault that holds)."""
        ...

    def newest_frame(self) -> Frame | None: ...

    def request(self, request: Request) -> None:
        """Leave a request; the loop carries it out at its next turn."""
        ...


class Journal(Protocol):
    """The history on disk; may be read by any thread."""

    def drops(self, search: Search, limit: int, before_id: int | None = None) -> list[Drop]:
        """The newest first."""
        ...

    def counts(self, search: Search) -> list[tuple[date, str, str, int]]:
        """Local day, compartment, verdict, number of drops."""
        ...

    def to_teach(self, limit: int) -> list[Drop]:
        """Drops with a thumbnail that nobody has corrected yet: unsure and unknown ones first, then the newest."""
        ...

    def thumbnail(self, drop: int) -> bytes | None:
        """A JPEG."""
        ...

    def correct(self, drop: int, material: str) -> bool:
        """Whether there is such a drop."""
        ...

    def keep_photo(self, encoded: bytes, material: str) -> None:
        """Keep an asked photo for training: JPEG, under its right material; one that is kept already moves there."""
        ...


@dataclass(frozen=True)
class Bin:
    """One bin as the page knows it.

    `open_classifier` is called once, when the first photo is asked about, in the page's own thread; `saved_config`:
    reads what the configuration file says by now, for the next start (raises `ConfigError`); `state`: the
    folder that keeps the owner's password and the cookies' key, None keeps nothing; `appliance`: None on a workstation
    that has no bin, and then there is no `journal` either; `diagnose`: what the
    doctor finds; `edit_config`: writes dotted keys into the configuration file once it has checked the whole of it
    (raises `ConfigError`), None where there is no file; `start_again`: returns at once, and soon the
    whole bin starts anew with what the file says by then; None on a workstation.
    """

    config: Config
    contract: Contract
    policy: Policy
    open_classifier: Callable[[], Classifier]
    saved_config: Callable[[], Config]
    state: Path | None = None
    appliance: Appliance | None = None
    journal: Journal | None = None
    diagnose: Callable[[], Sequence[Check]] = tuple
    edit_config: Callable[[Mapping[str, object]], object] | None = None
    start_again: Callable[[], None] | None = None
    clock: Clock = field(default_factory=SystemClock)


def the_bin() -> Bin:
    """The bin whose page answers this request."""
    bin_: Bin = current_app.extensions["pilah-bin"]
    return bin_


def the_journal() -> Journal:
    """The history of that bin; only pages that are there with a history ask for it."""
    journal = the_bin().journal
    assert journal is not None, "the blueprint is registered with a journal only"
    return journal
