"""Which photos there are: a TOML file that describes any number of `ImageFolder` roots."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import DataError

Part = Literal["train", "val", "test"]
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


class Source(BaseModel):
    """One root with a folder for each class.

    `classes` renames folders (`{"bottle": "glass"}`), and leaves out those mapped to an empty name; `parts` are the
    parts of the split it may serve; `weight` scales how often its photos are drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    path: Path
    licence: str = Field(min_length=1)
    parts: tuple[Part, ...] = Field(default=("train", "val"), min_length=1)
    classes: dict[str, str] = {}
    weight: float = Field(default=1.0, gt=0)


class DataDescription(BaseModel):
    """All sources of one training; `materials`, if given, are the only classes that may appear."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: tuple[Source, ...] = Field(min_length=1)
    materials: tuple[str, ...] | None = None

    def with_source(self, source: Source) -> DataDescription:
        return self.model_copy(update={"source": (*self.source, source)})


def rendered_source(path: Path) -> Source:
    """The pictures that `python -m training.render` made: to train on, never to measure with."""
    return Source(name="rendered", path=path, licence="MIT (rendered by training.render)", parts=("train",))


def read_description(path: Path, root: Path) -> DataDescription:
    """Read a description and make its paths absolute under `root`. Raises `DataError`."""
    try:
        description = DataDescription.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as fault:
        raise DataError(f"The data description {path} cannot be read: {fault.strerror}.") from fault
    except tomllib.TOMLDecodeError as fault:
        raise DataError(f"{path} is not valid TOML: {fault}.") from fault
    except ValidationError as fault:
        wrongs = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise DataError(f"{path}: {wrongs}.") from fault
    names = [source.name for source in description.source]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two sources have the same name; give each its own.")
    placed = tuple(source.model_copy(update={"path": root / source.path}) for source in description.source)
    return description.model_copy(update={"source": placed})


def list_photos(source: Source, materials: tuple[str, ...] | None = None) -> list[tuple[Path, str]]:
    """All pictures of a source with their material, in a fixed order. Raises `DataError`."""
    if not source.path.is_dir():
        raise DataError(f"Source {source.name!r}: there is no folder {source.path}.")
    folders = sorted(child.name for child in source.path.iterdir() if child.is_dir())
    if unknown := sorted(set(source.classes) - set(folders)):
        raise DataError(
            f"Source {source.name!r}: its class map names {', '.join(unknown)}, but {source.path} "
            f"has only {', '.join(folders) or 'no folders'}."
        )
    photos: list[tuple[Path, str]] = []
    for folder in folders:
        material = source.classes.get(folder, folder)
        if not material:
            continue
        if materials is not None and material not in materials:
            raise DataError(f"Source {source.name!r}: {material!r} is none of the materials {', '.join(materials)}.")
        found = sorted(p for p in (source.path / folder).rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        photos += [(path, material) for path in found]
    if not photos:
        raise DataError(f"Source {source.name!r}: no picture in the class folders of {source.path}.")
    return photos
