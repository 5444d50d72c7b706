"""How far a correct float32 implementation may be from the float64 truth. Derived, never tuned.

u = 2^-24 is the largest relative error of one float32 rounding.

**Affine layers** (convolution, dense). An output y is a sum of n products t_i and a bias, in an order that the
framework chooses: y = sum t_i, sigma^2 = sum t_i^2. Each addition rounds a partial sum S_k by S_k d_k with |d_k| <= u,
each product by t_i e_i. Model (Higham & Mary 2019): the roundings are independent with mean zero, and the terms come
in random order, which our own random weights see to. The bound of an element is

    |y32 - y64| <= 8 u sqrt(n) (|y64| + sigma)

*How likely is a correct sum to be over it?* Given the terms, the error is a sum of independent, bounded, zero-mean
parts, so by Hoeffding P(|error| > B) <= 2 exp(-B^2 / (2 u^2 (sum S_k^2 + sigma^2))), sigma^2 for the products; it is
1/n of the rest and left out below. Given y, the partial sums are a bridge, S_k = (k/n) y + sigma b(k/n), and b is
taken for a Brownian bridge: an approximation, good for many terms, that no simulation can test this far in the tail.
Then sum S_k^2 <= n (|y| / sqrt 3 + sigma sqrt X)^2 with X the integral of b^2. For the bound B above the exponent is at
least 32 / max(X, 1/3), so P <= E[2 exp(-32 / X)] + 2 exp(-96), whose last term is nothing beside the first. Since
-32 / X <= -2 sqrt(32 q) + q X for every q > 0, and E exp(q X) = sqrt(r / sin r) with r = sqrt(2 q) < pi,

    P <= min over q of 2 exp(-2 sqrt(32 q)) sqrt(r / sin r) = 3e-10 for one element.

One pass over `paper` judges 1.3 million affine elements: a false alarm once in 2,500 passes of a single accumulator
that sums one term after another, the worst order there is. Frameworks keep 8 to 64 accumulators and stay far below.
`failure_probability()` computes the number, a test simulates the sums.

**LRN**, m = 2 (n // 2) + 1 terms, d = k + alpha S. S is a sum of squares (no cancellation; a running sum that adds the
next square and subtracts the last does cancel and loses more: see below): relative error m u; the
product with alpha 2 u more (its rounding and alpha's), 2 u if alpha is multiplied by n and the sum divided by it. So d
has ((m + 4) alpha S / d + 1) u, and k's own rounding 1 u. d^-beta takes beta times that, and the power itself: as
exp(-beta log d) it costs beta |log d| (4 u for a logarithm good to 2 ulp, 1 u for the product) and 4 u for an
exponential good to 2 ulp. One division or product: 1 u.

*A running sum*, as Caffe's loop over the maps keeps it, rounds d twice a map, by at most u (d + alpha x^2) and u d, and
keeps every error from the first map on; what is added is subtracted with the same bits. Behind a bright map it can lose
all that a dark one needs. It is judged with the bound of the formula, above, and so a departure; `running_sum_tolerance` is
what such a loop does keep to, so that a finding can name it (`lrn-running-sum`).

**Softmax.** x - max rounds by u |x - max|, which is a relative error of the exponential; the exponential is good to 2
ulp = 4 u; the sum of N positive terms adds 8 sqrt(N) u (as above, all terms positive); the division 1 u. The
denominator carries the average of its terms' errors. Results below the smallest normal number may be flushed to zero.

**Average pooling** over c pixels: c - 1 additions, and one division or two roundings of a product by 1 / c. Taken as they
come: (c + 1) u times the mean of |x|.

**LRN within maps**: as LRN, with m the number of pixels in the window.

ReLU, max-pooling, flattening and dropout at inference do not round: their tolerance is zero.

**End to end**, tolerances travel as standard deviations of independent errors: T'^2 = W^2 T^2 + tol^2 for an affine
layer, the Jacobian for LRN and softmax, the maximum or sqrt(sum T^2) / c over a window for pooling; ReLU never enlarges an
error. Overlapping pools hand one error on up to four times, so that these are not independent any more; what
implementations really use of a tolerance is a fifth, and a test shows that a quarter of each layer's own fits. Carried
through |W| instead, they would end as 5e5 times the output and prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..reference import oracle
from ..reference.mistaken import Computed
from ..reference.spec import AFFINE, Layer, Lrn, Network, Pool, Softmax, SpatialLrn

Array = np.ndarray
Params = oracle.Params

U = 2.0**-24
FACTOR = 8.0
SMALLEST_NORMAL = 2.0**-126
EXACT_LIMIT = 2.0**24  # integers up to here are float32 numbers


def local_tolerance(layer: Layer, params: Params, x: Array, y: Array) -> Array:
    """Tolerance of each output of one layer alone, given its float64 input x and output y."""
    if isinstance(layer, AFFINE):
        n = layer.reduction(x.shape[1:])
        return FACTOR * U * math.sqrt(n) * (np.abs(y) + np.sqrt(oracle.squares(layer, params, x)))
    if isinstance(layer, Lrn | SpatialLrn):
        return U * np.abs(y) * _lrn_roundings(layer, x)
    if isinstance(layer, Pool) and layer.average:
        return U * (oracle.window_counts(x.shape, layer) + 1) * oracle.pool(np.abs(x), layer)
    if isinstance(layer, Softmax):
        return U * y * _softmax_roundings(x, y) + SMALLEST_NORMAL
    if isinstance(layer, Computed):
        return U * layer.rounding(params, x, y)
    return np.zeros_like(y)


def _lrn_roundings(layer: Lrn | SpatialLrn, x: Array) -> Array:
    d = oracle.lrn_scale(x, layer)
    m = 2 * (layer.n // 2) + 1
    m = m * m if isinstance(layer, SpatialLrn) else m
    scale = (m + 4) * (d - layer.k) / d + 2
    power = 5 * layer.beta * np.abs(np.log(d)) + 4
    return layer.beta * scale + power + 1


def running_sum_tolerance(layer: Lrn, x: Array, y: Array) -> Array:
    """What LRN keeps to whose sum is carried along from map to map: (N, C, H, W) -> same."""
    d = oracle.lrn_scale(x, layer)
    n, c, h, w = x.shape
    maps = c // layer.towers
    split = (n * layer.towers, maps, h, w)
    added = np.pad(layer.alpha * np.square(x.reshape(split)), ((0, 0), (0, layer.n // 2), (0, 0), (0, 0)))
    before = np.pad(d.reshape(split)[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)), constant_values=layer.k)
    rounded = before + added[:, layer.n // 2 :] + d.reshape(split)  # what each step rounds
    lost = U * np.cumsum(rounded, axis=1).reshape(x.shape)
    return local_tolerance(layer, {}, x, y) + np.abs(y) * layer.beta * lost / d


def carried_along_tolerance(layer: Layer, params: Params, x: Array, y: Array) -> Array:
    """`local_tolerance`, but of an LRN that carries its sum along."""
    return running_sum_tolerance(layer, x, y) if isinstance(layer, Lrn) else local_tolerance(layer, params, x, y)


def _softmax_roundings(x: Array, y: Array) -> Array:
    below = np.abs(x - x.max(axis=1, keepdims=True)) + 4
    return below + (y * below).sum(axis=1, keepdims=True) + FACTOR * math.sqrt(x.shape[1]) + 1


def carried(layer: Layer, params: Params, x: Array, y: Array, before: Array) -> Array:
    """What tolerances `before` of a layer's inputs x become at its outputs y, without the layer's own rounding."""
    if isinstance(layer, AFFINE):
        return np.sqrt(oracle.carry_variance(layer, params, np.square(before)))
    if isinstance(layer, Lrn | SpatialLrn):
        return _through_lrn(layer, x, before)
    if isinstance(layer, Softmax):
        return _through_softmax(y, before)
    if isinstance(layer, Pool) and layer.average:
        return np.sqrt(oracle.pool(np.square(before), layer) / oracle.window_counts(x.shape, layer))
    if isinstance(layer, Pool):
        return oracle.pool(before, layer)
    return before.reshape(y.shape)


def _through_lrn(layer: Lrn | SpatialLrn, x: Array, before: Array) -> Array:
    """The Jacobian: dy_i/dx_j = (i == j) d_i^-beta - 2 alpha beta x_i x_j d_i^(-beta - 1) for j in i's window."""
    d = oracle.lrn_scale(x, layer)
    cross = 2 * layer.alpha * layer.beta * x * d ** (-layer.beta - 1)
    own = d**-layer.beta - cross * x
    terms = np.square(x * before)
    others = np.maximum(oracle.window_sum(terms, layer) - terms, 0)
    return np.sqrt(np.square(own * before) + np.square(cross) * others)


def _through_softmax(p: Array, before: Array) -> Array:
    """The Jacobian: dp_i/dx_j = p_i ((i == j) - p_j)."""
    terms = np.square(p * before)
    others = np.maximum(terms.sum(axis=1, keepdims=True) - terms, 0)
    return p * np.sqrt(np.square((1 - p) * before) + others)


def chain_tolerances(
    network: Network,
    params: Params,
    x: Array,
    trace: dict[str, Array],
    masks: Params | None = None,
    own_tolerance: Callable[[Layer, Params, Array, Array], Array] = local_tolerance,
) -> dict[str, Array]:
    """Tolerance of every layer's output end to end, from the oracle's trace of a float32 input x under the same `masks`.

    A dropout layer that multiplies by its mask rounds once. own_tolerance: what each layer adds.
    """
    x = x.astype(np.float64)
    before = np.zeros_like(x)
    tolerances = {}
    for layer in network.layers:
        y = trace[layer.name]
        if masks and layer.name in masks:
            before = np.hypot(before * np.abs(masks[layer.name]), U * np.abs(y))
        else:
            own = own_tolerance(layer, params, x, y)
            before = np.hypot(carried(layer, params, x, y, before), own)
        tolerances[layer.name] = before
        x = y
    return tolerances


def failure_probability() -> float:
    """The probability bound of the affine tolerance for one element, minimised over q on a fine grid."""
    best = 1.0
    for step in range(1, 1000):
        r = math.pi * step / 1000
        q = r * r / 2
        best = min(best, 2 * math.exp(-2 * math.sqrt(FACTOR**2 / 2 * q)) * math.sqrt(r / math.sin(r)))
    return best
