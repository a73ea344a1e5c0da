"""Take the pictures of the page in `docs/screenshots/`: `make screenshots`.

Runs the bin itself with simulated camera and pins, so that what the pictures show is what `make run` shows. Only the
history of the days before is made up.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from device.journal import Journal
from device.page.owner import Password
from tests.made_up import encoded, made_up_drops, rendered_trays, thumbnail
from tests.ports import free_ports

PASSWORD = "only for the pictures"
PAGES = ("history", "login", "teach", "health", "ask", "now")
"""In this order, so that what the bin drops meanwhile hides little of what was made up."""
OWNERS = ("teach", "health")
SIZES = ((1280, 800), (360, 740))
SCHEMES = ("light", "dark")
LANGUAGES = {"en": "en-GB", "id": "id-ID"}
ASKED = ("organic", "metal")
TALLEST = {1280: 960, 360: 1500}
"""Pixels; where a page is longer, its end says nothing new."""
TAUGHT = 6
"""Drops with a picture."""
COLOURS, KEPT, VIVID = 110, 16, 24
"""Of a picture's palette, for a third of the bytes: for what lies on a tray, the commonest, the commonest vivid."""
SETTLES_MS = 900
WAITS_MS = 300_000
"""For a drop that the bin is sure of."""


@click.command()
@click.option("--to", type=click.Path(path_type=Path), default=Path("docs/screenshots"), show_default=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="The bundle; the bin's own without it.")
@click.option("--only", multiple=True, type=click.Choice(PAGES), help="Only these pages.")
@click.option("--language", "languages", multiple=True, type=click.Choice(list(LANGUAGES)), default=list(LANGUAGES))
def screenshots(to: Path, model: Path | None, only: tuple[str, ...], languages: tuple[str, ...]) -> None:
    """Take a picture of every page: wide and narrow, light and dark, English and Indonesian."""
    to.mkdir(parents=True, exist_ok=True)
    photos = [encoded(tray) for tray in rendered_trays(list(ASKED), seed=11)]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for language, size, scheme in itertools.product(languages, SIZES, SCHEMES):
            ending = f"{size[0]}-{scheme}{'' if language == 'en' else '-' + language}.png"
            with _bin(model) as url, _tab(browser, url, language, scheme) as tab:
                for name in only or PAGES:
                    _show(tab, name, size, photos)
                    _take(tab, to / f"{name}-{ending}")


@contextlib.contextmanager
def _bin(model: Path | None) -> Iterator[str]:
    """A bin with a history and an owner, begun anew for each round; the page's address."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _run(Path(folder), model)


def _run(folder: Path, model: Path | None) -> Iterator[str]:
    Password(folder).set(PASSWORD)
    _write_history(folder / "journal.db")
    [port] = free_ports(1)
    config = folder / "pilah.toml"
    journal = f'[journal]\npath = "{folder}/journal.db"\nthumbnails = true\n'
    config.write_text(f'{journal}[page]\nport = {port}\naddress = "127.0.0.1"\n')
    command = ["run", "--config", config, "--camera", "simulated", "--pins", "mock"]
    command += ["--model", model] if model else []
    bin_ = subprocess.Popen([sys.executable, "-m", "device", *map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        assert bin_.stderr is not None
        assert any("The page is at" in line for line in bin_.stderr), "the bin did not start"
        yield f"http://localhost:{port}"
    finally:
        bin_.terminate()
        bin_.communicate()


def _write_history(file: Path) -> None:
    drops = made_up_drops(13, datetime.now())
    journal = Journal(file, thumbnails_at_most=500)
    journal.open()
    for drop in drops[:-TAUGHT]:
        journal.write(drop)
    for drop, tray in zip(drops[-TAUGHT:], rendered_trays([d.material for d in drops[-TAUGHT:]], seed=30), strict=True):
        journal.write(drop, thumbnail(tray))
    journal.close()


@contextlib.contextmanager
def _tab(browser: Browser, url: str, language: str, scheme: Any) -> Iterator[Page]:
    context = browser.new_context(color_scheme=scheme, locale=LANGUAGES[language], base_url=url)
    tab = context.new_page()
    tab.set_default_timeout(WAITS_MS)
    yield tab
    context.close()


def _show(tab: Page, name: str, size: tuple[int, int], photos: list[bytes]) -> None:
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    if name in OWNERS and tab.goto(f"/{name}") and tab.locator("[action='/logout']").count() == 0:
        tab.goto("/login")
        tab.locator("#password").fill(PASSWORD)
        tab.locator(".login button").click()
        tab.locator("[action='/logout']").wait_for()
    tab.goto(f"/{name}")
    if name == "now":
        wait_for_drop(tab)
    elif name == "ask":
        pictures = [{"name": "tray.jpg", "mimeType": "image/jpeg", "buffer": photo} for photo in photos]
        tab.set_input_files("#choose", pictures)
        tab.locator(".answer .chip:visible").nth(len(photos) - 1).wait_for()
    if (name, size) != ("now", SIZES[0]):
        whole = tab.evaluate("document.documentElement.scrollHeight")
        tab.set_viewport_size({"width": size[0], "height": max(size[1], min(whole, TALLEST[size[0]]))})
    tab.evaluate("scrollTo(0, 0)")  # Ask has scrolled to its answer
    tab.wait_for_timeout(SETTLES_MS)


def wait_for_drop(tab: Page) -> None:
    """Until a lid stands open for something that the bin saw while this tab watched, and was sure of."""
    tab.locator("[data-signal=thinking].lit").wait_for()
    tab.wait_for_function(
        """() => document.querySelector(".compartment[data-lid=open]")
            && !document.getElementById("judged").hidden
            && document.getElementById("doubt").textContent === "" """
    )


def _take(tab: Page, file: Path) -> None:
    tab.screenshot(path=file)
    with Image.open(file) as picture:
        _few_colours(picture.convert("RGB")).save(file, optimize=True)
    click.echo(f"{file}  {file.stat().st_size // 1000} kB")


def _few_colours(picture: Image.Image) -> Image.Image:
    """The picture with a palette; what the page itself is painted in keeps its colours, be it a small dot."""
    found = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    vivid = [colour for _, colour in found if max(colour) - min(colour) > 60]
    kept = dict.fromkeys([colour for _, colour in found[:KEPT]] + vivid[:VIVID])
    reduced = picture.quantize(COLOURS, dither=Image.Dither.NONE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*reduced[: 3 * COLOURS], *itertools.chain.from_iterable(kept)])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    screenshots()
