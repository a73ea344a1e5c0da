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
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from export.columns import ungroup_columns
from export.graph import STEP
from export.network import Array
from training.errors import CheckpointError
from training.models import DEVIATION, Student
from training.shared import scale_inputs

SMALLEST_SCALE = 1e-3
"""Of a BatchNorm's channel that still counts; below, it is treated as this."""
ROUNDS = 6
RELATED = 0.5
"""The mean cosine between the weights of a network and its ancestor's is above; of strangers' it is near 0."""


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


def student_from_bundle(
    path: Path, classes: tuple[str, ...], views: Tensor, ancestor: Student | None = None
) -> Student:
    """A student that answers as the bundle at `path` does, but rounds nothing and cuts off no colours that are rare.

    `views`: (N, 3, H, W) uint8 training views, on which the BatchNorms take their means and variances. `ancestor`: the
    network from whose weights the bundle's training may have begun, ImageNet's; if it did, the student takes its scales
    and can be averaged with it. Raises `CheckpointError` for a file that `export` did not write, or one of other
    classes.
    """
    constants = _Constants(path)
    if len(constants["classifier.bias"]) != len(classes):
        raise CheckpointError(f"{path} knows {len(constants['classifier.bias'])} classes, the data {len(classes)}.")
    student = Student(len(classes)).eval()
    with torch.no_grad():
        _write(student, constants)
        _measure(student, views, keep_function=True)
        _even_out(student)
        if ancestor is not None:
            _take_scales(student, ancestor)
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
    """Let a BatchNorm make scale·x + shift, (C,) each, at inference."""
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
        seen = inputs[0].float()
        mean = seen.mean(dim=(0, 2, 3))  # in two passes: torch.var_mean takes three times as long on a CPU
        variance = (seen - mean.view(1, -1, 1, 1)).square_().mean(dim=(0, 2, 3))
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
        sizes = _scales(norm)
        _scale(norm, 1 / sizes)
        scale_inputs(reader.weight, sizes)
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            rows = module.weight.flatten(1).square().mean(dim=1).sqrt().clamp(min=1e-9)
            module.weight.mul_(((2 / module.weight[0].numel()) ** 0.5 / rows).view(-1, 1, 1, 1))


def _take_scales(student: Student, ancestor: Student) -> None:
    """Give every channel the size that it has in `ancestor`, to the same function, if most weights point its way.

    Export moves scales and signs as it likes, so those of training are lost; but training turns weights little, so they
    are where the weights come nearest to their ancestor's. Those of a convolution's rows and columns are found by
    turns, as Sinkhorn and Knopp (1967) do.
    """
    for (convolution, norm), (old_convolution, _) in zip(_folded(student), _folded(ancestor), strict=True):
        against = (convolution.weight * old_convolution.weight).flatten(1).sum(dim=1) < 0
        signs = torch.where(against, -1.0, 1.0)
        convolution.weight.mul_(signs.view(-1, 1, 1, 1))
        norm.weight.mul_(signs)
    found = [
        (norm, reader, *_nearest(reader.weight, old_reader.weight, _scales(old_norm)))
        for (norm, reader), (old_norm, old_reader) in zip(_pairs(student), _pairs(ancestor), strict=True)
        if isinstance(reader, nn.Conv2d)
    ]
    if sum(likeness for *_, likeness in found) < RELATED * len(found):
        return
    for norm, reader, rows, sizes, _ in found:
        _scale(norm, sizes)
        scale_inputs(reader.weight, 1 / sizes)
        reader.weight.mul_(rows.view(-1, 1, 1, 1))
    own, old = student.network.features, ancestor.network.features
    own.conv0.weight.mul_((_lengths(old.conv0.weight, 0) / _lengths(own.conv0.weight, 0)).view(-1, 1, 1, 1))
    _scale(own.norm0, _scales(old.norm0) / _scales(own.norm0))
    sizes = _scales(old.norm5) / _scales(own.norm5)
    _scale(own.norm5, sizes)
    scale_inputs(student.network.classifier.weight, 1 / sizes)


def _scales(norm: nn.BatchNorm2d) -> Tensor:
    """By what a BatchNorm multiplies each channel, (C,), without the sign and at least `SMALLEST_SCALE`."""
    return norm.weight.abs().clamp(min=SMALLEST_SCALE)


def _scale(norm: nn.BatchNorm2d, sizes: Tensor) -> None:
    """Multiply what a BatchNorm makes of each channel by `sizes`, (C,) above zero."""
    norm.weight.mul_(sizes)
    norm.bias.mul_(sizes)


def _nearest(weight: Tensor, wanted: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, float]:
    """Factors of rows (M,), divisors of columns (C,) that bring (M, C, k, k) weights near to those wanted.

    `sizes` are the columns' first guess, and none becomes larger than the largest of them: where a column wanted is
    next to nothing, its BatchNorm would multiply by thousands whatever the optimiser adds to it. The last is the cosine
    between the two then.
    """
    largest = float(sizes.max())
    for _ in range(ROUNDS):
        rows = _lengths(wanted, 0) / _lengths(weight / sizes.view(1, -1, 1, 1), 0)
        sizes = _lengths(weight * rows.view(-1, 1, 1, 1), 1) / _lengths(wanted, 1)
        sizes = sizes.clamp(SMALLEST_SCALE, largest)
    scaled = weight * rows.view(-1, 1, 1, 1) / sizes.view(1, -1, 1, 1)
    return rows, sizes, float(functional.cosine_similarity(scaled.flatten(), wanted.flatten(), dim=0))


def _lengths(weight: Tensor, dim: int) -> Tensor:
    """Of the rows (`dim` 0) or columns (1) of (M, C, …) weights."""
    return weight.transpose(0, dim).flatten(1).norm(dim=1).clamp(min=1e-9)


def _folded(student: Student) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions that export folds the BatchNorm after them into."""
    features = student.network.features
    yield features.conv0, features.norm0
    for i in range(1, 5):
        for layer in getattr(features, f"denseblock{i}").values():
            yield layer.conv1, layer.norm2


def _pairs(student: Student) -> Iterator[tuple[nn.BatchNorm2d, nn.Conv2d | nn.Linear]]:
    """BatchNorms and the layers that read what they make, once it is rectified."""
    features = student.network.features
    for i in range(1, 5):
        for layer in getattr(features, f"denseblock{i}").values():
            yield layer.norm1, layer.conv1
            yield layer.norm2, layer.conv2
        if i < 4:
            transition = getattr(features, f"transition{i}")
            yield transition.norm, transition.conv
    yield features.norm5, student.network.classifier
