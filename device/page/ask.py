"""Ask: what is in this photo, and where does it go? For people, and as a JSON API."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from flask import Blueprint, Flask, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import ServiceUnavailable

from device.classifier import Classifier
from device.decision import Decision, decide
from device.errors import BundleError, NothingToLearnError, PictureError
from device.events import StateEvent
from device.page.bin import Bin, the_bin
from device.page.limits import RateLimit, client_key
from device.page.uploads import BYTES_AT_MOST
from device.page.words import compartment_class, compartment_word, language, material_word
from device.pictures import SMALLEST_SIDE_PX, decode_picture, encode_jpeg, is_blank, shrunk

log = logging.getLogger(__name__)

PIXELS_AT_MOST = 25_000_000
"""Of one upload: 150 MB while it is decoded, 215 of a WebP with transparency; one at a time fits a Pi with 1 GB."""
WAITING_AT_MOST = 8
JUDGING = frozenset({"arriving", "still", "deciding"})
WAITS_FOR_LOOP_S, LOOKS_EVERY_S = 3.0, 0.02
"""A photo waits so long at most while the bin judges an object; after that it is answered beside the loop."""
KEPT_SHORT_SIDE, KEPT_QUALITY = 512, 92
"""Pixels and JPEG quality of a photo that is kept for training."""
UPLOADS_OF_ONE, UPLOADS_PERIOD_S = 60, 60.0

NICENESS = 10
"""Of the thread that computes, mostly without Python's lock: on a busy core, the loop gets nine times its share (weight
1024 to 110, sched(7))."""
_Done = TypeVar("_Done")

ask = Blueprint("ask", __name__)


class Busy(ServiceUnavailable):
    """Too many photos wait already; the client is told to come back (503)."""


class ModelChanged(ServiceUnavailable):
    """The model's file is not what the bin was started with (503)."""


class Asker:
    """Judges one photo at a time with a model of its own, and lets the loop go first.

    The model is loaded at the first photo. It runs on one core, in the one thread that works on photos, and that thread
    stands back behind the loop: a phone waits a little longer, a lid does not.
    """

    def __init__(self, bin_: Bin) -> None:
        self._bin = bin_
        self._classifier: Classifier | None = None
        self._places = threading.BoundedSemaphore(WAITING_AT_MOST)
        self._worker = ThreadPoolExecutor(1, "asker", initializer=_stand_back)

    def judge(self, encoded: bytes, name: str) -> Decision:
        """The decision for one encoded photo.

        Raises `PictureError`, `BundleError`, `Busy` when too many wait, or `ModelChanged` where the file was replaced
        before the first photo.
        """
        return self._in_turn(lambda: self._judge(encoded, name))

    def encode_anew(self, encoded: bytes, name: str) -> bytes:
        """The photo as a JPEG of its pixels alone, its short side at most 512 px: no metadata, no second meaning.

        Raises `PictureError`, `NothingToLearnError` where training would leave it out, or `Busy` when too many wait.
        """

        def anew() -> bytes:
            picture = decode_picture(encoded, name, PIXELS_AT_MOST)
            picture = shrunk(picture, KEPT_SHORT_SIDE / min(picture.shape[:2]))
            if min(picture.shape[:2]) < SMALLEST_SIDE_PX or is_blank(picture):
                raise NothingToLearnError(f"{name} is too small or shows nothing: training would leave it out.")
            return encode_jpeg(picture, KEPT_QUALITY)

        return self._in_turn(anew)

    def _judge(self, encoded: bytes, name: str) -> Decision:
        self._classifier = self._classifier or self._open_classifier()
        picture = decode_picture(encoded, name, PIXELS_AT_MOST)
        self._let_the_loop_go_first()
        return decide([self._classifier.observe(picture)], self._bin.policy)

    def _open_classifier(self) -> Classifier:
        """Another model than the loop's would be told under the loop's version, and judged by its thresholds."""
        try:
            classifier = self._bin.open_classifier()
        except (BundleError, OSError) as fault:
            log.warning("No photo can be asked about: %s", fault)
            raise ModelChanged from fault
        if classifier.bundle.contract != self._bin.contract:
            log.warning(
                "No photo can be asked about: %s was replaced while the bin runs; start it again.",
                classifier.bundle.path,
            )
            raise ModelChanged
        return classifier

    def _let_the_loop_go_first(self) -> None:
        """While an object lies on the tray and is being judged, the cores are the loop's."""
        clock, appliance = self._bin.clock, self._bin.appliance
        until_s = clock.now() + WAITS_FOR_LOOP_S
        while appliance is not None and clock.now() < until_s:
            states = (event.state for event in appliance.snapshot() if isinstance(event, StateEvent))
            if next(states, "empty") not in JUDGING:
                return
            clock.sleep(LOOKS_EVERY_S)

    def _in_turn(self, work: Callable[[], _Done]) -> _Done:
        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            return self._worker.submit(work).result()
        finally:
            self._places.release()


def _stand_back() -> None:
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


def install(app: Flask, bin_: Bin) -> None:
    app.extensions["pilah-asker"] = Asker(bin_)
    app.extensions["pilah-upload-limit"] = RateLimit(UPLOADS_OF_ONE, UPLOADS_PERIOD_S, bin_.clock)
    app.register_blueprint(ask)


@ask.get("/ask")
def page() -> ResponseReturnValue:
    bin_ = the_bin()
    return render_template(
        "ask.html",
        bytes_at_most=BYTES_AT_MOST,
        pixels_at_most=PIXELS_AT_MOST,
        can_teach=bin_.journal is not None,
    )


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
        return _refuse(415, picture_sentence(fault))
    return jsonify(answer(decision))


def picture_sentence(fault: PictureError) -> str:
    """What is wrong with the picture; in another language than English, what all such faults have in common."""
    if isinstance(fault, NothingToLearnError):
        return str(_("This photo is too small or shows nothing, so nothing can be learnt from it; send another one."))
    if language() == "en":
        return str(fault)
    return str(_("This photo cannot be read; send a JPEG, PNG or WebP picture of at most 25 million pixels."))


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
