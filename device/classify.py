"""`pilah classify`: name what is in pictures, through the code that the loop uses."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from device.config import read_config
from device.decision import decide
from device.errors import PictureError
from device.evidence import policy_of
from device.model import open_classifier
from device.pictures import picture_files, read_picture

log = logging.getLogger(__name__)


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE|DIR...")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The configuration to use.")
@click.option("--model", type=click.Path(path_type=Path), help="The bundle to use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def classify(pictures: tuple[Path, ...], config_file: Path | None, model: Path | None, as_json: bool) -> None:
    """Name the material in each IMAGE, and in each picture below each DIR, and the lid that it would open."""
    config = read_config(config_file)
    classifier = open_classifier(config, model)
    policy = policy_of(config, classifier.bundle.contract)
    unread = 0
    for file in _files(pictures):
        try:
            picture = read_picture(file)
        except PictureError as fault:
            unread += 1
            click.echo(f"pilah: {fault}", err=True)
            continue
        decision = decide([classifier.observe(picture)], policy)
        told: dict[str, Any] = {
            "file": str(file),
            "material": decision.material,
            "compartment": decision.compartment,
            "confidence": decision.confidence,
            "verdict": decision.verdict,
            "probabilities": dict(decision.probabilities),
        }
        click.echo(json.dumps(told) if as_json else _sentence(told))
    if unread:
        raise click.exceptions.Exit(1)


def _files(pictures: tuple[Path, ...]) -> Iterator[Path]:
    """Raises `PictureError` for a folder without pictures."""
    for path in pictures:
        if not path.is_dir():
            yield path
            continue
        files = picture_files(path)
        if not files:
            raise PictureError(f"The folder {path} holds no picture (JPEG, PNG or WebP).")
        yield from files


def _sentence(told: dict[str, Any]) -> str:
    doubt = "" if told["verdict"] == "sure" else f", {told['verdict']}"
    return f"{told['file']}: {told['material']} → {told['compartment']} ({told['confidence']:.0%}{doubt})"
