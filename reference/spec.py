"""The layers of a network as data, and the arithmetic that follows from them: shapes, parameters, multiply-adds.

A `Network` is a chain: each layer reads the one before it. Shapes are (channels, height, width) or (units,) and leave
the batch axis out. Nothing here computes an activation; `oracle.py` does.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One step of the chain. `source` says where the paper (or whoever else) specifies it."""

    name: str
    source: str = dataclasses.field(default="", kw_only=True)

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    @property
    def reach(self) -> int:
        """How many pixels a window spans, in each direction."""
        return getattr(self, "kernel", 1)

    def output(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`; raises ValueError where none exists."""
        return shape

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of the parameters by name ("conv1.weight"), for an input of `shape`."""
        return {}

    def reduction(self, shape: Shape) -> int:
        """Number of products summed for one output; 0 where nothing is learned."""
        return 0


@dataclass(frozen=True)
class Conv(Layer):
    """Cross-correlation (kernels not flipped), square kernel, weight (O, I / groups, K, K), bias (O,).

    `padding` is (before, after): zeros above and to the left, zeros below and to the right. Output sizes round down;
    with `ceil` they round up, and what the last window misses at the right and bottom reads as zero.
    The initialisation is N(0, init_std) for weights, N(init_bias, init_bias_std) for biases.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    ceil: bool = False
    init_std: float = 0.01
    init_bias: float = 0.0
    init_bias_std: float = 0.0

    def output(self, shape: Shape) -> Shape:
        c, h, w = _maps(self, shape)
        _check_groups(self, c, self.channels)
        return (self.channels, _windows(self, h), _windows(self, w))

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        taps = (shape[0] // self.groups, self.kernel, self.kernel)
        return {f"{self.name}.weight": (self.channels, *taps), f"{self.name}.bias": (self.channels,)}

    def reduction(self, shape: Shape) -> int:
        return shape[0] // self.groups * self.kernel**2


@dataclass(frozen=True)
class Relu(Layer):
    """max(0, x)."""


@dataclass(frozen=True)
class Lrn(Layer):
    """Response normalisation across maps: b_i = a_i / (k + alpha * sum of a_j^2 over j in i - n//2 .. i + n//2)^beta.

    alpha multiplies the sum itself and is not divided by n. The window is clipped at the first and the last map; with
    `towers` > 1 it is clipped at the border of each tower (equal, consecutive parts of the maps) as well.
    """

    n: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    towers: int = 1

    def output(self, shape: Shape) -> Shape:
        c, _, _ = _maps(self, shape)
        if c % self.towers:
            raise ValueError(f"{self.name}: {c} maps do not divide into {self.towers} towers")
        return shape


@dataclass(frozen=True)
class SpatialLrn(Layer):
    """Response normalisation within each map: a / (k + alpha * sum of a^2 over the n x n pixels around it)^beta.

    alpha multiplies the sum itself. The window is clipped at the border of the map.
    """

    n: int = 5
    k: float = 1.0
    alpha: float = 1e-4
    beta: float = 0.75

    def output(self, shape: Shape) -> Shape:
        return _maps(self, shape)


@dataclass(frozen=True)
class Pool(Layer):
    """The maximum, or with `average` the mean, over square windows that start at multiples of `stride`.

    `ceil` admits a last window cut by the edge; `padding` (before, after) lets windows start before it and end after it.
    Only pixels that are there count, for the maximum and for the mean.
    """

    kernel: int
    stride: int
    ceil: bool = False
    padding: tuple[int, int] = (0, 0)
    average: bool = False

    def output(self, shape: Shape) -> Shape:
        c, h, w = _maps(self, shape)
        return (c, _windows(self, h), _windows(self, w))


@dataclass(frozen=True)
class Local(Layer):
    """A convolution whose kernels are not shared: weight (O, H', W', I, K, K) and bias (O, H', W'), one each per output."""

    channels: int
    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    init_std: float = 0.01
    init_bias: float = 0.0
    init_bias_std: float = 0.0

    def output(self, shape: Shape) -> Shape:
        _, h, w = _maps(self, shape)
        return (self.channels, _windows(self, h), _windows(self, w))

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        output = self.output(shape)
        taps = (shape[0], self.kernel, self.kernel)
        return {f"{self.name}.weight": (*output, *taps), f"{self.name}.bias": output}

    def reduction(self, shape: Shape) -> int:
        return shape[0] * self.kernel**2


@dataclass(frozen=True)
class Flatten(Layer):
    """Maps to one vector, in the order channel, row, column."""

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Dense(Layer):
    """x W^T + b with weight (units, inputs / groups), bias (units,).

    With `groups` > 1 equal, consecutive parts of the units read only the same part of the inputs.
    """

    units: int
    groups: int = 1
    init_std: float = 0.01
    init_bias: float = 0.0
    init_bias_std: float = 0.0

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"{self.name}: found input {shape}, expected a vector; put a Flatten before it")
        _check_groups(self, shape[0], self.units)
        return (self.units,)

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {f"{self.name}.weight": (self.units, shape[0] // self.groups), f"{self.name}.bias": (self.units,)}

    def reduction(self, shape: Shape) -> int:
        return shape[0] // self.groups


@dataclass(frozen=True)
class Dropout(Layer):
    """The identity at inference (inverted convention: weights are shared as trained with scaling in training)."""

    rate: float = 0.5


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x) / sum of exp(x) over the units."""


AFFINE = (Conv, Local, Dense)
WINDOWED = (Conv, Local, Pool)


def _maps(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"{layer.name}: found input {shape}, expected (channels, height, width)")
    return shape


def _check_groups(layer: Conv | Dense, inputs: int, outputs: int) -> None:
    if inputs % layer.groups or outputs % layer.groups:
        raise ValueError(
            f"{layer.name}: {inputs} inputs and {outputs} outputs do not divide into {layer.groups} groups"
        )


def _windows(layer: Conv | Local | Pool, size: int) -> int:
    """How many windows fit into `size` pixels and the padding; with `ceil` a cut one counts as well."""
    before, after = layer.padding
    padded, reach = before + size + after, layer.reach
    if padded < reach:
        raise ValueError(f"{layer.name}: the {reach}-wide window does not fit into {padded}; use a larger input")
    whole, rest = divmod(padded - reach, layer.stride)
    if not rest or isinstance(layer, Local) or not layer.ceil:
        return whole + 1
    starts_inside = (whole + 1) * layer.stride < before + size  # a pooling window must see something
    return whole + 1 + (starts_inside or isinstance(layer, Conv))


def borders(layer: Conv | Local | Pool, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """((above, below), (left, right)): how far the windows reach beyond maps of `shape` (C, H, W), in pixels, never < 0.

    Padding that no window reaches is not counted: with these borders the windows fit and sizes round down.
    """
    if uneven := getattr(layer, "border", None):
        return uneven
    before, _ = layer.padding
    ends = [(count - 1) * layer.stride + layer.reach - before for count in layer.output(shape)[1:]]
    below, right = (max(0, end - size) for end, size in zip(ends, shape[1:], strict=True))
    return (before, below), (before, right)


def nearest(name: str, names: list[str]) -> str:
    """The end of a sentence about an unknown name: "; did you mean 'conv1'?" or, where none is near, a full stop."""
    return perhaps(name, names) or "."


def perhaps(name: str, names: list[str]) -> str:
    """The same where the sentence goes on: "; did you mean 'conv1'?" or, where none is near, nothing."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True)
class Network:
    """A named chain of layers over an input of shape (channels, height, width)."""

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    about: str = ""

    def __post_init__(self) -> None:
        names = self.names()
        if repeated := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"{self.name}: layer names repeat: {', '.join(sorted(repeated))}")

    # What is in it -------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    def __getitem__(self, name: str) -> Layer:
        """The layer called `name`; an unknown name raises KeyError with the real ones."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = self.names()
        raise KeyError(f"{self.name} has no layer {name!r}{nearest(name, names)} It has: {' '.join(names)}")

    def walk(self) -> Iterator[tuple[Layer, Shape, Shape]]:
        """(layer, input shape, output shape), in order."""
        shape = self.input_shape
        for layer in self.layers:
            before, shape = shape, layer.output(shape)
            yield layer, before, shape

    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer, without the batch axis."""
        return {layer.name: after for layer, _, after in self.walk()}

    def param_shapes(self) -> dict[str, Shape]:
        """Shape of every parameter: kernels (O, I / groups, K, K), dense weights (out, in), biases (out,)."""
        return {name: shape for layer, before, _ in self.walk() for name, shape in layer.param_shapes(before).items()}

    # Arithmetic ----------------------------------------------------------------------------------------------------

    def param_counts(self) -> dict[str, int]:
        """Learned numbers (weights and biases) of every layer."""
        return {
            layer.name: sum(math.prod(s) for s in layer.param_shapes(before).values())
            for layer, before, _ in self.walk()
        }

    def parameter_count(self) -> int:
        return sum(self.param_counts().values())

    def multiply_adds(self) -> dict[str, int]:
        """Multiply-adds of every layer for one image: outputs x products summed for each. Biases are not counted."""
        return {layer.name: math.prod(after) * layer.reduction(before) for layer, before, after in self.walk()}

    def neurons(self) -> int:
        """Outputs of the convolutional and dense layers, as the paper counts neurons."""
        return sum(math.prod(after) for layer, _, after in self.walk() if isinstance(layer, AFFINE))

    def receptive_fields(self) -> dict[str, tuple[int, int, int]]:
        """(size, step, start) in input pixels of what one output of each layer sees; start may be negative (padding)."""
        size, step, start, fields = 1, 1, 0, {}
        for layer in self.layers:
            if isinstance(layer, Flatten):
                break  # from here on every unit sees the whole image
            if isinstance(layer, WINDOWED):
                start -= step * layer.padding[0]
                size, step = size + step * (layer.kernel - 1), step * layer.stride
            elif isinstance(layer, SpatialLrn):
                start -= step * (layer.n // 2)
                size += step * (2 * (layer.n // 2))
            fields[layer.name] = (size, step, start)
        return fields

    # Variants ------------------------------------------------------------------------------------------------------

    def edit(self, layer: str, **changes: Any) -> Network:
        """The same network with fields of one layer changed; unknown layers and fields raise KeyError and list the real ones."""
        old = self[layer]
        fields = [f.name for f in dataclasses.fields(old)]
        for field in changes:
            if field not in fields:
                raise KeyError(f"{layer} has no field {field!r}{nearest(field, fields)} It has: {' '.join(fields)}")
        return self.swap(layer, dataclasses.replace(old, **changes))

    def swap(self, layer: str, *new: Layer) -> Network:
        """The same network with `new` in the place of one layer; with no `new` the layer is left out."""
        self[layer]
        layers = tuple(m for old in self.layers for m in (new if old.name == layer else (old,)))
        return dataclasses.replace(self, layers=layers)

    def move(self, layer: str, after: str) -> Network:
        """The same network with `layer` taken out and put behind `after`."""
        return self.swap(layer).swap(after, self[after], self[layer])

    def only(self, layer: str) -> Network:
        """The network of this one layer, fed what the whole network would feed it."""
        for this, before, _ in self.walk():
            if this.name == layer:
                return Network(f"{self.name}/{layer}", before, (this,), f"{layer} of {self.name} alone")
        raise KeyError(self[layer])  # unreachable for a known name: self[layer] raises first

    def sourced(self, source: str) -> Network:
        """The same network, `source` given as every layer's source."""
        return dataclasses.replace(
            self, layers=tuple(dataclasses.replace(layer, source=source) for layer in self.layers)
        )

    def renamed(self, name: str, about: str) -> Network:
        return dataclasses.replace(self, name=name, about=about)
