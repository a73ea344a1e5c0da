"""A photo's thing cut out of its plain ground, and laid on another: most photos were taken on white boards, bins have
trays of every kind."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WORKING_PX = 144
"""The short side at which things are cut out: fine enough for an outline, and a fortieth of a second."""
EDGE = 0.07
"""How wide a border of a photo is taken for ground, as part of its short side."""
PLAIN = 5.0
"""How far an edge's median pixel may lie from a smooth surface of colour (CIELAB units) and still be plain ground."""
SIZES = (0.03, 0.9)
"""A thing that is cut out covers at least and at most so much of its photo."""
LIGHTNESS, COLOUR = 0.45, 1.2
"""Differences in lightness count less than those in colour, for shadows are ground."""
SURE, LIKELY, GROUND = 10.0, 3.5, 3.0
"""How many times as far from the ground as the edge's median a pixel surely or likely is the thing's, or still
ground."""
STEP = 2.0
"""Ground that lies closer than this to its surface (CIELAB units) counts as if it lay so far: less is noise."""
THING = (cv2.GC_FGD, cv2.GC_PR_FGD)
"""What GrabCut calls surely or likely the thing's."""
RUGGED = (4, 8, 16, 32, 64, 128)
"""The grids whose noise makes a ground's texture, coarse to fine, in cells a side."""

Picture = NDArray[np.uint8]


def cut_out(picture: Picture) -> Picture | None:
    """How much of each pixel is the thing's: (H, W, 3) uint8 RGB → (H, W) uint8, or None where no thing stands out.

    What lies along the edge is taken for the ground, if it is plain: smooth in colour, whatever the light. GrabCut
    (Rother et al. 2004) finds the thing's outline from what differs.
    """
    height, width = picture.shape[:2]
    scale = WORKING_PX / min(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    edge = np.ones(small.shape[:2], bool)
    border = round(EDGE * WORKING_PX)
    edge[border:-border, border:-border] = False
    distance, unevenness = _distances(small, edge)
    if unevenness > PLAIN:
        return None
    thing = _outlined(small, distance / max(STEP, float(np.median(distance[edge]))), edge)
    if thing is None:
        return None
    soft = cv2.resize(cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 1), (width, height))
    return np.rint(np.clip(soft, 0, 1) * 255).astype(np.uint8)


def _distances(small: Picture, edge: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float]:
    """How far each pixel is from the surface of colour that the edge suggests, and the edge's own median distance.

    The surface is of second degree, fitted so that few odd pixels have little weight (Cauchy's).
    """
    rows, columns = small.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1).reshape(-1, 6)
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    at = np.flatnonzero(edge)
    weights, unevenness = np.ones((len(at), 1)), 0.0
    for _ in range(6):
        surface = np.linalg.lstsq(terms[at] * weights, colours[at] * weights, rcond=None)[0]
        off = np.linalg.norm((colours[at] - terms[at] @ surface) * (0.5, 1, 1), axis=1)
        unevenness = float(np.median(off))
        weights = 1 / np.sqrt(1 + (off[:, None] / (2 * max(STEP, unevenness))) ** 2)
    away = np.linalg.norm((colours - terms @ surface) * (LIGHTNESS, COLOUR, COLOUR), axis=1)
    return cv2.GaussianBlur(away.reshape(rows, columns).astype(np.float32), (0, 0), 1), unevenness


def _outlined(small: Picture, times: NDArray[np.float32], edge: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Which pixels are the thing's, given how many `times` as far from the ground as the edge's each is.

    Holes are filled and crumbs left out; what falls into many parts, as the dots of a cloth, is no thing.
    """
    guess = np.full(edge.shape, cv2.GC_PR_BGD, np.uint8)
    guess[times > LIKELY] = cv2.GC_PR_FGD
    guess[edge & (times < GROUND)] = cv2.GC_BGD
    guess[times > SURE] = cv2.GC_FGD
    is_thing = np.isin(guess, THING)
    if not SIZES[0] < is_thing.mean() < 1 or is_thing[edge].all():
        return None
    cv2.setRNGSeed(0)
    cv2.grabCut(small, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    thing = np.isin(guess, THING).astype(np.uint8)
    thing = cv2.morphologyEx(thing, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    thing = cv2.morphologyEx(thing, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outlines, _ = cv2.findContours(thing, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(outline) for outline in outlines]
    largest = max(areas, default=0.0)
    if largest < sum(areas) / 2:
        return None
    whole = np.zeros_like(thing)
    parts = [outline for outline, area in zip(outlines, areas, strict=True) if area > largest / 7]
    cv2.drawContours(whole, parts, -1, 1, cv2.FILLED)
    fits = SIZES[0] < whole.mean() < SIZES[1] and whole[edge].mean() < 0.75
    return whole.astype(bool) if fits else None


def ground(chance: np.random.Generator, size_px: int) -> Picture:
    """A made-up tray, (size_px, size_px, 3) uint8 RGB: a colour in uneven light; smooth, rough, striped or spotted."""
    hue, saturation, value = 360 * chance.random(), 0.7 * chance.random() ** 2, chance.uniform(0.12, 0.95)
    colour = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] * 255
    y, x = np.meshgrid(np.linspace(-1, 1, size_px), np.linspace(-1, 1, size_px), indexing="ij")
    turn = chance.uniform(0, 2 * np.pi)
    across = (x * np.cos(turn) + y * np.sin(turn)).astype(np.float32)
    made = colour * (1 + 0.35 * chance.random() * across[..., None])
    texture = _texture(chance, across)
    if texture is not None:
        tint = (1 + 0.3 * chance.standard_normal(3)).astype(np.float32)
        made = made + 40 * chance.random() * texture[..., None] * tint
    grain = chance.standard_normal((size_px, size_px, 1), np.float32) * 6 * chance.random()
    return np.clip(made + grain, 0, 255).astype(np.uint8)


def _texture(chance: np.random.Generator, across: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """(S, S) of mean 0 and deviation about 1: clouds, stripes along `across`, spots, or none."""
    kind = chance.choice(["smooth", "rough", "striped", "spotted"])
    if kind == "smooth":
        return None
    fall = chance.uniform(0.2, 1.0)
    grids = (chance.standard_normal((cells, cells), np.float32) * cells**-fall for cells in RUGGED)
    size = (len(across), len(across))
    rough: Any = sum(cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC) for grid in grids)
    rough /= rough.std()
    if kind == "spotted":
        rough = np.tanh(3 * rough)
    if kind == "striped":
        rough = np.sin(across * np.pi * chance.uniform(3, 23) + 2 * chance.random() * rough)
        if chance.random() < 0.4:
            rough = np.sign(rough)
    return np.asarray(rough, np.float32)


def laid_on(thing: Picture, share: Picture, other: Picture) -> Picture:
    """`thing`, of whose pixels (H, W) uint8 `share` belongs to it, on the `other` ground; (H, W, 3) uint8 RGB."""
    part = share[..., None].astype(np.float32) / 255
    return np.rint(thing * part + other * (1 - part)).astype(np.uint8)


class OnOtherGround(torch.nn.Module):
    """A cut-out picture as it was and, with probability `p`, on a made-up tray; both change alike from here on.

    A student that sees the second is told what its teacher makes of the first: that the ground says nothing of the
    thing. (4, S, S) uint8, the last channel as `cut_out` gives it → (2, 3, S, S) uint8.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image: Tensor) -> Tensor:
        before, share = image[:3], image[3]
        if torch.rand(()) >= self.p:
            return torch.stack([before, before])
        seed = int(torch.randint(2**31, ()))
        if share.min() == 255:
            return torch.stack([before, before])
        tray = ground(np.random.default_rng(seed), image.shape[-1])
        after = laid_on(before.permute(1, 2, 0).numpy(), share.numpy(), tray)
        return torch.stack([before, torch.from_numpy(after).permute(2, 0, 1)])
