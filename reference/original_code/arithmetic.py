"""Shapes and counts that follow from a configuration, as the authors' code computes them.

Images are square. The number of windows in a row rounds *up*, 1 + ceil((2 * padding + size - filter) / stride), for
convolutions and for pools: a last window may reach beyond the image, where a convolution reads zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .net import Layer, Net

Shape = tuple[int, ...]
LEARNED = ("conv", "local", "fc")
SAME = ("cmrnorm", "rnorm", "cnorm", "hs", "dropout", "dropout2", "neuron", "blur", "eltsum", "eltmax", "softmax")


def windows(size: int, window: int, stride: int, padding: int = 0) -> int:
    """Windows in a row of `size` pixels, rounded up; raises ValueError if not even one lies inside."""
    room = 2 * padding + size - window
    if room < 0:
        raise ValueError(f"the {window}-wide window does not fit into {2 * padding + size} pixels; use a larger input")
    return 1 + -(-room // stride)


def shapes(net: Net, size: int, channels: int) -> dict[str, Shape]:
    """Output shape of every layer, in the order of the file."""
    found: dict[str, Shape] = {}
    for layer in net.layers:
        try:
            found[layer.name] = output(layer, [found[name] for name in layer.inputs], (channels, size, size))
        except ValueError as error:
            raise ValueError(f"net {net.name}, {layer.name} at {size} x {size}: {error}") from None
    return found


def output(layer: Layer, inputs: Sequence[Shape], image: Shape) -> Shape:
    """Output shape of one layer for inputs of these shapes."""
    match layer.type:
        case "data":
            return image if layer.dataIdx == 0 else (1,)
        case "conv" | "local":
            assert layer.filters is not None
            side = modules(layer, inputs)
            return (layer.filters, side, side)
        case "fc":
            assert layer.outputs is not None
            return (layer.outputs,)
        case "pool":
            maps, side = only_map(layer, inputs)
            assert layer.sizeX is not None
            count = layer.outputsX or windows(side - (layer.start or 0), layer.sizeX, layer.stride[0])
            return (maps, count, count)
        case "nailbed":
            maps, side = only_map(layer, inputs)
            count = -(-side // layer.stride[0])
            return (maps, count, count)
        case "resize":
            maps, side = only_map(layer, inputs)
            count = math.floor(side / (layer.scale or 1))
            return (maps, count, count)
        case "cost.logreg":
            return (1,)
        case _ if layer.type in SAME:
            if layer.channels:
                only_map(layer, inputs)
            return inputs[0]
    raise ValueError(f"no arithmetic for layers of type {layer.type!r}")


def maps_of(layer: Layer, inputs: Sequence[Shape]) -> list[tuple[int, int]]:
    """(maps, side) of each input; raises ValueError where `channels` says otherwise."""
    found = []
    for name, shape, channels in zip(layer.inputs, inputs, layer.channels, strict=True):
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(f"reads {channels} channels of {name}, whose output is {' x '.join(map(str, shape))}")
        found.append((shape[0], shape[1]))
    return found


def only_map(layer: Layer, inputs: Sequence[Shape]) -> tuple[int, int]:
    (found,) = maps_of(layer, inputs)
    return found


def modules(layer: Layer, inputs: Sequence[Shape]) -> int:
    """Outputs in a row of a convolution; its inputs are summed, so all must give the same."""
    geometry = zip(maps_of(layer, inputs), layer.filterSize, layer.stride, layer.padding, strict=True)
    sides = [windows(side, window, stride, padding) for (_, side), window, stride, padding in geometry]
    if len(set(sides)) > 1:
        raise ValueError(
            f"its inputs give {' and '.join(map(str, sides))} outputs in a row, expected the same from each"
        )
    return sides[0]


def taps(layer: Layer, inputs: Sequence[Shape]) -> int:
    """Products summed for one output, over all inputs."""
    if layer.type == "fc":
        return sum(math.prod(shape) for shape in inputs)
    geometry = list(zip(maps_of(layer, inputs), layer.filterSize, layer.groups, strict=True))
    for (maps, _), _, groups in geometry:
        if maps % groups or (layer.filters or 0) % groups:
            raise ValueError(
                f"{layer.name}: {maps} maps and {layer.filters} filters do not divide into {groups} groups"
            )
    return sum(maps // groups * window**2 for (maps, _), window, groups in geometry)


def parameters(net: Net, size: int, channels: int) -> dict[str, tuple[int, int]]:
    """(weights, biases) of each learned layer. A local layer has a kernel and a bias of its own at each position."""
    found = shapes(net, size, channels)
    return {layer.name: count(layer, [found[n] for n in layer.inputs], found[layer.name]) for layer in net.learned()}


def count(layer: Layer, inputs: Sequence[Shape], shape: Shape) -> tuple[int, int]:
    """(weights, biases) of one learned layer with outputs of `shape`."""
    every, maps = math.prod(shape), shape[0]
    kernels = every if layer.type == "local" else maps
    biases = every if layer.type == "local" or layer.sharedBiases is False else maps
    return kernels * taps(layer, inputs), biases


def multiply_adds(net: Net, size: int, channels: int) -> dict[str, int]:
    """Outputs times products summed for each, by learned layer."""
    found = shapes(net, size, channels)
    return {
        layer.name: math.prod(found[layer.name]) * taps(layer, [found[name] for name in layer.inputs])
        for layer in net.learned()
    }


def neurons(net: Net, size: int, channels: int) -> int:
    found = shapes(net, size, channels)
    return sum(math.prod(found[layer.name]) for layer in net.learned())


def partial_sums(net: Net, size: int, channels: int) -> dict[str, tuple[int, int]]:
    """(outputs per map, partialSum) of each convolution that states a partialSum.

    The code sums weight gradients over so many outputs at a time, and insists that they divide evenly.
    """
    found = shapes(net, size, channels)
    stated = (layer for layer in net.of_type("conv") if layer.partialSum)
    return {layer.name: (math.prod(found[layer.name][1:]), layer.partialSum or 0) for layer in stated}


def runs_at(net: Net, size: int, channels: int) -> bool:
    try:
        return all(outputs % part == 0 for outputs, part in partial_sums(net, size, channels).values())
    except ValueError:
        return False


def accepted_borders(net: Net, image: int = 256, largest: int = 109, channels: int = 3) -> dict[int, int]:
    """Crop borders (pixels cut from each side of an `image`-wide picture) that the code accepts: {border: input size}."""
    sizes = {border: image - 2 * border for border in range(largest + 1)}
    return {border: size for border, size in sizes.items() if runs_at(net, size, channels)}
