"""A recorded video in the camera's place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from device.camera import Frame
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError


class Video:
    """Plays a video file once, in the time it was recorded in.

    Frames in excess of `rate_hz` are left out.

    >>> source = Video(Path("tray.mp4"), CameraSection(), SystemClock())        # doctest: +SKIP
    """

    is_sensor = False

    def __init__(self, file: Path, settings: CameraSection, clock: Clock) -> None:
        """Raises `CameraError` where the file is missing or OpenCV cannot play it."""
        if not file.is_file():
            raise CameraError(f"There is no video {file}.")
        self._capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
        is_there, self._ahead = self._capture.read()
        if not is_there:
            raise CameraError(f"{file} is no video that OpenCV can play.")
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        recorded_hz = rate_hz if 0 < rate_hz <= 1000 else settings.rate_hz
        self._step = max(1, round(recorded_hz / settings.rate_hz))
        self._period_s = self._step / recorded_hz
        self._clock = clock
        self._next_s = clock.now()

    def read(self) -> Frame | None:
        pixels = self._ahead
        if pixels is None:
            return None
        for _ in range(self._step - 1):
            self._capture.grab()
        _, self._ahead = self._capture.read()
        self._clock.sleep(self._next_s - self._clock.now())
        self._next_s = max(self._next_s, self._clock.now() - self._period_s) + self._period_s
        return Frame(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), self._clock.now())

    def close(self) -> None:
        self._capture.release()
