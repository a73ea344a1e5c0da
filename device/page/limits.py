"""How often one client may ask: the page stays polite to the loop, and a password cannot be guessed."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque

from device.clock import Clock

CLIENTS_AT_MOST = 1024
"""Clients that are remembered; the longest unheard is forgotten first."""


class RateLimit:
    """At most `times` in any `period_s` for each key.

    >>> limit = RateLimit(2, 60, SystemClock())                 # doctest: +SKIP
    >>> limit.wait_s("192.168.1.7")                             # doctest: +SKIP
    0.0
    """

    def __init__(self, times: int, period_s: float, clock: Clock) -> None:
        self._times = times
        self._period_s = period_s
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> float:
        """Zero and counts, or how long this key must wait."""
        now = self._clock.now()
        with self._lock:
            seen = self._seen.setdefault(key, deque())
            self._seen.move_to_end(key)
            if len(self._seen) > CLIENTS_AT_MOST:
                self._seen.popitem(last=False)
            while seen and now - seen[0] >= self._period_s:
                seen.popleft()
            if len(seen) >= self._times:
                return self._period_s - (now - seen[0])
            seen.append(now)
            return 0.0

    def forget(self, key: str) -> None:
        """Start this key's count again."""
        with self._lock:
            self._seen.pop(key, None)


def client_key(address: str | None) -> str:
    """Whom to count: an IPv4 address, or the /64 network of an IPv6 one, since a client owns all of it."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
