"""How a lid turns: softly, and never faster than it may."""

from __future__ import annotations

import math
from dataclasses import dataclass

PEAK_OF_EASE = math.pi / 2
"""Top speed over mean speed of a turn that starts and ends softly."""


@dataclass(frozen=True)
class Motion:
    """A turn from one angle to another that starts and ends softly (half a cosine; its top speed is mid-way)."""

    from_deg: float
    to_deg: float
    start_s: float
    duration_s: float

    @classmethod
    def at_speed(cls, from_deg: float, to_deg: float, start_s: float, top_speed_deg_per_s: float) -> Motion:
        """The motion that never exceeds a speed."""
        return cls(from_deg, to_deg, start_s, PEAK_OF_EASE * abs(to_deg - from_deg) / top_speed_deg_per_s)

    def angle_deg(self, now_s: float) -> float:
        if self.duration_s <= 0 or now_s >= self.start_s + self.duration_s:
            return self.to_deg
        part = max(0.0, (now_s - self.start_s) / self.duration_s)
        return self.from_deg + (self.to_deg - self.from_deg) * (1 - math.cos(math.pi * part)) / 2

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s
