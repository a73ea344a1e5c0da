import logging
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from device.camera import Frame, Tray
from device.camera.images import ImageFolder
from device.camera.sources import open_source
from device.clock import ManualClock
from device.config import CameraSection, PresenceSection, RegionSection
from device.errors import CameraError
from device.pictures import read_picture
from device.presence import Presence
from device.sight import crop_object
from tests.drawn import a_picture, encoded, save


def opened(folder: Path) -> ImageFolder:
    return ImageFolder(folder, CameraSection(), ManualClock())


def all_frames(source: ImageFolder) -> list[Frame]:
    return list(iter(source.read, None))


def test_each_picture_comes_once_in_order_with_an_empty_tray_between(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.png", "a/1.png"):
        save(a_picture(), tmp_path / name)

    files = [file for file, _ in groupby(frame.file for frame in all_frames(opened(tmp_path)))]

    named = [str(tmp_path / name) for name in ("a/1.png", "a/2.png", "b.jpg")]
    assert files == [None, named[0], None, named[1], None, named[2], None]


def test_frames_come_at_the_rate_that_the_configuration_asks_for(tmp_path: Path) -> None:
    save(a_picture(), tmp_path / "one.png")

    times = np.array([frame.time_s for frame in all_frames(opened(tmp_path))])

    assert np.allclose(np.diff(times), 1 / CameraSection().rate_hz)


def test_a_picture_falls_when_a_lid_opens_and_the_next_waits_for_the_lid_to_close(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        save(a_picture(), tmp_path / name)
    source = opened(tmp_path)
    assert isinstance(source, Tray)

    shown = next(frame for frame in iter(source.read, None) if frame.file is not None and frame.time_s > 1.2)
    source.lid_opened()
    gone = next(frame for frame in iter(source.read, None) if frame.file is None)
    waiting = [source.read() for _ in range(100)]
    source.lid_closed()
    second = next(frame for frame in iter(source.read, None) if frame.file is not None)

    assert shown.file == str(tmp_path / "1.png") and gone.time_s - shown.time_s < 0.6
    assert all(frame is not None and frame.file is None for frame in waiting)
    assert second.file == str(tmp_path / "2.png")


def test_a_picture_for_which_no_lid_opens_leaves_after_a_while(tmp_path: Path) -> None:
    save(a_picture(), tmp_path / "1.png")

    lying = [frame.time_s for frame in all_frames(opened(tmp_path)) if frame.file is not None]

    longest_s = CameraSection().lies_at_most_s
    assert longest_s < lying[-1] - lying[0] < longest_s + 1


@pytest.mark.parametrize("size", [(256, 341), (341, 256), (100, 100), (480, 640), (37, 90)])
def test_presence_hands_the_classifier_the_picture_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    names = [f"{number}.jpg" for number in range(4)]
    for seed, name in enumerate(names):
        save(a_picture(*size, seed=seed), tmp_path / name)
    save(np.full((*size, 3), 245, np.uint8), tmp_path / "white.png")
    source, presence = opened(tmp_path), Presence(PresenceSection(), RegionSection())

    ids: dict[str | None, set[int | None]] = {}
    for frame in iter(source.read, None):
        sighting = presence.update(frame)
        if sighting.state == "still":
            ids.setdefault(frame.file, set()).add(sighting.object_id)
            assert np.array_equal(crop_object([frame], sighting), read_picture(Path(frame.file or "")))
            source.lid_opened()
        if sighting.state == "empty":
            source.lid_closed()

    assert ids == {str(tmp_path / name): {number + 1} for number, name in enumerate([*names, "white.png"])}


def test_a_large_picture_is_shrunk_so_that_a_pi_can_move_it(tmp_path: Path) -> None:
    save(a_picture(1500, 2000), tmp_path / "large.jpg")

    assert opened(tmp_path).read().pixels.shape == (960, 1280, 3)


def test_broken_pictures_are_left_out_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    save(a_picture(), tmp_path / "2.png")
    (tmp_path / "3.jpg").write_bytes(encoded(".jpg")[:2000])

    with caplog.at_level(logging.WARNING):
        files = {frame.file for frame in all_frames(opened(tmp_path))}

    assert files == {None, str(tmp_path / "2.png")}
    assert "1.jpg is no JPEG" in caplog.text and "3.jpg is truncated" in caplog.text


def test_a_folder_that_is_missing_or_empty_or_broken_throughout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="There is no folder"):
        opened(tmp_path / "none")
    with pytest.raises(CameraError, match="holds no picture"):
        opened(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(CameraError, match="holds 1 picture, of which none can be read"):
        opened(tmp_path)


def test_closing_twice_is_fine_and_ends_the_source(tmp_path: Path) -> None:
    save(a_picture(), tmp_path / "1.png")
    source = open_source(f"images:{tmp_path}", CameraSection(), ManualClock())

    source.close()
    source.close()

    assert source.read() is None


@pytest.mark.parametrize("spec", ["", "webcam:x", "video", "video:", "images:", "simulated:1", "kinect"])
def test_an_unknown_source_is_told_with_all_that_there_are(spec: str) -> None:
    with pytest.raises(CameraError, match="may be one of auto, picamera2"):
        open_source(spec, CameraSection(), ManualClock())
