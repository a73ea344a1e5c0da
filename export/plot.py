"""`python -m export.plot BENCH.json`: what `pilah bench --json` told, as table and plot of docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from device.bench import OURS, table
from export.errors import ExportError
from training.options import Told

PAGE = Path("docs/performance.md")


def draw(told: dict[str, Any], path: Path) -> None:
    """Medians as bars, one group a model, one colour a number of threads; ticks reach to the 95th percentile."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["name"] for row in told["rows"]))
    counts = sorted({row["threads"] for row in told["rows"]})
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(names) + 1.2), layout="constrained")
    height = 0.8 / len(counts)
    for k, count in enumerate(counts):
        rows = [row for row in told["rows"] if row["threads"] == count]
        at = [names.index(row["name"]) + (k - (len(counts) - 1) / 2) * height for row in rows]
        axes.barh(at, [row["p50_ms"] for row in rows], height, label=f"{count} thread{'s' * (count > 1)}")
        axes.hlines(at, [row["p50_ms"] for row in rows], [row["p95_ms"] for row in rows], "0.4", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.get_yticklabels()[names.index(OURS)].set_fontweight("bold")
    axes.invert_yaxis()
    axes.set_xlabel("ms a picture: median, line to the 95th percentile")
    axes.set_title(told["machine"]["processor"])
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def insert(page: str, name: str, lines: list[str]) -> str:
    """The page with the lines between its marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return "\n".join([before + begin, *lines, end]) + after


def _is_bench(values: Any) -> bool:
    if not isinstance(values, dict) or not {"machine", "rows", "times_ours", "left_out"} <= values.keys():
        return False
    return any(row["name"] == OURS for row in values["rows"])


@click.command(cls=Told)
@click.argument("told", type=click.Path(path_type=Path, exists=True))
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, show_default=True)
def main(told: Path, page: Path) -> None:
    """Put the table and the plot of a bench into the page."""
    try:
        values = json.loads(told.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ExportError(f"{told} is not what `pilah bench --json` prints ({fault}).") from fault
    if not _is_bench(values):
        raise ExportError(f"{told} is not what `pilah bench --json` prints: it holds no times of the bundle.")
    draw(values, page.with_suffix(".svg"))
    lines = [*table(values), "", f"![Medians]({page.stem}.svg)"]
    page.write_text(insert(page.read_text(encoding="utf-8"), "bench", lines), encoding="utf-8")
    click.echo(f"{page} and {page.with_suffix('.svg')} tell of {values['machine']['processor']}.")


if __name__ == "__main__":
    main()
