"""The plots of the report: figures in, SVG out, in the colours of the page it stands on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK = "#17231d"
"""Becomes `currentColor`, so that one picture reads on light and dark pages."""
BRAND, WRONG, SOFT = "#2c9a70", "#d0503f", "#8a978f"
SHRUNK_TO = 0.7
"""Of its width, at least, is a plot shown, or its letters of 10 pt could not be read; a narrower card scrolls."""
STYLE = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titleweight": "bold", "axes.titlesize": 10.5, "axes.titlelocation": "left",
    "legend.frameon": False, "axes.grid": True, "grid.color": SOFT, "grid.alpha": 0.25, "axes.axisbelow": True,
}  # fmt: skip


def _svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element; `name` keeps the ids of several on one page apart."""
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    least = f'<svg style="min-width: {72 * SHRUNK_TO * figure.get_figwidth():.2f}pt"'
    return text[text.index("<svg") :].replace("<svg", least, 1).replace(INK, "currentColor")


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)
    return figure, list(axes[0])


def shares(rows: Sequence[dict[str, Any]], name: str, title: str) -> str:
    """Accuracies with their intervals, one line each."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = _figure(6.4, 0.9 + 0.3 * len(rows))
        ranks = np.arange(len(rows))[::-1]
        values = np.array([100 * row["accuracy"] for row in rows])
        low, high = np.array([[100 * end for end in row["interval95"]] for row in rows]).T
        axes.errorbar(
            values, ranks, xerr=[np.maximum(0, values - low), np.maximum(0, high - values)],
            fmt="o", color=BRAND, capsize=3, elinewidth=2,
        )  # fmt: skip
        axes.set_yticks(ranks, [f"{row['data']} ({row['photos']})" for row in rows])
        axes.set_xlim(max(0, min(95, low.min() - 2)), 100.5)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("right, % (95 % interval)")
        axes.set_title(title)
        return _svg(figure, name)


def confusion(counts: dict[str, dict[str, int]], labels: Sequence[str], name: str, axis: tuple[str, str]) -> str:
    """A confusion matrix: rows are what is right; colour is the share of the row."""
    table = np.array([[counts.get(row, {}).get(column, 0) for column in labels] for row in labels])
    portion = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    with mpl.rc_context(STYLE):
        side = 1.5 + 0.45 * max(6, len(labels))
        figure, (axes,) = _figure(side + 0.4, side)
        for row, column in zip(*np.nonzero(table), strict=True):
            colour = to_rgba(BRAND if row == column else WRONG, 0.75 * portion[row, column] ** 0.5)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="none"))
            axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=9)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylabel(axis[0], labelpad=10)
        axes.set_xlabel(axis[1])
        axes.set_title("Photos")
        axes.grid(visible=False)
        return _svg(figure, name)


def reliability(calibration: dict[str, Any], name: str) -> str:
    """Confidence against accuracy in 15 bins, before and after temperature scaling."""
    with mpl.rc_context(STYLE):
        figure, panels = _figure(7.2, 3.5, 2)
        for axes, when in zip(panels, ("before", "after"), strict=True):
            bins = calibration[f"bins_{when}"]
            photos = np.array([one["photos"] for one in bins])
            starts = [one["from"] for one in bins]
            axes.bar(
                starts, photos / photos.sum(), 1 / 15, align="edge", color=SOFT, alpha=0.35, label="share of photos"
            )
            axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
            axes.plot(
                [one["confidence"] for one in bins], [one["accuracy"] for one in bins], "o-", color=BRAND, markersize=4,
                label="share that is right",
            )  # fmt: skip
            axes.set_title(f"{when} scaling: ECE {calibration[when]:.3f}")
            axes.set_xlabel("confidence")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
        panels[0].legend(fontsize=9)
        return _svg(figure, name)


def risk_coverage(curves: dict[str, Any], name: str) -> str:
    """Errors among the drops that are answered, for each share of answered drops."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = _figure(6.4, 3.4)
        for which, colour, label in (("material", BRAND, "material"), ("lid", "#3f6fb5", "lid, before any fallback")):
            curve = curves[which]
            axes.plot(
                100 * np.array(curve["coverage"]), 100 * np.array(curve["risk"]), color=colour,
                label=f"{label} (area {100 * curve['area']:.2f} %)",
            )  # fmt: skip
        shipped = curves["as_shipped"]
        axes.plot(100 * shipped["coverage"], 100 * shipped["risk"], "D", color=WRONG, markersize=7, label="as shipped")
        axes.set_xlabel("answered, % of photos, the surest first")
        axes.set_ylabel("wrong, % of those answered")
        axes.set_xlim(0, 101)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        return _svg(figure, name)


def cost(lids: dict[str, Any], chosen: float, name: str) -> str:
    """What wrong lids cost, and how often mistakes are grave, over the confidence threshold."""
    rows = lids["by_threshold"]
    with mpl.rc_context(STYLE):
        panels = [("mean_cost", 1, "mean cost of a drop")]
        if lids["grave_mistakes"]["photos"]:
            panels.append(("grave_mistakes", 100, f"{lids['grave_mistakes']['data']}, %"))
        figure, places = _figure(3.6 * len(panels), 3.2, len(panels))
        at = [row["confidence"] for row in rows]
        for axes, (key, scale, label) in zip(places, panels, strict=True):
            axes.plot(at, [scale * row[key] for row in rows], "o-", color=BRAND, markersize=3.5)
            axes.axvline(chosen, color=WRONG, linestyle="--", linewidth=1.2)
            axes.set_title(label)
            axes.set_xlabel("confidence threshold (dashed: shipped)")
            axes.set_ylim(bottom=0)
        return _svg(figure, name)
