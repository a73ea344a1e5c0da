"""The named ways to train."""

from __future__ import annotations

from training.errors import DataError
from training.loop import SEED_RECIPE, Phase, Recipe

RECIPES = {
    "default": Recipe(phases=(Phase(240, 128, 192), Phase(20, 224))),
    "short": Recipe(phases=(Phase(11, 96, 144), Phase(2, 144, 144)), strength=0.6, mixup=0.1),
    "further": Recipe(
        phases=(Phase(28, 96, 144), Phase(4, 160, 160)), batch=64, learning_rate=2e-3, strength=0.6, mixup=0.1
    ),
    "fast": Recipe(phases=(Phase(2, 64),), batch=16, distillation=0.0, hint=0.0, ema_decay=0.9),
    "seed": SEED_RECIPE,
}
"""`default`: for a GPU; `short`: for a patient CPU, about an hour; `further`: two hours more, from a bundle
or checkpoint (`--start`); `fast`: for the tests; `seed`: the student project's, to measure against."""


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises `DataError`."""
    if name not in RECIPES:
        raise DataError(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]
