"""NaN, infinities, signed zeros, denormals and overflow, put to each kind of layer alone: the cases, as data.

A kind has one small layer and its weights; each of its cases is one image (some share one), of which a part of the outputs is
looked at. `special_answers.py` says what the layer's definition gives, in exact arithmetic and in float32 step by step.

The paper is silent on all of this. A layer's definition is not: max(0, x), a sum of products, x / (k + alpha S)^beta have values
by IEEE 754 for whatever goes in, and who gives others changes how a training run that overflows looks, or hides that it did.

Whatever is finite and not a case is a small integer (for sums) so that there is one right answer to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from .mistaken import Activation
from .spec import (
    WINDOWED,
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
)

Array = np.ndarray
Params = dict[str, Array]
Place = Any  # what indexes an image

NAN, INF = math.nan, math.inf
LARGEST = float(np.finfo(np.float32).max)
DENORMAL = 2.0**-140  # below 2^-126, the smallest normal number
THEMES = ("nan", "infinity", "zero-sign", "denormals", "overflow")


@dataclass(frozen=True)
class Case:
    """Image number `image` of the batch, and which maps or units of the output (the first axis) it is about.

    float32, exact: the answer in a word, step by step in float32 and in exact arithmetic, where something special is. either:
    float32 gives both, as the order of a sum or the choice between equal zeros falls.
    """

    theme: str
    name: str
    image: int
    float32: str
    exact: str = ""  # the same
    part: tuple[int, ...] | None = None  # all
    either: bool = False

    def of(self, outputs: Array) -> Array:
        """What the case is about: (N, C, ...) -> (parts, ...)."""
        image = outputs[self.image]
        return image if self.part is None else image[list(self.part)]


@dataclass(frozen=True)
class Kind:
    """A layer, its weights, and what it is fed: x (N, ...), an image for each case or several."""

    layer: Layer
    params: Params
    x: Array
    cases: tuple[Case, ...]

    @property
    def network(self) -> Network:
        name = self.layer.name
        return Network(f"special/{name}", self.x.shape[1:], (self.layer,), f"a {name} layer alone")


class Images:
    """Collects the images and cases of a kind; an image is a background with something put into it."""

    def __init__(self, background: Array) -> None:
        self.background = background
        self.images: list[Array] = []
        self.cases: list[Case] = []

    def image(self, *changes: tuple[Place, Array | float], background: Array | float | None = None) -> int:
        """A new image, its number: each (index, values) of `changes` put into the background, its own or the kind's."""
        given = self.background if background is None else background
        image = np.array(np.broadcast_to(np.asarray(given, np.float32), self.background.shape))
        for index, values in changes:
            image[index] = values
        self.images.append(image)
        return len(self.images) - 1

    def case(
        self,
        theme: str,
        name: str,
        image: int,
        float32: str,
        exact: str = "",
        part: tuple[int, ...] | None = None,
        either: bool = False,
    ) -> None:
        self.cases.append(Case(theme, name, image, float32, exact, part, either))

    def kind(self, layer: Layer, params: Params) -> Kind:
        return Kind(layer, params, np.stack(self.images), tuple(self.cases))


def integers(shape: Shape) -> Array:
    """1, -2, 3, -1, 2, -3 ... in the order of memory: small integers of both signs, no zero."""
    count = int(np.prod(shape))
    pattern = np.resize(np.array([1, -2, 3, -1, 2, -3], np.float32), count)
    return pattern.reshape(shape)


# Sums of products -----------------------------------------------------------------------------------------------------

# The filters, each with one kind of weight. Signs alternate from tap to tap within a map, as on a chessboard; sizes are 1, 2 and
# 1 from map to map. GAPS has zeros where it reads map 0, INFINITE an infinite first tap, ONES nothing but 1. Biases are -0: they
# add nothing, not even a sign.
PLAIN, GAPS, DENORMALS, SMALL, HUGE, ONES, INFINITE = range(7)
SCALES = {DENORMALS: DENORMAL, SMALL: 2.0**-70, HUGE: 2.0**126}
FILTERS = 7
MAPS = 3


def chessboard(shape: Shape) -> Array:
    """(maps, rows, columns): 1 and -1 alternating within each map."""
    rows, columns = np.indices(shape[1:])
    return np.broadcast_to(1 - 2 * ((rows + columns) % 2), shape).astype(np.float32)


def filters(kernel: tuple[int, int]) -> Array:
    """(FILTERS, MAPS, rows, columns)."""
    plain = np.array([1, 2, 1], np.float32)[:, None, None] * chessboard((MAPS, *kernel))
    made = np.stack([plain * SCALES.get(number, 1.0) for number in range(FILTERS)])
    made[GAPS, 0] = 0
    made[ONES] = 1
    made[INFINITE, 0, 0, 0] = INF
    return made


def sums(layer: Conv | Local | Dense, weight: Array, shape: Shape, at: Callable[[int, int], Place]) -> Kind:
    """The cases of a convolution, a locally connected and a dense layer.

    at(map, place): the index of a pixel; places 0, 1 and 2 follow one another, so that the signs of their taps alternate.
    The background is 1, 2, 3, 1, 2, 3 ... with signs as the taps': no sum of it comes near zero.
    """
    maps = shape if len(shape) == 3 else (MAPS, 1, shape[0] // MAPS)
    images = Images((np.abs(integers(maps)) * chessboard(maps)).reshape(shape))
    first, second, third = (at(0, place) for place in range(3))
    nan, plus, minus = (images.image((first, value)) for value in (NAN, INF, -INF))
    images.case("nan", "NaN among the inputs", nan, "NaN", part=(PLAIN,))
    images.case("nan", "NaN under a weight of 0", nan, "NaN", part=(GAPS,))
    images.case("infinity", "inf among the inputs", plus, "inf", part=(PLAIN,))
    images.case("infinity", "-inf among the inputs", minus, "inf", part=(PLAIN,))
    images.case("infinity", "inf under a weight of 0", plus, "NaN", part=(GAPS,))
    both = images.image((first, INF), (second, INF))
    images.case("infinity", "inf - inf", both, "NaN", part=(PLAIN,))
    ordinary = images.image()
    images.case("infinity", "an infinite weight", ordinary, "inf", part=(INFINITE,))
    if isinstance(layer, WINDOWED):
        images.cases[-1] = replace(images.cases[-1], name="an infinite weight, also over the border", float32="NaN")
    minus_zeros = images.image(background=-0.0)
    images.case("zero-sign", "every product -0, bias -0", minus_zeros, "-0", "0", (ONES,), either=True)
    tiny = images.image(background=images.background * DENORMAL)
    images.case("denormals", "denormal inputs", tiny, "denormal", part=(PLAIN,))
    images.case("denormals", "denormal inputs under large weights", tiny, "normal", part=(HUGE,))
    images.case("denormals", "denormal weights", ordinary, "denormal", part=(DENORMALS,))
    small = images.image(background=images.background * 2.0**-70)
    images.case("denormals", "products that become denormal", small, "denormal", part=(SMALL,))
    largest = images.image((first, LARGEST), background=0)
    images.case("overflow", "the largest number among zeros", largest, "largest", part=(PLAIN,))
    doubled = images.image((at(1, 0), LARGEST))
    images.case("overflow", "twice the largest number", doubled, "inf", part=(PLAIN,))
    on_its_way = images.image((first, LARGEST), (second, -LARGEST), (third, -LARGEST), background=0)
    images.case("overflow", "a sum that overflows on its way", on_its_way, "inf", "largest", (PLAIN,), either=True)
    opposed = images.image((at(1, 0), LARGEST), (at(1, 1), LARGEST), background=0)
    images.case("overflow", "products that overflow and cancel", opposed, "NaN", "0", (PLAIN,))
    bias = np.full(layer.param_shapes(shape)[f"{layer.name}.bias"], -0.0, np.float32)
    return images.kind(layer, {f"{layer.name}.weight": weight, f"{layer.name}.bias": bias})


def conv() -> Kind:
    return sums(
        Conv("conv", FILTERS, 3, padding=(1, 1)), filters((3, 3)), (MAPS, 5, 8), lambda m, place: (m, 2, 3 + place)
    )


def local() -> Kind:
    layer, shape = Local("local", FILTERS, 3, padding=(1, 1)), (MAPS, 4, 6)
    everywhere = filters((3, 3))[:, None, None]  # (O, 1, 1, C, K, K)
    weight = np.array(np.broadcast_to(everywhere, layer.param_shapes(shape)["local.weight"]))
    return sums(layer, weight, shape, lambda m, place: (m, 2, 1 + place))


def dense() -> Kind:
    inputs = 19  # from each map
    weight = filters((1, inputs)).reshape(FILTERS, MAPS * inputs)
    return sums(Dense("dense", FILTERS), weight, (MAPS * inputs,), lambda m, place: (inputs * m + 8 + place,))


# One number at a time -------------------------------------------------------------------------------------------------


def scattered(layer: Layer, shape: Shape, answers: dict[str, tuple[str, float, str]]) -> Kind:
    """Each value at every third number, the first and the last among them: vector loops and their remainders."""
    images = Images(integers(shape))
    places = np.unique([*range(0, int(np.prod(shape)), 3), int(np.prod(shape)) - 1])
    for name, (theme, value, answer) in answers.items():
        image = images.image()
        images.images[image].flat[places] = value
        images.case(theme, name, image, answer, either=isinstance(layer, Relu) and theme == "zero-sign")
    return images.kind(layer, {})


def relu() -> Kind:
    answers = {
        "NaN": ("nan", NAN, "NaN"),
        "inf": ("infinity", INF, "inf"),
        "-inf": ("infinity", -INF, "0"),
        "-0": ("zero-sign", -0.0, "0"),
        "denormal": ("denormals", DENORMAL, "denormal"),
        "-denormal": ("denormals", -DENORMAL, "0"),
        "the largest number": ("overflow", LARGEST, "largest"),
    }
    return scattered(Relu("relu"), (3, 4, 11), answers)


def tanh() -> Kind:
    answers = {
        "NaN": ("nan", NAN, "NaN"),
        "inf": ("infinity", INF, "1"),
        "-inf": ("infinity", -INF, "-1"),
        "-0": ("zero-sign", -0.0, "-0"),
        "denormal": ("denormals", DENORMAL, "denormal"),
        "the largest number": ("overflow", LARGEST, "1"),
    }
    return scattered(Activation("tanh", function="tanh"), (3, 4, 11), answers)


def moved(layer: Layer, shape: Shape) -> Kind:
    """What only hands numbers on."""
    answers = {
        "NaN": ("nan", NAN, "NaN"),
        "inf": ("infinity", INF, "inf"),
        "-0": ("zero-sign", -0.0, "-0"),
        "denormal": ("denormals", DENORMAL, "denormal"),
        "the largest number": ("overflow", LARGEST, "largest"),
    }
    return scattered(layer, shape, answers)


# Normalisation --------------------------------------------------------------------------------------------------------


def normalisation(layer: Lrn | SpatialLrn, shape: Shape, window: tuple[Place, Place]) -> Kind:
    """window: where one number of the input lies, and where it and three neighbours in its window lie."""
    images = Images(integers(shape))
    one, four = window
    images.case("nan", "one NaN", images.image((one, NAN)), "NaN")
    images.case("infinity", "one inf", images.image((one, INF)), "NaN, neighbours 0")
    images.case("infinity", "one -inf", images.image((one, -INF)), "NaN, neighbours 0")
    images.case("zero-sign", "all -0", images.image(background=-0.0), "-0")
    tiny = images.image(background=images.background * DENORMAL)
    images.case("denormals", "all denormal", tiny, "denormal")
    small = images.image(background=images.background * 2.0**-126)
    images.case("denormals", "normal, the result denormal", small, "denormal")
    square = images.image((one, 1e20))
    images.case("overflow", "the square overflows", square, "0", "1e-07")
    total = images.image((four, 1e19))
    images.case("overflow", "the sum of squares overflows", total, "0", "1e-07")
    images.case("overflow", "the largest number", images.image((one, LARGEST)), "0", "5e-17")
    return images.kind(layer, {})


def lrn() -> Kind:
    return normalisation(Lrn("lrn"), (11, 2, 3), ((3, 1, 2), (slice(7, 11), 1, 2)))


def spatial_lrn() -> Kind:
    inside = (slice(2, 4), slice(3, 5))  # 2 x 2 pixels, each in the window of all
    return normalisation(SpatialLrn("spatial-lrn", n=3, k=2.0), (2, 7, 8), ((1, 2, 3), (1, *inside)))


# Pooling --------------------------------------------------------------------------------------------------------------

POOLED = (5, 9, 12)  # (C, H, W) under windows of 3 x 3, three apart
BORDERED = (3, 8, 13)  # the same with a border of 1, which cuts the first and the last windows
WHOLE = [(m, row, column) for m in range(5) for row in (0, 3, 6) for column in (0, 3, 6, 9)]  # windows' first pixels
BETWEEN = [
    (m, row, column) for m in range(3) for row in (2, 5) for column in (2, 5, 8)
]  # those that the border leaves whole


def each_place(value: float, windows: Sequence[tuple[int, int, int]]) -> list[tuple[Place, float]]:
    """The value once in every window, at each of the nine places in turn."""
    places = ((m, row + n % 9 // 3, column + n % 3) for n, (m, row, column) in enumerate(windows))
    return [(place, value) for place in places]


def max_pool() -> Kind:
    """As many windows as a real network has, or nearly: some libraries take other kernels for a few."""
    images = Images(integers(POOLED))
    window = (1, slice(6, 9), slice(3, 6))
    images.case("nan", "one NaN, at each place in a window", images.image(*each_place(NAN, WHOLE)), "NaN")
    images.case("nan", "nothing but NaN", images.image((window, NAN)), "NaN")
    images.case("nan", "NaN among inf", images.image((window, INF), ((1, 7, 4), NAN)), "NaN")
    images.case("infinity", "one inf, at each place in a window", images.image(*each_place(INF, WHOLE)), "inf")
    images.case("infinity", "nothing but -inf", images.image((window, -INF)), "-inf")
    mixed = images.image(*each_place(0.0, WHOLE), background=-0.0)
    images.case("zero-sign", "one 0 among -0", mixed, "0", "-0", either=True)
    images.case("zero-sign", "nothing but -0", images.image(background=-0.0), "-0", "0", either=True)
    tiny = images.image(*each_place(DENORMAL, WHOLE), background=-np.abs(images.background))
    images.case("denormals", "one denormal, all else negative", tiny, "denormal")
    images.case("overflow", "the largest number", images.image(*each_place(LARGEST, WHOLE)), "largest")
    images.case("overflow", "nothing but the lowest number", images.image(background=-LARGEST), "lowest")
    return images.kind(Pool("max-pool", 3, 3), {})


def padded_pool() -> Kind:
    """A maximum whose windows reach beyond the edge: what is there counts, and nothing else."""
    images = Images(integers(BORDERED))
    at_edge = (0, slice(0, 2), slice(2, 5))
    images.case("nan", "one NaN, at each place in a window", images.image(*each_place(NAN, BETWEEN)), "NaN")
    images.case("nan", "nothing but NaN, at the edge", images.image((at_edge, NAN)), "NaN")
    images.case("infinity", "nothing but -inf, at the edge", images.image((at_edge, -INF)), "-inf")
    tiny = images.image(*each_place(DENORMAL, BETWEEN), background=-np.abs(images.background))
    images.case("denormals", "one denormal, all else negative", tiny, "denormal")
    images.case("overflow", "nothing but the lowest number", images.image(background=-LARGEST), "lowest")
    return images.kind(Pool("padded-pool", 3, 3, padding=(1, 1)), {})


def average_pool() -> Kind:
    unit = 36  # so that a mean of 9, 6 or 4 pixels is an integer
    images = Images(unit * integers(BORDERED))
    images.case("nan", "one NaN, at each place in a window", images.image(*each_place(NAN, BETWEEN)), "NaN")
    images.case("infinity", "one inf, at each place in a window", images.image(*each_place(INF, BETWEEN)), "inf")
    images.case("infinity", "inf - inf", images.image(((1, 5, 2), INF), ((1, 6, 4), -INF)), "NaN")
    images.case("zero-sign", "nothing but -0", images.image(background=-0.0), "-0", "0", either=True)
    tiny = images.image(background=images.background * DENORMAL)
    images.case("denormals", "all denormal", tiny, "denormal")
    images.case("overflow", "the sum overflows", images.image(background=LARGEST), "inf", "largest")
    return images.kind(Pool("average-pool", 3, 3, padding=(1, 1), average=True), {})


# Softmax --------------------------------------------------------------------------------------------------------------


def softmax() -> Kind:
    images = Images(integers((11,)))
    images.case("nan", "one NaN", images.image((3, NAN)), "NaN")
    images.case("infinity", "one inf", images.image((3, INF)), "NaN")
    images.case("infinity", "one -inf", images.image((3, -INF)), "0")
    images.case("infinity", "nothing but -inf", images.image(background=-INF), "NaN")
    tiny = images.image(background=images.background * DENORMAL)
    images.case("denormals", "denormal logits", tiny, "1 / 11")
    improbable = images.image(([3, 9], -90.0), background=0)
    images.case("denormals", "a probability that is denormal", improbable, "denormal")
    images.case("overflow", "one logit of 1e4", images.image((3, 1e4)), "1")
    images.case("overflow", "every logit 1e4", images.image(background=1e4), "1 / 11")
    images.case("overflow", "every logit -1e4", images.image(background=-1e4), "1 / 11")
    span = images.image((3, LARGEST), (9, -LARGEST))
    images.case("overflow", "the largest and the lowest number", span, "1")
    return images.kind(Softmax("softmax"), {})


KINDS: dict[str, Callable[[], Kind]] = {
    "conv": conv,
    "local": local,
    "dense": dense,
    "relu": relu,
    "tanh": tanh,
    "lrn": lrn,
    "spatial-lrn": spatial_lrn,
    "max-pool": max_pool,
    "padded-pool": padded_pool,
    "average-pool": average_pool,
    "flatten": lambda: moved(Flatten("flatten"), (3, 4, 11)),
    "dropout": lambda: moved(Dropout("dropout"), (23,)),
    "softmax": softmax,
}


@cache
def kind(name: str) -> Kind:
    """The kind of layer called `name`; its arrays are shared: leave them as they are."""
    return KINDS[name]()
