"""A terminal as an instrument: single keys in, bars and small pictures out."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import sys
import termios
import tty
from collections import deque
from collections.abc import Sequence
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from device.errors import MachineError

METER = 20
"""Characters in a bar."""
ARROWS = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left"}
_KEY = re.compile(r"\x1b\[.|.", re.DOTALL)


class Terminal:
    """Keys without Enter, and a screen that is drawn anew; as it was before when the block ends.

    >>> with Terminal() as terminal:                            # doctest: +SKIP
    ...     terminal.draw(["press a key"]); terminal.key(1.0)
    'x'
    """

    def __init__(self) -> None:
        """Raises `MachineError` where nobody sits at a terminal."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise MachineError("Calibration needs a person at a terminal; from elsewhere: ssh -t BIN pilah calibrate …")
        self._input = sys.stdin.fileno()
        self._pressed: deque[str] = deque()
        self._before: list[Any] = []

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._input)
        tty.setcbreak(self._input)
        click.echo("\x1b[?25l", nl=False)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(termios.error, OSError):  # a terminal that was closed needs no putting back
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
            click.echo("\x1b[?25h")

    def key(self, timeout_s: float) -> str | None:
        """The next key, an arrow by its name; None where none is pressed in time."""
        if not self._pressed and select.select([self._input], [], [], timeout_s)[0]:
            self._pressed.extend(_KEY.findall(os.read(self._input, 64).decode(errors="replace")))
        key = self._pressed.popleft() if self._pressed else None
        return ARROWS.get(key, key) if key else None

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return shutil.get_terminal_size()

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines and nothing else."""
        click.echo("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", nl=False)


def scale(low: float, high: float, marks: dict[str, float], width: int) -> str:
    """A line from `low` to `high`, `width` characters long, with a letter at each mark; later marks cover earlier."""
    line = ["─"] * width
    for mark, value in marks.items():
        line[round((value - low) / (high - low) * (width - 1))] = mark
    return f"{low:g} ├{''.join(line)}┤ {high:g}"


def meter(value: float, most: float) -> str:
    """A bar, full where `value` reaches `most`."""
    filled = round(METER * min(1.0, value / most)) if most > 0 else 0
    return "█" * filled + "░" * (METER - filled)


def picture(pixels: NDArray[np.uint8], columns: int, lines: int) -> list[str]:
    """(H, W, 3) uint8 RGB as text: two pixels a character, the upper as its colour, the lower as its ground."""
    height, width = pixels.shape[:2]
    factor = min(columns / width, 2 * lines / height)
    size = max(1, int(width * factor)), 2 * max(1, int(height * factor / 2))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return ["".join(map(_half_blocks, upper, lower)) + "\x1b[0m" for upper, lower in zip(small[::2], small[1::2])]  # noqa: B905


def _half_blocks(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> str:
    return "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀".format(*upper, *lower)
