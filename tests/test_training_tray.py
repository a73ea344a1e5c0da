"""Things as they look on a tray: what a student sees of a photo that its teacher sees as it was."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from device.sight import MARGIN
from training.augment import OnTray, ThroughSmallCamera, TrayView
from training.tray import LONG_PX, TIGHTEST, WIDER, is_whole, on_a_tray, seen_by_camera

Pixels = NDArray[np.uint8]
LONG, HIGH = 120, 60


def a_brick(left: int = 90) -> tuple[Pixels, Pixels]:
    """A red brick on a green board, (200, 300, 3), and how much of each pixel is the brick's."""
    share = np.zeros((200, 300), np.uint8)
    share[70 : 70 + HIGH, left : left + LONG] = 255
    return np.where(share[..., None] > 0, np.uint8((220, 20, 20)), np.uint8((20, 200, 20))), share


def as_image(left: int = 90) -> torch.Tensor:
    return torch.from_numpy(np.dstack(a_brick(left))).permute(2, 0, 1)


def fallen(count: int = 40) -> list[Pixels]:
    return [on_a_tray(*a_brick(), np.random.default_rng(seed)) for seed in range(count)]


def red_in(picture: Pixels) -> NDArray[np.bool_]:
    levels = picture.astype(int)
    return (levels[..., 0] > 110) & (levels[..., 1:].max(axis=2) < 0.5 * levels[..., 0])


def on_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tray.ground", lambda chance, side: np.full((side, side, 3), 128, np.uint8))


def test_a_thing_lies_in_its_square_as_the_bin_cuts_it_small_or_large_and_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_grey(monkeypatch)
    lengths, turns = [], []
    for picture in fallen():
        outline = max(cv2.findContours(red_in(picture).astype(np.uint8), cv2.RETR_LIST, 2)[0], key=cv2.contourArea)
        _, _, width, height = cv2.boundingRect(outline)
        wide = max(width, height) / len(picture)
        assert 1 / (1 + 2 * MARGIN) / (1 + WIDER) - 0.06 < wide < 1 / (1 + 2 * MARGIN) / TIGHTEST + 0.06
        _, sides, turn = cv2.minAreaRect(outline)
        lengths.append(max(sides))
        turns.append(turn)
    assert LONG_PX[0] - 8 < min(lengths) < 110 < 300 < max(lengths) < LONG_PX[1] + 8
    assert np.std(turns) > 15


def test_nothing_of_its_board_comes_along() -> None:
    green = [((one[..., 1].astype(int) - one[..., ::2].max(axis=2)) > 150).mean() for one in fallen()]
    assert np.median(green) < 0.001


def test_each_fall_is_another_and_that_of_a_seed_always_the_same() -> None:
    one, other = (fallen(2) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert one[0].shape != one[1].shape


def test_only_what_its_photo_shows_whole_falls() -> None:
    assert is_whole(a_brick()[1])
    assert not is_whole(a_brick(left=240)[1]), "cut off"
    assert not is_whole(np.full((200, 300), 255, np.uint8)), "all of it"
    assert not is_whole(np.zeros((200, 300), np.uint8)), "none of it"


def test_the_teacher_sees_the_middle_of_the_photo_as_it_was_perhaps_mirrored() -> None:
    torch.manual_seed(0)
    pairs = [OnTray(100)(as_image(left=70)) for _ in range(12)]
    middle = cv2.resize(np.ascontiguousarray(a_brick(left=70)[0][:, 50:250]), (100, 100), interpolation=cv2.INTER_AREA)
    before = [pair[0].permute(1, 2, 0).numpy() for pair in pairs]
    as_it_was = [np.array_equal(one, middle) for one in before]
    mirrored = [np.array_equal(one, middle[:, ::-1]) for one in before]
    assert [one != other for one, other in zip(as_it_was, mirrored, strict=True)] == [True] * 12
    assert any(as_it_was) and any(mirrored)
    assert len({pair[1].sum().item() for pair in pairs}) == 12, "each student sees its own fall"


def test_a_camera_is_soft_and_noisy_by_chance() -> None:
    edge = np.zeros((64, 64, 3), np.float32)
    edge[:, 32:] = 200
    seen = [seen_by_camera(edge, np.random.default_rng(seed)) for seed in range(30)]
    steps = [np.diff(one.mean(axis=(0, 2))).max() for one in seen]
    noise = [one[:, 40:].std() for one in seen]
    assert min(steps) < 80 < 130 < max(steps)
    assert min(noise) < 1 < 4 < max(noise)


def test_a_small_camera_blurs_the_student_s_picture_alone() -> None:
    chance = np.random.default_rng(0)
    pixels = torch.from_numpy(chance.integers(0, 255, (2, 3, 224, 224)).astype(np.uint8))
    torch.manual_seed(0)
    clear, seen = ThroughSmallCamera(1.0)(pixels)
    assert torch.equal(clear, pixels[0])
    assert seen.float().diff(dim=-1).abs().mean() < 0.5 * pixels[1].float().diff(dim=-1).abs().mean()
    assert torch.equal(ThroughSmallCamera(0.0)(pixels), pixels)


def test_of_whole_things_most_fall_and_the_rest_are_seen_as_ever() -> None:
    def board_seen(image: torch.Tensor) -> int:
        torch.manual_seed(0)
        students = [TrayView(64, strength=0.0)(image)[3:].permute(1, 2, 0).numpy() for _ in range(60)]
        return sum(bool((one == (20, 200, 20)).all(axis=2).mean() > 0.1) for one in students)

    assert 5 < board_seen(as_image()) < 30
    assert board_seen(as_image(left=240)) == 60
