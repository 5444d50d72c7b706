"""A network as the authors' configuration files describe it: layers by name, each reading one or several others.

Fields keep the names of the format (`filterSize`, `initW`, `epsW`), so that a fact here can be found in a file. Fields
that the format gives *per input* are tuples in every layer, of one value where there is one input; the type of a field
never depends on the layer. `None` is: not stated, and no default that matters.
"""
# ruff: noqa: N815  # the format's own names

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..spec import nearest
from . import arithmetic

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Lines = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One section of a layer file, joined with the section of the same name in the parameter file.

    `lines` and `param_lines`: first and last line of the two sections. `other`: keys without a field here
    (`initWFunc`), as text. A learning rate that follows a schedule (cuda-convnet2's `dexp[...]`) is its first
    value, and the schedule is in `other`. `neuron` None is the identity. `gpu` is what the section says, not what a
    layer inherits from its input (`Net.gpu`).
    """

    name: str
    type: str
    inputs: tuple[str, ...] = ()
    lines: Lines = (0, 0)
    param_lines: Lines = (0, 0)
    # Convolution (conv), unshared convolution (local), per input but for `filters`, which all inputs share
    filters: int | None = None
    filterSize: Ints = ()
    channels: Ints = ()  # also of pools and normalisations
    padding: Ints = ()
    stride: Ints = ()  # also of pools and nailbeds
    groups: Ints = ()
    partialSum: int | None = None  # None or 0: all modules in one sum
    sumWidth: int | None = None  # what replaced partialSum in cuda-convnet2
    sharedBiases: bool | None = None
    # Weights
    initW: Floats = ()
    initB: float | None = None
    outputs: int | None = None  # of an fc layer
    neuron: str | None = None
    gpu: int | None = None
    # Pools, normalisations, dropout, the low-resolution path, inputs
    pool: str | None = None
    sizeX: int | None = None
    start: int | None = None
    outputsX: int | None = None
    size: int | None = None
    keep: float | None = None
    stdev: float | None = None
    dataIdx: int | None = None
    # The parameter file
    epsW: Floats = ()
    epsB: float | None = None
    momW: Floats = ()
    momB: float | None = None
    wc: Floats = ()
    scale: float | None = None
    pow: float | None = None
    minDiv: float | None = None
    enable: bool | None = None
    coeff: float | None = None
    topk: int | None = None
    other: dict[str, str] = field(default_factory=dict, hash=False)

    def edit(self, **changes: Any) -> Layer:
        """A changed copy; an unknown field raises KeyError with the nearest one."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise KeyError(f"{self.name}: a layer has no field {name!r}{nearest(name, known)}")
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Net:
    """Layers in the order of the file. `input_size`: side of the input image where a method is given none."""

    name: str
    layers: tuple[Layer, ...]
    input_size: int = 224

    def names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    def layer(self, name: str) -> Layer:
        """The layer called `name`; an unknown one raises KeyError with the nearest."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = self.names()
        raise KeyError(f"net {self.name} has no layer {name!r}{nearest(name, names)} It has: {' '.join(names)}")

    def of_type(self, *types: str) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.type in types)

    def learned(self) -> tuple[Layer, ...]:
        """The layers with weights: conv, local, fc."""
        return self.of_type(*arithmetic.LEARNED)

    def readers(self, name: str) -> tuple[Layer, ...]:
        """The layers that read the one called `name`."""
        return tuple(layer for layer in self.layers if name in layer.inputs)

    def gpu(self, name: str) -> int | None:
        """The GPU of a layer: stated, or that of its first input; None for what feeds both."""
        layer = self.layer(name)
        if layer.gpu is not None or not layer.inputs:
            return layer.gpu
        return self.gpu(layer.inputs[0])

    # Arithmetic, for an input image of `size` x `size` pixels and `channels` colours -----------------------------------

    def shapes(self, size: int | None = None, channels: int = 3) -> dict[str, tuple[int, ...]]:
        """Output shape of each layer: (maps, height, width) or (units,); raises ValueError where none exists."""
        return arithmetic.shapes(self, size or self.input_size, channels)

    def parameter_table(self, size: int | None = None, channels: int = 3) -> dict[str, tuple[int, int]]:
        """(weights, biases) of each learned layer."""
        return arithmetic.parameters(self, size or self.input_size, channels)

    def parameters(self, size: int | None = None, channels: int = 3) -> tuple[int, int]:
        """(weights, biases) of the whole network."""
        rows = self.parameter_table(size, channels).values()
        return sum(weights for weights, _ in rows), sum(biases for _, biases in rows)

    def parameter_count(self, size: int | None = None, channels: int = 3) -> int:
        """Weights and biases of the whole network."""
        return sum(self.parameters(size, channels))

    def multiply_add_table(self, size: int | None = None, channels: int = 3) -> dict[str, int]:
        """Multiply-adds of each learned layer for one image; biases are not counted."""
        return arithmetic.multiply_adds(self, size or self.input_size, channels)

    def multiply_adds(self, size: int | None = None, channels: int = 3) -> int:
        """Multiply-adds of the learned layers for one image."""
        return sum(self.multiply_add_table(size, channels).values())

    def neurons(self, size: int | None = None, channels: int = 3) -> int:
        """Outputs of the convolutional (shared or not) and fully connected layers, the last one included."""
        return arithmetic.neurons(self, size or self.input_size, channels)

    def partial_sums(self, size: int | None = None, channels: int = 3) -> dict[str, tuple[int, int]]:
        """(outputs per map, partialSum) of each convolution that states one: the first must be a multiple of the second."""
        return arithmetic.partial_sums(self, size or self.input_size, channels)

    def runs_at(self, size: int, channels: int = 3) -> bool:
        """Would the code accept images of this size: does each layer fit and each partialSum divide?"""
        return arithmetic.runs_at(self, size, channels)

    # Changed copies ----------------------------------------------------------------------------------------------------

    def edit(self, layer: str, **fields: Any) -> Net:
        """The same net with fields of one layer changed; unknown layers and fields raise KeyError."""
        changed = self.layer(layer).edit(**fields)
        return dataclasses.replace(self, layers=tuple(changed if old.name == layer else old for old in self.layers))

    def without(self, layer: str) -> Net:
        """The same net without a layer of one input; its readers read that input."""
        (source,) = self.layer(layer).inputs
        rest = (old for old in self.layers if old.name != layer)
        return dataclasses.replace(self, layers=tuple(rewired(old, layer, source) for old in rest))


def rewired(layer: Layer, old: str, new: str) -> Layer:
    """The same layer reading `new` wherever it read `old`."""
    inputs = tuple(new if name == old else name for name in layer.inputs)
    return dataclasses.replace(layer, inputs=inputs)
