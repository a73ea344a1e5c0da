"""The INT8 graph in float: what is rounded there is rounded here, so that many photos run at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from export.graph import STEP, round_weights, whole_bounds
from export.network import Arithmetic, Clip, Convolution


class EightBits(Arithmetic):
    """Rounds weights, bounds of clips and intermediates of an equalised network as its graph holds them."""

    def convolve(self, name: str, convolution: Convolution, value: Tensor) -> Tensor:
        whole, scale = round_weights(convolution.weight)
        return super().convolve(name, replace(convolution, weight=whole * scale[:, None, None, None]), value)

    def clip(self, clip: Clip, value: Tensor) -> Tensor:
        low, high = whole_bounds(clip)
        return super().clip(Clip(np.asarray(low * STEP), np.asarray(high * STEP)), value)

    def store(self, name: str, value: Tensor) -> Tensor:
        """To the 256 steps of 0…1."""
        return torch.round(value / STEP).clamp(0, 255) * STEP
