"""The photos that a model is most wrong about, as a list and as a picture sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from training.augment import read_photo
from training.outcome import Outcome

AT_MOST, COLUMNS = 24, 6
TILE_PX = 176
LABEL_PX = 36
LETTERS_PX = 11
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""It comes with Matplotlib, and has an arrow."""


@dataclass(frozen=True)
class Mistake:
    """A photo that was named wrongly: what it is, what the model said, and how sure it was (0…1)."""

    photo: str
    material: str
    said: str
    probability: float


def worst_mistakes(outcome: Outcome, temperature: float) -> list[Mistake]:
    """The wrong answers, the surest first, `AT_MOST` of them."""
    probabilities = outcome.probabilities(temperature)
    said, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(said != outcome.targets)
    order = wrong[np.argsort(-sureness[wrong], kind="stable")][:AT_MOST]
    return [
        Mistake(outcome.photos[i].path, outcome.photos[i].material, outcome.classes[said[i]], float(sureness[i]))
        for i in order
    ]


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each of at least one path without the folders that all share."""
    absolute = {path: Path(path).absolute() for path in paths}
    shared = os.path.commonpath([place.parent for place in absolute.values()])
    return {path: str(place.relative_to(shared)) for path, place in absolute.items()}


def mistake_sheet(mistakes: Sequence[Mistake]) -> Image.Image:
    """Each photo above what it is and → what was said, in rows of six; names that are too long are written smaller."""
    rows = max(1, -(-len(mistakes) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, rows * (TILE_PX + LABEL_PX)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, LETTERS_PX)
    for number, mistake in enumerate(mistakes):
        left, top = number % COLUMNS * TILE_PX, number // COLUMNS * (TILE_PX + LABEL_PX)
        photo = Image.fromarray(read_photo(mistake.photo))  # as the model saw it, whatever its kind
        tile = ImageOps.fit(photo, (TILE_PX - 4, TILE_PX - 4))
        sheet.paste(tile, (left + 2, top + 2))
        text = f"{mistake.material}\n→ {mistake.said} {100 * mistake.probability:.0f} %"
        room = (TILE_PX - 8) / draw.textbbox((0, 0), text, font)[2]
        draw.text((left + 4, top + TILE_PX), text, "#17231d", font.font_variant(size=LETTERS_PX * min(1.0, room)))
    return sheet
