"""Now: the bin as it is this moment, told by server-sent events, and the picture of its tray."""

from __future__ import annotations

import threading

from flask import Blueprint, Flask, Response, abort, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from device.page.bin import Bin, the_bin
from device.page.stream import Broadcast, TrayPicture

STREAMS_AT_MOST = 32
"""Watchers at once; each holds a thread, and the next asks again and again instead."""

now = Blueprint("now", __name__)


def install(app: Flask, bin_: Bin) -> None:
    if bin_.appliance is None:
        return
    app.extensions["pilah-streams"] = threading.BoundedSemaphore(STREAMS_AT_MOST)
    tray = app.extensions["pilah-tray"] = TrayPicture(bin_.appliance, bin_.clock)
    app.extensions["pilah-broadcast"] = Broadcast(bin_.appliance, tray, bin_.clock, app.extensions["pilah-closing"])
    app.register_blueprint(now)


@now.get("/now")
def page() -> ResponseReturnValue:
    return render_template("now.html", bin=the_bin().config, start=_broadcast().start)


@now.get("/tray.jpg")
def tray() -> ResponseReturnValue:
    newest: TrayPicture = current_app.extensions["pilah-tray"]
    picture, _ = newest.get()
    if picture is None:
        abort(404)
    response = Response(picture, mimetype="image/jpeg")
    response.add_etag()
    response.cache_control.no_cache = True
    return response.make_conditional(request)


@now.get("/api/now")
def snapshot() -> ResponseReturnValue:
    """The latest event of each kind: what a watcher asks for who found no place in the stream."""
    return jsonify(_broadcast().standing())


@now.get("/events")
def stream() -> ResponseReturnValue:
    """What happens, as it happens, until the watcher leaves."""
    places: threading.BoundedSemaphore = current_app.extensions["pilah-streams"]
    if not places.acquire(blocking=False):
        abort(503)
    response = Response(_broadcast().watch(), mimetype="text/event-stream")
    response.cache_control.no_store = True
    response.call_on_close(places.release)
    return response


def _broadcast() -> Broadcast:
    broadcast: Broadcast = current_app.extensions["pilah-broadcast"]
    return broadcast
