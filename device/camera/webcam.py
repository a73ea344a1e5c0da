"""A USB camera, through OpenCV."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
from pathlib import Path

import cv2
import numpy as np

from device.camera import Frame, driver_faults
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError

log = logging.getLogger(__name__)

DEVICES = Path("/dev")
SETTLES_S = 1.0
"""Time that a camera takes to find its exposure and white balance, which then stay as they are."""
_MANUAL_EXPOSURE, _AUTO_EXPOSURE = 1, 3
"""What V4L2 calls V4L2_EXPOSURE_MANUAL and V4L2_EXPOSURE_APERTURE_PRIORITY; OpenCV hands the numbers on."""
_SET_CONTROL = 0xC008561C
_POWER_LINE_FREQUENCY = 0x00980918
_POWER_LINES = {50: 1, 60: 2}
"""VIDIOC_S_CTRL and V4L2_CID_POWER_LINE_FREQUENCY (linux/videodev2.h), which OpenCV has no name for."""


class Webcam:
    """The camera `/dev/videoN`, plugged into USB.

    Exposure and white balance find their values in the first second and are then held where the camera can hold
    them: a bright thing on the tray would otherwise darken the whole picture.

    A camera whose plug was shaken comes back under another number while its own is still held. So where `/dev/videoN`
    is gone and just one USB camera is there, that one is opened.

    >>> camera = Webcam(0, CameraSection(), SystemClock())      # doctest: +SKIP
    >>> camera.read().pixels.shape                              # doctest: +SKIP
    (480, 640, 3)
    """

    is_sensor = True

    def __init__(self, number: int, settings: CameraSection, clock: Clock) -> None:
        """`number`: as in /dev/videoN. Raises `CameraError` where there is no such camera or another program has it."""
        self._name = f"The camera webcam:{number}"
        self._clock = clock
        number_now = _number_now(number)
        with driver_faults(f"{self._name} cannot be opened ({{}}); is it plugged in and free?"):
            self._capture = cv2.VideoCapture(number_now)
            is_open = self._capture.isOpened()
        if not is_open:
            raise CameraError(
                f"{self._name} cannot be opened; is it plugged in, free, and may this user read /dev/video{number}?"
            )
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._capture.set(cv2.CAP_PROP_FPS, settings.rate_hz)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        # The camera keeps what an earlier start has held.
        self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _AUTO_EXPOSURE)
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 1)
        _suit_lamps(number_now, settings.mains_hz)
        self._settled_s: float | None = clock.now() + SETTLES_S

    def read(self) -> Frame:
        with driver_faults(f"{self._name} gives no picture any more ({{}}); is it still plugged in?"):
            is_there, pixels = self._capture.read()
            if is_there:
                now_s = self._clock.now()
                if self._settled_s is not None and now_s >= self._settled_s:
                    self._settled_s = None
                    self._hold_exposure()
                return Frame(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), now_s)
        raise CameraError(f"{self._name} gives no picture any more; is it still plugged in?")

    def close(self) -> None:
        self._capture.release()

    def _hold_exposure(self) -> None:
        exposure = self._capture.get(cv2.CAP_PROP_EXPOSURE)
        self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE)
        if exposure > 0:
            self._capture.set(cv2.CAP_PROP_EXPOSURE, exposure)
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0)


def _suit_lamps(number: int, mains_hz: int) -> None:
    """Have the camera expose for whole periods of the lamps' light; a camera that cannot stays as it is."""
    with contextlib.suppress(OSError):
        device = os.open(DEVICES / f"video{number}", os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(device, _SET_CONTROL, struct.pack("=Ii", _POWER_LINE_FREQUENCY, _POWER_LINES[mains_hz]))
        finally:
            os.close(device)


def _number_now(number: int) -> int:
    """The number of the only USB camera where the camera's own is gone."""
    if (DEVICES / f"video{number}").exists():
        return number
    # udev's links; a camera's further nodes, index 1 and on, give metadata. Some versions link a camera twice.
    there = {link.resolve().name for link in (DEVICES / "v4l" / "by-path").glob("*-usb*-video-index0")}
    if len(there) != 1:
        return number
    found = there.pop()
    log.warning("There is no camera webcam:%d any more; the only USB camera, %s, is taken for it.", number, found)
    return int(found.removeprefix("video"))
