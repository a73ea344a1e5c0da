"""Counts in sentences."""

from __future__ import annotations


def counted(number: int, one: str, more: str | None = None) -> str:
    """A number and what there are so many of, in English: 1 drop, 2 drops, or as `more` says it."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"
