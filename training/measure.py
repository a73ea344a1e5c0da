"""What `evaluate`, `strain`, `unknown` and `seed` do: say how good a trained model is, or the seed's recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch

from device.bundle import Bundle
from device.config import Config
from device.pictures import picture_files
from training.checkpoints import load_run
from training.evaluate import evaluate, in_percent, share
from training.files import sha256_of, write_text
from training.lids import NO_THRESHOLDS, policy
from training.models import Normalised, Student, Teacher
from training.outcome import Outcome, predict, predict_strained, predict_under
from training.report.command import asking
from training.sampling import Photos
from training.seed import fit_seed_head, predict_with_head
from training.split import load_split, require_held_out, require_photos
from training.start import take_imagenet
from training.strains import STRAINS
from training.unknown import caution


def measure_seed(folder: Path, views: int, workers: int, config: Config) -> None:
    """Measure the student project's recipe on the split of the run in `folder`. Raises `PilahError`."""
    split = load_split(folder / "split.json")
    require_held_out(folder, split)
    require_photos(split.photos)
    policy(split.classes, NO_THRESHOLDS, config=config)  # told before the photos are looked at
    torch.manual_seed(0)
    student = Student(len(split.classes))
    backbone: Normalised = student
    if take_imagenet(student) is None:
        click.echo("DenseNet121's ImageNet weights cannot be had: EfficientNet-Lite0 with its own stands in.", err=True)
        backbone = Teacher(len(split.classes), 0)
    head = fit_seed_head(
        backbone, Photos(split.part("train"), split.classes), len(split.classes), views, workers=workers
    )
    parts = [part for part in ("val", "test") if split.part(part)]
    outcomes = [predict_with_head(backbone, head, split.part(part), split.classes) for part in parts]
    result = evaluate(*outcomes, config=config)
    write_text(folder / "seed.json", json.dumps(result, indent=1, ensure_ascii=False))
    _tell(result)


def measure_run(folder: Path, config: Config) -> None:
    """Fit temperature and thresholds of the run in `folder`, and measure them. Raises `PilahError`."""
    student, checkpoint, split = load_run(folder)
    classes, test = tuple(checkpoint["classes"]), split.part("test")
    require_held_out(folder, split)
    policy(classes, NO_THRESHOLDS, config=config)  # told before the photos are looked at
    licences = json.loads((folder / "licences.json").read_text(encoding="utf-8"))
    held_out = predict(student, split.part("val"), classes)
    result = evaluate(held_out, predict(student, test, classes) if test else None, config)
    result |= {"model_sha256": sha256_of(folder / "model.pt"), "licences": licences}
    write_text(folder / "evaluation.json", json.dumps(result, indent=1, ensure_ascii=False))
    _tell(result)


def measure_strained(folder: Path) -> None:
    """Measure the run in `folder` on altered views of its held-out photos. Raises `PilahError`."""
    student, checkpoint, split = load_run(folder)
    photos, classes = split.part("val"), tuple(checkpoint["classes"])
    _tell_share("augmented", predict_strained(student, photos, classes))
    for name, outcome in zip(STRAINS, predict_under(STRAINS.values(), student, photos, classes), strict=True):
        _tell_share(name, outcome)


def _tell_share(data: str, outcome: Outcome) -> None:
    _tell_row(share(data, "val", outcome.right))


def _tell_row(row: dict[str, Any]) -> None:
    click.echo(f"{row['split']:<5} {row['data']:<14} {in_percent(row)}")


def measure_unknown(folders: tuple[Path, ...], folder: Path, bundle: Path, config: Config) -> None:
    """Measure what a bundle does with the things in `folders`, that no class covers. Raises `PilahError`."""
    unknown = [path for one in folders for path in picture_files(one)]
    known = load_split(folder / "split.json").part("val")
    found = caution(Bundle.open(bundle), known, unknown, asking, config)
    for label, data, one in (
        ("unknown, to the fallback", "unknown", found.shipped.fallback),
        ("without thresholds", "unknown", found.without.fallback),
        ("known, right lid", "known", found.shipped.right),
        ("without thresholds", "known", found.without.right),
    ):
        row = share(data, "val", one)
        click.echo(f"{label:<25} {row['correct']} of {row['photos']}: {in_percent(row)}")
    for name, chance in found.separation.items():
        click.echo(f"{name} is higher for a known thing than for an unknown one in {100 * chance:.1f} % of pairs")


def _tell(result: dict[str, Any]) -> None:
    """Print what an evaluation measured."""
    for row in result["metrics"]:
        _tell_row(row)
    for part, lids in result["compartments"].items():
        for name in ("as_shipped", "without_fallback", "grave_mistakes"):
            if lids[name]["photos"]:
                told = lids[name]["data"] if name == "grave_mistakes" else name
                click.echo(f"{part:<5} lids, {told}: {in_percent(lids[name])}")
