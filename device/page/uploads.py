"""Requests' bodies, held in memory and within bounds: a full card takes photos, and slow uploads fill no memory."""

from __future__ import annotations

import io
import json
import weakref
from typing import Any, ClassVar

import flask
from flask_babel import gettext as _
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.utilities import Error, RequestEntityTooLarge

BYTES_AT_MOST = 12 * 1024 * 1024
"""Of one upload; the page's script makes larger photos smaller before it sends them."""
BODIES_BYTES_AT_MOST = 32 * 1024 * 1024
"""Of all requests that have begun and are not answered yet; Waitress keeps them, Flask once more."""

RETRY_AFTER_S = "5"
"""What a client is told to wait that finds the bin busy."""


def too_large() -> str:
    """What whoever sends more than the bin takes is told; in English where the visitor's language is not known yet."""
    return str(_("This is too large; the bin takes up to %(size)s MB.", size=BYTES_AT_MOST // 2**20))


class _RefusedError(Error):  # type: ignore[misc]
    """Told before Flask sees the request, as openapi.json says."""

    def __init__(self, code: int, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.reason = code, reason

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        headers = [("Content-Type", "application/json")]
        if self.code == 503:
            headers.append(("Retry-After", RETRY_AFTER_S))
        return f"{self.code} {self.reason}", headers, json.dumps({"error": self.body}).encode()


class _Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that is refused once its body would be one too many; all of them are read in one thread."""

    _begun: ClassVar[weakref.WeakSet[_Request]] = weakref.WeakSet()
    error: Error | None

    def received(self, data: bytes) -> Any:
        consumed = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self.error = _RefusedError(413, self.error.reason, too_large())
        if self.body_rcv is not None and self.error is None:
            self._begun.add(self)
            if sum(request.body_bytes_received for request in list(self._begun)) > BODIES_BYTES_AT_MOST:
                sentence = "Too much is being sent to the bin at once; try again in a moment."
                self.error = _RefusedError(503, "Service Unavailable", sentence)
                self.completed = True
                self._begun.discard(self)
        return consumed


class HeldRequest(flask.Request):
    """A request whose files lie in memory: Werkzeug's own lie on the card from half a megabyte on."""

    def _get_file_stream(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO()


class BoundedChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose uploads are held within bounds; one counts until it is answered or its client is gone."""

    parser_class = _Request
