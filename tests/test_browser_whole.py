"""A day of a real bin, seen through a real browser: simulated camera, mock pins, the shipped model, the history."""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.bundle import Bundle
from device.config import Config
from device.model import model_path
from device.page.owner import Password
from tests.made_up import encoded, rendered_trays
from tests.page_parts import PASSWORD
from tests.ports import free_ports
from tests.screenshots import wait_for_drop
from tests.visitor import CHROMIUM, KIOSK, PHONE, Visitor

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
PHOTOS = os.environ.get("PILAH_DATA")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    [port] = free_ports(1)
    Password(tmp_path).set(PASSWORD)
    file = tmp_path / "pilah.toml"
    file.write_text(f'[page]\nport = {port}\n[journal]\npath = "{tmp_path}/journal.db"\nthumbnails = true\n')
    return file


def pilah(*words: object) -> list[str]:
    return [sys.executable, "-m", "device", *map(str, words)]


@pytest.fixture
def url(config: Path) -> Iterator[str]:
    command = pilah("run", "--config", config, "--camera", "simulated", "--pins", "mock")
    bin_ = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert bin_.stderr is not None
    line = next(line for line in bin_.stderr if "The page is at" in line)
    yield line.split("page is at ")[1].strip().rstrip(".")
    bin_.terminate()
    bin_.communicate(timeout=30)
    assert bin_.returncode == 0


def a_photo() -> bytes:
    """A real one where there are some, else a rendered one."""
    if photos := sorted(Path(PHOTOS).rglob("*.jpg")) if PHOTOS else []:
        return random.Random(1).choice(photos).read_bytes()
    return next(encoded(tray) for tray in rendered_trays(["glass"]))


@pytest.mark.parametrize("size", [PHONE, KIOSK], ids=["phone", "kiosk"])
def test_a_drop_is_watched_corrected_and_found_in_the_exported_folder(
    size: dict[str, int], url: str, config: Path, tmp_path: Path
) -> None:
    classes = Bundle.open(model_path(Config(), None), threads=1).contract.classes
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        visitor = Visitor(browser, url, size)
        tab = visitor.tab
        tab.set_default_timeout(90_000)

        _watch_a_drop(visitor)

        visitor.ask(photo=a_photo())
        tab.locator(".answer .chip:visible").wait_for()
        assert tab.locator(".answer .bars li").count() == len(classes)

        visitor.log_in()
        visitor.ask(photo=a_photo())
        tab.locator(".answer .correct").get_by_role("button", name="Metal").click()
        tab.locator(".answer").get_by_text("Saved. Thank you!").wait_for()

        number = _correct_a_drop(visitor)
        tab.get_by_role("button", name="Bahasa Indonesia").click()
        tab.get_by_role("heading", name="Sebenarnya apa itu?").wait_for()
        tab.get_by_role("button", name="English").click()
        rows = list(csv.DictReader(io.StringIO(tab.request.get("/history.csv").text())))
        assert [row["corrected"] for row in rows if row["id"] == number] == ["textile"]

        _move_a_lid(visitor)
        _start_again(visitor)
        tab.get_by_role("button", name="Log out").click()
        tab.goto("/teach")
        tab.get_by_label("Password").wait_for()
        assert visitor.complaints == []
        browser.close()
    subprocess.run(pilah("export-corrections", tmp_path / "taught", "--config", config), check=True)
    taught = sorted(str(file.relative_to(tmp_path / "taught")) for file in (tmp_path / "taught").rglob("*.jpg"))
    assert [name.rpartition("-")[0] for name in taught] == ["metal/photo-1", f"textile/drop-{number}"]


def _watch_a_drop(visitor: Visitor) -> None:
    tab = visitor.tab
    tab.goto("/")
    wait_for_drop(tab)
    name = tab.locator(".lids li[data-lid=open]").get_attribute("data-compartment")
    tab.locator(f".lids li[data-compartment={name}][data-lid=closed]").wait_for()


def _correct_a_drop(visitor: Visitor) -> str:
    """The number of the drop that is a textile from now on."""
    tab = visitor.tab
    tab.goto("/teach")
    card = tab.get_by_role("article").first
    tab.wait_for_function("() => document.querySelector('.lesson img').naturalWidth > 100")
    label = card.get_attribute("aria-label")
    card.get_by_role("button", name="Textile").click()
    card.get_by_text("Saved. Thank you!").wait_for()
    return str(label).removeprefix("Drop ")


def _move_a_lid(visitor: Visitor) -> None:
    tab = visitor.tab
    tab.goto("/health")
    tab.get_by_role("button", name="Start maintenance").click()
    tab.locator("button:enabled", has_text="Open").first.wait_for()
    organic = tab.locator(".by-hand li", has_text="Organic").locator(".lid-state")
    for move, state in (("Open", "open"), ("Close", "closed")):
        tab.get_by_role("button", name=f"{move} Organic").click()
        organic.get_by_text(state, exact=True).wait_for()
    tab.get_by_role("button", name="End maintenance").click()
    tab.get_by_role("button", name="Start maintenance").wait_for()


def _start_again(visitor: Visitor) -> None:
    """The owner saves a setting, starts the bin again, and is back by herself once it sorts by what she saved."""
    tab = visitor.tab
    tab.get_by_label("Opens a lid when at least this sure").fill("0.6")
    tab.get_by_role("button", name="Check and save").click()
    tab.get_by_text("The bin still sorts by the settings from before.").wait_for()
    assert visitor.complaints == []
    tab.get_by_role("button", name="Start the bin again").click()
    tab.get_by_text("The bin still sorts by the settings from before.").wait_for(state="detached")
    assert tab.get_by_label("Opens a lid when at least this sure").input_value() == "0.6"
    visitor.complaints[:] = [line for line in visitor.complaints if "ERR_CONNECTION_REFUSED" not in line]
