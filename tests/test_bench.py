"""`pilah bench`: what it prints is what was measured, and a peer that cannot run is named, not hidden."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from device.bench import OURS, Contestant, Row, default_threads, percentile, ratios, table, time_in_turns
from device.cli import cli
from device.errors import BenchError, BundleError, PilahError
from device.timing import Timed
from tests.bundles import write_bundle


def test_bench_tells_latency_load_memory_and_size_of_each_thread_count(tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "model.onnx")
    arguments = ["bench", "--model", model, "--no-peers", "--json", "--threads", 1, "--threads", 2, "--rounds", 2]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [(row["name"], row["threads"]) for row in told["rows"]] == [(OURS, 1), (OURS, 2)]
    for row in told["rows"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert 0 < row["load_ms"] < row["start_ms"]
        assert row["peak_mb"] > 10
        assert row["file_mb"] == round(model.stat().st_size / 1e6, 2)
    assert told["machine"]["cores"] >= 1
    assert told["version"] == "2026.1.1-1", "of the bundle that was timed"


def test_a_peer_that_cannot_run_is_left_out_with_its_reason_and_the_others_are_timed(tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "model.onnx")
    contestants = [
        Contestant(OURS, "device.timing:bundle", model),
        Contestant("gone", "device.timing:bundle", tmp_path / "none.onnx"),
        Contestant("other", "device.timing:bundle", model),
    ]
    rows, failed = time_in_turns(contestants, threads=1, rounds=2, runs=3)
    assert [row.name for row in rows] == [OURS, "other"]
    assert [one.name for one in failed] == ["gone"]
    assert "There is no model at" in failed[0].why


def test_a_peer_that_dies_between_its_turns_is_left_out_and_the_others_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text(
        "import itertools, os\n"
        "def peer(path, threads):\n"
        "    runs = itertools.count()\n"
        "    return lambda: lambda: os._exit(9) if next(runs) > 6 else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = write_bundle(tmp_path / "model.onnx")
    ours = Contestant(OURS, "device.timing:bundle", model)
    rows, failed = time_in_turns([ours, Contestant("dying", "dying:peer", model)], threads=1, rounds=4, runs=2)
    assert [row.name for row in rows] == [OURS]
    assert [(one.name, one.why) for one in failed] == [("dying", "dying:peer cannot be timed: it ended with 9.")]

    with pytest.raises(BenchError, match="cannot be timed: it ended with 9"):
        time_in_turns([Contestant(OURS, "dying:peer", model)], threads=1, rounds=4, runs=2)


@pytest.mark.parametrize("peers", [["--peers"], ["--no-peers"], []])
def test_a_bundle_that_is_none_is_told_in_its_own_words_before_peers_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peers: list[str]
) -> None:
    monkeypatch.setattr("device.bench._make_peers", lambda *_, **__: pytest.fail("peers are made"))
    asked = CliRunner().invoke(cli, ["bench", "--model", str(tmp_path / "none.onnx"), *peers])
    assert isinstance(asked.exception, BundleError)
    assert str(asked.exception).startswith("There is no model at")


def test_a_training_whose_peers_are_left_out_is_wrong_usage() -> None:
    asked = CliRunner().invoke(cli, ["bench", "--run", "runs/mine", "--no-peers"])
    assert asked.exit_code == 2
    assert "--run makes peers and --no-peers leaves them out" in asked.output


def test_a_bundle_that_cannot_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"There is no model at .*[^.]\.$"):
        Timed("device.timing:bundle", tmp_path / "none.onnx", threads=1)
    ours = Contestant(OURS, "device.timing:bundle", tmp_path / "none.onnx")
    with pytest.raises(BenchError):
        time_in_turns([ours], threads=1, rounds=1, runs=1)


def test_without_the_extra_the_bundle_is_timed_all_the_same_unless_peers_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "export.peers", None)  # type: ignore[arg-type]
    model = write_bundle(tmp_path / "model.onnx")
    short = ["bench", "--model", str(model), "--threads", "1", "--rounds", "1", "--runs", "1"]
    told = json.loads(CliRunner().invoke(cli, [*short, "--json"]).stdout)
    assert [row["name"] for row in told["rows"]] == [OURS]
    assert told["left_out"] == [{"name": "all peers", "why": "the extra `training` is not installed"}]
    asked = CliRunner().invoke(cli, [*short, "--peers"])
    assert isinstance(asked.exception, BenchError)


def test_a_bundle_that_another_program_wrote_is_timed_without_peers_unless_they_were_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = write_bundle(tmp_path / "model.onnx")
    short = ["bench", "--model", str(model), "--threads", "1", "--rounds", "1", "--runs", "1"]
    told = json.loads(CliRunner().invoke(cli, [*short, "--json"], catch_exceptions=False).stdout)
    assert [row["name"] for row in told["rows"]] == [OURS]
    assert [(one["name"], "is no bundle that Pilah's export wrote" in one["why"]) for one in told["left_out"]] == [
        ("all peers", True)
    ]
    asked = CliRunner().invoke(cli, [*short, "--peers"])
    assert isinstance(asked.exception, PilahError)


def test_peers_from_a_training_of_other_materials_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from training.models import Student

    (tmp_path / "run").mkdir()
    values = {"state_dict": Student(2).network.state_dict(), "classes": ["dry", "wet"], "head": "linear"}
    torch.save(values, tmp_path / "run" / "model.pt")
    model = write_bundle(tmp_path / "model.onnx")
    asked = CliRunner().invoke(cli, ["bench", "--model", str(model), "--run", str(tmp_path / "run"), "--rounds", "1"])
    assert "model.pt tells dry, wet, " in str(asked.exception)


def test_ncnn_says_what_pytorch_says_where_python_keeps_what_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ncnn")
    pytest.importorskip("pnnx")
    from export.peers import ncnn_files
    from export.runtimes import ncnn, picture
    from training.models import Student

    torch.manual_seed(0)
    student, image = Student(3).eval(), torch.from_numpy(picture()).permute(2, 0, 1)[None]
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    said = ncnn(ncnn_files(student, 0.5, tmp_path / "ncnn"), 1)()()
    with torch.no_grad():
        wanted = torch.softmax(student(image)[0] / 0.5, dim=1)
    assert np.abs(np.asarray(said) - wanted.numpy()).max() < 0.01


def test_ratios_and_percentiles_are_of_the_same_thread_count() -> None:
    def row(name: str, threads: int, p50_ms: float) -> Row:
        return Row(name, threads, p50_ms, p50_ms, 1.0, 2.0, 2.5, 3.0, 4.0)

    rows = [row(OURS, 1, 10.0), row("eager", 1, 75.0), row(OURS, 2, 6.0), row("eager", 2, 45.0)]
    assert ratios(rows) == {"1": {"eager": 7.5}, "2": {"eager": 7.5}}
    assert [percentile(range(1, 21), share) for share in (0.05, 0.5, 0.95, 1.0)] == [1, 10, 19, 20]
    assert [default_threads(cores) for cores in (1, 2, 4, 6)] == [[1], [1, 2], [1, 2, 4], [1, 2, 4, 6]]
    printed = "\n".join(
        table(
            {
                "version": "2026.1.1-1",
                "machine": {"processor": "P", "cores": 1, "system": "S", "onnxruntime": "1", "load": 0},
                "rows": [vars(one) for one in rows],
                "times_ours": ratios(rows),
                "left_out": [],
            }
        )
    )
    assert "| eager | 2 | 45.0 | 45.0 | 7.50 |" in printed
    assert printed.startswith("Bundle 2026.1.1-1 on P, 1 core, S, ONNX Runtime 1, load 0\n")
