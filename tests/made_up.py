"""A history that never happened but could have: for pictures of the page, and for trying it with many drops."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera.simulated import SimulatedTray, TrayLife
from device.clock import ManualClock
from device.config import CameraSection, Config
from device.drops import Drop

SHARES = {
    "organic": 34,
    "plastic": 18,
    "paper": 12,
    "carton": 6,
    "cardboard": 6,
    "metal": 7,
    "glass": 5,
    "trash": 6,
    "textile": 2,
    "wood": 2,
}
"""How often a household drops what, in parts of all."""
TAKEN_FOR = {
    "plastic": "glass",
    "paper": "cardboard",
    "carton": "cardboard",
    "cardboard": "paper",
    "metal": "plastic",
    "glass": "plastic",
    "organic": "wood",
    "trash": "plastic",
    "textile": "trash",
    "wood": "cardboard",
}
"""What each is most easily taken for."""
HOURS = {7: 3, 8: 2, 12: 3, 13: 2, 16: 1, 18: 4, 19: 5, 20: 2, 21: 1}
UNSURE_SHARE = 0.07
FAR_FROM_TRAY = 45
"""Grey levels."""


def made_up_drops(days: int, until: datetime, seed: int = 1) -> list[Drop]:
    """Drops of so many days before `until`, the oldest first: meals make them, and weekends more of them."""
    chance = random.Random(seed)
    times = []
    for ago in range(days, -1, -1):
        day = (until - timedelta(days=ago)).replace(minute=0, second=0, microsecond=0)
        number = chance.randint(16, 26) + (8 if day.weekday() >= 5 else 0)
        hours = chance.choices(list(HOURS), list(HOURS.values()), k=number)
        times += [day.replace(hour=hour) + timedelta(seconds=chance.uniform(0, 3600)) for hour in hours]
    return [_drop(time.timestamp(), chance) for time in sorted(times) if time < until]


def _drop(time_s: float, chance: random.Random) -> Drop:
    material = chance.choices(list(SHARES), list(SHARES.values()))[0]
    is_sure = chance.random() > UNSURE_SHARE
    first = chance.betavariate(9, 1) * 0.35 + 0.64 if is_sure else chance.uniform(0.3, 0.45)
    second = (1 - first) * chance.uniform(0.6, 0.9)
    rest = [name for name in SHARES if name not in (material, TAKEN_FOR[material])]
    probabilities = {material: first, TAKEN_FOR[material]: second}
    probabilities |= dict.fromkeys(rest, (1 - first - second) / len(rest))
    config = Config()
    return Drop(
        id=0,
        time_s=time_s,
        material=material,
        compartment=config.materials[material] if is_sure else config.decision.fallback,
        confidence=first,
        verdict="sure" if is_sure else chance.choice(["unsure", "unsure", "unknown"]),
        probabilities=probabilities,
        model_version="made up",
        lid="closed",
    )


def rendered_trays(materials: list[str], seed: int = 1) -> Iterator[NDArray[np.uint8]]:
    """A rendered thing of each material on the simulated tray: (480, 640, 3) uint8 RGB."""
    clock = ManualClock()
    for number, material in enumerate(materials):
        life = TrayLife(gap_s=None, passers_per_minute=0, lamps_per_minute=0)
        tray = SimulatedTray(CameraSection(), clock, seed=seed + number, life=life)
        tray.drop(material)
        clock.sleep(1.0)
        yield tray.read().pixels


def encoded(picture: NDArray[np.uint8]) -> bytes:
    """`picture`: (H, W, 3) uint8 RGB, as a JPEG."""
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])[1])


def thumbnail(picture: NDArray[np.uint8]) -> bytes:
    """The thing on the tray, as small as the history keeps it, as a JPEG."""
    height, width = picture.shape[:2]
    far_from_tray = np.abs(picture.astype(np.int16) - np.median(picture, axis=(0, 1))).max(2) > FAR_FROM_TRAY
    columns = np.nonzero(far_from_tray.sum(0) > height // 20)[0]
    left = int(np.clip((columns.mean() if columns.size else width / 2) - height / 2, 0, width - height))
    square = picture[:, left : left + height]
    return encoded(np.asarray(cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA), np.uint8))
