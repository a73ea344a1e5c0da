"""Pictures on the waste: print, corrugation, grain, weave. All (S, S, 3) float in 0…1, linear enough for a bin."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from training.render.shapes import smooth_noise

Texture = NDArray[np.float64]
SIZE = 512


def plain(
    colour: tuple[float, float, float], chance: np.random.Generator, grain: float = 0.03, scale: float = 3
) -> Texture:
    """One colour with a little noise."""
    noise = 1 + grain * smooth_noise((SIZE, SIZE), scale, chance)
    return np.clip(np.array(colour) * noise[..., None], 0, 1)


def vivid(chance: np.random.Generator, light: tuple[float, float] = (0.4, 0.9)) -> tuple[float, float, float]:
    """A saturated colour, as packaging has."""
    return colorsys.hsv_to_rgb(chance.uniform(), chance.uniform(0.6, 1.0), chance.uniform(*light))


def _letter(
    picture: Texture, text: str, at: tuple[int, int], size: float, colour: tuple[float, float, float], stroke: int
) -> None:
    """Letters on a texture, in place (OpenCV draws them on 8-bit pictures only)."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.putText(mask, text, at, cv2.FONT_HERSHEY_DUPLEX, size, 255, stroke)
    share = mask[..., None] / 255
    picture[:] = picture * (1 - share) + np.array(colour) * share


def text_page(chance: np.random.Generator, paper: tuple[float, float, float]) -> Texture:
    """A printed page: a headline, lines of text, now and then a picture."""
    page = plain(paper, chance, 0.01)
    ink = np.array([0.12, 0.12, 0.14])
    y = int(chance.integers(30, 60))
    cv2.rectangle(page, (40, y), (int(chance.integers(200, 420)), y + 22), ink.tolist(), -1)
    y += 50
    while y < SIZE - 40:
        if chance.uniform() < 0.08:
            cv2.rectangle(page, (40, y), (250, y + 90), vivid(chance), -1)
            y += 105
            continue
        x = 40
        while x < SIZE - 70:
            word = int(chance.integers(10, 42))
            cv2.rectangle(page, (x, y), (x + word, y + 6), (ink + chance.uniform(0, 0.25)).tolist(), -1)
            x += word + 8
        y += 16
    return np.clip(page, 0, 1)


def label(chance: np.random.Generator, ground: tuple[float, float, float] | None = None) -> Texture:
    """A printed package: bands, a roundel, bold letters, small print, a bar code."""
    ground = ground or vivid(chance)
    picture = plain(ground, chance, 0.01)
    for _ in range(int(chance.integers(2, 5))):
        y = int(chance.integers(0, SIZE))
        cv2.rectangle(picture, (0, y), (SIZE, y + int(chance.integers(15, 90))), vivid(chance), -1)
    middle = (int(chance.integers(120, 390)), int(chance.integers(150, 360)))
    cv2.ellipse(picture, middle, (110, 75), 0, 0, 360, vivid(chance, (0.7, 1.0)), -1)
    word = "".join(chance.choice(list("AEIOUBKLMNRSTZ"), int(chance.integers(4, 7))))
    for copy in (-150, 110):
        at = (max(0, middle[0] - 100 + copy), middle[1] + 18)
        _letter(picture, word, at, 1.7, (1.0, 1.0, 1.0), 9)
        _letter(picture, word, at, 1.7, vivid(chance, (0.1, 0.4)), 4)
    x = 360
    cv2.rectangle(picture, (350, 440), (480, 500), (1.0, 1.0, 1.0), -1)
    while x < 470:
        width = int(chance.integers(1, 5))
        cv2.rectangle(picture, (x, 445), (x + width, 495), (0.05, 0.05, 0.05), -1)
        x += width + int(chance.integers(2, 5))
    return np.clip(picture, 0, 1)


def corrugated(chance: np.random.Generator) -> Texture:
    """Brown board: fibres, faint flutes, a printed mark, a strip of tape."""
    tone = np.array([0.60, 0.42, 0.25]) * chance.uniform(0.85, 1.15)
    picture = plain((tone[0], tone[1], tone[2]), chance, 0.05, 1.2)
    flutes = 1 + 0.035 * np.sin(np.arange(SIZE) * 2 * np.pi / 14)
    picture *= flutes[:, None, None]
    if chance.uniform() < 0.6:
        x = int(chance.integers(60, 300))
        _letter(picture, "FRAGILE", (x, 300), 1.5, (0.15, 0.1, 0.07), 4)
    if chance.uniform() < 0.5:
        picture[:, 220:290] = 0.6 * picture[:, 220:290] + 0.4 * np.array([0.75, 0.65, 0.45])
    return np.clip(picture, 0, 1)


def grain(chance: np.random.Generator) -> Texture:
    """Sawn wood: year rings cut along the board, a knot, fine pores."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    wave = 0.06 * smooth_noise((SIZE, SIZE), 60, chance) + 0.1 * np.sin(columns * 3 + chance.uniform(0, 6))
    knot = np.exp(
        -(((columns - chance.uniform(0.2, 0.8)) / 0.08) ** 2 + ((rows - chance.uniform(0.2, 0.8)) / 0.05) ** 2)
    )
    rings = np.sin((rows + wave + 0.12 * knot) * 2 * np.pi * chance.uniform(9, 16))
    light, dark = np.array([0.72, 0.52, 0.32]), np.array([0.45, 0.28, 0.14])
    share = (0.5 + 0.5 * rings)[..., None] * 0.6 + 0.35 * knot[..., None]
    picture = light * (1 - share) + dark * share
    pores = cv2.GaussianBlur(chance.normal(0, 1, (SIZE, SIZE)), (0, 0), 9, sigmaY=0.6)
    return np.clip(picture * (1 + 0.9 * pores[..., None] * 0.3) * chance.uniform(0.8, 1.1), 0, 1)


def weave(chance: np.random.Generator) -> Texture:
    """Cloth: threads, in one colour, striped or checked."""
    base, other = np.array(vivid(chance, (0.25, 0.8))), np.array(vivid(chance, (0.3, 0.95)))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    threads = 1 + 0.13 * np.sin(rows * 2 * np.pi / 5) * np.sin(columns * 2 * np.pi / 5)
    picture = np.broadcast_to(base, (SIZE, SIZE, 3)).copy()
    kind = chance.choice(["plain", "striped", "checked"])
    width = int(chance.integers(20, 60))
    if kind != "plain":
        picture[(columns // width) % 2 == 0] = other
    if kind == "checked":
        picture[(rows // width) % 2 == 0] = 0.5 * picture[(rows // width) % 2 == 0] + 0.5 * base * 0.6
    return np.clip(picture * threads[..., None], 0, 1)


def peel(tone: tuple[float, float, float], chance: np.random.Generator, spots: float = 0.5) -> Texture:
    """Skin of fruit: mottled, with brown spots where it was bruised."""
    picture = plain(tone, chance, 0.08, 14)
    bruises = np.clip(smooth_noise((SIZE, SIZE), 10, chance) - 2.2 + spots, 0, 1)[..., None]
    freckles = np.clip(smooth_noise((SIZE, SIZE), 2.5, chance) - 2.4 + spots, 0, 1)[..., None] * 0.7
    brown = np.array([0.22, 0.12, 0.05])
    picture = picture * (1 - bruises) + brown * bruises
    return np.clip(picture * (1 - freckles) + brown * freckles, 0, 1)
