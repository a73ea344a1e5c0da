"""Those who watch the page and ask it about photos, in a process of their own: `python -m tests.load_clients PORT`.

Runs until it is terminated, and prints what it got as one JSON object.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from collections import Counter

import numpy as np

from tests.page_parts import jpeg

WATCHERS, UPLOADERS = 20, 4
ASKS_EVERY_S = 1.0
"""Each uploader, once it has its answer: the page allows a client 60 photos a minute."""


def main(port: int) -> None:
    over, got = threading.Event(), Counter[str]()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    clients = [threading.Thread(target=_watch, args=(port, over, got), daemon=True) for _ in range(WATCHERS)]
    clients += [threading.Thread(target=_upload, args=(port, n, over, got), daemon=True) for n in range(UPLOADERS)]
    begun_s = time.monotonic()
    for client in clients:
        client.start()
    over.wait()
    print(json.dumps({**got, "seconds": round(time.monotonic() - begun_s, 1)}))


def _watch(port: int, over: threading.Event, got: Counter[str]) -> None:
    """Follow the stream, pictures and all, as a browser does."""
    while not over.wait(0.2):
        try:
            stream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            stream.request("GET", "/events")
            lines = stream.getresponse()
            while line := lines.readline():
                got["pictures"] += line.startswith(b'data: {"event": "frame"')
        except (OSError, http.client.HTTPException):
            continue


def _upload(port: int, number: int, over: threading.Event, got: Counter[str]) -> None:
    """Ask about a photo again and again, as one phone each; the proxy's header tells them apart."""
    photo = jpeg(np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8).repeat(24, 0).repeat(24, 1))
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-Forwarded-For": f"10.0.0.{number}"}
    while not over.wait(ASKS_EVERY_S):
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            client.request("POST", "/api/classify", body, headers)
            got[f"answers {client.getresponse().status}"] += 1
            client.close()
        except (OSError, http.client.HTTPException):
            got["no answer"] += 1


if __name__ == "__main__":
    main(int(sys.argv[1]))
