"""DenseNet121 that normalises and rectifies each channel once, where it is made, instead of once for every reader.

torchvision's DenseNet puts a BatchNorm and a ReLU before each 1×1 convolution, on all channels so far: the 1024th
channel of a block is normalised anew by each layer that reads it. Here all readers share one norm, as in PeleeNet (Wang
et al. 2018, "post-activation"). It is still a DenseNet121, whose norms happen to agree: `published` writes it as
torchvision's weights, to the same function. It trains a quarter to a third faster (`python -m training.pace`), for a
norm on a concatenation costs memory traffic, and on the device nothing is left between two convolutions, for the
threshold is the convolution's own ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet, densenet121

from export.network import EPSILON

LAYERS = (6, 12, 24, 16)
STEM, HIDDEN, GROWTH = 64, 128, 32
Channels = dict[str, Tensor]
"""The parameters and statistics of a BatchNorm, (C,) each, by torchvision's names."""
PARTS = ("weight", "bias", "running_mean", "running_var")


class _Layer(nn.Module):
    """1×1 to `HIDDEN` channels, 3×3 to `GROWTH`, each normalised and rectified; the result is appended."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, HIDDEN, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(HIDDEN)
        self.conv2 = nn.Conv2d(HIDDEN, GROWTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(GROWTH)

    def forward(self, value: Tensor) -> Tensor:
        hidden = functional.relu(self.norm2(self.conv1(value)), inplace=True)
        return torch.cat([value, functional.relu(self.norm(self.conv2(hidden)), inplace=True)], dim=1)


class _Transition(nn.Module):
    """The mean of 2×2, which commutes with the 1×1 convolution after it, at a quarter of the cost."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.after = nn.BatchNorm2d(channels // 2)

    def forward(self, value: Tensor) -> Tensor:
        return functional.relu(self.after(self.conv(functional.avg_pool2d(value, 2))), inplace=True)


class SharedDenseNet(nn.Module):
    """DenseNet121 with shared norms: `features`, named as in torchvision, and a linear `classifier`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        features = nn.Sequential()
        features.add_module("conv0", nn.Conv2d(3, STEM, 7, 2, 3, bias=False))
        features.add_module("norm0", nn.BatchNorm2d(STEM))
        features.add_module("relu0", nn.ReLU(inplace=True))
        features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        channels = STEM
        for i, count in enumerate(LAYERS, 1):
            block = nn.Sequential()
            for j in range(1, count + 1):
                block.add_module(f"denselayer{j}", _Layer(channels))
                channels += GROWTH
            features.add_module(f"denseblock{i}", block)
            if i < len(LAYERS):
                features.add_module(f"transition{i}", _Transition(channels))
                channels //= 2
        self.features = features
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def blocks(self) -> Iterator[tuple[int, list[_Layer]]]:
        """The blocks' numbers, from 1, and their layers."""
        for i in range(1, len(LAYERS) + 1):
            yield i, list(getattr(self.features, f"denseblock{i}"))

    @torch.no_grad()
    def published(self) -> dict[str, Tensor]:
        """The state dict of torchvision's `densenet121` that computes the same, with no shared scale below zero."""
        state = densenet121(weights=None, num_classes=self.classifier.out_features).state_dict()
        own = self.state_dict()
        state.update({key: value.clone() for key, value in own.items() if key in state})
        made = _unchanged(STEM, self.classifier.weight.device)
        for i, layers in self.blocks():
            for j, layer in enumerate(layers, 1):
                name = f"features.denseblock{i}.denselayer{j}"
                _write(state, f"{name}.norm1", made)
                made = _joined(made, _upright(layer.norm, state[f"{name}.conv2.weight"]))
            if i < len(LAYERS):
                name = f"features.transition{i}"
                _write(state, f"{name}.norm", made)
                made = _upright(getattr(self.features, f"transition{i}").after, state[f"{name}.conv.weight"])
        _write(state, "features.norm5", made)
        return state

    @torch.no_grad()
    def adopt(self, network: DenseNet) -> None:
        """Take over the weights of a network of as many classes whose readers each have a norm of their own.

        Exact where the norms of a channel agree up to a scale. Elsewhere each channel gets the mean threshold of its
        readers, weighed by how much they make of it, and training has to mend the rest.
        """
        state = network.state_dict()
        self.load_state_dict({key: value for key, value in state.items() if key in self.state_dict()}, strict=False)
        for i, layers in self.blocks():
            prefix = f"features.denseblock{i}.denselayer"
            readers = [(f"{prefix}{j}.norm1", layer.conv1.weight) for j, layer in enumerate(layers, 1)]
            if i < len(LAYERS):
                readers.append((f"features.transition{i}.norm", getattr(self.features, f"transition{i}").conv.weight))
            else:
                readers.append(("features.norm5", self.classifier.weight))
            end = readers[0][1].shape[1]
            if i == 1:
                _read_plain(state, readers, end)
            else:
                _share(getattr(self.features, f"transition{i - 1}").after, state, readers, 0, end)
            for j, layer in enumerate(layers, 1):
                begin, end = end, end + GROWTH
                _share(layer.norm, state, readers[j:], begin, end)


def _upright(norm: nn.BatchNorm2d, weight: Tensor) -> Channels:
    """The norm without negative scales: their channels' signs go into the convolution before it, changed in place."""
    sign = torch.where(norm.weight < 0, -1.0, 1.0)
    weight *= sign.view(-1, 1, 1, 1)
    return {"weight": norm.weight.abs(), "bias": norm.bias, "running_mean": norm.running_mean * sign,
            "running_var": norm.running_var}  # type: ignore[dict-item, operator]  # fmt: skip


def _unchanged(count: int, device: torch.device) -> Channels:
    """A BatchNorm that leaves its input, which is never below zero, as it is."""
    one, zero = torch.ones(count, device=device), torch.zeros(count, device=device)
    return {"weight": one, "bias": zero, "running_mean": zero, "running_var": one - EPSILON}


def _joined(first: Channels, second: Channels) -> Channels:
    return {part: torch.cat([first[part], second[part]]) for part in PARTS}


def _write(state: dict[str, Tensor], name: str, channels: Channels) -> None:
    for part in PARTS:
        state[f"{name}.{part}"] = channels[part].detach().clone()


Reader = tuple[str, Tensor]
"""The name of a norm in torchvision's state, and the weights that read its channels, (M, C, …)."""


def _read_plain(state: dict[str, Tensor], readers: list[Reader], end: int) -> None:
    """The stem's channels, which are rectified before, are read without another threshold: only scales move."""
    for name, weight in readers:
        norm = {part: state[f"{name}.{part}"][:end] for part in PARTS}
        scale_inputs(weight[:, :end], norm["weight"] / torch.sqrt(norm["running_var"] + EPSILON))


def _share(shared: nn.BatchNorm2d, state: dict[str, Tensor], readers: list[Reader], begin: int, end: int) -> None:
    """Give the channels from `begin` to `end` one norm, of scale ±1; the readers' weights take their own scales.

    ReLU(g·x + b) = |g|·ReLU(±x + b/|g|). A reader whose sign is not that of most sees nothing of the channel.
    """
    scale = torch.stack([state[f"{name}.weight"][begin:end] for name, _ in readers])
    bias = torch.stack([state[f"{name}.bias"][begin:end] for name, _ in readers])
    size = scale.abs().clamp(min=1e-3)
    weights = [weight[:, begin:end] for _, weight in readers]
    strength = torch.stack([weight.transpose(0, 1).flatten(1).square().sum(dim=1) for weight in weights])
    matters = size**2 * strength + 1e-12
    side = torch.where(scale < 0, -1.0, 1.0)
    sign = torch.where((matters * side).sum(0) < 0, -1.0, 1.0)
    agrees = side == sign
    matters = matters * agrees
    threshold = (matters * bias / size).sum(0) / matters.sum(0).clamp(min=1e-12)
    shared.weight.copy_(sign)
    shared.bias.copy_(threshold)
    for part in ("running_mean", "running_var"):
        getattr(shared, part).copy_(state[f"{readers[0][0]}.{part}"][begin:end])
    for weight, own in zip(weights, size * agrees, strict=True):
        scale_inputs(weight, own)


def scale_inputs(weight: Tensor, factors: Tensor) -> None:
    """Multiply, in place, what a convolution or a linear layer makes of each input; (M, C, …) weights, (C,) factors."""
    weight.mul_(factors.view(1, -1, *[1] * (weight.ndim - 2)))
