"""Who may change things: the owner, by a password that is set on the device and nowhere else."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.exceptions import Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

from device.clock import Clock
from device.errors import PageError
from device.files import write_whole
from device.page.bin import the_bin
from device.page.limits import RateLimit, client_key

LETTERS_AT_LEAST, LETTERS_AT_MOST = 8, 1024
KEY_BYTES = 32
METHOD = "scrypt:32768:8:1"
"""Werkzeug's own choice, written out, so that a hash which the card has altered is told from one that was kept."""
_KEPT = re.compile(rf"({METHOD}\$[A-Za-z0-9]+\$[0-9a-f]{{128}})( [0-9a-f]{{16}})?")
"""The hash, behind which each log-out once wrote a random number."""
GUESSES_OF_ONE, GUESSES_OF_ALL, GUESSES_PERIOD_S = 8, 40, 900.0
SESSION_S = 12 * 3600
"""How long an owner stays logged in."""
COOKIE_S = 365 * 24 * 3600
"""How long the language is kept, and the forms of a page that stays open are good: a kiosk's, for months."""
COOKIE_UNTIL = datetime(9999, 12, 31, tzinfo=UTC)

owner = Blueprint("owner", __name__)
_P = ParamSpec("_P")


class Password:
    """The owner's password, kept as a scrypt hash in a file that only the service can read.

    A log-out replaces a random number in a file of its own, so that it brings back no password of a moment ago.

    `folder`: the state folder; None keeps nothing, and then nobody can log in.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / "owner-password" if folder else None
        self._log_out = folder / "last-log-out" if folder else None
        self._unwritten_log_out = b""
        self._one_at_a_time = threading.Lock()

    def set(self, password: str) -> None:
        """Keep a new password; every session ends. Raises `PageError` where its length or the disk forbids it."""
        if len(password) < LETTERS_AT_LEAST:
            raise PageError(f"A password has at least {LETTERS_AT_LEAST} characters; choose a longer one.")
        if len(password) > LETTERS_AT_MOST:
            raise PageError(f"A password has at most {LETTERS_AT_MOST} characters; choose a shorter one.")
        if self._file is None:
            raise PageError("This bin keeps nothing, so it cannot keep a password; give journal.path.")
        _write_secret(self._file, generate_password_hash(password, method=METHOD).encode())

    def is_set(self) -> bool:
        return bool(self._kept())

    def matches(self, password: str) -> bool:
        """One check at a time, since scrypt takes 32 MB."""
        kept = self._kept().partition(" ")[0]
        with self._one_at_a_time:
            return bool(kept) and check_password_hash(kept, password[:LETTERS_AT_MOST])

    def mark(self) -> str:
        """Tells the sessions of now from those before a new password or a log-out, which end every one."""
        log_out = _read_secret(self._log_out, "remove it and set the password again")
        return hashlib.sha256(self._kept().encode() + log_out + self._unwritten_log_out).hexdigest()[:16]

    def end_sessions(self) -> None:
        """Every session ends, a copied one too; the password stays.

        Raises `PageError` where the disk forbids it; then they are ended until the next start.
        """
        try:
            if self._log_out:
                _write_secret(self._log_out, secrets.token_bytes(8))
        except PageError:
            self._unwritten_log_out = secrets.token_bytes(8)
            raise

    def _kept(self) -> str:
        kept = _read_secret(self._file, "set the password again").decode("ascii", "replace").strip()
        if kept and not _KEPT.fullmatch(kept):
            raise PageError(f"{self._file} is damaged; set the password again.")
        return kept


def cookie_key(folder: Path | None) -> bytes:
    """The key that signs cookies; kept, so that a restart logs nobody out, and made anew where it was cut short.

    Raises `PageError` where it cannot be read or kept.
    """
    new = secrets.token_bytes(KEY_BYTES)
    if folder is None:
        return new
    file = folder / "cookie-key"
    kept = _read_secret(file, "remove it, and it is made anew")
    if len(kept) >= KEY_BYTES:
        return kept
    _write_secret(file, new)
    return new


def _read_secret(file: Path | None, mend: str) -> bytes:
    """What was written, nothing where there is no file. Raises `PageError` with its mend where it cannot be read."""
    try:
        return file.read_bytes() if file else b""
    except FileNotFoundError:
        return b""
    except OSError as fault:
        raise PageError(f"{file} cannot be read ({fault.strerror}); {mend}.") from fault


def _write_secret(file: Path, content: bytes) -> None:
    """Write a file that only the folder's owner can read, also where root writes it for the service."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content, owner=file.parent.stat(), mode=0o600)
    except OSError as fault:
        raise PageError(
            f"{file} cannot be written ({fault.strerror}); look at the card, or run this as the user of the service."
        ) from fault


class _OwnCookie(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        """Behind a proxy with TLS the cookie never travels without it."""
        return request.is_secure

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """A day that no browser's clock has passed: a year from now has, by that of a bin which is years behind."""
        return COOKIE_UNTIL if session.permanent else None


class LoginLimits:
    """Guesses of one client and of all together, so that many clients guess no faster."""

    def __init__(self, clock: Clock) -> None:
        self._one = RateLimit(GUESSES_OF_ONE, GUESSES_PERIOD_S, clock)
        self._all = RateLimit(GUESSES_OF_ALL, GUESSES_PERIOD_S, clock)

    def wait_s(self, client: str) -> float:
        return self._one.wait_s(client) or self._all.wait_s("")

    def forgive(self, client: str) -> None:
        self._one.forget(client)


def install(app: Flask, folder: Path | None, clock: Clock) -> None:
    app.config.update(
        SECRET_KEY=cookie_key(folder),
        SESSION_COOKIE_NAME="pilah",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=COOKIE_S,
        SESSION_REFRESH_EACH_REQUEST=False,  # an answer that is late would bring back what was chosen before
    )
    app.session_interface = _OwnCookie()
    app.extensions["pilah-password"] = Password(folder)
    app.extensions["pilah-login-limits"] = LoginLimits(clock)
    app.register_blueprint(owner)


def password() -> Password:
    kept: Password = current_app.extensions["pilah-password"]
    return kept


def is_owner() -> bool:
    """Whether this visitor has logged in lately, with the password that still holds.

    Nobody has where it cannot be read: whoever logs in is told, and every page shows all the same.
    """
    mark, age_s = session.get("owner"), the_bin().clock.wall() - session.get("since_s", 0.0)
    if mark is None or not 0 <= age_s < SESSION_S:
        return False
    try:
        return secrets.compare_digest(mark, password().mark())
    except PageError:
        return False


def owner_only(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """A page asks a stranger to log in; anything else answers 401."""

    @functools.wraps(view)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> ResponseReturnValue:
        if is_owner():
            return view(*args, **kwargs)
        if request.method != "GET" or not request.accept_mimetypes.accept_html:
            raise Unauthorized
        return redirect(url_for("owner.login", next=request.endpoint))

    return guarded


@owner.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    if request.method == "GET":
        return render_template("login.html", has_password=password().is_set())
    client = client_key(request.remote_addr)
    limits: LoginLimits = current_app.extensions["pilah-login-limits"]
    if wait_s := limits.wait_s(client):
        minutes = max(1, round(wait_s / 60))
        sentence = ngettext("Too many tries. Wait %(num)s minute.", "Too many tries. Wait %(num)s minutes.", minutes)
        flash(sentence, "wrong")
        return render_template("login.html", has_password=True), 429, {"Retry-After": str(round(wait_s) or 1)}
    mark = password().mark()  # before the check, so that who knows the password that is being replaced stays outside
    if not password().matches(request.form.get("password", "")):
        flash(_("This is not the password."), "wrong")
        return render_template("login.html", has_password=password().is_set()), 403
    limits.forgive(client)
    session.permanent = True
    session["owner"], session["since_s"] = mark, the_bin().clock.wall()
    return redirect(url_for(_page_after_login()))


def _page_after_login() -> str:
    """Only one of the page's own endpoints: a client chooses no address to be sent to."""
    wanted = request.args.get("next", "")
    return wanted if wanted in ("teach.page", "health.page") and wanted in current_app.view_functions else "home"


@owner.post("/logout")
def logout() -> ResponseReturnValue:
    """Logs out everywhere: a cookie that somebody has copied cannot be told from the owner's own."""
    if is_owner():
        try:
            password().end_sessions()
        except PageError as fault:
            current_app.logger.warning("%s", fault)
            flash(
                _(
                    "The card cannot be written, so everybody is logged out only until the bin starts again. "
                    "Mend the card, then log in and out once more."
                ),
                "wrong",
            )
    for key in ("owner", "filled_in"):
        session.pop(key, None)
    return redirect(url_for("home"))
