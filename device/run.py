"""`pilah run`: start the bin, print what happens, and end it cleanly."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from device.appliance import Appliance
from device.board import Board
from device.camera import FrameSource
from device.camera.grabber import Grabber
from device.camera.sources import is_sensor, open_source
from device.clock import SystemClock
from device.config import Config, read_config
from device.counting import counted
from device.errors import CameraError, PageError
from device.events import DecisionEvent, Event, FaultEvent, LidEvent, Subscription
from device.heartbeat import Heartbeat, Systemd
from device.journal import Journal
from device.model import open_classifier
from device.options import camera_option, config_option, json_lines_option, model_option, pins_option
from device.page.commands import bin_of, serve
from device.page.server import PageServer
from device.pins import PinKind, default_pins, open_pins
from device.recorder import Recorder

log = logging.getLogger(__name__)

EVENTS_AT_MOST = 4096
TRIES_EVERY_S = 10.0
PRINTS_WITHIN_S = 1.0
"""What a reader has not taken by then is lost; the lids are closed all the while."""


@click.command()
@config_option
@camera_option
@pins_option
@model_option
@click.option("--drops", type=click.IntRange(min=1), help="End after so many drops.")
@json_lines_option
@click.option("--page/--no-page", "with_page", default=True, help="Serve the page (the default), or do not.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Fixes what the simulated camera shows."
)
def run(
    config_file: Path | None,
    camera: str | None,
    pins: PinKind | None,
    model: Path | None,
    drops: int | None,
    as_json: bool,
    with_page: bool,
    seed: int,
) -> None:
    """Sort: watch the tray, name what lies there, and open the right lid."""
    stop = _Stop()
    config = read_config(config_file)
    classifier = open_classifier(config, model)
    clock, spec, kind = SystemClock(), camera or config.camera.source, pins or default_pins()
    factory = open_pins(kind, config.compartments.values())

    def open_camera() -> FrameSource:
        return open_source(spec, config.camera, clock, seed)

    is_awaited = camera is None and is_sensor(spec)
    feed = Grabber(_first(open_camera, is_awaited), open_camera, config.camera, clock)
    heartbeat, board, journal = Heartbeat(clock, Systemd()), Board(clock), Journal.of(config)
    with (
        Appliance(config, classifier, feed, factory, clock, heartbeat, board) as bin_,
        Recorder(journal, bin_.events, clock, bin_.sight.judged if config.journal.thumbnails else None) as recorder,
        _Printer(bin_.events.subscribe(EVENTS_AT_MOST), as_json, stop),
        _page(bin_, journal, config, config_file, model, stop) if with_page else contextlib.nullcontext() as page,
    ):
        bin_.mind("journal", lambda: recorder.fault, "The history is written again.")
        log.info("Pilah sorts: model %s, camera %s, %s pins.", classifier.bundle.contract.version, spec, kind)
        try:
            bin_.run(stop.is_asked, drops)
        finally:
            if page is not None:
                page.end_soon()
            if stop.is_for_a_start:
                heartbeat.starting_again()
            bin_.close()
    if stop.is_for_a_start:
        log.info("Pilah starts again, as its owner asked on the page.")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if drops is not None and bin_.finished_drops < drops and not stop.is_asked():
        told = f"{bin_.finished_drops} of {counted(drops, 'drop')}"
        raise CameraError(f"The pictures of {spec} came to their end after {told}.")


def _first(open_camera: Callable[[], FrameSource], is_awaited: bool) -> FrameSource | None:
    """The camera, or None where the bin begins without: after a power cut the lids close first, and what is on the
    ribbon or the cable may come later. A camera that a person has named at a terminal is not awaited."""
    try:
        return open_camera()
    except CameraError:
        if not is_awaited:
            raise
        return None


def _page(
    bin_: Appliance, journal: Journal, config: Config, config_file: Path | None, model: Path | None, stop: _Stop
) -> Page:
    shown = bin_of(config, config_file, model, bin_, journal, stop.ask_for_a_start)

    def start() -> PageServer:
        server = serve(shown, config)
        log.info("The page is at %s.", server.url)
        return server

    return Page(start)


class Page:
    """Serves the page beside the bin; what keeps it from that is told and costs no sorting.

    It is tried again every `TRIES_EVERY_S`: an address of the bin's own network comes after the bin at each boot.
    """

    def __init__(self, start: Callable[[], PageServer]) -> None:
        self._start = start
        self._server: PageServer | None = None
        self._told = ""
        self._is_ending = threading.Event()
        self._trying = threading.Thread(target=self._try_again, name="page start", daemon=True)

    def __enter__(self) -> Page:
        if not self._is_served():
            self._trying.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_soon()
        if self._trying.ident is not None:
            self._trying.join()
        if self._server is not None:
            self._server.close()

    def end_soon(self) -> None:
        """Let the page's streams end by themselves; waits for none of them."""
        self._is_ending.set()
        if self._server is not None:
            self._server.end_soon()

    def _is_served(self) -> bool:
        try:
            self._server = self._start()
        except PageError as fault:
            if str(fault) != self._told:
                log.error("%s It is tried again every %g s.", fault, TRIES_EVERY_S)
            self._told = str(fault)
        return self._server is not None

    def _try_again(self) -> None:
        while not self._is_ending.wait(TRIES_EVERY_S) and not self._is_served():
            pass


class _Stop:
    """Whether someone wants the bin to stop: Ctrl-C, SIGTERM, a closed terminal, a reader that went away, or the owner
    who wants it to start again.

    Asking once more changes nothing, but that a signal lets nothing start again: the lids are closed first in any case.
    """

    def __init__(self) -> None:
        self.is_for_a_start = False
        self._is_asked = False  # no Event: a signal that comes while another is noted would wait for its lock for ever
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.is_for_a_start = False
        self.ask()

    def ask(self) -> None:
        self._is_asked = True

    def ask_for_a_start(self) -> None:
        """Stop, and start the same command again in this very process, so that a service stays the same."""
        self.is_for_a_start = not self._is_asked
        self.ask()

    def is_asked(self) -> bool:
        return self._is_asked


class _Printer:
    """Prints events in a thread of its own: a reader that does not read holds nothing up."""

    def __init__(self, subscription: Subscription, as_json: bool, stop: _Stop) -> None:
        self._subscription = subscription
        self._as_json = as_json
        self._stop = stop
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._print, name="printer", daemon=True)

    def __enter__(self) -> _Printer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._subscription.wake()
        self._thread.join(PRINTS_WITHIN_S)

    def _print(self) -> None:
        out = sys.stdout.fileno()
        while True:
            is_last = self._is_ending.is_set()
            lines = [line for event in self._subscription.take(0.1) if (line := _line(event, self._as_json))]
            unsent = "".join(f"{line}\n" for line in lines).encode(errors="replace")
            try:
                while unsent:
                    unsent = unsent[os.write(out, unsent) :]
            except BrokenPipeError:
                self._stop.ask()
                return
            except OSError as fault:
                log.error(
                    "Nothing is printed any more (standard output: %s); the bin sorts on. Start it anew once that is "
                    "mended.",
                    fault.strerror or fault,
                )
                return
            if is_last and not lines:
                return


def _line(event: Event, as_json: bool) -> str | None:
    if not isinstance(event, DecisionEvent | LidEvent | FaultEvent):
        return None
    if as_json:
        return json.dumps(event.as_dict())
    sentence = _sentence(event)
    return sentence and f"{time.strftime('%H:%M:%S', time.localtime(event.time_s))}  {sentence}"


def _sentence(event: DecisionEvent | LidEvent | FaultEvent) -> str | None:
    match event:
        case DecisionEvent():
            doubt = "" if event.verdict == "sure" else f", {event.verdict}"
            source = "" if event.file is None else f"  {event.file}"
            return (
                f"drop {event.drop}: {event.material} → {event.compartment} "
                f"({event.confidence:.0%}{doubt}, {event.latency_ms:.0f} ms){source}"
            )
        case LidEvent(state="open" | "closed" | "fault"):
            return f"lid {event.compartment}: {event.state}"
        case FaultEvent():
            return event.message
    return None
