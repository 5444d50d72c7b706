"""How far a layer may be that computes in fewer bits on purpose: of what it was fed, in its own format's bound.

To leave float32's bound shows that a mode is on, not that what it gives is right: zeros would leave it as well. So each layer
is held to the bound of the format that the mode declares, from the very numbers that it was fed. u = 2^-p for p significant
bits, w the step of the smallest numbers of the format.

**Affine layers** read both operands rounded and sum in float32 (the probe says so). A product t_i is off by t_i (e_x + e_w),
|e| <= u, with signs that our random weights make random: by Hoeffding, P(|sum| > 8 sqrt(2) u sigma) <= 2 exp(-32), where
sigma^2 = sum t_i^2. Operands that are truncated, as where hardware ignores the low bits, lose u on average besides, always
towards zero: 2 u |y| for both. Operands too small to be normal are off by w / 2 at most, for which 8 (w / 2) sqrt(n) (max |x| +
max |w|) is enough. The bias and the result round once, and float32's own bound is added:

    8 sqrt(2) u sigma + 4 w sqrt(n) (max |x| + max |w|) + u (|b| + 3 |y|) + local_tolerance

**LRN, means and softmax** may compute wholly in the format: as many roundings as in float32, r of them, each of u and no
longer small: |y| (exp(2 r u) - 1), twice for operands that are rounded when they are read, and the smallest normal number.

**Maxima, ReLU, flattening, dropout** round their results at most once.

What lies beyond the format's largest number is not judged: an output, or for LRN all maps of a pixel where a sum of squares
does, for a kernel may spread what overflows over all of them (`tf.nn.local_response_normalization` does).
"""

from __future__ import annotations

import math

import numpy as np

from ...reference import oracle
from ...reference.precision import BFLOAT16, FLOAT16, TF32, Format
from ...reference.spec import AFFINE, Layer, Lrn, Pool, Softmax, SpatialLrn
from .. import bounds, compare
from ..bounds import FACTOR, SMALLEST_NORMAL, U
from ..compare import Comparison

Array = np.ndarray
FORMATS = {form.name: form for form in (BFLOAT16, FLOAT16, TF32)}  # what a mode declares


def unit(form: Format) -> float:
    """The largest relative error of one rounding to the nearest number."""
    return 2.0**-form.bits


def step(form: Format) -> float:
    """Between the smallest numbers of the format."""
    return 2.0 ** (form.lowest + 1 - form.bits)


def judged(layer: Layer, params: oracle.Params, x: Array, got: Array, form: Format) -> tuple[Comparison, int]:
    """What a layer gave for x, finite; and how many numbers were not judged, being beyond the format's range."""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        want = oracle.apply(layer, params, wide)
        tolerance = tolerance_of(layer, params, wide, want, form)
    beyond = overflowing(layer, wide, want, form)
    outcome = compare.within(np.where(beyond, want.astype(np.float32), got), want, np.where(beyond, np.inf, tolerance))
    return outcome, int(beyond.sum())


def tolerance_of(layer: Layer, params: oracle.Params, x: Array, y: Array, form: Format) -> Array:
    """Of each output of one layer alone, given its input x and exact output y, float64."""
    u, own = unit(form), bounds.local_tolerance(layer, params, x, y)
    if isinstance(layer, AFFINE):
        weight, bias = params[f"{layer.name}.weight"], params[f"{layer.name}.bias"]
        largest = float(np.abs(x).max() + np.abs(weight).max())
        small = FACTOR / 2 * step(form) * math.sqrt(layer.reduction(x.shape[1:])) * largest
        operands = FACTOR * math.sqrt(2) * u * np.sqrt(oracle.squares(layer, params, x))
        return operands + small + u * (3 * np.abs(y) + np.abs(bias).max()) + own
    roundings = np.zeros_like(y)
    np.divide(own - SMALLEST_NORMAL * isinstance(layer, Softmax), U * np.abs(y), out=roundings, where=y != 0)
    if isinstance(layer, Lrn | SpatialLrn | Softmax) or (isinstance(layer, Pool) and layer.average):
        return np.abs(y) * np.expm1(2 * u * roundings) + 2.0**form.lowest
    return u * np.abs(y) + step(form)


def overflowing(layer: Layer, x: Array, y: Array, form: Format) -> Array:
    """Where the format's range may be left, on the way or by the result: of y's shape."""
    beyond = np.abs(y) * (1 + unit(form)) > form.largest
    if isinstance(layer, Lrn | SpatialLrn):
        sums = oracle.window_sum(np.square(x), layer)
        return beyond | (sums > form.largest / 2).any(axis=1, keepdims=True)
    return beyond
