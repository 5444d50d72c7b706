"""What a layer's definition gives for the cases of `special_values.py`, worked twice from the definition.

exact      in exact arithmetic, rounded to float32 at the end: the float64 oracle, where nothing of these cases leaves the range
float32    step by step in IEEE 754 single precision: each product, sum and power rounded as it is made, a sum in the order
           channel, row, column, its bias last; max(0, x) and maxima as IEEE 754-2019's maximum: NaN if one is, 0 above -0

The two part where something on the way leaves float32's range though the result does not: a square of 1e20, a sum that overflows
before it is cancelled. Both are right. Exact arithmetic has one zero, without a sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import oracle
from .spec import Conv, Dense, Layer, Local, Lrn, Pool, Relu
from .special_values import LARGEST

Array = np.ndarray
Params = oracle.Params

SMALLEST_NORMAL = np.finfo(np.float32).tiny


def exact(layer: Layer, params: Params, x: Array) -> Array:
    """In exact arithmetic, rounded once: float32."""
    with np.errstate(all="ignore"):
        return oracle.apply(layer, params, x.astype(np.float64)).astype(np.float32)


def single(layer: Layer, params: Params, x: Array) -> Array:
    """Step by step in float32."""
    with np.errstate(all="ignore"):
        match layer:
            case Conv() | Local() | Dense():
                return added(*products(layer, params, x), params[f"{layer.name}.bias"])
            case Relu():
                return np.where(np.isnan(x), x, np.where(x > 0, x, np.float32(0)))
            case Pool() if not layer.average:
                return maximum(oracle.windows_of(x, layer, -np.inf))
            case Pool():
                return mean(x, layer)
        return oracle.apply(layer, params, x)


def products(layer: Conv | Local | Dense, params: Params, x: Array) -> tuple[Array, Array]:
    """What is multiplied for each output, in the order channel, row, column: both broadcast to (N, O, ..., taps)."""
    weight = params[f"{layer.name}.weight"]
    if isinstance(layer, Dense):
        return x[:, None], weight  # (N, 1, I), (O, I)
    windows = oracle.windows_of(x, layer)  # (N, C, H', W', K, K)
    n, _, h, w, _, _ = windows.shape
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, 1, h, w, -1)
    if isinstance(layer, Local):
        return patches, weight.reshape(*weight.shape[:3], -1)  # (O, H', W', taps)
    return patches, weight.reshape(len(weight), 1, 1, -1)


def added(x: Array, weight: Array, bias: Array) -> Array:
    """The products one after another, beginning with the first, then the bias: (N, O, ...)."""
    terms = x * weight
    total = terms[..., 0]
    for tap in range(1, terms.shape[-1]):
        total = total + terms[..., tap]
    return total + bias.reshape(bias.shape + (1,) * (total.ndim - 1 - bias.ndim))


def maximum(windows: Array) -> Array:
    """Over the last two axes; NaN if one is, 0 above -0."""
    largest = windows.max(axis=(-2, -1))
    positive = ((windows == 0) & ~np.signbit(windows)).any(axis=(-2, -1))
    return np.where((largest == 0) & positive, np.float32(0), largest)


def mean(x: Array, layer: Pool) -> Array:
    """The sum in the order row, column, of the pixels that are there, over their number."""
    windows = oracle.windows_of(x, layer)
    there = oracle.windows_of(np.ones_like(x), layer) > 0
    total = np.full(windows.shape[:4], -0.0, np.float32)  # to which the first adds as it is
    for place in np.ndindex(windows.shape[4:]):
        pixel = (..., *place)
        total = np.where(there[pixel], total + windows[pixel], total)
    return total / oracle.window_counts(x.shape, layer).astype(np.float32)


# What implementations are seen to give besides -------------------------------------------------------------------------


def fused(layer: Layer, params: Params, x: Array) -> Array:
    """A sum of products by fused multiply-adds, which round each sum and not the product before it.

    In float64 a product of two float32 numbers is exact and these sums are too, so that a rounding to float32 is all there is.
    """
    assert isinstance(layer, Conv | Local | Dense)
    with np.errstate(all="ignore"):
        factors = products(layer, params, x)
        terms = factors[0].astype(np.float64) * factors[1]
        total = terms[..., 0].astype(np.float32)
        for tap in range(1, terms.shape[-1]):
            total = (total + terms[..., tap]).astype(np.float32)
        bias = params[f"{layer.name}.bias"]
        return total + bias.reshape(bias.shape + (1,) * (total.ndim - 1 - bias.ndim))


def inside(layer: Layer, params: Params, x: Array) -> Array:
    """A convolution that leaves the border out, and does not multiply its zeros by anything."""
    assert isinstance(layer, Conv | Local)
    there, _ = products(layer, params, np.ones_like(x))
    with np.errstate(all="ignore"):
        patches, weight = products(layer, params, x)
        return added(patches, np.where(there > 0, weight, np.float32(0)), params[f"{layer.name}.bias"])


def flush(values: Array) -> Array:
    """Denormals to zero."""
    return np.where(np.abs(values) < SMALLEST_NORMAL, np.float32(0), values)


def flushed(layer: Layer, params: Params, x: Array) -> Array:
    """Denormals read as zeros and written as zeros."""
    read = {name: flush(value) for name, value in params.items()}
    return flush(single(layer, read, flush(x)))


def all_maps(layer: Layer, params: Params, x: Array) -> Array:
    """Response normalisation whose sums over maps are a matrix of ones and zeros times the squares of all maps.

    Zero times a square that is not finite is NaN, in every map at that pixel that does not have it in its window.
    """
    assert isinstance(layer, Lrn)
    with np.errstate(all="ignore"):
        bad = ~np.isfinite(np.square(x))
        elsewhere = bad.any(axis=1, keepdims=True) & (oracle.window_sum(bad.astype(np.float32), layer) == 0)
        return np.where(elsewhere, np.float32(np.nan), single(layer, params, x))


def running_sum(layer: Layer, params: Params, x: Array) -> Array:
    """Response normalisation whose sum is carried from map to map: the next square is added, the last taken away again.

    What was infinite or NaN stays NaN from there to the last map.
    """
    assert isinstance(layer, Lrn)
    half, maps = layer.n // 2, x.shape[1]
    with np.errstate(all="ignore"):
        scaled = np.float32(layer.alpha) * np.pad(np.square(x), ((0, 0), (half, half + 1), (0, 0), (0, 0)))
        scale = [np.float32(layer.k) + scaled[:, : 2 * half + 1].sum(axis=1)]
        for last in range(maps - 1):
            scale.append(scale[-1] + scaled[:, last + 2 * half + 1] - scaled[:, last])
        return x / np.stack(scale, axis=1) ** layer.beta


def scaled_squares(layer: Layer, params: Params, x: Array) -> Array:
    """Response normalisation that multiplies each square by alpha before it adds them."""
    assert isinstance(layer, Lrn)
    with np.errstate(all="ignore"):
        scale = layer.k + oracle.window_sum(np.float32(layer.alpha) * np.square(x), layer)
        return x / scale**layer.beta


def by_roots(layer: Layer, params: Params, x: Array) -> Array:
    """Response normalisation whose scale d to the power 3/4 is sqrt(sqrt(d) d): the product overflows from 5e25 on."""
    assert isinstance(layer, Lrn)
    with np.errstate(all="ignore"):
        scale = oracle.lrn_scale(x, layer)
        return x / np.sqrt(np.sqrt(scale) * scale)


def ratio(layer: Layer, params: Params, x: Array) -> Array:
    """A hyperbolic tangent as x p / q, two polynomials that begin with 0.00489: x p is a denormal with few digits left."""
    first = np.float32(4.89352455891786e-03)
    return np.where(np.abs(x) < SMALLEST_NORMAL, x * first / first, single(layer, params, x))


def from_lowest(layer: Layer, params: Params, x: Array) -> Array:
    """A maximum that begins with the lowest number and takes what is greater: NaN never is, and -inf is not."""
    assert isinstance(layer, Pool)
    given = np.where(np.isnan(x), -np.inf, x).astype(np.float32)
    return np.maximum(maximum(oracle.windows_of(given, layer, -np.inf)), -LARGEST)


def without_nan(layer: Layer, params: Params, x: Array) -> Array:
    """A maximum of the numbers that are none of them NaN; of nothing, -inf."""
    assert isinstance(layer, Pool)
    given = np.where(np.isnan(x), -np.inf, x).astype(np.float32)
    return maximum(oracle.windows_of(given, layer, -np.inf))


def zero_for_nan(layer: Layer, params: Params, x: Array) -> Array:
    """A ReLU that gives 0 for NaN, as max(0, x) by a comparison that NaN fails."""
    return np.where(np.isnan(x), np.float32(0), single(layer, params, x))


def nan_alone(layer: Layer, params: Params, x: Array) -> Array:
    """A softmax that is NaN where its logit is NaN or inf, and 0 elsewhere."""
    y = single(layer, params, x)
    bad = np.isnan(x) | (x == np.inf)
    return np.where(bad.any(axis=1, keepdims=True), np.where(bad, np.float32(np.nan), np.float32(0)), y)


def unshifted(layer: Layer, params: Params, x: Array) -> Array:
    """A softmax that does not subtract the largest logit."""
    with np.errstate(all="ignore"):
        powers = np.exp(x)
        return powers / powers.sum(axis=1, keepdims=True)


def patches_by_convolution(layer: Layer, params: Params, x: Array) -> Array:
    """Unshared kernels over patches that a convolution with ones and zeros cut out: zero times inf is NaN all over the patch."""
    assert isinstance(layer, Local)
    bad = oracle.windows_of((~np.isfinite(x)).astype(np.float32), layer)
    touched = np.asarray(bad.any(axis=(1, 4, 5)))  # (N, H', W')
    return np.where(touched[:, None], np.float32(np.nan), single(layer, params, x))


@dataclass(frozen=True)
class Answer:
    """What is given, in a word or two for tables, as a sentence, and what sort of departure it is: one of SORTS."""

    gives: Callable[[Layer, Params, Array], Array]
    word: str
    about: str
    sort: str


FLUSHED, LOST, SPREAD, ANOTHER = SORTS = (
    "denormals are flushed to 0",
    "NaN or an infinity is lost",
    "NaN reaches further",
    "computed in another way",
)


ANSWERS: dict[str, Answer] = {
    "fused": Answer(fused, "inf", "products are not rounded before they are added (fused multiply-add)", ANOTHER),
    "inside": Answer(inside, "border left out", "zeros beyond the border are left out, not multiplied", ANOTHER),
    "flushed": Answer(flushed, "flushed to 0", "denormals are read and written as 0", FLUSHED),
    "all-maps": Answer(all_maps, "NaN in all maps", "each map's sum multiplies the squares of all others by 0", SPREAD),
    "running-sum": Answer(
        running_sum, "NaN carried on", "inf - inf is NaN in a sum that is carried from map to map", SPREAD
    ),
    "scaled-squares": Answer(scaled_squares, "1e-07", "each square is multiplied by alpha before it is added", ANOTHER),
    "by-roots": Answer(by_roots, "0", "the power 3/4 is taken by square roots of a product that overflows", ANOTHER),
    "ratio": Answer(ratio, "digits lost", "x is multiplied by 0.005 before it is divided by 0.005", ANOTHER),
    "from-lowest": Answer(
        from_lowest, "as if absent", "begins with the lowest number; NaN and -inf are not above it", LOST
    ),
    "without-nan": Answer(without_nan, "NaN lost", "NaN loses every comparison", LOST),
    "zero-for-nan": Answer(zero_for_nan, "0", "NaN fails x > 0", LOST),
    "nan-alone": Answer(nan_alone, "NaN there, else 0", "NaN stays where it is, the others get 0", LOST),
    "unshifted": Answer(unshifted, "not shifted", "the largest logit is not subtracted", ANOTHER),
    "patches": Answer(
        patches_by_convolution, "NaN all over", "patches are cut out by a convolution with ones and zeros", SPREAD
    ),
}
OF_KIND: dict[str, tuple[str, ...]] = {
    "conv": ("fused", "flushed", "inside"),
    "local": ("fused", "flushed", "inside", "patches"),
    "dense": ("fused", "flushed"),
    "relu": ("flushed", "zero-for-nan"),
    "tanh": ("flushed", "ratio"),
    "lrn": ("flushed", "all-maps", "running-sum", "scaled-squares", "by-roots"),
    "spatial-lrn": ("flushed",),
    "max-pool": ("flushed", "from-lowest", "without-nan"),
    "padded-pool": ("flushed", "from-lowest", "without-nan"),
    "average-pool": ("flushed",),
    "flatten": ("flushed",),
    "dropout": ("flushed",),
    "softmax": ("flushed", "nan-alone", "unshifted"),
}


def answer(name: str, layer: Layer, params: Params, x: Array) -> Array:
    """What `ANSWERS[name]` gives."""
    with np.errstate(all="ignore"):
        return ANSWERS[name].gives(layer, params, x)
