"""Finished models as they are read again: the checkpoint, the student in it, and the split of the run that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.errors import CheckpointError
from training.models import Student
from training.split import Split, digest_of, load_split


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A finished model's dictionary (`state_dict`, `classes`, `head`, …). Raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}: train one with `make model`.")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        raise CheckpointError(
            f"{path} is no PyTorch checkpoint, or it is cut short: copy or train it again."
        ) from fault
    if not isinstance(values, dict) or not {"state_dict", "classes", "head"} <= values.keys():
        raise CheckpointError(f"{path} is a PyTorch file but no checkpoint of Pilah's training.")
    return values


def require_classes(path: Path, told: tuple[str, ...], classes: tuple[str, ...], whose: str = "this run") -> None:
    """Raises `CheckpointError` where the network at `path`, which tells `told`, does not go with `whose` classes."""
    if told != classes:
        raise CheckpointError(f"{path} tells {', '.join(told)}, {whose} {', '.join(classes)}.")


def load_student(path: Path) -> tuple[Student, dict[str, Any]]:
    """The trained student and its checkpoint. Raises `CheckpointError` for another architecture."""
    values = load_checkpoint(path)
    student = Student(len(values["classes"]), values["head"])
    try:
        student.network.load_state_dict(values["state_dict"])
    except RuntimeError as fault:
        raise CheckpointError(
            f"{path} holds another network than DenseNet121 with {len(values['classes'])} classes and a "
            f"{values['head']} head."
        ) from fault
    return student.eval(), values


def load_run(folder: Path) -> tuple[Student, dict[str, Any], Split]:
    """The trained student of the run in `folder`, its checkpoint, and the split that it is measured on.

    Raises `CheckpointError` where it learnt from other photos than the split's training part: from those that it would
    be measured on, perhaps. A checkpoint that does not say what it learnt from is taken.
    """
    path, split = folder / "model.pt", load_split(folder / "split.json")
    student, checkpoint = load_student(path)
    if checkpoint.get("photos", digest := digest_of(split.part("train"))) != digest:
        raise CheckpointError(
            f"{path} learnt from other photos than {folder / 'split.json'} has it train on: bring back the split of "
            f"then, or train anew; what was learnt from would be measured on."
        )
    return student, checkpoint, split
