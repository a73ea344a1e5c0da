"""The report says what the device would say of the same files, and shows photos only where it may."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("matplotlib")
from device.bundle import Bundle, Thresholds
from device.classifier import Classifier
from device.cli import cli as pilah
from device.pictures import read_picture
from tests.bundles import COLOURS, write_bundle
from tests.drawn import save
from tests.test_training_evaluation import outcome
from training.__main__ import main as training_command
from training.errors import DataError
from training.evaluate import expected_calibration_error
from training.lids import policy
from training.outcome import observe
from training.report import plots
from training.report.figures import figures
from training.report.mistakes import TILE_PX, Mistake, mistake_sheet
from training.report.page import page
from training.split import Photo, Split, save_split


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a bundle that names pictures by their colour, some of them so far off that it errs or doubts."""
    chance, photos = np.random.default_rng(0), []
    for number in range(60):
        material = list(COLOURS)[number % len(COLOURS)]
        picture = np.clip(np.array(COLOURS[material]) + chance.normal(0, 25, 3), 0, 255)
        file = save(np.full((48, 64, 3), picture, np.uint8), tmp_path / "data" / material / f"{number}.png")
        source, part = ("street", "val") if number < 40 else ("exam", "test")
        photos.append(Photo(str(file), source, material, part, number))
    save_split(Split(tuple(photos), (), 0), tmp_path / "run" / "split.json")
    write_bundle(tmp_path / "run" / "bundle.onnx", temperature=1.7, thresholds={"confidence": 0.999, "energy": -20})
    return tmp_path / "run"


def report(run: Path, *options: str) -> tuple[str, dict]:
    command = ["report", "--run", str(run), "--bundle", str(run / "bundle.onnx"), *options]
    CliRunner().invoke(training_command, command, catch_exceptions=False)
    return (run / "report.html").read_text(), json.loads((run / "report.json").read_text())


def test_a_page_that_would_lie_where_its_figures_go_is_refused(run: Path) -> None:
    command = ["report", "--run", str(run), "--bundle", str(run / "bundle.onnx"), "--out", str(run / "page.json")]
    refused = CliRunner().invoke(training_command, command)
    assert isinstance(refused.exception, DataError)
    assert "page.json is where the page's figures go: give --out another ending, such as .html" in str(
        refused.exception
    )


def test_the_figures_are_what_classify_gives_on_the_same_files(run: Path) -> None:
    _, figures = report(run)
    told = CliRunner().invoke(
        pilah, ["classify", str(run.parent / "data"), "--model", str(run / "bundle.onnx"), "--json"]
    )
    rows = [json.loads(line) for line in told.output.splitlines()]
    said = Counter((Path(row["file"]).parent.name, row["material"]) for row in rows)
    opened = Counter((figures["compartment_of"][Path(row["file"]).parent.name], row["compartment"]) for row in rows)
    pooled = figures["parts"]["held out"]
    assert 0 < sum(right != named for right, named in said.elements()) < 60
    assert {row["verdict"] for row in rows} == {"sure", "unsure", "unknown"}
    assert {(a, b): n for a, row in pooled["confusion"].items() for b, n in row.items()} == said
    assert {(a, b): n for a, row in pooled["lids"]["confusion"].items() for b, n in row.items()} == opened
    assert pooled["accuracy"]["correct"] == sum(n for (right, named), n in said.items() if right == named)
    assert pooled["risk_coverage"]["as_shipped"]["coverage"] == pytest.approx(
        sum(row["verdict"] == "sure" for row in rows) / 60, abs=1e-4
    )


def test_the_lids_are_those_that_open_in_the_bin_whose_configuration_is_named(run: Path) -> None:
    config = run / "pilah.toml"
    config.write_text(
        "[decision]\nconfidence = 0.5\nenergy = -1000.0\n"
        "cost = { recyclable = { reuse = 0.0 }, organic = { reuse = 0.0 } }\n"
    )
    page, figures = report(run, "--config", str(config))
    model = ["--model", str(run / "bundle.onnx"), "--config", str(config)]
    told = CliRunner().invoke(pilah, ["classify", str(run.parent / "data"), *model, "--json"])
    rows = [json.loads(line) for line in told.output.splitlines()]
    opened = Counter((figures["compartment_of"][Path(row["file"]).parent.name], row["compartment"]) for row in rows)
    lids = figures["parts"]["held out"]["lids"]
    assert {(a, b): n for a, row in lids["confusion"].items() for b, n in row.items()} == opened
    assert lids["mean_cost"] == pytest.approx(
        sum(n * figures["cost_matrix"][a].get(b, 1) for (a, b), n in opened.items() if a != b) / 60, abs=1e-4
    )
    assert figures["cost_matrix"]["recyclable"]["reuse"] == 0
    assert "lids: the configured bin&#39;s" in page and "lids: the default bin&#39;s" in report(run)[0]


def test_grave_mistakes_are_told_of_only_where_some_could_be_made() -> None:
    dry = replace(outcome(2.0), classes=("glass", "wood", "textile", "trash"))
    for measured, is_told in ((outcome(2.0), True), (dry, False)):
        told = figures({"val": measured}, 1.4, policy(measured.classes, Thresholds(confidence=0.6)))
        assert ("organic into recyclable, %" in page({"made": {}, **told, "mistakes": []}, None)) == is_told


def test_the_page_tells_of_a_test_part_only_where_there_is_one() -> None:
    for parts in (("val",), ("val", "test")):
        known = outcome(2.0)
        told = figures(dict.fromkeys(parts, known), 1.4, policy(known.classes, Thresholds(confidence=0.6)))
        assert ("set aside" in page({"made": {}, **told, "mistakes": []}, None)) == ("test" in parts)


def test_a_material_of_which_nothing_was_measured_is_named() -> None:
    known = outcome(2.0)
    for measured, says in ((known, []), (known.subset(known.targets > 0), [known.classes[0]])):
        told = figures({"val": measured}, 1.4, policy(known.classes, Thresholds(confidence=0.6)))
        shown = page({"made": {}, **told, "mistakes": []}, None)
        assert re.findall("No photo here shows (.*): how well", shown) == says


def test_the_lid_that_opens_in_doubt_has_a_column_where_no_material_belongs_to_it() -> None:
    known = replace(outcome(2.0), classes=("glass", "organic", "textile", "wood"))
    measured = figures({"val": known}, 1.4, policy(known.classes, Thresholds(confidence=0.99)))
    assert measured["parts"]["val"]["lids"]["confusion"]["organic"]["residual"] > 0
    told = page({"made": {}, **measured, "mistakes": []}, None)
    (lids,) = [svg for svg in re.findall(r"<svg.*?</svg>", told, re.DOTALL) if "lid that opens" in svg]
    assert set(re.findall(r">(organic|recyclable|reuse|residual)</text>", lids)) == {
        "organic", "recyclable", "reuse", "residual",
    }  # fmt: skip


def test_the_logits_follow_from_a_bundles_probabilities_and_energy(run: Path) -> None:
    bundle = Bundle.open(run / "bundle.onnx")
    files = sorted((run.parent / "data").rglob("*.png"))[:8]
    recovered = observe(bundle, [Photo(str(file), "street", file.parent.name, "val", 0) for file in files])
    for file, row, energy in zip(files, recovered.probabilities(1.7), recovered.energies, strict=True):
        seen = Classifier(bundle).observe(read_picture(file))
        assert row == pytest.approx(seen.probabilities, abs=1e-6)
        assert energy == pytest.approx(seen.energy, abs=1e-3)


def test_the_published_page_holds_no_photo_and_nothing_from_outside(run: Path) -> None:
    page, figures = report(run, "--no-pictures")
    assert "data:image" not in page
    assert not (run / "mistakes.jpg").exists()
    assert str(run.parent) not in page
    assert figures["mistakes"][0]["photo"] in page
    assert all(outside not in page for outside in ("<script", "<link", 'src="http', "@import"))


def test_the_names_under_a_mistake_reach_into_no_other(tmp_path: Path) -> None:
    photo = str(save(np.full((64, 64, 3), 128, np.uint8), tmp_path / "grey.png"))
    widest = Mistake(photo, "w" * 32, "m" * 32, 1.0)
    sheet = np.asarray(mistake_sheet([widest]))
    assert (sheet[TILE_PX:, :TILE_PX] < 128).any()
    assert (sheet[TILE_PX:, TILE_PX - 2 :] == 255).all()


def test_the_page_in_the_runs_folder_shows_the_worst_mistakes(run: Path) -> None:
    page, figures = report(run)
    assert page.count("data:image/jpeg") == 1
    assert (run / "mistakes.jpg").read_bytes()[:2] == b"\xff\xd8"
    sureness = [row["probability"] for row in figures["mistakes"]]
    assert sureness == sorted(sureness, reverse=True)
    assert all(row["material"] != row["said"] for row in figures["mistakes"])


def test_the_letters_of_a_plot_can_be_read_on_a_phone_and_with_many_materials() -> None:
    many = tuple(f"material-{number}" for number in range(30))
    drawn = plots.confusion({name: {name: 1} for name in many}, many, "many", ("what it is", "what the model said"))
    (width_pt,) = map(float, re.findall(r'<svg [^>]*width="([\d.]+)pt"', drawn))
    (least_pt,) = map(float, re.findall(r"min-width: ([\d.]+)pt", drawn))
    letters_pt = 10 * least_pt / width_pt
    assert letters_pt >= 7


def test_every_table_and_curve_counts_the_same_photos() -> None:
    measured = outcome(2.0)
    part = figures({"val": measured}, 1.4, policy(measured.classes, Thresholds(confidence=0.6)))["parts"]["val"]
    wrong = 1 - part["accuracy"]["accuracy"]
    assert part["risk_coverage"]["material"]["coverage"][-1] == 1.0
    assert part["risk_coverage"]["material"]["risk"][-1] == pytest.approx(wrong, abs=1e-3)
    assert part["risk_coverage"]["lid"]["risk"][-1] == pytest.approx(
        1 - part["lids"]["without_fallback"]["accuracy"], abs=1e-3
    )
    for when, temperature in (("before", 1.0), ("after", 1.4)):
        bins = part["calibration"][f"bins_{when}"]
        assert sum(one["photos"] for one in bins) == 600
        gap = sum(abs(one["confidence"] - one["accuracy"]) * one["photos"] for one in bins) / 600
        assert gap == pytest.approx(part["calibration"][when], abs=1e-3)
        assert part["calibration"][when] == pytest.approx(
            expected_calibration_error(measured.probabilities(temperature), measured.targets), abs=1e-4
        )
    assert sum(row["photos"] for row in part["per_class"]) == sum(row["named_so"] for row in part["per_class"]) == 600
    costs = sum(row["cost"] for row in part["lids"]["wrong"])
    assert costs / 600 == pytest.approx(part["lids"]["mean_cost"], abs=1e-3)


def test_a_material_that_the_model_does_not_know_is_named(run: Path) -> None:
    stranger = Photo("x.png", "street", "lava", "val", 0)
    with pytest.raises(DataError, match="knows no lava"):
        observe(Bundle.open(run / "bundle.onnx"), [stranger])


def test_photos_that_are_gone_are_named(run: Path) -> None:
    next((run.parent / "data").rglob("*.png")).unlink()
    with pytest.raises(DataError, match="1 photo of the split is gone"):
        report(run)
