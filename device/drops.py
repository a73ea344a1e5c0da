"""What the history says of a drop, and how one asks for some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Drop:
    """One line of the history.

    `id`: 0 until it is written; `lid`: the state that its lid came to at last (closed or fault), None where that is
    not known; `corrected`: the material that the owner says it was.
    """

    id: int
    time_s: float
    material: str
    compartment: str
    confidence: float
    verdict: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model_version: str | None = None
    has_thumbnail: bool = False
    corrected: str | None = None
    latency_ms: float | None = None
    lid: str | None = None


@dataclass(frozen=True)
class Search:
    """Which drops: times in seconds since 1970 (`until_s` excluded); None asks for all."""

    since_s: float | None = None
    until_s: float | None = None
    compartment: str | None = None
    verdict: str | None = None
