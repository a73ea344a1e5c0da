"""Go on from a bundle: its 8-bit weights become a DenseNet121 that can be trained further.

The repository ships the bundle and no checkpoint, so this is how anybody improves the shipped model. What `export`
folded together is taken apart again: each clip becomes a BatchNorm and a ReLU, each bias moves into the next BatchNorm.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from export.columns import ungroup_columns
from training.errors import CheckpointError
from training.models import DEVIATION, Student
from training.shared import scale_inputs

Array = NDArray[np.float64]
STEP = 1 / 255
"""Of every 8-bit intermediate (export/graph.py)."""


class _Constants:
    """The bundle's constants by name, dequantized."""

    def __init__(self, path: Path) -> None:
        try:
            graph = onnx.load(path).graph
        except Exception as fault:
            raise CheckpointError(f"{path} cannot be read as an ONNX model: copy it again.") from fault
        self._arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        if "0.0.squeeze.weight" not in self._arrays:
            raise CheckpointError(f"{path} is no bundle that Pilah's export wrote, so training cannot go on from it.")

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self._arrays[name], np.float64)

    def convolution(self, name: str, input_step: float = STEP) -> tuple[Array, Array]:
        """(M, C, k, k) weights and (M,) biases."""
        scale = self[f"{name}.scale"]
        return self[f"{name}.weight"] * scale[:, None, None, None], self[f"{name}.bias"] * input_step * scale

    def clip(self, name: str, channels: int) -> tuple[Array, Array]:
        """Signs (C,) of ReLU's argument and the thresholds (C,): the clip is sign·ReLU(sign·(x - t)) + t."""
        low = self[f"{name}.low"].ravel() * STEP if f"{name}.low" in self else np.zeros(channels)
        high = self[f"{name}.high"].ravel() * STEP if f"{name}.high" in self else np.ones(channels)
        sign = np.where(high < 1, -1.0, 1.0)
        return sign, np.where(high < 1, high, low)


def student_from_bundle(path: Path, classes: tuple[str, ...], views: Tensor) -> Student:
    """A student that answers as the bundle at `path` does, up to the bundle's rounding.

    `views`: (N, 3, H, W) uint8 training views, on which the BatchNorms take their means and variances. Raises
    `CheckpointError` for a file that `export` did not write, or one of other classes.
    """
    constants = _Constants(path)
    if len(constants["classifier.bias"]) != len(classes):
        raise CheckpointError(f"{path} knows {len(constants['classifier.bias'])} classes, the data {len(classes)}.")
    student = Student(len(classes)).eval()
    with torch.no_grad():
        _write(student, constants)
        _measure(student, views, keep_function=True)
        _even_out(student)
        _measure(student, views, keep_function=False)
    return student


def _write(student: Student, constants: _Constants) -> None:
    """Copy the constants; BatchNorms become s·x + b with s = ±1."""
    features = student.network.features
    weight, bias = constants.convolution("stem", input_step=1.0)
    weight = ungroup_columns(weight, channels=3, stride=2)
    bias = bias[: len(weight)]
    features.conv0.weight.copy_(torch.from_numpy(weight * 255 * np.array(DEVIATION).reshape(1, 3, 1, 1)))
    _set_norm(features.norm0, np.ones(len(bias)), bias)
    offsets = np.zeros(len(bias))
    for i in range(4):
        block = getattr(features, f"denseblock{i + 1}")
        for j, layer in enumerate(block.values()):
            constant = _read(layer.norm1, layer.conv1, constants, f"{i}.{j}", f"{i}.{j}.squeeze", offsets)
            _set_norm(layer.norm2, np.ones(len(constant)), constant)
            weight, bias = constants.convolution(f"{i}.{j}.grow")
            layer.conv2.weight.copy_(torch.from_numpy(weight))
            offsets = np.concatenate([offsets, bias])
        if i < 3:
            transition = getattr(features, f"transition{i + 1}")
            offsets = _read(transition.norm, transition.conv, constants, f"{i}.transition", f"{i}.transition", offsets)
    sign, threshold = constants.clip("head", len(offsets))
    _set_norm(features.norm5, sign, sign * (offsets - threshold))
    weight = constants["classifier.weight"]
    student.network.classifier.weight.copy_(torch.from_numpy(weight * sign))
    student.network.classifier.bias.copy_(torch.from_numpy(constants["classifier.bias"] + weight @ threshold))


def _read(
    norm: nn.BatchNorm2d, convolution: nn.Conv2d, constants: _Constants, clip: str, name: str, offsets: Array
) -> Array:
    """Fill a BatchNorm and the 1×1 convolution after its ReLU; returns the constant that the output lacks, (M,).

    `offsets`: (C,) what the bundle's features are more than the student's, whose convolutions have no bias.
    """
    weight, bias = constants.convolution(name)
    sign, threshold = constants.clip(clip, len(offsets))
    _set_norm(norm, sign, sign * (offsets - threshold))
    convolution.weight.copy_(torch.from_numpy(weight * sign[None, :, None, None]))
    return np.asarray(bias + weight[:, :, 0, 0] @ threshold)


def _set_norm(norm: nn.BatchNorm2d, scale: Array, shift: Array) -> None:
    known_mean, known_variance = _known(norm)
    known_mean.zero_()
    known_variance.fill_(1 - norm.eps)
    norm.weight.copy_(torch.from_numpy(scale))
    norm.bias.copy_(torch.from_numpy(shift))


def _known(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The mean and the variance that a BatchNorm keeps, as all of a DenseNet do."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _measure(student: Student, views: Tensor, keep_function: bool) -> None:
    """Let every BatchNorm take its input's mean and variance over `views`.

    `keep_function`: scale and shift change along, so that the output stays; otherwise they stay, which keeps the
    function where only the scale of the input changed.
    """

    def take(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3))
        known_mean, known_variance = _known(norm)
        if keep_function:
            scale = norm.weight / torch.sqrt(known_variance + norm.eps)
            norm.bias.copy_(norm.bias + scale * (mean - known_mean))
            norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
        known_mean.copy_(mean)
        known_variance.copy_(variance)

    hooks = [m.register_forward_pre_hook(take) for m in student.modules() if isinstance(m, nn.BatchNorm2d)]
    student(views)
    for hook in hooks:
        hook.remove()


def _even_out(student: Student) -> None:
    """Give BatchNorms a scale of ±1 and convolutions the size that a fresh network has, as the optimiser expects.

    ReLU(g·z) = g·ReLU(z) for g > 0, so the scales go into the next convolution; the scale of a convolution's channel is
    undone by the BatchNorm that reads it. Each channel has its own, since the bundle's differ by a factor of 10⁴: one
    for all would leave the small ones below the BatchNorm's epsilon.
    """
    for norm, reader in _pairs(student):
        size = norm.weight.abs().clamp(min=1e-3)
        norm.weight.div_(size)
        norm.bias.div_(size)
        scale_inputs(reader.weight, size)
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            rows = module.weight.flatten(1).square().mean(dim=1).sqrt().clamp(min=1e-9)
            module.weight.mul_(((2 / module.weight[0].numel()) ** 0.5 / rows).view(-1, 1, 1, 1))


def _pairs(student: Student) -> Iterator[tuple[nn.BatchNorm2d, nn.Conv2d | nn.Linear]]:
    features = student.network.features
    for i in range(1, 5):
        for layer in getattr(features, f"denseblock{i}").values():
            yield layer.norm1, layer.conv1
            yield layer.norm2, layer.conv2
        if i < 4:
            transition = getattr(features, f"transition{i}")
            yield transition.norm, transition.conv
    yield features.norm5, student.network.classifier
