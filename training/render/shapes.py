"""Meshes of waste: vertices (N, 3), texture coordinates (N, 2), triangles (F, 3); a unit is about 10 cm, z is up."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RINGS, SIDES = 160, 96
"""Vertices of a turned body, from end to end and around."""


@dataclass(frozen=True)
class Mesh:
    """A surface with texture coordinates in 0…1."""

    vertices: Floats
    uv: Floats
    faces: NDArray[np.int64]

    def turned(self, matrix: Floats) -> Mesh:
        return Mesh(self.vertices @ matrix.T, self.uv, self.faces)

    def moved(self, by: tuple[float, float, float]) -> Mesh:
        return Mesh(self.vertices + np.array(by), self.uv, self.faces)

    def part(self, low: float, high: float) -> Mesh:
        """The faces whose second texture coordinates lie between `low` and `high`."""
        middle = self.uv[self.faces].mean(axis=1)[:, 1]
        return Mesh(self.vertices, self.uv, self.faces[(middle >= low) & (middle < high)])

    def projected(self) -> Mesh:
        """With texture coordinates as if the texture were laid over it from above."""
        low, high = self.vertices[:, :2].min(axis=0), self.vertices[:, :2].max(axis=0)
        return Mesh(self.vertices, (self.vertices[:, :2] - low) / (high - low), self.faces)


def grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    """Two triangles for each cell of a grid of `rows` × `columns` vertices."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    return np.concatenate([np.stack([a, a + 1, a + columns], 1), np.stack([a + 1, a + columns + 1, a + columns], 1)])


def surface(points: Floats) -> Mesh:
    """A mesh through a grid of points, (R, C, 3)."""
    rows, columns = points.shape[:2]
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    return Mesh(points.reshape(-1, 3), np.stack([u.ravel(), 1 - v.ravel()], 1), grid_faces(rows, columns))


def revolve(profile: list[tuple[float, float]], dents: Floats | None = None) -> Mesh:
    """A turned body that lies along x: `profile` is (position, radius) from end to end; `dents` (RINGS, SIDES) adds."""
    positions, radii = np.array(profile).T
    steps = np.concatenate([[0], np.cumsum(np.hypot(np.diff(positions), np.diff(radii)))])
    along = np.linspace(0, steps[-1], RINGS)
    x, r = np.interp(along, steps, positions), np.interp(along, steps, radii)
    angle = np.linspace(0, 2 * np.pi, SIDES)
    radius = r[:, None] * (1 + (0 if dents is None else dents))
    points = np.stack([np.repeat(x[:, None], SIDES, 1), radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return surface(points)


def smooth_noise(shape: tuple[int, int], scale: float, chance: np.random.Generator) -> Floats:
    """Noise of standard deviation 1 whose features are about `scale` cells wide."""
    noise = cv2.GaussianBlur(chance.normal(0, 1, shape), (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return noise / max(1e-9, float(noise.std()))


def creases(size: int, count: int, chance: np.random.Generator) -> Floats:
    """Height of a crumpled sheet, (size, size): facets that meet in sharp creases, deviation 1."""
    rows, columns = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    height = np.zeros((size, size))
    for _ in range(count):
        angle, offset = chance.uniform(0, 2 * np.pi), chance.uniform(-0.2, 1.2)
        distance = columns * np.cos(angle) + rows * np.sin(angle) - offset * (np.cos(angle) + np.sin(angle))
        height += chance.normal() * np.abs(distance + 0.05 * smooth_noise((size, size), size / 8, chance))
    height -= height.mean()
    return height / max(1e-9, float(height.std()))


def sheet(width: float, depth: float, height: Floats) -> Mesh:
    """A sheet with a height at each point, (S, S)."""
    size = len(height)
    y, x = np.meshgrid(
        np.linspace(-depth / 2, depth / 2, size), np.linspace(-width / 2, width / 2, size), indexing="ij"
    )
    return surface(np.stack([x, y, height], axis=2))


def slab(width: float, depth: float, thickness: float) -> dict[str, Mesh]:
    """A box as six faces by their names, each with texture coordinates of its own."""
    w, d, h = width / 2, depth / 2, thickness
    corner = {
        "top": [(-w, -d, h), (w, -d, h), (-w, d, h), (w, d, h)],
        "bottom": [(-w, d, 0), (w, d, 0), (-w, -d, 0), (w, -d, 0)],
        "front": [(-w, -d, 0), (w, -d, 0), (-w, -d, h), (w, -d, h)],
        "back": [(w, d, 0), (-w, d, 0), (w, d, h), (-w, d, h)],
        "left": [(-w, d, 0), (-w, -d, 0), (-w, d, h), (-w, -d, h)],
        "right": [(w, -d, 0), (w, d, 0), (w, -d, h), (w, d, h)],
    }
    return {name: surface(np.array(points, float).reshape(2, 2, 3)) for name, points in corner.items()}


def blob(radius: Floats, stretch: tuple[float, float, float]) -> Mesh:
    """A ball whose radius, (R, C), depends on latitude and longitude, stretched along x, y, z."""
    rows, columns = radius.shape
    theta, phi = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    seam = np.linspace(0, 1, columns)
    radius = radius * (1 - seam) + radius[:, ::-1] * seam
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 2) * radius[..., None]
    return surface(points * np.array(stretch))


def tube(path: Floats, radius: Floats, flatten: float) -> Mesh:
    """A tube along `path` (N, 3) with a radius at each point, (N,), and `flatten` times as high as wide."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.0, 0.0, 1.0])
    side /= np.maximum(1e-9, np.linalg.norm(side, axis=1, keepdims=True))
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, SIDES // 2)
    ring = side[:, None] * np.cos(angle)[None, :, None] + flatten * up[:, None] * np.sin(angle)[None, :, None]
    return surface(path[:, None] + ring * radius[:, None, None])


def rotation(axis: int, angle: float) -> Floats:
    """Turn by `angle` radians around x (0), y (1) or z (2)."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix
