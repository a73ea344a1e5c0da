"""What makes the page an app on a phone: manifest, service worker and the page for when the bin is out of reach."""

from __future__ import annotations

from flask import Flask, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from device.page.words import language


def install(app: Flask) -> None:
    app.add_url_rule("/manifest.webmanifest", "manifest", manifest)
    app.add_url_rule("/service-worker.js", "service_worker", service_worker)
    app.add_url_rule("/offline", "offline", offline)


def manifest() -> ResponseReturnValue:
    def icon(name: str, sizes: str, kind: str, purpose: str = "any") -> dict[str, str]:
        return {"src": url_for("static", filename=f"icons/{name}"), "sizes": sizes, "type": kind, "purpose": purpose}

    values = {
        "name": "Pilah",
        "short_name": "Pilah",
        "description": _("The bin that sorts: see it, ask it, teach it."),
        "lang": language(),
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f5f3ec",
        "theme_color": "#17694c",
        "icons": [
            icon("pilah.svg", "any", "image/svg+xml"),
            icon("pilah-192.png", "192x192", "image/png"),
            icon("pilah-512.png", "512x512", "image/png"),
            icon("pilah-maskable-512.png", "512x512", "image/png", "maskable"),
        ],
    }
    return current_app.json.dumps(values), 200, {"Content-Type": "application/manifest+json"}


def service_worker() -> ResponseReturnValue:
    """From the root, since a service worker rules only what lies below it."""
    response = current_app.send_static_file("service-worker.js")
    response.cache_control.no_cache = True
    return response


def offline() -> ResponseReturnValue:
    return render_template("offline.html")
