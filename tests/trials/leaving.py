"""`pilah run` on trial for its end: SIGTERM in the middle of a motion, on a machine that is busy."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_ports

LIDS = ("opening", "open", "closing")


@dataclass(frozen=True)
class Leaving:
    """`told`: the state of the lid when the signal was sent; `last`: the last state of a lid that was printed."""

    told: str
    took_s: float
    exit_code: int
    last: str


def leave(folder: Path, times: int, hogs: int, seed: int = 0) -> Iterator[Leaving]:
    """Start a bin, send SIGTERM while a lid moves or stands open, and see how it ends; beside `hogs` busy processes.

    Somebody watches its page meanwhile.
    """
    chance = random.Random(seed)
    for number in range(times):
        [port] = free_ports(1)
        file = folder / "leaving.toml"
        file.write_text(f'[journal]\npath = "{folder}/journal.db"\n[page]\nport = {port}\naddress = "127.0.0.1"\n')
        command = [sys.executable, "-m", "device", "run", "--json", "--camera", "simulated", "--pins", "mock"]
        command += ["--config", str(file), "--seed", str(number)]
        with (
            _busy(hogs),
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
            _watched(port),
        ):
            wanted = LIDS[number % len(LIDS)]
            _read_until(process, wanted)
            time.sleep(chance.uniform(0, 0.4))
            begun_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            rest = process.communicate()[0]
            took_s = time.monotonic() - begun_s
        states = [told["state"] for told in map(json.loads, rest.splitlines()) if told["event"] == "lid"]
        yield Leaving(wanted, took_s, process.returncode, states[-1] if states else wanted)


def _read_until(process: subprocess.Popen[str], state: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("state") == state:
            return
    raise RuntimeError(f"no lid came to {state}")


@contextlib.contextmanager
def _busy(hogs: int) -> Iterator[None]:
    """So many processes that do nothing as fast as they can."""
    started = [subprocess.Popen((sys.executable, "-c", "while True: pass")) for _ in range(hogs)]
    try:
        yield
    finally:
        for hog in started:
            hog.kill()
            hog.wait()


@contextlib.contextmanager
def _watched(port: int) -> Iterator[None]:
    """A browser that follows the stream, as soon as there is one and for as long as it lasts."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/events", timeout=5) as stream,
            ):
                while stream.readline():
                    pass

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join(6.0)
