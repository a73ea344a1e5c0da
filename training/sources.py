"""Which photos there are: a TOML file that describes any number of `ImageFolder` roots."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from device.config.files import KINDS
from device.config.sections import NAME
from device.pictures import SUFFIXES, is_hidden, picture_files
from training.errors import DataError

RENDERED = "rendered"
Part = Literal["train", "val", "test"]


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
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @field_validator("parts")
    @classmethod
    def _test_stands_alone(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if "test" in parts and len(parts) > 1:
            raise ValueError("a source that serves test serves nothing else, or what is learnt from is measured on")
        return parts

    def folders(self) -> dict[str, str]:
        """The material of each class folder, in a fixed order; hidden folders are none. Raises `DataError`."""
        if not self.path.is_dir():
            raise DataError(
                f"Source {self.name!r}: there is no folder {self.path}. Name the one that it lies in with --data, or "
                f"describe your own photos and name that --description (`make model DESCRIPTION=mine.toml`)."
            )
        names = sorted(child.name for child in self.path.iterdir() if child.is_dir() and child.name[0] != ".")
        renamed = {_composed(name): material for name, material in self.classes.items()}
        if unknown := sorted(renamed.keys() - set(map(_composed, names))):
            raise DataError(
                f"Source {self.name!r}: its class map names {', '.join(unknown)}, but {self.path} "
                f"has {'only ' + ', '.join(names) if names else 'no folders'}."
            )
        materials = {name: material for name in names if (material := renamed.get(_composed(name), name))}
        if strange := sorted({one for one in materials.values() if not re.fullmatch(NAME, one)}):
            raise DataError(
                f"Source {self.name!r}: a bin cannot map {', '.join(map(repr, strange))} to a lid. Materials are small "
                f"letters a to z, digits, _ and -, at most 32, a letter first: rename such folders in `classes`."
            )
        return materials


def _composed(name: str) -> str:
    """A folder's name with é as one letter: a Mac writes it as e and an accent, which looks the same."""
    return unicodedata.normalize("NFC", name)


class DataDescription(BaseModel):
    """All sources of one training; `materials`, if given, are the only classes that may appear."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: tuple[Source, ...] = Field(min_length=1)
    materials: tuple[str, ...] | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_list(cls, source: Any) -> Any:
        if isinstance(source, dict):
            raise ValueError("write [[source]] with two pairs of brackets, for there may be several")
        return source

    def require_sources(self, names: Iterable[str]) -> None:
        """Raises `DataError` where photos of another description are about to be drawn, whose weights nobody knows."""
        known = {RENDERED, *(source.name for source in self.source)}
        if strange := sorted(set(names) - known):
            raise DataError(
                f"The split has photos of {', '.join(strange)}, of which this description says nothing: name the "
                f"--description that it was prepared with."
            )

    def with_rendered(self, path: Path) -> DataDescription:
        """With what `python -m training.render` made of the other sources' materials, to train on and never measure."""
        own = {material for source in self.source for material in source.folders().values()}
        source = Source(name=RENDERED, path=path, licence="MIT (rendered by training.render)", parts=("train",))
        there = source.folders().keys()
        strange = there - own
        if strange == there:
            return self
        source = source.model_copy(update={"classes": dict.fromkeys(sorted(strange), "")})
        return self.model_copy(update={"source": (*self.source, source)})


def read_description(path: Path, root: Path) -> DataDescription:
    """Read a description and make its paths absolute under `root`. Raises `DataError`."""
    hint = ""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows likes to mark its files as UTF-8
        hint = "; in double quotes a \\ begins an escape, so write paths with /" if "\\" in text else ""
        description = DataDescription.model_validate(tomllib.loads(text))
    except OSError as fault:
        raise DataError(f"The data description {path} cannot be read: {fault.strerror}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise DataError(f"{path} is not valid TOML in UTF-8: {fault}{hint}.") from fault
    except ValidationError as fault:
        # A source or part that is wrong is not counted either, and would be missed a second time.
        errors = [e for e in fault.errors() if e["type"] != "too_short" or fault.error_count() == 1]
        raise DataError(f"{path}: {'; '.join(map(_say, errors))}.") from fault
    names = [source.name for source in description.source]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two sources have the same name; give each its own.")
    placed = tuple(source.model_copy(update={"path": root / source.path}) for source in description.source)
    return description.model_copy(update={"source": placed})


def _say(error: Any) -> str:
    key, kind = ".".join(map(str, error["loc"])), error["type"]
    if kind == "extra_forbidden":
        known = DataDescription if len(error["loc"]) == 1 else Source
        return f"{key}: there is no such key here, only {', '.join(known.model_fields)}"
    return f"{key}: {'this key must be given' if kind == 'missing' else KINDS.get(kind, error['msg'])}"


def list_photos(source: Source, materials: tuple[str, ...] | None = None) -> list[tuple[Path, str]]:
    """All pictures of a source with their material, in a fixed order. Raises `DataError`."""
    photos: list[tuple[Path, str]] = []
    for folder, material in source.folders().items():
        if materials is not None and material not in materials:
            raise DataError(f"Source {source.name!r}: {material!r} is none of the materials {', '.join(materials)}.")
        photos += [(path, material) for path in picture_files(source.path / folder)]
    if not photos:
        raise DataError(f"Source {source.name!r}: no JPEG, PNG or WebP picture in the class folders of {source.path}.")
    return photos


def other_files(source: Source) -> list[tuple[Path, str]]:
    """What lies in a source's class folders and is not read, with the reason, and photos and links to no folder
    beside them; nothing that is hidden.
    """
    below = [
        path
        for name in source.folders()
        for path in sorted((source.path / name).rglob("*"))
        if not is_hidden(path, source.path / name)
    ]
    beside = [path for path in sorted(source.path.iterdir()) if not is_hidden(path, source.path)]
    links = [(path, "a link to a folder is not followed") for path in below if path.is_symlink() and path.is_dir()]
    links += [(path, "a link that leads nowhere") for path in [*beside, *below] if not path.exists()]
    others = [path for path in below if path.is_file() and path.suffix.lower() not in SUFFIXES]
    loose = [path for path in beside if path.is_file() and path.suffix.lower() in SUFFIXES]
    return [
        *links,
        *((path, "it is no JPEG, PNG or WebP file") for path in others),
        *((path, "it lies in no class folder") for path in loose),
    ]
