"""`python -m export.card BUNDLE`: the tables of the model card, read from the bundle itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from device.bundle import Bundle, Contract
from training.options import Told


def tables(contract: Contract) -> Iterator[str]:
    """Markdown lines: sources, then accuracies with their split and interval."""
    yield "| trained on | photos | licence |"
    yield "| --- | --- | --- |"
    for source in contract.sources:
        yield f"| {source.name} | {source.photos} | {source.licence} |"
    yield ""
    yield "| measured on | part | right | accuracy | 95 % interval |"
    yield "| --- | --- | --- | --- | --- |"
    for metric in contract.metrics:
        percent, low, high = (100 * part for part in (metric.correct / metric.photos, *metric.interval95))
        yield (
            f"| {metric.data} | {metric.split} | {metric.correct} of {metric.photos} | {percent:.1f} % "
            f"| {low:.1f}…{high:.1f} % |"
        )
    yield ""
    energy = contract.thresholds.energy
    yield (
        f"Version `{contract.version}`, temperature {contract.temperature:.3f}, thresholds: confidence "
        f"{contract.thresholds.confidence}, energy {'none' if energy is None else energy}; expected calibration error "
        f"of the float model (15 bins, cross-fitted) {contract.provenance.get('expected_calibration_error')}."
    )


@click.command(cls=Told)
@click.argument("bundle", type=click.Path(path_type=Path), default=Path("models/default.onnx"))
def main(bundle: Path) -> None:
    """Print the tables of the model card."""
    for line in tables(Bundle.open(bundle).contract):
        click.echo(line)


if __name__ == "__main__":
    main()
