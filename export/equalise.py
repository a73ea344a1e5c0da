"""Give every channel of every intermediate the range 0…1, which costs nothing: the rest of the network absorbs it.

A channel of the features may be moved and stretched where it is made (the rows of a 3×3 convolution) if each reader
undoes it (thresholds of its clip, columns of its 1×1 weights); a hidden channel may be stretched likewise. It is
cross-layer equalisation (Nagel et al. 2019) taken to its end: with one quantization step for the whole network, each
channel still has a range of its own, all concatenations are copies, and saturation at zero is the ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from export.network import Array, Clip, Convolution, DenseLayer, Network, Stage, Transition

SMALLEST_SPAN = 1e-4
"""A channel that never changes keeps a span, so that nothing divides by zero."""


@dataclass(frozen=True)
class Range:
    """What the channels of one intermediate span on calibration photos, (C,) each."""

    low: Array
    high: Array

    @property
    def span(self) -> Array:
        return np.maximum(self.high - self.low, SMALLEST_SPAN)


def join(ranges: list[Range]) -> Range:
    """The ranges of a concatenation."""
    return Range(np.concatenate([r.low for r in ranges]), np.concatenate([r.high for r in ranges]))


def narrow(network: Network, ranges: dict[str, Range]) -> dict[str, Range]:
    """The ranges without what no reader tells apart, which costs nothing: steps are spent on what is seen.

    Every reader of a feature clips it. Below the lowest of their lower bounds all values are one to them, and so above
    the highest upper bound. A channel that nobody reads keeps the smallest span.
    """
    narrowed = dict(ranges)
    for i, stage in enumerate(network.stages):
        first = "stem" if i == 0 else f"{i - 1}.transition"
        names = [first, *(f"{i}.{j}.grow" for j in range(len(stage.layers)))]
        readers = [_seen(layer.clip, layer.squeeze.weight) for layer in stage.layers]
        if stage.transition is None:
            readers.append(_seen(network.clip, network.weight))
        else:
            readers.append(_seen(stage.transition.clip, stage.transition.squeeze.weight))
        end = 0
        for first_reader, name in enumerate(names):
            begin, end = end, end + len(ranges[name].low)
            # What a layer made is read by all layers after it.
            lows = np.stack([clip.low[begin:end] for clip in readers[first_reader:]])
            highs = np.stack([clip.high[begin:end] for clip in readers[first_reader:]])
            low = np.clip(lows.min(axis=0), ranges[name].low, ranges[name].high)
            high = np.clip(highs.max(axis=0), low, ranges[name].high)
            narrowed[name] = Range(low, high)
    return narrowed


def _seen(clip: Clip, weight: Array) -> Clip:
    """What a reader tells apart; nothing of a channel that its weights, (M, C, …), ignore."""
    is_read = np.abs(weight).reshape(*weight.shape[:2], -1).sum(axis=(0, 2)) > 0
    return Clip(np.where(is_read, clip.low, np.inf), np.where(is_read, clip.high, -np.inf))


def equalise(network: Network, ranges: dict[str, Range]) -> Network:
    """The same function with intermediates in 0…1. `ranges` are named as `network.run` observes them."""
    features = Range(np.zeros_like(ranges["stem"].low), ranges["stem"].high)
    stem = _produce(network.stem, features)
    stages = []
    for i, stage in enumerate(network.stages):
        layers = []
        for j, layer in enumerate(stage.layers):
            hidden = ranges[f"{i}.{j}.squeeze"]
            hidden = Range(np.zeros_like(hidden.low), hidden.high)
            grown = ranges[f"{i}.{j}.grow"]
            clip, squeeze = _consume(layer.clip, layer.squeeze, features)
            squeeze = _produce(squeeze, hidden)
            grow = replace(layer.grow, weight=layer.grow.weight * hidden.span[None, :, None, None])
            layers.append(DenseLayer(clip, squeeze, _produce(grow, grown)))
            features = join([features, grown])
        transition = None
        if stage.transition is not None:
            after = ranges[f"{i}.transition"]
            clip, squeeze = _consume(stage.transition.clip, stage.transition.squeeze, features)
            transition = Transition(clip, _produce(squeeze, after))
            features = after
        stages.append(Stage(tuple(layers), transition))
    head = Convolution(network.weight[:, :, None, None], network.bias)
    clip, head = _consume(network.clip, head, features)
    return replace(network, stem=stem, stages=tuple(stages), clip=clip, weight=head.weight[:, :, 0, 0], bias=head.bias)


def _produce(convolution: Convolution, wanted: Range) -> Convolution:
    """Make a convolution's output (y - low) / span; a rectified one keeps its zero, so its low must be 0."""
    weight = convolution.weight / wanted.span[:, None, None, None]
    return replace(convolution, weight=weight, bias=(convolution.bias - wanted.low) / wanted.span)


def _consume(clip: Clip, convolution: Convolution, given: Range) -> tuple[Clip, Convolution]:
    """Let a clip and its 1×1 convolution read (x - low) / span instead of x."""
    low, high = (clip.low - given.low) / given.span, (clip.high - given.low) / given.span
    weight = convolution.weight * given.span[None, :, None, None]
    bias = convolution.bias + convolution.weight.sum(axis=(2, 3)) @ given.low
    # A bound beyond 0…1 makes a constant of its channel, which 8 bits could not hold: the bias takes it.
    is_constant = (low >= 1) | (high <= 0)
    constant = np.where(is_constant, np.where(low >= 1, low, high), 0.0)
    bias = bias + weight.sum(axis=(2, 3)) @ constant
    weight = np.where(is_constant[None, :, None, None], 0.0, weight)
    bounds = Clip(np.where(is_constant, -np.inf, low), np.where(is_constant, np.inf, high))
    return bounds, replace(convolution, weight=weight, bias=bias)
