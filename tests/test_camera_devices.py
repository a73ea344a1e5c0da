"""Cameras that this machine need not have: each against a fake that refuses what the real one refuses."""

import os
import struct
import sys
import types
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest

from device import board
from device.camera import CameraReport, picamera, webcam
from device.camera.picamera import ANSWERS_WITHIN_S, SETTLES_S, PiCamera
from device.camera.simulated import SAMPLES
from device.camera.sources import open_source
from device.camera.video import Video
from device.camera.watch import Watch
from device.camera.webcam import Webcam
from device.clock import ManualClock
from device.config import CameraSection
from device.errors import CameraError

SETTINGS = CameraSection()
ORANGE = (250, 120, 10)


def a_video(file: Path, rate_hz: float, frames: int) -> Path:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, (320, 240))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((240, 320, 3), (*ORANGE[2:0:-1], 250 - number), np.uint8))
    writer.release()
    return file


def test_a_video_plays_once_in_its_own_time(tmp_path: Path) -> None:
    clock = ManualClock()
    source = Video(a_video(tmp_path / "tray.avi", 10, 20), SETTINGS, clock)

    frames = list(iter(source.read, None))
    source.close()
    source.close()

    assert len(frames) == 20 and frames[0].pixels.shape == (240, 320, 3)
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 0.1)
    assert np.abs(frames[0].pixels.mean(axis=(0, 1)) - ORANGE).max() < 12


def test_a_video_that_is_faster_than_the_rate_is_thinned_out(tmp_path: Path) -> None:
    source = Video(a_video(tmp_path / "tray.avi", 30, 30), SETTINGS, ManualClock())

    times = [frame.time_s for frame in iter(source.read, None)]

    assert np.allclose(np.diff(times), 1 / 15)


def test_a_video_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="There is no video"):
        open_source(f"video:{tmp_path / 'none.mp4'}", SETTINGS, ManualClock())
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "text.jpg").write_text("no picture either")
    for name in ("text.mp4", "text.jpg"):
        with pytest.raises(CameraError, match=f"{name} is no video that OpenCV can play"):
            open_source(f"video:{tmp_path / name}", SETTINGS, ManualClock())


def test_a_webcam_that_is_not_there_is_told_with_its_device() -> None:
    with pytest.raises(CameraError, match=r"webcam:63 cannot be opened.*/dev/video63"):
        open_source("webcam:63", SETTINGS, ManualClock())


class FakeCapture:
    """cv2.VideoCapture over V4L2: gives BGR, and False once the plug is out."""

    def __init__(self, number: int) -> None:
        self.properties: dict[int, float] = {cv2.CAP_PROP_EXPOSURE: 157.0, cv2.CAP_PROP_AUTO_EXPOSURE: 3.0}
        self.is_plugged_in = True
        self.released = 0

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, key: int, value: float) -> bool:
        self.properties[key] = value
        return True

    def get(self, key: int) -> float:
        return self.properties.get(key, 0.0)

    def read(self) -> tuple[bool, Any]:
        return (True, np.full((480, 640, 3), ORANGE[::-1], np.uint8)) if self.is_plugged_in else (False, None)

    def release(self) -> None:
        self.released += 1


def test_a_webcam_is_asked_for_the_pictures_of_the_settings_and_for_none_that_has_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webcam.cv2, "VideoCapture", FakeCapture)
    told: Any = Webcam(0, CameraSection(width=1280, height=720, rate_hz=10), ManualClock())._capture.properties
    asked = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_BUFFERSIZE)
    assert [told[key] for key in asked] == [1280, 720, 10, 1]


def test_a_webcam_gives_rgb_holds_its_exposure_after_settling_and_tells_when_it_is_pulled_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webcam.cv2, "VideoCapture", FakeCapture)
    clock = ManualClock()
    camera = Webcam(0, SETTINGS, clock)
    capture: Any = camera._capture

    assert camera.read().pixels[0, 0].tolist() == list(ORANGE)
    assert capture.properties[cv2.CAP_PROP_AUTO_EXPOSURE] == 3.0
    clock.sleep(webcam.SETTLES_S)
    camera.read()
    assert capture.properties[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert capture.properties[cv2.CAP_PROP_EXPOSURE] == 157.0 and capture.properties[cv2.CAP_PROP_AUTO_WB] == 0
    capture.set = None
    camera.read()  # and is not told once more

    again: Any = FakeCapture(0)
    again.properties = capture.properties
    monkeypatch.setattr(webcam.cv2, "VideoCapture", lambda _: again)
    Webcam(0, SETTINGS, clock)
    assert again.properties[cv2.CAP_PROP_AUTO_EXPOSURE] == 3 and again.properties[cv2.CAP_PROP_AUTO_WB] == 1

    capture.is_plugged_in = False
    with pytest.raises(CameraError, match="still plugged in"):
        camera.read()
    assert not capture.released
    camera.close()
    assert capture.released
    camera.close()


def test_a_webcam_that_sends_an_empty_picture_which_opencv_cannot_decode_is_told_and_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance, clock = np.random.default_rng(0), ManualClock()
    sent = [np.empty(0, np.uint8)]

    def read(_: FakeCapture) -> tuple[bool, Any]:
        clock.sleep(0.1)
        if sent:
            cv2.imdecode(sent.pop(), cv2.IMREAD_COLOR)  # as OpenCV does with what comes over USB
        return True, chance.integers(0, 200, (480, 640, 3), np.uint8)

    monkeypatch.setattr(FakeCapture, "read", read)
    monkeypatch.setattr(webcam.cv2, "VideoCapture", FakeCapture)
    watch = Watch(Webcam(0, SETTINGS, clock), lambda: Webcam(0, SETTINGS, clock), SETTINGS, clock)
    told: list[CameraReport] = []
    while clock.now() < 10:
        watch.latest(0.1)
        told += watch.reports()

    assert [report.is_over for report in told] == [False, True]
    assert "webcam:0 gives no picture any more" in told[0].message


def test_a_webcam_whose_driver_raises_when_it_is_opened_is_a_camera_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webcam.cv2, "VideoCapture", MagicMock(side_effect=cv2.error("no backend")))
    with pytest.raises(CameraError, match=r"webcam:0 cannot be opened \(no backend\)"):
        Webcam(0, SETTINGS, ManualClock())


@pytest.mark.parametrize(("mains_hz", "line", "node"), [(50, 1, "video0"), (60, 2, "video0"), (50, 1, "video2")])
def test_a_webcam_is_told_the_frequency_of_the_lamps_also_under_another_number(
    mains_hz: int, line: int, node: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[tuple[int, tuple[int, ...]]] = []
    held: list[int] = []

    def ioctl(device: int, code: int, given: bytes) -> None:
        held.append(device)
        told.append((code, struct.unpack("=Ii", given)))

    monkeypatch.setattr(webcam, "DEVICES", tmp_path)
    monkeypatch.setattr(webcam.cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(webcam.fcntl, "ioctl", ioctl)
    (tmp_path / node).touch()
    (tmp_path / "v4l" / "by-path").mkdir(parents=True)
    (tmp_path / "v4l" / "by-path" / "pci-0000:01:00.0-usb-0:1.0:1.0-video-index0").symlink_to(f"../../{node}")

    Webcam(0, CameraSection(mains_hz=mains_hz), ManualClock())

    # VIDIOC_S_CTRL, V4L2_CID_POWER_LINE_FREQUENCY
    assert told == [(3 << 30 | 8 << 16 | ord("V") << 8 | 28, (0x00980000 | 0x900 + 24, line))]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held[0])  # let go, or the camera would come back under another number


@pytest.mark.parametrize(
    ("nodes", "opened"),
    [
        (["video0"], 0),
        (["video2", "video3"], 2),
        (["video0", "video2", "video3"], 0),
        (["video2", "video3", "video4", "video5"], 0),
        ([], 0),
    ],
)
def test_a_webcam_that_comes_back_under_another_number_is_found_where_it_is_the_only_one(
    nodes: list[str], opened: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links = tmp_path / "v4l" / "by-path"
    links.mkdir(parents=True)
    for place, node in enumerate(nodes):
        (tmp_path / node).touch()
        for bus in "usb", "usbv2":
            camera = f"platform-fd500000.pcie-pci-0000:01:00.0-{bus}-0:1.{place // 2}:1.0"
            (links / f"{camera}-video-index{place % 2}").symlink_to(f"../../{node}")
    (tmp_path / "video10").touch()
    (links / "platform-bcm2835-codec-video-index0").symlink_to("../../video10")
    numbers: list[int] = []
    monkeypatch.setattr(webcam, "DEVICES", tmp_path)
    monkeypatch.setattr(webcam.cv2, "VideoCapture", lambda number: numbers.append(number) or FakeCapture(number))

    Webcam(0, SETTINGS, ManualClock())
    Webcam(10, SETTINGS, ManualClock())

    assert numbers == [opened, 10], "one that is there is taken, on USB or not"


class FakePicamera2:
    """picamera2.Picamera2 as far as Pilah uses it: same order of calls, same refusals, same layout of arrays."""

    is_connected = True
    is_silent = False
    metadata: ClassVar[dict[str, Any]] = {
        "ExposureTime": 9000,
        "AnalogueGain": 2.0,
        "ColourGains": (1.5, 1.8),
        "SensorTimestamp": 1,
    }
    sensor_modes: ClassVar[list[dict[str, Any]]] = [
        {"size": (640, 480), "bit_depth": 10, "fps": 206.65, "crop_limits": (1000, 752, 1280, 960)},
        {"size": (3280, 2464), "bit_depth": 10, "fps": 21.19, "crop_limits": (0, 0, 3280, 2464)},
        {"size": (1640, 1232), "bit_depth": 10, "fps": 41.85, "crop_limits": (0, 0, 3280, 2464)},
        {"size": (1920, 1080), "bit_depth": 10, "fps": 47.57, "crop_limits": (680, 692, 1920, 1080)},
    ]
    """Those of Camera Module 2 (IMX219)."""
    camera_controls: ClassVar[dict[str, tuple[Any, Any, Any]]] = {
        "FrameDurationLimits": (47183, 11767556, None),
        "AeFlickerMode": (0, 1, 0),
        "AeFlickerPeriod": (100, 1000000, None),
    }

    def __init__(self) -> None:
        if not self.is_connected:
            raise IndexError("list index out of range")
        self.config: dict[str, Any] | None = None
        self.is_started = self.is_closed = False
        self.held: dict[str, Any] = {}
        self.out = 0

    def create_video_configuration(self, main: Any, lores: Any, sensor: Any, controls: Any) -> dict[str, Any]:
        for stream in (main, lores):
            if stream["size"][0] % 2 or stream["size"][1] % 2:
                raise RuntimeError("width and height should be even")
        if lores["size"] > main["size"]:
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        assert lores["format"] == "YUV420"
        return {"main": main, "lores": lores, "sensor": sensor, "controls": controls}

    def configure(self, config: dict[str, Any]) -> None:
        for name in config["controls"]:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self.config = config

    def start(self) -> None:
        if self.config is None:
            raise RuntimeError("Camera has not been configured")
        self.is_started = True

    def capture_request(self, wait: float) -> "FakeRequest":
        if self.is_silent:
            raise TimeoutError
        assert self.is_started and wait == ANSWERS_WITHIN_S
        self.out += 1
        return FakeRequest(self)

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.held = controls

    def stop(self) -> None:
        self.is_started = False

    def close(self) -> None:
        assert not self.is_started
        self.is_closed = True


class FakeRequest:
    def __init__(self, camera: FakePicamera2) -> None:
        self.camera = camera

    def make_array(self, name: str) -> np.ndarray:
        config = (self.camera.config or {})[name]
        width, height = config["size"]
        picture = np.full((height, width, 3), ORANGE, np.uint8)
        if config["format"] == "BGR888":
            return picture
        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        return np.pad(planes, ((0, 0), (0, -width % 64)))

    def get_metadata(self) -> dict[str, Any]:
        return self.camera.metadata

    def release(self) -> None:
        self.camera.out -= 1


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    camera = type("Picamera2", (FakePicamera2,), {})
    module = types.ModuleType("picamera2")
    module.Picamera2 = camera  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace(name="picamera2")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return camera


def test_the_pis_camera_gives_both_streams_in_rgb_and_returns_each_request(picamera2: Any) -> None:
    camera = PiCamera(SETTINGS, ManualClock())

    frame = camera.read()

    assert frame.pixels.shape == (480, 640, 3) and frame.pixels[9, 9].tolist() == list(ORANGE)
    assert frame.small is not None and frame.small.shape == (240, 320, 3)
    assert np.abs(frame.small[9, 9].astype(int) - ORANGE).max() < 8
    assert camera._camera.out == 0


def test_the_pis_camera_reads_the_whole_sensor_where_it_is_fast_enough(picamera2: Any) -> None:
    camera = PiCamera(SETTINGS, ManualClock())
    assert camera._camera.config["sensor"] == {"output_size": (1640, 1232), "bit_depth": 10}
    fast = PiCamera(CameraSection(rate_hz=45), ManualClock())
    assert fast._camera.config["sensor"]["output_size"] == (1920, 1080)
    picamera2.sensor_modes = picamera2.sensor_modes[1:]
    slow = PiCamera(CameraSection(rate_hz=60), ManualClock())
    assert slow._camera.config["sensor"]["output_size"] == (1640, 1232)
    picamera2.sensor_modes = [{"format": "MJPEG"}]
    assert PiCamera(SETTINGS, ManualClock())._camera.config["sensor"] == {}


def test_a_lens_with_a_motor_focuses_on_the_tray_and_not_on_what_is_a_metre_away(picamera2: Any) -> None:
    assert "LensPosition" not in PiCamera(SETTINGS, ManualClock())._camera.config["controls"], "Module 2 has none"
    picamera2.camera_controls = {**picamera2.camera_controls, "AfMode": (0, 2, 0), "LensPosition": (0.0, 10.0, 1.0)}
    for distance_m, dioptres in ((0.4, 2.5), (0.08, 10.0)):
        controls = PiCamera(CameraSection(distance_m=distance_m), ManualClock())._camera.config["controls"]
        assert (controls["AfMode"], controls["LensPosition"]) == (0, dioptres)


def test_exposures_last_whole_periods_of_the_lamps_where_the_camera_can_do_so(picamera2: Any) -> None:
    for mains_hz, period_us in ((50, 10000), (60, 8333)):
        controls = PiCamera(CameraSection(mains_hz=mains_hz), ManualClock())._camera.config["controls"]
        assert (controls["AeFlickerMode"], controls["AeFlickerPeriod"]) == (1, period_us)
    picamera2.camera_controls = {"FrameDurationLimits": (47183, 11767556, None)}
    assert PiCamera(SETTINGS, ManualClock())._camera.config["controls"] == {"FrameDurationLimits": (66667, 66667)}


def test_a_picamera2_that_does_not_suit_numpy_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mismatched(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ValueError("numpy.dtype size changed")

    monkeypatch.setitem(sys.modules, "picamera2", Mismatched("picamera2"))
    with pytest.raises(CameraError, match=r"does not suit the numpy .*: sudo make install once more\."):
        PiCamera(SETTINGS, ManualClock())


def test_the_pis_camera_gives_frames_that_are_smaller_than_its_small_ones(picamera2: Any) -> None:
    frame = PiCamera(CameraSection(width=160, height=120), ManualClock()).read()
    assert frame.small is not None and frame.small.shape == frame.pixels.shape == (120, 160, 3)


def test_the_pis_camera_holds_exposure_and_white_balance_once_they_have_settled(picamera2: Any) -> None:
    clock = ManualClock()
    camera = PiCamera(SETTINGS, clock)

    camera.read()
    before = dict(camera._camera.held)
    clock.sleep(SETTLES_S)
    camera.read()

    assert before == {}
    assert camera._camera.held == {"ExposureTime": 9000, "AnalogueGain": 2.0, "ColourGains": (1.5, 1.8)}
    camera._camera.set_controls = None
    camera.read()  # and is not told once more


def test_a_camera_on_the_ribbon_that_sees_no_colours_holds_its_exposure(picamera2: Any) -> None:
    picamera2.metadata = {"ExposureTime": 9000, "AnalogueGain": 2.0}
    clock = ManualClock()
    camera = PiCamera(SETTINGS, clock)
    clock.sleep(SETTLES_S)
    camera.read()
    assert camera._camera.held == picamera2.metadata


def test_a_pis_camera_that_could_not_be_started_is_let_go_for_the_next_try(picamera2: Any) -> None:
    picamera2.camera_controls = {}
    picamera2.close = MagicMock()
    with pytest.raises(CameraError, match="is not advertised by libcamera"):
        PiCamera(SETTINGS, ManualClock())
    picamera2.close.assert_called_once()


def test_a_pis_camera_that_does_not_stop_is_let_go_all_the_same(picamera2: Any) -> None:
    picamera2.stop, picamera2.close = MagicMock(side_effect=RuntimeError), MagicMock()
    PiCamera(SETTINGS, ManualClock()).close()
    picamera2.close.assert_called_once()


def test_a_pi_without_its_camera_or_with_one_that_falls_silent_says_so(picamera2: Any) -> None:
    camera = PiCamera(SETTINGS, ManualClock())
    fake = camera._camera
    picamera2.is_silent = True
    with pytest.raises(CameraError, match="gives no picture any more"):
        camera.read()
    camera.close()
    camera.close()
    assert fake.is_closed

    picamera2.is_connected = False
    with pytest.raises(CameraError, match=r"cannot be opened.*ribbon cable"):
        PiCamera(SETTINGS, ManualClock())


@pytest.mark.parametrize("part", ["capture_request", "set_controls", "start", "create_video_configuration"])
def test_whatever_the_pis_camera_s_driver_raises_is_told_as_a_fault_of_the_camera(
    part: str, picamera2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    camera = PiCamera(SETTINGS, clock)
    picamera2.close = MagicMock(side_effect=ValueError("mad as well"))
    monkeypatch.setattr(picamera2, part, MagicMock(side_effect=ValueError("the driver is mad")))
    clock.sleep(SETTLES_S)
    if part in ("capture_request", "set_controls"):
        with pytest.raises(CameraError, match=r"gives no picture any more \(the driver is mad\)"):
            camera.read()
        assert camera._camera.out == 0
    else:
        with pytest.raises(CameraError, match=r"cannot be opened \(the driver is mad\)"):
            PiCamera(SETTINGS, clock)
        picamera2.close.assert_called_once()
    camera.close()


def test_without_picamera2_the_camera_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)

    with pytest.raises(CameraError, match="sudo apt install python3-picamera2"):
        PiCamera(SETTINGS, ManualClock())


def test_auto_is_the_pis_camera_where_picamera2_is_installed(picamera2: Any) -> None:
    assert isinstance(open_source("auto", SETTINGS, ManualClock()), PiCamera)


def test_auto_never_plays_drawn_waste_to_the_lids_of_a_pi_that_lacks_picamera2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    model = tmp_path / "model"
    model.write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    monkeypatch.setattr(board, "_MODEL", model)
    monkeypatch.setattr(picamera, "is_installed", lambda: False)
    with pytest.raises(CameraError, match="sudo apt install python3-picamera2"):
        open_source("auto", SETTINGS, ManualClock())


@pytest.mark.skipif(not any(SAMPLES.glob("*/*.png")), reason="there are no samples yet")
def test_auto_is_the_simulated_tray_elsewhere() -> None:
    assert type(open_source("auto", SETTINGS, ManualClock())).__name__ == "SimulatedTray"
