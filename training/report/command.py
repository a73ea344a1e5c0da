"""What `report` does: measure a run or a bundle, and write the page and its figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from device.bundle import Bundle, Thresholds
from device.config import Config
from device.decision import Policy
from training.checkpoints import load_run
from training.errors import DataError
from training.evaluate import in_percent, read_evaluation
from training.files import require_place, write_picture, write_text
from training.lids import FOUR_LIDS, policy
from training.outcome import Outcome, observe, predict
from training.report.figures import figures
from training.report.mistakes import mistake_sheet, short_names, worst_mistakes
from training.report.page import page
from training.split import Photo, Split, load_split, require_photos

HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Measured:
    """What a model said of each held-out part, with the temperature and rule it is judged by."""

    outcomes: dict[str, Outcome]
    temperature: float
    rule: Policy
    made: dict[str, str]


def report(folder: Path, bundle: Path | None, out: Path | None, pictures: bool, config: Config) -> None:
    """Write the page of the run in `folder`, and its figures as JSON beside it. Raises `PilahError`."""
    out = out or folder / "report.html"
    if out.suffix == ".json":
        raise DataError(f"{out} is where the page's figures go: give --out another ending, such as .html.")
    for path in (out, out.with_suffix(".json")):
        require_place(path)
    split = load_split(folder / "split.json")
    measured = _measure_run(folder, config) if bundle is None else _measure_bundle(bundle, split, config)
    first, *others = measured.outcomes.values()
    everything = sum(others, start=first)
    mistakes = worst_mistakes(everything, measured.temperature)
    names = short_names([photo.path for photo in everything.photos])
    result = {
        "made": {
            **measured.made,
            "measured": date.today().isoformat(),
            "lids": "the default bin's" if config is FOUR_LIDS else "the configured bin's",
        },
        **figures(measured.outcomes, measured.temperature, measured.rule),
        "mistakes": [{**asdict(one), "photo": names[one.photo]} for one in mistakes],
    }
    sheet = mistake_sheet(mistakes) if pictures and mistakes else None
    if sheet is not None:
        write_picture(folder / "mistakes.jpg", sheet)
    write_text(out.with_suffix(".json"), json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    write_text(out, page(result, sheet))
    click.echo(f"{out} and {out.with_suffix('.json')}")
    for name, part in result["parts"].items():
        for label, row in (("materials", part["accuracy"]), ("lids", part["lids"]["as_shipped"])):
            click.echo(f"{name:<9} {label:<10} {row['correct']} of {row['photos']} right: {in_percent(row)}")


def _held_out(split: Split) -> dict[str, list[Photo]]:
    """The parts to measure on. Raises `DataError` where there is none, or a photo is gone."""
    parts = {name: split.part(name) for name in HELD_OUT}
    photos = [photo for part in parts.values() for photo in part]
    if not photos:
        raise DataError("The run's split holds out no photo, so there is nothing to measure on: prepare it again.")
    require_photos(photos)
    return {name: part for name, part in parts.items() if part}


def _measure_run(folder: Path, config: Config) -> Measured:
    student, checkpoint, split = load_run(folder)
    evaluation = read_evaluation(folder)
    classes, thresholds = tuple(checkpoint["classes"]), Thresholds.model_validate(evaluation["thresholds"])
    rule = policy(classes, thresholds, config=config)
    outcomes = {name: predict(student, photos, classes) for name, photos in _held_out(split).items()}
    made = {"model": f"{folder / 'model.pt'}, float32", "epochs": str(checkpoint["epoch"])}
    return Measured(outcomes, evaluation["temperature"], rule, made)


def _measure_bundle(path: Path, split: Split, config: Config) -> Measured:
    bundle = Bundle.open(path)
    contract = bundle.contract
    rule = policy(contract.classes, contract.thresholds, contract.cost_matrix, config)
    outcomes = {name: observe(bundle, photos, asking) for name, photos in _held_out(split).items()}
    made = {"model": f"{path.name}, version {contract.version}, as the device runs it"}
    return Measured(outcomes, contract.temperature, rule, made)


def asking(photos: Iterable[Any]) -> Iterable[Any]:
    """Shows how many of the photos a bundle has seen."""
    return tqdm(photos, desc="asking the bundle", leave=False, mininterval=5)
