"""The INT8 graph in float: what is rounded there is rounded here, so that many photos run at once."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from export.graph import STEP, round_weights, whole_bounds
from export.network import Arithmetic, Clip, Convolution, DenseLayer, Network, Stage


class Everything:
    """Contains every name."""

    def __contains__(self, name: object) -> bool:
        return True


EVERYTHING = Everything()


class EightBits(Arithmetic):
    """Rounds intermediates to the 256 steps of 0…1 that an equalised network's graph stores.

    `only`: the names of intermediates that are rounded; the others stay exact.
    """

    def __init__(self, only: Container[str] = EVERYTHING) -> None:
        self._only = only

    def store(self, name: str, value: Tensor) -> Tensor:
        if name not in self._only:
            return value
        return torch.round(value / STEP).clamp(0, 255) * STEP


def change_convolutions(network: Network, change: Callable[[str, Convolution], Convolution]) -> Network:
    """The network with each convolution replaced by `change(name, convolution)`; the names are those of `run`."""
    stages = []
    for i, stage in enumerate(network.stages):
        layers = tuple(
            replace(layer, squeeze=change(f"{i}.{j}.squeeze", layer.squeeze), grow=change(f"{i}.{j}.grow", layer.grow))
            for j, layer in enumerate(stage.layers)
        )
        transition = stage.transition
        if transition is not None:
            transition = replace(transition, squeeze=change(f"{i}.transition", transition.squeeze))
        stages.append(Stage(layers, transition))
    return replace(network, stem=change("stem", network.stem), stages=tuple(stages))


def change_clips(network: Network, change: Callable[[Clip], Clip]) -> Network:
    """The network with each clip replaced."""

    def layer_changed(layer: DenseLayer) -> DenseLayer:
        return replace(layer, clip=change(layer.clip))

    stages = tuple(
        Stage(
            tuple(layer_changed(layer) for layer in stage.layers),
            None if stage.transition is None else replace(stage.transition, clip=change(stage.transition.clip)),
        )
        for stage in network.stages
    )
    return replace(network, stages=stages, clip=change(network.clip))


def with_whole_weights(network: Network, only: Container[str] = EVERYTHING) -> Network:
    """Weights rounded as the graph holds them, and back in float."""

    def rounded(name: str, convolution: Convolution) -> Convolution:
        if name not in only:
            return convolution
        whole, scale = round_weights(convolution.weight)
        return replace(convolution, weight=whole * scale[:, None, None, None])

    return change_convolutions(network, rounded)


def with_whole_bounds(network: Network) -> Network:
    """Bounds of clips rounded as the graph holds them."""

    def rounded(clip: Clip) -> Clip:
        low, high = whole_bounds(clip)
        return Clip(np.asarray(low * STEP), np.asarray(high * STEP))

    return change_clips(network, rounded)
