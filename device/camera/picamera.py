"""The Raspberry Pi's own camera, through picamera2."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera import Frame, driver_faults
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError

SMALL = (320, 240)
"""Width and height of the second stream: enough for presence, and a width that the hardware needs no padding for."""
SETTLES_S = 2.0
ANSWERS_WITHIN_S = 2.0
_HELD = ("ExposureTime", "AnalogueGain", "ColourGains")
_FOCUS_MANUAL = 0
_FLICKER_MANUAL = 1
"""libcamera's AfModeManual and AeFlickerManual; its own names need its module, which is not there in tests."""


def is_installed() -> bool:
    """Whether picamera2 is there; nothing is imported."""
    return importlib.util.find_spec("picamera2") is not None


class PiCamera:
    """A camera on the Pi's ribbon connector.

    The whole sensor is read out, for a tray fills the view; left to itself, the sensor would read its middle alone,
    which suits a small picture. The image processor scales each frame twice: `pixels` for the classifier, `small` for
    presence. Exposure and white balance find their values in the first two seconds and are then held: a bright thing on
    the tray would otherwise darken the whole picture. A lens with a motor stays focused on the tray.

    >>> camera = PiCamera(CameraSection(), SystemClock())       # doctest: +SKIP
    >>> camera.read().small.shape                               # doctest: +SKIP
    (240, 320, 3)
    """

    is_sensor = True

    def __init__(self, settings: CameraSection, clock: Clock) -> None:
        """Raises `CameraError` where picamera2 or the camera is missing, or another program has it."""
        try:
            from picamera2 import Picamera2
        except ValueError as fault:
            # "numpy.dtype size changed": the system's picamera2 was compiled against another numpy.
            raise CameraError(
                f"picamera2 does not suit the numpy that Pilah was installed with ({fault}): sudo make install once "
                "more."
            ) from fault
        except ImportError as fault:
            raise CameraError(
                "The camera needs picamera2, which is not installed; on Raspberry Pi OS: sudo apt install "
                "python3-picamera2."
            ) from fault
        self._clock = clock
        self._camera: Any = None
        self._small = (min(SMALL[0], settings.width), min(SMALL[1], settings.height))
        try:
            with driver_faults(
                "The Pi's camera cannot be opened ({}); check its ribbon cable, and that nobody else uses it."
            ):
                self._camera = Picamera2()
                self._start(settings)
        except CameraError:
            self.close()
            raise
        self._settled_s: float | None = clock.now() + SETTLES_S

    def _start(self, settings: CameraSection) -> None:
        period_us = round(1_000_000 / settings.rate_hz)
        mode = whole_view(self._camera.sensor_modes, settings.rate_hz)
        sensor = {} if mode is None else {"output_size": mode["size"], "bit_depth": mode["bit_depth"]}
        self._camera.configure(
            self._camera.create_video_configuration(
                sensor=sensor,
                main={"size": (settings.width, settings.height), "format": "BGR888"},
                lores={"size": self._small, "format": "YUV420"},
                controls={"FrameDurationLimits": (period_us, period_us)}
                | exposure_and_focus(self._camera.camera_controls, settings),
            )
        )
        self._camera.start()

    def read(self) -> Frame:
        with driver_faults("The Pi's camera gives no picture any more ({}); check its ribbon cable."):
            return self._read()

    def _read(self) -> Frame:
        request = self._camera.capture_request(wait=ANSWERS_WITHIN_S)
        try:
            # libcamera names formats from the last byte to the first: BGR888 lies in memory as red, green, blue.
            pixels = np.asarray(request.make_array("main"), np.uint8)
            small = _rgb(np.asarray(request.make_array("lores"), np.uint8), self._small[0])
            metadata = request.get_metadata()
        finally:
            request.release()
        now_s = self._clock.now()
        if self._settled_s is not None and now_s >= self._settled_s:
            self._settled_s = None
            # Values of their own switch the automatic control off; AeEnable would take what was in force before them.
            self._camera.set_controls({name: metadata[name] for name in _HELD if name in metadata})
        return Frame(pixels, now_s, small=small)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            for let_go in (camera.stop, camera.close):
                with contextlib.suppress(CameraError), driver_faults("{}"):  # the camera may have gone meanwhile
                    let_go()


def exposure_and_focus(advertised: Mapping[str, Sequence[Any]], settings: CameraSection) -> dict[str, Any]:
    """What this camera can be told of its lamps and its distance (libcamera's AeFlicker… and LensPosition).

    `advertised`: `Picamera2.camera_controls`, the least and the greatest value of each control. picamera2 leaves a lens
    with a motor where its tuning puts it, about a metre away. Exposures shorter than a period flicker all the same.
    """
    controls: dict[str, Any] = {}
    if "AeFlickerPeriod" in advertised:
        controls |= {"AeFlickerMode": _FLICKER_MANUAL, "AeFlickerPeriod": round(1_000_000 / (2 * settings.mains_hz))}
    if "LensPosition" in advertised:
        least, greatest, *_ = advertised["LensPosition"]
        dioptres = min(max(1 / settings.distance_m, least), greatest)
        controls |= {"AfMode": _FOCUS_MANUAL, "LensPosition": dioptres}
    return controls


def whole_view(modes: Sequence[Mapping[str, Any]], rate_hz: float) -> Mapping[str, Any] | None:
    """The smallest of a sensor's modes that sees most and is fast enough, or None where no mode tells (a USB camera).

    `modes`: `Picamera2.sensor_modes`; `crop_limits` is the part of the sensor that a mode reads (left, top, width,
    height). Where none is fast enough, all count.
    """
    told = [mode for mode in modes if "crop_limits" in mode]
    fast = [mode for mode in told if mode["fps"] >= rate_hz] or told
    return min(fast, key=lambda mode: (-math.prod(mode["crop_limits"][2:]), math.prod(mode["size"])), default=None)


def _rgb(planes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """(3/2·h, stride) planes of YUV420 → (h, width, 3) RGB."""
    return np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)[:, :width], dtype=np.uint8)
