"""What the owner may ask of a running bin, from the page or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OpenLid:
    """Open this lid once no other is open. In maintenance it stays open until it is told to close."""

    compartment: str


@dataclass(frozen=True)
class CloseLid:
    """Close this lid now, and forget that it was asked to open."""

    compartment: str


@dataclass(frozen=True)
class Maintenance:
    """While on, nothing is sorted and lids move only when told. Ending it closes all and tries faulty lids again."""

    is_on: bool


Request = OpenLid | CloseLid | Maintenance
