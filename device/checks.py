"""What the doctor looks at. Each check says in a sentence what is so, or what is wrong and how to mend it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from device.board import read_vitals
from device.bundle import Bundle
from device.camera import Frame, FrameSource
from device.camera.grabber import Grabber
from device.classifier import Classifier
from device.clock import Clock
from device.config import Config, check_config, read_config, state_folder
from device.counting import counted
from device.drops import Search
from device.errors import CameraError, JournalError, LidError, MachineError, PilahError
from device.events import Event, FaultEvent
from device.evidence import policy_of
from device.journal import Journal
from device.lids import Lid
from device.lights import Lights

FRAMES = 10
FREE_BYTES = 100 * 2**20
"""Less than this fills up with logs in days."""
CLOCK_TOLERANCE_S = 3600.0
RTC = Path("/sys/class/rtc/rtc0")
_DEVICES = ("gpiochip*", "video*", "media*", "dma_heap/*")
"""What gpiozero and libcamera open below /dev."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `says`: what is so, or what is wrong and how to mend it."""

    name: str
    is_ok: bool
    says: str


class Running(Protocol):
    """A bin that runs in this process: it holds camera and pins, so it is asked instead of them."""

    def snapshot(self) -> list[Event]: ...

    def newest_frame(self) -> Frame | None: ...


def look_at(name: str, finds: Callable[[], str]) -> Check:
    """Ask one check; a fault that it names is what is wrong."""
    try:
        return Check(name, True, finds())
    except PilahError as fault:
        return Check(name, False, str(fault))


def model(path: Path, config: Config, threads: int) -> str:
    """Whether the bundle can be used with these settings, and how long it takes for a picture."""
    bundle = Bundle.open(path, threads)
    policy_of(config, bundle.contract)
    classifier = Classifier(bundle)
    grey = np.full((config.camera.height, config.camera.width, 3), 128, np.uint8)
    classifier.observe(grey)
    begun_s = time.perf_counter()
    classifier.observe(grey)
    took_ms = 1000 * (time.perf_counter() - begun_s)
    return (
        f"{path.name} {bundle.contract.version} names {len(bundle.contract.classes)} materials, {took_ms:.0f} ms each."
    )


def camera(open_camera: Callable[[], FrameSource], config: Config, clock: Clock) -> str:
    """Whether the camera gives live pictures."""
    settings = config.camera
    feed = Grabber(open_camera(), open_camera, settings, clock)
    with contextlib.closing(feed):
        frames: list[Frame] = []
        until_s = clock.now() + 2 * settings.lost_after_s
        while len(frames) < FRAMES and not feed.has_ended and clock.now() < until_s:
            if (frame := feed.latest(0.5)) is not None:
                frames.append(frame)
            for report in feed.reports():
                raise CameraError(f"{report.message} Check its cable and its lens.")
    if not frames:
        raise CameraError(f"The camera gave no picture in {2 * settings.lost_after_s:g} s; check its cable.")
    height, width = frames[-1].pixels.shape[:2]
    took_s = frames[-1].time_s - frames[0].time_s
    rate = f", {(len(frames) - 1) / took_s:.0f} a second" if took_s > 0 else ""
    level = float(frames[-1].pixels.mean())
    light = "" if level > 30 else " It is dark: give the tray a lamp."
    return f"It gives pictures of {width}×{height}{rate}.{light}"


def pins(config: Config, open_factory: Callable[[], Any], kind: str) -> str:
    """Whether every pin can be used; nothing moves."""
    factory = open_factory()
    with contextlib.closing(factory), contextlib.ExitStack() as opened:
        opened.callback(Lights(config, factory).close)
        for name, settings in config.compartments.items():
            opened.enter_context(Lid(name, settings, factory))
    if kind == "mock":
        return "This machine has no pins of a Raspberry Pi; mock ones stand in, and nothing moves."
    return f"The pins of {len(config.compartments)} lids and of the lights can be used."


def running_camera(bin_: Running, clock: Clock, config: Config) -> str:
    """What the running bin says of its camera."""
    if faults := _faults(bin_, "camera"):
        raise CameraError(faults[0])
    frame = bin_.newest_frame()
    if frame is None or clock.now() - frame.time_s > config.camera.lost_after_s:
        raise CameraError("The bin has no new picture from its camera; look at its cable and at the log.")
    return "It gives pictures."


def running_pins(bin_: Running) -> str:
    """What the running bin says of its lids."""
    if faults := _faults(bin_, "lid "):
        raise LidError(faults[0])
    return "Every lid moves as it should."


def _faults(bin_: Running, part: str) -> list[str]:
    events = [event for event in bin_.snapshot() if isinstance(event, FaultEvent) and not event.is_over]
    return [event.message for event in events if event.part.startswith(part)]


def disk(config: Config) -> str:
    """Whether there is room, and leave, to write the history."""
    folder = state_folder(config)
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.access(one, os.F_OK))
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise JournalError(f"Only {free / 2**20:.0f} MB are free for {folder}: remove something from the card.")
    try:
        tempfile.TemporaryFile(dir=there).close()  # a card that failed while mounted is told by nothing but writing
    except OSError as fault:
        raise JournalError(
            f"{there} cannot be written by {_user()} ({fault.strerror}): "
            "change its owner, or remount the card writable."
        ) from fault
    return f"{free / 2**30:.1f} GB are free for {folder}."


def history(journal: Journal) -> str:
    """Whether the history passes SQLite's check."""
    journal.examine()
    newest = journal.drops(Search(), 1)
    return f"{journal.path} is sound; its newest drop is number {newest[0].id}." if newest else "It is empty."


def clock_is_right(journal: Journal, asks: Callable[[], str] | None = None, rtc: Path = RTC) -> str:
    """Whether the wall clock can be believed: the history's times come from it, sorting does not need it.

    `rtc`: where the kernel shows a clock that runs on while the machine is off, with which a bin may live offline.
    """
    now_s = time.time()
    with contextlib.suppress(JournalError):
        newest = journal.drops(Search(), 1)
        if newest and newest[0].time_s > now_s + CLOCK_TOLERANCE_S:
            raise MachineError("The clock is behind the newest drop of the history: set it, or connect a network once.")
    if now_s < Path(__file__).stat().st_mtime - CLOCK_TOLERANCE_S:
        raise MachineError("The clock is earlier than Pilah was installed: set it, or connect a network once.")
    told = (asks or _synchronised)()
    shown = time.strftime("%Y-%m-%d %H:%M:%S %z")
    if told == "no" and rtc.exists():
        return f"{shown}, by the machine's own clock; no network sets it."
    if told == "no":
        raise MachineError(
            "The clock is not synchronised, so times in the history may be wrong: connect a network, and "
            "`sudo timedatectl set-ntp true`, or fit a real-time clock with a battery."
        )
    return f"{shown}, synchronised." if told == "yes" else f"{shown}; this machine does not tell who sets it."


def _synchronised() -> str:
    return answer_of("timedatectl", "show", "--property=NTPSynchronized", "--value")


def answer_of(*command: str) -> str:
    """What a command of the system prints; nothing where it is not there, fails, or takes more than 5 s."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def permissions(devices: Path = Path("/dev")) -> str:
    """Whether this user may use the camera's and the pins' devices."""
    found = [path for pattern in _DEVICES for path in sorted(devices.glob(pattern))]
    if not found:
        return "This machine has neither pins nor a camera of its own."
    shut = [path for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if shut:
        raise MachineError(
            f"{_user()} may not use {', '.join(map(str, shut))}: `sudo usermod -aG gpio,video {_user()}`, then log in "
            "again."
        )
    return f"{_user()} may use what pins and camera need ({counted(len(found), 'device')})."


def board() -> str:
    """How hot the processor is, and whether its supply holds."""
    vitals = read_vitals()
    if vitals.warnings:
        raise MachineError(" ".join(vitals.warnings))
    return "No thermometer." if vitals.temperature_c is None else f"{vitals.temperature_c:.0f} °C, supply in order."


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def examine(
    config_file: Path | None,
    model_file: Callable[[Config], Path],
    body: Callable[[Config], Sequence[Check]],
    threads: int = 0,
) -> Iterator[Check]:
    """Every check, in the order in which one would mend things.

    `body`: looks at camera and pins; `threads`: cores for the model. Where the configuration is wrong, the defaults
    stand in for it.
    """
    settled = look_at("configuration", lambda: check_config(config_file))
    config = read_config(config_file) if settled.is_ok else Config()
    journal = Journal.of(config)
    yield settled
    yield look_at("model", lambda: model(model_file(config), config, threads))
    yield from body(config)
    yield look_at("permissions", permissions)
    yield look_at("disk", lambda: disk(config))
    yield look_at("history", lambda: history(journal))
    yield look_at("clock", lambda: clock_is_right(journal))
    yield look_at("board", board)
