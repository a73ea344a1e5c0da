"""DenseNet as plain arrays: the form on which the rewrites work, and a float reference that runs it.

torchvision's DenseNet (Huang et al. 2017) normalises and rectifies *before* each convolution, on a concatenation that
keeps growing. Here those are gone: a dense layer is a clip of the raw features, a 1×1 and a 3×3 convolution.
For s > 0, ReLU(s·x + b) = s·(max(x, t) - t) with t = -b/s; for s < 0 it is s·(min(x, t) - t). The scale folds into the
1×1 weights, the threshold into its bias, and what remains is a clip of each channel that needs no requantization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.errors import ExportError

Array = NDArray[np.float64]
EPSILON = 1e-5
"""Of torchvision's BatchNorm layers."""


@dataclass(frozen=True)
class Convolution:
    """`weight`: (M, C, k, k); `bias`: (M,); `is_rectified`: a ReLU follows."""

    weight: Array
    bias: Array
    stride: int = 1
    is_rectified: bool = False

    @property
    def padding(self) -> int:
        return (int(self.weight.shape[-1]) - 1) // 2

    @property
    def pads(self) -> tuple[int, int, int, int]:
        return (self.padding,) * 4

    @property
    def strides(self) -> tuple[int, int]:
        return (self.stride,) * 2


@dataclass(frozen=True)
class Clip:
    """Bounds of each channel, (C,) each; infinite where there is none."""

    low: Array
    high: Array


@dataclass(frozen=True)
class DenseLayer:
    """clip → `squeeze` (1×1, rectified) → `grow` (3×3), whose output is appended to the features."""

    clip: Clip
    squeeze: Convolution
    grow: Convolution


@dataclass(frozen=True)
class Transition:
    """clip → mean of 2×2 → `squeeze` (1×1): the mean moves before the convolution, which it commutes with."""

    clip: Clip
    squeeze: Convolution


@dataclass(frozen=True)
class Stage:
    """A dense block, and what leads to the next (None after the last)."""

    layers: tuple[DenseLayer, ...]
    transition: Transition | None


@dataclass(frozen=True)
class Network:
    """stem (7×7, rectified) → max pool → stages → clip → mean → classifier.

    The stem takes raw pixels minus `zero_point`. `weight` (K, C) and `bias` (K,) are the classifier's.
    """

    stem: Convolution
    stages: tuple[Stage, ...]
    clip: Clip
    weight: Array
    bias: Array
    zero_point: int


def from_checkpoint(state: Mapping[str, Tensor], mean: float, deviation: tuple[float, float, float]) -> Network:
    """The network that a torchvision DenseNet state dict describes, BatchNorm gone, normalisation folded in.

    `mean`: of raw pixels, a whole number of 0…255, the same for all channels; `deviation`: of pixels scaled to 0…1.
    Raises `ExportError` where the state is of another architecture or another head.
    """
    arrays = {key: value.double().numpy() for key, value in state.items() if value.is_floating_point()}
    if "classifier.weight" not in arrays or "features.denseblock4.denselayer1.norm1.weight" not in arrays:
        raise ExportError(
            "This checkpoint is no DenseNet with a linear head: train one, which every recipe but `seed` does."
        )
    if mean != round(mean):
        raise ExportError(f"The mean grey ({mean}) must be a whole number, or zero padding would change the border.")
    stem_weight = arrays["features.conv0.weight"] / (255 * np.array(deviation)).reshape(1, 3, 1, 1)
    stem = _fold_after(Convolution(stem_weight, np.zeros(len(stem_weight)), 2), _norm(arrays, "features.norm0"))
    stages = []
    for block in range(1, 5):
        layers, prefix = [], f"features.denseblock{block}.denselayer"
        for number in range(1, 1 + sum(key.startswith(prefix) and key.endswith("conv1.weight") for key in arrays)):
            name = f"{prefix}{number}"
            clip, squeeze = _fold_before(_conv(arrays, f"{name}.conv1"), _norm(arrays, f"{name}.norm1"))
            squeeze = _fold_after(squeeze, _norm(arrays, f"{name}.norm2"))
            layers.append(DenseLayer(clip, squeeze, _conv(arrays, f"{name}.conv2")))
        name = f"features.transition{block}"
        transition = None
        if f"{name}.conv.weight" in arrays:
            transition = Transition(*_fold_before(_conv(arrays, f"{name}.conv"), _norm(arrays, f"{name}.norm")))
        stages.append(Stage(tuple(layers), transition))
    head = Convolution(arrays["classifier.weight"][:, :, None, None], arrays["classifier.bias"])
    clip, head = _fold_before(head, _norm(arrays, "features.norm5"))
    return Network(stem, tuple(stages), clip, head.weight[:, :, 0, 0], head.bias, round(mean))


def _conv(arrays: Mapping[str, Array], name: str) -> Convolution:
    weight = arrays[f"{name}.weight"]
    return Convolution(weight, np.zeros(len(weight)))


def _norm(arrays: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    """BatchNorm at inference as s·x + b, (C,) each."""
    scale = arrays[f"{name}.weight"] / np.sqrt(arrays[f"{name}.running_var"] + EPSILON)
    return scale, arrays[f"{name}.bias"] - scale * arrays[f"{name}.running_mean"]


def _fold_after(convolution: Convolution, norm: tuple[Array, Array]) -> Convolution:
    """A convolution followed by s·y + b and a ReLU."""
    scale, shift = norm
    weight = convolution.weight * scale[:, None, None, None]
    return Convolution(weight, convolution.bias * scale + shift, convolution.stride, is_rectified=True)


def _fold_before(convolution: Convolution, norm: tuple[Array, Array]) -> tuple[Clip, Convolution]:
    """ReLU(s·x + b) followed by a 1×1 convolution, as a clip of x and a 1×1 convolution of the clipped x.

    A channel whose scale is zero is a constant: it goes into the bias and its weights become zero.
    """
    scale, shift = norm
    alive = np.abs(scale) > 1e-12
    threshold = np.where(alive, -shift / np.where(alive, scale, 1.0), 0.0)
    clip = Clip(np.where(scale > 0, threshold, -np.inf), np.where(alive & (scale < 0), threshold, np.inf))
    weight = convolution.weight * np.where(alive, scale, 0.0)[None, :, None, None]
    matrix = convolution.weight.sum(axis=(2, 3))
    constant = np.where(alive, -scale * threshold, np.maximum(shift, 0.0))
    bias = convolution.bias + matrix @ constant
    return clip, Convolution(weight, bias, convolution.stride, convolution.is_rectified)


class Arithmetic:
    """How a network is computed: exactly, unless a subclass rounds on the way or listens.

    A convolution's name is that of the intermediate which it makes: `stem`, and for stage i and layer j `i.j.squeeze`,
    `i.j.grow` and `i.transition`. `i.mean` is what a transition's convolution reads.
    """

    def convolve(self, name: str, convolution: Convolution, value: Tensor) -> Tensor:
        """The output before any ReLU."""
        weight, bias = tensor(convolution.weight), tensor(convolution.bias)
        return functional.conv2d(value, weight, bias, convolution.stride, convolution.padding)

    def clip(self, clip: Clip, value: Tensor) -> Tensor:
        """(N, C, H, W) features within the bounds of their channels."""
        low, high = (tensor(bound).view(1, -1, 1, 1) for bound in (clip.low, clip.high))
        return torch.minimum(torch.maximum(value, low), high)

    def store(self, name: str, value: Tensor) -> Tensor:
        """What is kept of an intermediate that becomes 8-bit."""
        return value


EXACT = Arithmetic()


def run(network: Network, images: Tensor, arithmetic: Arithmetic = EXACT) -> Tensor:
    """Logits, (N, K) float32, of (N, 3, H, W) uint8 RGB."""

    def convolve(name: str, convolution: Convolution, value: Tensor) -> Tensor:
        made = arithmetic.convolve(name, convolution, value)
        return torch.relu(made) if convolution.is_rectified else made

    value = convolve("stem", network.stem, images.float() - network.zero_point)
    value = arithmetic.store("stem", functional.max_pool2d(value, 3, 2, 1))
    for i, stage in enumerate(network.stages):
        for j, layer in enumerate(stage.layers):
            name = f"{i}.{j}"
            hidden = convolve(f"{name}.squeeze", layer.squeeze, arithmetic.clip(layer.clip, value))
            hidden = arithmetic.store(f"{name}.squeeze", hidden)
            grown = arithmetic.store(f"{name}.grow", convolve(f"{name}.grow", layer.grow, hidden))
            value = torch.cat([value, grown], dim=1)
        if stage.transition is not None:
            mean = functional.avg_pool2d(arithmetic.clip(stage.transition.clip, value), 2)
            mean = arithmetic.store(f"{i}.mean", mean)
            value = convolve(f"{i}.transition", stage.transition.squeeze, mean)
            value = arithmetic.store(f"{i}.transition", value)
    pooled = arithmetic.clip(network.clip, value).mean(dim=(2, 3))
    return pooled @ tensor(network.weight).T + tensor(network.bias)


def tensor(array: Array) -> Tensor:
    """As float32, in which networks run."""
    return torch.from_numpy(array).float()
