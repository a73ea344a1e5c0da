"""The float model as ONNX: the reference that the INT8 bundle is measured against, and one of its peers."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from device.session import open_session
from export.errors import ExportError
from training.files import sha256_of, write_atomically
from training.models import Student

log = logging.getLogger(__name__)

LIMIT = 1e-2
"""Largest difference that a step which keeps the mathematics may show on photos (float32)."""
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


def export_float(student: Student, temperature: float, path: Path, photos: Tensor) -> str:
    """Write the float model with `torch.onnx`, whole or not at all, and return the SHA-256 of the file.

    `photos`: (N, 3, S, S) uint8, on which it is compared with PyTorch. Raises `ExportError` where they differ.
    """
    images = torch.split(photos.permute(0, 2, 3, 1).contiguous(), 1)
    packaged = Packaged(student.eval(), temperature).eval()
    write_atomically(
        path,
        lambda partial: torch.onnx.export(
            packaged, (images[0],), partial, input_names=["image"], output_names=["probabilities", "energy"],
            opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
        ),
    )  # fmt: skip
    session = open_session(path)
    with torch.no_grad():
        wanted = torch.cat([packaged(image)[0] for image in images])
    told = [torch.from_numpy(session.run(["probabilities"], {"image": image.numpy()})[0]) for image in images]
    compare("float ONNX model", "a probability", wanted, torch.cat(told))
    return sha256_of(path)


def compare(name: str, what: str, wanted: Tensor, got: Tensor) -> None:
    """Print how far `got` is from what PyTorch says, `wanted`. Raises `ExportError` where that is too far."""
    difference = float((wanted - got).abs().max())
    largest = wanted.abs().max()
    log.info("%s: largest difference from PyTorch in %s %.2g (of at most %.3g)", name, what, difference, largest)
    if not difference <= LIMIT:  # nor where it is no number
        raise ExportError(f"The {name} differs from the trained one by {difference:.3g} in {what}.")
