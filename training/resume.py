"""What an earlier training left in a run's folder: gone on from, or set aside for a new one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from training.errors import CheckpointError
from training.recipes import Recipe

SAVED = ("last.pt", "model.pt", "log.jsonl", "evaluation.json")


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """What `Training.save` wrote to go on from, on `device`. Raises `CheckpointError`."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as fault:
        raise CheckpointError(
            f"{path} cannot be read; begin anew with --restart, which keeps the old files."
        ) from fault
    if (
        not isinstance(state, dict)
        or not {"recipe", "photos", "epoch", "model", "average", "optimiser"} <= state.keys()
    ):
        raise CheckpointError(f"{path} is no checkpoint to go on from; begin anew with --restart.")
    return state


def changes(saved: dict[str, Any], now: dict[str, Any]) -> str:
    """What of `saved`, which was read from JSON, is otherwise in `now`, to print; empty where nothing is."""
    told = json.loads(json.dumps(now))
    return "; ".join(
        f"{key} was {value}, now {told.get(key)}" for key, value in saved.items() if told.get(key) != value
    )


def as_saved(teacher: str, saved: Iterable[str]) -> str:
    """A teacher that is yet to be made, known by its name alone, as one of that name is `saved`; else as it is."""
    return next((was for was in saved if was.startswith(f"{teacher} (")), teacher)


def require_as_begun(
    folder: Path, state: dict[str, Any], recipe: Recipe, photos: str, begun_with: dict[str, Any]
) -> None:
    """Raises `CheckpointError` where the training of `state`, in `folder`, was begun otherwise.

    `photos`: the digest of those to learn from. A teacher that is yet to be made is compared by its name.
    """
    saved = {**json.loads(state["recipe"]), **json.loads(state.get("begun_with", "{}"))}
    teachers = [as_saved(teacher, saved.get("teachers", [])) for teacher in begun_with.get("teachers", [])]
    if changed := changes(saved, {**asdict(recipe), **begun_with, "teachers": teachers}):
        raise CheckpointError(
            f"{folder} was begun otherwise ({changed}): go on as it was begun, or begin anew with --restart."
        )
    if state["photos"] != photos:
        raise CheckpointError(
            f"{folder} was begun with other photos: bring back the split of then, or begin anew with --restart; what "
            f"was learnt from would be measured on."
        )


def set_aside(folder: Path, teachers: bool = False) -> list[Path]:
    """Rename what an earlier training left in `folder`, so that a new one begins there; returns the new names.

    `teachers`: theirs too.
    """
    there = [folder / name for name in SAVED if (folder / name).exists()]
    there += sorted(folder.glob("teacher-*")) if teachers else []
    free = next(prefix for prefix in _prefixes() if not any(folder.glob(f"{prefix}*")))
    return [path.replace(path.with_name(free + path.name)) for path in there]


def _prefixes() -> Iterator[str]:
    yield "earlier-"
    yield from (f"earlier-{number}-" for number in itertools.count(2))
