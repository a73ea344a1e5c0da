"""A tab of a real headless Chromium, for the tests of the page."""

from __future__ import annotations

import shutil
from typing import Any

from tests.page_parts import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE, KIOSK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


class Visitor:
    """A tab whose complaints are collected: console errors, failed scripts, requests to other hosts."""

    def __init__(self, chromium: Any, url: str, size: dict[str, int], **preferences: Any) -> None:
        context = chromium.new_context(viewport=size, locale="en-GB", base_url=url, **preferences)
        self.tab = context.new_page()
        self.tab.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.tab.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self._is_here(request.url, url))

    def _is_here(self, asked: str, url: str) -> None:
        if not asked.startswith((url, "blob:", "data:")):
            self.complaints.append(f"asked another host: {asked}")

    def log_in(self) -> None:
        self.tab.goto("/login")
        self.tab.get_by_label("Password").fill(PASSWORD)
        self.tab.get_by_role("button", name="Log in").click()
        self.tab.get_by_role("button", name="Log out").wait_for()

    def ask(self, **photos: bytes) -> None:
        self.tab.goto("/ask")
        files = [{"name": name, "mimeType": "image/jpeg", "buffer": photo} for name, photo in photos.items()]
        self.tab.set_input_files("#choose", files)
