"""Convolutions written by hand: patches, a matrix product, a reshape. Several steps that only together are a layer.

Nothing says their stride and padding: those that make the sizes fit are tried, and the one that explains every number is
the reading.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from ...impls.foreign.graph import Operation
from ...reference.spec import AFFINE, Conv, Layer, Local
from .atoms import Padded, Unexplained
from .chain import Segment, as_one
from .plain import pools
from .reading import Reading, judge, read
from .tape import Tape

Array = np.ndarray

LONGEST = 8  # steps of a convolution written by hand
BESIDE, MOST = 4, 60  # steps that are read as one with an unexplained one, and how many such attempts there are
KERNELS, STRIDES, PADDINGS = (3, 5, 11, 1, 2, 4, 7, 9), (1, 2, 4, 3, 5), range(6)


def joined(readings: list[Reading], tape: Tape) -> list[Reading]:
    """The readings, each run of unexplained steps that is one layer replaced by it."""
    readings = retaken(readings, tape)
    found, i = [], 0
    while i < len(readings):
        whole = longest(readings, i, tape) if may_begin(readings[i]) else None
        if whole is None:
            found.append(readings[i])
            i += 1
        else:
            reading, count = whole
            found.append(reading)
            i += count
    return found


def retaken(readings: list[Reading], tape: Tape) -> list[Reading]:
    """Steps that nothing explains, read as one with those beside them: a layer written as several whole operations."""
    found, tries, i = list(readings), 0, 0
    while i < len(found):
        spans = [(start, start + size) for size in range(2, BESIDE + 1) for start in range(i, i - size, -1)]
        for start, end in spans if isinstance(found[i].layer, Unexplained) else []:
            run = found[max(0, start) : end]
            if start < 0 or end > len(found) or any(r.segment.parts or isinstance(r.layer, AFFINE) for r in run):
                continue
            tries += 1
            one = read(as_one([r.segment for r in run]), tape) if tries <= MOST else None
            if one is not None and not isinstance(one.layer, Unexplained):
                found[start:end], i = [one], start
                break
        i += 1
    return found


def may_begin(reading: Reading) -> bool:
    return isinstance(reading.layer, Unexplained | Padded) and reading.x.ndim == 4


def longest(readings: list[Reading], start: int, tape: Tape) -> tuple[Reading, int] | None:
    """The longest run from `start` that is one layer, and how many steps it takes."""
    for count in range(min(LONGEST, len(readings) - start), 0, -1):
        run = readings[start : start + count]
        if any(isinstance(r.layer, AFFINE) for r in run) or run[-1].y.ndim != 4:
            continue
        if not any(isinstance(r.layer, Unexplained) for r in run):
            continue
        if (reading := one_layer(run, tape)) is not None:
            return reading, count
    return None


def one_layer(run: list[Reading], tape: Tape) -> Reading | None:
    operations = tuple(op for r in run for op in r.segment.operations)
    names = {name for op in operations for t in op.inputs for name in tape.origins(t)}
    params = sorted(names, key=lambda name: -tape.params[name].size)
    x, y = run[0].x, run[-1].y
    if not params:
        return a_pooling(run, operations, x, y)
    if len(params) > 2:
        return None
    bias = tape.params[params[1]] if len(params) == 2 else None
    segment = Segment(run[0].segment.x, run[-1].segment.y, operations)
    name = params[0].rpartition(".")[0] or params[0]
    for layer, weight, vector in candidates(name, tape.params[params[0]], bias, x, y):
        given = {f"{name}.weight": weight, f"{name}.bias": vector}
        if (share := judge(layer, given, x, y)) is not None:
            origin = {"weight": params[0], "bias": params[1] if bias is not None else ""}
            return Reading(layer, segment, x, y, given, share, origin=origin)
    return None


def a_pooling(run: list[Reading], operations: tuple[Operation, ...], x: Array, y: Array) -> Reading | None:
    """A mean computed as a sum over windows divided by how many pixels each of them sees."""
    if x.shape[:2] != y.shape[:2]:
        return None
    segment = Segment(run[0].segment.x, run[-1].segment.y, operations)
    for layer in pools(segment.name, x, y):
        if (share := judge(layer, {}, x, y)) is not None:
            return Reading(layer, segment, x, y, share=share)
    return None


def candidates(
    name: str, weight: Array, bias: Array | None, x: Array, y: Array
) -> Iterator[tuple[Layer, Array, Array]]:
    """(layer, weight, bias) whose sizes fit."""
    maps, outputs = x.shape[1], y.shape[1]
    for kernel, stride, before, after in itertools.product(KERNELS, STRIDES, PADDINGS, PADDINGS):
        for layer in (
            Conv(name, outputs, kernel, stride, (before, after)),
            Local(name, outputs, kernel, stride, (before, after)),
        ):
            if not fits(layer, weight, x, y):
                continue
            shape = layer.param_shapes(x.shape[1:])
            vector = as_bias(bias, shape[f"{name}.bias"])
            if vector is not None:
                for given in orders(layer, weight, maps, y.shape[1:]):
                    yield layer, given, vector


def fits(layer: Layer, weight: Array, x: Array, y: Array) -> bool:
    try:
        if layer.output(x.shape[1:]) != y.shape[1:]:
            return False
    except ValueError:
        return False
    return math.prod(layer.param_shapes(x.shape[1:])[f"{layer.name}.weight"]) == weight.size


def as_bias(bias: Array | None, shape: tuple[int, ...]) -> Array | None:
    """The bias as (O,) or (O, H', W'); zeros where there is none, None where its size is another."""
    if bias is None:
        return np.zeros(shape, np.float32)
    if bias.size != math.prod(shape):
        return None
    last = (*shape[1:], shape[0])
    if len(shape) == 3 and bias.shape == last and bias.shape != shape:
        return np.ascontiguousarray(bias.transpose(2, 0, 1), dtype=np.float32)
    return bias.reshape(shape).astype(np.float32)


def orders(layer: Layer, weight: Array, maps: int, output: tuple[int, ...]) -> Iterator[Array]:
    """The numbers as a weight of the layer, in each order that people store them in."""
    assert isinstance(layer, Conv | Local)
    places = output[1:] if isinstance(layer, Local) else ()
    own: dict[str, tuple[int, ...]] = {"O": output[:1], "P": places, "I": (maps,), "K": (layer.kernel, layer.kernel)}
    for order in ("OPIK", "PKIO", "OPKI", "PIKO", "IKOP"):
        shape = tuple(n for axis in order for n in own[axis])
        starts = {axis: sum(len(own[earlier]) for earlier in order[:at]) for at, axis in enumerate(order)}
        back = [starts[axis] + i for axis in "OPIK" for i in range(len(own[axis]))]
        yield np.ascontiguousarray(weight.reshape(shape).transpose(back), dtype=np.float32)
