"""What a camera is to the rest of the bin: a source of frames, and a feed that keeps one alive for the loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from device.errors import CameraError


@dataclass(frozen=True)
class Frame:
    """One picture of the tray.

    `pixels`: (H, W, 3) uint8 RGB; `time_s`: when it was taken, on the appliance's monotonic clock; `file`: the
    picture that lies on the tray where a folder feeds it; `small`: (h, w, 3) uint8 RGB, the same view at a lower
    resolution, where the camera delivers it for nothing.
    """

    pixels: NDArray[np.uint8]
    time_s: float
    file: str | None = None
    small: NDArray[np.uint8] | None = None


class FrameSource(Protocol):
    """A camera, or what stands in for one.

    `is_sensor`: the frames come from a sensor, whose noise makes no two of them equal; equal frames are then a fault.
    """

    is_sensor: bool

    def read(self) -> Frame | None:
        """The next frame, at the source's own pace; None when the source has come to its end.

        Raises `CameraError` when it cannot give frames any more.
        """
        ...

    def close(self) -> None:
        """Let go of the device; closing twice is fine."""
        ...


@runtime_checkable
class Tray(Protocol):
    """A source that plays the tray as well: what lies there falls when a lid opens, and the next waits for a free bin.

    A source may be told from another thread than the one that reads it.
    """

    def lid_opened(self) -> None:
        """A lid stands open: what lies on the tray falls into its compartment."""
        ...

    def lid_closed(self) -> None:
        """All lids are closed again: the next thing may be dropped."""
        ...


@dataclass(frozen=True)
class CameraReport:
    """The camera is out of order (`is_over` False) or gives pictures again (`is_over` True)."""

    message: str
    is_over: bool = False


class Feed(Protocol):
    """What the appliance asks of its camera."""

    has_ended: bool

    def latest(self, timeout_s: float) -> Frame | None:
        """The newest frame that was not handed over yet; None when none came in time, or the source has ended.

        Raises `CameraError` when the camera's driver hangs for so long that only a restart of the program helps.
        """
        ...

    def reports(self) -> list[CameraReport]:
        """What has happened to the camera since the last call, oldest first."""
        ...

    def lid_opened(self) -> None: ...

    def lid_closed(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def driver_faults(sentence: str) -> Iterator[None]:
    """Turn whatever a camera's driver raises into a `CameraError` that says `sentence`, with its own words for `{}`."""
    try:
        yield
    except Exception as fault:  # OpenCV's own error derives from Exception itself
        words = " ".join(str(fault).split()).rstrip(".")  # OpenCV's go over several lines
        raise CameraError(sentence.format(words or type(fault).__name__)) from fault
