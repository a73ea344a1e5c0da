"""Whether a busy page slows the bin down: `python -m tests.load_page --model BUNDLE`.

Runs the bin with simulated pins and pictures, by turns alone and with clients that watch and upload, and compares how
long it takes from a thing that lies still to the lid that starts to move.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import click
import numpy as np

from device.config import Config
from tests.bundles import COLOURS
from tests.page_parts import jpeg, photo_of

WATCHERS, UPLOADERS = 20, 4


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="The bundle; the bin's own without it.")
@click.option("--drops", default=20, show_default=True, help="In each turn.")
@click.option("--turns", default=4, show_default=True, help="Alone and with clients, by turns.")
def load(model: Path | None, drops: int, turns: int) -> None:
    """Measure drop to lid alone and with 20 watching and 4 uploading clients."""
    latencies: dict[bool, list[float]] = {False: [], True: []}
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        config, port = _prepare(Path(folder), drops)
        for turn in range(turns):
            is_busy = turn % 2 == 1
            latencies[is_busy] += _run(Path(folder), config, port, model, drops, statuses if is_busy else None)
    for is_busy, name in ((False, "alone"), (True, f"{WATCHERS} watching, {UPLOADERS} uploading")):
        p50, p95 = np.percentile(latencies[is_busy], [50, 95])
        click.echo(f"{name}: {len(latencies[is_busy])} drops, p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    ratio = np.percentile(latencies[True], 95) / np.percentile(latencies[False], 95)
    click.echo(f"p95 with clients is {ratio:.2f} times that alone; answers to uploads: {dict(statuses)}")


def _prepare(folder: Path, drops: int) -> tuple[Path, int]:
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(drops):
        (pictures / f"{number:03}.jpg").write_bytes(photo_of(list(COLOURS)[number % len(COLOURS)]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    lids = "".join(
        f"[compartments.{name}]\nservo_pin = {one.servo_pin}\nhold_s = 0.2\nspeed_deg_per_s = 360\n"
        for name, one in Config().compartments.items()
    )
    config = folder / "pilah.toml"
    config.write_text(f'[page]\nport = {port}\n[journal]\npath = "{folder}/journal.db"\n{lids}')
    return config, port


def _run(
    folder: Path, config: Path, port: int, model: Path | None, drops: int, statuses: Counter[int] | None
) -> list[float]:
    command = [sys.executable, "-m", "device", "run", "--config", config, "--camera", f"images:{folder}/pictures"]
    command += ["--pins", "mock", "--json", "--drops", drops, *(["--model", model] if model else [])]
    bin_ = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    over = threading.Event()
    clients = []
    if statuses is not None:
        clients = [threading.Thread(target=_watch, args=(port, over)) for _ in range(WATCHERS)]
        clients += [threading.Thread(target=_upload, args=(port, n, over, statuses)) for n in range(UPLOADERS)]
    for client in clients:
        client.start()
    assert bin_.stdout is not None
    events = [json.loads(line) for line in bin_.stdout]
    bin_.wait()
    over.set()
    for client in clients:
        client.join()
    decided = {event["drop"]: event["time"] for event in events if event["event"] == "decision"}
    opening = [e for e in events if e["event"] == "lid" and e["state"] == "opening" and e.get("drop") in decided]
    return [event["latency_ms"] + (event["time"] - decided[event["drop"]]) * 1000 for event in opening]


def _watch(port: int, over: threading.Event) -> None:
    """Follow the stream and fetch each picture that it tells of, as a browser does."""
    while not over.wait(0.2):
        try:
            stream = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            stream.request("GET", "/events")
            lines = stream.getresponse()
            pictures = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            while line := lines.readline():
                if b'"frame"' in line:
                    pictures.request("GET", "/tray.jpg")
                    pictures.getresponse().read()
        except (OSError, http.client.HTTPException):
            continue


def _upload(port: int, number: int, over: threading.Event, statuses: Counter[int]) -> None:
    """Ask about a photo again and again, as one phone each; the proxy's header tells them apart."""
    photo = jpeg(np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8).repeat(24, 0).repeat(24, 1))
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-Forwarded-For": f"10.0.0.{number}"}
    while not over.wait(0.05):
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("POST", "/api/classify", body, headers)
            statuses[client.getresponse().status] += 1
            client.close()
        except (OSError, http.client.HTTPException):
            continue


if __name__ == "__main__":
    load()
