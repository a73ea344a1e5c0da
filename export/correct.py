"""Bias correction: what rounding shifts on average, a convolution's bias takes back (Nagel et al. 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from export.graph import Corrections
from export.network import Arithmetic, Convolution, Network, run, tensor
from export.simulate import EightBits


class _Means(Arithmetic):
    """Mean of each output channel of each convolution, before any ReLU, over all batches."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def convolve(self, name: str, convolution: Convolution, value: Tensor) -> Tensor:
        made = super().convolve(name, convolution, value)
        self._sums[name] = self._sums.get(name, torch.zeros(made.shape[1], dtype=torch.double)) + made.double().sum(
            dim=(0, 2, 3)
        )
        self._counts[name] = self._counts.get(name, 0) + made[:, 0].numel()
        return made

    def means(self) -> dict[str, Tensor]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}


class _Correcting(EightBits):
    """Corrects each convolution as it is met, so that each sees what those before it became."""

    def __init__(self, wanted: dict[str, Tensor]) -> None:
        super().__init__()
        self._wanted = wanted
        self.corrections: Corrections = {}

    def convolve(self, name: str, convolution: Convolution, value: Tensor) -> Tensor:
        made = super().convolve(name, convolution, value)
        shift = self._wanted[name] - made.double().mean(dim=(0, 2, 3))
        self.corrections[name] = shift.numpy()
        return made + tensor(np.asarray(shift)).view(1, -1, 1, 1)


def bias_corrections(network: Network, views: Tensor, batch: int = 16) -> Corrections:
    """What to add to each convolution's bias, (M,) by name, so that rounding shifts no mean output over `views`.

    `network`: equalised; `views`: (N, 3, H, W) uint8, all held in memory at once (about 10 MB each).
    """
    return shifts(network, network, views, batch)


@torch.no_grad()
def shifts(exact: Network, in_eight_bits: Network, views: Tensor, batch: int = 16) -> Corrections:
    """How much less each convolution gives in the one, computed in 8 bits, than in the other, computed exactly."""
    means = _Means()
    for some in torch.split(views, batch):
        run(exact, some, means)
    correcting = _Correcting(means.means())
    run(in_eight_bits, views, correcting)
    return correcting.corrections
