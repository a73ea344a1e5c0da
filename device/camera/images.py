"""A folder of pictures, dropped on the tray one after the other."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.camera import Frame
from device.clock import Clock
from device.config import CameraSection
from device.counting import counted
from device.errors import CameraError, PictureError
from device.pictures import picture_files, read_picture, shrunk

log = logging.getLogger(__name__)

EMPTY_S = 0.6
ARRIVES_S = 0.3
LEAVES_S = 0.3
LONG_SIDE_AT_MOST = 1280


class ImageFolder:
    """Drops each picture of a folder on the tray: it slides in, lies still, falls when a lid opens, and so on.

    A picture fills the frame, which takes the picture's own format, so that the classifier is shown in the loop what
    `pilah classify` shows it; only what is longer than 1280 pixels is shrunk to that. The empty tray is spotted: every
    picture differs from it. The folder is played once, in the order of its paths.

    >>> source = ImageFolder(Path("photos"), CameraSection(), SystemClock())    # doctest: +SKIP
    >>> source.read().file                                                     # doctest: +SKIP
    'photos/bottle.jpg'
    """

    is_sensor = False

    def __init__(self, folder: Path, settings: CameraSection, clock: Clock) -> None:
        """Raises `CameraError` where the folder is missing or holds no picture that can be read.

        Single files that cannot be read are left out, with a warning in the log.
        """
        try:
            files = picture_files(folder)
        except PictureError as fault:
            raise CameraError(f"camera.source images:{folder}: {fault}") from fault
        if not files:
            raise CameraError(f"The folder {folder} holds no picture (JPEG, PNG or WebP).")
        pictures = _readable(files)
        first = next(pictures, None)
        if first is None:
            raise CameraError(f"{folder} holds {counted(len(files), 'picture')}, of which none can be read.")
        self._pictures = itertools.chain([first], pictures)
        self._settings = settings
        self._clock = clock
        self._lid_open = threading.Event()
        self._bin_busy = threading.Event()
        self._next_s: float | None = None
        self._frames = self._play()

    def read(self) -> Frame | None:
        """The next frame, `rate_hz` a second; None after the last picture has left."""
        now_s = self._clock.now()
        if self._next_s is not None:
            self._clock.sleep(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s or now_s) + 1 / self._settings.rate_hz
        shown = next(self._frames, None)
        if shown is None:
            return None
        pixels, file = shown
        return Frame(pixels, self._clock.now(), None if file is None else str(file))

    def lid_opened(self) -> None:
        self._bin_busy.set()
        self._lid_open.set()

    def lid_closed(self) -> None:
        self._bin_busy.clear()

    def close(self) -> None:
        self._frames.close()

    def _play(self) -> Generator[tuple[NDArray[np.uint8], Path | None], None, None]:
        for file, picture in self._pictures:
            tray = _patterned(*picture.shape[:2])
            yield from self._wait(tray)
            yield from self._drop(picture, tray, file)
        yield from self._wait(tray)

    def _wait(self, tray: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], None]]:
        until_s = self._clock.now() + EMPTY_S
        while self._clock.now() < until_s or self._bin_busy.is_set():
            yield tray, None

    def _drop(
        self, picture: NDArray[np.uint8], tray: NDArray[np.uint8], file: Path
    ) -> Iterator[tuple[NDArray[np.uint8], Path | None]]:
        for part in self._progress(ARRIVES_S):
            yield _slid(tray, picture, part), file
        self._lid_open.clear()
        until_s = self._clock.now() + self._settings.lies_at_most_s
        while self._clock.now() < until_s and not self._lid_open.is_set():
            yield picture, file
        for part in self._progress(LEAVES_S):
            yield _slid(picture, tray, part), file

    def _progress(self, duration_s: float) -> Iterator[float]:
        start_s = self._clock.now()
        while (part := (self._clock.now() - start_s) / duration_s) < 1:
            yield part


def _readable(files: list[Path]) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    for file in files:
        try:
            picture = read_picture(file)
            yield file, shrunk(picture, LONG_SIDE_AT_MOST / max(picture.shape[:2]))
        except PictureError as fault:
            log.warning("%s It is left out.", fault)


def _patterned(height: int, width: int) -> NDArray[np.uint8]:
    """A tray like no picture: bright and dark spots, soft ones, so that it looks the same in every format."""
    rows = np.sin(np.linspace(0, 6 * 2 * np.pi, height, dtype=np.float32))[:, None, None]
    columns = np.sin(np.linspace(0, 8 * 2 * np.pi, width, dtype=np.float32))[None, :, None]
    return np.asarray(128 + rows * columns * np.array([100, 70, -100], np.float32), np.uint8)


def _slid(below: NDArray[np.uint8], above: NDArray[np.uint8], part: float) -> NDArray[np.uint8]:
    """`above` slid over `below` from the top edge by `part` (0 … 1) of the height."""
    rows = round(below.shape[0] * part)
    shown = below.copy()
    if rows:
        shown[:rows] = above[-rows:]
    return shown
