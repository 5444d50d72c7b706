"""AlexNet in Keras 3: the functional API, channels last.

The response normalisation comes in two ways, as in the document that started this project: a thin layer over
`tf.nn.local_response_normalization`, used here, and the sum of shifted squares in the style of Pylearn2 in
`keras.ops`, which runs on any backend and is used by `keras_ops.py`, and on other backends than TensorFlow by
`keras_torch.py` and `keras_jax.py`. What Keras does not hide of a backend is in `keras_backends/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from alexnet_parity.impls import keras_backends

if not keras_backends.running():  # keras_torch.py and keras_jax.py, which take the network from here, have chosen
    keras_backends.choose("tensorflow")

import keras
from keras import layers, ops

from alexnet_parity.impls.augmentation import keras as augmentation  # noqa: F401 - what it offers
from alexnet_parity.impls.formats import keras as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.initialisers import keras as initialisers  # noqa: F401 - what it offers
from alexnet_parity.impls.interface import Backward, Unsupported
from alexnet_parity.impls.losses import keras as losses  # noqa: F401 - what it offers
from alexnet_parity.impls.optimisers import keras as optimisers
from alexnet_parity.reference import spec
from alexnet_parity.reference.mistaken import Activation
from alexnet_parity.reference.spec import (
    Conv,
    Dense,
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

backend = keras_backends.current()


ours = keras.saving.register_keras_serializable("alexnet_parity")  # the layers below may be in a .keras file


class Specified(layers.Layer):
    """A layer that its entry of the network's specification describes, and that is saved with it."""

    entry: type[Layer]

    def __init__(self, spec: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "spec": dataclasses.asdict(self.spec)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        saved = keras.saving.deserialize_keras_object(config["spec"])  # JSON has no tuples
        return super().from_config({**config, "spec": cls.entry(**saved)})


class LocalResponseNormalization(Specified):
    """b_i = a_i / (k + alpha * sum of a_j^2 over n neighbouring maps)^beta, within each of `towers` parts."""

    entry = Lrn

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        towers = ops.split(x, self.spec.towers, axis=3)
        return ops.concatenate([self.normalise(part, self.spec) for part in towers], axis=3)

    @staticmethod
    def normalise(x: Any, spec: Lrn) -> Any:
        raise NotImplementedError


@ours
class TensorFlowLRN(LocalResponseNormalization):
    """Over tf.nn, which takes a radius, n // 2, and leaves alpha undivided, as the paper does."""

    @staticmethod
    def normalise(x: Any, spec: Lrn) -> Any:
        import tensorflow as tf

        return tf.nn.local_response_normalization(x, spec.n // 2, bias=spec.k, alpha=spec.alpha, beta=spec.beta)


@ours
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


@ours
class SpatialResponseNormalization(Specified):
    """Response normalisation within each map, over n x n pixels; alpha multiplies the sum of squares."""

    entry = SpatialLrn

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        radius = self.spec.n // 2
        squares = ops.pad(ops.square(x), [[0, 0], [radius, radius], [radius, radius], [0, 0]])
        total = window_sums(squares, 2 * radius + 1, 1)
        return x / ops.power(self.spec.k + self.spec.alpha * total, self.spec.beta)


@ours
class MinusInfinityPadding2D(layers.Layer):
    """-inf where max-pooling windows reach beyond the edge."""

    def __init__(self, padding: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        return ops.pad(x, [(0, 0), *self.padding, (0, 0)], constant_values=-np.inf)


@ours
class AveragePooling(Specified):
    """The mean over the pixels that are there; "same" of Keras counts so too, but starts its windows elsewhere."""

    entry = Pool

    def call(self, x: Any) -> Any:  # (N, H, W, C)
        padding = [(0, 0), *borders(self.spec, maps_of(x)), (0, 0)]
        there = ops.ones((1, *x.shape[1:3], 1), x.dtype)
        total, count = (window_sums(ops.pad(v, padding), self.spec.kernel, self.spec.stride) for v in (x, there))
        return total / count


@ours
class LocallyConnected2D(Specified):
    """A convolution with kernels of its own at each position, which Keras 3 no longer has.

    kernel (H', W', K, K, C, O), bias (H', W', O).
    """

    entry = Local

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


@ours
class Conv2D(layers.Conv2D):
    """Keras' own; its grouped convolutions go through the backend's file, where TensorFlow would compile each call anew."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:  # (N, H, W, I), (K, K, I / groups, O)
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        how = (self.strides, self.padding, self.dilation_rate, self.data_format)
        return backend.grouped(super().convolution_op, inputs, kernel, how)


@ours
class Dropout(layers.Dropout):
    """Dropout that multiplies by `factors` where they are given, so that frameworks can share a mask."""

    def call(self, inputs: Any, factors: Any = None, training: bool = False) -> Any:  # (N, units), (N, units)
        return super().call(inputs, training) if factors is None else inputs * factors


@ours
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
    """The network as a functional model with one output for each layer, by name.

    Its inputs are "input" and, for each dropout layer, NAME_mask: what to multiply by instead of a mask of its own, or None.
    """
    if len(network.input_shape) == 3:
        channels, height, width = network.input_shape
        x = keras.Input((height, width, channels), name="input")
    else:
        x = keras.Input(network.input_shape, name="input")
    inputs, outputs = {"input": x}, {}
    for layer in network.layers:
        if isinstance(layer, spec.Dropout):
            mask = inputs[mask_of(layer.name)] = keras.Input(x.shape[1:], name=mask_of(layer.name), optional=True)
            x = Dropout(layer.rate, name=layer.name)(x, mask)
        else:
            x = add(layer, x, lrn)
        outputs[layer.name] = x
    return keras.Model(inputs, outputs, name="alexnet")


def mask_of(dropout: str) -> str:
    """The name of the input that gives a dropout layer its mask."""
    return f"{dropout}_mask"


def add(layer: Layer, x: Any, lrn: type[LocalResponseNormalization]) -> Any:
    name = layer.name
    match layer:
        case Conv():
            if any(map(sum, padding := borders(layer, maps_of(x)))):
                x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
            return Conv2D(
                layer.channels,
                layer.kernel,
                layer.stride,
                groups=layer.groups,
                kernel_initializer="zeros",  # the weights are given
                name=name,
            )(x)
        case Relu():
            return layers.ReLU(name=name)(x)
        case Activation(function="tanh"):
            return layers.Activation("tanh", name=name)(x)
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
        case Softmax():
            return layers.Softmax(name=name)(x)
    raise Unsupported(f"{name}: no {layer.kind} layer in the Keras implementation")


# Ours to Keras' axes, by number of axes: kernels O, I, H, W -> H, W, I, O; dense (out, in) -> (in, out); those of a
# locally connected layer O, H', W', I, H, W -> H', W', H, W, I, O, its bias O, H', W' -> H', W', O.
AXES = {1: (0,), 2: (1, 0), 3: (1, 2, 0), 4: (2, 3, 1, 0), 6: (1, 2, 4, 5, 3, 0)}


def to_keras(value: np.ndarray) -> Any:
    return ops.transpose(value, AXES[value.ndim])


def from_keras(variable: Any) -> np.ndarray:
    """In our layout, and no view: PyTorch and JAX hand out the memory of the variable itself."""
    back = tuple(int(axis) for axis in np.argsort(AXES[len(variable.shape)]))
    found = ops.convert_to_numpy(ops.transpose(variable, back))
    return found if found.flags.owndata else found.copy()


class Model:
    def __init__(
        self, network: Network, params: Mapping[str, np.ndarray], device: str, lrn: type[LocalResponseNormalization]
    ) -> None:
        self.network, self.device = network, backend.select(device)
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        with keras.device(self.device):
            self.hold(alexnet(network, lrn))
            for name, variable in self.variables.items():
                variable.assign(to_keras(params[name]))

    def hold(self, net: keras.Model) -> None:
        """Run this network, whose layers and weights go by our names."""
        self.net, self.layers = net, {layer.name: layer for layer in net.layers}
        self.variables: dict[str, keras.Variable] = {}
        for layer in net.layers:
            if layer.weights:
                self.variables |= {f"{layer.name}.weight": layer.kernel, f"{layer.name}.bias": layer.bias}

    def __call__(self, x: Any, masks: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every layer's output, channels last. Without a mask of its own (N, units) a dropout layer is the identity."""
        given = {mask_of(name): ops.convert_to_tensor(mask) for name, mask in (masks or {}).items()}
        return self.net({**dict.fromkeys(self.net.input, None), "input": x, **given}, training=False)

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with keras.device(self.device):
            outputs = self(to_channels_last(x))
        return {name: from_channels_last(ops.convert_to_numpy(y)) for name, y in outputs.items()}

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, by a model that gives nothing else."""
        with keras.device(self.device):
            given = {**dict.fromkeys(self.net.input, None), "input": to_channels_last(x)}
            return from_channels_last(ops.convert_to_numpy(self.last(given, training=False)))

    @cached_property
    def last(self) -> keras.Model:
        """The same layers, with one output."""
        return keras.Model(self.net.input, self.net.output[self.network.layers[-1].name])

    def apply(self, name: str, x: Any, mask: Any = None) -> Any:
        """One layer alone, with the border or the turn that comes before it: (N, H, W, C) or (N, units)."""
        for before in (f"{name}_pad", f"{name}_order"):
            if before in self.layers:
                x = self.layers[before](x)
        return self.layers[name](x) if mask is None else self.layers[name](x, mask)

    def backward(
        self,
        x: np.ndarray,
        upstream: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> Backward:
        with keras.device(self.device):
            start = None if upstream is None else ops.convert_to_tensor(to_channels_last(upstream))
            leaf = ops.convert_to_tensor(to_channels_last(x))
            outputs, found, of_weights, loss = self.training_pass(leaf, masks, start, labels)
        return Backward(
            {name: from_channels_last(ops.convert_to_numpy(output)) for name, output in outputs.items()},
            {name: from_channels_last(ops.convert_to_numpy(gradient)) for name, gradient in found.items()}
            | {name: from_keras(gradient) for name, gradient in of_weights.items()},
            None if loss is None else ops.convert_to_numpy(loss).reshape(1),
        )

    def training_pass(self, x: Any, masks: Mapping[str, Any] | None, upstream: Any, labels: Any) -> Any:
        """Every output up to the logits, the gradient at each of them and at "input", that of each weight, and the loss."""
        return backend.backward(self, x, masks, upstream, labels)

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        _, found = self.compiled(*self.given(x, labels))
        return {name: from_keras(gradient) for name, gradient in found.items()}

    def step(
        self, x: np.ndarray, labels: np.ndarray, rate: float, masks: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """One update by the paper's rule; the loss before it, (1,)."""
        loss, found = self.compiled(*self.given(x, labels, masks))
        with keras.device(self.device):
            self.optimiser.step(found, rate)
        return ops.convert_to_numpy(loss).reshape(1)

    def given(self, x: np.ndarray, labels: np.ndarray, masks: Mapping[str, np.ndarray] | None = None) -> Any:
        """What `descent` takes, as tensors."""
        with keras.device(self.device):
            tensors = {name: ops.convert_to_tensor(mask) for name, mask in (masks or {}).items()}
            return ops.convert_to_tensor(to_channels_last(x)), ops.convert_to_tensor(labels), tensors

    def descent(self, x: Any, labels: Any, masks: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The loss, a scalar, and its gradient with respect to every weight."""

        def loss() -> Any:
            outputs = self.up_to_logits(x, masks)
            return self.loss(labels, outputs[next(reversed(outputs))])

        with keras.device(self.device):
            value, gradients = backend.descent(loss, list(self.variables.values()))
        return value, dict(zip(self.variables, gradients, strict=True))

    @cached_property
    def compiled(self) -> Any:
        """`descent` as `fit` would run it: on TensorFlow a graph.

        A graph rounds otherwise than single operations do (its LRN is oneDNN's), and the same from run to run.
        """
        return backend.compiled(self.descent)

    def up_to_logits(self, x: Any, masks: Mapping[str, Any] | None) -> dict[str, Any]:
        """Every layer's output before a closing softmax, which belongs to the loss; the logits come last."""
        outputs = self(x, masks)
        return {name: outputs[name] for name in self.names_up_to_logits()}

    def names_up_to_logits(self) -> list[str]:
        last = self.network.layers[-1]
        return [layer.name for layer in self.network.layers if layer is not last or not isinstance(last, Softmax)]

    @cached_property
    def optimiser(self) -> optimisers.Paper:
        """Made by the first step: its velocities are as large as the weights."""
        return optimisers.Paper(self.variables)

    def velocities(self) -> dict[str, np.ndarray]:
        """What the next step adds 0.9 of, as the paper counts it: w <- w + v. Zeros before the first step."""
        return {name: from_keras(value) for name, value in self.optimiser.velocities().items()}

    def restore(self, velocities: Mapping[str, np.ndarray]) -> None:
        with keras.device(self.device):
            self.optimiser.load({name: to_keras(value) for name, value in velocities.items()})

    def params(self) -> dict[str, np.ndarray]:
        return {name: from_keras(variable.value) for name, variable in self.variables.items()}

    def flags(self) -> dict[str, str]:
        return {"backend": keras.backend.backend(), **backend.flags(self.device)}


def to_channels_last(x: np.ndarray) -> np.ndarray:
    """N, C, H, W to N, H, W, C; vectors as they are."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def from_channels_last(y: np.ndarray) -> np.ndarray:
    """A copy in N, C, H, W; vectors as they are."""
    return np.array(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, order="C")


def dropout(
    x: np.ndarray, upstream: np.ndarray, rate: float, seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """keras.layers.Dropout in training: what it gives and passes back, one call for each step.

    x, upstream and both results are (steps, N, ...), float32. The layer is given the seed, once.
    """
    outputs, gradients = [], []
    with keras.device(backend.select(device)):
        layer = layers.Dropout(rate, seed=seed)
        for inputs, start in zip(x, upstream, strict=True):
            leaf, above = (ops.convert_to_tensor(to_channels_last(values)) for values in (inputs, start))
            y, gradient = backend.pull_back(lambda leaf: layer(leaf, training=True), leaf, above)
            outputs.append(from_channels_last(ops.convert_to_numpy(y)))
            gradients.append(from_channels_last(ops.convert_to_numpy(gradient)))
    return np.stack(outputs), np.stack(gradients)


def dropout_at_test(x: np.ndarray, rate: float, device: str = "cpu") -> np.ndarray:
    """keras.layers.Dropout at inference: (N, ...) -> same."""
    with keras.device(backend.select(device)):
        y = layers.Dropout(rate)(to_channels_last(x), training=False)
        return from_channels_last(ops.convert_to_numpy(y))


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    keras_backends.require("tensorflow")
    return Model(network, params, device, TensorFlowLRN)
