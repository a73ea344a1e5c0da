"""From a word in the configuration to the frame source that it names."""

from __future__ import annotations

from pathlib import Path

from device.board import is_raspberry_pi
from device.camera import FrameSource
from device.clock import Clock
from device.config import CameraSection
from device.config.schema import SOURCES, is_source
from device.errors import CameraError


def is_sensor(spec: str) -> bool:
    """Whether `spec` names a camera that can be plugged in again, not pictures that are there or are not."""
    return spec.partition(":")[0] in ("auto", "picamera2", "webcam")


def open_source(spec: str, settings: CameraSection, clock: Clock, seed: int = 0) -> FrameSource:
    """The frame source that `spec` names: one of auto, picamera2, webcam[:N], video:FILE, images:DIR, simulated.

    `auto` is picamera2 on a Raspberry Pi and where its library is installed, otherwise `simulated`: real lids never
    open for drawn waste because a library is missing. `seed` fixes what the simulated tray does. Raises `CameraError`
    where there is no such source or it cannot be opened.
    """
    kind, _, rest = spec.partition(":")
    match kind, rest:
        case ("auto", ""):
            from device.camera.picamera import is_installed

            has_camera = is_installed() or is_raspberry_pi()
            return open_source("picamera2" if has_camera else "simulated", settings, clock, seed)
        case ("picamera2", ""):
            from device.camera.picamera import PiCamera

            return PiCamera(settings, clock)
        case ("webcam", number) if is_source(spec):
            from device.camera.webcam import Webcam

            return Webcam(int(number or 0), settings, clock)
        case ("video", file) if file:
            from device.camera.video import Video

            return Video(Path(file), settings, clock)
        case ("images", folder) if folder:
            from device.camera.images import ImageFolder

            return ImageFolder(Path(folder), settings, clock)
        case ("simulated", ""):
            from device.camera.simulated import SimulatedTray

            return SimulatedTray(settings, clock, seed=seed)
    raise CameraError(f"There is no camera {spec!r}; camera.source may be one of {SOURCES}.")
