"""What an owner does on the page of a bin that runs, without a browser: `python -m tests.owner URL PASSWORD`."""

from __future__ import annotations

import re
import sys
import urllib.parse
import urllib.request

ANSWERS_WITHIN_S = 60


def start_again(url: str, password: str) -> None:
    """Log in, and press the button."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def post(path: str, **form: str) -> None:
        with browser.open(f"{url}/login", timeout=ANSWERS_WITHIN_S) as page:
            token = re.findall('name="csrf-token" content="([^"]+)"', page.read().decode())[0]
        sent = urllib.parse.urlencode({**form, "csrf_token": token}).encode()
        browser.open(f"{url}{path}", sent, timeout=ANSWERS_WITHIN_S).close()

    post("/login", password=password)
    post("/health/start")


if __name__ == "__main__":
    start_again(*sys.argv[1:])
