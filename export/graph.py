"""The INT8 graph: an equalised network written with ONNX Runtime's quantized operators, channels last throughout.

All intermediates are uint8 with scale 1/255 and zero point 0, weights int8 per output channel. Nothing is requantized
but by a convolution, concatenations copy, and the picture's own layout (NHWC) is kept, so that nothing is transposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.columns import GroupedConvolution, group_columns, outputs_of
from export.limits import OPSET
from export.network import Clip, Convolution, Network

STEP = 1 / 255
"""Of every 8-bit intermediate."""
IR_VERSION = 8
LARGEST_BIAS = 2**31 - 1
COLUMNS = 4
"""Of the picture, that the stem takes as one: twelve channels. See docs/performance.md."""
MICROSOFT = "com.microsoft"

Corrections = dict[str, NDArray[np.float64]]
"""Added to the biases of convolutions by the name of their output, in units of the equalised intermediate."""


class _Graph:
    """Nodes and constants in the order in which they are written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: set[str] = set()

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def reshape(self, source: str, output: str, shape: list[int]) -> str:
        return self.node("Reshape", [source, self.constant(f"{output}.shape", np.array(shape, np.int64))], output)

    def step(self) -> str:
        return self.constant("step", np.array(STEP, np.float32))

    def zero(self) -> str:
        return self.constant("zero", np.array(0, np.uint8))


def round_weights(
    weight: NDArray[np.float64], least_scale: NDArray[np.float64] | float = 0.0
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Symmetric int8 per output channel: (M, …) → integers in -127…127 and their scales (M,)."""
    rows = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = np.maximum(np.where(rows > 0, rows, 1.0) / 127, least_scale)
    return np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8), scale


def int8_model(
    network: Network,
    temperature: float,
    size_px: int,
    corrections: Corrections | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """The bundle's graph of an equalised network: `image` uint8 NHWC → `probabilities` and `energy`."""
    graph, corrections = _Graph(), corrections or {}

    def corrected(name: str, convolution: Convolution) -> Convolution:
        return replace(convolution, bias=convolution.bias + corrections.get(name, 0.0))

    def convolve(name: str, convolution: Convolution, source: str) -> str:
        return _convolve(graph, name, corrected(name, convolution), source)

    value = _stem(graph, corrected("stem", network.stem), size_px, network.zero_point)
    value = graph.node(
        "NhwcMaxPool", [value], "stem.pool", MICROSOFT, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    for i, stage in enumerate(network.stages):
        for j, layer in enumerate(stage.layers):
            name = f"{i}.{j}"
            hidden = convolve(f"{name}.squeeze", layer.squeeze, _clip(graph, name, layer.clip, value))
            grown = convolve(f"{name}.grow", layer.grow, hidden)
            value = graph.node("Concat", [value, grown], f"{name}.features", axis=3)
        if stage.transition is not None:
            name = f"{i}.transition"
            mean = _mean(graph, name, _clip(graph, name, stage.transition.clip, value), len(stage.transition.clip.low))
            value = convolve(name, stage.transition.squeeze, mean)
    _classify(graph, network, _clip(graph, "head", network.clip, value), temperature)
    return _model(graph, size_px, len(network.bias), opset)


def _stem(graph: _Graph, convolution: Convolution, size_px: int, zero_point: int) -> str:
    """The stem on groups of columns: the same bytes before and after it, seen otherwise."""
    rows, outputs = size_px // convolution.stride, outputs_of(COLUMNS, convolution.stride)
    source = graph.reshape("image", "stem.columns", [1, size_px, size_px // COLUMNS, -1])
    made = _convolve(graph, "stem", group_columns(convolution, COLUMNS), source, zero_point)
    return graph.reshape(made, "stem.pixels", [1, rows, rows, len(convolution.weight)]) if outputs > 1 else made


def _convolve(
    graph: _Graph,
    name: str,
    convolution: Convolution | GroupedConvolution,
    source: str,
    image_zero_point: int | None = None,
) -> str:
    input_step = STEP if image_zero_point is None else 1.0
    # Where weights are next to nothing, the bias is all there is: their scale must let it fit.
    weight, scale = round_weights(convolution.weight, np.abs(convolution.bias) / (input_step * LARGEST_BIAS))
    whole_bias = np.rint(convolution.bias / (input_step * scale)).astype(np.int32)
    if image_zero_point is None:
        input_scale, input_zero = graph.step(), graph.zero()
    else:
        input_scale = graph.constant("image.step", np.array(1.0, np.float32))
        input_zero = graph.constant("image.zero", np.array(image_zero_point, np.uint8))
    return graph.node(
        "QLinearConv",
        [
            source, input_scale, input_zero,
            graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.scale", scale.astype(np.float32)),
            graph.constant("weight.zero", np.array(0, np.int8)), graph.step(), graph.zero(),
            graph.constant(f"{name}.bias", whole_bias),
        ],
        name, MICROSOFT, channels_last=1, kernel_shape=weight.shape[2:], pads=convolution.pads,
        strides=convolution.strides,
    )  # fmt: skip


def whole_bounds(clip: Clip) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The bounds of a clip of an equalised intermediate as uint8; 0 and 255 where they do nothing."""
    low = np.clip(np.rint(clip.low * 255), 0, 255)
    high = np.clip(np.rint(clip.high * 255), 0, 255)
    return low.astype(np.uint8), high.astype(np.uint8)


def _clip(graph: _Graph, name: str, clip: Clip, source: str) -> str:
    low, high = whole_bounds(clip)
    if low.any():
        source = graph.node("Max", [source, graph.constant(f"{name}.low", low.reshape(1, 1, 1, -1))], f"{name}.max")
    if (high < 255).any():
        source = graph.node("Min", [source, graph.constant(f"{name}.high", high.reshape(1, 1, 1, -1))], f"{name}.min")
    return source


def _mean(graph: _Graph, name: str, source: str, channels: int) -> str:
    """The mean of 2×2 pixels as a depthwise convolution, which is faster than ONNX Runtime's 8-bit average pool."""
    weight = graph.constant(f"{name}.mean.weight", np.full((channels, 1, 2, 2), 127, np.int8))
    scale = graph.constant("mean.scale", np.array(0.25 / 127, np.float32))
    zero = graph.constant("weight.zero", np.array(0, np.int8))
    return graph.node(
        "QLinearConv", [source, graph.step(), graph.zero(), weight, scale, zero, graph.step(), graph.zero()],
        f"{name}.mean", MICROSOFT, channels_last=1, kernel_shape=[2, 2], strides=[2, 2], group=channels,
    )  # fmt: skip


def _classify(graph: _Graph, network: Network, source: str, temperature: float) -> None:
    """The head in float, where it costs nothing: mean, logits, energy, softmax."""
    features = graph.node("DequantizeLinear", [source, graph.step(), graph.zero()], "features")
    # ONNX Runtime takes a mean over the rows of a matrix six times as fast as one over two inner axes.
    pixels = graph.reshape(features, "features.pixels", [-1, network.weight.shape[1]])
    pooled = graph.node("ReduceMean", [pixels], "pooled", axes=[0], keepdims=1)
    weight = graph.constant("classifier.weight", network.weight.astype(np.float32))
    bias = graph.constant("classifier.bias", network.bias.astype(np.float32))
    logits = graph.node("Gemm", [pooled, weight, bias], "logits", transB=1)
    graph.node("ReduceLogSumExp", [logits], "energy", axes=[1], keepdims=0)
    cooled = graph.node("Div", [logits, graph.constant("temperature", np.array(temperature, np.float32))], "cooled")
    graph.node("Softmax", [cooled], "probabilities", axis=1)


def _model(graph: _Graph, size_px: int, classes: int, opset: int) -> onnx.ModelProto:
    make: Callable[..., onnx.ValueInfoProto] = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes, "pilah",
        [make("image", TensorProto.UINT8, [1, size_px, size_px, 3])],
        [make("probabilities", TensorProto.FLOAT, [1, classes]), make("energy", TensorProto.FLOAT, [1])],
        graph.constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="pilah")
