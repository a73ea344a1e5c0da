"""Teach: tell the bin what a drop or a photo really was; training takes it as one more source."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from device.drops import NUMBER_AT_MOST, Drop, Search
from device.errors import PictureError
from device.page.ask import Asker, picture_sentence
from device.page.bin import Bin, the_bin, the_journal
from device.page.owner import owner_only

CARDS = 24
DROP = f"/teach/drops/<int(max={NUMBER_AT_MOST}):drop>"

teach = Blueprint("teach", __name__)


def install(app: Flask, bin_: Bin) -> None:
    if bin_.journal is not None:
        app.register_blueprint(teach)


@teach.get("/teach")
@owner_only
def page() -> ResponseReturnValue:
    """What waits to be corrected; with `?drop=NUMBER` that drop first, corrected or not."""
    chosen = _chosen()
    return render_template(
        "teach.html",
        drops=chosen + [drop for drop in the_journal().to_teach(CARDS) if drop not in chosen],
        likeliest_first=_likeliest_first,
        keeps_thumbnails=the_bin().config.journal.thumbnails,
    )


def _chosen() -> list[Drop]:
    """The drop that the address names, if it names one; 404 where there is none of that number."""
    number = request.args.get("drop", type=int)
    if number is None:
        return []
    if not 0 < number < NUMBER_AT_MOST:
        abort(404)
    newest = the_journal().drops(Search(), 1, before_id=number + 1)
    if not newest or newest[0].id != number:
        abort(404)
    return newest


def _likeliest_first(drop: Drop) -> list[str]:
    """The materials of the model in use, whatever model judged the drop."""
    return sorted(the_bin().contract.classes, key=lambda name: -drop.probabilities.get(name, 0.0))


@teach.get(f"{DROP}.jpg")
@owner_only
def thumbnail(drop: int) -> ResponseReturnValue:
    """Kept by the browser for an hour; the page adds the drop's time, since a new history numbers drops anew."""
    picture = the_journal().thumbnail(drop)
    if picture is None:
        abort(404)
    response = Response(picture, mimetype="image/jpeg")
    response.cache_control.private = True
    response.cache_control.max_age = 3600
    return response


@teach.post(DROP)
@owner_only
def teach_drop(drop: int) -> ResponseReturnValue:
    if not the_journal().correct(drop, _material()):
        abort(404)
    if request.accept_mimetypes.accept_html:
        flash(_("Saved. Thank you!"))
        return redirect(url_for("teach.page"))
    return {"saved": True}


@teach.post("/teach/photos")
@owner_only
def teach_photo() -> ResponseReturnValue:
    """Keep an asked photo under its right material; what is kept is encoded anew, never the client's bytes."""
    material = _material()
    photo = request.files.get("photo")
    if photo is None:
        abort(400)
    asker: Asker = current_app.extensions["pilah-asker"]
    try:
        the_journal().keep_photo(asker.encode_anew(photo.stream.read(), _("The photo")), material)
    except PictureError as fault:
        return {"error": picture_sentence(fault)}, 415
    return {"saved": True}


def _material() -> str:
    material = request.form.get("material", "")
    if material not in the_bin().contract.classes:
        abort(400)
    return material
