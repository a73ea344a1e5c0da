"""An export that goes wrong says why in one sentence, and the previous bundle is still in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from click.testing import CliRunner  # noqa: E402

from export.__main__ import main  # noqa: E402
from export.bundle import Verification, judge  # noqa: E402
from export.errors import ExportError  # noqa: E402
from export.limits import Limits  # noqa: E402
from training.models import Student  # noqa: E402

PREVIOUS = b"the previous bundle"
CLASSES = ["glass", "paper"]


def make_run(folder: Path, head: str = "linear") -> Path:
    """A run's files with a student that was never trained."""
    photos = []
    for number in range(6):
        path = folder / f"{number}.png"
        picture = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(path), picture)
        photos.append(
            {"path": str(path), "source": "drawn", "material": CLASSES[number % 2],
             "part": ("train", "val", "test")[number // 2], "cluster": number}
        )  # fmt: skip
    (folder / "split.json").write_text(json.dumps({"photos": photos, "rejected": [], "seed": 0}))
    (folder / "evaluation.json").write_text(json.dumps({"temperature": 1.0}))
    student = Student(len(CLASSES), head)  # type: ignore[arg-type]
    values = {"state_dict": student.network.state_dict(), "classes": CLASSES, "head": head}
    torch.save(values, folder / "model.pt")
    return folder


def export(run: Path, *arguments: str) -> tuple[int, str, bytes]:
    """Exit code, what was said, and what lies at the bundle's place afterwards."""
    out = run / "bundle.onnx"
    out.write_bytes(PREVIOUS)
    result = CliRunner().invoke(main, ["--run", str(run), "--out", str(out), *arguments])
    return result.exit_code, result.stderr, out.read_bytes()


def test_a_checkpoint_with_another_head_is_refused(tmp_path: Path) -> None:
    code, said, kept = export(make_run(tmp_path, head="seed"))
    assert (code, kept) == (1, PREVIOUS)
    assert "no DenseNet with a linear head: train one, which every recipe but `seed` does" in said


@pytest.mark.parametrize("gone", ["0.png", "2.png", "4.png"])
def test_photos_that_are_gone_are_counted_and_the_first_is_named_before_minutes_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setattr("export.bundle.rewritten", lambda *_: pytest.fail("it calibrates"))
    run = make_run(tmp_path)
    (run / gone).unlink()
    code, said, kept = export(run)
    assert (code, kept) == (1, PREVIOUS)
    assert f"1 photo of the split is gone (first: {run / gone}): bring them back" in said


def test_a_run_that_takes_no_float_model_is_told_before_minutes_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.bundle.rewritten", lambda *_: pytest.fail("it calibrates"))
    run = make_run(tmp_path)
    (run / "float.onnx").mkdir()
    code, said, kept = export(run)
    assert (code, kept) == (1, PREVIOUS)
    assert said.endswith(f"({run / 'float.onnx'}); the old bundle is in place.\n")


@pytest.mark.parametrize("limit", ["--agreement", "--accuracy-lost"])
def test_a_limit_in_percent_is_told_at_once(tmp_path: Path, limit: str) -> None:
    code, said, kept = export(tmp_path, limit, "98.5")
    assert (code, kept) == (2, PREVIOUS)
    assert f"'{limit}': 98.5 is not in the range 0<=x<=1" in said


@pytest.mark.parametrize(("opset", "age"), [("12", "old"), ("18", "new")])
def test_an_opset_that_is_too_old_or_too_new_is_refused(tmp_path: Path, opset: str, age: str) -> None:
    code, said, kept = export(make_run(tmp_path), "--opset", opset)
    assert (code, kept) == (1, PREVIOUS)
    assert f"Opset {opset} is too {age}" in said


def test_a_run_that_was_not_evaluated_is_told_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "evaluation.json").unlink()
    code, said, kept = export(run)
    assert (code, kept) == (1, PREVIOUS)
    assert "training evaluate" in said


GOOD = Verification(photos=200, float_accuracy=0.80, int8_accuracy=0.80, agreement=0.99)


def test_an_accuracy_that_fell_too_far_or_too_little_agreement_is_refused() -> None:
    judge(GOOD, Limits())
    with pytest.raises(ExportError, match=r"loses 0\.60 points .* no bundle was written.* --accuracy-lost 0\.01\.$"):
        judge(replace(GOOD, int8_accuracy=0.794), Limits())
    with pytest.raises(ExportError, match=r"with float on 98\.4 %.* no bundle was written.* --agreement 0\.98\.$"):
        judge(replace(GOOD, agreement=0.984), Limits())


def test_one_photo_of_few_is_more_than_the_limit_and_the_sentence_says_what_allows_it() -> None:
    few = Verification(photos=49, float_accuracy=45 / 49, int8_accuracy=44 / 49, agreement=48 / 49)
    with pytest.raises(ExportError, match=r"allow it with --accuracy-lost 0\.03\.$"):
        judge(few, Limits())
    with pytest.raises(ExportError, match=r"allow it with --agreement 0\.97\.$"):
        judge(few, Limits(accuracy_lost=0.03))
    judge(few, Limits(accuracy_lost=0.03, agreement=0.97))
