import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

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


class Shows:
    """A camera that shows at each turn what `picture` gives."""

    is_sensor = True

    def __init__(self, clock: ManualClock, picture: Callable[[], NDArray[np.uint8]]) -> None:
        self.clock, self.picture = clock, picture

    def read(self) -> Frame:
        self.clock.sleep(0.1)
        return Frame(self.picture(), self.clock.now())

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("colour", "spread", "says"),
    [
        ((3, 3, 3), 0.7, "black"),
        ((14, 12, 10), 3, None),
        ((254, 254, 254), 0.4, "white"),
        ((249, 249, 249), 0.4, None),
        ((254, 120, 90), 0.4, None),
    ],
    ids=["a lens cap", "a tray at dusk", "a sensor in the sun", "paper in bright light", "a red box"],
)
def test_black_and_white_pictures_are_told_and_a_dusky_a_bright_and_a_red_tray_are_seen(
    colour: tuple[int, int, int], spread: float, says: str | None
) -> None:
    clock, chance = ManualClock(), np.random.default_rng(0)
    source = Shows(clock, lambda: chance.normal(colour, spread, (120, 160, 3)).round().clip(0, 255).astype(np.uint8))

    seen = [one for _, one in run(Watch(source, lambda: source, SETTINGS, clock), clock, 4)]

    told = [one.message for one in seen if isinstance(one, CameraReport)]
    assert (len(told), len(seen) - len(told)) == ((0, 40) if says is None else (1, 0))
    assert says is None or says in told[0]


def test_a_camera_in_the_sun_is_told_though_a_leaf_hangs_before_its_lens() -> None:
    clock, white = ManualClock(), np.full((120, 160, 3), 255, np.uint8)
    white[:40, :20] = 60
    source = Shows(clock, lambda: white)

    reports = [one for _, one in run(Watch(source, lambda: source, SETTINGS, clock), clock, 4)]

    assert ["white" in str(one) for one in reports] == [True]


def test_a_camera_that_gives_each_picture_twice_is_no_frozen_one() -> None:
    clock = ManualClock()
    source = Shows(clock, lambda: a_picture(seed=int(clock.now() / 0.1 + 0.5) // 2))

    seen = [one for _, one in run(Watch(source, lambda: source, SETTINGS, clock), clock, 10)]

    assert len(seen) > 40 and all(isinstance(one, Frame) for one in seen)


def test_a_camera_that_is_dark_for_a_second_after_it_is_opened_comes_back() -> None:
    clock, opened_s = ManualClock(), [0.0]

    def opened() -> Shows:
        if clock.now() < 2 * SETTINGS.lost_after_s:
            raise CameraError("It is not back yet.")
        opened_s[0] = clock.now()
        return Shows(clock, lambda: a_picture(120, 160, seed=int(10 * clock.now())) * (clock.now() - opened_s[0] > 1))

    gone = MagicMock(is_sensor=True)
    gone.read.side_effect = CameraError("It was pulled out.")

    seen = [one for _, one in run(Watch(gone, opened, SETTINGS, clock), clock, 15)]

    assert [one.is_over for one in seen if isinstance(one, CameraReport)] == [False, True]
    assert isinstance(seen[-1], Frame)


def test_a_camera_that_stays_frozen_until_it_is_opened_again_is_opened_again() -> None:
    clock = ManualClock()
    frozen = Shows(clock, a_picture)
    watch = Watch(frozen, lambda: Shows(clock, lambda: a_picture(seed=int(10 * clock.now()))), SETTINGS, clock)

    seen = [one for _, one in run(watch, clock, 10)]

    assert [one.is_over for one in seen if isinstance(one, CameraReport)] == [False, True]
    assert isinstance(seen[-1], Frame)


def test_a_camera_that_came_back_is_opened_again_as_soon_as_ever_when_it_is_lost_once_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    tray, watch = watched(clock)
    waits = []
    for _ in range(4):
        tray.fail("gone", 0.1)
        seen = run(watch, clock, 5)
        told_s, over_s = (time_s for time_s, one in seen if isinstance(one, CameraReport))
        waits.append(over_s - told_s)

    assert max(waits) < SETTINGS.reopen_after_s + 0.5
    assert len(caplog.messages) == 8, "each loss and each return stands in the log"


def test_while_a_lost_camera_is_waited_for_the_caller_gets_its_turn() -> None:
    clock = ManualClock()
    tray, watch = watched(clock)
    tray.fail("gone", 5)
    watch.latest(0.1)
    before_s = clock.now()

    assert watch.latest(0.1) is None and clock.now() - before_s <= 0.1, "or the driver would be said to hang, too"


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

    seen = [one for _, one in run(watch, clock, 60)]

    assert [one.is_over for one in seen if isinstance(one, CameraReport)] == [False]
    assert len(seen) == 2, "and what it shows when it is opened is not judged"


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


def test_a_frame_is_handed_over_as_soon_as_it_comes() -> None:
    source = Scripted()
    grabber = grabbed(source, ManualClock())
    threading.Timer(0.05, source.may_read.release).start()

    begun_s = time.monotonic()
    assert grabber.latest(10) is not None

    assert time.monotonic() - begun_s < 5
    source.close()
    source.may_read.release()
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
    clock.sleep(SETTINGS.lost_after_s + 0.07)
    assert grabber.latest(0) is None
    reported = grabber.reports()
    assert grabber.latest(0) is None and grabber.reports() == []
    source.may_read.release()
    assert grabber.latest(10) is not None

    assert reported == [CameraReport("The camera has not answered for 3 s.")], "the same each time, so told once"
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
    assert grabber._thread is not None and grabber._thread.daemon, "or the program would never end"
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
