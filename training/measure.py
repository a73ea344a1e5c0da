"""Commands that say how good a trained model is: evaluate, strain, unknown, and the seed's recipe to compare with."""

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
from training.options import config_option, run_option, workers_option
from training.outcome import Outcome, predict, predict_strained, predict_under
from training.report.command import asking
from training.sampling import Photos
from training.seed import fit_seed_head, predict_with_head
from training.split import load_split, require_held_out, require_photos
from training.start import take_imagenet
from training.strains import STRAINS
from training.unknown import caution


@click.command("seed")
@run_option
@click.option(
    "--views", type=click.IntRange(1, 20), default=2, show_default=True, help="Augmented views of each photo."
)
@workers_option
@config_option
def seed_command(folder: Path, views: int, workers: int, config: Config) -> None:
    """Measure the student project's recipe on the same split: DenseNet121 with ImageNet weights, frozen, and its head.

    Where those weights cannot be had, EfficientNet-Lite0 with its own stands in.
    """
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


@click.command("evaluate")
@run_option
@config_option
def evaluate_command(folder: Path, config: Config) -> None:
    """Fit temperature and thresholds on the held-out part, and measure on it and on the test part."""
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


@click.command("strain")
@run_option
def strain_command(folder: Path) -> None:
    """Measure on altered views of the held-out photos: what other cameras, light and tilt might cost.

    First one augmented view of each, with everything at once; then each strain alone.
    """
    student, checkpoint, split = load_run(folder)
    photos, classes = split.part("val"), tuple(checkpoint["classes"])
    _tell_share("augmented", predict_strained(student, photos, classes))
    for name, outcome in zip(STRAINS, predict_under(STRAINS.values(), student, photos, classes), strict=True):
        _tell_share(name, outcome)


def _tell_share(data: str, outcome: Outcome) -> None:
    _tell_row(share(data, "val", outcome.right))


def _tell_row(row: dict[str, Any]) -> None:
    click.echo(f"{row['split']:<5} {row['data']:<14} {in_percent(row)}")


@click.command("unknown")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@run_option
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="The bundle to ask.")
@config_option
def unknown_command(folders: tuple[Path, ...], folder: Path, bundle: Path, config: Config) -> None:
    """Measure what happens to things that no class covers, of which FOLDERS hold photos."""
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
