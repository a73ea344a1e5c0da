"""A bin for the page's tests: a small bundle, a state folder, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.bundle import Bundle
from device.camera import Frame
from device.classifier import Classifier
from device.clock import ManualClock
from device.config import CompartmentSection, Config
from device.decision import Policy
from device.drops import Drop
from device.events import Event, EventBus, LidEvent, StateEvent
from device.journal import Journal
from device.page.bin import Bin
from device.page.owner import Password
from device.requests import Request
from tests.bundles import plain, write_bundle

PASSWORD = "correct horse battery"


def make_bin(folder: Path, config: Config | None = None, with_password: bool = True, **parts: Any) -> Bin:
    config = config or Config()
    bundle = Bundle.open(write_bundle(folder / "colours.onnx"))
    contract = bundle.contract
    state = folder / "state"
    if with_password:
        Password(state).set(PASSWORD)
    return Bin(
        config=config,
        contract=contract,
        policy=Policy(config.materials, config.decision.fallback, contract.thresholds, contract.cost_matrix),
        state=state,
        **{
            "clock": ManualClock(),
            "open_classifier": lambda: Classifier(bundle),
            "saved_config": lambda: config,
            **parts,
        },
    )


def lids_labelled(*labels: str) -> Config:
    """A lid for each label and no more settings than those; the first takes all waste."""
    lids = {f"lid_{at}": CompartmentSection(servo_pin=at, label={"en": label}) for at, label in enumerate(labels)}
    materials = dict.fromkeys(Config().materials, "lid_0")
    return Config.model_validate({"compartments": lids, "materials": materials, "decision": {"fallback": "lid_0"}})


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """`picture`: (H, W, 3) uint8 RGB, encoded as a JPEG."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return bytes(encoded)


def photo_of(material: str) -> bytes:
    """A striped thing of the material's colour, as a JPEG."""
    picture = plain(material)
    picture[:, ::8] = picture[:, ::8] // 4 * 3
    return jpeg(picture)


class PlayedAppliance:
    """An appliance whose story a test tells, event by event."""

    def __init__(self, compartments: Iterable[str]) -> None:
        self.events = EventBus()
        self.requests: list[Request] = []
        self._latest: dict[tuple[str, str], Event] = {}
        self._frame: Frame | None = None
        for name in compartments:
            self.tell(LidEvent(time_s=0.0, compartment=name, state="closed"))
        self.tell(StateEvent(time_s=0.0, state="empty"))

    def tell(self, event: Event) -> None:
        name = getattr(event, {"lid": "compartment", "fault": "part"}.get(event.event, ""), "")
        self._latest[event.event, name] = event
        self.events.publish(event)

    def show(self, picture: NDArray[np.uint8], time_s: float) -> None:
        self._frame = Frame(picture, time_s)

    def snapshot(self) -> list[Event]:
        return list(self._latest.values())

    def newest_frame(self) -> Frame | None:
        return self._frame

    def request(self, request: Request) -> None:
        self.requests.append(request)


def journal_in(folder: Path, drops: Iterable[Drop] = ()) -> Journal:
    """A history of these drops, numbered from 1 in their order; those that say so have a picture."""
    journal = Journal(folder / "journal.db", thumbnails_at_most=500)
    journal.open()
    for drop in drops:
        journal.write(drop, photo_of(drop.material) if drop.has_thumbnail else None)
    return journal
