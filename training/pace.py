"""`python -m training.pace`: how many pictures a second a student learns from, and what a teacher takes of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import get_args

import click
import torch

from training.augment import training_view
from training.models import Norms, Student, Teacher
from training.precision import mixed_precision

TAUGHT_PX = 176
"""The side of the views that the teacher sees, as in the recipe `scratch`."""
ECHO = 3


def learning(norms: Norms, size_px: int, batch: int) -> Callable[[], None]:
    """A step of training on noise: forward and backward, as the loop does it on a CPU."""
    student = Student(10, norms=norms).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    images = torch.randint(0, 256, (batch, 3, size_px, size_px), dtype=torch.uint8)

    def step() -> None:
        with mixed_precision():
            loss = student(images)[0].float().logsumexp(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def explaining(batch: int) -> Callable[[], None]:
    """Views of noise, made as for a training, and a look of the largest teacher at them."""
    teacher, view = Teacher(10, size=2, pretrained=False).eval(), training_view(TAUGHT_PX)
    pictures = torch.randint(0, 256, (batch, 3, 256, 256), dtype=torch.uint8)

    @torch.no_grad()
    def step() -> None:
        views = torch.stack([view(picture) for picture in pictures])
        with mixed_precision():
            teacher(views)

    return step


@click.command()
@click.option("--size", "sizes_px", multiple=True, type=click.IntRange(32), default=(96, 160), show_default=True)
@click.option("--batch", type=click.IntRange(2), default=32, show_default=True)
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Steps of each, by turns; the median counts."
)
def main(sizes_px: tuple[int, ...], batch: int, rounds: int) -> None:
    """Time steps of both kinds of norms, and what a teacher adds, by turns, after a step to warm up."""
    columns = ("own norms", "shared norms", "shared, with teacher", f"the same, each view {ECHO} times")
    click.echo("| pictures/s at px | " + " | ".join(columns) + " |")
    click.echo("| --: " * (len(columns) + 1) + "|")
    taught_step = explaining(batch)
    for size_px in sizes_px:
        steps = {norms: learning(norms, size_px, batch) for norms in get_args(Norms)} | {"taught": taught_step}
        times_s: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(rounds + 1):
            for name, step in steps.items():
                began = time.perf_counter()
                step()
                if turn > 0:
                    times_s[name].append(time.perf_counter() - began)
        own, shared, taught = (statistics.median(times_s[name]) for name in ("own", "shared", "taught"))
        paces = [f"{batch / step_s:.0f}" for step_s in (own, shared, shared + taught, shared + taught / ECHO)]
        click.echo(f"| {size_px} | " + " | ".join(paces) + " |")


if __name__ == "__main__":
    main()
