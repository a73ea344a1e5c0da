"""What was checked, and how it went: one line each, and an exit code."""

from __future__ import annotations

import time


class Report:
    """Prints each check as it is made and remembers whether all passed.

    >>> report = Report()
    >>> report.check("two and two", 2 + 2 == 4, "4")            # doctest: +SKIP
      pass  two and two  4
    """

    def __init__(self) -> None:
        self.lines: list[tuple[bool, str, str]] = []
        self._start_s = time.monotonic()

    def check(self, what: str, passed: bool, detail: str = "") -> bool:
        self.lines.append((passed, what, detail))
        print(f"{'pass' if passed else 'FAIL'}  {what:<58} {detail}", flush=True)
        return passed

    def note(self, sentence: str) -> None:
        """What is done now, with the seconds since the start."""
        print(f"      [{time.monotonic() - self._start_s:4.0f} s] {sentence}", flush=True)

    @property
    def exit_code(self) -> int:
        return 0 if self.lines and all(passed for passed, _, _ in self.lines) else 1

    def end(self) -> int:
        """Says how it went as a whole; the exit code."""
        failed = [what for passed, what, _ in self.lines if not passed]
        took_s = time.monotonic() - self._start_s
        verdict = "all passed" if self.exit_code == 0 else f"{len(failed)} failed: {'; '.join(failed) or 'nothing ran'}"
        print(f"\n{len(self.lines)} checks in {took_s:.0f} s: {verdict}", flush=True)
        return self.exit_code
