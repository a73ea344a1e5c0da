"""What the strains do to a picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from training.strains import (  # noqa: E402
    BLUR_PX,
    NOISE,
    STRAINS,
    dark,
    far,
    noisy,
    other_ground,
    out_of_focus,
    turned,
    warm_light,
)

GREY = torch.full((3, 90, 90), 120, dtype=torch.uint8)


def with_line() -> Tensor:
    view = GREY.clone()
    view[:, :, 45] = 255
    return view


def with_thing() -> Tensor:
    view = GREY.clone()
    view[:, 30:70, 35:60] = torch.tensor([200, 60, 40], dtype=torch.uint8).view(3, 1, 1)
    return view


@pytest.mark.parametrize("strain", STRAINS.values(), ids=STRAINS)
def test_a_strained_picture_is_as_large_another_and_always_the_same(strain: Callable[[Tensor], Tensor]) -> None:
    strained = strain(with_thing())
    assert (strained.shape, strained.dtype) == (GREY.shape, torch.uint8)
    assert not torch.equal(strained, with_thing())
    assert torch.equal(strained, strain(with_thing()))


def test_blur_spreads_a_line_as_far_as_it_says() -> None:
    spread = out_of_focus(with_line())[0, 45].double() - 120
    columns = torch.arange(90) - 45
    deviation = (spread * columns**2).sum() / spread.sum()
    assert deviation.sqrt() == pytest.approx(BLUR_PX, rel=0.1)


def test_noise_deviates_as_it_says() -> None:
    assert noisy(GREY).double().std() == pytest.approx(NOISE, rel=0.05)


def test_the_dark_is_darker_and_a_warm_lamp_is_red() -> None:
    assert dark(GREY).max() < 120
    red, green, blue = warm_light(GREY).double().mean(dim=(1, 2))
    assert red > green > blue


def test_what_is_turned_leans_and_what_is_far_is_smaller() -> None:
    leaning = turned(with_line())
    up, left, right = slice(15, 30), slice(15, 30), slice(60, 75)
    assert (leaning[0, up, left].max() == 255) != (leaning[0, up, right].max() == 255)
    square = GREY.clone()
    square[:, 30:60, 30:60] = 255
    assert (far(square)[0, 45] > 200).sum() == pytest.approx(20, abs=1)


def test_on_another_ground_the_thing_itself_stays_as_it_was() -> None:
    moved = other_ground(with_thing())
    thing, corner = (slice(None), slice(35, 65), slice(40, 55)), (slice(None), slice(0, 20), slice(0, 20))
    assert torch.equal(moved[thing], with_thing()[thing])
    assert (moved[corner].float() - 120).abs().mean() > 10
    assert torch.equal(other_ground(GREY), GREY), "where nothing lies, nothing is moved"
