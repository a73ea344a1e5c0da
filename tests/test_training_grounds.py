"""Things cut out of plain grounds and laid on others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.drawn import save
from training.augment import photo_and_cut_out
from training.grounds import OnOtherGround, cut_out, ground, laid_on

Pixels = NDArray[np.uint8]
WHOLE = 255


def on_a_board(things: int = 1) -> tuple[Pixels, NDArray[np.bool_]]:
    """(200, 260, 3) uint8: red rings on a white board in light that falls off to the right; and where they are."""
    where = np.zeros((200, 260), np.uint8)
    for number in range(things):
        cv2.circle(where, (50 + 160 * number // max(1, things - 1), 100), 45 // things + 4, 1, -1)
    board = np.tile(np.linspace(235, 160, 260)[None, :, None], (200, 1, 3))
    board[where == 1] = (170, 50, 40)
    cv2.circle(board, (50, 100), 9, (200, 200, 200), -1)
    noise = np.random.default_rng(0).normal(0, 2, board.shape)
    return np.clip(board + noise, 0, 255).astype(np.uint8), where.astype(bool)


def test_a_thing_is_cut_out_of_an_unevenly_lit_board_with_what_lies_within_it() -> None:
    picture, where = on_a_board()
    share = cut_out(picture)
    assert share is not None
    assert (share.shape, share.dtype) == (where.shape, np.uint8)
    found = share > 127
    assert (found & where).sum() / (found | where).sum() > 0.93
    assert share[100, 50] == WHOLE, "its hole is filled"


def test_what_has_no_plain_ground_or_no_thing_is_left_whole() -> None:
    chance = np.random.default_rng(1)
    crowded = cv2.resize(chance.integers(0, 255, (12, 16, 3)).astype(np.uint8), (260, 200))
    empty = np.full((200, 260, 3), 200, np.uint8)
    filled = np.full((200, 260, 3), 200, np.uint8)
    filled[3:-3, 3:-3] = (170, 50, 40)
    assert [cut_out(crowded), cut_out(empty), cut_out(filled)] == [None, None, None]


def test_the_dots_of_a_cloth_are_no_thing() -> None:
    assert cut_out(on_a_board(things=1)[0]) is not None
    assert cut_out(on_a_board(things=4)[0]) is None


@pytest.mark.parametrize("size", [64, 224])
def test_grounds_are_of_all_kinds_and_those_of_a_seed_alike(size: int) -> None:
    made = [ground(np.random.default_rng(seed), size) for seed in range(40)]
    assert {(one.shape, one.dtype.name) for one in made} == {((size, size, 3), "uint8")}
    assert np.array_equal(made[3], ground(np.random.default_rng(3), size))
    brightness = [float(one.mean()) for one in made]
    contrast = [float(one.std()) for one in made]
    assert min(brightness) < 70 < 180 < max(brightness)
    assert min(contrast) < 12 < 35 < max(contrast)


def test_a_thing_keeps_its_pixels_and_a_half_pixel_is_half_of_each() -> None:
    thing, other = np.full((1, 3, 3), 200, np.uint8), np.full((1, 3, 3), 100, np.uint8)
    assert laid_on(thing, np.array([[255, 0, 128]], np.uint8), other)[0, :, 0].tolist() == [200, 100, 150]


def test_teacher_and_student_see_the_same_thing_on_different_grounds() -> None:
    picture, where = on_a_board()
    share = np.where(where, WHOLE, 0).astype(np.uint8)
    image = torch.from_numpy(np.dstack([picture, share])[:200, :200]).permute(2, 0, 1)
    thing = torch.from_numpy(where[:200, :200])
    torch.manual_seed(0)
    pairs = [OnOtherGround(0.5)(image) for _ in range(40)]
    moved = [not torch.equal(before, after) for before, after in pairs]
    assert 10 < sum(moved) < 30
    for before, after in pairs:
        assert torch.equal(before, image[:3])
        assert torch.equal(after[:, thing], before[:, thing])
    assert torch.equal(OnOtherGround(0.0)(image), torch.stack([image[:3], image[:3]]))


def test_a_photo_of_no_thing_is_the_things_from_edge_to_edge(tmp_path: Path) -> None:
    picture, where = on_a_board()
    alone = photo_and_cut_out(str(save(picture, tmp_path / "ring.png")))
    assert alone.shape == (200, 260, 4)
    assert np.array_equal(alone[..., :3], picture)
    assert alone[..., 3][where].mean() > 230 > 20 > alone[..., 3][~where].mean()
    noise = np.random.default_rng(1).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    assert (photo_and_cut_out(str(save(noise, tmp_path / "noise.png")))[..., 3] == WHOLE).all()
