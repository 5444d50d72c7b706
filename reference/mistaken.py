"""Layers that no variant has but that AlexNets in the wild do: a mistake must be expressible before it can be proved.

Each computes itself in NumPy, in the precision of its input, from its definition; `oracle.apply` asks it to. Maps are
N, C, H, W. `rounding` is the absolute error that a correct float32 implementation may make, in units of 2^-24.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .spec import Conv, Layer, Pool, Shape

Array = np.ndarray
Params = Mapping[str, Array]


class Computed(Layer):
    """A layer that brings its own definition."""

    def compute(self, params: Params, x: Array) -> Array:
        raise NotImplementedError

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        """By default: a few operations, each correctly rounded or nearly so, nothing that cancels."""
        return 8 * np.abs(y)


# Activations ----------------------------------------------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, power) / (1 + power)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _gelu(x: Array) -> Array:
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def _selu(x: Array, _: float) -> Array:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


FUNCTIONS: dict[str, Callable[[Array, float], Array]] = {
    "tanh": lambda x, _: np.tanh(x),
    "sigmoid": lambda x, _: _sigmoid(x),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": lambda x, slope: np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0))),
    "selu": _selu,
    "gelu": lambda x, _: _gelu(x),
    "gelu_tanh": lambda x, _: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "softplus": lambda x, _: _softplus(x),
    "relu6": lambda x, _: np.clip(x, 0, 6),
    "silu": lambda x, _: x * _sigmoid(x),
    "abs": lambda x, _: np.abs(x),
    "softsign": lambda x, _: x / (1 + np.abs(x)),
}


@dataclass(frozen=True)
class Activation(Computed):
    """An elementwise function other than ReLU; `slope` is a leaky ReLU's or an ELU's parameter."""

    function: str = "tanh"
    slope: float = 0.0

    def compute(self, params: Params, x: Array) -> Array:
        return FUNCTIONS[self.function](x, self.slope)

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        # exp(x) - 1 and 1 - 2 / (exp(2 x) + 1) cancel near zero; x (1 + erf x) and x (1 + tanh x) far below it
        return 16 * np.abs(y) + 4 * max(1.0, abs(self.slope)) * np.clip(np.abs(x), 1, 16)


# Normalisation --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WindowLrn(Computed):
    """Response normalisation across maps whose window is i - before .. i + after, not centred (an even n, one off).

    With `mean`, alpha multiplies the mean over the maps that are there and not the sum. With `plain`, the sum is of |a|,
    not of squares. With `inverted` the power multiplies and does not divide.
    """

    before: int = 2
    after: int = 1
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    mean: bool = False
    plain: bool = False
    inverted: bool = False

    def compute(self, params: Params, x: Array) -> Array:
        total = self.window(np.abs(x) if self.plain else x * x)
        total = total / self.window(np.ones_like(x)) if self.mean else total
        scale = (self.k + self.alpha * total) ** self.beta
        return x * scale if self.inverted else x / scale

    def window(self, values: Array) -> Array:
        padded = np.pad(values, ((0, 0), (self.before, self.after), (0, 0), (0, 0)))
        return sliding_window_view(padded, self.before + self.after + 1, axis=1).sum(axis=-1)

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        terms = self.before + self.after + 1
        scale = np.abs(y / np.where(x == 0, 1, x))
        return np.abs(y) * (self.beta * (terms + 8) + 5 * np.abs(np.log(np.where(x == 0, 1, scale))) + 6)


@dataclass(frozen=True)
class ChannelNorm(Computed):
    """Batch normalisation at inference: a number to multiply and one to add for each channel (or unit).

    weight (C,) and bias (C,) are what it comes to: gamma / sqrt(variance + eps) and beta - mean gamma / sqrt(variance + eps).
    """

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {f"{self.name}.weight": (shape[0],), f"{self.name}.bias": (shape[0],)}

    def compute(self, params: Params, x: Array) -> Array:
        weight, bias = (self.broad(params[f"{self.name}.{part}"], x) for part in ("weight", "bias"))
        return x * weight + bias

    @staticmethod
    def broad(values: Array, x: Array) -> Array:
        return values.astype(x.dtype).reshape(1, -1, *(1 for _ in x.shape[2:]))

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        weight, bias = (self.broad(params[f"{self.name}.{part}"], x) for part in ("weight", "bias"))
        terms = np.abs(x * weight)  # the mean that is taken away is of this size, and may cancel in the bias
        return 16 * (terms + terms.max(axis=(0, *range(2, x.ndim)), keepdims=True) + 2 * np.abs(bias))


# Pooling and geometry -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdaptivePool(Computed):
    """`size` x `size` outputs whatever comes in: output i covers floor(i n / size) .. ceil((i + 1) n / size) - 1."""

    size: int = 6
    average: bool = True

    def output(self, shape: Shape) -> Shape:
        return (shape[0], self.size, self.size)

    def compute(self, params: Params, x: Array) -> Array:
        reduce = np.mean if self.average else np.max
        rows, columns = (self.spans(n) for n in x.shape[2:])
        cells = [[reduce(x[:, :, top:end, left:right], axis=(2, 3)) for left, right in columns] for top, end in rows]
        return np.stack([np.stack(row, axis=-1) for row in cells], axis=-2)

    def spans(self, n: int) -> list[tuple[int, int]]:
        return [(i * n // self.size, -(-(i + 1) * n // self.size)) for i in range(self.size)]

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        most = math.prod(-(-n // self.size) + 1 for n in x.shape[2:])
        return (most + 1) * dataclasses.replace(self).compute({}, np.abs(x)) if self.average else np.zeros_like(y)


@dataclass(frozen=True)
class PaddedMean(Computed):
    """A mean over windows that counts the padding: always divided by kernel x kernel."""

    kernel: int = 3
    stride: int = 2
    padding: int = 1

    def output(self, shape: Shape) -> Shape:
        return (shape[0], *((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in shape[1:]))

    def compute(self, params: Params, x: Array) -> Array:
        p = self.padding
        windows = sliding_window_view(
            np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), (self.kernel, self.kernel), axis=(2, 3)
        )
        return windows[:, :, :: self.stride, :: self.stride].mean(axis=(4, 5))

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        return (self.kernel**2 + 1) * self.compute({}, np.abs(x))


@dataclass(frozen=True)
class Dilated(Conv):
    """A convolution whose taps stand `dilation` pixels apart."""

    dilation: int = 2

    @property
    def reach(self) -> int:
        return (self.kernel - 1) * self.dilation + 1


Border = tuple[tuple[int, int], tuple[int, int]]


def _fitted(layer: Conv | Pool, border: Border, shape: Shape) -> tuple[int, int]:
    """(H', W') of windows over maps of `shape` with `border` ((above, below), (left, right)) around them."""
    sizes = [(sum(b) + n - layer.reach) // layer.stride + 1 for b, n in zip(border, shape[1:], strict=True)]
    if min(sizes) < 1:
        raise ValueError(f"{layer.name}: the {layer.reach}-wide window does not fit into {shape}; use a larger input")
    return sizes[0], sizes[1]


@dataclass(frozen=True)
class BorderedConv(Dilated):
    """A convolution with its own padding on each of the four sides: `border` ((above, below), (left, right))."""

    dilation: int = 1
    border: Border = ((0, 0), (0, 0))

    def output(self, shape: Shape) -> Shape:
        return (self.channels, *_fitted(self, self.border, shape))


@dataclass(frozen=True)
class BorderedPool(Pool):
    """Pooling with its own padding on each of the four sides, of which only pixels that are there count."""

    border: Border = ((0, 0), (0, 0))

    def output(self, shape: Shape) -> Shape:
        return (shape[0], *_fitted(self, self.border, shape))


@dataclass(frozen=True)
class MapMean(Computed):
    """The mean of each map, as a vector: what takes the place of a flattening in later networks."""

    def output(self, shape: Shape) -> Shape:
        return (shape[0],)

    def compute(self, params: Params, x: Array) -> Array:
        return x.mean(axis=(2, 3))

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        return (math.prod(x.shape[2:]) + 1) * np.abs(x).mean(axis=(2, 3))


# Small things around the layers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Affine(Computed):
    """x * scale + shift, one pair for all or one for each channel: images scaled, centred, or divided by their spread."""

    scale: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)

    def compute(self, params: Params, x: Array) -> Array:
        scale, shift = (ChannelNorm.broad(np.array(v), x) for v in (self.scale, self.shift))
        return x * scale + shift

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        scale, shift = (ChannelNorm.broad(np.array(v), x) for v in (self.scale, self.shift))
        terms = np.abs(x * scale)  # written as (x - mean) / spread, the mean may cancel in the shift
        return 8 * (terms + np.abs(shift)) + 2 * terms.max()


@dataclass(frozen=True)
class Reordered(Computed):
    """The same numbers in another order: `order` is a key of ORDERS. Exact."""

    order: str = "bgr"

    def compute(self, params: Params, x: Array) -> Array:
        return ORDERS[self.order](x)

    def output(self, shape: Shape) -> Shape:
        return tuple(ORDERS[self.order](np.empty((1, *shape), dtype=np.int8)).shape[1:])

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        return np.zeros_like(y)


ORDERS: dict[str, Callable[[Array], Array]] = {
    "bgr": lambda x: x[:, ::-1],  # channels the other way round
    "as-if-hwc": lambda x: x.transpose(0, 2, 3, 1).reshape(x.shape),  # (H, W, C) in memory, read as (C, H, W)
    "rows-columns": lambda x: x.swapaxes(2, 3),
    "upside-down": lambda x: x[:, :, ::-1],
    "mirrored": lambda x: x[:, :, :, ::-1],
    "interleaved": lambda x: (
        x.reshape(len(x), 2, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
    ),  # 0, C/2, 1, C/2 + 1
    "halves": lambda x: np.roll(x, x.shape[1] // 2, axis=1),
    "hwc": lambda x: x.transpose(0, 2, 3, 1).reshape(len(x), -1),  # flattened row, column, channel
    "cwh": lambda x: x.transpose(0, 1, 3, 2).reshape(len(x), -1),
    "whc": lambda x: x.transpose(0, 3, 2, 1).reshape(len(x), -1),
    "hcw": lambda x: x.transpose(0, 2, 1, 3).reshape(len(x), -1),
}


@dataclass(frozen=True)
class LogSoftmax(Computed):
    def compute(self, params: Params, x: Array) -> Array:
        x = x - x.max(axis=1, keepdims=True)
        return x - np.log(np.exp(x).sum(axis=1, keepdims=True))

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        return 8 * (np.abs(x).max(axis=1, keepdims=True) + np.abs(y) + math.sqrt(x.shape[1]))


@dataclass(frozen=True)
class SoftmaxOver(Computed):
    """exp(x) / sum of exp(x) over another axis than the units': 0 is the batch."""

    axis: int = 0

    def compute(self, params: Params, x: Array) -> Array:
        powers = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return powers / powers.sum(axis=self.axis, keepdims=True)

    def rounding(self, params: Params, x: Array, y: Array) -> Array:
        below = np.abs(x - x.max(axis=self.axis, keepdims=True))
        return y * (2 * below.max(axis=self.axis, keepdims=True) + 8 * math.sqrt(x.shape[self.axis]) + 16) + 2.0**-102


@dataclass(frozen=True)
class RandomDropout(Computed):
    """Dropout that is not what the paper and the frameworks do: at inference its oracle is `factor` x, if that.

    always: at inference too. factor: what inference multiplies by (the paper: 1 - rate). scaled: whether training divides
    what is kept by 1 - rate. maps: whole maps are dropped.
    """

    rate: float = 0.5
    always: bool = False
    factor: float = 1.0
    scaled: bool = True
    maps: bool = False
    random: ClassVar[bool] = True

    def compute(self, params: Params, x: Array) -> Array:
        return x * np.asarray(self.factor, x.dtype)
