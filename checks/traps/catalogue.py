"""Named mistakes. One table, two uses: each can pose as an implementation and must be caught, and when a real layer
disagrees, the one mistake that explains what it gave becomes the finding's hint.

A trap edits one layer: its place in the spec, its weights, or both. Widths, kernels and names stay, so a trap never
needs weights of another shape than the network has (`groups-ignored` apart, which reads the other tower with the same
kernels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...reference import oracle
from ...reference.spec import (
    AFFINE,
    Conv,
    Dense,
    Layer,
    Local,
    Lrn,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
)
from .. import bounds
from .trap import Site, Trap, Weights, kernels, nothing, value

Array = np.ndarray


def without_bias(_: Site, weight: Array, bias: Array) -> Weights | None:
    return (weight, np.zeros_like(bias)) if bias.any() else None


def towers_swapped(site: Site, weight: Array, bias: Array) -> Weights | None:
    assert isinstance(site.layer, Conv | Dense)
    return (np.roll(weight, len(weight) // 2, axis=0), bias) if site.layer.groups == 2 else None


def reading_both_towers(site: Site, weight: Array, bias: Array) -> Weights | None:
    assert isinstance(site.layer, Conv | Dense)
    times = (1, site.layer.groups, *(1 for _ in weight.shape[2:]))
    return (np.tile(weight, times), bias) if site.layer.groups > 1 else None


def flattened_hwc(site: Site, weight: Array, bias: Array) -> Weights | None:
    """The weight's columns meant for (C, H, W) met by inputs in (H, W, C)."""
    if len(site.maps) != 3 or np.prod(site.maps) != weight.shape[1]:
        return None
    order = np.arange(weight.shape[1]).reshape(site.maps).transpose(1, 2, 0).ravel()
    met = np.empty_like(weight)
    met[:, order] = weight
    return None if np.array_equal(met, weight) else (met, bias)


def transposed(weight: Array) -> Array:
    """The matrix read the wrong way round: W^T, or its numbers poured into W's shape where it is not square."""
    return weight.T.reshape(weight.shape) if weight.ndim == 2 else weight.swapaxes(-2, -1)


def shared(weight: Array) -> Array:
    """A locally connected layer's kernels (O, H', W', C, K, K), those of the first position at all of them."""
    return np.broadcast_to(weight[:, :1, :1], weight.shape)


def across_maps(layer: SpatialLrn) -> Layer:
    return Lrn(layer.name, layer.n, layer.k, layer.alpha, layer.beta, source=layer.source)


def within_maps(layer: Lrn) -> Layer:
    return SpatialLrn(layer.name, layer.n, layer.k, layer.alpha, layer.beta, source=layer.source)


def mantissa(bits: int) -> Callable[[Array], Array]:
    """Round to `bits` explicit bits of mantissa, to nearest even: TF32 has 10, bfloat16 has 7."""

    def rounded(values: Array) -> Array:
        exact = values.astype(np.float32)
        drop = 23 - bits
        bits_of = exact.view(np.uint32)
        nearest = (bits_of + np.uint32((1 << (drop - 1)) - 1) + ((bits_of >> drop) & 1)) >> drop << drop
        return nearest.astype(np.uint32).view(np.float32).astype(values.dtype)

    return rounded


def half(values: Array) -> Array:
    return values.astype(np.float16).astype(values.dtype)


LRN = (Lrn, SpatialLrn)

TRAPS: tuple[Trap, ...] = (
    # Geometry
    Trap("stride", "the stride is one less", (Conv,), value("stride", lambda c: max(1, c.stride - 1))),
    Trap("padding-missing", "there is no padding", (Conv,), value("padding", (0, 0))),
    Trap(
        "padding-shifted",
        "the padding lies one pixel further to the right and bottom",
        (Conv,),
        lambda c: replace(c, padding=(c.padding[0] - 1, c.padding[1] + 1)) if c.padding[0] else None,
    ),
    Trap(
        "padding-left",
        "the zeros lie at the left and top, not at the right and bottom",
        (Conv,),
        lambda c: replace(c, padding=c.padding[::-1]) if c.padding[0] != c.padding[1] else None,
    ),
    Trap("conv-floor", "the output size is rounded down", (Conv,), value("ceil", False)),
    Trap("pool-ceil", "the pooling rounds its output size up", (Pool,), value("ceil", True)),
    Trap("pool-2x2", "the pooling windows are 2 x 2", (Pool,), value("kernel", 2)),
    Trap("pool-floor", "the pooling rounds its output size down", (Pool,), value("ceil", False)),
    Trap("pool-padding-missing", "the pooling has no padding", (Pool,), value("padding", (0, 0))),
    Trap(
        "pool-padding-left",
        "the pooling's padding lies at the left and top, not at the right and bottom",
        (Pool,),
        value("padding", lambda p: p.padding[::-1]),
    ),
    Trap("pool-average", "the mean is taken, not the maximum", (Pool,), value("average", True)),
    Trap("pool-max", "the maximum is taken, not the mean", (Pool,), value("average", False)),
    # Grouping
    Trap("kernels-shared", "one kernel is shared by all positions", (Local,), weights=kernels(shared)),
    Trap("groups-ignored", "every filter reads both towers", (Conv, Dense), value("groups", 1), reading_both_towers),
    Trap("towers-swapped", "each tower has the other tower's kernels", (Conv, Dense), weights=towers_swapped),
    # Weights
    Trap(
        "kernels-flipped",
        "the kernels are flipped (a true convolution)",
        (Conv, Local),
        weights=kernels(lambda w: w[..., ::-1, ::-1]),
    ),
    Trap(
        "kernels-transposed", "the kernels' rows and columns are exchanged", (Conv, Local), weights=kernels(transposed)
    ),
    Trap("bgr", "the input channels are read in reverse order (BGR)", (Conv,), weights=kernels(lambda w: w[:, ::-1])),
    Trap("dense-transposed", "the weight matrix is transposed", (Dense,), weights=kernels(transposed)),
    Trap("flattened-hwc", "the maps are flattened in the order row, column, channel", (Dense,), weights=flattened_hwc),
    Trap("bias-missing", "the bias is left out", AFFINE, weights=without_bias),
    # Response normalisation
    Trap("lrn-alpha-over-n", "alpha is divided by n", LRN, value("alpha", lambda a: a.alpha / a.n)),
    Trap("lrn-alpha-times-n", "alpha is multiplied by n", LRN, value("alpha", lambda a: a.alpha * a.n)),
    Trap(
        "lrn-alpha-times-n2", "alpha is not divided by n x n", (SpatialLrn,), value("alpha", lambda a: a.alpha * a.n**2)
    ),
    Trap("lrn-across-maps", "the window goes across maps, not over pixels", (SpatialLrn,), across_maps),
    Trap("lrn-within-maps", "the window goes over pixels, not across maps", (Lrn,), within_maps),
    Trap(
        "lrn-alpha-10e-4",
        "alpha is 1e-3 (read as 10e-4)",
        (Lrn,),
        value("alpha", lambda a: 1e-3 if a.alpha == 1e-4 else a.alpha),
    ),
    Trap(
        "lrn-radius-n",
        "the window has n maps on each side (n given as a radius)",
        (Lrn,),
        value("n", lambda a: 2 * a.n + 1),
    ),
    Trap("lrn-n-3", "the window has 3 maps", (Lrn,), value("n", 3)),
    Trap("lrn-n-5", "the window has 5 maps, as in the paper", (Lrn,), value("n", 5)),
    Trap("lrn-k-1", "k is 1, the default of most frameworks", LRN, value("k", 1.0)),
    Trap("lrn-k-2", "k is 2, as in the paper", LRN, value("k", 2.0)),
    Trap("lrn-beta-half", "beta is 0.5, TensorFlow's default", (Lrn,), value("beta", 0.5)),
    Trap("lrn-per-tower", "the window stops at the border between the towers", (Lrn,), value("towers", 2)),
    Trap("lrn-across-towers", "the window crosses the border between the towers", (Lrn,), value("towers", 1)),
    Trap(
        "lrn-running-sum",
        "the sum of squares is carried along from map to map, which cancels (Caffe's loop)",
        (Lrn,),
        tolerance=bounds.running_sum_tolerance,
    ),
    Trap("lrn-missing", "the normalisation is left out", LRN, nothing),
    Trap("relu-first", "the ReLU comes before the normalisation, as in the paper", LRN, inputs=oracle.relu),
    # Activations
    Trap("relu-missing", "the ReLU is left out", (Relu,), nothing),
    Trap("softmax-missing", "the softmax is left out (logits are returned)", (Softmax,), nothing),
    # Arithmetic
    Trap("tf32", "it is computed in TF32", AFFINE, weights=kernels(mantissa(10)), inputs=mantissa(10)),
    Trap("weights-tf32", "the weights are rounded to TF32", AFFINE, weights=kernels(mantissa(10))),
    Trap("weights-float16", "the weights are held in float16", AFFINE, weights=kernels(half)),
    Trap("weights-bfloat16", "the weights are held in bfloat16", AFFINE, weights=kernels(mantissa(7))),
)

BY_ID = {trap.id: trap for trap in TRAPS}


def distinct(network, name):  # placeholder until the catalogue is finished
    found, seen = [], set()
    for trap in TRAPS:
        if trap.weights or trap.initial or trap.tolerance or trap.inputs:
            continue
        new = trap.posed(network, name)
        if new is not None and new.layers not in seen:
            seen.add(new.layers)
            found.append((trap, new))
    return found
