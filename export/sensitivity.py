"""`python -m export.sensitivity`: what rounding each layer alone does to the logits, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import torch
from torch import Tensor

from device.bundle import Bundle
from device.camera.simulated import SAMPLES
from device.pictures import picture_files
from export.bundle import rewritten
from export.equalise import equalise
from export.errors import ExportError
from export.network import EXACT, Arithmetic, Convolution, Network, run
from export.simulate import EightBits
from training.augment import evaluation_view, read_photo
from training.checkpoints import load_student
from training.models import Student
from training.options import Told
from training.revive import student_from_bundle

EIGHT_BITS = EightBits()


class Rounding(Arithmetic):
    """Rounds the weights of the convolution `weights_of` and the intermediate `output_of`; all else stays exact."""

    def __init__(self, weights_of: str = "", output_of: str = "") -> None:
        self._weights_of, self._output_of = weights_of, output_of

    def convolve(self, name: str, convolution: Convolution, value: Tensor) -> Tensor:
        return (EIGHT_BITS if name == self._weights_of else EXACT).convolve(name, convolution, value)

    def store(self, name: str, value: Tensor) -> Tensor:
        return (EIGHT_BITS if name == self._output_of else EXACT).store(name, value)


@torch.no_grad()
def sensitivities(network: Network, photos: Tensor) -> Iterator[tuple[str, float, float]]:
    """For each convolution its name and the root mean square change of a logit when nothing but its weights, and
    nothing but its output, is rounded. `network`: equalised; `photos`: (N, 3, S, S) uint8.
    """
    exact = run(network, photos)

    def change(rounding: Rounding) -> float:
        return float((run(network, photos, rounding) - exact).square().mean().sqrt())

    for name in names(network):
        yield name, change(Rounding(weights_of=name)), change(Rounding(output_of=name))


def names(network: Network) -> list[str]:
    """The convolutions in the order in which they run."""
    found = ["stem"]
    for i, stage in enumerate(network.stages):
        found += [f"{i}.{j}.{part}" for j in range(len(stage.layers)) for part in ("squeeze", "grow")]
        found += [] if stage.transition is None else [f"{i}.transition"]
    return found


@click.command(cls=Told)
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="A training; default: the bundle's network.")
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("models/default.onnx"), show_default=True)
@click.option("--photos", type=click.Path(path_type=Path), default=SAMPLES, show_default=True)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Photos to measure on, spread over the folder.",
)
def main(run_folder: Path | None, bundle: Path, photos: Path, count: int) -> None:
    """Print how sensitive the logits are to each layer's rounding, as a table; the worst layer first."""
    files = picture_files(photos)
    if not files:
        raise ExportError(f"{photos} holds no picture to measure on: name another folder with --photos.")
    views = torch.stack([evaluation_view(read_photo(str(f))) for f in files[:: max(1, len(files) // count)]])
    student: Student
    if run_folder is None:
        student = student_from_bundle(bundle, Bundle.open(bundle).contract.classes, views)
    else:
        student = load_student(run_folder / "model.pt")[0]
    network, ranges = rewritten(student, views)
    rows = sorted(sensitivities(equalise(network, ranges), views), key=lambda row: -max(row[1:]))
    click.echo("| layer | weights rounded: change of a logit (rms) | output rounded |\n| --- | --: | --: |")
    for name, by_weights, by_output in rows:
        click.echo(f"| {name} | {by_weights:.5f} | {by_output:.5f} |")


if __name__ == "__main__":
    main()
