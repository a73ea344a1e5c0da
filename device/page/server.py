"""The page's server: Waitress in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from device.config import PageSection
from device.errors import PageError
from device.page.now import STREAMS_AT_MOST
from device.page.owner import Password
from device.page.uploads import BYTES_AT_MOST, BoundedChannel

WORKERS = 8
"""Threads beyond the watchers', for everything else."""
CONNECTIONS_AT_MOST = 128
SILENT_AT_MOST_S = 30
REQUEST_AT_MOST_S = 120
"""From a request's first byte to its last: 12 MB at 100 kB/s. Who drips keeps no connection from the others."""
ASKED_AFTER_S, ASKED_EVERY_S, ASKED_TIMES = 30, 10, 3
"""Linux asks a client of whom nothing was heard for so long whether it is still there: phones leave without a word."""
UNREAD_AT_MOST_S = 10
"""Linux hangs up on a client that takes nothing of what is sent for so long, and its thread is free again."""
UNSENT_BYTES_AT_MOST = 64 * 1024
"""A watcher that does not read holds back its own thread after this much, and nothing else."""
ENDS_WITHIN_S = 2
"""Streams end by themselves within half a second; an answer that takes longer is cut off."""
TURNS_EVERY_S = 0.001
"""How long a thread of the page keeps Python's lock while the loop waits for it (5 ms without this). Lower priorities
for these threads would do harm: one that holds the lock and gets no core holds the loop up (measured: 1.2 times)."""

LOGS_FROM = {"waitress": logging.WARNING, "waitress.queue": logging.ERROR, "flask_wtf.csrf": logging.WARNING}
"""What a client can bring about at each request is not logged: thousands of lines would drive out what matters."""


def address_of(settings: PageSection, state: Path | None) -> str:
    """Where to listen: the configured address, else everywhere once a password is set, else this machine only."""
    if settings.address is not None:
        return settings.address
    return "*" if Password(state).is_set() else "127.0.0.1"


class _Channel(BoundedChannel):
    """One connection; a silent one, and one that drips a request, is hung up on by a clock that never jumps.

    Waitress goes by the wall clock: once that was set back, idle clients kept their connections until it had caught up,
    and the page was closed to all others.
    """

    @property
    def last_activity(self) -> float:
        """For Waitress, no client is ever silent."""
        return math.inf

    @last_activity.setter
    def last_activity(self, _wall_s: float) -> None:
        self._heard_s = time.monotonic()
        if self.request is None:
            self._begun_s = self._heard_s

    def readable(self) -> bool:
        """Asked at each turn of Waitress' loop, once a second at least."""
        now_s = time.monotonic()
        is_silent = not self.requests and now_s - self._heard_s > self.adj.channel_timeout
        if is_silent or (self.request is not None and now_s - self._begun_s > REQUEST_AT_MOST_S):
            self.will_close = True
        return bool(super().readable())


class PageServer:
    """Serves the page in threads of its own until it is closed.

    >>> with PageServer(create_app(bin), "127.0.0.1", 8080) as server:      # doctest: +SKIP
    ...     print(server.url)
    http://localhost:8080

    `port` 0 takes a free one. Raises `PageError` when the port or the address cannot be had.
    """

    def __init__(self, app: Flask, address: str, port: int) -> None:
        for name, level in LOGS_FROM.items():
            logging.getLogger(name).setLevel(level)
        self._app = app
        self._sockets: dict[int, Any] = {}
        try:
            self._listener = _listen(address, port)
        except (OSError, TypeError) as fault:
            # TypeError: Python's socket cannot write the address as a host name.
            words = str(getattr(fault, "strerror", None) or fault).partition(" (while")[0]
            raise PageError(
                f"The page cannot listen on port {port} of {address} ({words}): end what uses it, choose another with "
                f"page.port or page.address in the configuration, or leave it out: `pilah run --no-page`."
            ) from fault
        if sys.platform == "linux":  # accepted connections inherit it
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_AT_MOST_S * 1000))
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASKED_AFTER_S)
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASKED_EVERY_S)
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASKED_TIMES)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{'localhost' if address in ('*', '127.0.0.1') else address}:{self.port}"
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()
        self._serving.wait()

    def end_soon(self) -> None:
        """Let the streams end by themselves; waits for none of them."""
        self._app.extensions["pilah-closing"].set()

    def close(self) -> None:
        """Stop and let go of the port; closing twice is fine."""
        if not self._thread.is_alive():
            return
        self.end_soon()
        self._server.task_dispatcher.shutdown(timeout=ENDS_WITHIN_S)
        with contextlib.suppress(OSError):
            # The server may hear of it and close the trigger before its own byte has been written.
            self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._sockets))
        self._thread.join()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        sys.setswitchinterval(TURNS_EVERY_S)
        self._server = create_server(
            self._app,
            map=self._sockets,
            sockets=[self._listener],
            threads=STREAMS_AT_MOST + WORKERS,
            connection_limit=CONNECTIONS_AT_MOST,
            max_request_body_size=BYTES_AT_MOST,
            inbuf_overflow=BYTES_AT_MOST,  # more than any body: none goes to a file, on a card that may be full
            outbuf_high_watermark=UNSENT_BYTES_AT_MOST,
            channel_timeout=SILENT_AT_MOST_S,
            log_socket_errors=False,
            # A socket for both kinds of addresses tells an IPv4 client's in the IPv6 way.
            trusted_proxy="::ffff:127.0.0.1" if self._listener.family == socket.AF_INET6 else "127.0.0.1",
            trusted_proxy_headers={"x-forwarded-for", "x-forwarded-proto"},
            ident=None,
        )
        self._server.channel_class = _Channel
        self._serving.set()
        self._server.run()


def _listen(address: str, port: int) -> socket.socket:
    if address == "*" and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server(("" if address == "*" else address, port), family=family)
