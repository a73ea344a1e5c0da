"""What a bundle would answer, did it round nothing: its graph in floats, one operator after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

NOT_ASKED = "ReduceLogSumExp"
"""Makes the energy."""
TOP = 255.0
"""The last of an intermediate's 8-bit steps; the first, 0, is the ReLU of most."""


@torch.no_grad()
def unrounded(path: Path, pictures: Sequence[NDArray[np.uint8]], top: float = TOP) -> NDArray[np.float32]:
    """(N, K) probabilities of N pictures, each (S, S, 3) uint8 RGB; `top`: where steps are cut off, perhaps nowhere."""
    graph = onnx.load(path).graph
    arrays = {one.name: np.asarray(numpy_helper.to_array(one), np.float32) for one in graph.initializer}
    constants = {
        name: torch.tensor(np.where(array == TOP, top, array) if name.endswith(".high") else array)
        for name, array in arrays.items()
    }
    nodes = [
        (node, {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute})
        for node in graph.node
        if node.op_type != NOT_ASKED
    ]
    answers = []
    for picture in pictures:
        values = {**constants, "image": torch.tensor(picture[None], dtype=torch.float32)}
        for node, settings in nodes:
            made = OPERATORS[node.op_type](*(values[name] for name in node.input), **settings)
            values[node.output[0]] = made.clamp(0, top) if node.op_type == "QLinearConv" else made
        answers.append(values["probabilities"])
    return torch.cat(answers).numpy()


def _convolve(
    x: Tensor, x_step: Tensor, x_zero: Tensor, weight: Tensor, scale: Tensor, weight_zero: Tensor,
    step: Tensor, zero: Tensor, bias: Tensor | None = None,
    *, strides: list[int], pads: Sequence[int] = (0, 0, 0, 0), group: int = 1, **_: object,
) -> Tensor:  # fmt: skip
    above, left, below, right = pads
    seen = functional.pad((x - x_zero).permute(0, 3, 1, 2), (left, right, above, below))
    made = functional.conv2d(seen, weight - weight_zero, bias, strides, groups=group).permute(0, 2, 3, 1)
    return made * (x_step * scale / step) + zero


def _pool(x: Tensor, *, kernel_shape: list[int], strides: list[int], pads: list[int]) -> Tensor:
    pooled: Tensor = functional.max_pool2d(x.permute(0, 3, 1, 2), kernel_shape, strides, pads[:2])
    return pooled.permute(0, 2, 3, 1)


OPERATORS = {
    "QLinearConv": _convolve,
    "NhwcMaxPool": _pool,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Reshape": lambda x, shape: x.reshape([int(side) for side in shape]),
    "DequantizeLinear": lambda x, step, zero: (x - zero) * step,
    "ReduceMean": lambda x, *, axes, keepdims: x.mean(axes, bool(keepdims)),
    "Gemm": lambda x, weight, bias, *, transB: functional.linear(x, weight, bias),  # noqa: N803  as ONNX names it
    "Div": torch.div,
    "Softmax": lambda x, *, axis: x.softmax(axis),
}
