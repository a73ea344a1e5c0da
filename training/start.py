"""Where a student's training starts: ImageNet weights, a checkpoint, a bundle, or chance."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import torch

from device.bundle import Bundle
from training.checkpoints import load_student, require_classes
from training.errors import CheckpointError
from training.files import sha256_of
from training.imagenet import IMAGENET_MEAN, imagenet_densenet121
from training.models import DEVIATION, MEAN, Student
from training.recipes import IMAGENET, RANDOM
from training.revive import student_from_bundle
from training.sampling import Photos
from training.split import Split

log = logging.getLogger(__name__)

REVIVED_ON = 200
"""Photos, at most, on whose training views a bundle's BatchNorms are measured: what they see once training begins."""


def place(start: str) -> str:
    """`imagenet`, `random`, or a file's folder and name: what a training that goes on can tell of its start."""
    return start if start in (IMAGENET, RANDOM) else "/".join(Path(start).absolute().parts[-2:])


def require_there(path: Path) -> None:
    """Raises `CheckpointError` where there is no file."""
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint or bundle at {path}: bring it back, or name another one.")


def identity(path: Path) -> str:
    """The name of a checkpoint or bundle and the beginning of its SHA-256. Raises `CheckpointError`."""
    require_there(path)
    return f"{path.name} ({sha256_of(path)[:12]})"


def begin(student: Student, start: str, split: Split) -> dict[str, Any] | None:
    """Fill a fresh student; returns what the new model's provenance says of its origin.

    `start`: `imagenet`, `random`, or the path of a checkpoint or bundle. Without a network, `imagenet` is told and
    stays random. Raises `CheckpointError`.
    """
    if start == RANDOM:
        return None
    if start == IMAGENET:
        told = take_imagenet(student)
        if told is None:
            log.warning("There are no ImageNet weights: training starts from random ones.")
        return told
    require_there(Path(start))
    known, classes, told = trained(Path(start), split)
    student.take(known.network, with_head=classes == split.classes and known.head_kind == student.head_kind)
    return told


def trained(
    path: Path, split: Split, classes: tuple[str, ...] | None = None, whose: str = "this run"
) -> tuple[Student, tuple[str, ...], dict[str, Any]]:
    """The network in a checkpoint or bundle, its classes, and what it says of its origin.

    Raises `CheckpointError`, also where it tells other than `whose` `classes`: a bundle is not revived in vain.
    """
    if path.suffix == ".onnx":
        contract = Bundle.open(path).contract
        require_classes(path, contract.classes, classes or contract.classes, whose)
        learnt = split.part("train")
        photos = Photos(learnt[:: max(1, math.ceil(len(learnt) / REVIVED_ON))], split.classes)
        views = torch.stack(list(photos.views()))
        published = Student(len(contract.classes))
        ancestor = published if take_imagenet(published) is not None else None
        student = student_from_bundle(path, contract.classes, views, ancestor)
        learnt_from = [source.model_dump() for source in contract.sources]
        told = {"bundle": contract.version, "sources": learnt_from, "provenance": contract.provenance}
        return student, contract.classes, told
    student, checkpoint = load_student(path)
    told_classes = tuple(checkpoint["classes"])
    require_classes(path, told_classes, classes or told_classes, whose)
    told = {key: json.loads(checkpoint.get(key, "null")) for key in ("recipe", "provenance")}
    return student, told_classes, {"file": path.name, "epochs": checkpoint.get("epoch"), **told}


@torch.no_grad()
def take_imagenet(student: Student) -> dict[str, Any] | None:
    """Give a fresh student ImageNet weights; returns where they are from, or `None` where none can be had.

    They expect a mean for each channel, Pilah's networks one grey: the difference is a constant after the first
    convolution, so it goes into the mean of the first BatchNorm, which is exact but for the pixels at the border.
    """
    found = imagenet_densenet121()
    if found is None:
        return None
    published, origin = found
    features = published.features
    difference = (torch.tensor(MEAN) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(DEVIATION)
    features.norm0.running_mean -= features.conv0.weight.sum(dim=(2, 3)) @ difference
    student.take(published, with_head=False)
    return {"weights": origin}
