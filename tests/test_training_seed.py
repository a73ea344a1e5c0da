"""The recipe that Pilah grew out of can be measured on the same photos."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from tests.drawn import a_picture, save  # noqa: E402
from training.models import Teacher  # noqa: E402
from training.sampling import Photos  # noqa: E402
from training.seed import fit_seed_head, predict_with_head  # noqa: E402
from training.split import Photo  # noqa: E402


def test_the_seeds_head_learns_on_a_backbone_that_stays_as_it_is(tmp_path: Path) -> None:
    listed = []
    for number in range(12):
        picture = a_picture(96, 96, seed=number)
        if number % 2:
            picture[::6] = 0  # a grille before it
        file = save(picture, tmp_path / f"{number}.png")
        listed.append(Photo(str(file), "drawn", ("free", "behind bars")[number % 2], "train", number))
    classes = ("behind bars", "free")
    torch.manual_seed(0)
    backbone = Teacher(2, 0)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    head = fit_seed_head(backbone, Photos(listed, classes), 2, views=2, size_px=96, epochs=60)
    outcome = predict_with_head(backbone, head, listed, classes)
    assert outcome.right.all()
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Dropout", "Linear"]
