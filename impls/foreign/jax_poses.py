"""Networks, right or with a mistake, as plain JAX functions of (params, x): what the audit must see through.

Images are N, H, W, C and kernels H, W, I, O, as most JAX code has them; dense weights are (in, out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax, nn
from jax import numpy as jnp

from ...reference import mistaken as m
from ...reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Lrn,
    Network,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
    borders,
)
from ..interface import Unsupported
from .graph import Array

Params = dict[str, dict[str, Any]]
Tricks = Mapping[str, Sequence[str]]
CONV = ("NHWC", "HWIO", "NHWC")
ACTIVATIONS: dict[str, Callable[[Any, float], Any]] = {
    "tanh": lambda x, _: jnp.tanh(x),
    "sigmoid": lambda x, _: nn.sigmoid(x),
    "leaky_relu": nn.leaky_relu,
    "elu": nn.elu,
    "selu": lambda x, _: nn.selu(x),
    "gelu": lambda x, _: nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x, _: nn.gelu(x),
    "softplus": lambda x, _: nn.softplus(x),
    "relu6": lambda x, _: nn.relu6(x),
    "silu": lambda x, _: nn.silu(x),
    "abs": lambda x, _: jnp.abs(x),
    "softsign": lambda x, _: nn.soft_sign(x),
}


def pose(network: Network, tricks: Tricks, params: Mapping[str, Array]) -> tuple[Callable[[Params, Any], Any], Params]:
    """(function, params) of images (N, H, W, C); raises Unsupported for what is not posed."""
    steps = [(layer, step(layer, tricks.get(layer.name, ()))) for layer in network.layers]

    def forward(params: Params, x: Any) -> Any:
        for layer, apply in steps:
            with jax.named_scope(layer.name):
                x = apply(params.get(layer.name, {}), x)
        return x

    return forward, arranged(network, tricks, params)


def arranged(network: Network, tricks: Tricks, params: Mapping[str, Array]) -> Params:
    """{"conv1": {"w": (H, W, I, O), "b": (O,)}, "fc6": {"w": (in, out), ...}}."""
    found: Params = {}
    for name in network.param_shapes():
        layer, _, part = name.rpartition(".")
        value = jnp.asarray(params[name])
        if part == "bias" and "no-bias" in tricks.get(layer, ()):
            continue
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim, tuple(range(value.ndim)))
        found.setdefault(layer, {})[part[0]] = value.transpose(axes)
    return found


Step = Callable[[dict[str, Any], Any], Any]


def step(layer: Layer, tricks: Sequence[str]) -> Step:
    """What a layer does, as a function of its own parameters and its input."""
    match layer:
        case Conv():
            return affine(layer, tricks, lambda x, w: conv(layer, x, w))
        case Dense():
            return affine(layer, tricks, lambda x, w: dense(layer, x, w))
        case Relu():
            return lambda p, x: nn.relu(x)
        case Lrn():
            return lambda p, x: towers(layer, x)
        case SpatialLrn():
            return lambda p, x: x / (layer.k + layer.alpha * around(layer, x * x)) ** layer.beta
        case Pool():
            return lambda p, x: pool(layer, x)
        case Flatten():
            return lambda p, x: x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # channel, row, column
        case Dropout():
            return lambda p, x: x  # inference
        case Softmax():
            return lambda p, x: nn.softmax(x)
    return mistaken(layer)


def mistaken(layer: Layer) -> Step:
    match layer:
        case m.Activation() if layer.function in ACTIVATIONS:
            return lambda p, x: ACTIVATIONS[layer.function](x, layer.slope)
        case m.WindowLrn():
            return lambda p, x: window_lrn(layer, x)
        case m.ChannelNorm():
            return lambda p, x: x * p["w"] + p["b"]
        case m.AdaptivePool():
            return lambda p, x: adaptive(layer, x)
        case m.PaddedMean():
            return lambda p, x: padded_mean(layer, x)
        case m.Affine():
            return lambda p, x: x * spread(layer.scale, x) + spread(layer.shift, x)
        case m.Reordered():
            return lambda p, x: reordered(layer.order, x)
        case m.LogSoftmax():
            return lambda p, x: nn.log_softmax(x)
        case m.SoftmaxOver():
            return lambda p, x: nn.softmax(x, axis=layer.axis)
        case m.RandomDropout():
            return lambda p, x: random_dropout(layer, x)
    raise Unsupported(f"{layer.name}: no {layer.kind} layer among the JAX poses")


# Convolutions and dense layers ----------------------------------------------------------------------------------------


def affine(layer: Conv | Dense, tricks: Sequence[str], product: Callable[[Any, Any], Any]) -> Step:
    """The product and the bias, the weight and the arithmetic changed as the tricks say."""

    def apply(p: dict[str, Any], x: Any) -> Any:
        w, b = changed(p["w"], tricks), p.get("b")
        dtype = next((getattr(jnp, name) for name in ("float16", "bfloat16") if name in tricks), None)
        if "tf32" in tricks:
            x, w = tf32(x), tf32(w)
        if dtype is not None:
            x, w, b = (None if v is None else v.astype(dtype) for v in (x, w, b))
        y = product(x, w)
        for _ in range(0 if b is None else 2 if "double-bias" in tricks else 1):
            y = y + b
        return y if dtype is None else y.astype(jnp.float32)

    return apply


def tf32(x: Any) -> Any:
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10)


def changed(w: Any, tricks: Sequence[str]) -> Any:  # (H, W, I, O) or (in, out)
    for trick in tricks:
        match trick:
            case "flip":
                w = w[::-1, ::-1]
            case "transpose" if w.ndim == 4:
                w = w.swapaxes(0, 1)
            case "transpose":  # W^T poured into W's shape, of W (out, in)
                w = w.reshape(w.shape[::-1]).T
            case "bgr":
                w = jnp.flip(w, axis=-2)
            case "swap-halves":
                w = jnp.roll(w, w.shape[-1] // 2, axis=-1)
            case "weights-tf32":
                w = tf32(w)
            case "weights-float16":
                w = w.astype(jnp.float16).astype(jnp.float32)
            case "weights-bfloat16":
                w = w.astype(jnp.bfloat16).astype(jnp.float32)
    return w


def dense(layer: Dense, x: Any, w: Any) -> Any:  # (N, in), (in / groups, out) -> (N, out)
    if layer.groups == 1:
        return x @ w
    pairs = zip(jnp.split(x, layer.groups, axis=1), jnp.split(w, layer.groups, axis=1), strict=True)
    return jnp.concatenate([part @ weight for part, weight in pairs], axis=1)


def conv(layer: Conv, x: Any, w: Any) -> Any:  # (N, H, W, C) -> (N, H', W', O)
    dilation = getattr(layer, "dilation", 1)
    padding, strides, dilations = borders(layer, maps(x)), (layer.stride,) * 2, (dilation,) * 2
    return lax.conv_general_dilated(
        x, w, strides, padding, rhs_dilation=dilations, dimension_numbers=CONV, feature_group_count=layer.groups
    )


def maps(x: Any) -> tuple[int, int, int]:
    """(C, H, W) of a tensor (N, H, W, C)."""
    _, height, width, channels = x.shape
    return channels, height, width


# Normalisation --------------------------------------------------------------------------------------------------------


def sums(
    x: Any, window: Sequence[int], padding: Sequence[tuple[int, int]], strides: Sequence[int] = (1, 1, 1, 1)
) -> Any:
    return lax.reduce_window(x, 0.0, lax.add, tuple(window), tuple(strides), list(padding))


def across(x: Any, before: int, after: int) -> Any:
    """The sum over neighbouring maps."""
    return sums(x, (1, 1, 1, before + after + 1), [(0, 0), (0, 0), (0, 0), (before, after)])


def towers(layer: Lrn, x: Any) -> Any:
    half = layer.n // 2
    parts = jnp.split(x, layer.towers, axis=3) if layer.towers > 1 else [x]
    parts = [part / (layer.k + layer.alpha * across(part * part, half, half)) ** layer.beta for part in parts]
    return jnp.concatenate(parts, axis=3) if layer.towers > 1 else parts[0]


def around(layer: SpatialLrn, x: Any) -> Any:
    """The sum over the pixels around, map by map."""
    half = layer.n // 2
    size = 2 * half + 1
    return sums(x, (1, size, size, 1), [(0, 0), (half, half), (half, half), (0, 0)])


def window_lrn(layer: m.WindowLrn, x: Any) -> Any:
    total = across(jnp.abs(x) if layer.plain else x * x, layer.before, layer.after)
    if layer.mean:
        total = total / across(jnp.ones_like(x), layer.before, layer.after)
    scale = (layer.k + layer.alpha * total) ** layer.beta
    return x * scale if layer.inverted else x / scale


# Windows --------------------------------------------------------------------------------------------------------------


def pool(layer: Pool, x: Any) -> Any:
    window, strides = (1, layer.kernel, layer.kernel, 1), (1, layer.stride, layer.stride, 1)
    padding = [(0, 0), *borders(layer, maps(x)), (0, 0)]
    if layer.average:
        return sums(x, window, padding, strides) / sums(jnp.ones_like(x), window, padding, strides)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def padded_mean(layer: m.PaddedMean, x: Any) -> Any:
    k, s, p = layer.kernel, layer.stride, layer.padding
    return sums(x, (1, k, k, 1), [(0, 0), (p, p), (p, p), (0, 0)], (1, s, s, 1)) / k**2


def adaptive(layer: m.AdaptivePool, x: Any) -> Any:
    reduce = jnp.mean if layer.average else jnp.max
    rows, columns = (layer.spans(n) for n in x.shape[1:3])
    cells = [[reduce(x[:, top:end, left:right], axis=(1, 2)) for left, right in columns] for top, end in rows]
    return jnp.stack([jnp.stack(row, axis=1) for row in cells], axis=1)


# Elementwise, and order -----------------------------------------------------------------------------------------------


def spread(values: Sequence[float], x: Any) -> Any:
    """Numbers for each channel, the last axis; or one for all."""
    return np.asarray(values, np.float32) if len(values) > 1 else np.float32(values[0])


def reordered(order: str, x: Any) -> Any:
    if order == "hwc":
        return x.reshape(len(x), -1)
    maps = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x  # (N, C, H, W)
    y = jnp.roll(maps, maps.shape[1] // 2, axis=1) if order == "halves" else m.ORDERS[order](maps)
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def random_dropout(layer: m.RandomDropout, x: Any) -> Any:
    if not layer.always:
        return x * layer.factor if layer.factor != 1 else x
    shape = (x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1]) if layer.maps else x.shape
    kept = jax.random.bernoulli(jax.random.key(0), 1 - layer.rate, shape)
    scale = layer.factor / (1 - layer.rate) if layer.scaled else layer.factor
    return jnp.where(kept, x * scale, 0.0)
