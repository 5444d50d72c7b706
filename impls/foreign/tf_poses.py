"""Networks as users of TensorFlow 1 write them: a graph of tf.nn functions and variables, fed through a placeholder.

`pose` takes any chain of layers, mistaken ones too, and tricks to play on single layers. The audit has to see through all
of them. What serves Keras as well (orders, tricks played on weights, windows) is here and taken from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...reference.mistaken import (
    Activation,
    AdaptivePool,
    Affine,
    ChannelNorm,
    Dilated,
    LogSoftmax,
    PaddedMean,
    RandomDropout,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from ...reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Local,
    Lrn,
    Network,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
    borders,
)
from .. import tf_nn
from ..interface import Unsupported
from .graph import Array
from .tf_operations import same

Tricks = Mapping[str, Sequence[str]]
EPS = 1e-3

# Axes of a weight: rows, columns, inputs, outputs.
CONV_AXES = {"rows": 0, "columns": 1, "inputs": 2, "outputs": 3}  # (K, K, I / groups, O)
DENSE_AXES = {"inputs": 0, "outputs": 1}  # (inputs, units)
GROUPED_AXES = {"outputs": 0, "inputs": 1}  # (units, inputs / groups)
LOCAL_AXES = {"rows": 2, "columns": 3, "inputs": 4, "outputs": 5}  # (H', W', K, K, I, O)


# Tricks ---------------------------------------------------------------------------------------------------------------


def tf32(x: Any) -> Any:
    """float32 rounded to 10 explicit mantissa bits, to nearest, ties to even."""
    bits = tf.bitcast(x, tf.int32)
    odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + 0xFFF + odd, ~0x1FFF), tf.float32)


def rounded(x: Any, dtype: str) -> Any:
    return tf32(x) if dtype == "tf32" else tf.cast(tf.cast(x, dtype), tf.float32)


def played(weight: Any, axes: Mapping[str, int], tricks: Sequence[str], name: str = "") -> Any:
    """A weight as the layer uses it, its tricks played one after another."""
    for trick in tricks:
        weight = play(weight, axes, trick, name)
    return weight


def play(weight: Any, axes: Mapping[str, int], trick: str, name: str) -> Any:
    if trick in ("flip", "bgr") and "rows" not in axes:
        raise Unsupported(f"{name}: no {trick} of a dense layer")
    if trick == "flip":
        return tf.reverse(weight, [axes["rows"], axes["columns"]])
    if trick == "bgr":
        return tf.reverse(weight, [axes["inputs"]])
    if trick == "swap-halves":
        return tf.roll(weight, weight.shape[axes["outputs"]] // 2, axes["outputs"])
    if trick == "transpose":
        return transposed(weight, axes)
    if trick == "tf32" or trick.startswith("weights-"):
        return rounded(weight, trick.removeprefix("weights-"))
    return weight  # it is about something else


def transposed(weight: Any, axes: Mapping[str, int]) -> Any:
    """Rows for columns; a dense layer's W^T poured into the shape of W (units, inputs)."""
    if "rows" in axes:
        perm = list(range(len(weight.shape)))
        perm[axes["rows"]], perm[axes["columns"]] = axes["columns"], axes["rows"]
        return tf.transpose(weight, perm)
    if axes["inputs"] == 0:  # (inputs, units): W^T as it lies in memory
        inputs, units = weight.shape
        return tf.transpose(tf.reshape(weight, [units, inputs]))
    return tf.reshape(tf.transpose(weight), weight.shape)


# What both frameworks compute ------------------------------------------------------------------------------------------


def interleaved(x: Any) -> Any:
    """Maps (or units) 0, C/2, 1, C/2 + 1 ..."""
    shape = list(x.shape[1:])
    halves = tf.reshape(x, [-1, *shape[:-1], 2, shape[-1] // 2])
    order = [*range(len(shape)), len(shape) + 1, len(shape)]
    return tf.reshape(tf.transpose(halves, order), [-1, *shape])


def as_if_hwc(x: Any) -> Any:
    _, height, width, channels = x.shape
    return tf.transpose(tf.reshape(x, [-1, channels, height, width]), [0, 2, 3, 1])


def flat(x: Any, *perm: int) -> Any:
    x = tf.transpose(x, perm) if perm else x
    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


# mistaken.ORDERS for maps (N, H, W, C) and for vectors.
ORDERS: dict[str, Callable[[Any], Any]] = {
    "bgr": lambda x: x[..., ::-1],
    "as-if-hwc": as_if_hwc,
    "rows-columns": lambda x: tf.transpose(x, [0, 2, 1, 3]),
    "upside-down": lambda x: tf.reverse(x, [1]),
    "mirrored": lambda x: tf.reverse(x, [2]),
    "interleaved": interleaved,
    "halves": lambda x: tf.roll(x, x.shape[-1] // 2, -1),
    "hwc": flat,
    "cwh": lambda x: flat(x, 0, 3, 2, 1),
    "whc": lambda x: flat(x, 0, 2, 1, 3),
    "hcw": lambda x: flat(x, 0, 1, 3, 2),
}

FUNCTIONS: dict[str, Callable[[Any, float], Any]] = {
    "tanh": lambda x, _: tf.tanh(x),
    "sigmoid": lambda x, _: tf.sigmoid(x),
    "leaky_relu": tf.nn.leaky_relu,
    "elu": lambda x, slope: tf.nn.elu(x) if slope == 1 else tf.where(x > 0, x, slope * tf.math.expm1(x)),
    "selu": lambda x, _: tf.nn.selu(x),
    "gelu": lambda x, _: tf.nn.gelu(x),
    "gelu_tanh": lambda x, _: tf.nn.gelu(x, approximate=True),
    "softplus": lambda x, _: tf.nn.softplus(x),
    "relu6": lambda x, _: tf.nn.relu6(x),
    "silu": lambda x, _: tf.nn.silu(x),
    "abs": lambda x, _: tf.abs(x),
    "softsign": lambda x, _: tf.nn.softsign(x),
}


def window_lrn(x: Any, layer: WindowLrn) -> Any:  # (N, H, W, C)
    """Written out: the squares, padded and shifted, summed."""
    if layer.before == layer.after and not (layer.mean or layer.plain or layer.inverted):
        return tf.nn.local_response_normalization(x, layer.before, layer.k, layer.alpha, layer.beta)
    total = across(tf.abs(x) if layer.plain else tf.square(x), layer)
    if layer.mean:
        total /= across(tf.ones([1, 1, 1, x.shape[3]], x.dtype), layer)
    scale = (layer.k + layer.alpha * total) ** layer.beta
    return x * scale if layer.inverted else x / scale


def across(x: Any, layer: WindowLrn) -> Any:
    """The sum over maps i - before .. i + after."""
    maps = x.shape[3]
    padded = tf.pad(x, [[0, 0], [0, 0], [0, 0], [layer.before, layer.after]])
    return tf.add_n([padded[..., shift : shift + maps] for shift in range(layer.before + layer.after + 1)])


def adaptive(x: Any, layer: AdaptivePool) -> Any:  # (N, H, W, C)
    """TensorFlow has none: cell by cell."""
    reduce = tf.reduce_mean if layer.average else tf.reduce_max
    if layer.size == 1:
        return reduce(x, axis=[1, 2], keepdims=True)
    rows, columns = (layer.spans(int(n)) for n in x.shape[1:3])
    cells = [[reduce(x[:, top:end, left:right], axis=[1, 2]) for left, right in columns] for top, end in rows]
    return tf.stack([tf.stack(row, axis=1) for row in cells], axis=1)


def padded_mean(x: Any, layer: PaddedMean) -> Any:  # (N, H, W, C)
    border = [layer.padding, layer.padding]
    return tf.nn.avg_pool2d(tf.pad(x, [[0, 0], border, border, [0, 0]]), layer.kernel, layer.stride, "VALID")


def reach(layer: Conv | Pool, x: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """How far the windows reach beyond the edge."""
    if isinstance(layer, Dilated):
        return layer.padding, layer.padding
    return borders(layer, tf_nn.maps_of(x))


def is_same(layer: Conv | Pool, x: Any) -> bool:
    """Is it what TensorFlow calls SAME? Then a user writes that."""
    dilation = layer.dilation if isinstance(layer, Dilated) else 1
    sizes = [int(n) for n in x.shape[1:3]]
    wanted = tuple(same(n, -(-n // layer.stride), layer.kernel, layer.stride, dilation) for n in sizes)
    return wanted == reach(layer, x) and any(map(any, wanted))


def pool(x: Any, layer: Pool) -> Any:  # (N, H, W, C)
    function = tf.nn.avg_pool2d if layer.average else tf.nn.max_pool2d
    if is_same(layer, x):
        return function(x, layer.kernel, layer.stride, "SAME")
    if any(map(any, reach(layer, x))):
        return tf_nn.pool(x, layer)
    return function(x, layer.kernel, layer.stride, "VALID")


def softmax_axis(axis: int, rank: int) -> int:
    """An axis of N, C, H, W among those of N, H, W, C."""
    return (0, 3, 1, 2)[axis] if rank == 4 else axis


# The graph ------------------------------------------------------------------------------------------------------------


class Poser:
    """Adds layer after layer to the graph that is being built."""

    def __init__(self, params: Mapping[str, Array], training: Any) -> None:
        self.params, self.training = params, training

    def variable(self, name: str, value: Array, learned: bool = True) -> Any:
        value = np.ascontiguousarray(value, dtype=np.float32)
        return tf.compat.v1.get_variable(name, initializer=tf.constant(value), trainable=learned)

    def layer(self, layer: Layer, x: Any, tricks: Sequence[str]) -> Any:
        with tf.compat.v1.variable_scope(layer.name):
            dtype = next((trick for trick in tricks if trick in ("float16", "bfloat16")), None)
            x = tf.cast(x, dtype) if dtype else x
            match layer:
                case Conv() | Dense() | Local():
                    y = self.affine(layer, x, tricks, dtype)
                case _:
                    y = self.plain(layer, x)
            return tf.cast(y, tf.float32) if dtype else y

    def affine(self, layer: Conv | Dense | Local, x: Any, tricks: Sequence[str], dtype: str | None) -> Any:
        weight = self.params[f"{layer.name}.weight"]
        if isinstance(layer, Dense):
            axes, weight = (DENSE_AXES, weight.T) if layer.groups == 1 else (GROUPED_AXES, weight)
        else:
            axes, weight = CONV_AXES if isinstance(layer, Conv) else LOCAL_AXES, tf_nn.to_tf(weight)
        kernel = played(self.variable("weights", weight), axes, tricks, layer.name)
        kernel = tf.cast(kernel, dtype) if dtype else kernel
        x = tf32(x) if "tf32" in tricks else x
        y = product(layer, x, kernel)
        if "no-bias" in tricks:
            return y
        bias = self.variable("biases", tf_nn.to_tf(self.params[f"{layer.name}.bias"]))
        bias = tf.cast(bias, dtype) if dtype else bias
        for _ in range(2 if "double-bias" in tricks else 1):
            y = y + bias if isinstance(layer, Local) else tf.nn.bias_add(y, bias)
        return y

    def plain(self, layer: Layer, x: Any) -> Any:
        match layer:
            case Relu():
                return tf.nn.relu(x)
            case Lrn():
                return tf_nn.lrn(x, layer)
            case SpatialLrn():
                return tf_nn.spatial_lrn(x, layer)
            case Pool():
                return pool(x, layer)
            case Flatten():  # channel, row, column
                return flat(x, 0, 3, 1, 2)
            case Dropout():
                return self.dropout(x, RandomDropout(layer.name, layer.rate))
            case Softmax():
                return tf.nn.softmax(x)
            case Activation():
                return FUNCTIONS[layer.function](x, layer.slope)
            case WindowLrn():
                return window_lrn(x, layer)
            case ChannelNorm():
                return self.norm(x, layer)
            case AdaptivePool():
                return adaptive(x, layer)
            case PaddedMean():
                return padded_mean(x, layer)
            case Affine():
                return x * constant(layer.scale) + constant(layer.shift)
            case Reordered():
                return ORDERS[layer.order](x)
            case LogSoftmax():
                return tf.nn.log_softmax(x)
            case SoftmaxOver():
                return tf.nn.softmax(x, axis=softmax_axis(layer.axis, x.shape.rank))
            case RandomDropout():
                return self.dropout(x, layer)
        raise Unsupported(f"{layer.name}: no {layer.kind} layer in the TensorFlow 1 pose")

    def norm(self, x: Any, layer: ChannelNorm) -> Any:
        scale, shift = (self.params[f"{layer.name}.{part}"] for part in ("weight", "bias"))
        variance = spread(len(scale))
        gamma = self.variable("gamma", scale * np.sqrt(variance + np.float32(EPS)))
        beta = self.variable("beta", shift)
        mean = self.variable("moving_mean", np.zeros_like(scale), learned=False)
        kept = self.variable("moving_variance", variance, learned=False)
        if x.shape.rank == 4:
            return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, mean, kept, epsilon=EPS, is_training=False)[0]
        return tf.nn.batch_normalization(x, mean, kept, beta, gamma, EPS)

    def dropout(self, x: Any, layer: RandomDropout) -> Any:
        rate = tf.constant(layer.rate) if layer.always else tf.where(self.training, layer.rate, 0.0)
        noise = tf.shape(x)
        if layer.maps and x.shape.rank == 4:
            noise = tf.stack([tf.shape(x)[0], 1, 1, x.shape[3]])
        if layer.scaled:
            y = tf.nn.dropout(x, rate=rate, noise_shape=noise)
        else:
            y = x * tf.cast(tf.random.uniform(noise) >= rate, x.dtype)
        return y if layer.factor == 1 else y * tf.where(self.training, 1.0, layer.factor)


def spread(count: int) -> Array:
    """Variances that a batch normalisation may have met: different from map to map."""
    return (0.5 + np.arange(count) % 5 / 4).astype(np.float32)


def constant(values: Sequence[float]) -> Any:
    return tf.constant(values[0] if len(values) == 1 else values, tf.float32)


def product(layer: Conv | Dense | Local, x: Any, kernel: Any) -> Any:
    """The layer without its bias; groups by split and concat, as the first AlexNets in TensorFlow have it."""
    if isinstance(layer, Local):
        zero = tf.zeros([1], x.dtype)
        return tf_nn.local(x, kernel, zero, layer)
    if isinstance(layer, Dense):
        if layer.groups == 1:
            return tf.matmul(x, kernel)
        pairs = zip(tf.split(x, layer.groups, axis=1), tf.split(kernel, layer.groups), strict=True)
        return tf.concat([tf.matmul(part, units, transpose_b=True) for part, units in pairs], axis=1)
    dilation = layer.dilation if isinstance(layer, Dilated) else 1
    edge = reach(layer, x)
    padding: Any = "SAME" if is_same(layer, x) else [[0, 0], *edge, [0, 0]] if any(map(any, edge)) else "VALID"
    pairs = zip(tf.split(x, layer.groups, axis=3), tf.split(kernel, layer.groups, axis=3), strict=True)
    if layer.groups == 1:
        pairs = [(x, kernel)]  # type: ignore[assignment]
    towers = [tf.nn.conv2d(part, filters, layer.stride, padding, dilations=dilation) for part, filters in pairs]
    return towers[0] if len(towers) == 1 else tf.concat(towers, axis=3)


def pose(network: Network, tricks: Tricks, params: Mapping[str, Array]) -> tuple[Any, Any, Any]:
    """(graph, placeholder, output) in the manner of TensorFlow 1; raises Unsupported for what it cannot express.

    The placeholder is (N, H, W, C) float32 with N free. A second one, `is_training`, is False unless fed.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.set_random_seed(0)
        shape = network.input_shape
        axes = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        x = images = tf.compat.v1.placeholder(tf.float32, [None, *axes], name="images")
        training = tf.compat.v1.placeholder_with_default(False, [], name="is_training")
        poser = Poser(params, training)
        for layer in network.layers:
            x = poser.layer(layer, x, tricks.get(layer.name, ()))
        output = tf.identity(x, name="output")
    return graph, images, output
