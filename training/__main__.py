"""`python -m training`: photos → split → teacher → student → evaluation, each step a command on a run's folder.

What may be typed stands here; what is done lies in other modules, which are read once it is: PyTorch takes seconds.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, get_args

import click

from device.errors import PilahError
from device.options import Commands, load
from training.options import HELD_OUT, config_option, data_options, run_option, workers_option
from training.recipes import IMAGENET, RECIPES, Views


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train and evaluate the material classifier."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


@main.command("train")
@data_options
@run_option
@click.option(
    "--recipe", "name", type=click.Choice(["auto", *RECIPES]), default="auto", show_default=True,
    help="auto: default with a GPU, short without.",
)  # fmt: skip
@click.option(
    "--start", default=IMAGENET, show_default=True, metavar="imagenet|random|FILE",
    help="Weights to start from; FILE is a checkpoint or a bundle (.onnx).",
)  # fmt: skip
@click.option(
    "--teacher", "sizes", type=click.IntRange(0, 2), multiple=True,
    help="Size of EfficientNet-Lite; may be given several times. [default: 0, or none beside a co-teacher]",
)  # fmt: skip
@click.option(
    "--taught-by", "other", type=click.Path(path_type=Path), default=None, metavar="RUN",
    help="Another run whose fine-tuned teachers teach here too.",
)  # fmt: skip
@click.option(
    "--co-teacher", "beside", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
    help="A trained checkpoint or bundle that teaches, alone or beside teachers; may be given several times.",
)  # fmt: skip
@click.option("--resume/--restart", default=True, show_default=True, help="Go on in --run, or begin anew there.")
@click.option("--tuned", type=click.Path(path_type=Path), default=None, help="The best.json of a study.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of chance; to go on from a model, take one that it has not seen.",
)
@workers_option
def train_command(**given: Any) -> None:
    """Train by a recipe; stopped at any moment and started again, it goes on.

    On several GPUs, or CPUs: torchrun --nproc-per-node N -m -- training train …
    """
    load("training.train:train")(**given)


@main.command("average")
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(path_type=Path))
@run_option
@click.option(
    "--imagenet", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True,
    help="Share of ImageNet's weights to mix in.",
)  # fmt: skip
def average_command(**given: Any) -> None:
    """Average trained CHECKPOINTS or bundles that went on from the same weights or from one another, into model.pt.

    Run evaluate afterwards: networks that have nothing in common average to one that knows nothing.
    """
    load("training.average:average")(**given)


@main.command("tune")
@data_options
@run_option
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="How many the study shall have.")
@click.option("--recipe", "name", type=click.Choice(["auto", *RECIPES]), default="auto", show_default=True)
@click.option("--start", default=IMAGENET, show_default=True, metavar="imagenet|random|FILE")
@click.option("--teacher", type=click.IntRange(0, 2), default=0, show_default=True, help="Size of EfficientNet-Lite.")
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True, help="Of each trial.")
@click.option("--size", type=click.IntRange(32), default=96, show_default=True, help="Side of a view in pixels.")
@click.option("--per-class", type=click.IntRange(2), default=None, help="Use so many photos of a class and part.")
@workers_option
def tune_command(**given: Any) -> None:
    """Search for better values of a recipe; stopped and started again, the study goes on."""
    load("training.train:tune")(**given)


@main.command("prepare")
@data_options
@run_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--like", type=click.Path(path_type=Path), default=None, metavar="RUN",
    help="An earlier run or its split.json: its photos keep their parts, so that models of before are measured fairly.",
)  # fmt: skip
@click.option(
    "--rendered", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None,
    help="Folder made by training.render.",
)  # fmt: skip
@click.option("--per-class", type=click.IntRange(2), default=None, help="Keep only so many photos of a class and part.")
@click.option(
    "--held-out", type=click.FloatRange(0, 0.5, min_open=True), default=HELD_OUT, show_default=True,
    help="Share that is not trained on; a smaller one, of the same seed, lies within a larger one.",
)  # fmt: skip
@config_option
def prepare_command(**given: Any) -> None:
    """Check all photos, find near-duplicates, split, and write it down; a split that exists is reused."""
    load("training.photos:prepare_run")(**given)


@main.command("augment")
@run_option
@click.option("--size", type=click.IntRange(32), default=160, show_default=True, help="Side of a view in pixels.")
@click.option("--strength", type=click.FloatRange(0, 2), default=1.0, show_default=True)
@click.option(
    "--views", type=click.Choice(get_args(Views)), default="bin", show_default=True, help="As a recipe names them."
)
def augment_command(**given: Any) -> None:
    """Save a grid of augmented views, to look at before hours of training."""
    load("training.photos:show_views")(**given)


@main.command("seed")
@run_option
@click.option(
    "--views", type=click.IntRange(1, 20), default=2, show_default=True, help="Augmented views of each photo."
)
@workers_option
@config_option
def seed_command(**given: Any) -> None:
    """Measure the student project's recipe on the same split: DenseNet121 with ImageNet weights, frozen, and its head.

    Where those weights cannot be had, EfficientNet-Lite0 with its own stands in.
    """
    load("training.measure:measure_seed")(**given)


@main.command("evaluate")
@run_option
@config_option
def evaluate_command(**given: Any) -> None:
    """Fit temperature and thresholds on the held-out part, and measure on it and on the test part."""
    load("training.measure:measure_run")(**given)


@main.command("strain")
@run_option
def strain_command(**given: Any) -> None:
    """Measure on altered views of the held-out photos: what other cameras, light and tilt might cost.

    First one augmented view of each, with everything at once; then each strain alone.
    """
    load("training.measure:measure_strained")(**given)


@main.command("unknown")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@run_option
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="The bundle to ask.")
@config_option
def unknown_command(**given: Any) -> None:
    """Measure what happens to things that no class covers, of which FOLDERS hold photos."""
    load("training.measure:measure_unknown")(**given)


@main.command("report")
@run_option
@click.option(
    "--bundle", type=click.Path(path_type=Path), default=None,
    help="Measure this bundle, as the device runs it; without it the run's float model is measured.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None, help="The page; default: report.html in the run.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Show the worst mistakes' photos.")
@config_option
def report_command(**given: Any) -> None:
    """Write the report of a run: one page with plots, and the same figures as JSON beside it."""
    load("training.report.command:report")(**given)


def run() -> None:
    """The entry point: a fault is one sentence and exit code 1."""
    try:
        main()
    except PilahError as fault:
        click.echo(f"training: {fault}", err=True)
        sys.exit(1)
    except OSError as fault:
        where = f" ({fault.filename})" if fault.filename else ""
        click.echo(f"training: {fault.strerror or fault}{where}; nothing that was saved is lost.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
