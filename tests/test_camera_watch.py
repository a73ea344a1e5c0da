import threading
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.camera import CameraReport, Frame
from device.camera.grabber import Grabber
from device.camera.images import ImageFolder
from device.camera.simulated import Fault, SimulatedTray, TrayLife
from device.camera.watch import RECOVERS, CameraHealth, Trouble, Watch
from device.clock import ManualClock
from device.config import CameraSection
from device.errors import CameraError
from tests.drawn import a_picture, save

SETTINGS = CameraSection()
NOTHING_HAPPENS = TrayLife(gap_s=None, passers_per_minute=0, lamps_per_minute=0, drift_per_minute=0)


def watched(clock: ManualClock) -> tuple[SimulatedTray, Watch]:
    tray = SimulatedTray(SETTINGS, clock, life=NOTHING_HAPPENS)
    return tray, Watch(tray, tray.reopen, SETTINGS, clock)


def run(watch: Watch, clock: ManualClock, duration_s: float) -> list[tuple[float, CameraReport | Frame]]:
    """All frames and reports of a while, with their times."""
    seen: list[tuple[float, CameraReport | Frame]] = []
    until_s = clock.now() + duration_s
    while clock.now() < until_s:
        frame = watch.latest(0.1)
        seen += [(clock.now(), one) for one in (frame, *watch.reports()) if one is not None]
    return seen


@pytest.mark.parametrize(
    ("fault", "says"), [("gone", "pulled out"), ("frozen", "frozen"), ("black", "black"), ("white", "white")]
)
def test_a_camera_out_of_order_is_noticed_within_3_s_and_the_loop_resumes_by_itself(fault: Fault, says: str) -> None:
    clock = ManualClock()
    tray, watch = watched(clock)
    run(watch, clock, 5)
    broken_s = clock.now()
    tray.fail(fault, 60)

    seen = run(watch, clock, 140)

    reports = [(time_s, one) for time_s, one in seen if isinstance(one, CameraReport)]
    frames = [(time_s, one) for time_s, one in seen if isinstance(one, Frame)]
    assert [report.is_over for _, report in reports] == [False, True]
    assert says in reports[0][1].message
    assert reports[0][0] - broken_s <= SETTINGS.lost_after_s + 0.2
    assert not [time_s for time_s, _ in frames if broken_s + 0.1 < time_s < broken_s + 60]
    assert frames[-1][0] - frames[-2][0] < 0.1


def test_a_tray_whose_camera_was_lost_hears_that_the_lid_has_closed_meanwhile() -> None:
    clock = ManualClock()
    tray = SimulatedTray(SETTINGS, clock, life=TrayLife(gap_s=1.0, passers_per_minute=0))
    watch = Watch(tray, tray.reopen, SETTINGS, clock)
    run(watch, clock, 5)
    watch.lid_opened()
    tray.fail("gone", 10)
    run(watch, clock, 5)
    watch.lid_closed()
    run(watch, clock, 20)
    assert len(tray.history) >= 2, "the next thing is dropped"


def test_a_healthy_camera_gives_a_frame_at_each_turn_and_no_report() -> None:
    clock = ManualClock()
    _, watch = watched(clock)

    seen = run(watch, clock, 60)

    assert len(seen) == pytest.approx(60 * SETTINGS.rate_hz, abs=2)
    assert all(isinstance(one, Frame) for _, one in seen)


def test_a_white_tray_in_bright_light_is_no_fault_nor_is_a_glare_on_most_of_it() -> None:
    clock, chance = ManualClock(), np.random.default_rng(0)

    class Bright:
        is_sensor = True

        def read(self) -> Frame:
            clock.sleep(0.1)
            pixels = np.clip(chance.normal(245, 3, (120, 160, 3)), 0, 255)
            pixels[:90] = 255
            return Frame(pixels.astype(np.uint8), clock.now())

        def close(self) -> None:
            pass

    watch = Watch(Bright(), Bright, SETTINGS, clock)

    assert all(isinstance(one, Frame) for _, one in run(watch, clock, 10))


def test_equal_pictures_of_a_folder_are_not_taken_for_a_frozen_camera(tmp_path: Path) -> None:
    clock = ManualClock()
    save(a_picture(), tmp_path / "1.png")
    source = ImageFolder(tmp_path, SETTINGS, clock)
    watch = Watch(source, lambda: source, SETTINGS, clock)

    seen = run(watch, clock, 8)

    assert not [one for _, one in seen if isinstance(one, CameraReport)]


def test_the_end_of_a_source_ends_the_watch(tmp_path: Path) -> None:
    clock = ManualClock()
    save(a_picture(), tmp_path / "1.png")
    source = ImageFolder(tmp_path, SETTINGS, clock)
    watch = Watch(source, lambda: source, SETTINGS, clock)

    while watch.latest(0.1) is not None:
        pass

    assert watch.has_ended and watch.latest(0.1) is None
    watch.close()
    watch.close()


def test_a_lid_that_opens_reaches_the_tray() -> None:
    clock = ManualClock()
    tray, watch = watched(clock)
    tray.drop("metal")
    run(watch, clock, 3)

    watch.lid_opened()
    run(watch, clock, 2)

    assert tray.history[-1].left_s == pytest.approx(3.0, abs=0.5)


def test_a_camera_that_is_not_there_yet_is_told_and_opened_once_it_is() -> None:
    clock = ManualClock()
    tray = SimulatedTray(SETTINGS, clock, life=NOTHING_HAPPENS)

    def reopen() -> SimulatedTray:
        if clock.now() < 20:
            raise CameraError("No camera yet.")
        return tray

    seen = run(Watch(None, reopen, SETTINGS, clock), clock, 60)

    reports = [(time_s, one) for time_s, one in seen if isinstance(one, CameraReport)]
    assert [(one.message, one.is_over) for _, one in reports] == [
        ("No camera yet.", False),
        ("The camera gives pictures again.", True),
    ]
    assert reports[0][0] < 0.2
    assert min(time_s for time_s, one in seen if isinstance(one, Frame)) >= 20


def test_a_lost_camera_is_tried_again_later_and_later_but_for_ever() -> None:
    clock = ManualClock()
    tries: list[float] = []

    def fails() -> SimulatedTray:
        tries.append(clock.now())
        raise CameraError("Still no camera.")

    tray, _ = watched(clock)
    tray.fail("gone", 1)
    watch = Watch(tray, fails, SETTINGS, clock)
    run(watch, clock, 1000)

    waits = np.diff([0.0, *tries])
    assert np.allclose(waits[:6], [1, 2, 4, 8, 16, 32], atol=0.01)
    assert np.allclose(waits[6:], SETTINGS.reopen_at_most_s, atol=0.01) and len(waits) > 15


def test_a_camera_that_is_away_for_days_is_still_tried_once_a_minute() -> None:
    health = CameraHealth(SETTINGS, now_s=0.0)
    for _ in range(5000):
        health.failed("gone", 100.0)
    assert health.reopen_at_s == 100.0 + SETTINGS.reopen_at_most_s


def test_a_lost_camera_is_let_go_before_it_is_opened_again() -> None:
    clock = ManualClock()
    tray, watch = watched(clock)
    closed: list[float] = []
    tray.close = lambda: closed.append(clock.now())  # type: ignore[method-assign]
    tray.fail("gone", 5)
    run(watch, clock, 1)
    assert len(closed) == 1


def test_a_camera_that_freezes_anew_each_time_it_is_opened_stays_out_of_order() -> None:
    clock = ManualClock()

    class Frozen:
        is_sensor = True

        def __init__(self) -> None:
            self.pixels = a_picture(seed=int(clock.now()))

        def read(self) -> Frame:
            clock.sleep(0.1)
            return Frame(self.pixels, clock.now())

        def close(self) -> None:
            pass

    watch = Watch(Frozen(), Frozen, SETTINGS, clock)

    reports = [one for _, one in run(watch, clock, 60) if isinstance(one, CameraReport)]

    assert [report.is_over for report in reports] == [False]


@given(st.lists(st.tuples(st.sampled_from([None, "same", "black", "white"]), st.floats(0.01, 5)), max_size=60))
def test_reports_alternate_and_good_frames_always_end_the_fault(troubles: list[tuple[Trouble | None, float]]) -> None:
    health, now_s, reports = CameraHealth(SETTINGS, 0.0), 0.0, []
    for trouble, after_s in troubles:
        now_s += after_s
        if health.reopen_at_s is not None and now_s >= health.reopen_at_s:
            health.opened(now_s)
        if (report := health.saw(trouble, now_s)) is not None:
            reports.append(report.is_over)
        assert health.reopen_at_s is None or health.reopen_at_s <= now_s + SETTINGS.reopen_at_most_s

    last = [health.saw(None, now_s) for _ in range(RECOVERS)]
    reports += [report.is_over for report in last if report is not None]

    assert not health.is_ill
    assert reports == [number % 2 == 1 for number in range(len(reports))] and len(reports) % 2 == 0


class Scripted:
    """A source that waits for the test: `read` returns when a frame is put, or never.

    A frame's time is its number.
    """

    is_sensor = False

    def __init__(self) -> None:
        self.is_asked, self.may_read = threading.Semaphore(0), threading.Semaphore(0)
        self.number = 0
        self.is_closed = False

    def read(self) -> Frame | None:
        self.is_asked.release()
        self.may_read.acquire()
        self.number += 1
        return None if self.is_closed else Frame(a_picture(), float(self.number))

    def close(self) -> None:
        self.is_closed = True


def grabbed(source: Scripted, clock: ManualClock) -> Grabber:
    return Grabber(source, lambda: source, SETTINGS, clock)


def test_a_frame_is_handed_over_once() -> None:
    source = Scripted()
    grabber = grabbed(source, ManualClock())

    source.may_read.release()

    assert grabber.latest(10) is not None
    assert grabber.latest(0) is None
    source.close()
    source.may_read.release()
    assert grabber.latest(10) is None and grabber.has_ended
    grabber.close()


def test_a_slow_taker_is_given_the_newest_frame() -> None:
    source = Scripted()
    grabber = grabbed(source, ManualClock())
    assert grabber.latest(0) is None

    source.may_read.release(3)
    for _ in range(4):
        assert source.is_asked.acquire(timeout=10)
    frame = grabber.latest(0)

    assert frame is not None and frame.time_s == 3
    source.close()
    source.may_read.release()
    grabber.close()


def test_pictures_do_not_play_before_anybody_looks() -> None:
    source = Scripted()
    grabber = grabbed(source, ManualClock())

    assert grabber._thread is None

    grabber.close()
    assert source.is_closed


def test_a_camera_that_nobody_has_looked_through_yet_is_not_taken_for_one_that_hangs() -> None:
    clock, source = ManualClock(), Scripted()
    grabber = grabbed(source, clock)
    clock.sleep(SETTINGS.lost_after_s)
    assert grabber.latest(0) is None and grabber.reports() == []
    source.may_read.release()
    grabber.close()


def test_a_camera_is_let_go_once_its_last_picture_has_come() -> None:
    source = Scripted()
    grabber = grabbed(source, ManualClock())
    grabber.latest(0)
    threading.Timer(0.05, source.may_read.release).start()
    grabber.close()
    assert source.is_closed


def test_a_lid_that_moves_is_told_to_the_tray_behind_a_camera() -> None:
    class Tray(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.lid_opened, self.lid_closed = MagicMock(), MagicMock()

    tray = Tray()
    grabber = grabbed(tray, ManualClock())
    grabber.lid_opened()
    assert tray.lid_opened.called and not tray.lid_closed.called
    grabber.lid_closed()
    assert tray.lid_closed.called


def test_a_driver_that_hangs_is_reported_and_the_report_taken_back_when_it_answers() -> None:
    clock, source = ManualClock(), Scripted()
    grabber = grabbed(source, clock)

    assert grabber.latest(0) is None
    clock.sleep(SETTINGS.lost_after_s)
    assert grabber.latest(0) is None
    reported = grabber.reports()
    assert grabber.latest(0) is None and grabber.reports() == []
    source.may_read.release()
    assert grabber.latest(10) is not None

    assert [report.is_over for report in reported] == [False]
    assert [report.is_over for report in grabber.reports()] == [True]
    source.may_read.release()
    assert grabber.latest(10) is not None and grabber.reports() == []
    source.close()
    source.may_read.release()
    grabber.close()


def test_a_driver_that_hangs_and_then_gives_no_picture_stays_out_of_order() -> None:
    class Stalled(Scripted):
        def read(self) -> Frame | None:
            super().read()
            raise CameraError("No picture.")

    clock, source = ManualClock(), Stalled()
    grabber = grabbed(source, clock)
    grabber.latest(0)
    clock.sleep(SETTINGS.lost_after_s)
    grabber.latest(0)
    source.may_read.release()
    reports = grabber.reports()
    while len(reports) < 2:
        grabber.latest(0.01)
        reports += grabber.reports()

    assert [(report.is_over, "No picture" in report.message) for report in reports] == [(False, False), (False, True)]
    grabber.close()


def test_a_driver_that_hangs_for_good_ends_the_program_so_that_it_is_started_again() -> None:
    clock, source = ManualClock(), Scripted()
    grabber = grabbed(source, clock)

    grabber.latest(0)
    clock.sleep(SETTINGS.lost_after_s + SETTINGS.reopen_at_most_s + 1)

    with pytest.raises(CameraError, match="must be started again") as told:
        grabber.latest(0)
    clock.sleep(10)
    with pytest.raises(CameraError) as told_later:
        grabber.latest(0)
    assert str(told_later.value) == str(told.value), "or it would be told anew, with a traceback, each second"
    grabber.close()
    assert not source.is_closed, "under its own read"
    source.close()
    source.may_read.release()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_source_is_not_waited_for() -> None:
    class Broken(Scripted):
        def read(self) -> Frame | None:
            raise ZeroDivisionError

    grabber = grabbed(Broken(), ManualClock())

    with pytest.raises(CameraError, match="ended unexpectedly"):
        for _ in range(100):
            grabber.latest(0.1)
