"""What the page may see and ask of the bin: plain values and a few narrow protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flask import current_app

from device.bundle import Contract
from device.classifier import Classifier
from device.clock import Clock, SystemClock
from device.config import Config
from device.decision import Policy


@dataclass(frozen=True)
class Bin:
    """One bin as the page knows it.

    `open_classifier` is called once, when the first photo is asked about, in the page's own thread; `state`: the
    folder that keeps the owner's password and the cookies' key, None keeps nothing.
    """

    config: Config
    contract: Contract
    policy: Policy
    open_classifier: Callable[[], Classifier]
    state: Path | None = None
    clock: Clock = field(default_factory=SystemClock)


def the_bin() -> Bin:
    """The bin whose page answers this request."""
    bin_: Bin = current_app.extensions["pilah-bin"]
    return bin_
