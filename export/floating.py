"""The float model as ONNX: the reference that the INT8 bundle is measured against, and one of its peers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from training.files import sha256_of, write_atomically
from training.models import Student

OPSET = 18
"""What the current exporter writes without conversion; ONNX Runtime 1.14 of 2023 and later read it."""


class Packaged(nn.Module):
    """The bundle's signature around a student: (1, S, S, 3) uint8 → probabilities (1, K) and energy (1,)."""

    def __init__(self, student: Student, temperature: float) -> None:
        super().__init__()
        self.student = student
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, _ = self.student(image.permute(0, 3, 1, 2))
        return torch.softmax(logits / self.temperature, dim=1), torch.logsumexp(logits, dim=1)


def export_float(student: Student, temperature: float, path: Path, size_px: int) -> str:
    """Write the float model with `torch.onnx`, whole or not at all, and return the SHA-256 of the file."""
    image = torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8)
    packaged = Packaged(student.eval(), temperature).eval()
    write_atomically(
        path,
        lambda partial: torch.onnx.export(
            packaged, (image,), partial, input_names=["image"], output_names=["probabilities", "energy"],
            opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
        ),
    )  # fmt: skip
    return sha256_of(path)
