"""Take the pictures of the page in `docs/screenshots/`: `python -m tests.screenshots`.

Runs the bin itself with simulated camera and pins, so that what the pictures show is what `make run` shows. Only the
history of the days before is made up.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, Page, sync_playwright

from device.page.owner import Password

PASSWORD = "only for the pictures"
PAGES = ("now", "ask", "teach", "history", "health", "login")
LOOKS = {"wide-light": ((1280, 800), "light"), "phone-dark": ((360, 740), "dark")}


@click.command()
@click.option("--to", type=click.Path(path_type=Path), default=Path("docs/screenshots"), show_default=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="The bundle; the bin's own without it.")
def screenshots(to: Path, model: Path | None) -> None:
    """Take a picture of every page, wide and light, narrow and dark."""
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as player:
        config, url = _prepare(Path(folder))
        command = ["run", "--config", config, "--camera", "simulated", "--pins", "mock"]
        command += ["--model", model] if model else []
        bin_ = subprocess.Popen([sys.executable, "-m", "device", *map(str, command)], stderr=subprocess.PIPE, text=True)
        try:
            assert bin_.stderr is not None
            assert any("The page is at" in line for line in bin_.stderr), "the bin did not start"
            browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for look, (size, scheme) in LOOKS.items():
                _take_all(browser, url, to, look, size, scheme)
        finally:
            bin_.terminate()
            bin_.communicate()


def _prepare(folder: Path) -> tuple[Path, str]:
    Password(folder).set(PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "pilah.toml"
    journal = f'[journal]\npath = "{folder}/journal.db"\nthumbnails = true\n'
    config.write_text(f'{journal}[page]\nport = {port}\naddress = "127.0.0.1"\n')
    return config, f"http://localhost:{port}"


def _take_all(browser: Browser, url: str, to: Path, look: str, size: tuple[int, int], scheme: Any) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale="en-GB", base_url=url
    )
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    photo = b""
    for name in PAGES:
        if name == "login":
            tab.get_by_role("button", name="Log out").click()
            tab.get_by_role("link", name="Log in").wait_for()
        elif name == "ask":
            _log_in(tab)
        tab.goto(f"/{name}")
        if name == "now":
            photo = _wait_for_open_lid(tab)
        elif name == "ask":
            tab.set_input_files("#choose", {"name": "tray.jpg", "mimeType": "image/jpeg", "buffer": photo})
            tab.locator(".answer .chip").wait_for()
        tab.wait_for_timeout(900)
        tab.screenshot(path=to / f"{name}-{look}.png")
        click.echo(to / f"{name}-{look}.png")
    context.close()


def _wait_for_open_lid(tab: Page) -> bytes:
    """Returns the tray's picture while a thing lies on it."""
    tab.locator("#stage[data-state=deciding], #stage[data-state=serving]").wait_for()
    photo = tab.context.request.get("/tray.jpg").body()
    tab.locator(".compartment[data-lid=open]").wait_for()
    return photo


def _log_in(tab: Page) -> None:
    tab.goto("/login")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("button", name="Log out").wait_for()


if __name__ == "__main__":
    screenshots()
