"""Waste, one function for each material: a random thing as meshes with what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.render import shapes, textures
from training.render.shapes import RINGS, SIDES, Mesh, creases, revolve, rotation, slab, smooth_noise
from training.render.textures import Texture


@dataclass(frozen=True)
class Part:
    """A mesh and its surface: `kind` names a Mitsuba BSDF, `texture` its colour, `settings` the rest."""

    mesh: Mesh
    kind: str
    texture: Texture | tuple[float, float, float]
    settings: dict[str, Any] = field(default_factory=dict)


Chance = np.random.Generator


def glass(chance: Chance) -> list[Part]:
    """A bottle or a jar of clear, green or brown glass."""
    tint = [(0.93, 0.96, 0.94), (0.35, 0.62, 0.30), (0.52, 0.28, 0.08)][int(chance.integers(3))]
    if chance.uniform() < 0.6:
        foot, shoulder = [(-1.2, 0), (-1.2, 0.33), (-1.15, 0.37)], [(0.1, 0.37), (0.45, 0.2), (0.6, 0.14)]
        profile = [*foot, *shoulder, (1.1, 0.13), (1.12, 0.16), (1.2, 0.16), (1.2, 0.11)]
    else:
        profile = [(-0.7, 0), (-0.7, 0.42), (-0.65, 0.46), (0.4, 0.46), (0.55, 0.38), (0.72, 0.38), (0.72, 0.34)]
    parts = [Part(revolve(profile), "thindielectric", tint, {"int_ior": 1.9})]
    inner = [(x, max(0.0, r - 0.03)) for x, r in profile]
    parts.append(Part(revolve(inner), "thindielectric", tint, {"int_ior": 1.5}))
    if chance.uniform() < 0.4:
        band = revolve([(-0.6, profile[2][1] + 0.004), (-0.1, profile[2][1] + 0.004)])
        parts.append(Part(band, "plastic", textures.label(chance)))
    return parts


def metal(chance: Chance) -> list[Part]:
    """A drink can, whole or dented, or an opened food tin."""
    dents = np.zeros((RINGS, SIDES))
    if chance.uniform() < 0.7:
        dents = -0.05 * chance.uniform(0.5, 2.5) * np.clip(smooth_noise((RINGS, SIDES), 16, chance), 0, None)
        dents[:18] *= np.linspace(0, 1, 18)[:, None]
        dents[-18:] *= np.linspace(1, 0, 18)[:, None]
    if chance.uniform() < 0.65:
        profile = [(-0.6, 0), (-0.6, 0.24), (-0.52, 0.33), (0.52, 0.33), (0.6, 0.27), (0.6, 0.0)]
        body = revolve(profile, dents)
        skin = textures.label(chance)
        printed = Part(body.part(0.26, 0.73), "principled", skin, {"metallic": 0.75, "roughness": 0.28})
        bare = {"metallic": 1.0, "roughness": 0.22}
        grey = (0.82, 0.82, 0.84)
        return [
            printed,
            Part(body.part(-1, 0.26), "principled", grey, bare),
            Part(body.part(0.73, 2), "principled", grey, bare),
        ]
    rings = 0.012 * np.sin(np.linspace(0, 60, RINGS))[:, None] + dents
    body = revolve([(-0.5, 0), (-0.5, 0.42), (-0.48, 0.45), (0.5, 0.45), (0.5, 0.41), (-0.4, 0.41), (-0.4, 0)], rings)
    return [
        Part(body, "roughconductor", (0.8, 0.8, 0.8), {"material": "Al", "alpha": float(chance.uniform(0.08, 0.22))})
    ]


def plastic(chance: Chance) -> list[Part]:
    """A PET bottle with cap and label, a detergent bottle, or a yoghurt cup."""
    kind = chance.choice(["pet", "hdpe", "cup"])
    crush = -0.04 * np.clip(smooth_noise((RINGS, SIDES), 12, chance), 0, None) * chance.uniform(0, 2.5)
    if kind == "pet":
        ribs = 0.03 * np.sin(np.linspace(0, 70, RINGS))[:, None] * (np.linspace(0, 1, RINGS)[:, None] < 0.65)
        profile = [(-1.1, 0), (-1.12, 0.25), (-1.05, 0.33), (0.35, 0.34), (0.8, 0.14), (0.95, 0.13)]
        tint = [(0.90, 0.95, 0.97), (0.72, 0.86, 0.95), (0.80, 0.93, 0.82)][int(chance.integers(3))]
        cap = revolve([(0.92, 0.0), (0.92, 0.155), (1.1, 0.155), (1.1, 0)])
        band = revolve([(-0.45, 0.352), (0.05, 0.352)], 0.5 * crush)
        return [
            Part(revolve(profile, ribs + crush), "thindielectric", tint, {"int_ior": 1.7}),
            Part(cap, "plastic", textures.vivid(chance)), Part(band, "plastic", textures.label(chance)),
        ]  # fmt: skip
    tone = [(0.93, 0.93, 0.92), textures.vivid(chance, (0.6, 0.95))][int(chance.integers(2))]
    if kind == "hdpe":
        profile = [(-0.9, 0), (-0.9, 0.4), (-0.85, 0.45), (0.3, 0.45), (0.6, 0.2), (0.75, 0.18)]
        body = revolve(profile, 0.3 * crush).turned(np.diag([1.0, 1.0, 0.6]))
        cap = revolve([(0.72, 0), (0.72, 0.2), (0.98, 0.2), (0.98, 0)])
        band = revolve([(-0.6, 0.456), (0.15, 0.456)], 0.3 * crush).turned(np.diag([1.0, 1.0, 0.61]))
        return [Part(body, "plastic", tone), Part(cap, "plastic", textures.vivid(chance)),
                Part(band, "plastic", textures.label(chance, tone))]  # fmt: skip
    outside = [(-0.4, 0), (-0.4, 0.30), (0.4, 0.42), (0.42, 0.47)]
    profile = [*outside, (0.44, 0.47), (0.42, 0.41), (-0.37, 0.28), (-0.37, 0)]
    return [Part(revolve(profile, 0.5 * crush), "plastic", textures.label(chance, (0.95, 0.95, 0.93)))]


def paper(chance: Chance) -> list[Part]:
    """A printed sheet, folded or crumpled."""
    paper_tone = [(0.93, 0.93, 0.91), (0.90, 0.88, 0.80), (0.86, 0.87, 0.88)][int(chance.integers(3))]
    skin = textures.text_page(chance, paper_tone)
    if chance.uniform() < 0.45:
        radius = 0.55 + 0.07 * creases(160, 40, chance) + 0.02 * smooth_noise((160, 160), 4, chance)
        return [Part(shapes.blob(radius, (1.0, 0.9, 0.7)).projected(), "twosided", skin)]
    height = 0.045 * chance.uniform(0.5, 2) * creases(160, 12, chance)
    return [Part(shapes.sheet(1.5, 2.0, height - height.min()), "twosided", skin)]


def cardboard(chance: Chance) -> list[Part]:
    """A brown box with open flaps, or a flat piece of corrugated board."""
    skin = textures.corrugated(chance)
    if chance.uniform() < 0.5:
        w, d = chance.uniform(1.3, 2.0), chance.uniform(0.9, 1.5)
        faces = slab(w, d, 0.07)
        edge = np.tile(np.where((np.arange(512) // 12) % 2, 0.28, 0.55)[None, :, None], (512, 1, 3)) * [1, 0.7, 0.42]
        return [Part(m, "twosided", skin if name in ("top", "bottom") else edge) for name, m in faces.items()]
    w, d, h = chance.uniform(1.0, 1.6), chance.uniform(0.8, 1.2), chance.uniform(0.4, 0.9)
    faces = slab(w, d, h)
    parts = [Part(m, "twosided", skin) for name, m in faces.items() if name != "top"]
    for side, axis in ((-1, 0), (1, 0)):
        flap = shapes.sheet(w, d * 0.45, np.zeros((2, 2))).moved((0, side * d * 0.225, 0))
        opened = flap.turned(rotation(axis, side * chance.uniform(-0.9, 0.5))).moved((0, side * d / 2, h))
        parts.append(Part(opened, "twosided", skin))
    return parts


def carton(chance: Chance) -> list[Part]:
    """A drink carton lying on its side: a brick, or one with a gable and a cap."""
    ground = [(0.94, 0.94, 0.92), textures.vivid(chance, (0.5, 0.95))][int(chance.integers(2))]
    w, d, h = chance.uniform(1.5, 1.9), chance.uniform(0.7, 0.85), chance.uniform(0.55, 0.7)
    coat = {"int_ior": 1.4}
    skins = [textures.label(chance, ground) for _ in range(3)]
    parts = [Part(m, "plastic", skins[i % 3], coat) for i, m in enumerate(slab(w, d, h).values())]
    if chance.uniform() < 0.75:
        x, ridge = w / 2, w / 2 + 0.42
        quads = [
            [(x, -d / 2, h), (ridge, -d / 2, h / 2), (x, d / 2, h), (ridge, d / 2, h / 2)],
            [(x, -d / 2, 0), (ridge, -d / 2, h / 2), (x, d / 2, 0), (ridge, d / 2, h / 2)],
            [(ridge, -d / 2, h / 2), (ridge + 0.2, -d / 2, h / 2), (ridge, d / 2, h / 2), (ridge + 0.2, d / 2, h / 2)],
            [(x, -d / 2, 0), (x, -d / 2, h), (ridge, -d / 2, h / 2), (ridge, -d / 2, h / 2)],
            [(x, d / 2, 0), (x, d / 2, h), (ridge, d / 2, h / 2), (ridge, d / 2, h / 2)],
        ]
        parts += [Part(shapes.surface(np.array(q, float).reshape(2, 2, 3)), "twosided", skins[0]) for q in quads]
        cap = revolve([(0, 0), (0, 0.14), (0.13, 0.14), (0.13, 0)]).turned(rotation(1, -np.pi / 2 - 0.7))
        parts.append(Part(cap.moved((x + 0.2, 0, h * 0.78)), "plastic", textures.vivid(chance)))
    return parts


def organic(chance: Chance) -> list[Part]:
    """A banana skin, an apple, an orange or lemon, leaves of a cabbage or lettuce."""
    kind = str(chance.choice(["banana", "apple", "citrus", "leaf"]))
    if kind == "banana":
        return _banana_skin(chance)
    return _leaves(chance) if kind == "leaf" else _fruit(kind, chance)


def _banana_skin(chance: Chance) -> list[Part]:
    parts = []
    for turn in np.linspace(0, 2 * np.pi, int(chance.integers(1, 5)), endpoint=False):
        angle = np.linspace(-1.0, 1.0, 80)
        path = np.stack([1.1 * np.sin(angle), 1.1 * (1 - np.cos(angle)), 0.2 + 0.05 * np.sin(3 * angle)], 1)
        radius = 0.20 * np.clip(1.12 - np.abs(np.linspace(-1, 1, 80)) ** 6, 0.12, 1)
        skin = textures.peel((0.90, 0.72, 0.14), chance, chance.uniform(0.3, 1.2))
        parts.append(Part(shapes.tube(path, radius, 0.9).turned(rotation(2, turn * 0.14)), "plastic", skin))
    return parts


def _leaves(chance: Chance) -> list[Part]:
    parts = []
    for _ in range(int(chance.integers(3, 6))):
        height = 0.10 * smooth_noise((120, 120), 9, chance) + 0.08 * smooth_noise((120, 120), 25, chance)
        rows, columns = np.mgrid[-1:1:120j, -1:1:120j]
        leaf = shapes.sheet(1.3, 1.0, height - height.min())
        inside = (rows**2 + (columns * 0.9) ** 2)[:-1, :-1].ravel() < 0.9 + 0.1 * chance.normal(size=119 * 119) * 0.3
        leaf = Mesh(leaf.vertices, leaf.uv, leaf.faces[np.tile(inside, 2)])
        tone = (chance.uniform(0.18, 0.45), chance.uniform(0.45, 0.62), chance.uniform(0.08, 0.2))
        placed = leaf.turned(rotation(2, chance.uniform(0, 6.3))).moved((*chance.normal(0, 0.3, 2), 0.0))
        parts.append(Part(placed, "twosided", textures.peel(tone, chance, 0.1)))
    return parts


def _fruit(kind: str, chance: Chance) -> list[Part]:
    """One to three of a kind, `apple` or `citrus`."""
    parts = []
    tones = {
        "apple": [(0.62, 0.10, 0.06), (0.50, 0.60, 0.12), (0.75, 0.45, 0.12)],
        "citrus": [(0.93, 0.48, 0.04), (0.93, 0.80, 0.12)],
    }
    for number in range(int(chance.integers(1, 4))):
        tone = tones[kind][int(chance.integers(len(tones[kind])))]
        theta = np.linspace(0, np.pi, 120)[:, None]
        dimple = 0.10 * np.exp(-((theta / 0.35) ** 2)) + 0.05 * np.exp(-(((np.pi - theta) / 0.3) ** 2))
        bumps = 0.006 * smooth_noise((120, 120), 1.6, chance) if kind == "citrus" else 0.0
        radius = 0.42 * (1 + 0.03 * smooth_noise((120, 120), 30, chance) - (dimple if kind == "apple" else 0) + bumps)
        ball = shapes.blob(np.broadcast_to(radius, (120, 120)).copy(), (1, 1, 0.95)).turned(
            rotation(0, chance.uniform(0, 1.4))
        )
        placed = ball.moved((0.8 * number * chance.uniform(0.8, 1.1), chance.uniform(-0.4, 0.4), 0.42))
        parts.append(Part(placed, "plastic", textures.peel(tone, chance, chance.uniform(0.2, 0.8))))
    return parts


def textile(chance: Chance) -> list[Part]:
    """A piece of cloth, dropped: soft folds and loose weave."""
    size = 200
    folds = 0.16 * smooth_noise((size, size), 16, chance) + 0.10 * smooth_noise((size, size), 34, chance)
    ripples = 0.05 * smooth_noise((size, size), 6, chance)
    height = folds + ripples
    cloth = shapes.sheet(1.9, 1.6, height - height.min())
    wobble = np.stack([0.10 * smooth_noise((size, size), 25, chance).ravel() for _ in range(2)], 1)
    vertices = cloth.vertices.copy()
    vertices[:, :2] += wobble
    return [Part(Mesh(vertices, cloth.uv, cloth.faces), "twosided", textures.weave(chance))]


def wood(chance: Chance) -> list[Part]:
    """Boards, a block, or a few sticks."""
    parts = []
    for number in range(int(chance.integers(1, 4))):
        w, d, h = chance.uniform(1.2, 2.0), chance.uniform(0.25, 0.6), chance.uniform(0.1, 0.3)
        turn, move = rotation(2, chance.normal(0, 0.5)), (*chance.normal(0, 0.15, 2), 0.28 * number)
        skin = textures.grain(chance)
        for name, mesh in slab(w, d, h).items():
            end = np.rot90(skin[::4, ::4]).repeat(4, 0).repeat(4, 1) * 0.8 if name in ("left", "right") else skin
            parts.append(Part(mesh.turned(turn).moved(move), "diffuse", end))
    return parts


def trash(chance: Chance) -> list[Part]:
    """A crumpled snack wrapper with a foil sheen, or a broken piece of foam."""
    if chance.uniform() < 0.75:
        height = 0.10 * creases(160, 26, chance) + 0.03 * smooth_noise((160, 160), 8, chance)
        film = shapes.sheet(1.6, 1.2, height - height.min())
        foil = {"metallic": float(chance.uniform(0.3, 0.6)), "roughness": 0.25}
        return [Part(film, "principled", textures.label(chance), foil)]
    radius = 0.6 + 0.06 * smooth_noise((140, 140), 12, chance) + 0.02 * smooth_noise((140, 140), 2, chance)
    return [Part(shapes.blob(radius, (1.3, 0.9, 0.35)), "diffuse", textures.plain((0.92, 0.92, 0.91), chance, 0.05, 2))]


MATERIALS: dict[str, Callable[[Chance], list[Part]]] = {
    one.__name__: one for one in (cardboard, carton, glass, metal, organic, paper, plastic, textile, trash, wood)
}
"""Material → what makes a random thing of it."""
