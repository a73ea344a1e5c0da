"""What an export is asked for: what 8 bits may cost, on how many photos they are calibrated, and the graph's opset."""

from __future__ import annotations

from dataclasses import dataclass

from export.errors import ExportError

CALIBRATION_PHOTOS = 1024
OPSET = 17
"""ONNX Runtime 1.13 of 2022 and later read it."""
OPSETS = range(13, OPSET + 1)
"""Before 13 softmax meant another thing and quantization had one scale a tensor; from 18 on reductions take their axes
as an input."""


@dataclass(frozen=True)
class Limits:
    """What INT8 may cost at most: points of accuracy (0…1), and how often it must agree with float."""

    accuracy_lost: float = 0.005
    agreement: float = 0.985


def check_opset(opset: int) -> None:
    """Raises `ExportError` where the graph cannot be written in this opset."""
    if opset not in OPSETS:
        age = "old" if opset < OPSETS.start else "new"
        raise ExportError(
            f"Opset {opset} is too {age} for the INT8 graph: name one of {OPSETS.start} to {OPSETS.stop - 1}; "
            f"no bundle was written."
        )
