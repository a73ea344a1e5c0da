import itertools
from pathlib import Path

import numpy as np
import pytest

from device.camera import Tray
from device.camera.scene import LEAVES_S
from device.camera.simulated import ARRIVES_S, LIES_AT_MOST_S, SimulatedTray, TrayLife
from device.clock import ManualClock
from device.config import CameraSection
from device.errors import CameraError
from tests.drawn import a_picture, samples, save

QUIET = TrayLife(gap_s=None, passers_per_minute=0, lamps_per_minute=0, drift_per_minute=0)
SETTINGS = CameraSection()


def tray_with(folder: Path, clock: ManualClock, life: TrayLife = QUIET, seed: int = 0) -> SimulatedTray:
    return SimulatedTray(SETTINGS, clock, seed=seed, samples=samples(folder), life=life)


def pass_time(tray: SimulatedTray, clock: ManualClock, duration_s: float) -> list[np.ndarray]:
    until_s = clock.now() + duration_s
    frames = []
    while clock.now() < until_s:
        frames.append(tray.read().pixels)
    return frames


def test_the_same_seed_lives_the_same_life(tmp_path: Path) -> None:
    lives = []
    for seed in (3, 3, 4):
        clock = ManualClock()
        tray = tray_with(tmp_path, clock, TrayLife(), seed)
        frames = pass_time(tray, clock, 30)
        lives.append((tray.history, frames[-1]))

    assert lives[0][0] == lives[1][0] and np.array_equal(lives[0][1], lives[1][1])
    assert lives[0][0] != lives[2][0]


def test_no_two_frames_are_equal_and_they_come_at_the_rate_of_the_configuration(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock)

    frames = pass_time(tray, clock, 10)

    assert len(frames) == pytest.approx(10 * SETTINGS.rate_hz, abs=2)
    assert frames[0].shape == (SETTINGS.height, SETTINGS.width, 3)
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(frames))


def test_a_thing_slides_in_lies_and_falls_when_a_lid_opens(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock)
    assert isinstance(tray, Tray)
    empty = pass_time(tray, clock, 1)[-1].astype(int)

    drop = tray.drop("glass")
    lying = pass_time(tray, clock, 3)[-1].astype(int)
    opened_s = clock.now()
    tray.lid_opened()
    after = pass_time(tray, clock, 2)[-1].astype(int)

    assert drop.material == "glass" and Path(drop.file).parent.name == "glass"
    assert drop.at_rest_s == drop.dropped_s + ARRIVES_S
    assert drop.left_s == pytest.approx(opened_s + LEAVES_S, abs=0.2)
    assert np.abs(lying - empty).mean() > 5 > 4 > np.abs(after - empty).mean()


def test_things_come_by_themselves_and_wait_while_a_lid_is_open(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock, TrayLife(gap_s=1.0, passers_per_minute=0))

    pass_time(tray, clock, 3)
    tray.lid_opened()
    pass_time(tray, clock, 30)
    while_open = len(tray.history)
    tray.lid_closed()
    pass_time(tray, clock, 5)

    assert while_open == 1
    assert len(tray.history) == 2


def test_a_thing_for_which_no_lid_opens_is_taken_away(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock)

    drop = tray.drop()
    pass_time(tray, clock, LIES_AT_MOST_S + 2)

    assert drop.left_s is not None


def test_a_camera_that_is_gone_refuses_to_open_until_it_is_back(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock)
    tray.fail("gone", 5)

    with pytest.raises(CameraError, match="pulled out"):
        tray.read()
    tray.close()
    with pytest.raises(CameraError, match="pulled out"):
        tray.reopen()
    clock.sleep(6)

    assert tray.reopen().read().pixels.any()


def test_a_frozen_camera_gives_equal_frames_a_black_one_black_and_a_white_one_white(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock)
    pass_time(tray, clock, 1)

    tray.fail("frozen", 5)
    assert np.array_equal(tray.read().pixels, tray.read().pixels)
    tray.fail("black", 5)
    assert not tray.read().pixels.any()
    tray.fail("white", 5)
    assert (tray.read().pixels == 255).all()


def test_hands_and_lamps_are_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    tray = tray_with(tmp_path, clock, TrayLife(None, passers_per_minute=60, lamps_per_minute=60, drift_per_minute=0.1))

    pass_time(tray, clock, 25)

    assert tray.passers > 5 and tray.lamps_switched > 5 and not tray.history


def test_a_bin_without_samples_or_with_an_odd_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="finds no samples"):
        SimulatedTray(SETTINGS, ManualClock(), samples=tmp_path)

    save(a_picture(), tmp_path / "glass" / "opaque.png")
    with pytest.raises(CameraError, match="no PNG with an alpha channel"):
        SimulatedTray(SETTINGS, ManualClock(), samples=tmp_path, life=QUIET).drop()
