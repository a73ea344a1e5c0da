"""What an earlier training left in a run's folder: gone on from, or set aside for a new one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from training.errors import CheckpointError

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
