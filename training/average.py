"""The mean of several trained networks, which knows more than one of them and costs no more (Wortsman et al. 2022).

It works for networks that went on from the same weights, or from one another: nothing but loss lies between others.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from training.checkpoints import load_checkpoint
from training.errors import CheckpointError
from training.files import write_checkpoint
from training.models import Student
from training.options import RUN
from training.resume import set_aside
from training.split import Split, load_split
from training.start import take_imagenet, trained

HEAD = "classifier."


def average(checkpoints: Sequence[Path], folder: Path, imagenet: float) -> None:
    """Put the mean of trained networks into `folder` as `model.pt`; what lay there is kept. Raises `PilahError`."""
    path = folder / "model.pt"
    values = averaged(checkpoints, load_split(folder / "split.json"), imagenet, folder)

    def make_room() -> None:
        for earlier in set_aside(folder):
            click.echo(f"The earlier training is kept as {earlier}.")

    write_checkpoint(path, values, first=make_room)
    click.echo(f"{path}: the mean of {len(checkpoints)}, {100 * imagenet:g} % of ImageNet's weights mixed in")


@torch.no_grad()
def averaged(paths: Sequence[Path], split: Split, imagenet: float = 0.0, run: Path = RUN) -> dict[str, Any]:
    """The mean of the checkpoints and bundles at `paths`, as a finished checkpoint; one named twice counts twice.

    `split`: the photos on which bundles are revived. `imagenet`: so much of ImageNet's weights, 0…1, is mixed in below
    the head, which forgets less of what they know (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    `run`: the folder that it is for, which the provenance tells.
    Raises `CheckpointError` for checkpoints of other classes or another head than the first one's, and where those
    weights cannot be had.
    """
    known = {paths[0]: trained(paths[0], split)}
    _, classes, _ = known[paths[0]]
    for path in paths[1:]:
        if path not in known:
            known[path] = trained(path, split, classes, str(paths[0]))
    (first, *_), *others = loaded = [known[path] for path in paths]
    for path, (student, *_) in zip(paths[1:], others, strict=True):
        if student.head_kind != first.head_kind:
            raise CheckpointError(f"{path} has a {student.head_kind} head, {paths[0]} a {first.head_kind} one.")
    states = [student.network.state_dict() for student, *_ in loaded]
    mean = {key: _mean([state[key] for state in states]) for key in states[0]}
    options = ["--run", str(run), "--imagenet", f"{imagenet:g}"]
    told: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "training", "average", *map(str, paths), *options]),
        "average_of": [origin for *_, origin in loaded],
    }
    if imagenet > 0:
        published = Student(len(classes), first.head_kind)
        origin = take_imagenet(published)
        if origin is None:
            raise CheckpointError("There are no ImageNet weights to mix in: leave --imagenet out.")
        for key, value in published.network.state_dict().items():
            if value.is_floating_point() and not key.startswith(HEAD):
                mean[key].lerp_(value, imagenet)
        told["imagenet"] = {"share": imagenet, **origin}
    learnt_from = {None if path.suffix == ".onnx" else load_checkpoint(path).get("photos") for path in known}
    return {
        "state_dict": mean,
        "classes": list(classes),
        "head": first.head_kind,
        "epoch": sum(origin.get("epochs", 0) for *_, origin in loaded),
        "recipe": json.dumps(None),
        "provenance": json.dumps(told),
        **({"photos": learnt_from.pop()} if len(learnt_from) == 1 and None not in learnt_from else {}),
    }


def _mean(values: list[Tensor]) -> Tensor:
    """The mean, or of counters the first one."""
    return torch.stack(values).mean(dim=0) if values[0].is_floating_point() else values[0]
