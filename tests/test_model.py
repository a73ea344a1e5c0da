"""The shipped bundle: it keeps its promises, and is as good as it says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.bundle import Bundle
from device.cli import cli
from device.config import Config
from device.errors import BundleError

MODEL = Path(__file__).parents[1] / "models" / "default.onnx"
BYTES_AT_MOST = 8_000_000


def test_the_shipped_bundle_keeps_the_contract_and_fits() -> None:
    contract = Bundle.open(MODEL).contract
    assert MODEL.stat().st_size <= BYTES_AT_MOST
    assert set(contract.classes) == set(Config().materials)
    assert (contract.preprocess.crop, contract.pilah_contract) == (224, 1)


@pytest.mark.parametrize("of_16", range(16))
def test_a_copy_of_it_that_lost_a_page_of_the_card_is_refused(tmp_path: Path, of_16: int) -> None:
    content = bytearray(MODEL.read_bytes())
    page = len(content) // 16 * of_16 // 4096 * 4096
    assert any(content[page : page + 4096])
    content[page : page + 4096] = bytes(4096)
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match="copy it again"):
        Bundle.open(tmp_path / "model.onnx")


@pytest.mark.skipif("PILAH_DATA" not in os.environ, reason="needs photos: set PILAH_DATA")
def test_classify_is_as_often_right_as_the_bundle_claims() -> None:
    photos = Path(os.environ["PILAH_DATA"]) / "trashnet" / "val"
    claims = [m for m in Bundle.open(MODEL).contract.metrics if m.data == "trashnet/val"]
    result = CliRunner().invoke(cli, ["classify", str(photos), "--json", "--model", str(MODEL)])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, len(lines)) == (0, claims[0].photos)
    assert sum(line["material"] == Path(line["file"]).parent.name for line in lines) == claims[0].correct
