"""One page that holds everything: figures, plots and, where they may be shown, the worst mistakes."""

from __future__ import annotations

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from training.report import plots


def page(figures: dict[str, Any], sheet: Image.Image | None) -> str:
    """The report as one HTML file without outside parts; `figures` is what stands in the JSON beside it.

    `sheet`: the worst mistakes' photos; None leaves all photos out.
    """
    environment = Environment(loader=PackageLoader("training.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    drawn = {name: _drawn(part, figures, name) for name, part in figures["parts"].items()}
    picture = None if sheet is None else _embedded(sheet)
    return environment.get_template("page.html").render(**figures, drawn=drawn, sheet=picture)


def _drawn(part: dict[str, Any], figures: dict[str, Any], name: str) -> dict[str, Markup]:
    opened = {lid for row in part["lids"]["confusion"].values() for lid in row}  # the fallback may be no material's
    compartments = sorted({*figures["compartment_of"].values(), *opened})
    materials, lids = ("what it is", "what the model said"), ("lid that is right", "lid that opens")
    drawn = {
        "classes": plots.shares(part["per_class"], f"{name} classes", "Recall of each material"),
        "compartments": plots.shares(part["lids"]["per_compartment"], f"{name} compartments", "Lids, as shipped"),
        "confusion": plots.confusion(part["confusion"], figures["classes"], f"{name} confusion", materials),
        "lids": plots.confusion(part["lids"]["confusion"], compartments, f"{name} lids", lids),
        "reliability": plots.reliability(part["calibration"], f"{name} reliability"),
        "risk": plots.risk_coverage(part["risk_coverage"], f"{name} risk"),
        "cost": plots.cost(part["lids"], figures["thresholds"]["confidence"], f"{name} cost"),
    }
    return {key: Markup(svg) for key, svg in drawn.items()}


def _embedded(sheet: Image.Image) -> str:
    """A picture as a `data:` URL."""
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
