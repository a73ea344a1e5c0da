"""Neighbouring columns become channels: kernels take channels by fours, and a picture has three.

Pixels lie one after another (NHWC), so four columns of three colours are, without moving a byte, one column of twelve
channels. A convolution of stride 2 makes two columns of these four: they too become one, of twice the channels. A
weight that meets none of an output's columns is zero, so every sum stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from export.network import Array, Convolution


@dataclass(frozen=True)
class GroupedConvolution:
    """A convolution of groups of columns. `weight`: (outputs · M, columns · C, k, groups); `bias`: (outputs · M,).

    `pads`: top, left, bottom, right and `strides`: down, right, both in rows and groups.
    """

    weight: Array
    bias: Array
    pads: tuple[int, int, int, int]
    strides: tuple[int, int]


def group_columns(convolution: Convolution, columns: int) -> GroupedConvolution:
    """The same convolution of (1, C·columns, H, W/columns), whose output is (1, outputs·M, H', W'/outputs).

    `columns`: 1, or a multiple of the stride that divides W; `outputs`: the columns that a group becomes. Channels are
    those of the first column, then those of the second, and so on.
    """
    count, channels, side, _ = convolution.weight.shape
    outputs = outputs_of(columns, convolution.stride)
    reach = list(_taps(side, columns, convolution.stride))
    first, last = min(group for *_, group, _ in reach), max(group for *_, group, _ in reach)
    weight = np.zeros((outputs, count, columns, channels, side, 1 + last - first))
    for output, tap, group, column in reach:
        weight[output, :, column, :, :, group - first] = convolution.weight[..., tap]
    return GroupedConvolution(
        weight.reshape(outputs * count, columns * channels, side, -1),
        np.tile(convolution.bias, outputs),
        (convolution.padding, -first, convolution.padding, last),
        (convolution.stride, max(1, convolution.stride // columns)),
    )


def ungroup_columns(weight: Array, channels: int, stride: int) -> Array:
    """(M, C, k, k) weights from those that `group_columns` made, whatever the number of columns."""
    side, columns = weight.shape[2], weight.shape[1] // channels
    grouped = weight.reshape(outputs_of(columns, stride), -1, columns, channels, side, weight.shape[3])
    reach = list(_taps(side, columns, stride))
    first = min(group for *_, group, _ in reach)
    return np.stack([grouped[0, :, c, :, :, g - first] for output, _, g, c in reach if output == 0], axis=-1)


def outputs_of(columns: int, stride: int) -> int:
    """How many columns a group becomes."""
    return max(1, columns // stride)


def _taps(side: int, columns: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """Output column and tap of the kernel, and where the tap lies: group, and column within it."""
    for output, tap in product(range(outputs_of(columns, stride)), range(side)):
        yield output, tap, *divmod(stride * output + tap - (side - 1) // 2, columns)
