"""What the channels of each intermediate span on real photos."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from export.equalise import Range
from export.network import Network, run

BINS = 2048


@torch.no_grad()
def measure_ranges(network: Network, batches: Iterable[Tensor], tail: float = 0.0) -> dict[str, Range]:
    """The range of each channel of each intermediate over batches of (N, 3, H, W) uint8 photos.

    `tail`: the share of values at each end that may saturate; 0 is min-max. With a tail, the ends are the mean over
    batches of each batch's quantiles.
    """
    lows: dict[str, list[Tensor]] = {}
    highs: dict[str, list[Tensor]] = {}

    def observe(name: str, value: Tensor) -> None:
        flat = value.transpose(0, 1).flatten(1)
        if tail > 0:
            count = flat.shape[1]
            rank = max(1, round(tail * count))
            lows.setdefault(name, []).append(flat.kthvalue(rank, dim=1).values)
            highs.setdefault(name, []).append(flat.kthvalue(count - rank + 1, dim=1).values)
        else:
            lows.setdefault(name, []).append(flat.amin(dim=1))
            highs.setdefault(name, []).append(flat.amax(dim=1))

    for batch in batches:
        run(network, batch, observe)

    def reduce(values: list[Tensor], pick: str) -> Tensor:
        stacked = torch.stack(values)
        if tail > 0:
            return stacked.mean(dim=0)
        return stacked.amin(dim=0) if pick == "low" else stacked.amax(dim=0)

    return {
        name: Range(reduce(lows[name], "low").double().numpy(), reduce(highs[name], "high").double().numpy())
        for name in lows
    }
