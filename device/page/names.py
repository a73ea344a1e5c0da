"""Which names the page answers to: addresses, what only this network knows, and what the owner has written down.

A page on the internet can give the bin's address a name of its own and read the bin through the browser of somebody
who is near it (DNS rebinding). It cannot take an address, a name without a dot, or one of the endings below, which
nobody can register.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

OF_THIS_NETWORK = (".local", ".localhost", ".localdomain", ".lan", ".home", ".home.arpa", ".internal", ".fritz.box")


def answers_to(host: str, names: Iterable[str]) -> bool:
    """Whether a request for `host`, as its header says with or without a port, is meant for this bin.

    `names`: those of the configuration.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return "." not in name or _is_address(name) or name.endswith(OF_THIS_NETWORK) or name in map(str.lower, names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
