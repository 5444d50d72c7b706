"""AlexNet in plain TensorFlow operations: tf.nn, no Keras layers. Maps are N, H, W, C inside, kernels H, W, I, O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import tensorflow as tf

from alexnet_parity.impls.augmentation import tf_nn as augmentation  # noqa: F401 - what it offers
from alexnet_parity.impls.formats import tf_nn as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.initialisers import tf_nn as initialisers  # noqa: F401 - what it offers
from alexnet_parity.impls.interface import Backward, Unavailable, Unsupported
from alexnet_parity.impls.losses import tf_nn as losses  # noqa: F401 - what it offers
from alexnet_parity.impls.optimisers import tf_nn as optimisers
from alexnet_parity.reference.mistaken import Activation
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

requires = ("tensorflow",)


def maps_of(x: tf.Tensor) -> Shape:
    """(C, H, W) of a tensor (N, H, W, C)."""
    _, height, width, channels = x.shape
    return channels, height, width


def conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, layer: Conv) -> tf.Tensor:  # (N, H, W, I) -> (N, H', W', O)
    """One convolution a group, by split and concat: TensorFlow's own grouped kernels fail in some CPU modes."""
    padding = [[0, 0], *borders(layer, maps_of(x)), [0, 0]]
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


def window_sums(x: tf.Tensor, kernel: int, stride: int) -> tf.Tensor:  # (N, H, W, C) -> (N, H', W', C)
    """The sum over each square window, map by map: a convolution with ones."""
    ones = tf.ones([kernel, kernel, x.shape[3], 1], x.dtype)
    return tf.nn.depthwise_conv2d(x, ones, [1, stride, stride, 1], "VALID")


def spatial_lrn(x: tf.Tensor, layer: SpatialLrn) -> tf.Tensor:  # (N, H, W, C)
    """Within each map, over n x n pixels; TensorFlow has no such operation."""
    radius = layer.n // 2
    squares = tf.pad(tf.square(x), [[0, 0], [radius, radius], [radius, radius], [0, 0]])
    return x / (layer.k + layer.alpha * window_sums(squares, 2 * radius + 1, 1)) ** layer.beta


def pool(x: tf.Tensor, layer: Pool) -> tf.Tensor:  # (N, H, W, C)
    """Padded by hand where windows reach beyond the edge: only pixels that are there count."""
    padding = [[0, 0], *borders(layer, maps_of(x)), [0, 0]]
    if layer.average:
        there = tf.pad(tf.ones([1, *x.shape[1:3], 1], x.dtype), padding)
        total = window_sums(tf.pad(x, padding), layer.kernel, layer.stride)
        return total / window_sums(there, layer.kernel, layer.stride)
    return tf.nn.max_pool2d(tf.pad(x, padding, constant_values=-np.inf), layer.kernel, layer.stride, "VALID")


def local(x: tf.Tensor, kernels: tf.Tensor, bias: tf.Tensor, layer: Local) -> tf.Tensor:  # (N, H, W, C)
    """Kernels of their own at each position: (H', W', K, K, C, O), bias (H', W', O)."""
    x = tf.pad(x, [[0, 0], *borders(layer, maps_of(x)), [0, 0]])
    window, step = [1, layer.kernel, layer.kernel, 1], [1, layer.stride, layer.stride, 1]
    patches = tf.image.extract_patches(x, window, step, [1, 1, 1, 1], "VALID")  # (N, H', W', K K C)
    rows, columns, *_, outputs = kernels.shape
    kernels = tf.reshape(kernels, [rows, columns, -1, outputs])  # (H', W', K K C, O)
    sums = tf.matmul(tf.transpose(patches, [1, 2, 0, 3]), kernels)  # (H', W', N, O)
    return tf.transpose(sums, [2, 0, 1, 3]) + bias


def dense(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, groups: int) -> tf.Tensor:  # (N, inputs) -> (N, units)
    """Weights stay (units, inputs / groups); with groups, each part of the units reads its part of the inputs."""
    pairs = zip(tf.split(x, groups, axis=1), tf.split(weight, groups), strict=True)
    parts = [tf.matmul(inputs, units, transpose_b=True) for inputs, units in pairs]
    return tf.nn.bias_add(tf.concat(parts, axis=1), bias)


def flatten(x: tf.Tensor) -> tf.Tensor:
    """Channel, row, column: the order in which fc6's weights are shared."""
    x = tf.transpose(x, [0, 3, 1, 2])  # (N, C, H, W)
    return tf.reshape(x, [-1, x.shape[1:].num_elements()])  # the batch may be of any size


class AlexNet(tf.Module):
    """The weights as variables, and the layers applied one after another."""

    def __init__(self, network: Network, params: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.network = network
        self.weights = {name: tf.Variable(to_tf(value), name=name) for name, value in params.items()}

    def apply(self, layer: Layer, x: tf.Tensor) -> tf.Tensor:
        weight, bias = self.weights.get(f"{layer.name}.weight"), self.weights.get(f"{layer.name}.bias")
        match layer:
            case Conv():
                return conv(x, weight, bias, layer)
            case Local():
                return local(x, weight, bias, layer)
            case Relu():
                return tf.nn.relu(x)
            case Activation(function="tanh"):
                return tf.tanh(x)
            case Lrn():
                return lrn(x, layer)
            case SpatialLrn():
                return spatial_lrn(x, layer)
            case Pool():
                return pool(x, layer)
            case Flatten():
                return flatten(x)
            case Dense():
                return dense(x, weight, bias, layer.groups)
            case Dropout():
                return tf.identity(x)  # inference; in training tf.nn.dropout(x, layer.rate)
            case Softmax():
                return tf.nn.softmax(x)
        raise Unsupported(f"{layer.name}: no {layer.kind} layer in the TensorFlow implementation")

    def __call__(self, x: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
        for layer in self.network.layers:
            x = self.apply(layer, x)
            yield layer.name, x

    def in_training(self, x: tf.Tensor, masks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Every layer's output up to the logits, which come last; dropout layers multiply by their mask (N, units)."""
        outputs = {}
        for layer in self.network.layers:
            if isinstance(layer, Softmax):  # belongs to the loss
                break
            x = outputs[layer.name] = x * masks[layer.name] if layer.name in masks else self.apply(layer, x)
        return outputs


# Ours to TensorFlow's axes, by number of axes: kernels O, I, H, W -> H, W, I, O; those of a locally connected layer
# O, H', W', I, H, W -> H', W', H, W, I, O, its bias O, H', W' -> H', W', O; all else as it is.
AXES = {3: (1, 2, 0), 4: (2, 3, 1, 0), 6: (1, 2, 4, 5, 3, 0)}


def to_tf(value: np.ndarray) -> np.ndarray:
    return value.transpose(AXES.get(value.ndim, range(value.ndim)))


def from_tf(value: np.ndarray) -> np.ndarray:
    return value.transpose(np.argsort(AXES.get(value.ndim, range(value.ndim))))


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
    build = tf.sysconfig.get_build_info() if "GPU" in device else {}
    libraries = {name: str(build[f"{name}_version"]) for name in ("cuda", "cudnn") if f"{name}_version" in build}
    return {
        **libraries,
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
            for name, y in self.net(tf.constant(to_nhwc(x))):
                yield name, from_nhwc(y.numpy())

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, and nothing recorded on the way."""
        with tf.device(self.device):
            for _, y in self.net(tf.constant(to_nhwc(x))):
                last = y
        return from_nhwc(last.numpy())

    def backward(
        self,
        x: np.ndarray,
        upstream: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> Backward:
        with tf.device(self.device):
            start = None if upstream is None else tf.constant(to_nhwc(upstream))
            right = None if labels is None else tf.constant(labels)
            outputs, found, of_weights, loss = self.training_pass(tf.constant(to_nhwc(x)), tensors(masks), start, right)
        return Backward(
            {name: from_nhwc(output.numpy()) for name, output in outputs.items()},
            {name: from_nhwc(gradient.numpy()) for name, gradient in found.items()}
            | {name: from_tf(gradient.numpy()) for name, gradient in of_weights.items()},
            None if loss is None else loss.numpy().reshape(1),
        )

    def training_pass(
        self, x: tf.Tensor, masks: Mapping[str, tf.Tensor], upstream: tf.Tensor | None, labels: tf.Tensor | None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor], tf.Tensor | None]:
        """Every output up to the logits, the gradient at each of them and at "input", that of each weight, and the loss."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = self.net.in_training(x, masks)
            y = outputs[next(reversed(outputs))]
            loss = None if labels is None else cross_entropy(y, labels)
        around = {"input": x, **outputs}
        found, of_weights = tape.gradient(y if loss is None else loss, (around, self.net.weights), upstream)
        return outputs, found, of_weights, loss

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        with tf.device(self.device):
            _, found = self.descent(tf.constant(to_nhwc(x)), tf.constant(labels), {})
        return {name: from_tf(gradient.numpy()) for name, gradient in found.items()}

    def step(
        self, x: np.ndarray, labels: np.ndarray, rate: float, masks: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """One update by the paper's rule; the loss before it, (1,)."""
        with tf.device(self.device):
            loss, found = self.descent(tf.constant(to_nhwc(x)), tf.constant(labels), tensors(masks))
            self.optimiser.step(found, rate)
        return loss.numpy().reshape(1)

    def descent(
        self, x: tf.Tensor, labels: tf.Tensor, masks: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss, a scalar, and its gradient with respect to every weight; operation by operation, as `backward`.

        As a tf.function it would be faster on small networks and round otherwise: a graph takes oneDNN's LRN and is rearranged.
        """
        with tf.GradientTape() as tape:
            outputs = self.net.in_training(x, masks)
            loss = cross_entropy(outputs[next(reversed(outputs))], labels)
        return loss, tape.gradient(loss, self.net.weights)

    @cached_property
    def optimiser(self) -> optimisers.Paper:
        """Made by the first step: its velocities are as large as the weights."""
        return optimisers.Paper(self.net.weights)

    def velocities(self) -> dict[str, np.ndarray]:
        """What the next step adds 0.9 of, as the paper counts it: w <- w + v. Zeros before the first step."""
        return {name: from_tf(value.numpy()) for name, value in self.optimiser.velocities().items()}

    def restore(self, velocities: Mapping[str, np.ndarray]) -> None:
        with tf.device(self.device):
            self.optimiser.load({name: tf.constant(to_tf(value)) for name, value in velocities.items()})

    def params(self) -> dict[str, np.ndarray]:
        return {name: from_tf(value.numpy()) for name, value in self.net.weights.items()}

    def flags(self) -> dict[str, str]:
        return flags(self.device)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:  # (N, classes), (N,) -> ()
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def tensors(arrays: Mapping[str, np.ndarray] | None) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in (arrays or {}).items()}


def to_nhwc(x: np.ndarray) -> np.ndarray:
    """N, C, H, W to N, H, W, C; vectors as they are."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def from_nhwc(y: np.ndarray) -> np.ndarray:
    """A copy in N, C, H, W; vectors as they are."""
    return np.array(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, order="C")


def dropout(
    x: np.ndarray, upstream: np.ndarray, rate: float, seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """tf.nn.dropout: what it gives and passes back, one call for each step.

    x, upstream and both results are (steps, N, ...), float32. The seed is set once, before the first step.
    """
    outputs, gradients = [], []
    with tf.device(select(device)):
        tf.random.set_seed(seed)
        for inputs, start in zip(x, upstream, strict=True):
            leaf = tf.constant(to_nhwc(inputs))
            with tf.GradientTape() as tape:
                tape.watch(leaf)
                y = tf.nn.dropout(leaf, rate)
            gradient = tape.gradient(y, leaf, tf.constant(to_nhwc(start)))
            outputs.append(from_nhwc(y.numpy()))
            gradients.append(from_nhwc(gradient.numpy()))
    return np.stack(outputs), np.stack(gradients)


def dropout_at_test(x: np.ndarray, rate: float, device: str = "cpu") -> np.ndarray:
    """tf.nn.dropout knows no test: its users leave it out, as `AlexNet` does. (N, ...) -> same."""
    with tf.device(select(device)):
        return from_nhwc(tf.identity(tf.constant(to_nhwc(x))).numpy())


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
