"""ONNX Runtime sessions that give the same answers on every processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from device.processor import saturates

WEIGHT, WEIGHT_ZERO = 3, 5
"""Inputs of a QLinearConv."""


def open_session(model: Path | bytes, threads: int = 0) -> ort.InferenceSession:
    """A session on the CPU for the ONNX file at `model`, or for its bytes.

    `threads`: cores that a picture may use; 0 means all. x86 processors without VNNI cut sums of two products of uint8
    and int8 off at 16 bits: on those, convolutions get their weights as uint8, which takes longer and cuts nothing off.
    Raises what ONNX Runtime and onnx raise for a file that they cannot read.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if saturates():
        model = with_unsigned_weights(model if isinstance(model, bytes) else model.read_bytes())
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def with_unsigned_weights(model: bytes) -> bytes:
    """The same ONNX model, whose quantized convolutions have uint8 weights around 128 instead of int8 ones around 0.

    (w + 128) - (0 + 128) = w, so every product is the same. ONNX Runtime's option `session.x64quantprecision` does this
    for other operators, but not for the QLinearConv of pixels that lie channels last.
    """
    import onnx  # only where `saturates`, so that a Pi does without it

    loaded = onnx.load_model_from_string(model)
    constants = {one.name: one for one in loaded.graph.initializer}
    convolutions = [node for node in loaded.graph.node if node.op_type == "QLinearConv"]
    for name in {node.input[i] for node in convolutions for i in (WEIGHT, WEIGHT_ZERO)}:
        signed = onnx.numpy_helper.to_array(constants[name])
        if signed.dtype == np.int8:
            unsigned = np.asarray(signed.view(np.uint8) ^ np.uint8(128))
            constants[name].CopyFrom(onnx.numpy_helper.from_array(unsigned, name))
    return bytes(loaded.SerializeToString())
