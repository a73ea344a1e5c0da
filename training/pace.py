"""`python -m training.pace`: how many pictures a second a student learns from, with its own and with shared norms."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import get_args

import click
import torch

from training.models import Norms, Student


def learning(norms: Norms, size_px: int, batch: int) -> Callable[[], None]:
    """A step of training on noise: forward and backward in bfloat16, as the loop does it on a CPU."""
    student = Student(10, norms=norms).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    images = torch.randint(0, 256, (batch, 3, size_px, size_px), dtype=torch.uint8)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = student(images)[0].float().logsumexp(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


@click.command()
@click.option("--size", "sizes_px", multiple=True, type=click.IntRange(32), default=(96, 160), show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Steps of each, by turns; the median counts.")
def main(sizes_px: tuple[int, ...], batch: int, rounds: int) -> None:
    """Time both kinds of norms by turns, after a step to warm up."""
    click.echo("| px | " + " | ".join(f"{norms} norms, pictures/s" for norms in get_args(Norms)) + " |")
    click.echo("| --: | --: | --: |")
    for size_px in sizes_px:
        steps = {norms: learning(norms, size_px, batch) for norms in get_args(Norms)}
        times_s: dict[str, list[float]] = {norms: [] for norms in steps}
        for turn in range(rounds + 1):
            for norms, step in steps.items():
                began = time.perf_counter()
                step()
                if turn > 0:
                    times_s[norms].append(time.perf_counter() - began)
        paces = [f"{batch / statistics.median(times):.0f}" for times in times_s.values()]
        click.echo(f"| {size_px} | " + " | ".join(paces) + " |")


if __name__ == "__main__":
    main()
