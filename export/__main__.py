"""`python -m export`: a finished run becomes the bundle that the device runs."""

from __future__ import annotations

import logging
import sys
from datetime import date
from pathlib import Path

import click

from device.errors import PilahError
from device.options import load
from export.limits import CALIBRATION_PHOTOS, OPSET, Limits
from training.options import run_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@run_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("models/default.onnx"), show_default=True)
@click.option("--version", default=None, help="What the bundle calls itself; default: today's date and a 1.")
@click.option(
    "--accuracy-lost", type=click.FloatRange(0, 1), default=Limits.accuracy_lost, show_default=True,
    help="INT8 may lose so much.",
)  # fmt: skip
@click.option(
    "--agreement", type=click.FloatRange(0, 1), default=Limits.agreement, show_default=True,
    help="INT8 must agree with float so often.",
)  # fmt: skip
@click.option(
    "--calibration-photos", type=click.IntRange(min=8), default=CALIBRATION_PHOTOS, show_default=True,
    help="Of the training part, on which the ranges of 8 bits are measured.",
)  # fmt: skip
@click.option("--opset", default=OPSET, show_default=True, help="Of the bundle's graph.")
def main(
    folder: Path,
    out: Path,
    version: str | None,
    accuracy_lost: float,
    agreement: float,
    calibration_photos: int,
    opset: int,
) -> None:
    """Turn the run in --run into the bundle --out, verified on held-out photos before the old one is replaced."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("export").setLevel(logging.INFO)  # the exporter of PyTorch talks of its own passes
    version = version or f"{date.today():%Y.%m.%d}-1"
    export_bundle = load("export.bundle:export_bundle")
    try:
        metadata = export_bundle(folder, out, version, Limits(accuracy_lost, agreement), calibration_photos, opset)
    except PilahError as fault:
        click.echo(f"export: {fault}", err=True)
        sys.exit(1)
    except OSError as fault:
        click.echo(
            f"export: {fault.strerror or fault} ({fault.filename or out}); the old bundle is in place.", err=True
        )
        sys.exit(1)
    click.echo(f"{out} ({out.stat().st_size / 1e6:.2f} MB), version {version}")
    in_percent = load("training.evaluate:in_percent")
    for row in metadata["metrics"]:
        click.echo(f"  {row['split']:<5} {row['data']:<14} {row['correct']:>4}/{row['photos']:<4} {in_percent(row)}")


if __name__ == "__main__":
    main()
