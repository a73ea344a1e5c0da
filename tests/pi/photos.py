"""Which photos are dropped before the emulated Pi, and what this machine's own processor says of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from device.classifier import Classifier
from device.config import Config
from device.decision import decide
from device.errors import PictureError
from device.evidence import policy_of
from device.model import open_classifier
from device.pictures import picture_files, read_picture
from tests.pi.trees import CHECKOUT

SAMPLES = CHECKOUT / "device" / "camera" / "samples"
CANDIDATES = 60
LONG_SIDE_AT_MOST = 640
"""Larger ones would only cost the emulated processor time."""


@dataclass(frozen=True)
class Expected:
    """A photo's name on the card, and what is expected of it: the probability of each material, and the lid."""

    name: str
    file: Path
    material: str
    compartment: str
    confidence: float
    probabilities: dict[str, float]


def choose(count: int) -> list[Expected]:
    """Photos that open as many different lids as can be, those first of which the model is surest.

    They are from PILAH_DATA where that is set, else from the rendered samples.
    """
    config = Config()
    classifier = open_classifier(config)
    expected = [_expect(file, classifier, config) for file in _candidates()]
    expected.sort(key=lambda one: -one.confidence)
    chosen: list[Expected] = []
    while len(chosen) < min(count, len(expected)):
        uses = [one.compartment for one in chosen]
        left = [one for one in expected if one not in chosen]
        chosen.append(min(left, key=lambda one: uses.count(one.compartment)))
    return [
        Expected(f"{index}{one.file.suffix}", one.file, *_rest(one))
        for index, one in enumerate(chosen, start=1)
    ]  # fmt: skip


def again(chosen: list[Expected]) -> list[Expected]:
    """Two more to come after all others: the first, once and again."""
    return [replace(chosen[0], name=f"{len(chosen) + more}{chosen[0].file.suffix}") for more in (1, 2)]


def _rest(one: Expected) -> tuple[str, str, float, dict[str, float]]:
    return one.material, one.compartment, one.confidence, one.probabilities


def _candidates() -> list[Path]:
    folder = Path(os.environ.get("PILAH_DATA") or SAMPLES)
    files = picture_files(folder)
    some = files[:: max(1, len(files) // CANDIDATES)]
    if small := [file for file in some if _long_side(file) <= LONG_SIDE_AT_MOST]:
        return small
    raise PictureError(
        f"{folder} has no picture with sides of at most {LONG_SIDE_AT_MOST} pixels: shrink some, or set no PILAH_DATA."
    )


def _long_side(file: Path) -> int:
    pixels = cv2.imread(str(file))
    return 1 << 30 if pixels is None else max(pixels.shape[:2])


def _expect(file: Path, classifier: Classifier, config: Config) -> Expected:
    decision = decide([classifier.observe(read_picture(file))], policy_of(config, classifier.bundle.contract))
    told = decision.material, decision.compartment, decision.confidence, dict(decision.probabilities)
    return Expected(file.name, file, *told)
