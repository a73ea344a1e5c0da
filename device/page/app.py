"""The application factory: pages, languages, headers, and what a fault looks like."""

from __future__ import annotations

import re
import threading
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response, current_app, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import BadHost, HTTPException, MethodNotAllowed

from device.errors import JournalError
from device.page import ask, health, history, install, now, owner, teach, words
from device.page.bin import Bin, the_bin
from device.page.names import answers_to
from device.page.uploads import BYTES_AT_MOST, RETRY_AFTER_S, HeldRequest, too_large

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere; `blob:` shows a photo before it is sent."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(bin_: Bin) -> Flask:
    """The page of one bin as a WSGI application; it binds nothing and loads no model yet."""
    app = Flask("device.page")
    app.request_class = HeldRequest
    app.config.update(MAX_CONTENT_LENGTH=BYTES_AT_MOST, MAX_FORM_PARTS=100)
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.extensions["pilah-bin"] = bin_
    app.extensions["pilah-closing"] = threading.Event()
    app.before_request(_refuse_strange_names)
    owner.install(app, bin_.state, bin_.clock)
    now.install(app, bin_)
    ask.install(app, bin_)
    teach.install(app, bin_)
    history.install(app, bin_)
    health.install(app, bin_)
    install.install(app)
    CSRFProtect(app).exempt(ask.classify)
    Babel(app, locale_selector=words.choose_language)
    app.add_url_rule("/", "home", home)
    app.add_url_rule("/language", "language", choose_language, methods=["POST"])
    app.add_url_rule("/compartments.css", "compartment_colours", compartment_colours)
    app.before_request(time.tzset)  # a zone that was set while the bin runs holds from the next page on
    app.after_request(_protect)
    app.context_processor(_what_templates_know)
    app.register_error_handler(HTTPException, _say_what_went_wrong)
    app.register_error_handler(JournalError, _say_that_the_history_is_away)
    return app


def home() -> ResponseReturnValue:
    return redirect(url_for(next(iter(_pages()))))


def choose_language() -> ResponseReturnValue:
    if (chosen := request.form.get("language")) in words.LANGUAGES:
        session["language"] = chosen
        session.permanent = True
    return redirect(_place_before())


def _place_before() -> str:
    """Where the visitor came from, with what was asked there, if that is a page of this bin; else the start."""
    try:
        place = urlsplit(request.referrer or "")
        if place.netloc == request.host:
            current_app.url_map.bind(request.host).match(place.path, "GET")
            return urlunsplit(("", "", place.path, place.query, ""))
    except (ValueError, HTTPException):
        pass
    return url_for("home")


def compartment_colours() -> ResponseReturnValue:
    """The configured colours as a stylesheet, since nothing inline is allowed."""
    rules = "".join(
        f".compartment-{number}{{--compartment:{one.colour};--on-compartment:{_readable_on(one.colour)}}}\n"
        for number, one in enumerate(the_bin().config.compartments.values())
    )
    response = make_response(rules)
    response.mimetype = "text/css"
    response.cache_control.no_cache = True
    return response


def _readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast (WCAG 2.2, relative luminance)."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _pages() -> dict[str, tuple[str, str]]:
    """Endpoint → word and icon, in the order of the navigation."""
    all_pages = {
        "now.page": (_("Now"), "eye"),
        "ask.page": (_("Ask"), "camera"),
        "teach.page": (_("Teach"), "graduation-cap"),
        "history.page": (_("History"), "chart-column"),
        "health.page": (_("Health"), "heart-pulse"),
    }
    return {endpoint: shown for endpoint, shown in all_pages.items() if endpoint in current_app.view_functions}


def _what_templates_know() -> dict[str, Any]:
    return {
        "pages": _pages(),
        "languages": words.LANGUAGES,
        "language": words.language(),
        "is_owner": owner.is_owner(),
        "check_word": words.check_word,
        "compartment_class": words.compartment_class,
        "compartment_word": words.compartment_word,
        "material_word": words.material_word,
        "verdict_word": words.verdict_word,
        "number": words.number,
        "percent": words.percent,
        "split_word": words.split_word,
        "data_word": words.data_word,
        "script_words": words.script_words(),
    }


def _refuse_strange_names() -> ResponseReturnValue | None:
    host = request.headers.get("Host", "")
    if request.endpoint == "static" or answers_to(host, the_bin().config.page.names):
        return None  # what draws the refusal is the same on every bin
    name = re.sub(r"(?<!:):\d+$", "", host)
    return _say(_("Open the bin by its address, or add %(name)s to page.names in its configuration.", name=name), 421)


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        response.cache_control.no_store = True
    return response


def _say_that_the_history_is_away(fault: JournalError) -> ResponseReturnValue:
    current_app.logger.warning("%s", fault)
    return _say(_("The history cannot be used now; the bin sorts all the same."), 503)


def _say_what_went_wrong(fault: HTTPException) -> ResponseReturnValue:
    if isinstance(fault, BadHost):
        return fault.get_response()  # our own page has no links without a host
    status = fault.code or 500
    sentences = {
        400: _("The bin did not understand that."),
        401: _("Log in as the owner first."),
        404: _("There is no such page."),
        405: _("That cannot be done here."),
        413: too_large(),
        429: _("Too many at once; wait a little."),
        500: _("Something went wrong inside the bin; its log says what."),
        503: _("The bin is busy; try again in a moment."),
    }
    sentence = sentences.get(status, fault.name)
    if isinstance(fault, CSRFError):
        sentence = _("This form is out of date; load the page again.")
    if isinstance(fault, ask.ModelChanged):
        sentence = _("The model's file is not the one that the bin runs with any more; start the bin again.")
    response = make_response(_say(sentence, status))
    if status == 503 and not isinstance(fault, ask.ModelChanged):
        response.headers["Retry-After"] = RETRY_AFTER_S
    if isinstance(fault, MethodNotAllowed):
        response.allow.update(fault.valid_methods or ())
    return response


def _say(sentence: str, status: int) -> ResponseReturnValue:
    if request.accept_mimetypes.accept_html and not request.path.startswith("/api/"):
        return render_template("fault.html", sentence=sentence, status=status), status
    return {"error": sentence}, status
