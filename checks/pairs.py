"""Pairs of networks that are the same function, or that differ in known places only; with weights and inputs that show it.

Arithmetic: `exact` uses small integers, so that every sum is exact in float32 in any order and only equal functions give
equal bits; `real` uses real numbers where nothing is summed (maximum, ReLU), so that bits must be equal too; `lrn` uses
real numbers through LRN, which rounds, and is judged with its derived bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..reference import draws, stimuli, variants
from ..reference.spec import Conv, Layer, Lrn, Network, Pool, Relu, Shape
from ..reference.stimuli import BATCH, PIXELS, Stimulus

Array = np.ndarray


class Arithmetic(StrEnum):
    EXACT = "exact"
    REAL = "real"
    LRN = "lrn"


@dataclass(frozen=True)
class Pair:
    """Two sides, each one network or several whose outputs are laid side by side along the maps.

    apart: where the outputs must differ, None for nowhere. Its axes are a position (H, W) of every map or a map (C,); a place
    counts as different if any number there is.
    """

    name: str
    says: str
    arithmetic: Arithmetic
    one: tuple[Stimulus, ...]
    other: tuple[Stimulus, ...]
    apart: Array | None = None

    @property
    def equal(self) -> bool:
        return self.apart is None


def pairs(seed: int) -> tuple[Pair, ...]:
    """All of them, in the order of the network."""
    return (
        *conv1_pairs(seed),
        *(towers_of(conv, seed) for conv in ("conv2", "conv4", "conv5")),
        towers_in_a_chain(seed),
        towers_in_lrn(seed),
        relu_and_pool(seed),
        relu_and_pool_in_the_network(seed),
        *(pool_rounding(size, seed) for size in (55, 27, 13)),
        halving(seed),
    )


# Numbers ------------------------------------------------------------------------------------------------------------


def whole(name: str, network: Network, x: Array, params: stimuli.Params | None = None, seed: int = 0) -> Stimulus:
    """A stimulus of integers: ternary weights unless others are given."""
    return Stimulus(name, network, stimuli.ternary(network, seed) if params is None else params, x)


def pixels(seed: int, name: str, shape: Shape) -> Array:
    """Integer images, never zero: (BATCH, *shape)."""
    return draws.integers(seed, f"pairs/{name}", (BATCH, *shape), PIXELS)


def real(seed: int, name: str, network: Network, std: float = 1.0) -> Stimulus:
    """Real numbers through a network without weights."""
    return Stimulus(name, network, {}, draws.normal(seed, f"pairs/{name}", (BATCH, *network.input_shape), std))


def alone(name: str, shape: Shape, *layers: Layer) -> Network:
    return Network(name, shape, layers, "a few layers, to be compared")


# conv1: 224, 227 and where the zeros lie ------------------------------------------------------------------------------


def conv1_pairs(seed: int) -> Iterator[Pair]:
    """The original's reading of 224 against all others that give 55 x 55. Seven kernels are enough to tell."""
    image = pixels(seed, "conv1", (3, 227, 227))
    small = np.ascontiguousarray(image[:, :, :224, :224])
    base = conv1(224, (0, 3))
    params = stimuli.ternary(base, seed)

    def side(size: int, padding: tuple[int, int], ceil: bool = False) -> tuple[Stimulus, ...]:
        return (whole("exact", conv1(size, padding, ceil), image if size == 227 else small, params),)

    given, everywhere = side(224, (0, 3)), np.ones((55, 55), bool)
    says = "conv1 on 224, sizes rounded up, and on 224 with three zeros at the right and the bottom"
    yield Pair("conv1-rounded-up", says, Arithmetic.EXACT, given, side(224, (0, 0), ceil=True))
    last = np.zeros((55, 55), bool)
    last[-1] = last[:, -1] = True
    says = (
        "conv1 on 224 with three zeros and on 227 real pixels: only the last row and column differ, 109 of 3,025 places"
    )
    yield Pair("conv1-227", says, Arithmetic.EXACT, given, side(227, (0, 0)), last)
    for padding in ((1, 2), (2, 1), (3, 0), (2, 2)):
        says = f"conv1 on 224 with zeros 0 + 3 and {padding[0]} + {padding[1]}: every place differs"
        name = f"conv1-zeros-{padding[0]}-{padding[1]}"
        yield Pair(name, says, Arithmetic.EXACT, given, side(224, padding), everywhere)


def conv1(size: int, padding: tuple[int, int], ceil: bool = False) -> Network:
    layer = variants.variant("paper")["conv1"]
    assert isinstance(layer, Conv)
    changed = dataclasses.replace(layer, channels=7, padding=padding, ceil=ceil)
    return alone(f"conv1 {size} {padding}", (3, size, size), changed)


# Two towers ---------------------------------------------------------------------------------------------------------


def towers_of(conv: str, seed: int) -> Pair:
    """A convolution with two groups, and each tower computed by itself, at the paper's widths."""
    network = variants.variant("paper").only(conv)
    network = dataclasses.replace(network, input_shape=(network.input_shape[0], 11, 13))
    one = whole("exact", network, pixels(seed, conv, network.input_shape), seed=seed)
    says = f"{conv} with two groups, and two towers by themselves, side by side"
    return Pair(f"towers-{conv}", says, Arithmetic.EXACT, (one,), halves(one))


def towers_in_a_chain(seed: int) -> Pair:
    """conv1 to pool2 of the original code: the towers do not meet before conv3."""
    network = variants.variant("original-2012-thin")
    layers = network.layers[: network.names().index("conv3")]
    network = stimuli.exactly(dataclasses.replace(network, layers=layers))
    one = whole("exact", network, pixels(seed, "chain", network.input_shape), seed=seed)
    says = "conv1 to pool2 of the original code with groups, and two towers by themselves, side by side"
    return Pair("towers-conv1-to-pool2", says, Arithmetic.EXACT, (one,), halves(one))


def halves(stimulus: Stimulus) -> tuple[Stimulus, Stimulus]:
    """Both towers of a network as networks of their own, with their part of the weights, and of the input if it is split."""
    network = stimulus.network
    first = network.layers[0]
    assert isinstance(first, Conv)
    split = first.groups == 2
    channels, *rest = network.input_shape
    for layer in network.layers:
        if isinstance(layer, Conv):
            network = network.edit(layer.name, channels=layer.channels // 2, groups=1)
        elif isinstance(layer, Lrn):
            network = network.edit(layer.name, towers=1)
    network = dataclasses.replace(network, input_shape=(channels // 2 if split else channels, *rest))
    params = [{name: part[tower] for name, part in both(stimulus)} for tower in (0, 1)]
    inputs = np.split(stimulus.x, 2, axis=1) if split else [stimulus.x, stimulus.x]
    one, two = (
        Stimulus(stimulus.name, network, own, np.ascontiguousarray(x)) for own, x in zip(params, inputs, strict=True)
    )
    return one, two


def both(stimulus: Stimulus) -> Iterator[tuple[str, list[Array]]]:
    """Each parameter split between the towers: kernels and biases go with their maps."""
    for name, value in stimulus.params.items():
        yield name, [np.ascontiguousarray(part) for part in np.split(value, 2)]


def towers_in_lrn(seed: int) -> Pair:
    """LRN over all 96 maps and within each tower: the windows of two maps on each side of the border change."""
    norm = variants.variant("paper")["norm1"]
    assert isinstance(norm, Lrn)
    over_all, within = (alone("norm1", (96, 5, 7), dataclasses.replace(norm, towers=towers)) for towers in (1, 2))
    border = np.zeros(96, bool)
    border[46:50] = True
    says = "norm1 over all 96 maps and within two towers: only maps 46 to 49 (counted from 0) differ"
    sides = [(real(seed, "norm1", network, 100.0),) for network in (over_all, within)]
    return Pair("towers-norm1", says, Arithmetic.LRN, sides[0], sides[1], border)


# ReLU, pooling, dropout ---------------------------------------------------------------------------------------------


def relu_and_pool(seed: int) -> Pair:
    """max(0, max of a window) = max of max(0, .) over it."""
    relu, pool = Relu("relu"), Pool("pool", 3, 2)
    sides = [
        (real(seed, "relu-pool", alone("relu and pool", (5, 27, 29), *order)),)
        for order in ((relu, pool), (pool, relu))
    ]
    return Pair("relu-pool", "ReLU before and after max-pooling", Arithmetic.REAL, sides[0], sides[1])


def relu_and_pool_in_the_network(seed: int) -> Pair:
    """The original's place of the last ReLU, up to the logits."""
    given = stimuli.stimulus(variants.variant("paper-thin"), "exact", seed)
    before = dataclasses.replace(given.network, layers=given.network.layers[:-1])  # softmax rounds
    sides = [
        (dataclasses.replace(given, network=network),) for network in (before, before.move("relu5", after="pool5"))
    ]
    says = "ReLU before and after pool5, the whole network up to the logits"
    return Pair("relu5-pool5", says, Arithmetic.EXACT, sides[0], sides[1])


def pool_rounding(size: int, seed: int) -> Pair:
    sides = [
        (real(seed, "pool-rounding", alone(f"pool {size}", (5, size, size), Pool("pool", 3, 2, ceil=ceil))),)
        for ceil in (False, True)
    ]
    says = f"pooling 3 x 3, stride 2, of {size} x {size}, sizes rounded down and up"
    return Pair(f"pool-rounding-{size}", says, Arithmetic.REAL, sides[0], sides[1])


def halving(seed: int) -> Pair:
    """Outputs halved at test, and weights that are halved because training doubled the outputs that were kept."""
    layer = variants.variant("paper-thin").only("fc7")
    weights = {
        name: 2 * value if name.endswith("weight") else value for name, value in stimuli.ternary(layer, seed).items()
    }
    halved = {name: value / 2 if name.endswith("weight") else value for name, value in weights.items()}
    x = 2 * pixels(seed, "halving", layer.input_shape)
    says = "fc7 on outputs halved at test, and with its weights halved (inverted dropout)"
    return Pair(
        "dropout-halving",
        says,
        Arithmetic.EXACT,
        (whole("exact", layer, x / 2, weights),),
        (whole("exact", layer, x, halved),),
    )
