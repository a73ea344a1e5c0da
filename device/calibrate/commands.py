"""`pilah calibrate servo|tray|camera`. Each leaves the bin as it was unless `s` is pressed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from device.calibrate.dials import FocusDial, RegionDial, ServoDial
from device.calibrate.terminal import Terminal, meter, picture, scale
from device.camera import Frame, FrameSource
from device.camera.picamera import is_installed
from device.camera.sources import open_source
from device.clock import Clock, SystemClock
from device.config import Config, config_path, edit_config, read_config
from device.errors import CameraError, ConfigError
from device.lids import open_servo
from device.motion import Motion
from device.options import Commands, camera_option, pins_option
from device.pins import PinKind, default_pins, open_pins, pin_faults

DRAWS_EVERY_S = 0.25
TICK_S = 0.02
SETTLES_S = 0.3
DARK, BRIGHT = 50.0, 205.0
WEBCAMS = 4
OUTLINE = (255, 64, 64)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(cls=Commands)
def calibrate() -> None:
    """Find angles, tray and focus at a terminal, and write them into the configuration (the old one is kept)."""
    for number in _ENDINGS:
        signal.signal(number, _end)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM and a terminal that is closed end a command as Ctrl-C does."""
    _end_no_more()
    raise KeyboardInterrupt


def _end_no_more() -> None:
    """Let no signal stop a lid on its way home: a closed terminal sends more than one."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


_config = click.option("--config", "config_file", type=click.Path(path_type=Path), help="The configuration to change.")


@dataclass(frozen=True)
class _Settings:
    """The settings, and the file that they are written back to."""

    file: Path
    config: Config

    @classmethod
    def of(cls, config_file: Path | None) -> _Settings:
        """Raises `ConfigError` where there is no file to write to, or this user may not."""
        file = config_path(config_file)
        if file is None or not file.exists():
            raise ConfigError("There is no configuration to write into: make one with `pilah config init` first.")
        if not os.access(file.parent, os.W_OK):
            raise ConfigError(
                f"You may not write in {file.parent}, so nothing that is found could be kept: put sudo before the "
                f"command, or remount the card writable."
            )
        return cls(file, read_config(file))

    def save(self, changes: dict[str, Any]) -> None:
        named = read_config(self.file).model_fields_set
        if "compartments" not in named and any(key.startswith("compartments.") for key in changes):
            # A file that names one lid must name them all.
            lids = self.config.model_dump(mode="json", exclude_none=True)["compartments"]
            changes = {"compartments": lids, **changes}
        edit_config(self.file, changes)
        click.echo(f"{self.file} is written; the old one is {self.file.name}.previous. Restart the bin to use it.")


@calibrate.command()
@click.argument("compartment", required=False)
@_config
@pins_option
def servo(compartment: str | None, config_file: Path | None, pins: PinKind | None) -> None:
    """Find the angles at which the lid of COMPARTMENT is closed and open."""
    settings, clock = _Settings.of(config_file), SystemClock()
    names = list(settings.config.compartments)
    name = compartment or click.prompt("Which lid", type=click.Choice(names), default=names[0])
    if name not in names:
        raise ConfigError(f"This bin has no lid {name!r}; it has {', '.join(names)}.")
    lid = settings.config.compartments[name]
    dial: ServoDial | None = None
    with (
        Terminal() as terminal,
        contextlib.closing(open_pins(pins or default_pins())) as factory,
        pin_faults(f"The servo of the lid {name} cannot be driven ({{}}); stop the service if it runs."),
        open_servo(lid, factory) as driven,
    ):
        try:
            try:
                dial = _turn_by_hand(terminal, driven, name, ServoDial(lid, lid.closed_deg), clock)
            finally:
                _end_no_more()  # in a block of its own: a signal may come before this has taken effect
        finally:
            closed_deg = lid.closed_deg if dial is None else dial.settings.closed_deg
            _sweep(driven, closed_deg, lid.speed_deg_per_s, clock)
            clock.sleep(SETTLES_S)
            driven.angle = None
    if dial is not None:
        settings.save(dial.changes(name))


def _turn_by_hand(terminal: Terminal, driven: Any, name: str, dial: ServoDial, clock: Clock) -> ServoDial | None:
    """Follow the keys until s (the dial) or q (None)."""
    driven.angle = dial.angle_deg
    while True:
        lid = dial.settings
        marks = {"c": lid.closed_deg, "o": lid.open_deg, "●": dial.angle_deg}
        terminal.draw(
            [
                f"The servo of the lid {name}, on GPIO{lid.servo_pin}",
                scale(lid.min_angle_deg, lid.max_angle_deg, marks, max(20, terminal.size()[0] - 16)),
                f"angle {dial.angle_deg:g}°   closed {lid.closed_deg:g}°   open {lid.open_deg:g}°   "
                f"{lid.speed_deg_per_s:g}°/s",
                "← → 1°   [ ] 10°   c closed here   o open here   t try   < > speed   s save   q leave",
            ]
        )
        key = terminal.key(60.0)
        if key in ("s", "q"):
            return dial if key == "s" else None
        if key == "t":
            for angle_deg in (lid.open_deg, lid.closed_deg, dial.angle_deg):
                _sweep(driven, angle_deg, lid.speed_deg_per_s, clock)
                clock.sleep(SETTLES_S)
        elif key is not None:
            dial = dial.press(key)
            _sweep(driven, dial.angle_deg, lid.speed_deg_per_s, clock)


def _sweep(driven: Any, to_deg: float, speed_deg_per_s: float, clock: Clock) -> None:
    from_deg = to_deg if driven.angle is None else float(driven.angle)
    motion = Motion.at_speed(from_deg, to_deg, clock.now(), speed_deg_per_s)
    while (now_s := clock.now()) < motion.end_s:
        driven.angle = motion.angle_deg(now_s)
        clock.sleep(TICK_S)
    driven.angle = to_deg


@calibrate.command()
@_config
@camera_option
def tray(config_file: Path | None, camera: str | None) -> None:
    """Find the part of the picture in which the tray lies."""
    settings, clock = _Settings.of(config_file), SystemClock()
    section = settings.config.camera
    with (
        Terminal() as terminal,
        contextlib.closing(open_source(camera or section.source, section, clock)) as source,
    ):
        dial = _move_edges(terminal, source, RegionDial(section.region), clock)
    if dial is not None:
        settings.save(dial.changes())


def _move_edges(terminal: Terminal, source: FrameSource, dial: RegionDial, clock: Clock) -> RegionDial | None:
    """Follow the keys until s (the dial) or q (None)."""
    for frame in _frames(source, clock):
        region = dial.region
        columns, lines = terminal.size()
        terminal.draw(
            [
                *picture(_outlined(frame.pixels, dial), columns, lines - 4),
                f"left {region.left:g}  top {region.top:g}  right {region.right:g}  bottom {region.bottom:g}   "
                f"moving: {dial.edge}",
                "l t r b edge   arrows 1 %   [ ] 5 %   0 whole picture   s save   q leave",
            ]
        )
        while (key := terminal.key(0.0)) is not None:
            if key in ("s", "q"):
                return dial if key == "s" else None
            dial = dial.press(key)
    raise CameraError("The camera's pictures came to their end.")


def _outlined(pixels: NDArray[np.uint8], dial: RegionDial) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    region, drawn = dial.region, pixels.copy()
    near = round(region.left * (width - 1)), round(region.top * (height - 1))
    far = round(region.right * (width - 1)), round(region.bottom * (height - 1))
    cv2.rectangle(drawn, near, far, OUTLINE, max(1, width // 80))
    return drawn


@calibrate.command()
@_config
@camera_option
def camera(config_file: Path | None, camera: str | None) -> None:
    """Choose the camera, focus it, and see whether the light is right."""
    settings, clock = _Settings.of(config_file), SystemClock()
    specs = [camera] if camera else _found(settings.config)
    with Terminal() as terminal:
        chosen, dial, best, key = specs[0], FocusDial(settings.config.camera), 0.0, ""
        while key not in ("s", "q"):
            try:
                key, best = _focus(terminal, chosen, dial, clock, best)
            except CameraError as fault:
                if len(specs) == 1:
                    raise
                key = _tell(terminal, chosen, fault)
            dial = dial.press(key)
            if key == "n":
                chosen, best = specs[(specs.index(chosen) + 1) % len(specs)], 0.0
    if key == "s":
        settings.save({"camera.source": chosen, **dial.changes()})


def _focus(terminal: Terminal, spec: str, dial: FocusDial, clock: Clock, best: float) -> tuple[str, float]:
    """Show one camera until s, q, n (the next one) or a key that turns its focus; the key, and the best sharpness."""
    with contextlib.closing(open_source(spec, dial.settings, clock)) as source:
        for frame in _frames(source, clock):
            grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
            sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
            best, level = max(best, sharpness), float(grey.mean())
            height, width = grey.shape
            columns, lines = terminal.size()
            light = "too dark" if level < DARK else "too bright" if level > BRIGHT else "right"
            terminal.draw(
                [
                    *picture(frame.pixels, columns, lines - 6),
                    f"{spec}  {width}×{height}",
                    f"sharpness {meter(sharpness, best)} {sharpness:.0f}, best {best:.0f}: turn the lens",
                    f"focus     {dial.settings.distance_m:g} m, where a motor turns it: + farther   - nearer",
                    f"light     {meter(level, 255)} {level:.0f}, {light}",
                    "n next camera   s save   q leave",
                ]
            )
            while (key := terminal.key(0.0)) is not None:
                if key in ("s", "q", "n") or dial.press(key) != dial:
                    return key, best
    raise CameraError(f"The pictures of {spec} came to their end.")


def _tell(terminal: Terminal, spec: str, fault: CameraError) -> str:
    """Show what is wrong with one camera until q or n (the next camera) is pressed."""
    terminal.draw([spec, str(fault), "n next camera   q leave"])
    while (key := terminal.key(60.0)) not in ("q", "n"):
        pass
    return str(key)


def _found(config: Config) -> list[str]:
    """The cameras that one may choose: the configured one first, then what this machine has."""
    there = ["picamera2"] if is_installed() else []
    there += [f"webcam:{number}" for number in range(WEBCAMS) if os.access(f"/dev/video{number}", os.R_OK)]
    return list(dict.fromkeys([config.camera.source, *there]))


def _frames(source: FrameSource, clock: Clock) -> Iterator[Frame]:
    """As many frames as a terminal can show; the others are taken off the camera and left out."""
    due_s = clock.now()
    while (frame := source.read()) is not None:
        if clock.now() >= due_s:
            due_s = clock.now() + DRAWS_EVERY_S
            yield frame
