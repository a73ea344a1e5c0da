"""Settings on disk: read and checked as a whole, changed without losing a comment, written so that no power cut
leaves half a file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError
from tomlkit.exceptions import TOMLKitError

from device.config.schema import Config
from device.errors import ConfigError
from device.files import write_whole

DEFAULT_PATH = Path("/etc/pilah/pilah.toml")
PRESETS = ("four-lids", "three-lids", "one-per-material")
"""Layouts of bins that `pilah config init` can start from; the first is the default."""
_TABLE = "must be a table: { key = value }"
KINDS = {
    "bool_type": "must be true or false, without quotes",
    "dict_type": _TABLE,
    "float_type": "must be a number, without quotes",
    "int_type": "must be a whole number, without quotes",
    "model_type": _TABLE,
    "path_type": "must be a path in quotes",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list in brackets, [ ]",
}
"""Pydantic's kind of error → what to write, in TOML's words and not in Python's."""


def read_config(path: Path | None = None) -> Config:
    """The settings in `path`; without one, those in `/etc/pilah/pilah.toml` where it exists, else the defaults.

    Raises `ConfigError` that lists everything wrong at once.
    """
    path = config_path(path)
    return Config() if path is None else parse_config(_read(path), str(path))


def config_path(path: Path | None = None) -> Path | None:
    """The file that `read_config(path)` reads; None where that is none."""
    if path is None and DEFAULT_PATH.exists():
        return DEFAULT_PATH
    return path


def check_config(path: Path | None) -> str:
    """That the settings can be used, and what in them is odd all the same. Raises `ConfigError`."""
    config, used = read_config(path), config_path(path)
    told = f"{used} is in order." if used else "There is no file; the defaults hold. `pilah config init` writes one."
    if idle := config.idle_lids():
        told += f" But no waste goes to {', '.join(idle)}: name its materials in [materials]."
    if config.journal.path is not None and not config.journal.path.is_absolute():
        told += (
            f" But journal.path = {str(config.journal.path)!r} lies wherever the bin is started, and what the service "
            f"starts in is emptied when it ends: give the whole path, from / on."
        )
    return told


def parse_config(text: str, name: str) -> Config:
    """The settings that a TOML text gives; `name` stands in messages. Raises `ConfigError`, a line for each wrong."""
    try:
        return _parse(text, name)
    except (ValueError, RecursionError) as fault:
        # Python reads and shows no longer numbers, and goes no deeper.
        raise ConfigError(
            f"{name} holds a number of thousands of digits, or hundreds of brackets in one another; take it out."
        ) from fault


def _parse(text: str, name: str) -> Config:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{name} is not valid TOML: {fault}.") from fault
    try:
        return Config.model_validate(values)
    except ValidationError as fault:
        raise ConfigError("\n".join(f"{name}: {_say(error)}" for error in fault.errors())) from fault


def preset_text(preset: str = PRESETS[0]) -> str:
    """The whole file for one of `PRESETS`: every setting with its comment, then its compartments and materials."""
    folder = resources.files("device.config")
    layout = folder.joinpath("presets", f"{preset}.toml").read_text(encoding="utf-8")
    return folder.joinpath("default.toml").read_text(encoding="utf-8") + "\n" + layout


def edit_config(path: Path, changes: Mapping[str, Any]) -> Config:
    """Change some settings of a file and keep its comments, its order and all else.

    `changes`: dotted key → value, as in ``{"camera.region.left": 0.1, "journal.thumbnails": True}``; None removes
    a key. A missing file counts as empty. What the file would then say is checked first: when it is wrong,
    `ConfigError` says why and the file stays as it was. The file as it was is kept as `NAME.previous`.
    """
    try:
        document = tomlkit.parse(_read(path) if path.exists() else "")
    except TOMLKitError as fault:
        raise ConfigError(f"{path} is not valid TOML: {fault}.") from fault
    for key, value in changes.items():
        _set(document, key.split("."), value, path)
    text = tomlkit.dumps(document)
    config = parse_config(text, str(path))
    write_config(path, text)
    return config


def write_config(path: Path, text: str) -> None:
    """Write a file whole or not at all, also when the power fails; the old one is kept as `NAME.previous`.

    Owner and mode stay as they were; a new file belongs to whom its folder belongs to. Raises `ConfigError` where the
    disk does not let it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_there = path.exists()
        was = path.stat() if is_there else path.parent.stat()
        mode = was.st_mode & 0o777 if is_there else 0o644
        if is_there:
            write_whole(path.with_name(f"{path.name}.previous"), path.read_bytes(), was, mode)
        write_whole(path, text.encode(), was, mode)
    except OSError as fault:
        raise ConfigError(f"The configuration {path} cannot be written: {fault.strerror or fault}.") from fault


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows likes to mark its files as UTF-8
    except FileNotFoundError as fault:
        raise ConfigError(f"There is no configuration at {path}: make one with `pilah config init {path}`.") from fault
    except UnicodeDecodeError as fault:
        raise ConfigError(f"The configuration {path} is no text in UTF-8; save it as such ({fault}).") from fault
    except OSError as fault:
        raise ConfigError(f"The configuration {path} cannot be read: {fault.strerror or fault}.") from fault


def _set(document: tomlkit.TOMLDocument, key: list[str], value: Any, path: Path) -> None:
    table: Any = document
    for name in key[:-1]:
        if name not in table:
            if value is None:
                return
            table[name] = tomlkit.table() if table is document else tomlkit.inline_table()
        table = table[name]
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: {name} must be a table, so {'.'.join(key)} cannot be set.")
    if value is None:
        table.pop(key[-1], None)
    else:
        table[key[-1]] = value


def _say(error: Any) -> str:
    key = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "extra_forbidden":
        known = _keys_beside(error["loc"])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"{key} = {_short(error['input'])}: no key that Pilah knows; {meant}allowed here: {', '.join(known)}."
    sentence = error["msg"].removesuffix(".")
    sentence = sentence[0].lower() + sentence[1:] if sentence.startswith("Input ") else sentence
    sentence = KINDS.get(error["type"], sentence)
    if error["type"] == "missing":
        return f"{key}: this key must be given."
    if key.endswith("_pin") and error["type"] in ("greater_than_equal", "less_than_equal"):
        sentence = "must be a GPIO number, 0 to 27, and no number of the board's header, where GPIO12 is pin 32"
    if error["type"] == "string_pattern_mismatch":
        if error["loc"][-1] == "[key]":
            name = "a name has at most 32 of a-z, 0-9, - and _, and a letter first"
            rule = "a language is a code, such as en or id" if "label" in error["loc"] else name
            return f"{key.removesuffix('.[key]')}: {rule}."
        is_colour = "colour" in error["loc"]
        sentence = f"must be {'#RRGGBB, such as #2e7d32' if is_colour else 'a name alone, such as bin.school.example'}"
    return f"{key} = {_short(error['input'])}: {sentence}."


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _keys_beside(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for name in path[:-1]:
        found = _section_of(model, str(name))
        model = found if found is not None else model
    return list(model.model_fields)


def _section_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    if name not in model.model_fields:
        return None
    annotation = model.model_fields[name].annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)
