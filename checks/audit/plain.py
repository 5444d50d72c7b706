"""What a step without weights may be, likeliest first: what its operations say of themselves, then what its numbers look like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...impls.foreign.graph import Operation
from ...reference.mistaken import (
    FUNCTIONS,
    ORDERS,
    Activation,
    AdaptivePool,
    Affine,
    BorderedPool,
    ChannelNorm,
    LogSoftmax,
    MapMean,
    PaddedMean,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from ...reference.spec import Flatten, Layer, Lrn, Pool, Relu, Softmax
from .atoms import ROUND, Bias, Dropped, Padded, Rounded, Same
from .chain import Segment
from .lrn_fit import fitted_norms
from .tape import Tape

Array = np.ndarray
Candidate = tuple[Layer, dict[str, Array]]
FEW = 4  # channels that can be an image's
COARSER = {"float16": 2.0**13, "bfloat16": 2.0**16}  # than float32 they round: 2^-11 and 2^-8 beside 2^-24
ENOUGH = 8  # numbers of a channel from which a line through them says something
LINES = ("add", "sub", "mul", "div", "batch_norm", "reshape", "identity")


def candidates(segment: Segment, tape: Tape, x: Array, y: Array) -> Iterator[Candidate]:
    """Layers to try, with parameters where they have such; the first that explains y is the reading."""
    name = segment.name
    hint = dropout_hint(segment)
    if x.shape == y.shape and np.array_equal(x, y):
        if bias := added(segment, tape, x, y):
            yield Bias(name), bias
        yield Same(name, hint=hint), {}
    elif len(x) == len(y) and x.size == y.size and np.array_equal(x.reshape(len(x), -1), y.reshape(len(y), -1)):
        yield (Flatten(name) if x.ndim > y.ndim == 2 else Same(name, hint=hint)), {}
    for op in segment.operations:
        yield from ((layer, {}) for layer in said(op, name, x, y))
    if x.shape == y.shape:
        yield from alike(segment, tape, name, x, y)
    else:
        yield from ((layer, {}) for layer in reshaped(name, x, y))


def dropout_hint(segment: Segment) -> str:
    """ "dropout:RATE" where an operation calls itself that."""
    for op in segment.operations:
        if op.kind == "dropout":
            return f"dropout:{op.attributes.get('rate', 0.5)}"
    return ""


# What operations say ----------------------------------------------------------------------------------------------------


def said(op: Operation, name: str, x: Array, y: Array) -> Iterator[Layer]:
    a = op.attributes
    match op.kind:
        case "activation":
            function = str(a.get("function", "relu"))
            if function == "relu":
                yield Relu(name)
            elif function in FUNCTIONS:
                yield Activation(name, function, float(a.get("slope") or 0.0))
        case "lrn":
            yield from said_lrn(a, name)
        case "max_pool" | "avg_pool" if x.ndim == 4:
            yield from said_pool(op, name)
        case "adaptive_max_pool" | "adaptive_avg_pool" if y.ndim == 4 and y.shape[2] == y.shape[3]:
            yield AdaptivePool(name, y.shape[2], op.kind == "adaptive_avg_pool")
        case "softmax":
            yield Softmax(name)
            yield SoftmaxOver(name, 0)
        case "log_softmax":
            yield LogSoftmax(name)


def said_lrn(a: Any, name: str) -> Iterator[Layer]:
    before, after = int(a.get("before", 2)), int(a.get("after", 2))
    k, alpha, beta = (
        tidy(float(a.get(key, default))) for key, default in (("k", 1.0), ("alpha", 1e-4), ("beta", 0.75))
    )
    if before == after:
        yield Lrn(name, 2 * before + 1, k, alpha, beta)
    else:
        yield WindowLrn(name, before, after, k, alpha, beta)


def tidy(value: float) -> float:
    """Without the digits that float32 or a division left behind: 1.9999999e-05 is 2e-05."""
    return float(f"{value:.6g}")


def said_pool(op: Operation, name: str) -> Iterator[Layer]:
    a = op.attributes
    kernel, stride = a.get("kernel", (2, 2)), a.get("stride", (2, 2))
    rows, columns = a.get("padding", ((0, 0), (0, 0)))
    if len({*kernel}) > 1 or len({*stride}) > 1 or len({*a.get("dilation", (1, 1))}) > 1:
        return
    average, ceil = op.kind == "avg_pool", bool(a.get("ceil", False))
    if tuple(rows) == tuple(columns):
        yield Pool(name, int(kernel[0]), int(stride[0]), ceil, (int(rows[0]), int(rows[1])), average)
        if average and rows[0] == rows[1]:
            yield PaddedMean(name, int(kernel[0]), int(stride[0]), int(rows[0]))
    border = ((int(rows[0]), int(rows[1])), (int(columns[0]), int(columns[1])))
    yield BorderedPool(name, int(kernel[0]), int(stride[0]), average=average, border=border)


# What numbers look like: the same shape -----------------------------------------------------------------------------------


def alike(segment: Segment, tape: Tape, name: str, x: Array, y: Array) -> Iterator[Candidate]:
    """For an output of the input's shape. Each guess is checked on all numbers by the caller."""
    if np.array_equal(np.maximum(x, 0), y):
        yield Relu(name), {}
    narrow = tape.dtype(segment.y) if segment.y else ""
    for to in dict.fromkeys((narrow, "tf32", *ROUND)):
        if to in ROUND and np.array_equal(ROUND[to](x), y):
            yield Rounded(name, to=to), {}
    if x.ndim == 4:
        for order in ORDERS:
            turned = ORDERS[order](x) if order not in ("interleaved", "halves") or x.shape[1] % 2 == 0 else None
            if turned is not None and turned.shape == y.shape and np.array_equal(turned, y):
                yield Reordered(name, order), {}
    if dropped := as_dropout(name, x, y):
        yield dropped, {}
    if bias := added(segment, tape, x, y):
        yield Bias(name), bias
    own = any(made_of_parameters(op, tape) for op in segment.operations)
    own = own and (x.size >= ENOUGH * x.shape[1] or lines_by_nature(segment, tape))
    if own and (x.shape[1] > FEW or segment.operations[0].kind == "batch_norm"):
        yield from per_channel(name, x, y)
    if x.ndim == 4 or x.size >= ENOUGH * x.shape[1] or of_one_thing(segment, tape):
        yield from scaled(name, x, y)
    for function in ("abs", *FUNCTIONS):
        for slope in slopes(function, x, y):
            yield Activation(name, function, slope), {}
    yield from ((layer, {}) for layer in fitted_norms(name, x, y))
    yield Softmax(name), {}
    yield SoftmaxOver(name, 0), {}
    yield LogSoftmax(name), {}
    if x.size >= ENOUGH * x.shape[1]:
        yield from per_channel(name, x, y)


def made_of_parameters(op: Operation, tape: Tape) -> bool:
    return any(tape.origins(tensor) for tensor in op.inputs)


def slopes(function: str, x: Array, y: Array) -> tuple[float, ...]:
    """What a leaky ReLU or an ELU multiplies by below zero, judged by the most negative number; as written, then exactly."""
    if function not in ("leaky_relu", "elu"):
        return (0.0,)
    lowest = np.unravel_index(int(x.argmin()), x.shape)
    if x[lowest] >= 0:
        return (0.0,)
    below = float(x[lowest]) if function == "leaky_relu" else math.expm1(float(x[lowest]))
    exact = float(y[lowest]) / below
    return tidy(exact), exact


def as_dropout(name: str, x: Array, y: Array) -> Dropped | None:
    """Zeros here and there, and one factor on all the rest."""
    there = x != 0
    kept = there & (y != 0)
    if not kept.any() or not kept.sum() < there.sum() or (y[~there] != 0).any():
        return None
    factors = y[kept] / x[kept]
    scale = float(np.median(factors))
    maps = whole_maps(there, kept)
    values, held = map_means(x, there, kept) if maps else (x[there], kept[there])
    if np.ptp(factors) > 1e-5 * abs(scale) or decided(values, held):
        return None
    return Dropped(name, scale=tidy(scale), share=1 - float(held.mean()), maps=maps)


def map_means(x: Array, there: Array, kept: Array) -> tuple[Array, Array]:
    """The mean of each map that has numbers, and whether it was kept: where chance drops whole maps, each is one draw."""
    count = np.count_nonzero(there, axis=(2, 3))  # (N, C)
    alive = count > 0
    return x.sum(axis=(2, 3))[alive] / count[alive], np.count_nonzero(kept, axis=(2, 3))[alive] > 0


def decided(values: Array, kept: Array) -> bool:
    """Do the numbers themselves decide which of them are kept? Chance keeps large and small ones alike."""
    for size in (values, np.abs(values)):
        ranks = np.argsort(np.argsort(size, kind="stable"), kind="stable") / max(1, size.size - 1)
        spread = math.sqrt((1 / kept.sum() + 1 / (~kept).sum()) / 12)
        if abs(ranks[kept].mean() - ranks[~kept].mean()) > 6 * spread:
            return True
        lost, held = size[~kept], size[kept]
        if min(len(lost), len(held)) > 4 and (lost.max() < held.min() or held.max() < lost.min()):
            return True
    return False


def whole_maps(there: Array, kept: Array) -> bool:
    """Is each map kept or lost as one? One number is no map."""
    if there.ndim != 4 or there.shape[2:] == (1, 1):
        return False
    alive, left = there.sum(axis=(2, 3)), kept.sum(axis=(2, 3))  # (N, C)
    return bool(((left == 0) | (left == alive)).all())


def scaled(name: str, x: Array, y: Array) -> Iterator[Candidate]:
    """x * a + b with one a and b, or one for each of a few channels."""
    channels = [slice(None)] if x.shape[1] > 4 else [slice(None), *(slice(c, c + 1) for c in range(x.shape[1]))]
    (a, b), *each = (line64(x[:, c].ravel(), y[:, c].ravel()) for c in channels)
    for lines in ([(a, b)], each) if each else ([(a, b)],):
        for change in (written, through_zero, exact):
            changed = [change(*line) for line in lines]
            yield Affine(name, tuple(a for a, _ in changed), tuple(b for _, b in changed)), {}


def written(a: float, b: float) -> tuple[float, float]:
    """As a person will have written it."""
    return tidy(a), tidy(b) if abs(b) > 1e-5 * abs(a) else 0.0


def through_zero(a: float, b: float) -> tuple[float, float]:
    return (a, 0.0) if abs(b) <= 1e-5 * abs(a) else (a, b)


def exact(a: float, b: float) -> tuple[float, float]:
    return a, b


def per_channel(name: str, x: Array, y: Array) -> Iterator[Candidate]:
    """y = a_c x + b_c: batch normalisation at inference."""
    if x.ndim in (2, 4) and x.shape[1] <= 10_000:
        ends = [line64(x[:, c].ravel(), y[:, c].ravel()) for c in range(x.shape[1])]
        weight, shift = (np.array(values) for values in zip(*ends, strict=True))
        yield ChannelNorm(name), {f"{name}.weight": weight, f"{name}.bias": shift}


def lines_by_nature(segment: Segment, tape: Tape) -> bool:
    """Does every operation take one thing that depends on the input? Two points, all that two vectors have, prove no line."""
    return all(len([t for t in op.inputs if t in tape.fed]) == 1 and op.kind in LINES for op in segment.operations)


def of_one_thing(segment: Segment, tape: Tape) -> bool:
    """Does no operation bring two things together that depend on the input?"""
    return all(len([t for t in op.inputs if t in tape.fed]) <= 1 for op in segment.operations)


def added(segment: Segment, tape: Tape, x: Array, y: Array) -> dict[str, Array]:
    """The one vector of parameters that a lone addition adds to the channels; {} where that is not what happens."""
    if len(segment.operations) != 1 or segment.operations[0].kind != "add":
        return {}
    op = segment.operations[0]
    others = [tensor for tensor in op.inputs if tensor not in tape.fed]
    if len(others) != 1 or not tape.known(others[0]):
        return {}
    vector = np.asarray(tape.raw(others[0]), dtype=np.float32).reshape(-1)
    if vector.size != x.shape[1]:
        return {}
    wide = vector.reshape(1, -1, *(1 for _ in x.shape[2:])).astype(np.float64)
    rounds = 2.0**-22 * COARSER.get(tape.dtype(op.outputs[0]), 1.0)
    near = np.abs(y - (x + wide)) <= rounds * (np.abs(x) + np.abs(wide))
    return {f"{segment.name}.bias": vector} if near.all() else {}


def line64(x: Array, y: Array) -> tuple[float, float]:
    """Least squares in float64: a and b of y = a x + b."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = x.mean(), y.mean()
    spread = np.square(x - mean_x).sum()
    a = float((x - mean_x) @ (y - mean_y) / spread) if spread else 1.0
    return a, float(mean_y - a * mean_x)


# What numbers look like: another shape ------------------------------------------------------------------------------------


def reshaped(name: str, x: Array, y: Array) -> Iterator[Layer]:
    if x.ndim == 4 and y.ndim == 2 and x.size == y.size:
        for order in ("hwc", "cwh", "whc", "hcw"):
            if np.array_equal(ORDERS[order](x), y):
                yield Reordered(name, order)
    if x.ndim == 4 and y.shape == x.shape[:2]:
        yield MapMean(name)
    if x.ndim == 4 and y.ndim == 4 and x.size == y.size:
        yield from (Reordered(name, order) for order in ORDERS)
    if x.ndim != 4 or y.ndim != 4 or x.shape[:2] != y.shape[:2]:
        return
    if all(after >= before for before, after in zip(x.shape[2:], y.shape[2:], strict=True)) and (
        pad := padded(name, x, y)
    ):
        yield pad
    yield from pools(name, x, y)


def padded(name: str, x: Array, y: Array) -> Padded | None:
    rows, columns = y.shape[2] - x.shape[2], y.shape[3] - x.shape[3]
    for above, left in itertools.product(range(rows + 1), range(columns + 1)):
        inner = y[:, :, above : above + x.shape[2], left : left + x.shape[3]]
        if np.array_equal(inner, x):
            border = ((above, rows - above), (left, columns - left))
            around = np.ones(y.shape[2:], dtype=bool)
            around[above : above + x.shape[2], left : left + x.shape[3]] = False
            values = y[:, :, around]
            if values.size and (values == values.flat[0]).all():
                return Padded(name, border=border, value=float(values.flat[0]))
    return None


def pools(name: str, x: Array, y: Array) -> Iterator[Layer]:
    """Every pooling of ordinary size that makes as many pixels; adaptive last."""
    if y.shape[2:] == (1, 1):
        yield AdaptivePool(name, 1, True)
    for average in (False, True):
        for kernel, stride in itertools.product((3, 2, 4, 5, 1), (2, 1, 3, 4)):
            for before, after in itertools.product(range(kernel), repeat=2):
                layer = Pool(name, kernel, stride, padding=(before, after), average=average)
                if makes(layer, x, y):
                    yield layer
    if y.shape[2] == y.shape[3]:
        yield AdaptivePool(name, y.shape[2], True)
        yield AdaptivePool(name, y.shape[2], False)
    yield from (layer for layer in uncommon_pools(name) if makes(layer, x, y))


def uncommon_pools(name: str) -> Iterator[Layer]:
    """Means that count their padding, and maxima with zeros of their own on each side."""
    for kernel, stride in ((3, 2), (2, 2), (3, 3), (3, 1)):
        for padding in range(1, kernel):
            yield PaddedMean(name, kernel, stride, padding)
        for above, below, left, right in itertools.product(range(kernel), repeat=4):
            yield BorderedPool(name, kernel, stride, border=((above, below), (left, right)))


def makes(layer: Layer, x: Array, y: Array) -> bool:
    try:
        return layer.output(x.shape[1:]) == y.shape[1:]
    except ValueError:
        return False
