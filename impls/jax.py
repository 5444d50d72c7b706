"""AlexNet in JAX: pure functions of (params, x), images N, C, H, W and kernels O, I, H, W, as the weights are shared.

XLA arranges axes for itself, so that JAX's own default for `lax.conv_general_dilated`, channels first, is as good as any
other. Every product says `Precision.HIGHEST`: an accelerator's default is TF32 or bfloat16.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax, nn
from jax import numpy as jnp

from alexnet_parity.impls.formats import jax as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.initialisers import jax as initialisers  # noqa: F401 - what it offers
from alexnet_parity.impls.interface import Backward, Unavailable, Unsupported
from alexnet_parity.impls.losses import jax as losses
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
from alexnet_parity.reference.update_rules import DECAY, MOMENTUM

requires = ("jax",)

Arrays = dict[str, Array]
HIGHEST = lax.Precision.HIGHEST


# Layers ---------------------------------------------------------------------------------------------------------------


def edges(layer: Conv | Local | Pool, x: Array) -> list[tuple[int, int]]:
    """How far the windows reach beyond the edge: ((above, below), (left, right))."""
    _, channels, height, width = x.shape
    return list(borders(layer, (channels, height, width)))


def conv(layer: Conv, w: Array, x: Array) -> Array:  # (O, I / groups, K, K), (N, I, H, W) -> (N, O, H', W')
    strides = (layer.stride, layer.stride)
    return lax.conv_general_dilated(x, w, strides, edges(layer, x), feature_group_count=layer.groups, precision=HIGHEST)


def dense(layer: Dense, w: Array, x: Array) -> Array:  # (units, inputs / groups), (N, inputs) -> (N, units)
    """With groups, each part of the units reads its own part of the inputs."""
    pairs = zip(jnp.split(x, layer.groups, axis=1), jnp.split(w, layer.groups), strict=True)
    parts = [jnp.einsum("ni,oi->no", inputs, units, precision=HIGHEST) for inputs, units in pairs]
    return jnp.concatenate(parts, axis=1) if layer.groups > 1 else parts[0]


def local(layer: Local, w: Array, x: Array) -> Array:  # (O, H', W', C, K, K), (N, C, H, W) -> (N, O, H', W')
    """Kernels of their own at each position: one product with w for every tap, its inputs a strided slice.

    `lax.conv_general_dilated_local` would take the patches out by a convolution with ones and zeros, and an infinity
    times zero is NaN.
    """
    x = jnp.pad(x, [(0, 0), (0, 0), *edges(layer, x)])
    rows, columns = ((count - 1) * layer.stride + 1 for count in w.shape[1:3])
    taps = [
        x[:, :, i : i + rows : layer.stride, j : j + columns : layer.stride]
        for i in range(layer.kernel)
        for j in range(layer.kernel)
    ]
    patches = jnp.stack(taps, axis=2)  # (N, C, K K, H', W')
    kernels = w.reshape(*w.shape[:4], -1)  # (O, H', W', C, K K)
    return jnp.einsum("ncthw,ohwct->nohw", patches, kernels, precision=HIGHEST)


def sums(x: Array, window: Shape, padding: list[tuple[int, int]], strides: Shape = (1, 1, 1, 1)) -> Array:
    """The sum over each window; what lies beyond the edge is zero."""
    return lax.reduce_window(x, 0.0, lax.add, window, strides, padding)


def lrn(layer: Lrn, x: Array) -> Array:  # (N, C, H, W)
    """Over n neighbouring maps, which towers keep to themselves. JAX has no such function."""
    radius = layer.n // 2
    split = x.reshape(x.shape[0] * layer.towers, -1, *x.shape[2:])  # (N towers, C / towers, H, W)
    total = sums(split * split, (1, 2 * radius + 1, 1, 1), [(0, 0), (radius, radius), (0, 0), (0, 0)])
    return x / (layer.k + layer.alpha * total.reshape(x.shape)) ** layer.beta


def spatial_lrn(layer: SpatialLrn, x: Array) -> Array:  # (N, C, H, W)
    """Within each map, over n x n pixels."""
    radius = layer.n // 2
    size = 2 * radius + 1
    total = sums(x * x, (1, 1, size, size), [(0, 0), (0, 0), (radius, radius), (radius, radius)])
    return x / (layer.k + layer.alpha * total) ** layer.beta


def pool(layer: Pool, x: Array) -> Array:  # (N, C, H, W) -> (N, C, H', W')
    """Only pixels that are there count, for the maximum and for the mean."""
    window, strides = (1, 1, layer.kernel, layer.kernel), (1, 1, layer.stride, layer.stride)
    padding = [(0, 0), (0, 0), *edges(layer, x)]
    if layer.average:
        there = jnp.ones((1, 1, *x.shape[2:]), x.dtype)
        return sums(x, window, padding, strides) / sums(there, window, padding, strides)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def shifted(y: Array, bias: Array) -> Array:
    """A bias for each map, each unit, or each output of an unshared kernel."""
    return y + (bias[:, None, None] if y.ndim == 4 and bias.ndim == 1 else bias)


def apply(layer: Layer, params: Mapping[str, Array], x: Array, mask: Array | None = None) -> Array:
    """One layer's output. `params`: its "weight" and "bias", if it has any. Raises Unsupported for an unknown layer."""
    match layer:
        case Conv():
            return shifted(conv(layer, params["weight"], x), params["bias"])
        case Local():
            return shifted(local(layer, params["weight"], x), params["bias"])
        case Dense():
            return shifted(dense(layer, params["weight"], x), params["bias"])
        case Relu():
            return nn.relu(x)
        case Activation(function="tanh"):
            return jnp.tanh(x)
        case Lrn():
            return lrn(layer, x)
        case SpatialLrn():
            return spatial_lrn(layer, x)
        case Pool():
            return pool(layer, x)
        case Flatten():
            return x.reshape(len(x), -1)  # channel, row, column
        case Dropout():
            return x if mask is None else x * mask  # the identity at inference
        case Softmax():
            return nn.softmax(x)
    raise Unsupported(f"{layer.name}: no {layer.kind} layer in the JAX implementation")


# The network ----------------------------------------------------------------------------------------------------------


def of_layer(layer: Layer, params: Arrays) -> Arrays:
    """{"weight": ..., "bias": ...} out of {"conv1.weight": ...}."""
    return {name.rpartition(".")[2]: value for name, value in params.items() if name.rpartition(".")[0] == layer.name}


def outputs(network: Network, params: Arrays, x: Array) -> Iterator[tuple[str, Array]]:
    """Every layer's output, in order."""
    for layer in network.layers:
        x = apply(layer, of_layer(layer, params), x)
        yield layer.name, x


def last_output(network: Network, params: Arrays, x: Array) -> Array:
    for _, y in outputs(network, params, x):
        x = y
    return x


def up_to_logits(network: Network) -> list[Layer]:
    """All layers but a closing softmax, which belongs to the loss."""
    return [layer for layer in network.layers if layer is not network.layers[-1] or not isinstance(layer, Softmax)]


def loss(network: Network, params: Arrays, x: Array, labels: Array, masks: Arrays) -> Array:
    """The mean cross-entropy, a scalar."""
    for layer in up_to_logits(network):
        x = apply(layer, of_layer(layer, params), x, masks.get(layer.name))
    return losses.from_logits(x, labels)


def way_back(
    network: Network, params: Arrays, x: Array, upstream: Array | None, labels: Array | None, masks: Arrays
) -> tuple[Arrays, Arrays, Array | None]:
    """Outputs up to the logits, the gradients at each of them, at "input" and of every parameter, and the loss, (1,).

    Layer by layer with `jax.vjp`, which hands out the gradient between any two.
    """
    done, pulls = {}, []
    for layer in up_to_logits(network):
        x, pull = jax.vjp(partial(apply, layer, mask=masks.get(layer.name)), of_layer(layer, params), x)
        pulls.append((layer.name, pull))
        done[layer.name] = x
    value = None
    g = upstream
    if labels is not None:
        value, g = jax.value_and_grad(losses.from_logits)(x, labels)
        value = value.reshape(1)
    gradients = {}
    for name, pull in reversed(pulls):
        gradients[name] = g
        of_params, g = pull(g)
        gradients.update({f"{name}.{role}": gradient for role, gradient in of_params.items()})
    return done, gradients | {"input": g}, value


def update(params: Arrays, velocities: Arrays, gradients: Arrays, rate: Array) -> tuple[Arrays, Arrays]:
    """The paper's rule, written out as JAX leaves it to its users: v <- 0.9 v - 0.0005 rate w - rate g; w <- w + v."""
    velocities = jax.tree.map(lambda w, v, g: MOMENTUM * v - DECAY * rate * w - rate * g, params, velocities, gradients)
    return jax.tree.map(jnp.add, params, velocities), velocities


# The implementation ---------------------------------------------------------------------------------------------------


# Autotuning times cuDNN's algorithms and may take one that transforms (FFT, Winograd), most of all for gradients: it rounds
# what direct sums of integers keep exact. And it may take another one tomorrow.
XLA_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")


def prepare() -> None:
    """Ask for float32, direct sums and deterministic kernels; flags that the environment has already are left as they are.

    XLA reads XLA_FLAGS once, when the first device is looked for.
    """
    given = os.environ.get("XLA_FLAGS", "")
    missing = [flag for flag in XLA_FLAGS if flag.partition("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *missing]).strip()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or JAX takes most of a GPU's memory at once
    jax.config.update("jax_default_matmul_precision", "highest")


def select(device: str) -> jax.Device:
    """The device to run on."""
    prepare()
    gpus = []
    if device in ("auto", "cuda"):
        with contextlib.suppress(RuntimeError):  # no such platform in this build of jaxlib
            gpus = jax.devices("cuda")
    if device == "cuda" and not gpus:
        raise Unavailable("JAX sees no CUDA device here; run with --device cpu, or pip install 'jax[cuda12]'")
    return gpus[0] if gpus else jax.devices("cpu")[0]


class Model:
    """compiled: `jax.jit` of the whole network, one function for all outputs and one for all gradients; else as written."""

    def __init__(self, network: Network, params: Mapping[str, np.ndarray], device: str, compiled: bool = False) -> None:
        for layer in network.layers:
            expressible(layer)
        self.network, self.compiled = network, compiled
        self.device = select(device)
        self.weights = self.arrays(params)
        self.moving: Arrays = {}
        as_asked: Callable[[Callable[..., Any]], Callable[..., Any]] = jax.jit if compiled else lambda f: f
        self.all_outputs = as_asked(lambda params, x: dict(outputs(network, params, x)))
        self.last_output = as_asked(partial(last_output, network))
        self.way_back = as_asked(partial(way_back, network))
        self.loss = as_asked(jax.value_and_grad(partial(loss, network)))
        self.update = as_asked(update)

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with jax.default_device(self.device):
            images = jnp.array(x)
            done = self.all_outputs(self.weights, images) if self.compiled else None
            given = outputs(self.network, self.weights, images) if done is None else done.items()
            for name, y in given:
                yield name, np.array(y)

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, and nothing recorded on the way."""
        with jax.default_device(self.device):
            return np.array(self.last_output(self.weights, jnp.array(x)))

    def backward(
        self,
        x: np.ndarray,
        upstream: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> Backward:
        with jax.default_device(self.device):
            start = None if upstream is None else jnp.array(upstream)
            targets = None if labels is None else jnp.array(labels, jnp.int32)
            done, gradients, value = self.way_back(self.weights, jnp.array(x), start, targets, self.arrays(masks or {}))
        return Backward(numpy_of(done), numpy_of(gradients), None if value is None else np.array(value))

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        return numpy_of(self.descent(x, labels, {})[1])

    def step(
        self, x: np.ndarray, labels: np.ndarray, rate: float, masks: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """One update by the paper's rule; the loss before it, (1,)."""
        value, gradients = self.descent(x, labels, masks or {})
        with jax.default_device(self.device):
            before = self.moving or jax.tree.map(jnp.zeros_like, self.weights)
            self.weights, self.moving = self.update(self.weights, before, gradients, jnp.float32(rate))
        return np.array(value).reshape(1)

    def descent(self, x: np.ndarray, labels: np.ndarray, masks: Mapping[str, np.ndarray]) -> tuple[Array, Arrays]:
        """The loss, a scalar, and its gradient with respect to every parameter."""
        with jax.default_device(self.device):
            return self.loss(self.weights, jnp.array(x), jnp.array(labels, jnp.int32), self.arrays(masks))

    def velocities(self) -> dict[str, np.ndarray]:
        """What the next step adds 0.9 of, as the paper counts it: w <- w + v. Zeros before the first step."""
        return numpy_of(self.moving or jax.tree.map(jnp.zeros_like, self.weights))

    def restore(self, velocities: Mapping[str, np.ndarray]) -> None:
        self.moving = self.arrays(velocities)

    def arrays(self, values: Mapping[str, np.ndarray]) -> Arrays:
        """Copies on the device."""
        with jax.default_device(self.device):
            return {name: jnp.array(value) for name, value in values.items()}

    def params(self) -> dict[str, np.ndarray]:
        return numpy_of(self.weights)

    def flags(self) -> dict[str, str]:
        gpu = self.device.device_kind if self.device.platform == "gpu" else ""
        return {
            "device": f"{'cuda' if gpu else self.device.platform} {gpu}".strip(),
            "threads": "all",  # XLA has no way to ask
            "tf32": str(jax.config.jax_default_matmul_precision != "highest"),
            "deterministic": "requested",
            **({"compiler": "XLA"} if self.compiled else {}),
        }


def expressible(layer: Layer) -> None:
    """Raises Unsupported for a layer that `apply` has not got."""
    known = (Conv, Local, Dense, Relu, Lrn, SpatialLrn, Pool, Flatten, Dropout, Softmax)
    if not isinstance(layer, known) and not (isinstance(layer, Activation) and layer.function == "tanh"):
        raise Unsupported(f"{layer.name}: no {layer.kind} layer in the JAX implementation")


def numpy_of(values: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Copies: NumPy would otherwise look at JAX's own memory."""
    return {name: np.array(value) for name, value in values.items()}


def dropout(
    x: np.ndarray, upstream: np.ndarray, rate: float, seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Dropout as JAX's users write it, from `jax.random.bernoulli`: what it gives and passes back, a key for each step.

    x, upstream and both results are (steps, N, ...), float32. JAX has no dropout; Flax and Equinox write these lines.
    """

    def dropped(x: Array, key: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)

    outputs, gradients = [], []
    with jax.default_device(select(device)):
        for inputs, start, key in zip(x, upstream, jax.random.split(jax.random.key(seed), len(x)), strict=True):
            y, pull = jax.vjp(partial(dropped, key=key), jnp.array(inputs))
            (gradient,) = pull(jnp.array(start))
            outputs.append(np.array(y))
            gradients.append(np.array(gradient))
    return np.stack(outputs), np.stack(gradients)


def dropout_at_test(x: np.ndarray, rate: float, device: str = "cpu") -> np.ndarray:
    """At test its users leave it out, as `apply` does. (N, ...) -> same."""
    with jax.default_device(select(device)):
        return np.array(jnp.array(x))


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
