"""Ask: what is in this photo, and where does it go? For people, and as a JSON API."""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from device.classifier import Classifier
from device.decision import Decision, decide
from device.errors import PictureError
from device.page.bin import Bin, the_bin
from device.page.limits import RateLimit, client_key
from device.page.words import compartment_class, compartment_word, material_word
from device.pictures import decode_picture

BYTES_AT_MOST = 12 * 1024 * 1024
"""Of one upload; the page's script makes larger photos smaller before it sends them."""
PIXELS_AT_MOST = 25_000_000
"""Of one upload: 75 MB decoded, so that one at a time fits a Pi with 1 GB."""
WAITING_AT_MOST = 8
UPLOADS_OF_ONE, UPLOADS_PERIOD_S = 60, 60.0

ask = Blueprint("ask", __name__)


class Busy(Exception):
    """Too many photos wait already."""


class Asker:
    """Judges one photo at a time with a model of its own, and lets the loop go first.

    The model is loaded at the first photo and runs on one core, so the loop's cores stay its own.
    """

    def __init__(self, bin_: Bin) -> None:
        self._bin = bin_
        self._classifier: Classifier | None = None
        self._places = threading.BoundedSemaphore(WAITING_AT_MOST)
        self._turn = threading.Lock()

    def judge(self, encoded: bytes, name: str) -> Decision:
        """The decision for one encoded photo. Raises `PictureError`, `BundleError`, or `Busy` when too many wait."""
        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            with self._turn:
                self._classifier = self._classifier or self._bin.open_classifier()
                picture = decode_picture(encoded, name, PIXELS_AT_MOST)
                return decide([self._classifier.observe(picture)], self._bin.policy)
        finally:
            self._places.release()


def install(app: Flask, bin_: Bin) -> None:
    app.extensions["pilah-asker"] = Asker(bin_)
    app.extensions["pilah-upload-limit"] = RateLimit(UPLOADS_OF_ONE, UPLOADS_PERIOD_S, bin_.clock)
    app.register_blueprint(ask)


@ask.get("/ask")
def page() -> ResponseReturnValue:
    return render_template("ask.html", bytes_at_most=BYTES_AT_MOST)


@ask.get("/api/openapi.json")
def openapi() -> ResponseReturnValue:
    return current_app.send_static_file("openapi.json")


@ask.post("/api/classify")
def classify() -> ResponseReturnValue:
    """Judge the photo in the form field `photo`; openapi.json describes it."""
    upload: RateLimit = current_app.extensions["pilah-upload-limit"]
    if wait_s := upload.wait_s(client_key(request.remote_addr)):
        return _refuse(429, _("Too many photos at once; wait a little."), wait_s)
    photo = request.files.get("photo")
    if photo is None:
        return _refuse(400, _("Send a picture in the form field `photo`."))
    asker: Asker = current_app.extensions["pilah-asker"]
    try:
        decision = asker.judge(photo.stream.read(), _("The photo"))
    except PictureError as fault:
        return _refuse(415, str(fault))
    except Busy:
        return _refuse(503, _("Many photos are waiting; try again in a moment."), 2.0)
    return jsonify(answer(decision))


def answer(decision: Decision) -> dict[str, Any]:
    """A decision as the API gives it: names for programs, words for people."""
    bin_ = the_bin()
    return {
        "material": decision.material,
        "compartment": decision.compartment,
        "verdict": decision.verdict,
        "confidence": round(decision.confidence, 4),
        "probabilities": {name: round(value, 4) for name, value in decision.probabilities.items()},
        "model_version": bin_.contract.version,
        "words": {
            "material": material_word(decision.material),
            "compartment": compartment_word(decision.compartment),
            "colour": bin_.config.compartments[decision.compartment].colour,
            "class": compartment_class(decision.compartment),
        },
    }


def _refuse(status: int, sentence: str, retry_s: float | None = None) -> ResponseReturnValue:
    headers = {} if retry_s is None else {"Retry-After": str(max(1, round(retry_s)))}
    return {"error": sentence}, status, headers
