"""Small bundles that keep the contract: a picture is named by its mean colour, without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

COLOURS: dict[str, tuple[int, int, int]] = {
    "cardboard": (170, 120, 60),
    "carton": (230, 160, 200),
    "glass": (40, 160, 90),
    "metal": (60, 60, 70),
    "organic": (200, 60, 20),
    "paper": (235, 235, 225),
    "plastic": (40, 90, 220),
    "textile": (130, 30, 130),
    "trash": (20, 20, 160),
    "wood": (110, 70, 20),
}
"""The mean colour, RGB, at which the bundle is sure of each material."""
SHARPNESS = 400.0


def write_bundle(
    path: Path, colours: Mapping[str, tuple[int, int, int]] = COLOURS, crop: int = 32, **metadata: Any
) -> Path:
    """A bundle whose logits are minus the squared distance of the mean colour to each material's, times SHARPNESS.

    `metadata` replaces values of the contract; None leaves one out. The energy is near 0 for a known colour and falls
    to below -100 for one that is like none of them.
    """
    values = {**contract(tuple(colours), crop), **metadata}
    model = helper.make_model(_graph(colours, crop), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in values.items() if value is not None})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def contract(classes: tuple[str, ...], crop: int = 32) -> dict[str, Any]:
    """The metadata of a bundle with these classes."""
    return {
        "pilah_contract": 1,
        "classes": list(classes),
        "version": "2026.1.1-1",
        "preprocess": {"resize_short": crop * 5 // 4, "crop": crop, "interpolation": "area"},
        "temperature": 1.0,
        "thresholds": {"confidence": 0.6, "energy": -20.0},
        "cost_matrix": {"organic": {"recyclable": 10.0}},
        "sources": [{"name": "colours", "licence": "MIT", "photos": 0}],
        "metrics": [
            {"data": "colours", "split": "test", "photos": 10, "correct": 9, "accuracy": 0.9, "interval95": [0.6, 0.98]}
        ],
        "provenance": {"recipe": "by hand"},
        "float_sha256": "0" * 64,
    }


def plain(material: str, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A picture of one material's colour, (height, width, 3) uint8 RGB."""
    return np.full((height, width, 3), COLOURS[material], np.uint8)


def _graph(colours: Mapping[str, tuple[int, int, int]], crop: int) -> onnx.GraphProto:
    known = np.array(list(colours.values()), np.float32) / 255
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["colour"]),
        helper.make_node("Sub", ["known", "colour"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceSum", ["squared", "last"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "sharpness"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "first"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceLogSumExp", ["logits"], ["energy"], axes=[1], keepdims=0),
    ]
    constants = {
        "white": np.array(255.0, np.float32),
        "known": known,
        "last": np.array([1], np.int64),
        "first": np.array([0], np.int64),
        "sharpness": np.array(-SHARPNESS, np.float32),
    }
    return helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, crop, crop, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(colours)]),
            helper.make_tensor_value_info("energy", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
