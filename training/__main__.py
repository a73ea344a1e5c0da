"""`python -m training`: photos → split → teacher → student → evaluation, each step a command on a run's folder."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click

if __name__ == "__main__":  # reading PyTorch takes seconds, and nothing has begun yet that Ctrl-C must end well
    _answer = signal.signal(signal.SIGINT, signal.SIG_DFL)

import torch

from device.counting import counted
from device.errors import PilahError
from device.options import Commands
from training.average import averaged
from training.errors import DataError
from training.files import write_checkpoint
from training.loop import Training
from training.measure import evaluate_command, seed_command, strain_command, unknown_command
from training.models import Explainer, Student, together
from training.options import data_options, run_option, workers_option
from training.photos import augment_command, prepare_command
from training.processes import Processes, alone_in
from training.recipes import RECIPES, Phase, recipe_named
from training.report.command import report_command
from training.resume import read_state, require_as_begun, set_aside
from training.sampling import weights_by_source
from training.sources import read_description
from training.split import digest_of, load_split, require_held_out, require_photos
from training.start import IMAGENET, RANDOM, begin, identity, place, trained
from training.teach import teacher_from, teacher_identity, teacher_of
from training.tune import Tuning, complete_trials, with_tuned


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
def train_command(
    data: Path, description: Path, folder: Path, name: str, start: str, sizes: tuple[int, ...], other: Path | None,
    beside: tuple[Path, ...], resume: bool, tuned: Path | None, seed: int, workers: int,
) -> None:  # fmt: skip
    """Train by a recipe; stopped at any moment and started again, it goes on.

    On several GPUs, or CPUs: torchrun --nproc-per-node N -m -- training train …
    """
    described, split, recipe = (
        read_description(description, data), load_split(folder / "split.json"),
        replace(recipe_named(name), seed=seed),
    )  # fmt: skip
    recipe = recipe if tuned is None else with_tuned(recipe, tuned)
    described.require_sources(photo.source for photo in split.part("train"))
    require_photos([*split.part("train"), *split.part("val")])
    given = {"--teacher": sizes, "--taught-by": other, "--co-teacher": beside}
    if not recipe.learns_from_teacher and (vain := [option for option, value in given.items() if value]):
        raise DataError(f"The recipe {name} has no teacher: leave {' and '.join(vain)} out, or take another recipe.")
    processes = Processes.join()
    processes.share_of(recipe.batch)  # before a teacher is fitted
    if processes.is_first:
        click.get_current_context().with_resource(alone_in(folder))
    goes_on = resume and (folder / "last.pt").exists()
    is_begun = goes_on or (resume and (folder / "log.jsonl").exists() and not (folder / "model.pt").exists())
    sizes = tuple(dict.fromkeys(sizes or (() if beside and other is None else (0,))))
    sizes = sizes if recipe.learns_from_teacher else ()
    source_weights = {source.name: source.weight for source in described.source}
    begun_with = {"start": place(start), "co_teachers": [identity(path) for path in beside]}

    def chosen() -> list[str]:
        return [teacher_identity(other or folder, size, bool(other or recipe.teacher_epochs)) for size in sizes]

    if goes_on and processes.is_first:  # before anything is made that takes minutes
        photos = split.part("train")
        require_as_begun(
            folder, read_state(folder / "last.pt", torch.device("cpu")), recipe, digest_of(photos),
            {**begun_with, "teachers": chosen(), "source_weights": weights_by_source(photos, source_weights)},
        )  # fmt: skip
    co_teachers = [trained(path, split, split.classes) for path in beside]
    lent = {} if other is None else {size: teacher_from(other, split.classes, size) for size in sizes}
    torch.manual_seed(recipe.seed)
    student = Student(len(split.classes), "seed" if name == "seed" else "linear", recipe.norms)
    origin = None if goes_on else begin(student, start, split)
    processes.wait()  # all have read what it begins from, which may lie in this very run
    if processes.is_first and not is_begun:
        for path in set_aside(folder, teachers=not resume and other is None):
            click.echo(f"The earlier training is kept as {path}.")
    processes.wait()
    teachers: dict[int, Explainer] = {
        size: lent.get(size) or teacher_of(folder, split, recipe, size, workers, processes) for size in sizes
    }
    training = Training(
        student, recipe, split.part("train"), split.part("val"), split.classes, folder,
        teacher=together([*teachers.values(), *(student for student, *_ in co_teachers)]),
        source_weights=source_weights,
        provenance={
            "command": f"python -m training {shlex.join(sys.argv[1:])}",
            "recipe_name": name, "seed": recipe.seed, "start": origin,
            "teachers": [f"EfficientNet-Lite{size}" for size in teachers],
            "co_teachers": [told for *_, told in co_teachers],
        },
        begun_with={**begun_with, "teachers": chosen()},
        workers=workers, processes=processes,
    )  # fmt: skip
    training.run()
    if processes.is_first:
        click.echo(f"{folder / 'model.pt'}: {training.epoch} of {counted(recipe.epochs, 'epoch')}")


@main.command("average")
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(path_type=Path))
@run_option
@click.option(
    "--imagenet", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True,
    help="Share of ImageNet's weights to mix in.",
)  # fmt: skip
def average_command(checkpoints: tuple[Path, ...], folder: Path, imagenet: float) -> None:
    """Average trained CHECKPOINTS or bundles that went on from the same weights or from one another, into model.pt.

    Run evaluate afterwards: networks that have nothing in common average to one that knows nothing.
    """
    path = folder / "model.pt"
    values = averaged(checkpoints, load_split(folder / "split.json"), imagenet, folder)

    def make_room() -> None:
        for earlier in set_aside(folder):
            click.echo(f"The earlier training is kept as {earlier}.")

    write_checkpoint(path, values, first=make_room)
    click.echo(f"{path}: the mean of {len(checkpoints)}, {100 * imagenet:g} % of ImageNet's weights mixed in")


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
def tune_command(
    data: Path, description: Path, folder: Path, trials: int, name: str, start: str, teacher: int, epochs: int,
    size: int, per_class: int | None, workers: int,
) -> None:  # fmt: skip
    """Search for better values of a recipe; stopped and started again, the study goes on."""
    described, split = read_description(description, data), load_split(folder / "split.json")
    described.require_sources(photo.source for photo in split.part("train"))
    require_held_out(folder, split)
    require_photos([*split.part("train"), *split.part("val")])
    recipe = replace(recipe_named(name), phases=(Phase(epochs, size),), teacher_epochs=0)
    click.get_current_context().with_resource(alone_in(folder))
    torch.manual_seed(recipe.seed)
    student = Student(len(split.classes), norms=recipe.norms)
    begin(student, start, split)

    def chosen() -> dict[str, str | None]:
        is_taught = recipe.learns_from_teacher
        return {
            "start": start if start in (IMAGENET, RANDOM) else identity(Path(start)),
            "teacher": teacher_identity(folder, teacher, is_fine_tuned=False) if is_taught else None,
        }

    tuning = Tuning(
        folder / "tuning", recipe, split if per_class is None else split.thinned(per_class), student, None,
        {source.name: source.weight for source in described.source}, workers, chosen(),
    )  # fmt: skip
    if recipe.learns_from_teacher:
        tuning.require_as_begun()  # before a teacher is fitted for minutes
        taught_by = teacher_of(folder, split, recipe, teacher, workers, Processes.join())
        tuning = replace(tuning, teacher=taught_by, begun_with=chosen())
    study = tuning.run(trials)
    if not complete_trials(study):
        raise DataError(f"No trial of {folder / 'tuning'} came to its end: tune with more --trials.")
    click.echo(f"{folder / 'tuning'}: {counted(len(study.trials), 'trial')}; best loss {study.best_value:.4f} with")
    for key, value in study.best_params.items():
        click.echo(f"  {key:<14} {value:.4g}")


for _command in (
    prepare_command, augment_command, seed_command, evaluate_command, strain_command, unknown_command, report_command,
):  # fmt: skip
    main.add_command(_command)


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
    signal.signal(signal.SIGINT, _answer)
    run()
