"""Drops of plain things on made-up trays: `make drops` has the real ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
from tests.bundles import write_bundle
from tests.drawn import save
from tests.drops import drops
from training.split import Photo, Split, save_split

COLOURS = {"glass": (40, 200, 40), "organic": (200, 40, 40), "trash": (40, 40, 200)}
"""Equally far from every grey: how much of a tray the model sees beside a thing does not matter."""


def told(folder: Path, number: int) -> dict[str, str]:
    """What the command tells of drops of plain discs, before a model that knows their colours: by its first words."""
    photos = [Photo("never read", "drawn", "glass", "test", 0)]
    for material, colour in COLOURS.items():
        picture = np.full((200, 260, 3), 250, np.uint8)
        cv2.circle(picture, (130, 100), 70, colour, -1)
        photos.append(Photo(str(save(picture, folder / f"{material}.png")), "drawn", material, "val", 1))
    empty = save(np.full((200, 260, 3), 250, np.uint8), folder / "nothing.png")
    photos.append(Photo(str(empty), "drawn", "paper", "val", 2))
    save_split(Split(tuple(photos), (), 0), folder / "split.json")
    model = write_bundle(folder / "model.onnx", COLOURS, thresholds={"confidence": 0.6})
    ran = CliRunner().invoke(drops, ["--run", str(folder), "--model", str(model), "--drops", str(number)])
    assert ran.exit_code == 0, ran.output
    lines = (line.replace(": ", "  ", 1).split("  ", 1) for line in ran.output.splitlines())
    return {first: " ".join(rest[0].split()) if rest else "" for first, *rest in lines}


def test_every_plain_thing_that_drops_on_a_plain_tray_opens_the_lid_of_its_colour(tmp_path: Path) -> None:
    found = told(tmp_path, 3)
    assert "3 drops of 3 things, of which the bin never judged 0" in found
    all_right = "100.0 % (43.9…100.0)"
    assert found["the bin"] == found["the model, true outline"] == f"{all_right} {all_right}"
    assert found["organic into recyclable"] == "0 of 1"
    assert found["lids that opened twice for a thing, or for nothing"] == "0"


def test_things_that_never_lie_still_are_told_as_never_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.presence.QUIET", -1.0)
    monkeypatch.setattr("tests.drops.WAITS_S", 2.0)
    found = told(tmp_path, 1)
    assert "1 drops of 1 things, of which the bin never judged 1" in found
    assert found["the bin"].startswith("0.0 %")
    assert found["the model, true outline"].startswith("100.0 %")
