"""A study goes on where it stopped, and a teacher of any size can be fitted and fine-tuned."""

from __future__ import annotations

import csv
import gc
import json
import re
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("optuna")
from tests.test_training_loop import TINY, photos, training  # noqa: E402
from training.errors import CheckpointError, DataError  # noqa: E402
from training.loop import Training  # noqa: E402
from training.models import Ensemble, Student, Teacher  # noqa: E402
from training.processes import Processes  # noqa: E402
from training.recipes import Phase  # noqa: E402
from training.split import Split  # noqa: E402
from training.start import trained  # noqa: E402
from training.teach import teacher_from, teacher_of  # noqa: E402
from training.tune import Tuning, open_study, with_tuned  # noqa: E402

ALONE = Processes(0, 1, torch.device("cpu"))


def split(root: Path) -> Split:
    listed = photos(root / "photos")
    return Split((*listed[:4], *(replace(photo, part="val") for photo in listed[4:])), (), 0)


def test_a_study_goes_on_and_saves_its_winning_values(tmp_path: Path) -> None:
    folder = tmp_path / "tuning"
    tuning = Tuning(folder, TINY, split(tmp_path), Student(2), None, {})
    tuning.run(1)
    open_study(folder).ask()  # a trial that is killed never ends
    study = tuning.run(2)

    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert [row["state"] for row in rows] == ["complete", "fail", "complete"]
    assert rows[0]["learning_rate"] != rows[2]["learning_rate"]
    best = json.loads((folder / "best.json").read_text())
    assert best["values"] == study.best_params
    assert best["val_loss"] == pytest.approx(min(float(rows[0]["val_loss"]), float(rows[2]["val_loss"])), abs=1e-3)
    assert "<svg" in (folder / "history.svg").read_text()
    assert not (folder / "trial").exists()
    assert with_tuned(TINY, folder / "best.json").mixup == study.best_params["mixup"]


def test_a_study_of_other_trials_is_not_gone_on_with(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path, TINY, split(tmp_path), Student(2), None, {}, begun_with={"start": "random"})
    tuning.run(1)
    fewer = replace(tuning.split, photos=tuning.split.photos[1:])
    for other, says in (
        (replace(tuning, recipe=replace(TINY, echo=2)), "echo was 1, now 2"),
        (replace(tuning, recipe=replace(TINY, phases=(Phase(2, 48),))), "phases was "),
        (replace(tuning, split=fewer), "train was "),
        (replace(tuning, source_weights={"drawn": 2.0}), "source_weights was {}, now {'drawn': 2.0}"),
        (replace(tuning, begun_with={"start": "imagenet"}), "start was random, now imagenet"),
    ):
        with pytest.raises(DataError, match=re.escape(f"study.db was begun otherwise ({says}")):
            other.run(1)
    assert len(tuning.run(1).trials) == 1, "as it was begun, it goes on"


def test_a_teacher_that_is_yet_to_be_made_is_compared_by_its_name(tmp_path: Path) -> None:
    made = Tuning(tmp_path, TINY, split(tmp_path), Student(2), None, {}, begun_with={"teacher": "Lite0 (1234abcd)"})
    made.require_as_begun()
    made.run(1)
    replace(made, begun_with={"teacher": "Lite0"}).require_as_begun()
    for other in ("Lite1", "Lite0 (5678abcd)"):
        with pytest.raises(DataError, match=re.escape(f"teacher was Lite0 (1234abcd), now {other}")):
            replace(made, begun_with={"teacher": other}).require_as_begun()


def test_a_trial_does_not_keep_the_photos_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[weakref.ref[Training]] = []
    alive: list[int] = []

    class Watched(Training):
        def run(self) -> None:
            alive.append(sum(one() is not None for one in begun))
            begun.append(weakref.ref(self))
            super().run()

    monkeypatch.setattr("training.tune.Training", Watched)
    gc.disable()
    try:
        Tuning(tmp_path / "tuning", TINY, split(tmp_path), Student(2), None, {}).run(3)
    finally:
        gc.enable()
    assert alive == [0, 0, 0]


def test_a_trial_whose_loss_is_no_number_fails_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.tune.suggested", lambda trial, recipe: replace(
        recipe, learning_rate=trial.suggest_float("learning_rate", 1e-3, 1e-3) * (1e33 if trial.number == 0 else 1),
    ))  # fmt: skip
    study = Tuning(tmp_path / "tuning", TINY, split(tmp_path), Student(2), None, {}).run(2)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]


def test_values_of_no_study_are_refused(tmp_path: Path) -> None:
    for told in ('{"values": {"courage": 1}}', '{"values": {"learning_rate": "fast"}}', '{"values": 7}', "[]"):
        (tmp_path / "best.json").write_text(told)
        with pytest.raises(DataError, match="holds no winning values"):
            with_tuned(TINY, tmp_path / "best.json")
    (tmp_path / "study.db").write_bytes(b"no database, but long enough to be taken for one" * 40)
    with pytest.raises(DataError, match="no study that can go on"):
        open_study(tmp_path)


def test_a_study_that_cannot_be_written_is_kept_and_the_reason_is_told(tmp_path: Path) -> None:
    open_study(tmp_path)
    (tmp_path / "study.db-journal").mkdir()  # SQLite cannot write without its journal, as on a full disk
    with pytest.raises(DataError, match=r"study\.db cannot be written \(.+\); its trials are kept"):
        Tuning(tmp_path, TINY, split(tmp_path), Student(2), None, {}).run(1)
    (tmp_path / "study.db-journal").rmdir()
    open_study(tmp_path)


def test_a_teacher_is_fine_tuned_once_and_one_of_another_size_is_refused(tmp_path: Path) -> None:
    phases = (Phase(2, 32, 48), Phase(1, 64))
    listed, recipe = split(tmp_path), replace(TINY, phases=phases, distillation=0.5, cutmix=1.0, teacher_epochs=1)
    taught = teacher_of(tmp_path, listed, recipe, 0, 0, ALONE).state_dict()
    published = Teacher(2, size=0).state_dict()
    assert not torch.equal(taught["network._conv_head.weight"], published["network._conv_head.weight"])
    edges = "network._blocks.4._project_conv.weight"
    assert torch.equal(taught[edges], published[edges]), "what lies below stride 8 stays"
    again = teacher_of(tmp_path, listed, recipe, 0, 0, ALONE).state_dict()
    assert all(torch.equal(taught[key], again[key]) for key in taught)
    (row,) = (tmp_path / "teacher-0" / "log.jsonl").read_text().splitlines()
    assert json.loads(row)["size_px"] == 48, "it learns at the size that it explains longest"
    shutil.copy(tmp_path / "teacher-0.pt", tmp_path / "teacher-2.pt")
    with pytest.raises(CheckpointError, match="no EfficientNet-Lite2 with 2 classes"):
        teacher_of(tmp_path, listed, recipe, 2, 0, ALONE)

    elsewhere = teacher_from(tmp_path, listed.classes, 0).state_dict()
    assert all(torch.equal(taught[key], elsewhere[key]) for key in taught)
    with pytest.raises(CheckpointError, match="has no fine-tuned EfficientNet-Lite1: name a --teacher that it has"):
        teacher_from(tmp_path, listed.classes, 1)
    shutil.copytree(tmp_path / "teacher-0", tmp_path / "teacher-1")
    with pytest.raises(CheckpointError, match="no EfficientNet-Lite1: name its --teacher"):
        teacher_from(tmp_path, listed.classes, 1)
    with pytest.raises(CheckpointError, match="tells glass, paper, this run glass, wood"):
        teacher_from(tmp_path, ("glass", "wood"), 0)
    with pytest.raises(CheckpointError, match="nowhere has no fine-tuned EfficientNet-Lite0"):
        teacher_from(tmp_path / "nowhere", listed.classes, 0)


def test_trained_networks_teach_beside_the_teacher_with_the_same_say(tmp_path: Path) -> None:
    listed = split(tmp_path)
    training(list(listed.photos), tmp_path / "first").run()
    second, _, told = trained(tmp_path / "first" / "model.pt", listed, listed.classes)
    assert (told["file"], told["epochs"]) == ("model.pt", 2)
    first, third = (Teacher(2, size=0).eval() for _ in range(2))
    views = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        logits, maps = Ensemble([first, second, third]).eval()(views)
        chances = [torch.softmax(one(views)[0], dim=1) for one in (first, second, third)]
    together = (chances[0] * chances[1] * chances[2]) ** (1 / 3)
    torch.testing.assert_close(torch.softmax(logits, dim=1), together / together.sum(dim=1, keepdim=True))
    assert [one.shape[1] for one in maps] == list(first.widths), "hints come from the teacher"

    other = replace(listed, photos=tuple(replace(photo, material="wood") for photo in listed.photos))
    with pytest.raises(CheckpointError, match=r"model\.pt tells glass, paper, this run wood"):
        trained(tmp_path / "first" / "model.pt", other, other.classes)


@pytest.mark.parametrize("size", [1, 2])
def test_larger_teachers_see_at_the_same_strides(size: int) -> None:
    teacher = Teacher(2, size, pretrained=False)
    with torch.no_grad():
        _, maps = teacher(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (width, 64 // stride, 64 // stride) for width, stride in zip(teacher.widths, (8, 16, 32), strict=True)
    ]
