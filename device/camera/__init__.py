"""Frame sources: where the pictures of the tray come from, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture of the tray.

    `pixels`: (H, W, 3) uint8 RGB; `time_s`: when it was taken, on the appliance's monotonic clock; `file`: the
    picture that lies on the tray where a folder feeds it.
    """

    pixels: NDArray[np.uint8]
    time_s: float
    file: str | None = None


class FrameSource(Protocol):
    """A camera, or what stands in for one."""

    def read(self) -> Frame | None:
        """The next frame, at the source's own pace; None when the source has come to its end.

        Raises `CameraError` when it cannot give frames any more.
        """
        ...

    def close(self) -> None:
        """Let go of the device; closing twice is fine."""
        ...
