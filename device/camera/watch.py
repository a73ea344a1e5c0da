"""Keeps an eye on a camera: notices that it is gone, frozen, black or white, says so, and opens it again for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from device.camera import CameraReport, Frame, FrameSource, Tray
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError

log = logging.getLogger(__name__)

Trouble = Literal["same", "black", "white"]
RECOVERS = 3
"""Good frames on end that a camera must show after a fault: a frozen one shows a single new one when it is opened."""
BLACK_LEVEL = 6
"""Out of 255. A sensor in the dark still shows noise and a hot pixel or two; a dead link shows 0."""
WHITE_LEVEL = 252
"""Out of 255, of each colour. Well exposed white paper stays below 250; compression takes a level or two from 255."""
WHITE_PART = 0.9
"""So much of a white picture hides what lies there; a glare hides less."""
_SENTENCES: dict[Trouble, str] = {
    "same": "The camera is frozen: it has given the same picture for {s:g} s.",
    "black": "The camera has given black pictures for {s:g} s; is its lens covered, or the light off?",
    "white": "The camera has given white pictures for {s:g} s; does the sun or a lamp shine at its lens or the tray?",
}


class CameraHealth:
    """Decides from what is the matter with frames whether the camera is well, and when to open it again.

    A state machine over plain values and a given time. A camera is ill when no good frame came for `lost_after_s`;
    it is opened again after `reopen_after_s`, twice that, and so on up to `reopen_at_most_s`, and each time it has
    `lost_after_s` to show good frames. The third on end ends the fault.
    """

    def __init__(self, settings: CameraSection, now_s: float) -> None:
        self._settings = settings
        self._patience_from_s = now_s
        self._attempts = 0
        self._good = 0
        self.is_ill = False
        self.reopen_at_s: float | None = None

    def saw(self, trouble: Trouble | None, now_s: float) -> CameraReport | None:
        """Take note of a frame and what is the matter with it; the report, where that changes the camera's health."""
        self._good = self._good + 1 if trouble is None else 0
        if self._good >= (RECOVERS if self.is_ill else 1):
            was_ill, self.is_ill = self.is_ill, False
            self._patience_from_s, self._attempts = now_s, 0
            return CameraReport("The camera gives pictures again.", is_over=True) if was_ill else None
        if trouble is not None and now_s - self._patience_from_s >= self._settings.lost_after_s:
            return self.failed(_SENTENCES[trouble].format(s=self._settings.lost_after_s), now_s)
        return None

    def failed(self, message: str, now_s: float) -> CameraReport | None:
        """The camera was given up: plan to open it again. Tells so once per fault."""
        delay_s = self._settings.reopen_after_s * 2.0 ** min(self._attempts, 30)
        self.reopen_at_s = now_s + min(delay_s, self._settings.reopen_at_most_s)
        self._attempts += 1
        was_ill, self.is_ill = self.is_ill, True
        return None if was_ill else CameraReport(message)

    def opened(self, now_s: float) -> None:
        """The camera was opened again and has `lost_after_s` to show a good frame."""
        self._patience_from_s, self.reopen_at_s = now_s, None


class Watch:
    """Reads a source in the caller's own thread, and keeps it alive.

    `reopen` opens the source anew and raises `CameraError` while that fails; without a `source` it is the first to.
    """

    def __init__(
        self, source: FrameSource | None, reopen: Callable[[], FrameSource], settings: CameraSection, clock: Clock
    ) -> None:
        self.has_ended = False
        self._source = source
        self._reopen = reopen
        self._clock = clock
        self._health = CameraHealth(settings, clock.now())
        self._reports: list[CameraReport] = []
        self._is_lid_open: bool | None = None
        self._last: NDArray[np.uint8] | None = None

    @property
    def is_ill(self) -> bool:
        return self._health.is_ill

    def latest(self, timeout_s: float) -> Frame | None:
        if self.has_ended:
            return None
        now_s = self._clock.now()
        if self._source is None:
            due_s = now_s if self._health.reopen_at_s is None else self._health.reopen_at_s
            if now_s < due_s:
                self._clock.sleep(min(timeout_s, due_s - now_s))
                return None
            self._open()
        return self._read()

    def reports(self) -> list[CameraReport]:
        reports, self._reports = self._reports, []
        return reports

    def lid_opened(self) -> None:
        self._is_lid_open = True
        self._tell_tray()

    def lid_closed(self) -> None:
        self._is_lid_open = False
        self._tell_tray()

    def close(self) -> None:
        source, self._source, self.has_ended = self._source, None, True
        if source is not None:
            source.close()

    def _open(self) -> None:
        try:
            self._source = self._reopen()
        except CameraError as fault:
            self._tell(self._health.failed(str(fault), self._clock.now()))
        else:
            self._tell_tray()  # of what a lid did while nobody was there to hear
            self._health.opened(self._clock.now())

    def _read(self) -> Frame | None:
        source = self._source
        if source is None:
            return None
        try:
            frame = source.read()
        except CameraError as fault:
            self._tell(self._health.failed(str(fault), self._clock.now()))
            self._give_up(source)
            return None
        if frame is None:
            self.has_ended = True
            return None
        trouble = self._trouble(frame) if source.is_sensor else None
        self._tell(self._health.saw(trouble, self._clock.now()))
        if self._health.reopen_at_s is not None:
            self._give_up(source)
        return frame if trouble is None and not self._health.is_ill else None

    def _trouble(self, frame: Frame) -> Trouble | None:
        sparse = frame.pixels[::8, ::8].copy()
        last, self._last = self._last, sparse
        if int(sparse.max()) <= BLACK_LEVEL:
            return "black"
        if np.mean(np.all(sparse >= WHITE_LEVEL, axis=2)) >= WHITE_PART:
            return "white"
        return "same" if last is not None and np.array_equal(sparse, last) else None

    def _give_up(self, source: FrameSource) -> None:
        self._source = None
        source.close()

    def _tell_tray(self) -> None:
        if self._is_lid_open is not None and isinstance(source := self._source, Tray):
            (source.lid_opened if self._is_lid_open else source.lid_closed)()

    def _tell(self, report: CameraReport | None) -> None:
        if report is not None:
            self._reports.append(report)
            log.warning("%s", report.message)
