from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.background import Background, Measurement, log_levels
from device.camera import Frame
from device.camera.simulated import SimulatedTray, TrayLife
from device.clock import ManualClock
from device.config import CameraSection, PresenceSection, RegionSection
from device.presence import ANOTHER, LEARNS_AT_MOST_S, LEARNS_S, QUIET, Presence, Sighting, Stage, advance
from device.sight import crop_object
from tests.drawn import samples
from tests.trials.tray import soak_empty_tray

SETTINGS = PresenceSection()
WHOLE = RegionSection()
FRAME_S = 1 / 15
Pixels = NDArray[np.uint8]
NOTHING_HAPPENS = TrayLife(gap_s=None, passers_per_minute=0, lamps_per_minute=0, drift_per_minute=0)


@dataclass
class Bench:
    """A simulated tray under the eyes of presence."""

    tray: SimulatedTray
    clock: ManualClock
    presence: Presence

    frame: Frame | None = None

    def watch(self, duration_s: float) -> list[Sighting]:
        until_s = self.clock.now() + duration_s
        seen = []
        while self.clock.now() < until_s:
            self.frame = self.tray.read()
            seen.append(self.presence.update(self.frame))
        return seen

    def states(self, duration_s: float) -> list[str]:
        """The states of a while, each once as it begins."""
        states = [sighting.state for sighting in self.watch(duration_s)]
        return [state for state, before in zip(states, [None, *states], strict=False) if state != before]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return bench_with(tmp_path, NOTHING_HAPPENS)


def bench_with(folder: Path, life: TrayLife, seed: int = 0) -> Bench:
    clock = ManualClock()
    tray = SimulatedTray(CameraSection(), clock, seed=seed, samples=samples(folder), life=life)
    return Bench(tray, clock, Presence(SETTINGS, WHOLE))


def test_a_tray_of_which_every_bit_counts_still_follows_the_light() -> None:
    background, dark = Background(smallest_area=0.0), log_levels(np.full((480, 640, 3), 100, np.uint8))
    background.learn(dark)
    for level in range(100, 60, -1):
        seen = background.measure(log_levels(np.full((480, 640, 3), level, np.uint8)), elapsed_s=5.0)
        assert seen == Measurement(motion=seen.motion)


def test_a_thing_arrives_lies_still_and_leaves_when_a_lid_opens(bench: Bench) -> None:
    bench.watch(2)
    bench.tray.drop("metal")

    coming = bench.states(3)
    bench.tray.lid_opened()
    going = bench.states(3)

    assert coming == ["empty", "arriving", "still"] or coming == ["arriving", "still"]
    assert going == ["still", "leaving", "empty"]


def test_stillness_is_told_soon_after_the_thing_came_to_rest_and_never_before(bench: Bench) -> None:
    bench.watch(2)
    drop = bench.tray.drop("glass")

    first = next(sighting for sighting in bench.watch(3) if sighting.state == "still")

    assert drop.at_rest_s is not None and first.at_rest_since_s is not None
    assert first.at_rest_since_s >= drop.at_rest_s - FRAME_S
    assert SETTINGS.still_s <= first.time_s - first.at_rest_since_s <= SETTINGS.still_s + 2 * FRAME_S


@pytest.mark.parametrize("seed", range(6))
def test_the_crop_is_a_square_that_holds_the_thing(tmp_path: Path, seed: int) -> None:
    bench = bench_with(tmp_path, NOTHING_HAPPENS, seed)
    bench.watch(2)
    assert bench.frame is not None
    empty = bench.frame.pixels.astype(int)
    bench.tray.drop("glass")

    sighting, frame = bench.watch(2)[-1], bench.frame
    crop = crop_object([frame], sighting)

    differs = np.abs(frame.pixels - empty).max(axis=2) > 30
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    assert sighting.box is not None
    left, top, width, height = sighting.box
    assert left <= columns[0] + 8 and columns[-1] - 8 <= left + width
    assert top <= rows[0] + 8 and rows[-1] - 8 <= top + height
    assert width <= np.ptp(columns) + 40 and height <= np.ptp(rows) + 40
    assert crop.shape[0] == crop.shape[1] or crop.shape[0] == frame.pixels.shape[0]
    assert crop.shape[0] >= height and crop.shape[1] >= width


@pytest.mark.parametrize(
    ("at", "in_crop"),
    [((200, 150), (7, 17)), ((64, 48), (0, 0)), ((516, 392), (14, 34))],
    ids=["inside", "top", "bottom"],
)
def test_the_model_is_shown_a_thing_in_the_middle_of_its_square_as_far_as_the_region_allows(
    at: tuple[int, int], in_crop: tuple[int, int]
) -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[at[1] : at[1] + 40, at[0] : at[0] + 60] = 255

    crop = crop_object([Frame(pixels, 0.0)], Sighting("still", 0.0, 0.0, (64, 48, 512, 384), (*at, 60, 40)))

    assert crop.shape == (74, 74, 3)
    assert cv2.boundingRect(crop[..., 0]) == (*in_crop, 60, 40)


def test_the_model_is_shown_the_whole_region_where_a_thing_fills_it_or_its_place_is_not_known() -> None:
    frame, region = Frame(np.zeros((480, 640, 3), np.uint8), 0.0), (64, 48, 512, 384)

    for box in (region, None):
        assert crop_object([frame], Sighting("still", 0.0, 0.0, region, box)).shape == (384, 512, 3)


def test_the_crop_of_several_frames_is_their_mean() -> None:
    sighting = Sighting("still", 0.0, 0.0, (0, 0, 64, 48), (20, 20, 10, 10))

    def mean(*levels: int) -> set[int]:
        return set(crop_object([Frame(np.full((48, 64, 3), level, np.uint8), 0.0) for level in levels], sighting).flat)

    assert (mean(10), mean(10, 11), mean(10, 255, 255, 255)) == ({10}, {11}, {194})


def test_two_things_at_once_are_one_object(bench: Bench) -> None:
    bench.watch(2)
    bench.tray.drop("metal")
    bench.tray.drop("glass")

    ids = {sighting.object_id for sighting in bench.watch(5)}

    assert ids == {None, 1}


def test_each_thing_has_an_id_of_its_own(bench: Bench) -> None:
    bench.watch(2)
    for material in ("metal", "paper", "glass", "metal"):
        bench.tray.drop(material)
        bench.watch(2)
        bench.tray.lid_opened()
        bench.watch(2)
        bench.tray.lid_closed()

    bench.tray.drop()
    assert bench.watch(2)[-1].object_id == 5


def test_a_hand_that_reaches_over_what_lies_there_does_not_make_it_a_new_object(bench: Bench) -> None:
    bench.watch(2)
    bench.tray.drop("glass")
    before = bench.watch(2)[-1]
    bench.tray._passer = bench.tray._scene.passer(bench.clock.now(), bench.tray._random)

    seen = bench.watch(5)

    assert "leaving" in {sighting.state for sighting in seen}
    assert seen[-1].state == "still" and seen[-1].object_id == before.object_id == 1


def test_a_second_thing_beside_the_first_is_something_new(bench: Bench) -> None:
    bench.watch(2)
    bench.tray.drop("metal")
    bench.watch(2)
    bench.tray.drop("paper")

    assert bench.watch(3)[-1].object_id == 2


def test_a_thing_that_stays_when_the_one_beside_it_falls_is_something_new() -> None:
    presence = Presence(SETTINGS, WHOLE)

    ids = set()
    for number in range(50):
        pixels = np.full((120, 160, 3), 128, np.uint8)
        pixels[40:80, 20:60] = 30 if 10 <= number < 30 else 128
        pixels[40:80, 100:140] = 220 if number >= 10 else 128
        ids.add(presence.update(Frame(pixels, number * FRAME_S)).object_id)

    assert ids == {None, 1, 2}


def test_a_thing_is_seen_to_lie_still_under_a_lamp_that_flickers() -> None:
    presence = Presence(SETTINGS, WHOLE)

    for number in range(40):
        pixels = np.full((120, 160, 3), 150.0)
        pixels[40:80, 60:100] = 60 if number >= 15 else 150
        light = 1.1 if number % 2 else 1.0
        sighting = presence.update(Frame((light * pixels).astype(np.uint8), number * FRAME_S))

    assert sighting.state == "still"


def test_more_light_opens_nothing_where_most_of_the_tray_is_overexposed_already() -> None:
    presence = Presence(SETTINGS, WHOLE)

    states = set()
    for number in range(40):
        pixels = np.full((120, 160, 3), 255.0)
        pixels[:, :60] = 120
        light = 1.4 if number >= 15 else 1.0
        states.add(presence.update(Frame(np.minimum(light * pixels, 255).astype(np.uint8), number * FRAME_S)).state)

    assert states == {"empty"}


@pytest.mark.parametrize("seed", range(4))
def test_hands_shadows_lamps_and_daylight_open_nothing(tmp_path: Path, seed: int) -> None:
    life = TrayLife(gap_s=None, passers_per_minute=60, lamps_per_minute=30, drift_per_minute=0.3)
    bench = bench_with(tmp_path, life, seed)

    states = {sighting.state for sighting in bench.watch(40)}

    assert bench.tray.passers > 10 and bench.tray.lamps_switched > 5
    assert "still" not in states and "arriving" in states


def test_someone_who_stands_there_and_throws_a_soft_shadow_is_no_thing() -> None:
    chance = np.random.default_rng(0)
    presence = Presence(SETTINGS, WHOLE)
    shadow = np.zeros((480, 640), np.float32)
    cv2.ellipse(shadow, (220, 200), (110, 140), 20, 0, 360, 0.3, -1)
    light = 1 - cv2.GaussianBlur(shadow, (0, 0), 22)[..., None]

    states = set()
    for number in range(60):
        tray = chance.normal(170, 3, (480, 640, 3)) * (light if number > 15 else 1)
        states.add(presence.update(Frame(tray.astype(np.uint8), number * FRAME_S)).state)

    assert states == {"empty"}


def test_things_are_seen_as_well_right_after_a_lamp_was_switched(bench: Bench) -> None:
    bench.watch(2)
    bench.tray._light = bench.tray._light.switched()
    assert bench.states(1) == ["empty"]

    bench.tray.drop("metal")
    assert bench.watch(2)[-1].state == "still"


def test_what_is_never_taken_away_becomes_tray_and_so_does_the_hole_that_it_leaves(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, NOTHING_HAPPENS)
    bench.presence = Presence(PresenceSection(forgotten_s=10), WHOLE)
    bench.watch(2)
    bench.tray.drop("glass")

    lying = bench.states(15)
    bench.tray.lid_opened()
    taken_away = bench.states(5)
    bench.tray.lid_closed()
    bench.tray.drop("metal")
    next_thing = bench.watch(2)[-1]

    assert lying[-3:] == ["arriving", "still", "empty"]
    assert taken_away == ["empty", "arriving", "empty"]
    assert next_thing.state == "still" and next_thing.object_id == 2


def test_a_thing_that_lay_there_at_the_start_opens_nothing_when_it_is_taken_away(bench: Bench) -> None:
    bench.tray.drop("metal")
    while bench.tray.history[0].at_rest_s is None:
        bench.tray.read()

    at_start = bench.states(5)
    bench.tray.lid_opened()
    taken_away = bench.states(5)

    assert at_start == ["empty"]
    assert "still" not in taken_away and taken_away[-1] == "empty"


def test_after_a_reset_the_tray_is_learnt_anew(bench: Bench) -> None:
    bench.watch(2)
    bench.tray.drop("metal")
    assert bench.watch(2)[-1].state == "still"

    bench.presence.reset()

    assert bench.states(5) == ["empty"]


def test_what_is_dropped_after_the_camera_was_lost_is_another_thing() -> None:
    presence = Presence(SETTINGS, WHOLE)

    def drop(from_s: float) -> int | None:
        pixels = np.full((120, 160, 3), 128, np.uint8)
        for number in range(30):
            if number == 15:
                pixels[40:80, 60:100] = 30
            sighting = presence.update(Frame(pixels, from_s + number * FRAME_S))
        return sighting.object_id

    ids = [drop(0.0)]
    presence.reset()
    ids.append(drop(10.0))

    assert ids == [1, 2], "or it would be taken for what was judged before"


def test_what_lies_outside_the_region_is_not_seen_and_not_shown_to_the_classifier() -> None:
    region = RegionSection(left=0.5, top=0.0, right=1.0, bottom=1.0)
    presence = Presence(SETTINGS, region)
    chance = np.random.default_rng(0)

    def frame(number: int, at: int | None) -> Frame:
        pixels = chance.integers(150, 156, (480, 640, 3)).astype(np.uint8)
        if at is not None:
            pixels[100:300, at : at + 150] = (20, 60, 120)
        return Frame(pixels, number * FRAME_S)

    outside = [presence.update(frame(number, 100 if number > 15 else None)) for number in range(40)]
    last = frame(60, 400)
    inside = [presence.update(frame(number, 400)) for number in range(40, 60)] + [presence.update(last)]

    assert {sighting.state for sighting in outside} == {"empty"}
    assert inside[-1].state == "still" and inside[-1].region == (320, 0, 320, 480)
    box = inside[-1].box
    assert box is not None and abs(box[0] - 400) <= 8 and abs(box[0] + box[2] - 550) <= 8
    crop = crop_object([last], inside[-1])
    assert crop.shape == (248, 248, 3) or abs(crop.shape[0] - 250) < 20
    assert (crop[crop.shape[0] // 2, crop.shape[1] // 2] == (20, 60, 120)).all()


@pytest.mark.parametrize(
    ("edge", "beyond", "within"),
    [
        ("left", (45, 15), (45, 115)),
        ("right", (45, 115), (45, 15)),
        ("top", (15, 65), (75, 65)),
        ("bottom", (75, 65), (15, 65)),
    ],
)
def test_only_what_lies_on_the_regions_side_of_each_edge_is_a_thing(
    edge: str, beyond: tuple[int, int], within: tuple[int, int]
) -> None:
    def state_with_a_thing(top: int, left: int) -> str:
        presence = Presence(SETTINGS, RegionSection(**{edge: 0.5}))
        for number in range(30):
            pixels = np.full((120, 160, 3), 128, np.uint8)
            pixels[top : top + 30, left : left + 30] = 128 if number < 15 else 30
            state = presence.update(Frame(pixels, number * FRAME_S)).state
        return state

    assert (state_with_a_thing(*beyond), state_with_a_thing(*within)) == ("empty", "still")


def test_the_small_picture_of_a_camera_is_looked_at_where_there_is_one() -> None:
    chance = np.random.default_rng(0)
    presence = Presence(SETTINGS, WHOLE)
    for number in range(40):
        small = chance.integers(150, 156, (240, 320, 3)).astype(np.uint8)
        if number > 15:
            small[60:180, 80:160] = 30
        sighting = presence.update(Frame(np.zeros((960, 1280, 3), np.uint8), number * FRAME_S, small=small))

    assert sighting.state == "still" and sighting.box is not None
    assert np.allclose(sighting.box, (320, 240, 320, 480), atol=16)


def test_a_thing_is_found_where_it_lies_when_the_region_begins_below_the_top() -> None:
    presence = Presence(SETTINGS, RegionSection(left=0.25, top=0.25))
    for number in range(30):
        pixels = np.full((120, 160, 3), 128, np.uint8)
        pixels[50:80, 80:120] = 128 if number < 15 else 30
        sighting = presence.update(Frame(pixels, number * FRAME_S))

    assert sighting.state == "still" and sighting.box is not None
    assert np.allclose(sighting.box, (80, 50, 40, 30), atol=2)


def test_a_picture_that_is_noisy_from_the_start_shows_an_empty_tray_and_what_lies_on_it() -> None:
    chance = np.random.default_rng(0)
    presence = Presence(SETTINGS, WHOLE)
    grains = [cv2.GaussianBlur(chance.normal(0, 1, (480, 640, 3)), (3, 3), 0.8) for _ in range(8)]

    def states(level: float, deviation: float, seconds: float, with_thing: bool = False) -> list[str]:
        seen = []
        for _ in range(round(seconds / FRAME_S)):
            picture = np.full((480, 640, 3), float(level))
            if with_thing:
                picture[160:320, 240:400] = 0.55 * level
            picture += deviation * grains[chance.integers(8)] / grains[0].std()
            time_s[0] += FRAME_S
            seen.append(presence.update(Frame(np.clip(picture, 0, 255).astype(np.uint8), time_s[0])).state)
        return seen

    time_s = [0.0]
    assert set(states(150, 1.5, 3)) == {"empty"}
    presence.reset()

    assert set(states(38, 6, 20)) == {"empty"}
    assert states(38, 6, 4, with_thing=True)[-1] == "still"


def in_noise(picture: Pixels, deviation: float, chance: np.random.Generator) -> Pixels:
    return np.clip(picture + chance.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def test_a_black_thing_on_a_bright_tray_is_seen_to_lie_still_in_a_noisy_picture() -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)
    picture = np.full((480, 640, 3), 170, np.uint8)

    for number in range(40):
        if number == 20:
            picture[160:300, 240:440] = 8
        sighting = presence.update(Frame(in_noise(picture, 7, chance), number * FRAME_S))

    assert sighting.state == "still" and sighting.object_id == 1


@pytest.mark.parametrize(("level", "deviation"), [(0, 3), (10, 3), (25, 5)])
def test_noise_on_the_black_parts_of_an_empty_tray_opens_nothing(level: int, deviation: float) -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)
    picture = np.full((480, 640, 3), 170, np.uint8)
    picture[:, :90] = picture[400:, 300:] = level

    states = {
        presence.update(Frame(in_noise(picture, deviation, chance), number * FRAME_S)).state for number in range(60)
    }

    assert states == {"empty"}


def beside_the_floor(level: float, light: float, chance: np.random.Generator, with_thing: bool = False) -> Pixels:
    """A tray of `level` with much darker floor at two of its sides: (240, 320, 3) uint8."""
    picture = np.full((240, 320, 3), level)
    picture[:, :20] = picture[:15] = 40.0
    if with_thing:
        picture[80:160, 120:200] = 0.55 * level
    return np.clip(light * picture + chance.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("light", [0.6, 0.8, 1.25, 1.6, 2.0])
def test_a_lamp_that_is_switched_opens_nothing_where_the_floor_is_in_view(light: float) -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    states = set()
    for number in range(180):
        picture = beside_the_floor(150.0, light if 60 <= number < 120 else 1.0, chance)
        states.add(presence.update(Frame(picture, number * FRAME_S)).state)

    assert states == {"empty"}


@pytest.mark.parametrize("light", [0.6, 1.0, 1.6])
def test_a_thing_is_found_in_each_light_where_the_floor_is_in_view(light: float) -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    for number in range(120):
        picture = beside_the_floor(150.0, light if number >= 30 else 1.0, chance, with_thing=number >= 60)
        sighting = presence.update(Frame(picture, number * FRAME_S))

    assert sighting.state == "still" and sighting.object_id == 1 and sighting.box is not None
    assert np.allclose(sighting.box, (120, 80, 80, 80), atol=8)


def test_a_pizza_box_that_hides_the_tray_and_most_of_the_floor_is_a_thing_and_no_new_tray() -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    for number in range(90):
        picture = np.full((240, 320, 3), 60.0)
        picture[20:-20, 40:-40] = 150.0
        if number >= 30:
            picture[10:-10, 12:-12] = (170.0, 130.0, 90.0)
        sighting = presence.update(Frame(in_noise(picture, 1.5, chance), number * FRAME_S))

    assert (sighting.state, sighting.object_id) == ("still", 1)


def test_dusk_and_dawn_open_nothing_where_the_floor_is_in_view() -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    states, time_s = set(), 0.0
    for number in range(600):
        time_s += FRAME_S if number < 30 else 1.0
        darkness = 1 - abs(number - 300) / 300
        states.add(presence.update(Frame(beside_the_floor(150.0, 0.06**darkness, chance), time_s)).state)

    assert states == {"empty"}


def in_the_sun(level: float, brighter: float, wide: int, time_s: float) -> NDArray[np.float64]:
    """(120, 160, 3), over which the edge of the sun creeps: `wide` pixels, each 128 s from shade to sun."""
    sunlit = np.clip((20 + wide * time_s / 128 - np.arange(160)) / wide, 0, 1)[:, None]
    picture = np.full((120, 160, 3), level, np.float64)
    picture[10:] *= 1 + brighter * sunlit
    return picture


def test_to_the_edge_of_the_sun_that_creeps_over_it_the_tray_adapts() -> None:
    """As sharp as one beside a window a metre away."""
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    states = set()
    for number in range(330):
        time_s = FRAME_S * number if number < 30 else 2.0 + (number - 30) / 2
        states.add(presence.update(Frame(in_noise(in_the_sun(100, 0.5, 4, time_s), 1.5, chance), time_s)).state)

    assert states == {"empty"}


@pytest.mark.parametrize("wide", [5, 10])
def test_the_edge_of_a_blazing_sun_opens_nothing_and_what_drops_into_it_is_found(wide: int) -> None:
    """Four times as bright as the shade, it is ahead of what the tray adapts to."""
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    seen = []
    for number in range(400):
        time_s = FRAME_S * number if number < 30 else 2.0 + (number - 30) / 4
        picture = in_the_sun(60, 3, wide, time_s)
        if number >= 380:
            picture[40:80, 10:50] = (90, 40, 30)
        seen.append(presence.update(Frame(in_noise(picture, 1.5, chance), time_s)))

    assert {sighting.object_id for sighting in seen[:380]} == {None}
    assert (seen[-1].state, seen[-1].object_id) == ("still", 1)


@pytest.mark.parametrize("next_thing", [(90, 90, 90), (60, 60, 90)])
def test_a_thing_that_a_hand_exchanged_for_another_in_its_place_is_something_new(next_thing: tuple[int, ...]) -> None:
    chance, presence = np.random.default_rng(0), Presence(SETTINGS, WHOLE)

    for number in range(60):
        picture = np.full((120, 160, 3), 150.0)
        if number >= 15:
            picture[40:80, 60:100] = 60 if number < 40 else next_thing
        if 38 <= number < 42:
            picture[:80, 60:90] = (210, 160, 130)
        sighting = presence.update(Frame(in_noise(picture, 1.5, chance), number * FRAME_S))

    assert (sighting.state, sighting.object_id) == ("still", 2)


BOXES = st.sampled_from([(0.3, 0.3, 0.3, 0.3), (0.0, 0.2, 0.4, 0.3), (0.0, 0.0, 1.0, 1.0)])
NOTHING = st.builds(Measurement, motion=st.floats(0, 1))
SOMETHING = st.builds(
    Measurement,
    area=st.floats(0.01, 1),
    motion=st.sampled_from([0.0, QUIET, 0.1]),
    box=BOXES,
    changed=st.sampled_from([0.0, ANOTHER, 1.0]),
    is_ghost=st.booleans(),
)
STEPS = st.lists(st.tuples(NOTHING | SOMETHING, st.sampled_from([0.03, FRAME_S, 0.3, 5.0])), max_size=150)


@given(STEPS)
def test_nothing_is_ever_called_still_that_is_not_there_or_moved_a_moment_ago(
    steps: list[tuple[Measurement, float]],
) -> None:
    stage, now_s, disturbed_s = Stage(), 0.0, 0.0
    for measurement, after_s in steps:
        now_s += after_s
        before, stage = stage, advance(stage, measurement, now_s, SETTINGS)
        if not measurement.area or measurement.motion > QUIET:
            disturbed_s = now_s
            assert stage.state != "still"
        if stage.state == "still":
            assert now_s - disturbed_s >= SETTINGS.still_s or disturbed_s == 0.0
        if stage.object_id != before.object_id:
            assert stage.object_id == before.object_id + 1
            assert stage.state == "still" and stage.remembers and before.state in ("arriving", "leaving")


@given(STEPS)
def test_the_tray_is_free_again_once_nothing_was_there_for_a_while(steps: list[tuple[Measurement, float]]) -> None:
    stage, now_s = Stage(), 0.0
    for measurement, after_s in steps:
        now_s += after_s
        stage = advance(stage, measurement, now_s, SETTINGS)
    for _ in range(10):
        now_s += FRAME_S
        stage = advance(stage, Measurement(), now_s, SETTINGS)

    assert stage.state == "empty"


@given(STEPS)
def test_nothing_that_lies_still_does_so_for_ever(steps: list[tuple[Measurement, float]]) -> None:
    stage, now_s = Stage(), 0.0
    for measurement, after_s in steps:
        now_s += after_s
        stage = advance(stage, measurement, now_s, SETTINGS)
    lying = Measurement(0.1, 0.0, (0.3, 0.3, 0.3, 0.3), changed=0.0)
    has_been_absorbed = False
    for _ in range(int(SETTINGS.forgotten_s / 0.5) + 10):
        now_s += 0.5
        stage = advance(stage, lying, now_s, SETTINGS)
        has_been_absorbed = has_been_absorbed or stage.absorbs

    assert has_been_absorbed


def stillness(box: tuple[float, float, float, float]) -> float:
    """Seconds until what covers such a box counts as lying still."""
    stage, now_s = Stage(), 0.0
    while stage.state != "still":
        now_s += FRAME_S
        moves = 0.1 if stage.state == "empty" else 0.0
        stage = advance(stage, Measurement(0.1, moves, box), now_s, SETTINGS)
    return now_s


@pytest.mark.parametrize(
    "box",
    [(0.0, 0.3, 0.5, 0.2), (0.3, 0.0, 0.2, 0.5), (0.5, 0.3, 0.5, 0.2), (0.3, 0.5, 0.2, 0.5), (0.0, 0.3, 1.0, 0.2)],
    ids=["left", "top", "right", "bottom", "across"],
)
def test_an_arm_that_rests_at_the_edge_must_lie_still_for_longer(box: tuple[float, float, float, float]) -> None:
    assert stillness(box) > stillness((0.3, 0.3, 0.5, 0.2)) + SETTINGS.still_s


def test_a_cloth_that_covers_the_whole_tray_is_no_arm_and_is_judged_as_soon_as_any_other_thing() -> None:
    assert stillness((0.0, 0.0, 1.0, 1.0)) == stillness((0.3, 0.3, 0.5, 0.2))


def test_a_gap_between_frames_is_not_taken_for_stillness() -> None:
    lying = Measurement(0.1, 0.0, (0.3, 0.3, 0.3, 0.3))
    stage = advance(advance(Stage(), lying, 1.0, SETTINGS), lying, 1.0 + FRAME_S, SETTINGS)

    assert advance(stage, lying, 61.0, SETTINGS).state == "arriving"


def test_a_tray_that_was_clear_for_a_moment_only_is_not_free_yet() -> None:
    stage, clear, hand = Stage("leaving", object_id=1), Measurement(), Measurement(0.1, 0.1, (0.3, 0.3, 0.3, 0.3))
    for time_s, seen in ((0.0, clear), (0.3, hand), (0.5, clear)):
        stage = advance(stage, seen, time_s, SETTINGS)
    assert stage.state == "leaving"


def test_what_waits_for_its_turn_is_not_taken_for_tray_however_long_that_takes() -> None:
    lying = Measurement(0.1, box=(0.3, 0.3, 0.3, 0.3))
    stage = Stage("still", object_id=1, at_rest_since_s=0.0)
    states: list[str] = []
    for time_s in range(1, 601):
        stage = advance(stage, lying, time_s, SETTINGS, waits=time_s <= 300)
        states.append(stage.state)
    assert states.index("empty") == 299 + SETTINGS.forgotten_s


def test_a_hand_that_reaches_over_what_is_to_be_forgotten_does_not_become_tray() -> None:
    hand, lies = Measurement(0.4, 0.1, (0.3, 0.0, 0.3, 0.6)), Stage("still", seen_s=SETTINGS.forgotten_s, object_id=1)

    stage = advance(lies, hand, SETTINGS.forgotten_s + FRAME_S, SETTINGS)

    assert stage.state == "leaving" and not stage.absorbs


def test_a_hand_that_is_there_at_the_start_leaves_nothing_behind() -> None:
    presence = Presence(SETTINGS, WHOLE)

    states = set()
    for number in range(40):
        pixels = np.full((120, 160, 3), 128, np.uint8)
        if number < 15:
            pixels[:60, 4 * number : 4 * number + 40] = 30
        states.add(presence.update(Frame(pixels, number * FRAME_S)).state)

    assert states == {"empty"}


def test_the_tray_is_learnt_before_anything_is_called_a_thing() -> None:
    presence = Presence(SETTINGS, WHOLE)
    chance = np.random.default_rng(0)
    times = np.arange(0, LEARNS_S - 0.01, FRAME_S)

    for from_s in (0.0, 60.0):
        states = {
            presence.update(Frame(chance.integers(0, 255, (480, 640, 3)).astype(np.uint8), from_s + time_s)).state
            for time_s in times
        }
        assert states == {"empty"}
        presence.reset()


def test_one_picture_right_after_the_start_does_not_outweigh_all_that_was_learnt_before() -> None:
    presence, states = Presence(SETTINGS, WHOLE), set()

    for number in range(20):
        pixels = np.full((120, 160, 3), 128, np.uint8)
        if number >= 5:
            pixels[40:80, 60:100] = 135 if number % 2 else 121
        states.add(presence.update(Frame(pixels, 1000 + number / 8)).state)

    assert 3 / 8 < LEARNS_S <= 4 / 8 and states == {"empty"}


def test_a_tray_that_is_never_quiet_is_taken_as_it_is_after_a_while() -> None:
    presence = Presence(SETTINGS, WHOLE)

    def state(time_s: float, thing: int) -> str:
        pixels = np.full((120, 160, 3), 128, np.uint8)
        pixels[60:100, thing : thing + 30] = 30
        return presence.update(Frame(pixels, time_s)).state

    times = np.arange(0, LEARNS_AT_MOST_S + 1, LEARNS_S / 2)
    states = [(time_s, state(time_s, 20 + 60 * (number % 2))) for number, time_s in enumerate(times)]

    assert {state for time_s, state in states if time_s < LEARNS_AT_MOST_S} == {"empty"}
    assert "arriving" in {state for time_s, state in states if time_s > LEARNS_AT_MOST_S}


def test_only_the_gap_that_a_look_made_is_forgiven() -> None:
    presence = Presence(SETTINGS, WHOLE)

    def rests_since(time_s: float, grey: int) -> float | None:
        pixels = np.full((120, 160, 3), 128, np.uint8)
        pixels[40:80, 60:100] = grey
        return presence.update(Frame(pixels, time_s)).at_rest_since_s

    for time_s in np.arange(0, 1, FRAME_S):
        rests_since(time_s, 128)
    rests_since(1.0, 30)
    assert rests_since(1.1, 30) is not None
    presence.looked(5.0)
    assert rests_since(6.2, 30) is not None
    assert rests_since(11.3, 30) is None


def test_an_empty_tray_opens_nothing_in_a_short_soak() -> None:
    result = soak_empty_tray(frames=2000, seed=11)

    assert result.passers > 10 and result.lamps_switched > 3 and result.arrivals > 5
    assert result.times_dimmed > 3
    assert result.false_openings == 0
