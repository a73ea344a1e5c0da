"""Health and settings: how the bin is, its lids by hand, and the few settings that an owner changes by phone."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Sequence

from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import Unauthorized

from device.checks import Check
from device.config import Config
from device.errors import ConfigError
from device.events import FaultEvent, LidEvent, StateEvent
from device.page.bin import Appliance, Bin, the_bin
from device.page.owner import is_owner, owner_only
from device.page.words import exact, finding_words
from device.requests import CloseLid, Maintenance, OpenLid

GOOD_FOR_S = 5.0
"""What the doctor found is shown for so long before the bin is looked at anew."""
LETTERS_KEPT = 64
"""Of each setting that was filled in when the session had run out: a cookie keeps 4 kB."""
_FIELDS = "as_of", "decision.confidence", "decision.fallback", "journal.thumbnails"

health = Blueprint("health", __name__)


class Findings:
    """What the doctor finds; however many ask, one looks at a time: each look loads the model once more (120 MB)."""

    def __init__(self, bin_: Bin) -> None:
        self._bin = bin_
        self._lock = threading.Lock()
        self._found: tuple[float, Sequence[Check]] | None = None

    def get(self) -> Sequence[Check]:
        """At most a few seconds old; waits while someone looks."""
        with self._lock:
            if self._found is None or self._bin.clock.now() - self._found[0] >= GOOD_FOR_S:
                checks = self._bin.diagnose()
                self._found = self._bin.clock.now(), checks
            return self._found[1]


def install(app: Flask, bin_: Bin) -> None:
    app.extensions["pilah-findings"] = Findings(bin_)
    app.extensions["pilah-start"] = secrets.token_hex(8)
    app.register_blueprint(health)


@health.get("/health")
def page() -> ResponseReturnValue:
    """Anyone may see whether the bin is well; lids and settings show to the owner."""
    return _render(the_bin())


def _render(bin_: Bin, status: int = 200) -> ResponseReturnValue:
    findings: Findings = current_app.extensions["pilah-findings"]
    events = bin_.appliance.snapshot() if bin_.appliance else []
    saved = _saved(bin_) if is_owner() else None
    state = next((event.state for event in events if isinstance(event, StateEvent)), None)
    page = render_template(
        "health.html",
        bin=bin_,
        contract=bin_.contract,
        faults=[event for event in events if isinstance(event, FaultEvent) and not event.is_over],
        checks=findings.get() if is_owner() else (),
        finding_words=finding_words(),
        saved=saved,
        shown=_shown(saved) if saved else None,
        state=state,
        start=current_app.extensions["pilah-start"],
        lids={event.compartment: event.state for event in events if isinstance(event, LidEvent)},
    )
    return page, status


def _saved(bin_: Bin) -> Config:
    """The settings in use stand in for a file that is wrong, of which the doctor tells."""
    try:
        return bin_.saved_config()
    except ConfigError:
        return bin_.config


def _mark(saved: Config) -> str:
    """Tells these settings from others, so that a form which has been open for long takes none of the others back."""
    return hashlib.sha256(saved.model_dump_json().encode()).hexdigest()[:16]


def _shown(saved: Config) -> dict[str, str]:
    """What stands in the form of settings: what is saved, what was just refused, or was sent before the log-in."""
    confidence = saved.decision.confidence
    values = {
        "as_of": _mark(saved),
        "decision.confidence": "" if confidence is None else exact(confidence),
        "decision.fallback": saved.decision.fallback,
        **{f"materials.{name}": to for name, to in saved.materials.items()},
    }
    if request.method == "POST":
        return {**values, **request.form.to_dict()}
    if "filled_in" in session:
        flash(_("This was filled in before you logged in; it is not saved yet."))
        return {**values, **session.pop("filled_in")}
    return {**values, "journal.thumbnails": "yes" if saved.journal.thumbnails else ""}


@health.post("/health/maintenance")
@owner_only
def maintenance() -> ResponseReturnValue:
    _appliance().request(Maintenance(is_on=request.form.get("is_on") == "yes"))
    return _done()


@health.post("/health/lids")
@owner_only
def lid() -> ResponseReturnValue:
    """Open or close one lid by hand; the appliance allows it in maintenance."""
    compartment = request.form.get("compartment", "")
    if compartment not in the_bin().config.compartments:
        abort(400)
    _appliance().request(OpenLid(compartment) if request.form.get("move") == "open" else CloseLid(compartment))
    return _done()


@health.get("/health/settings")
def settings_page() -> ResponseReturnValue:
    """Where a browser asks once more for the answer to a refused form."""
    return redirect(url_for("health.page"))


@health.post("/health/settings")
def settings() -> ResponseReturnValue:
    """Write what was changed, checked as the file is; a wrong value changes nothing and is told.

    What is sent when the session has run out stands in the form again after the log-in.
    """
    bin_ = the_bin()
    if not is_owner():
        names = *_FIELDS, *(f"materials.{name}" for name in bin_.contract.classes)
        session["filled_in"] = {name: request.form[name][:LETTERS_KEPT] for name in names if name in request.form}
        raise Unauthorized
    if bin_.edit_config is None:
        abort(404)
    try:
        saved = bin_.saved_config()
        changes = _changes(saved)
        if not changes:
            flash(_("Nothing was changed."))
        elif request.form.get("as_of", _mark(saved)) != _mark(saved):
            flash(_("The settings were changed elsewhere meanwhile. Here they are; change them once more."), "wrong")
        else:
            bin_.edit_config(changes)
            flash(_("Saved; the bin follows it from its next start."))
    except ConfigError as fault:
        flash(f"{_('That was not saved.')} {fault}", "wrong")
        return _render(bin_, 400)
    return redirect(url_for("health.page"))


@health.get("/health/start")
def which_start() -> ResponseReturnValue:
    """Tells a script the bin that started again from the one before; a browser that comes here means Health."""
    return redirect(url_for("health.page")) if request.accept_mimetypes.accept_html else _which()


def _which() -> dict[str, str]:
    return {"start": current_app.extensions["pilah-start"]}


@health.post("/health/start")
@owner_only
def start() -> ResponseReturnValue:
    """Start the whole bin again, unless it could not: then nobody but a terminal would reach it any more."""
    if (start_again := the_bin().start_again) is None:
        abort(404)
    is_form = request.accept_mimetypes.accept_html
    findings: Findings = current_app.extensions["pilah-findings"]
    for check in findings.get():
        if check.name in ("configuration", "model") and not check.is_ok:
            flash(_("The bin could not start again:") + f" {check.says}", "wrong")
            return redirect(url_for("health.page")) if is_form else ({"error": check.says}, 409)
    response = make_response(render_template("starting.html") if is_form else _which())
    response.call_on_close(start_again)
    return response


def _changes(saved: Config) -> dict[str, object]:
    """Dotted key → value of what differs from the saved settings; None takes a key out of the file.

    A mapping is written whole, since a file that names some materials must name them all. Raises `ConfigError` for
    what is no probability.
    """
    form = {key: value.strip() for key, value in request.form.items()}
    changes = dict[str, object]()
    if "decision.confidence" in form:
        confidence = _confidence(form["decision.confidence"])
        if confidence != saved.decision.confidence:
            changes["decision.confidence"] = confidence
    if form.get("decision.fallback", saved.decision.fallback) != saved.decision.fallback:
        changes["decision.fallback"] = form["decision.fallback"]
    mapping = {name: form.get(f"materials.{name}", to) for name, to in saved.materials.items()}
    if mapping != dict(saved.materials):
        changes.update({f"materials.{name}": to for name, to in mapping.items()})
    if (thumbnails := form.get("journal.thumbnails") == "yes") != saved.journal.thumbnails:
        changes["journal.thumbnails"] = thumbnails
    return changes


def _confidence(text: str) -> float | None:
    """What was typed, told here where it is no probability: the file's checker knows no visitor's language."""
    if not text:
        return None
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text.replace(",", "."))) <= 1:
            return value
    label = _("Opens a lid when at least this sure")
    raise ConfigError(_("“%(label)s”: write a number from 0 to 1.", label=label))


def _done() -> ResponseReturnValue:
    if request.accept_mimetypes.accept_html:
        return redirect(url_for("health.page"))
    return {"requested": True}


def _appliance() -> Appliance:
    appliance = the_bin().appliance
    if appliance is None:
        abort(404)
    return appliance
