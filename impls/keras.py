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
    Lrn,
    Network,
    Pool,
    Relu,
    Softmax,
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


class CeilPad(layers.Layer):
    """-inf at the right and bottom, which completes the pooling windows that the edge cuts."""

    def __init__(self, pool: Pool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool = pool

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        _, rows, columns = self.pool.output((x.shape[3], x.shape[1], x.shape[2]))
        reach = [(count - 1) * self.pool.stride + self.pool.kernel for count in (rows, columns)]
        below, right = (max(0, r - size) for r, size in zip(reach, x.shape[1:3], strict=True))
        return ops.pad(x, [[0, 0], [0, below], [0, right], [0, 0]], constant_values=-np.inf)


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
            if sum(layer.padding):
                x = layers.ZeroPadding2D((layer.padding, layer.padding), name=f"{name}_pad")(x)
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
        case Pool():
            x = CeilPad(layer, name=f"{name}_pad")(x) if layer.ceil else x
            return layers.MaxPooling2D(layer.kernel, layer.stride, name=name)(x)
        case Flatten():  # channel, row, column: the order in which fc6's weights are shared
            return layers.Flatten(name=name)(layers.Permute((3, 1, 2), name=f"{name}_order")(x))
        case Dense():
            return layers.Dense(layer.units, kernel_initializer="zeros", name=name)(x)
        case Dropout():
            return layers.Dropout(layer.rate, name=name)(x)
        case Softmax():
            return layers.Softmax(name=name)(x)
    raise Unsupported(f"{name}: no {layer.kind} layer in the Keras implementation")


def to_keras(weight: np.ndarray) -> Any:
    """Kernels O, I, H, W -> H, W, I, O; dense (out, in) -> (in, out)."""
    return ops.transpose(weight, (2, 3, 1, 0) if weight.ndim == 4 else (1, 0))


def from_keras(kernel: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.transpose(kernel, (3, 2, 0, 1) if len(kernel.shape) == 4 else (1, 0)))


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
                    layer.bias.assign(params[f"{layer.name}.bias"])

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with keras.device(self.device):
            outputs = self.net(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x, training=False)
        return {name: from_channels_last(ops.convert_to_numpy(y)) for name, y in outputs.items()}

    def params(self) -> dict[str, np.ndarray]:
        found = {}
        for layer in self.net.layers:
            for variable in layer.weights:
                if variable.name == "kernel":
                    found[f"{layer.name}.weight"] = from_keras(variable.value)
                else:
                    found[f"{layer.name}.{variable.name}"] = np.asarray(variable)
        return found

    def flags(self) -> dict[str, str]:
        from alexnet_parity.impls import tf_nn

        return {"backend": keras.backend.backend(), **tf_nn.flags(self.device)}


def from_channels_last(y: np.ndarray) -> np.ndarray:
    """A copy in N, C, H, W; vectors as they are."""
    return np.array(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, order="C")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device, TensorFlowLRN)
