"""The numbers that make a layer say which arithmetic it computes in: weights of few taps, and eight images.

Three kinds of filter are dealt in turn, every filter one of them:

    sum        +-1 (the same three times) at three taps, one in each of three classes of input maps
    product    a weight w of 24 significant bits in the first class, -(X w rounded to float32) in the second; in every other
               one w in the third class, 2^12 (Y w rounded to float32) in the second; some scaled by 2^12 or 2^-18
    order      2^12, -2^12 and 2^-18 fourteen times over, at the same sixteen taps in all such filters

Maps (or inputs of a dense layer) are classed 0, 1, 2, 0, 1, 2 ... within their group. Each image has a value or a rule
for each class:

    wide       class 0 (in repetitions 1, then 2): odd integers of 9 to 24 significant bits, scaled to 1..2; the rest 0. One
               term: how activations are read
    unit       the same class: powers of two from 2^-38 to 2^3; the rest 0. One term: how weights are read, and float16's range
    fused      X (24 bits), 1, 0: X w - (X w rounded) is zero, unless the product entered the addition unrounded
    residual   X, 2^-12, -Y with Y = X rounded to bfloat16: what is left of X tells rounded inputs from rounded results
    swallow-N  M, -M and M 2^-L with M = 2^12, in the three rotations, L from pixel to pixel another one of 3 to 60
    ones       1 everywhere: how many of the fourteen survive beside +-2^12 is the order of summation

*swallow*: in any order, as long as two are added first, exactly one of the three rotations adds the small number when the
large ones are gone; in the two others it survives only if the accumulator has room for it. Where the room ends is the
accumulator's width. *ones*: fourteen times 2^-18 is below half a unit in the last place of 2^12, so what was added to either
large number before they met is lost (Xie et al., "Revealing Floating-Point Accumulation Orders in Software/Hardware
Implementations", USENIX ATC 2025, arXiv:2411.00442, measure orders so).

No input and no weight is too large for float16. *unit* and *swallow* leave its range on purpose: their inputs go down to 2^-38
and 2^-48, below its 2^-24, and their products up to 2^17 and 2^26, beyond its 65504. All other products lie within it.

`whole` is for modules that are fixed to one network: the whole of it, one or three taps per filter, their weights of 24 bits.
What each layer is fed is then whatever comes out of the one before.
"""

from __future__ import annotations

import math

import numpy as np

from . import draws
from .precision import BFLOAT16
from .spec import Conv, Dense, Layer, Network

Array = np.ndarray

SHEETS = ("wide", "unit", "fused", "residual", "swallow-0", "swallow-1", "swallow-2", "ones")
CLASSES = 3
LARGE, SMALL = 2.0**12, 2.0**-18
SCALES = (LARGE, SMALL, 1.0, 1.0)  # of product filters
ORDERED = 16  # taps of an order filter
WIDTHS = (24, 24, 24, 9, 12, 13, 17, 20)  # significant bits of the wide integers
LEVELS = np.array([3, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 22, 23, 24, 25, 26, 27, 30, 40, 51, 52, 53, 54, 60])
FEWEST = 512  # answers to each image, by repeating all eight: small layers give few


def groups_of(layer: Layer) -> int:
    return layer.groups if isinstance(layer, Conv | Dense) else 1


def wide(seed: int, name: str, shape: tuple[int, ...], widths: tuple[int, ...] = WIDTHS) -> Array:
    """Odd integers of `widths` significant bits over a power of two, 1 to 2 in size, either sign; float64."""
    count = math.prod(shape)
    high, low = draws.words(seed, name, 2 * count).astype(np.int64).reshape(2, count)
    bits = np.array(widths)[high % len(widths)]
    sign = np.where(high & 0x8000, -1, 1)
    fraction = ((high >> 3) & 0x7F) << 16 | low  # 23 bits
    integers = (1 << 23 | fraction) >> (24 - bits) | 1
    return (sign * np.ldexp(integers.astype(np.float64), 1 - bits)).reshape(shape)


# One layer ------------------------------------------------------------------------------------------------------------


def constant(seed: int, layer: str) -> float:
    """X: 24 significant bits, 1 to 2."""
    return float(abs(wide(seed, f"probe/{layer}/X", (1,), (24,))[0]))


def weight(layer: Layer, before: tuple[int, ...], seed: int) -> Array:
    """The layer's weight, a filter of each kind in turn: float32 in the parameter's shape."""
    shape = layer.param_shapes(before)[f"{layer.name}.weight"]
    inputs = layer.reduction(before)
    filters, span = math.prod(shape) // inputs, inputs // (shape[-3] if len(shape) > 2 else inputs)
    rows = np.arange(filters)
    turn = rows % (filters // groups_of(layer))  # within the group, so that each has all kinds
    kind = turn % len(KINDS)
    found = np.zeros((filters, inputs), np.float32)
    taps = classed_taps(layer.name, filters, inputs, span, seed)
    for place, name in enumerate(KINDS):
        mine = rows[kind == place]
        if name == "sum":
            found[mine[:, None], taps[mine]] = np.where(turn[mine] // len(KINDS) % 2, -1, 1)[:, None]
        elif name == "product":
            product_filters(found, mine, taps[mine], seed, layer.name)
    order_filters(found, rows[np.isin(kind, ORDER_PLACES)], seed, layer.name)
    return found.reshape(shape)


KINDS = ("sum", "product", "order", "product", "order")
ORDER_PLACES = tuple(place for place, name in enumerate(KINDS) if name == "order")


def classed_taps(layer: str, filters: int, inputs: int, span: int, seed: int) -> Array:
    """For each filter a tap in a map of each class, anywhere in it: (filters, 3); `span` taps in each map."""
    maps = inputs // span
    found = np.empty((filters, CLASSES), np.int64)
    for which in range(CLASSES):
        words = draws.words(seed, f"probe/{layer}/taps/{which}", 2 * filters).astype(np.int64).reshape(2, filters)
        choices = np.arange(which % maps, maps, CLASSES)
        found[:, which] = choices[words[0] % len(choices)] * span + words[1] % span
    return found


def product_filters(found: Array, rows: Array, taps: Array, seed: int, layer: str) -> None:
    """A wide weight, and what cancels its product, rounded, with X; or, in every other row, with Y, in the other order of maps.

    Large, small and two as they are: small ones have few bits in float16, and large ones bring what small activations have left
    of them within the range of a float16 result.
    """
    place = np.arange(len(rows))
    other = place % 2 == 1
    x = constant(seed, layer)
    values = wide(seed, f"probe/{layer}/w", (len(rows),), (24,)) * np.array(SCALES)[place % len(SCALES)]
    found[rows, np.where(other, taps[:, 2], taps[:, 0])] = values
    cancels = np.where(other, LARGE * (values * BFLOAT16.rounded(np.array(x))), -values * x)
    found[rows, taps[:, 1]] = cancels.astype(np.float32)


def order_filters(found: Array, rows: Array, seed: int, layer: str) -> None:
    """Sixteen taps, the same in every one of these rows; +-2^12 at a pair of them: neighbours, halves, then any."""
    inputs = found.shape[1]
    count = min(ORDERED, inputs - inputs % 2)
    taps = np.sort(draws.permutation(seed, f"probe/{layer}/order", inputs)[:count])
    half = count // 2
    pairs = [(2 * i, 2 * i + 1) for i in range(half)] + [(i, i + half) for i in range(half)]
    shuffled = draws.permutation(seed, f"probe/{layer}/pairs", count * (count - 1) // 2)
    others = [(i, j) for i in range(count) for j in range(i + 1, count)]
    pairs += [others[place] for place in shuffled]
    for place, row in enumerate(rows):
        plus, minus = pairs[place % len(pairs)]
        found[row, taps] = SMALL
        found[row, taps[plus]], found[row, taps[minus]] = LARGE, -LARGE


def classes(layer: Layer, before: tuple[int, ...]) -> Array:
    """The class of each input map, or of each input: (C,)."""
    return np.arange(before[0]) % (before[0] // groups_of(layer)) % CLASSES


def images(layer: Layer, before: tuple[int, ...], seed: int) -> Array:
    """The eight images, repeated with other numbers where the layer gives few answers: (N, *before), float32."""
    repeats = -(-FEWEST // math.prod(layer.output(before)))
    of_class = classes(layer, before).reshape(-1, *(1 for _ in before[1:]))
    found = np.zeros((repeats, len(SHEETS), *before), np.float32)
    for place, sheet in enumerate(SHEETS):
        values = sheet_values(sheet, layer.name, (repeats, *before), seed)
        for which, value in enumerate(values):
            np.copyto(found[:, place], value, where=of_class == which, casting="same_kind")
    return found.reshape(-1, *before)


def sheet_values(sheet: str, layer: str, shape: tuple[int, ...], seed: int) -> list[Array]:
    """What maps of each class hold in each repetition: three arrays that broadcast to `shape`, (repetitions, *before)."""
    name = f"probe/{layer}/{sheet}"
    zero, one = np.zeros(1), np.ones(1)
    if sheet in ("wide", "unit"):
        lit = wide(seed, name, shape) if sheet == "wide" else powers(seed, name, shape)
        turn = np.arange(shape[0]).reshape(-1, *(1 for _ in shape[1:])) % CLASSES  # the class that is lit
        return [np.where(turn == which, lit, 0) for which in range(CLASSES)]
    if sheet == "fused":
        return [one * constant(seed, layer), one, zero]
    if sheet == "residual":
        x = one * constant(seed, layer)
        return [x, one / LARGE, -BFLOAT16.rounded(x)]
    if sheet == "ones":
        return [one, one, one]
    words = draws.words(seed, name, math.prod(shape)).astype(np.int64).reshape(shape)
    small = np.ldexp(np.where(words & 1, LARGE, -LARGE), -LEVELS[(words >> 1) % len(LEVELS)])
    first = int(sheet[-1])
    values = [one * LARGE, -one * LARGE, small]
    return values[first:] + values[:first]


def powers(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """2^-38 to 2^3."""
    exponents = draws.words(seed, name, math.prod(shape)).astype(np.int64) % 42 - 38
    return np.ldexp(1.0, exponents).reshape(shape)


# The whole network ----------------------------------------------------------------------------------------------------


def chain_weight(layer: Layer, before: tuple[int, ...], seed: int) -> Array:
    """One or three taps per filter in turn, 24 significant bits, a half to one in size; the third is negative."""
    shape = layer.param_shapes(before)[f"{layer.name}.weight"]
    inputs = layer.reduction(before)
    filters = math.prod(shape) // inputs
    turn = np.arange(filters) % (filters // groups_of(layer))
    pack = draws.permutation(seed, f"probe/whole/{layer.name}/pack", inputs)
    taps = pack[(turn[:, None] * CLASSES + np.arange(CLASSES)) % inputs]  # (filters, 3), each used in turn
    values = np.abs(wide(seed, f"probe/whole/{layer.name}", taps.shape, (24,))) / 2 * (1, 1, -1)
    found = np.zeros((filters, inputs), np.float32)
    lone = turn % 2 == 1
    found[np.flatnonzero(~lone)[:, None], taps[~lone]] = values[~lone]
    found[np.flatnonzero(lone), taps[lone, 0]] = values[lone, 0]
    return found.reshape(shape)


def params(network: Network, seed: int, alone: bool) -> dict[str, Array]:
    """All weights, of one layer `alone` or of a whole network; biases are zero: they are no part of the question."""
    make = weight if alone else chain_weight
    found: dict[str, Array] = {}
    for layer, before, _ in network.walk():
        for name, shape in layer.param_shapes(before).items():
            biased = name.endswith(".bias")
            found[name] = np.zeros(shape, np.float32) if biased else make(layer, before, seed)
    return found
