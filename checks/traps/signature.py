"""Are two layers, or two networks, the same one? Names, sources and first values apart, and however the padding is written."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ...reference.mistaken import Dilated
from ...reference.spec import WINDOWED, Conv, Layer, Lrn, Network, Pool, Shape

Signature = tuple[Any, ...]
APART = {"name", "source", "init_std", "init_bias", "init_bias_std"}
WINDOW = {"padding", "ceil", "border", "dilation"}  # told by what the windows reach


def layer_signature(layer: Layer, shape: Shape) -> Signature:
    """Equal for two layers that do the same with maps of `shape`, whether their windows fit by padding or by rounding."""
    kept = {f.name: getattr(layer, f.name) for f in fields(layer) if f.name not in APART}
    if isinstance(layer, WINDOWED):
        kept = {name: value for name, value in kept.items() if name not in WINDOW}
        kept |= {"reach": layer.reach, "dilation": layer.dilation if isinstance(layer, Dilated) else 1}
        kept |= {"border": reached(layer, shape), "output": layer.output(shape)}
        kept["stride"] = layer.stride if max(layer.output(shape)[1:]) > 1 else 0  # of a single window nobody sees it
    if isinstance(layer, Lrn):
        kept["n"] = layer.n // 2  # what the window is made of
    return (kind(layer), *sorted(kept.items()))


def kind(layer: Layer) -> str:
    for base in (Conv, Pool):
        if isinstance(layer, base):
            return base.__name__
    return type(layer).__name__


def reached(layer: Any, shape: Shape) -> tuple[tuple[int, int], ...]:
    """((above, below), (left, right)): padding that some window reaches."""
    starts = [pair[0] for pair in getattr(layer, "border", ())] or [layer.padding[0]] * 2
    ends = [(count - 1) * layer.stride + layer.reach for count in layer.output(shape)[1:]]
    return tuple((start, max(0, end - start - n)) for start, end, n in zip(starts, ends, shape[1:], strict=True))


def signature(network: Network) -> Signature:
    return (network.input_shape, *(layer_signature(layer, before) for layer, before, _ in network.walk()))
