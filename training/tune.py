"""`python -m training tune`: search learning rate, decay, augmentation, mixup and distillation with Optuna.

Many short trials on small pictures and few photos; TPE proposes values (Bergstra et al. 2011), and a trial that is
worse than the median at the same epoch is given up (Golovin et al. 2017). The study lies in SQLite and goes on.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import logging
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState
from torch.nn import functional

from training.errors import DataError, TrainingError
from training.evaluate import fit_temperature
from training.files import write_atomically, write_text
from training.loop import Training
from training.models import Student, Teacher
from training.outcome import Outcome
from training.recipes import Recipe
from training.resume import as_saved, changes
from training.sampling import Photos
from training.split import Split, digest_of

VALUE = "held-out loss"
BEGUN_WITH = "begun with"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
log = logging.getLogger(__name__)

STARTUP_TRIALS = 5
"""Drawn at random before the search learns from them, and never given up."""


def suggested(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    """The recipe with the values that the study wants to try; the distillation's weight where there is a teacher."""
    if recipe.learns_from_teacher:
        recipe = replace(recipe, distillation=trial.suggest_float("distillation", 0.0, 0.9))
    return replace(
        recipe,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        strength=trial.suggest_float("strength", 0.0, 1.5),
        mixup=trial.suggest_float("mixup", 0.0, 0.5),
    )


@dataclass(frozen=True)
class Tuning:
    """What every trial begins with; `folder` gets `study.db`, `trials.csv`, `best.json` and the plots.

    `begun_with`: which start and teacher these are, as JSON has it.
    """

    folder: Path
    recipe: Recipe
    split: Split
    student: Student
    teacher: Teacher | None
    source_weights: Mapping[str, float]
    workers: int = 0
    begun_with: Mapping[str, Any] = field(default_factory=dict)

    def run(self, trials: int) -> optuna.Study:
        """Go on until the study has `trials` finished ones, then write its tables and plots.

        Raises `DataError` where its trials began otherwise, and so cannot be compared with others, or where the study
        cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._told():
            study = self._continued(trials)
        shutil.rmtree(self.folder / "trial", ignore_errors=True)
        write_tables(study, self.folder)
        draw_plots(study, self.folder)
        return study

    def require_as_begun(self) -> None:
        """Raises `DataError` as `run` does; a teacher that is yet to be made is compared by its name."""
        if (self.folder / "study.db").exists():
            with self._told():
                self._as_begun(open_study(self.folder))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as fault:
            if why := _unwritten(fault):
                raise DataError(
                    f"{self.folder / 'study.db'} cannot be written ({why}); its trials are kept."
                ) from fault
            raise

    def _continued(self, trials: int) -> optuna.Study:
        study = open_study(self.folder)
        begun = self._as_begun(study)
        if BEGUN_WITH not in study.user_attrs:
            study.set_user_attr(BEGUN_WITH, begun)
        held_out = Photos(self.split.part("val"), self.split.classes)
        left = trials - len(study.get_trials(deepcopy=False, states=FINISHED))
        if left > 0:
            # A trial and the photos of its training refer to each other, so only the collector frees them.
            study.optimize(
                lambda trial: self._try(trial, held_out), n_trials=left, callbacks=[_tell], gc_after_trial=True,
                catch=(TrainingError,),
            )  # fmt: skip
        return study

    def _as_begun(self, study: optuna.Study) -> dict[str, Any]:
        """What its trials begin with. Raises `DataError` where that is not what the study's began with."""
        parts = {part: digest_of(self.split.part(part))[:12] for part in ("train", "val")}
        now = {**asdict(self.recipe), **parts, "source_weights": dict(self.source_weights), **self.begun_with}
        saved = study.user_attrs.get(BEGUN_WITH, {})
        if teacher := now.get("teacher"):
            now["teacher"] = as_saved(teacher, [saved.get("teacher") or ""])
        if changed := changes(saved, now):
            raise DataError(
                f"{self.folder / 'study.db'} was begun otherwise ({changed}): go on as it was begun, or remove it."
            )
        return now

    def _try(self, trial: optuna.Trial, held_out: Photos) -> float:
        """One short training; its value is the held-out loss at the best temperature, lower is better."""
        recipe, place = suggested(trial, self.recipe), self.folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        losses: list[float] = []

        def judge(row: dict[str, Any]) -> None:
            outcome = training.outcome(held_out, self.split.part("val"), recipe.phases[-1].size_px)
            losses.append(held_out_loss(outcome))
            trial.set_user_attr("val_accuracy", round(float(outcome.right.mean()), 4))
            trial.report(losses[-1], row["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        training = Training(
            copy.deepcopy(self.student), recipe, self.split.part("train"), [], self.split.classes, place,
            teacher=self.teacher, source_weights=dict(self.source_weights), workers=self.workers, after_epoch=judge,
        )  # fmt: skip
        training.run()
        shutil.rmtree(place)
        return losses[-1]


def _tell(study: optuna.Study, trial: FrozenTrial) -> None:
    losses = ", ".join(f"{loss:.3f}" for loss in trial.intermediate_values.values())
    best = f"; best so far in trial {study.best_trial.number}" if complete_trials(study) else ""
    log.info("trial %d %s: loss %s%s", trial.number, trial.state.name.lower(), losses or "none", best)


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Those that came to their end; without any, the study has no best one."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def held_out_loss(outcome: Outcome) -> float:
    """Negative log-likelihood at the temperature that fits best: finer than accuracy, blind to calibration."""
    logits = torch.from_numpy(outcome.logits).double() / fit_temperature(outcome)
    return float(functional.cross_entropy(logits, torch.from_numpy(outcome.targets)))


def _unwritten(fault: BaseException | None) -> str | None:
    """Why SQLite could not write, as below a fault of Optuna's: the disk is full, the folder may only be read."""
    while fault is not None:
        if isinstance(fault, sqlite3.OperationalError) and fault.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            return str(fault)
        fault = fault.__cause__
    return None


def open_study(folder: Path) -> optuna.Study:
    """The study in `folder`, new or going on; a trial that was killed counts as failed. Raises `DataError`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = f"sqlite:///{folder / 'study.db'}"
    try:
        study = optuna.create_study(
            storage=storage, study_name="pilah", load_if_exists=True, direction="minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        )  # fmt: skip
    except Exception as fault:
        if _unwritten(fault):
            raise
        raise DataError(f"{folder / 'study.db'} is no study that can go on: move it away and tune again.") from fault
    for killed in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(killed.number, state=TrialState.FAIL)
    # Seeded by how far the study is, so that going on does not propose the first values again.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=STARTUP_TRIALS)
    return study


def write_tables(study: optuna.Study, folder: Path) -> None:
    """`trials.csv`, a line for each trial, and `best.json`, the winning values for `train --tuned`."""
    written = io.StringIO()
    names = sorted({name for trial in study.trials for name in trial.params})
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["trial", "state", "epochs", "val_loss", "val_accuracy", "minutes", *names])
    for trial in study.trials:
        table.writerow(_row(trial, names))
    write_text(folder / "trials.csv", written.getvalue())
    if complete_trials(study):
        best = {
            "values": study.best_params, "trial": study.best_trial.number, "val_loss": round(study.best_value, 4),
            "val_accuracy": study.best_trial.user_attrs.get("val_accuracy"), "trials": len(study.trials),
        }  # fmt: skip
        write_text(folder / "best.json", json.dumps(best, indent=1) + "\n")


def _row(trial: FrozenTrial, names: list[str]) -> list[Any]:
    losses = trial.intermediate_values
    minutes = trial.duration.total_seconds() / 60 if trial.duration else float("nan")
    values = [f"{trial.params[name]:.4g}" if name in trial.params else "" for name in names]
    return [
        trial.number, trial.state.name.lower(), len(losses), f"{losses[max(losses)]:.4f}" if losses else "",
        trial.user_attrs.get("val_accuracy", ""), f"{minutes:.1f}", *values,
    ]  # fmt: skip


def draw_plots(study: optuna.Study, folder: Path) -> None:
    """Optuna's own plots as SVG: history, courses of the trials, each value against the loss, and what matters."""
    from matplotlib import pyplot

    for name, axes in _plots(study):
        figure = np.ravel(axes)[0].figure
        figure.set_size_inches(9 if np.ndim(axes) == 0 else 16, 5)
        write_atomically(
            folder / f"{name}.svg", lambda path, figure=figure: figure.savefig(path, format="svg", bbox_inches="tight")
        )
        pyplot.close(figure)


def _plots(study: optuna.Study) -> Iterator[tuple[str, Any]]:
    from optuna.visualization import matplotlib as drawn

    complete = complete_trials(study)
    if not complete:
        return
    courses = drawn.plot_intermediate_values(study)
    courses.set(xlabel="epoch", ylabel=VALUE)
    yield "courses", courses
    yield "history", drawn.plot_optimization_history(study, target_name=VALUE)
    yield "slices", drawn.plot_slice(study, target=lambda trial: trial.value, target_name=VALUE)
    if len(complete) > 2:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        yield "importances", drawn.plot_param_importances(study, evaluator=evaluator, target_name=VALUE)


def with_tuned(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with the winning values of a study's `best.json`. Raises `DataError`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["values"]
        return replace(recipe, **{key: float(value) for key, value in values.items()})
    except (OSError, AttributeError, ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path} holds no winning values: name the best.json that `tune` wrote.") from fault
