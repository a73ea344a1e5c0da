"""`python -m training.render`: render waste as cut-outs for the simulated camera, or as photos to train on.

Path-traced with Mitsuba 3 (Jakob et al. 2022) on the CPU. The same seed gives the same thing.
"""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import Any

import click
import cv2
import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from device.camera.scene import Light, Scene
from device.counting import counted
from training.files import write_atomically
from training.options import Told
from training.render.objects import MATERIALS, Part
from training.render.shapes import Mesh
from training.render.tray import crop_of

mi.set_variant("scalar_rgb")


def make(material: str, seed: int, size_px: int = 288, samples: int = 64) -> NDArray[np.uint8]:
    """A random thing of `material`: (size_px, size_px, 4) uint8 RGBA cut-out.

    Seen from nearly above under a soft lamp and daylight.
    """
    chance = np.random.default_rng([zlib.crc32(material.encode()), seed])
    parts = MATERIALS[material](chance)
    corners = np.concatenate([part.mesh.vertices[np.unique(part.mesh.faces)] for part in parts])
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle, reach = (low + high) / 2, float(np.linalg.norm((high - low)[:2])) * 0.53
    tilt, turn = chance.uniform(0.05, 0.45), chance.uniform(0, 2 * np.pi)
    away = 12.0 * np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
    lamp_turn = chance.uniform(0, 2 * np.pi)
    lamp = middle + np.array([5 * np.cos(lamp_turn), 5 * np.sin(lamp_turn), 6.0])
    scene: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 9, "hide_emitters": True},
        "sensor": {
            "type": "perspective", "fov": float(2 * np.degrees(np.arctan(reach / 12.0))),
            "to_world": _looking(middle + away, middle, np.array([np.cos(turn), np.sin(turn), 0])),
            "film": {"type": "hdrfilm", "width": size_px, "height": size_px, "pixel_format": "rgba",
                     "rfilter": {"type": "gaussian"}},
            "sampler": {"type": "independent", "sample_count": samples, "seed": seed},
        },
        "day": {"type": "constant", "radiance": {"type": "rgb", "value": [0.75, 0.77, 0.8]}},
        "lamp": {
            "type": "rectangle",
            "to_world": _looking(lamp, middle, np.array([0, 0, 1])) @ mi.ScalarTransform4f().scale(1.5),
            "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [7.0, 6.6, 6.0]}},
        },
    }  # fmt: skip
    for number, part in enumerate(parts):
        scene[f"part{number}"] = _shape(part.mesh, _surface(part))
    return _developed(np.array(mi.render(mi.load_dict(scene))), float(chance.uniform(0.95, 1.25)))


def _looking(origin: NDArray[np.float64], target: NDArray[np.float64], up: NDArray[np.float64]) -> Any:
    return mi.ScalarTransform4f().look_at(origin.tolist(), target.tolist(), up.tolist())


def _surface(part: Part) -> dict[str, Any]:
    colour: dict[str, Any] = (
        {"type": "rgb", "value": list(part.texture)}
        if isinstance(part.texture, tuple)
        else {"type": "bitmap", "bitmap": _bitmap(part.texture), "raw": True}
    )
    match part.kind:
        case "thindielectric":
            return {"type": part.kind, "specular_transmittance": colour, **part.settings}
        case "roughconductor":
            return {"type": "twosided", "bsdf": {"type": part.kind, "specular_reflectance": colour, **part.settings}}
        case "principled":
            return {"type": "twosided", "bsdf": {"type": part.kind, "base_color": colour, **part.settings}}
        case "plastic":
            coat = {"type": "plastic", "diffuse_reflectance": colour, **part.settings}
            return {"type": "twosided", "bsdf": coat}
        case _:
            return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": colour}}


def _bitmap(texture: NDArray[np.float64]) -> mi.Bitmap:
    return mi.Bitmap(np.ascontiguousarray(texture, np.float32))


def _shape(mesh: Mesh, surface: dict[str, Any]) -> mi.Mesh:
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(surface)
    made = mi.Mesh("part", len(mesh.vertices), len(mesh.faces), has_vertex_texcoords=True, props=properties)
    values = mi.traverse(made)
    values["vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
    values["vertex_texcoords"] = mesh.uv.astype(np.float32).ravel()
    values["faces"] = mesh.faces.astype(np.uint32).ravel()
    values.update()
    return made


def _developed(image: NDArray[np.float32], exposure: float) -> NDArray[np.uint8]:
    """Linear RGBA → 8 bit: exposed, denoised, with the curve of sRGB; colour is not multiplied by alpha."""
    alpha = np.clip(image[..., 3:], 0, 1)
    colour = np.clip(image[..., :3] / np.maximum(alpha, 1e-3) * exposure * 0.8, 0, None)
    colour = colour / (1 + 0.2 * colour)
    colour = np.clip(colour, 0, 1) ** 1.25
    colour = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * np.maximum(colour, 1e-9) ** (1 / 2.4) - 0.055)
    pixels = np.clip(np.rint(np.concatenate([colour, alpha], axis=2) * 255), 0, 255).astype(np.uint8)
    pixels[..., :3] = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(pixels[..., :3]), None, 3, 5, 5, 11)
    return pixels


def on_tray(cutout: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The cut-out on a simulated tray as the device would crop it: (h, w, 3) uint8 RGB."""
    chance = random.Random(seed)
    scene = Scene(640, 480, seed)
    light = Light(chance.uniform(0.75, 1.15), chance.random() < 0.3)
    thing = scene.thing(cutout, 0.0, 0.1, chance)
    return crop_of(scene, thing, light, margin=chance.uniform(0.95, 1.2))


def _as_range(_context: click.Context, _option: click.Parameter, text: str) -> range:
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter(f"{text} is no first and last + 1; write 0:3 for 0, 1 and 2.")
    return range(int(first), int(last))


@click.command(cls=Told, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--material", "materials", multiple=True, type=click.Choice(list(MATERIALS)), help="Default: all.")
@click.option("--seeds", default="0:3", show_default=True, callback=_as_range, help="First and last + 1, such as 0:3.")
@click.option(
    "--tray/--cutout", default=False, show_default=True, help="On a tray (JPEG), or cut out (PNG with alpha)."
)
@click.option("--size", type=click.IntRange(32), default=288, show_default=True, help="Side in pixels.")
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="Paths per pixel.")
def main(out: Path, materials: tuple[str, ...], seeds: range, tray: bool, size: int, samples: int) -> None:
    """Render things into OUT/<material>/<seed>.png (or .jpg); stopped and started again, it goes on."""
    asked = {
        out / material / f"{seed:04}.{'jpg' if tray else 'png'}": (material, seed)
        for seed in seeds
        for material in materials or MATERIALS
    }
    left = {name: thing for name, thing in asked.items() if not name.exists()}
    if there := len(asked) - len(left):
        click.echo(
            f"{there} of {counted(len(asked), 'picture')} {'is' if there == 1 else 'are'} there already and kept; to "
            f"render anew, remove {out} or name another folder."
        )
    for name, (material, seed) in left.items():
        cutout = make(material, seed, size, samples)
        picture = on_tray(cutout, seed) if tray else cutout
        pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if tray else cv2.COLOR_RGBA2BGRA)
        ok, encoded = cv2.imencode(name.suffix, pixels)
        if not ok:
            raise click.ClickException(f"{name} could not be encoded.")
        write_atomically(name, lambda partial, data=encoded: partial.write_bytes(data.tobytes()))


if __name__ == "__main__":
    main()
