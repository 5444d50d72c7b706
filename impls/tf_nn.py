"""AlexNet in plain TensorFlow operations: tf.nn, no Keras layers. Maps are N, H, W, C inside, kernels H, W, I, O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from alexnet_parity.impls.interface import Unavailable, Unsupported
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

requires = ("tensorflow",)


def conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, layer: Conv) -> tf.Tensor:  # (N, H, W, I) -> (N, H', W', O)
    """One convolution a group, by split and concat: TensorFlow's own grouped kernels fail in some CPU modes."""
    padding = [[0, 0], list(layer.padding), list(layer.padding), [0, 0]]
    pairs = zip(tf.split(x, layer.groups, axis=3), tf.split(kernel, layer.groups, axis=3), strict=True)
    towers = [tf.nn.conv2d(maps, part, layer.stride, padding) for maps, part in pairs]
    return tf.nn.bias_add(tf.concat(towers, axis=3), bias)


def lrn(x: tf.Tensor, layer: Lrn) -> tf.Tensor:  # (N, H, W, C)
    """TensorFlow takes a radius, n // 2, and leaves alpha undivided, as the paper does."""
    towers = [
        tf.nn.local_response_normalization(part, layer.n // 2, bias=layer.k, alpha=layer.alpha, beta=layer.beta)
        for part in tf.split(x, layer.towers, axis=3)
    ]
    return tf.concat(towers, axis=3)


def pool(x: tf.Tensor, layer: Pool) -> tf.Tensor:  # (N, H, W, C)
    if layer.ceil:  # -inf at the right and bottom completes the windows that the edge cuts
        shape = tuple(x.shape)
        _, *out = layer.output((shape[3], shape[1], shape[2]))
        reach = [(count - 1) * layer.stride + layer.kernel for count in out]
        after = [max(0, r - size) for r, size in zip(reach, shape[1:3], strict=True)]
        x = tf.pad(x, [[0, 0], [0, after[0]], [0, after[1]], [0, 0]], constant_values=-np.inf)
    return tf.nn.max_pool2d(x, layer.kernel, layer.stride, "VALID")


def flatten(x: tf.Tensor) -> tf.Tensor:
    """Channel, row, column: the order in which fc6's weights are shared."""
    x = tf.transpose(x, [0, 3, 1, 2])  # (N, C, H, W)
    return tf.reshape(x, [x.shape[0], -1])


class AlexNet(tf.Module):
    """The weights as variables, and the layers applied one after another."""

    def __init__(self, network: Network, params: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.network = network
        self.weights = {name: tf.Variable(to_tf(value), name=name) for name, value in params.items()}

    def apply(self, layer: Layer, x: tf.Tensor) -> tf.Tensor:
        match layer:
            case Conv():
                return conv(x, self.weights[f"{layer.name}.weight"], self.weights[f"{layer.name}.bias"], layer)
            case Relu():
                return tf.nn.relu(x)
            case Lrn():
                return lrn(x, layer)
            case Pool():
                return pool(x, layer)
            case Flatten():
                return flatten(x)
            case Dense():  # weights stay (out, in)
                product = tf.matmul(x, self.weights[f"{layer.name}.weight"], transpose_b=True)
                return tf.nn.bias_add(product, self.weights[f"{layer.name}.bias"])
            case Dropout():
                return tf.identity(x)  # inference; in training tf.nn.dropout(x, layer.rate)
            case Softmax():
                return tf.nn.softmax(x)
        raise Unsupported(f"{layer.name}: no {layer.kind} layer in the TensorFlow implementation")

    def __call__(self, x: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
        for layer in self.network.layers:
            x = self.apply(layer, x)
            yield layer.name, x


def to_tf(value: np.ndarray) -> np.ndarray:
    """Kernels O, I, H, W -> H, W, I, O; all else as it is."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def from_tf(value: np.ndarray) -> np.ndarray:
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value


def select(device: str) -> str:
    """The device to run on, after switching TF32 and non-deterministic kernels off."""
    tf.config.experimental.enable_tensor_float_32_execution(False)  # on by default
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cuda" and not gpus:
        raise Unavailable("TensorFlow sees no GPU here; run with --device cpu, or pip install 'tensorflow[and-cuda]'")
    return "/GPU:0" if device == "cuda" else "/CPU:0"


def flags(device: str) -> dict[str, str]:
    return {
        "device": device,
        "threads": str(tf.config.threading.get_intra_op_parallelism_threads() or "all"),
        "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
        "deterministic": "requested",  # TensorFlow has no way to ask
    }


class Model:
    def __init__(self, network: Network, params: Mapping[str, np.ndarray], device: str) -> None:
        self.device = select(device)
        with tf.device(self.device):
            self.net = AlexNet(network, params)

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with tf.device(self.device):
            maps = tf.constant(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)  # (N, H, W, C)
            for name, y in self.net(maps):
                yield name, from_nhwc(y.numpy())

    def params(self) -> dict[str, np.ndarray]:
        return {name: from_tf(value.numpy()) for name, value in self.net.weights.items()}

    def flags(self) -> dict[str, str]:
        return flags(self.device)


def from_nhwc(y: np.ndarray) -> np.ndarray:
    """A copy in N, C, H, W; vectors as they are."""
    return np.array(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, order="C")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
