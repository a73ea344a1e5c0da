"""Now: the bin as it is this moment, told by server-sent events, and the picture of its tray."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import cv2
from flask import Blueprint, Flask, Response, abort, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from device.camera import Frame
from device.clock import Clock
from device.events import Event, Subscription
from device.page.bin import Appliance, Bin, the_bin

STREAMS_AT_MOST = 32
"""Watchers at once; each holds a thread, and the next asks again and again instead."""
EVENTS_WAIT_AT_MOST = 64
LOOKS_EVERY_S = 0.5
"""How often a watcher is told of a new picture."""
SILENT_AT_MOST_S = 10.0
"""After so long without news a comment is sent, so that a watcher who left is noticed."""
PICTURE_WIDTH = 640
PICTURE_QUALITY = 80
PICTURES_EVERY_S = 0.25
"""A picture is encoded at most this often, however many watch."""

now = Blueprint("now", __name__)


class TrayPicture:
    """The newest frame as a JPEG, encoded once for all who watch."""

    def __init__(self, appliance: Appliance, clock: Clock) -> None:
        self._appliance = appliance
        self._clock = clock
        self._lock = threading.Lock()
        self._encoded: bytes | None = None
        self._encoded_s = float("-inf")
        self._frame_s: float | None = None

    def get(self) -> bytes | None:
        """None as long as the camera has given nothing."""
        with self._lock:
            frame = self._appliance.newest_frame()
            too_soon = self._clock.now() - self._encoded_s < PICTURES_EVERY_S
            if frame is not None and frame.time_s != self._frame_s and not too_soon:
                self._encoded, self._frame_s, self._encoded_s = _encode(frame), frame.time_s, self._clock.now()
            return self._encoded


def _encode(frame: Frame) -> bytes:
    height, width = frame.pixels.shape[:2]
    pixels: Any = frame.pixels
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, round(height * PICTURE_WIDTH / width))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])
    return encoded[1].tobytes()


def install(app: Flask, bin_: Bin) -> None:
    if bin_.appliance is None:
        return
    app.extensions["pilah-streams"] = threading.BoundedSemaphore(STREAMS_AT_MOST)
    app.extensions["pilah-tray"] = TrayPicture(bin_.appliance, bin_.clock)
    app.register_blueprint(now)


@now.get("/now")
def page() -> ResponseReturnValue:
    return render_template("now.html", bin=the_bin().config)


@now.get("/tray.jpg")
def tray() -> ResponseReturnValue:
    picture: bytes | None = current_app.extensions["pilah-tray"].get()
    if picture is None:
        abort(404)
    response = Response(picture, mimetype="image/jpeg")
    response.add_etag()
    response.cache_control.no_cache = True
    return response.make_conditional(request)


@now.get("/api/now")
def snapshot() -> ResponseReturnValue:
    """The latest event of each kind: what a watcher asks for who found no place in the stream."""
    return jsonify([_public(event) for event in _appliance().snapshot()])


@now.get("/events")
def stream() -> ResponseReturnValue:
    """What happens, as it happens (server-sent events; WHATWG HTML, section 9.2): first how things stand."""
    places: threading.BoundedSemaphore = current_app.extensions["pilah-streams"]
    if not places.acquire(blocking=False):
        abort(503)
    appliance = _appliance()
    subscription = appliance.events.subscribe(EVENTS_WAIT_AT_MOST)
    response = Response(
        _tell(appliance, subscription, current_app.extensions["pilah-closing"]), mimetype="text/event-stream"
    )
    response.cache_control.no_store = True

    def leave() -> None:
        appliance.events.unsubscribe(subscription)
        places.release()

    response.call_on_close(leave)
    return response


def _tell(appliance: Appliance, subscription: Subscription, closing: threading.Event) -> Iterator[str]:
    yield "retry: 2000\n\n"
    yield _standing(appliance)
    lost, frame_s, silent_s = 0, None, 0.0
    while not closing.is_set():
        events = subscription.take(LOOKS_EVERY_S)
        if subscription.lost > lost:
            lost = subscription.lost
            yield _standing(appliance)
        elif events:
            yield "".join(_data(_public(event)) for event in events)
        frame = appliance.newest_frame()
        if frame is not None and (frame_s is None or frame.time_s - frame_s >= LOOKS_EVERY_S):
            frame_s = frame.time_s
            yield _data({"event": "frame", "time": frame.time_s})
        silent_s = 0.0 if events or frame else silent_s + LOOKS_EVERY_S
        if silent_s >= SILENT_AT_MOST_S:
            silent_s = 0.0
            yield ":\n\n"


def _standing(appliance: Appliance) -> str:
    return _data({"event": "snapshot", "events": [_public(event) for event in appliance.snapshot()]})


def _public(event: Event) -> dict[str, Any]:
    """The event without what is nobody's business on the network: paths of the bin's own files."""
    return {key: value for key, value in event.as_dict().items() if key != "file"}


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _appliance() -> Appliance:
    appliance = the_bin().appliance
    assert appliance is not None, "the blueprint is registered with an appliance only"
    return appliance
