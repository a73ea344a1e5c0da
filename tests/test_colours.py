"""The colours of lids: what the page paints a bin with whose owner chose none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CompartmentSection, Config
from device.page.app import create_app
from tests.page_parts import PlayedAppliance, journal_in, lids_labelled, make_bin

LIDS = "ABCDEFGHIJ"
SEEN = {
    "all colours": np.eye(3),
    "no red": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no green": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
}
"""Linear RGB as it is seen by who has all kinds of cones, or one less (Machado, Oliveira, Fernandes 2009)."""
TO_CONES = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
TO_LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
"""Oklab (Ottosson 2020), in which distances are as large as they look; black is 1 from white."""
CARDS = {"light": "#fffefb", "dark": "#18211d"}
"""What lies under a chart, `--card` in style.css."""


def _linear(*colours: str) -> NDArray[np.float64]:
    """(colours, 3), 0 to 1."""
    levels = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cbrt(np.clip(linear, 0, 1) @ TO_CONES.T) @ TO_LAB.T)


def test_lids_whose_owner_chose_no_colour_are_told_apart_in_the_chart_and_on_the_bin(tmp_path: Path) -> None:
    config = lids_labelled(*LIDS)
    bin_ = make_bin(tmp_path, config, appliance=PlayedAppliance(config.compartments), journal=journal_in(tmp_path))
    visitor = create_app(bin_).test_client()
    chart = json.loads(visitor.get("/history").text.split('id="chart-values">')[1].split("</script>")[0])
    assert len({one["colour"] for one in chart["series"]}) == len(LIDS)
    painted = [line.split("--compartment:")[1][:7] for line in visitor.get("/compartments.css").text.splitlines()]
    assert painted == [one["colour"] for one in chart["series"]]


def test_a_colour_that_an_owner_chose_stays_and_the_lid_beside_it_gets_one() -> None:
    lids = {"paper": CompartmentSection(servo_pin=1, colour="#123456"), "residual": CompartmentSection(servo_pin=2)}
    materials = dict.fromkeys(Config().materials, "residual")
    given = Config.model_validate({"compartments": lids, "materials": materials}).compartments
    assert given["paper"].colour == "#123456"
    assert given["residual"].colour not in ("#123456", CompartmentSection(servo_pin=2).colour)


@pytest.mark.parametrize("sees", SEEN)
def test_no_lid_without_a_colour_is_taken_for_another(sees: str) -> None:
    seen = _lab(_linear(*(lid.colour for lid in lids_labelled(*LIDS).compartments.values())) @ SEEN[sees].T)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1) + 9 * np.eye(len(LIDS))
    assert apart.min() > 0.09, "as far as #616161 is from #7c7c7c"


@pytest.mark.parametrize("scheme", CARDS)
def test_a_lid_without_a_colour_stands_out_from_a_light_and_a_dark_page(scheme: str) -> None:
    colours = [lid.colour for lid in lids_labelled(*LIDS).compartments.values()]
    seen = _linear(*colours)
    if scheme == "dark":  # as history.js and style.css lighten it
        lighter = _lab(seen) * 0.85 + np.array([0.15, 0, 0])
        seen = (lighter @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_CONES).T
    luminance = np.concatenate([seen, _linear(CARDS[scheme])]) @ np.array([0.2126, 0.7152, 0.0722]) + 0.05
    ratio = np.maximum(luminance[:-1], luminance[-1]) / np.minimum(luminance[:-1], luminance[-1])
    assert ratio.min() >= 3, "WCAG 2.2, 1.4.11"
