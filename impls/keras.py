"""AlexNet in Keras 3: the functional API, channels last.

The response normalisation comes in two ways, as in the document that started this project: a thin layer over
`tf.nn.local_response_normalization`, used here, and the sum of shifted squares in the style of Pylearn2 in
`keras.ops`, which runs on any backend and is used by `keras_ops.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference.spec import (
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
    Shape,
    Softmax,
    SpatialLrn,
    borders,
)

requires = ("keras", "tensorflow")


class LocalResponseNormalization(layers.Layer):
    """b_i = a_i / (k + alpha * sum of a_j^2 over n neighbouring maps)^beta, within each of `towers` parts."""

    def __init__(self, spec: Lrn, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        towers = ops.split(x, self.spec.towers, axis=3)
        return ops.concatenate([self.normalise(part, self.spec) for part in towers], axis=3)

    @staticmethod
    def normalise(x: Any, spec: Lrn) -> Any:
        raise NotImplementedError


class TensorFlowLRN(LocalResponseNormalization):
    """Over tf.nn, which takes a radius, n // 2, and leaves alpha undivided, as the paper does."""

    @staticmethod
    def normalise(x: Any, spec: Lrn) -> Any:
        import tensorflow as tf

        return tf.nn.local_response_normalization(x, spec.n // 2, bias=spec.k, alpha=spec.alpha, beta=spec.beta)


class ShiftedSquaresLRN(LocalResponseNormalization):
    """The squares, padded with zero maps at both ends, shifted by -n//2 .. n//2 and summed."""

    @staticmethod
    def normalise(x: Any, spec: Lrn) -> Any:
        half, maps = spec.n // 2, x.shape[3]
        squares = ops.pad(ops.square(x), [[0, 0], [0, 0], [0, 0], [half, half]])
        total = sum(squares[..., shift : shift + maps] for shift in range(2 * half + 1))
        return x / ops.power(spec.k + spec.alpha * total, spec.beta)


def maps_of(x: Any) -> Shape:
    """(C, H, W) of a tensor (N, H, W, C)."""
    _, height, width, channels = x.shape
    return channels, height, width


def window_sums(x: Any, kernel: int, stride: int) -> Any:  # (N, H, W, C) -> (N, H', W', C)
    """The sum over each square window, map by map: a convolution with ones."""
    ones = ops.ones((kernel, kernel, x.shape[3], 1), x.dtype)
    return ops.depthwise_conv(x, ones, stride, "valid")


class SpatialResponseNormalization(layers.Layer):
    """Response normalisation within each map, over n x n pixels; alpha multiplies the sum of squares."""

    def __init__(self, spec: SpatialLrn, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        radius = self.spec.n // 2
        squares = ops.pad(ops.square(x), [[0, 0], [radius, radius], [radius, radius], [0, 0]])
        total = window_sums(squares, 2 * radius + 1, 1)
        return x / ops.power(self.spec.k + self.spec.alpha * total, self.spec.beta)


class MinusInfinityPadding2D(layers.Layer):
    """-inf where max-pooling windows reach beyond the edge."""

    def __init__(self, padding: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        return ops.pad(x, [(0, 0), *self.padding, (0, 0)], constant_values=-np.inf)


class AveragePooling(layers.Layer):
    """The mean over the pixels that are there; "same" of Keras counts so too, but starts its windows elsewhere."""

    def __init__(self, pool: Pool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool = pool

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        padding = [(0, 0), *borders(self.pool, maps_of(x)), (0, 0)]
        there = ops.ones((1, *x.shape[1:3], 1), x.dtype)
        total, count = (window_sums(ops.pad(v, padding), self.pool.kernel, self.pool.stride) for v in (x, there))
        return total / count


class LocallyConnected2D(layers.Layer):
    """A convolution with kernels of its own at each position, which Keras 3 no longer has.

    kernel (H', W', K, K, C, O), bias (H', W', O).
    """

    def __init__(self, spec: Local, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def build(self, shape: Any) -> None:  # (N, H, W, C)
        _, height, width, channels = shape
        self.padding = borders(self.spec, (channels, height, width))
        outputs, rows, columns = self.spec.output((channels, height, width))
        k = self.spec.kernel
        self.kernel = self.add_weight(
            shape=(rows, columns, k, k, channels, outputs), initializer="zeros", name="kernel"
        )
        self.bias = self.add_weight(shape=(rows, columns, outputs), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        rows, columns, k, _, channels, outputs = self.kernel.shape
        x = ops.pad(x, [(0, 0), *self.padding, (0, 0)])
        patches = ops.image.extract_patches(x, (k, k), self.spec.stride)  # (N, H', W', K K C)
        kernel = ops.reshape(self.kernel, (rows, columns, k * k * channels, outputs))
        sums = ops.matmul(ops.transpose(patches, (1, 2, 0, 3)), kernel)  # (H', W', N, O)
        return ops.transpose(sums, (2, 0, 1, 3)) + self.bias


class GroupedDense(layers.Layer):
    """Equal, consecutive parts of the units, each reading only its own part of the inputs: kernel (inputs / groups, units)."""

    def __init__(self, units: int, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.groups = units, groups

    def build(self, shape: Any) -> None:  # (N, inputs)
        self.kernel = self.add_weight(shape=(shape[1] // self.groups, self.units), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:  # (N, inputs)
        pairs = zip(ops.split(x, self.groups, axis=1), ops.split(self.kernel, self.groups, axis=1), strict=True)
        return ops.concatenate([ops.matmul(inputs, kernel) for inputs, kernel in pairs], axis=1) + self.bias


def alexnet(network: Network, lrn: type[LocalResponseNormalization]) -> keras.Model:
    """The network as a functional model with one output for each layer, by name."""
    if len(network.input_shape) == 3:
        channels, height, width = network.input_shape
        x = inputs = keras.Input((height, width, channels), name="input")
    else:
        x = inputs = keras.Input(network.input_shape, name="input")
    outputs = {}
    for layer in network.layers:
        x = outputs[layer.name] = add(layer, x, lrn)
    return keras.Model(inputs, outputs, name="alexnet")


def add(layer: Layer, x: Any, lrn: type[LocalResponseNormalization]) -> Any:
    name = layer.name
    match layer:
        case Conv():
            if any(map(sum, padding := borders(layer, maps_of(x)))):
                x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
            return layers.Conv2D(
                layer.channels,
                layer.kernel,
                layer.stride,
                groups=layer.groups,
                kernel_initializer="zeros",  # the weights are given
                name=name,
            )(x)
        case Relu():
            return layers.ReLU(name=name)(x)
        case Lrn():
            return lrn(layer, name=name)(x)
        case SpatialLrn():
            return SpatialResponseNormalization(layer, name=name)(x)
        case Pool():
            if layer.average:
                return AveragePooling(layer, name=name)(x)
            if any(map(sum, padding := borders(layer, maps_of(x)))):
                x = MinusInfinityPadding2D(padding, name=f"{name}_pad")(x)
            return layers.MaxPooling2D(layer.kernel, layer.stride, name=name)(x)
        case Local():
            return LocallyConnected2D(layer, name=name)(x)
        case Flatten():  # channel, row, column: the order in which fc6's weights are shared
            return layers.Flatten(name=name)(layers.Permute((3, 1, 2), name=f"{name}_order")(x))
        case Dense():
            if layer.groups > 1:
                return GroupedDense(layer.units, layer.groups, name=name)(x)
            return layers.Dense(layer.units, kernel_initializer="zeros", name=name)(x)
        case Dropout():
            return layers.Dropout(layer.rate, name=name)(x)
        case Softmax():
            return layers.Softmax(name=name)(x)
    raise Unsupported(f"{name}: no {layer.kind} layer in the Keras implementation")


# Ours to Keras' axes, by number of axes: kernels O, I, H, W -> H, W, I, O; dense (out, in) -> (in, out); those of a
# locally connected layer O, H', W', I, H, W -> H', W', H, W, I, O, its bias O, H', W' -> H', W', O.
AXES = {1: (0,), 2: (1, 0), 3: (1, 2, 0), 4: (2, 3, 1, 0), 6: (1, 2, 4, 5, 3, 0)}


def to_keras(value: np.ndarray) -> Any:
    return ops.transpose(value, AXES[value.ndim])


def from_keras(variable: Any) -> np.ndarray:
    back = tuple(int(axis) for axis in np.argsort(AXES[len(variable.shape)]))
    return ops.convert_to_numpy(ops.transpose(variable, back))


def select(device: str) -> str:
    """The device to run on, after switching TF32 and non-deterministic kernels off in the backend."""
    if keras.backend.backend() != "tensorflow":
        raise Unsupported(f"device selection knows the TensorFlow backend only, found {keras.backend.backend()}")
    from alexnet_parity.impls import tf_nn

    return "gpu:0" if "GPU" in tf_nn.select(device) else "cpu:0"


class Model:
    def __init__(
        self, network: Network, params: Mapping[str, np.ndarray], device: str, lrn: type[LocalResponseNormalization]
    ) -> None:
        self.device = select(device)
        with keras.device(self.device):
            self.net = alexnet(network, lrn)
            for layer in self.net.layers:
                if layer.weights:
                    layer.kernel.assign(to_keras(params[f"{layer.name}.weight"]))
                    layer.bias.assign(to_keras(params[f"{layer.name}.bias"]))

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with keras.device(self.device):
            outputs = self.net(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x, training=False)
        return {name: from_channels_last(ops.convert_to_numpy(y)) for name, y in outputs.items()}

    def params(self) -> dict[str, np.ndarray]:
        found = {}
        for layer in self.net.layers:
            for variable in layer.weights:
                name = "weight" if variable.name == "kernel" else variable.name
                found[f"{layer.name}.{name}"] = from_keras(variable.value)
        return found

    def flags(self) -> dict[str, str]:
        from alexnet_parity.impls import tf_nn

        return {"backend": keras.backend.backend(), **tf_nn.flags(self.device)}


def from_channels_last(y: np.ndarray) -> np.ndarray:
    """A copy in N, C, H, W; vectors as they are."""
    return np.array(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, order="C")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device, TensorFlowLRN)
