"""What the page may see and ask of the bin: plain values and a few narrow protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flask import current_app

from device.camera import Frame
from device.bundle import Contract
from device.classifier import Classifier
from device.clock import Clock, SystemClock
from device.config import Config
from device.decision import Policy
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


@dataclass(frozen=True)
class Bin:
    """One bin as the page knows it.

    `open_classifier` is called once, when the first photo is asked about, in the page's own thread; `state`: the
    folder that keeps the owner's password and the cookies' key, None keeps nothing; `appliance`: None on a workstation
    that has no bin.
    """

    config: Config
    contract: Contract
    policy: Policy
    open_classifier: Callable[[], Classifier]
    state: Path | None = None
    appliance: Appliance | None = None
    clock: Clock = field(default_factory=SystemClock)


def the_bin() -> Bin:
    """The bin whose page answers this request."""
    bin_: Bin = current_app.extensions["pilah-bin"]
    return bin_
