"""`make model FAST=1` starts from folders of photos and ends with a verified bundle and its report."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
import torch
from click.testing import CliRunner

import export.bundle
from device.bundle import Bundle, digest
from device.classifier import Classifier
from device.errors import PilahError
from device.pictures import read_picture
from export.bundle import all_sources, export_bundle
from export.errors import ExportError
from export.limits import Limits
from export.quantize import Quantization
from tests.drawn import a_picture, save
from training.__main__ import main as training_command
from training.checkpoints import load_checkpoint
from training.errors import DataError
from training.models import Student
from training.strains import STRAINS

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "trashnet/train/glass",
    "trashnet/train/trash",
    "trashnet/val/glass",
    "produce/organic",
    "food/organic",
    "web/wood",
)
"""One or two classes of each source in training/data/shared.toml."""

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that `make` made, with the photos beside it in `data`."""
    root = tmp_path_factory.mktemp("make")
    for first, folder in enumerate(FOLDERS):
        for number in range(6):
            save(a_picture(96, 128, seed=100 * first + number), root / "data" / folder / f"{number}.jpg")
    (root / "installed").mkdir()
    (root / "installed" / "training").touch()
    command = [
        "make", "model", "FAST=1", f"DATA={root / 'data'}", f"RUN={root / 'run'}",
        f"BIN={Path(sys.executable).parent}", f"STAMPS={root / 'installed'}",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MAKEFLAGS": "", "ARGS": ""}  # those of `make test` are pytest's
    made = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    (root / "said.txt").write_text(made.stderr)
    return root / "run"


def steps_of(stamps: Path, **given: str) -> list[dict[str, str]]:
    """What `make model` would run: of each step, every word and the one after it."""
    (stamps / "training").touch()  # what tests need is installed
    told = [f"{name}={value}" for name, value in given.items()]
    command = ["make", "--dry-run", "model", "FAST=1", f"STAMPS={stamps}", *told]
    env = {**os.environ, "MAKEFLAGS": "", "ARGS": ""}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    return [dict(pairwise(shlex.split(line))) for line in said.splitlines() if "--run" in line]


def test_a_folder_of_photos_whose_name_has_spaces_is_one_folder(tmp_path: Path) -> None:
    assert [step.get("--data") for step in steps_of(tmp_path, DATA="my photos")[:2]] == ["my photos", "my photos"]


def test_photos_or_a_file_that_are_not_there_are_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "training").touch()  # what training needs is installed
    for given, says in (
        (["DATA=nosuch"], "Name the folder of photos: make model DATA=../shared/data"),
        ([f"DATA={ROOT}", "DESCRIPTION=my own.toml"], "There is no file my own.toml: name it as it lies."),
        ([f"DATA={ROOT}", "LIDS=nosuch.toml"], "There is no file nosuch.toml: name it as it lies."),
    ):
        command = ["make", "--no-print-directory", "model", *given, f"RENDERED={tmp_path / 'new'}"]
        command += [f"STAMPS={tmp_path}", f"BIN={tmp_path}"]
        env = {**os.environ, "MAKEFLAGS": ""}
        said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert said.returncode != 0
        assert said.stdout == f"{says}\n"


def test_a_bins_configuration_is_read_before_hours_of_training(tmp_path: Path) -> None:
    assert steps_of(tmp_path, DATA="photos", LIDS="my bin.toml")[0]["--config"] == "my bin.toml"


def test_a_bundle_comes_out_that_the_device_runs(run: Path) -> None:
    classifier = Classifier(Bundle.open(run / "bundle.onnx"))
    contract = classifier.bundle.contract
    assert contract.classes == ("glass", "organic", "trash", "wood")
    assert {source.name: source.photos for source in contract.sources}.keys() == {"trashnet", "produce", "food", "web"}
    assert [json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    observed = classifier.observe(read_picture(run.parent / "data/trashnet/train/glass/0.jpg"))
    assert np.isclose(observed.probabilities.sum(), 1.0, atol=1e-4)
    assert observed.energy is not None


def test_an_exported_bundle_tells_its_own_digest_so_that_a_damaged_copy_is_found(run: Path) -> None:
    told = Bundle.open(run / "bundle.onnx").contract.sha256
    assert told is not None
    assert digest((run / "bundle.onnx").read_bytes(), told) == told


def test_the_report_says_what_the_bundle_says_of_itself(run: Path) -> None:
    parts = json.loads((run / "report.json").read_text())["parts"]
    metrics = Bundle.open(run / "bundle.onnx").contract.metrics
    counted = {
        (part, row["data"]): (row["correct"], row["photos"]) for part in parts for row in parts[part]["per_source"]
    }
    said = {(one.split, one.data): (one.correct, one.photos) for one in metrics if one.data != "all sources"}
    assert said
    assert {key: value for key, value in counted.items() if key[0] != "held out"} == said
    assert "<svg" in (run / "report.html").read_text()


def test_an_export_tells_what_each_step_changes_and_nothing_else(run: Path) -> None:
    said = (run.parent / "said.txt").read_text()
    steps = re.findall(r"^(.+): largest difference from PyTorch in a .+ (\S+) \(of .+\)$", said, re.MULTILINE)
    assert [step for step, _ in steps] == ["rewritten network", "equalised network", "float ONNX model"]
    assert all(0 <= float(difference) < 1e-3 for _, difference in steps)
    counts = re.findall(r"^(\w+) +right in float +\d+, in INT8 +(\d+), alike +\d+ of (\d+)$", said, re.MULTILINE)
    metric = next(one for one in Bundle.open(run / "bundle.onnx").contract.metrics if one.data == "all sources")
    assert [name for name, *_ in counts] == ["glass", "organic", "trash", "wood", "all"]
    assert counts[-1][1:] == (str(metric.correct), str(metric.photos))
    assert re.search(r"^largest shift of a probability: 0\.\d+$", said, re.MULTILINE)
    assert "unused" not in said and "rewrite rules" not in said, "the exporter's own passes"


@pytest.mark.parametrize(
    ("agreement", "metrics", "says"),
    [(0.985, None, "agrees with float on .* no bundle was written"), (0.0, [], "does not keep the bundle's contract")],
)
def test_a_bundle_that_fails_verification_or_that_no_device_opens_does_not_replace_the_old_one(
    run: Path, monkeypatch: pytest.MonkeyPatch, agreement: float, metrics: list[object] | None, says: str
) -> None:
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    model, chosen = onnx.load(run / "bundle.onnx"), Quantization("as before", None, {}, 0.0, 1.0)  # type: ignore[arg-type]
    monkeypatch.setattr("export.bundle.rewritten", lambda *_: (None, None))
    monkeypatch.setattr("export.bundle.export_float", lambda *_: 64 * "0")
    monkeypatch.setattr("export.bundle.choose_quantization", lambda *_: chosen)
    monkeypatch.setattr("export.bundle.int8_model", lambda *_, **__: model)
    observe = export.bundle._observe
    monkeypatch.setattr("export.bundle._observe", lambda *told: np.roll(observe(*told), 1, axis=1))
    if metrics is not None:
        monkeypatch.setattr("export.bundle._metrics", lambda *_: metrics)
    with pytest.raises(PilahError, match=says):
        export_bundle(run, run / "bundle.onnx", "test-1", Limits(1.0, agreement), calibration_photos=8)
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_ways_to_quantize_are_compared_on_photos_that_calibrated_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = dict[str, set[bytes]]()

    def pictures(photos: torch.Tensor) -> set[bytes]:
        return {photo.numpy().tobytes() for photo in photos}

    def rewritten(_: Student, photos: torch.Tensor) -> tuple[None, None]:
        seen["ranges"] = pictures(photos)
        return None, None

    def choose(_: None, __: None, calibration: torch.Tensor, measured: torch.Tensor) -> Quantization:
        seen.update(calibration=pictures(calibration), measured=pictures(measured))
        raise ExportError("seen enough")

    monkeypatch.setattr("export.bundle.rewritten", rewritten)
    monkeypatch.setattr("export.bundle.export_float", lambda *_: "")
    monkeypatch.setattr("export.bundle.choose_quantization", choose)
    with pytest.raises(ExportError, match="seen enough"):
        export_bundle(run, run / "never.onnx", "test-1", Limits(), calibration_photos=8)
    assert seen["measured"] and seen["calibration"] == seen["ranges"]
    assert len(seen["measured"]) + len(seen["calibration"]) == 8, "two of each class"
    assert not seen["measured"] & seen["calibration"]


def test_a_co_teacher_of_a_recipe_that_learns_from_none_is_refused(run: Path) -> None:
    command = ["train", "--data", str(run.parent / "data"), "--run", str(run), "--recipe", "fast"]
    command += ["--co-teacher", str(run / "model.pt")]
    with pytest.raises(DataError, match="The recipe fast has no teacher: leave --co-teacher out"):
        CliRunner().invoke(training_command, command, catch_exceptions=False)


def taught(run: Path, folder: Path, *teachers: str) -> dict[str, Any]:
    """What the checkpoint of a training in `folder`, on the split of `run`, says of its making."""
    shutil.copy(run / "split.json", folder)
    (folder / "best.json").write_text(json.dumps({"values": {"distillation": 0.5}}))
    command = ["train", "--data", str(run.parent / "data"), "--run", str(folder), "--recipe", "fast"]
    command += ["--tuned", str(folder / "best.json"), "--workers", "0", *teachers]
    assert CliRunner().invoke(training_command, command, catch_exceptions=False).exit_code == 0
    return json.loads(load_checkpoint(folder / "model.pt")["provenance"])


def test_several_teachers_and_co_teachers_teach_and_the_checkpoint_says_which(run: Path, tmp_path: Path) -> None:
    beside = ["--co-teacher", str(run / "model.pt"), "--co-teacher", str(run / "bundle.onnx")]
    provenance = taught(run, tmp_path, *beside, "--teacher", "1", "--teacher", "0", "--teacher", "1")
    assert provenance["teachers"] == ["EfficientNet-Lite1", "EfficientNet-Lite0"], "each once"
    told = provenance["co_teachers"]
    bundle = Bundle.open(run / "bundle.onnx").contract
    assert [one.get("file", one.get("bundle")) for one in told] == ["model.pt", bundle.version]
    assert told[1]["sources"] == [source.model_dump() for source in bundle.sources]


def test_make_measures_the_lids_of_the_bin_that_it_is_told_of() -> None:
    for given, times in (([], 0), (["LIDS=bin.toml"], 3)):
        command = ["make", "-n", "model", "DATA=photos", *given]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert told.count('--config "bin.toml"') == times


def test_a_bundle_names_what_the_bundles_before_it_learnt_from() -> None:
    town, web, former = (
        {"name": name, "licence": licence, "photos": photos}
        for name, licence, photos in (("town", "CC0", 40), ("web", "none stated", 1340), ("web", "none stated", 900))
    )
    first = {"bundle": "1", "sources": [former], "provenance": {"start": {"weights": "ImageNet"}}}
    second = {"bundle": "2", "sources": [web], "provenance": {"average_of": [{"file": "model.pt"}, first]}}
    provenance = {"start": second, "co_teachers": [second, {"bundle": "0", "provenance": {}}]}
    assert all_sources([town], provenance) == [town, web]
    licensed = town | {"licence": "MIT"}
    assert all_sources([licensed], {"start": {**first, "sources": [town]}}) == [town, licensed]


def test_a_co_teacher_may_teach_alone(run: Path, tmp_path: Path) -> None:
    provenance = taught(run, tmp_path, "--co-teacher", str(run / "model.pt"))
    assert provenance["teachers"] == []
    assert [one["file"] for one in provenance["co_teachers"]] == ["model.pt"]
    assert not list(tmp_path.glob("teacher-*"))


def test_the_commands_beside_the_chain_work_on_the_same_run(run: Path) -> None:
    for command in (["augment", "--size", "48", "--views", "plain"], ["report", "--out", str(run / "float.html")]):
        result = CliRunner().invoke(training_command, [*command, "--run", str(run)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    strained = [CliRunner().invoke(training_command, ["strain", "--run", str(run)]).output for _ in range(2)]
    names = [re.fullmatch(r"val   (.+?) +\d+\.\d % \(\d+\.\d…\d+\.\d\)", line) for line in strained[0].splitlines()]
    assert [name and name[1] for name in names] == ["augmented", *STRAINS]
    assert strained[0] == strained[1], "the same views each time"
    assert (run / "augmented.png").read_bytes()[:4] == b"\x89PNG"
    assert "float32" in (run / "float.html").read_text()
