"""What `train` and `tune` do: check what they are asked for, make the teachers, and learn."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click
import torch

from device.counting import counted
from training.errors import DataError
from training.loop import Training
from training.models import Explainer, Student, together
from training.processes import Processes, alone_in
from training.recipes import IMAGENET, RANDOM, Phase, recipe_named
from training.resume import read_state, require_as_begun, set_aside
from training.sampling import weights_by_source
from training.sources import read_description
from training.split import digest_of, load_split, require_held_out, require_photos
from training.start import begin, identity, place, trained
from training.teach import teacher_from, teacher_identity, teacher_of
from training.tune import Tuning, complete_trials, with_tuned


def train(
    data: Path, description: Path, folder: Path, name: str, start: str, sizes: tuple[int, ...], other: Path | None,
    beside: tuple[Path, ...], resume: bool, tuned: Path | None, seed: int, workers: int,
) -> None:  # fmt: skip
    """Train a student in `folder` by the recipe `name`, or go on there. Raises `PilahError`.

    Teachers are those of `sizes`, of this run or of the run `other`, and the trained networks `beside`.
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


def tune(
    data: Path, description: Path, folder: Path, trials: int, name: str, start: str, teacher: int, epochs: int,
    size: int, per_class: int | None, workers: int,
) -> None:  # fmt: skip
    """Search for better values of the recipe `name`, in a study that lies in `folder`. Raises `PilahError`."""
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
