"""`pilah classify`: name what is in pictures, through the code that the loop uses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from device.config import read_config
from device.decision import decide
from device.errors import PictureError
from device.evidence import policy_of
from device.model import open_classifier
from device.options import config_option, json_lines_option, model_option
from device.pictures import picture_files, read_picture


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE|DIR...")
@config_option
@model_option
@json_lines_option
def classify(pictures: tuple[Path, ...], config_file: Path | None, model: Path | None, as_json: bool) -> None:
    """Name the material in each IMAGE, and in each picture below each DIR, and the lid that it would open."""
    config = read_config(config_file)
    classifier = open_classifier(config, model)
    policy = policy_of(config, classifier.bundle.contract)
    unread = 0
    for file, picture in _read(pictures):
        if picture is None:
            unread += 1
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


def _read(paths: Iterable[Path]) -> Iterator[tuple[Path, NDArray[np.uint8] | None]]:
    """Each file with its picture, those below a folder included; None, and a sentence, for what gives no picture."""
    for path in paths:
        try:
            if path.is_dir():
                yield from _read(_files_below(path))
            else:
                yield path, read_picture(path)
        except (PictureError, OSError) as fault:
            told = f"{path} cannot be read: {fault.strerror}." if isinstance(fault, OSError) else fault
            click.echo(f"pilah: {told}", err=True)
            yield path, None


def _files_below(folder: Path) -> list[Path]:
    """Raises `PictureError` where there is none."""
    if files := picture_files(folder):
        return files
    raise PictureError(f"The folder {folder} holds no picture (JPEG, PNG or WebP).")


def _sentence(told: dict[str, Any]) -> str:
    doubt = "" if told["verdict"] == "sure" else f", {told['verdict']}"
    return f"{told['file']}: {told['material']} → {told['compartment']} ({told['confidence']:.0%}{doubt})"
