"""`pilah page`: the page alone, and the owner's password."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.cli import cli
from device.errors import PageError
from device.page.owner import Password
from tests.bundles import write_bundle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "pilah.toml"
    file.write_text(f'[journal]\npath = "{tmp_path}/state/journal.db"\n')
    return file


def test_the_owner_sets_a_password_on_the_device(config: Path, tmp_path: Path) -> None:
    typed = "a good password\na good password\n"
    result = CliRunner().invoke(cli, ["page", "set-password", "--config", str(config)], input=typed)
    assert "The password is set" in result.output
    assert "a good password" not in result.output
    assert Password(tmp_path / "state").matches("a good password")


@pytest.mark.parametrize("typed", ["short", "x" * 1025])
def test_a_short_or_endless_password_changes_nothing(config: Path, tmp_path: Path, typed: str) -> None:
    result = CliRunner().invoke(cli, ["page", "set-password", "--config", str(config)], input=f"{typed}\n{typed}\n")
    assert isinstance(result.exception, PageError)
    assert not Password(tmp_path / "state").is_set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_alone_answers_until_it_is_ended(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    bundle = write_bundle(tmp_path / "colours.onnx")
    command = [sys.executable, "-m", "device", "page", "--config", config, "--model", bundle, "--port", "0"]
    page = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert page.stdout is not None
    url = page.stdout.readline().split("at ")[1].split(" ")[0]
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.url == f"{url}/ask"
    page.send_signal(number)
    _, complaints = page.communicate(timeout=30)
    assert page.returncode == 0
    assert url not in complaints, "it is told once"
