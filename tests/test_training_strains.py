"""What the strains do to a picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from training.strains import BLUR_PX, NOISE, STRAINS, dark, far, noisy, out_of_focus, turned, warm_light  # noqa: E402

GREY = torch.full((3, 90, 90), 120, dtype=torch.uint8)


def with_line() -> Tensor:
    view = GREY.clone()
    view[:, :, 45] = 255
    return view


@pytest.mark.parametrize("strain", STRAINS.values(), ids=STRAINS)
def test_a_strained_picture_is_as_large_another_and_always_the_same(strain: Callable[[Tensor], Tensor]) -> None:
    strained = strain(with_line())
    assert (strained.shape, strained.dtype) == (GREY.shape, torch.uint8)
    assert not torch.equal(strained, with_line())
    assert torch.equal(strained, strain(with_line()))


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
