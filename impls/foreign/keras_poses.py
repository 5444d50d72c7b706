"""Networks as users of Keras write them: the functional API, channels last; or Sequential, or a subclassed model.

`pose` takes any chain of layers, mistaken ones too, and tricks to play on single layers. The audit has to see through all
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

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
    Shape,
    Softmax,
    SpatialLrn,
    borders,
)
from ..interface import Unsupported
from ..keras import (
    AveragePooling,
    GroupedDense,
    LocallyConnected2D,
    MinusInfinityPadding2D,
    SpatialResponseNormalization,
    TensorFlowLRN,
    to_keras,
)
from . import tf_poses
from .graph import Array
from .tf_operations import same
from .tf_poses import CONV_AXES, DENSE_AXES, EPS, Tricks, played, spread, tf32

STYLES = ("functional", "fused", "sequential", "subclassed")


# Layers that Keras has not --------------------------------------------------------------------------------------------


class TrickConv2D(layers.Conv2D):
    """A convolution that plays tricks on its kernel before it uses it."""

    def __init__(self, *args: Any, tricks: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tricks = tuple(tricks)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        inputs = tf32(inputs) if "tf32" in self.tricks else inputs
        kernel = played(tf.convert_to_tensor(kernel), CONV_AXES, self.tricks, self.name)
        return super().convolution_op(inputs, kernel)

    def call(self, inputs: Any) -> Any:
        y = super().call(inputs)
        return y + self.bias if "double-bias" in self.tricks else y


class TrickDense(layers.Dense):
    """A dense layer that plays tricks on its kernel before it uses it."""

    def __init__(self, *args: Any, tricks: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tricks = tuple(tricks)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        inputs = tf32(inputs) if "tf32" in self.tricks else inputs
        kernel = played(tf.convert_to_tensor(self.kernel), DENSE_AXES, self.tricks, self.name)
        y = tf.matmul(inputs, kernel)
        for _ in range(2 if "double-bias" in self.tricks else int(self.use_bias)):
            y = y + self.bias
        return self.activation(y) if self.activation is not None else y


class Step(layers.Layer):
    """A function of tensors as a layer: for what is not in Keras."""

    def __init__(self, function: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


class HandDropout(layers.Layer):
    """Dropout by hand, with the mistakes that are made in it; see mistaken.RandomDropout."""

    def __init__(self, spec: RandomDropout, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x: Any, training: bool = False) -> Any:
        if training or self.spec.always:
            keep = keras.random.uniform(self.noise(x), seed=self.seeds) >= self.spec.rate
            y = x * keras.ops.cast(keep, x.dtype)
            y = y / (1 - self.spec.rate) if self.spec.scaled else y
        else:
            y = x
        return y if training or self.spec.factor == 1 else y * self.spec.factor

    def noise(self, x: Any) -> Any:
        shape = keras.ops.shape(x)
        return (shape[0], 1, 1, shape[3]) if self.spec.maps and len(shape) == 4 else shape


# Layer by layer -------------------------------------------------------------------------------------------------------


def channels_last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def is_same(layer: Conv | Pool, shape: Shape) -> bool:
    """Is it what Keras calls padding="same"? Then a user writes that."""
    if isinstance(layer, Dilated):
        return False
    wanted = tuple(same(n, -(-n // layer.stride), layer.kernel, layer.stride, 1) for n in shape[1:])
    return wanted == borders(layer, shape) and any(map(any, wanted))


def padding_of(layer: Conv | Pool, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    return (layer.padding, layer.padding) if isinstance(layer, Dilated) else borders(layer, shape)


def made(layer: Layer, shape: Shape, tricks: Sequence[str], activation: str | None) -> list[Any]:
    """The Keras layers for one layer of the network on an input of `shape` (C, H, W), in order."""
    dtype = next((f"mixed_{trick}" for trick in tricks if trick in ("float16", "bfloat16")), None)
    found = affine(layer, shape, tricks, activation, dtype) or plain(layer, shape, dtype)
    return [*found, layers.Identity(dtype="float32", name=f"{layer.name}_float32")] if dtype else found


def affine(layer: Layer, shape: Shape, tricks: Sequence[str], activation: str | None, dtype: str | None) -> list[Any]:
    name = layer.name
    own = tuple(trick for trick in tricks if trick not in ("no-bias", "float16", "bfloat16"))
    common: dict[str, Any] = {
        "use_bias": "no-bias" not in tricks,
        "activation": activation,
        "kernel_initializer": "zeros",  # the weights are given
        "dtype": dtype,
        "name": name,
    }
    match layer:
        case Conv():
            before, padding = [], padding_of(layer, shape)
            if not (same := is_same(layer, shape)) and any(map(any, padding)):
                before = [layers.ZeroPadding2D(padding, name=f"{name}_pad")]
            common |= {"padding": "same" if same else "valid", "groups": layer.groups}
            if isinstance(layer, Dilated):
                if layer.stride > 1:
                    raise Unsupported(f"{name}: Keras has no convolution with both a stride and a dilation")
                common |= {"dilation_rate": layer.dilation}
            kind = TrickConv2D if own else layers.Conv2D
            extra = {"tricks": own} if own else {}
            return [*before, kind(layer.channels, layer.kernel, layer.stride, **common, **extra)]
        case Dense() if layer.groups == 1:
            if own:
                return [TrickDense(layer.units, tricks=own, **common)]
            return [layers.Dense(layer.units, **common)]
        case Dense() | Local():
            if tricks:
                raise Unsupported(f"{name}: no {', '.join(tricks)} of a {layer.kind} layer like this in the Keras pose")
            if isinstance(layer, Local):
                found = LocallyConnected2D(layer, name=name)
            else:
                found = GroupedDense(layer.units, layer.groups, name=name)
            return [found, *([layers.Activation(activation, name=f"{name}_{activation}")] if activation else [])]
    return []


# What Keras' own Activation layer knows under the same name.
BY_NAME = ("tanh", "sigmoid", "selu", "gelu", "softplus", "relu6", "silu", "softsign")


def plain(layer: Layer, shape: Shape, dtype: str | None) -> list[Any]:
    options: dict[str, Any] = {"name": layer.name, "dtype": dtype}
    match layer:
        case Relu():
            return [layers.ReLU(**options)]
        case Lrn():
            return [TensorFlowLRN(layer, **options)]
        case SpatialLrn():
            return [SpatialResponseNormalization(layer, **options)]
        case Pool():
            return pooling(layer, shape, options)
        case Flatten():  # channel, row, column
            return [layers.Permute((3, 1, 2), name=f"{layer.name}_order"), layers.Flatten(**options)]
        case Dropout():
            return [layers.Dropout(layer.rate, **options)]
        case Softmax():
            return [layers.Softmax(**options)]
        case Activation():
            return [activation_layer(layer, options)]
        case WindowLrn():
            return [Step(lambda x: tf_poses.window_lrn(x, layer), **options)]
        case ChannelNorm():
            return [layers.BatchNormalization(epsilon=EPS, **options)]
        case AdaptivePool():
            return [adaptive(layer, shape, options)]
        case PaddedMean():
            zeros = layers.ZeroPadding2D(layer.padding, name=f"{layer.name}_pad")
            return [zeros, layers.AveragePooling2D(layer.kernel, layer.stride, **options)]
        case Affine():
            scale, shift = (v[0] if len(v) == 1 else list(v) for v in (layer.scale, layer.shift))
            return [layers.Rescaling(scale, shift, **options)]
        case Reordered():
            if layer.order == "hwc":  # what everybody writes
                return [layers.Flatten(**options)]
            return [Step(tf_poses.ORDERS[layer.order], **options)]
        case LogSoftmax():
            return [layers.Activation("log_softmax", **options)]
        case SoftmaxOver():
            return [layers.Softmax(axis=tf_poses.softmax_axis(layer.axis, len(shape) + 1), **options)]
        case RandomDropout():
            return [dropout(layer, options)]
    raise Unsupported(f"{layer.name}: no {layer.kind} layer in the Keras pose")


def pooling(layer: Pool, shape: Shape, options: dict[str, Any]) -> list[Any]:
    padding = borders(layer, shape)
    if is_same(layer, shape) or not any(map(any, padding)):
        kind = layers.AveragePooling2D if layer.average else layers.MaxPooling2D
        words = "same" if any(map(any, padding)) else "valid"
        return [kind(layer.kernel, layer.stride, padding=words, **options)]
    if layer.average:
        return [AveragePooling(layer, **options)]
    beyond = MinusInfinityPadding2D(padding, name=f"{layer.name}_pad")
    return [beyond, layers.MaxPooling2D(layer.kernel, layer.stride, **options)]


def activation_layer(layer: Activation, options: dict[str, Any]) -> Any:
    if layer.function in BY_NAME:
        return layers.Activation(layer.function, **options)
    if layer.function == "leaky_relu":
        return layers.LeakyReLU(layer.slope, **options)
    if layer.function == "elu":
        return layers.ELU(layer.slope, **options)
    return Step(lambda x: tf_poses.FUNCTIONS[layer.function](x, layer.slope), **options)


def adaptive(layer: AdaptivePool, shape: Shape, options: dict[str, Any]) -> Any:
    if layer.size == 1:
        kind = layers.GlobalAveragePooling2D if layer.average else layers.GlobalMaxPooling2D
        return kind(keepdims=True, **options)
    kind = getattr(layers, f"Adaptive{'Average' if layer.average else 'Max'}Pooling2D", None)  # new in Keras 3.12
    if kind is not None:
        return kind(layer.size, **options)
    return Step(lambda x: tf_poses.adaptive(x, layer), **options)


def dropout(layer: RandomDropout, options: dict[str, Any]) -> Any:
    if layer.always or layer.factor != 1 or not layer.scaled:
        return HandDropout(layer, **options)
    return layers.SpatialDropout2D(layer.rate, **options) if layer.maps else layers.Dropout(layer.rate, **options)


# Models ---------------------------------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    """The layers as attributes, called one after another; nothing is built before the first call."""

    def __init__(self, steps: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = list(steps)

    def call(self, x: Any, training: bool = False) -> Any:
        for step in self.steps:
            x = step(x, training=training) if has_mode(step) else step(x)
        return x


def has_mode(layer: Any) -> bool:
    return isinstance(layer, layers.Dropout | layers.SpatialDropout2D | layers.BatchNormalization | HandDropout)


def steps_of(network: Network, tricks: Tricks, fused: bool) -> list[Any]:
    """The Keras layers; with `fused` a ReLU right behind an affine layer is that layer's activation."""
    steps: list[Any] = []
    skip = False
    for place, (layer, shape, _) in enumerate(network.walk()):
        if skip:
            skip = False
            continue
        follower = network.layers[place + 1] if place + 1 < len(network.layers) else None
        mine = tricks.get(layer.name, ())
        skip = (
            fused and isinstance(layer, Conv | Dense | Local) and type(follower) is Relu and "double-bias" not in mine
        )
        steps += made(layer, shape, mine, "relu" if skip else None)
    return steps


def pose(network: Network, tricks: Tricks, params: Mapping[str, Array], style: str = "functional") -> keras.Model:
    """A keras.Model for batches (N, H, W, C); raises Unsupported for what it cannot express.

    style: "functional"; "fused", the same with activation="relu" within layers; "sequential"; "subclassed", which is called
    once so that its weights can be given.
    """
    if style not in STYLES:
        raise ValueError(f"found style {style!r}, expected one of {', '.join(STYLES)}")
    steps = steps_of(network, tricks, style == "fused")
    shape = channels_last(network.input_shape)
    if style == "sequential":
        model = keras.Sequential([keras.Input(shape), *steps], name="alexnet")
    elif style == "subclassed":
        model = Subclassed(steps, name="alexnet")
        model(np.zeros((1, *shape), dtype=np.float32))
    else:
        x = inputs = keras.Input(shape, name="images")
        for step in steps:
            x = step(x)
        model = keras.Model(inputs, x, name="alexnet")
    fill(steps, params)
    return model


def fill(steps: Sequence[Any], params: Mapping[str, Array]) -> None:
    for step in steps:
        if f"{step.name}.weight" not in params:
            continue
        weight, bias = (params[f"{step.name}.{part}"] for part in ("weight", "bias"))
        if isinstance(step, layers.BatchNormalization):
            variance = spread(len(weight))
            step.gamma.assign(weight * np.sqrt(variance + np.float32(EPS)))
            step.beta.assign(bias)
            step.moving_variance.assign(variance)
        else:
            step.kernel.assign(to_keras(weight))
            if getattr(step, "bias", None) is not None:
                step.bias.assign(to_keras(bias))
