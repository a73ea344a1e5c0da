"""A camera in a thread of its own: the loop takes the newest frame, and a driver that hangs is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from device.camera import CameraReport, Frame, FrameSource
from device.camera.watch import Watch
from device.clock import Clock
from device.config import CameraSection
from device.errors import CameraError

SLEEP_S = 0.05
CLOSES_WITHIN_S = 0.4


class Grabber:
    """Reads a source in a thread of its own and hands over the newest frame; a slow taker never sees old ones.

    The thread starts with the first frame that is asked for: the empty tray that `images:` and `video:` begin with
    would be over before a slow Pi's loop turns.

    Notices what a reader in the caller's thread cannot: a driver whose read never returns.
    """

    def __init__(
        self, source: FrameSource | None, reopen: Callable[[], FrameSource], settings: CameraSection, clock: Clock
    ) -> None:
        self.has_ended = False
        self._watch = Watch(source, reopen, settings, clock)
        self._settings = settings
        self._clock = clock
        self._condition = threading.Condition()
        self._newest: Frame | None = None
        self._returned_s = clock.now()
        self._hangs = False
        self._reports: list[CameraReport] = []
        self._stopped = False
        self._thread: threading.Thread | None = None

    def latest(self, timeout_s: float) -> Frame | None:
        if self._thread is None:
            self._returned_s = self._clock.now()
            self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
            self._thread.start()
        with self._condition:
            self._condition.wait_for(lambda: self._newest is not None or self._stopped, timeout_s)
            frame, self._newest = self._newest, None
            if frame is None and self._stopped:
                self.has_ended = True
            self._notice_hang()
        return frame

    def reports(self) -> list[CameraReport]:
        with self._condition:
            reports, self._reports = self._reports, []
        return reports

    def lid_opened(self) -> None:
        self._watch.lid_opened()

    def lid_closed(self) -> None:
        self._watch.lid_closed()

    def close(self) -> None:
        with self._condition:
            self._stopped = True
        if self._thread is not None:
            self._thread.join(CLOSES_WITHIN_S)
        if self._thread is None or not self._thread.is_alive():
            self._watch.close()

    def _grab(self) -> None:
        while not self._stopped:
            frame = self._watch.latest(SLEEP_S)
            with self._condition:
                self._returned_s = self._clock.now()
                if self._hangs and not self._watch.is_ill:
                    self._reports.append(CameraReport("The camera answers again.", is_over=True))
                self._hangs = False
                self._reports += self._watch.reports()
                if frame is not None:
                    self._newest = frame
                if self._watch.has_ended:
                    self._stopped = True
                self._condition.notify_all()

    def _notice_hang(self) -> None:
        if self._stopped:
            return
        if self._thread is not None and not self._thread.is_alive():
            raise CameraError("The camera's thread has ended unexpectedly; the log tells why.")
        silent_s = self._clock.now() - self._returned_s
        if silent_s < self._settings.lost_after_s:
            return
        given_up_s = self._settings.lost_after_s + self._settings.reopen_at_most_s
        if silent_s > given_up_s:
            raise CameraError(
                f"The camera's driver has not answered for over {given_up_s:g} s; Pilah must be started again."
            )
        if not self._hangs:
            self._hangs = True
            self._reports.append(CameraReport(f"The camera has not answered for {self._settings.lost_after_s:g} s."))
