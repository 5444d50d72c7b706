"""What a network is fed: weights and inputs, from a seed, made to show one thing each.

    exact        ternary weights, integer inputs, LRN as the identity: every partial sum is exact in float32
    dense        one layer alone, no zero among weights and inputs: a single weight off by 2^-10 shows
    one-tap      one +-1 per filter: every affine layer is exact on real inputs, with the paper's own LRN
    large        Gaussian weights that keep activations large, where LRN's constants matter
    photograph   the paper's initialisation and a real photograph

    probe        one layer alone, or the whole network: numbers that say which arithmetic it computes in (`probe.py`)

for gradients:

    gradient-exact    as exact, with fewer weights and an upstream gradient of -1, 0 and 1 at the logits: gradients are exact too
    (large has labels, for the gradient of the loss; dense has upstream gradients, no zero among them)
    dropout-paper     as gradient-exact, with masks of 0 and 1 for the dropout layers, as the paper has them
    dropout-inverted  the same with masks of 0 and 2, as frameworks have them

special values, a layer of one kind alone (`special_values.py`), the same for every network and seed:

    special.KIND      NaN, infinities, signed zeros, denormals and overflow through a convolution, a pooling ...: an image a case

for what needs no input, only the seed: each is fed to a pass of the same name (`checks/passes.py`):

    init, init-seeds  what an implementation's own initialisers draw, once and three times
    loss              its cross-entropy on hard logits
    augmentation      its crops, flips, ten views and colour noise
    dropout-own       its own dropout, as its users call it
    update            the problem that optimisers are run on, and the seed of a thin network's step()
    train             a few steps of training, and a checkpoint between them
    towers, towers-steps    what crosses between two towers; their updates and steps

and, for a network whose first layer pads one side more than the other, or rounds up (`paper-224`, `original-2012`):

    impulse      conv1 alone with numbered taps, one lit pixel in a corner: the answer tells where the zeros lie
    enlarged-exact, enlarged-photograph
                 as exact and photograph, with the zeros as pixels of the input and no padding: 227 x 227
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import draws, oracle, probe, special_values
from .photograph import photograph
from .spec import (
    AFFINE,
    Conv,
    Dense,
    Dropout,
    Layer,
    Local,
    Lrn,
    Network,
    Pool,
    Relu,
    Shape,
    SpatialLrn,
    borders,
    nearest,
)

Array = np.ndarray
Params = dict[str, Array]

BATCH = 2
MASKED = ("paper-thin", "one-weird-trick-thin")  # dropout behind the dense layers, and before them: all that there is
GRADIENT_TAPS = 16  # the same where gradients shall be exact as well: they grow as they go back
TAPS = 24  # non-zero weights per filter: sums stay small, half of the activations alive down to fc8, every tap covered
PIXELS = np.array([s * m for s in (-1, 1) for m in range(1, 5)])  # integer inputs of the exact network, +-1 to +-4
SMALL = np.array([s * m for s in (-1, 1) for m in range(1, 9)])  # +-1 to +-8, never zero
BIASES = np.array([s * m for s in (-1, 1) for m in (1, 2, 3)])  # never zero: a missing bias shows


@dataclass(frozen=True)
class Stimulus:
    """A network with weights and a batch of inputs; float32, kernels O,I,H,W, dense (out, in), inputs N,C,H,W.

    For the backward pass: `labels`, integers (N,), or `upstream`, the gradient at the logits, (N, classes); `masks`, what the
    dropout layers multiply by, by name.
    """

    name: str
    network: Network
    params: Params
    x: Array
    seed: int = 0
    labels: Array | None = None
    upstream: Array | None = None
    masks: Params | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        given = {"labels": self.labels, "upstream": self.upstream, **(self.masks or {})}
        backward = {name: array for name, array in given.items() if array is not None}
        found = {"params": draws.digest(self.params), "input": draws.digest({"input": self.x})}
        return {**found, "backward": draws.digest(backward)} if backward else found


# Networks made exact ------------------------------------------------------------------------------------------------


def exactly(network: Network) -> Network:
    """The network with each LRN as x / 1^beta: an identity to the bit, so that the whole chain can be exact."""
    for layer in network.layers:
        if isinstance(layer, Lrn | SpatialLrn):
            network = network.edit(layer.name, k=1.0, alpha=0.0)
    return dataclasses.replace(network, name=f"{network.name}/exact")


# Weights ------------------------------------------------------------------------------------------------------------


def deal(seed: int, name: str, shape: Shape, inputs: int, groups: int, taps: int, signs: Array) -> Array:
    """A weight with `taps` non-zero entries per filter, dealt like cards so that every tap is used somewhere.

    The last axes of `shape` are a filter's `inputs`, those before them the filters. Consecutive filters of a group take
    consecutive cards of the group's own shuffled pack, and start over when it is used up. The packs differ, so that groups
    in the wrong order show.
    """
    filters, taps = math.prod(shape) // inputs, min(taps, inputs)
    dealt = (np.arange(filters // groups)[:, None] * taps + np.arange(taps)) % inputs  # (filters of a group, taps)
    packs = [draws.permutation(seed, f"{name}/pack/{group}", inputs) for group in range(groups)]
    cards = np.concatenate([pack[dealt] for pack in packs])  # (filters, taps)
    weight = np.zeros((filters, inputs), dtype=np.float32)
    np.put_along_axis(weight, cards, draws.integers(seed, f"{name}/signs", cards.shape, signs), axis=1)
    return weight.reshape(shape)


def each_layer(network: Network, make: Callable[[Layer, Shape, str, Shape], Array]) -> Params:
    """Parameters by name from make(layer, its input shape, parameter's name, parameter's shape)."""
    return {
        name: make(layer, before, name, shape)
        for layer, before, _ in network.walk()
        for name, shape in layer.param_shapes(before).items()
    }


def groups_of(layer: Layer) -> int:
    return layer.groups if isinstance(layer, Conv | Dense) else 1


def units(network: Network) -> dict[str, int]:
    """The unit that each affine layer's weights are integer multiples of: 1, so that its sums are exact.

    Before an average pooling it is the least common multiple of the numbers of pixels that its windows see (9, 6 and 4 with
    windows of 3 x 3 rounded up: 36), so that every mean is an integer too.
    """
    found, last = {}, ""
    for layer, before, _ in network.walk():
        if isinstance(layer, AFFINE):
            last, found[layer.name] = layer.name, 1
        elif isinstance(layer, Pool) and layer.average:
            counts = np.unique(oracle.window_counts((1, *before), layer))
            found[last] = math.lcm(*(int(count) for count in counts))
    return found


def ternary(network: Network, seed: int, taps: int = TAPS) -> Params:
    """Weights of -1, 0 and 1 with `taps` non-zero per filter, biases +-1 to +-3; both in multiples of the layer's unit."""
    unit = units(network)

    def make(layer: Layer, before: Shape, name: str, shape: Shape) -> Array:
        if name.endswith(".bias"):
            return draws.integers(seed, f"exact/{name}", shape, BIASES * unit[layer.name])
        signs = np.array([-1, 1]) * unit[layer.name]
        return deal(seed, f"exact/{name}", shape, layer.reduction(before), groups_of(layer), taps, signs)

    return each_layer(network, make)


def one_tap(network: Network, seed: int) -> Params:
    """One non-zero weight per filter: +-1 in the first layer, +1 in later ones (so that activations live on)."""
    first = next(layer for layer in network.layers if isinstance(layer, AFFINE))

    def make(layer: Layer, before: Shape, name: str, shape: Shape) -> Array:
        if name.endswith(".bias"):
            return draws.normal(seed, f"one-tap/{name}", shape, std=1.0)
        signs = np.array([-1, 1]) if layer is first else np.array([1])
        return deal(seed, f"one-tap/{name}", shape, layer.reduction(before), groups_of(layer), 1, signs)

    return each_layer(network, make)


def nonzero(network: Network, seed: int) -> Params:
    """Every weight one of +-1 to +-8, biases +-1 to +-3."""

    def make(_: Layer, __: Shape, name: str, shape: Shape) -> Array:
        return draws.integers(seed, f"dense/{name}", shape, BIASES if name.endswith(".bias") else SMALL)

    return each_layer(network, make)


def paper_init(network: Network, seed: int) -> Params:
    """The paper's initialisation (Section 5): weights N(0, 0.01), biases one in conv2, 4, 5, fc6, fc7, else zero."""

    def make(layer: Layer, _: Shape, name: str, shape: Shape) -> Array:
        assert isinstance(layer, Conv | Local | Dense)
        if name.endswith(".bias"):
            spread = draws.normal(seed, f"init/{name}", shape, layer.init_bias_std)
            return spread + np.float32(layer.init_bias)
        return draws.normal(seed, f"init/{name}", shape, layer.init_std)

    return each_layer(network, make)


INPUT_STD = 60.0  # of a centred RGB image, in grey levels
LARGE_STD = 100.0  # of every affine layer's outputs, about: large enough before each LRN for its constants to matter
LOGIT_STD = 3.0  # of the last layer's: a softmax that is neither flat nor one-hot


def large(network: Network, seed: int) -> Params:
    """Gaussian weights and biases with activations of about LARGE_STD at every affine layer, LOGIT_STD at the last.

    A weight's std is the target / (scale of the layer's inputs * sqrt(products summed)). The scale is followed roughly
    through the chain: ReLU leaves 1 / sqrt(2) of it, LRN divides by its own denominator, a maximum of nine adds half and
    their mean takes away two fifths.
    """
    last = [layer.name for layer in network.layers if isinstance(layer, AFFINE)][-1]
    targets = {layer.name: LOGIT_STD if layer.name == last else LARGE_STD for layer in network.layers}
    stds, scale = {}, INPUT_STD
    for layer, before, _ in network.walk():
        match layer:
            case Conv() | Local() | Dense():
                stds[layer.name] = targets[layer.name] / (scale * math.sqrt(layer.reduction(before)))
                scale = targets[layer.name]
            case Relu():
                scale /= math.sqrt(2)
            case Lrn() | SpatialLrn():
                window = layer.n**2 if isinstance(layer, SpatialLrn) else layer.n
                scale /= (layer.k + layer.alpha * window * scale**2) ** layer.beta
            case Pool():
                scale *= 0.6 if layer.average else 1.5

    def make(layer: Layer, _: Shape, name: str, shape: Shape) -> Array:
        std = targets[layer.name] / 10 if name.endswith(".bias") else stds[layer.name]
        return draws.normal(seed, f"large/{name}", shape, std)

    return each_layer(network, make)


# Stimuli ------------------------------------------------------------------------------------------------------------


def noise(network: Network, seed: int, name: str) -> Array:
    return draws.normal(seed, f"{name}/input", (BATCH, *network.input_shape), INPUT_STD)


def _exact(network: Network, seed: int) -> Stimulus:
    x = draws.integers(seed, "exact/input", (BATCH, *network.input_shape), PIXELS)
    return Stimulus("exact", exactly(network), ternary(network, seed), x)


def _one_tap(network: Network, seed: int) -> Stimulus:
    return Stimulus("one-tap", network, one_tap(network, seed), noise(network, seed, "one-tap"))


def _large(network: Network, seed: int) -> Stimulus:
    labels = draws.integers(seed, "large/labels", (BATCH,), np.arange(classes(network))).astype(np.int64)
    return Stimulus("large", network, large(network, seed), noise(network, seed, "large"), labels=labels)


def classes(network: Network) -> int:
    """How many logits there are."""
    return math.prod(network.layers[-1].output(list(network.walk())[-1][1]))


def _gradient_exact(network: Network, seed: int) -> Stimulus:
    x = draws.integers(seed, "gradient-exact/input", (BATCH, *network.input_shape), PIXELS)
    upstream = draws.integers(seed, "gradient-exact/upstream", (BATCH, classes(network)), np.array([-1, 0, 1]))
    return Stimulus(
        "gradient-exact", exactly(network), ternary(network, seed, GRADIENT_TAPS), x, seed, upstream=upstream
    )


def _dropout(kept: int) -> Callable[[Network, int], Stimulus]:
    """Numbers as gradient-exact has, half of what each dropout layer is fed dropped and the rest multiplied by `kept`."""
    name = "dropout-paper" if kept == 1 else "dropout-inverted"

    def make(network: Network, seed: int) -> Stimulus:
        plain = _gradient_exact(network, seed)
        masks = {
            layer.name: draws.integers(seed, f"dropout/{layer.name}/mask", (BATCH, *before), np.array([0, kept]))
            for layer, before, _ in network.walk()
            if isinstance(layer, Dropout)
        }
        return dataclasses.replace(plain, name=name, masks=masks)

    return make


def _photograph(network: Network, seed: int) -> Stimulus:
    _, height, width = network.input_shape
    return Stimulus("photograph", network, paper_init(network, seed), photograph(height, width))


def _dense(network: Network, layer: str, seed: int) -> Stimulus:
    alone = network.only(layer)
    x = draws.integers(seed, f"dense/{layer}/input", (BATCH, *alone.input_shape), SMALL)
    shape = (BATCH, *alone.shapes()[layer])
    upstream = draws.integers(seed, f"dense/{layer}/upstream", shape, np.array([-3, -2, -1, 1, 2, 3]))
    return Stimulus(f"dense.{layer}", alone, nonzero(alone, seed), x, seed, upstream=upstream)


def _probe(network: Network, layer: str, seed: int) -> Stimulus:
    alone = network.only(layer)
    x = probe.images(alone.layers[0], alone.input_shape, seed)
    return Stimulus(f"probe.{layer}", alone, probe.params(alone, seed, alone=True), x, seed)


def _probe_whole(network: Network, seed: int) -> Stimulus:
    params = probe.params(network, seed, alone=False)
    return Stimulus("probe", network, params, noise(network, seed, "probe"), seed)


def _impulse(network: Network, seed: int) -> Stimulus:
    """conv1's taps numbered 1, 2, 3 ... through all filters; image 0 lit at the first pixel, image 1 at the last."""
    alone = network.only(network.layers[0].name)
    weight, bias = alone.param_shapes()
    shapes = alone.param_shapes()
    taps = np.arange(1, math.prod(shapes[weight]) + 1, dtype=np.float32).reshape(shapes[weight])
    x = np.zeros((2, *network.input_shape), dtype=np.float32)
    x[0, 0, 0, 0] = x[1, 0, -1, -1] = 1
    return Stimulus("impulse", alone, {weight: taps, bias: np.zeros(shapes[bias], dtype=np.float32)}, x)


def _enlarged(stimulus: Stimulus) -> Stimulus:
    """The same weights and image, the first layer's padding made part of the image."""
    network = stimulus.network
    first = network.layers[0]
    assert isinstance(first, Conv)
    x = np.pad(stimulus.x, ((0, 0), (0, 0), *borders(first, network.input_shape)))
    plain = dataclasses.replace(network.edit(first.name, padding=(0, 0), ceil=False), input_shape=x.shape[1:])
    return Stimulus(f"enlarged-{stimulus.name}", plain, stimulus.params, x)


_MAKERS = {"exact": _exact, "one-tap": _one_tap, "large": _large, "photograph": _photograph}
_BACKWARD = {"gradient-exact": _gradient_exact}
_PROBE = {"probe": _probe_whole}
_DROPOUT = {"dropout-paper": _dropout(1), "dropout-inverted": _dropout(2)}
_SEED_ALONE: dict[str, Callable[[Network], bool]] = {  # by name: for which networks there is such a stimulus
    "towers": lambda network: network.name.removesuffix("-thin") in ("paper", "single-tower"),
    "towers-steps": lambda network: network.name in ("paper-thin", "original-2012-thin"),
    "init": lambda network: network.name in ("paper", "paper-thin"),
    "update": lambda network: network.name in ("paper", "paper-thin"),
    "train": lambda network: network.name in ("paper-thin", "cifar-18pct-thin"),
    "init-seeds": lambda network: network.name == "paper-thin",
    "dropout-own": lambda network: network.name in ("paper", "paper-thin"),
    "augmentation": lambda network: network.name in ("paper", "paper-thin"),
    "loss": lambda network: network.name in ("paper", "paper-thin"),
    "saved": lambda network: network.name in ("paper-thin", "cifar-11pct-thin"),
}
_SPECIAL = {f"special.{kind}": kind for kind in special_values.KINDS}
_PADDING = {
    "impulse": _impulse,
    "enlarged-exact": lambda network, seed: _enlarged(_exact(network, seed)),
    "enlarged-photograph": lambda network, seed: _enlarged(_photograph(network, seed)),
}


def names(network: Network) -> list[str]:
    """The stimuli that exist for a network, in the order above; dense.LAYER for each affine layer."""
    first = network.layers[0]
    uneven = isinstance(first, Conv) and (first.ceil or first.padding[0] != first.padding[1])
    affine = [layer.name for layer in network.layers if isinstance(layer, AFFINE)]
    alone = [f"dense.{layer}" for layer in affine]
    seeded = [name for name, exists in _SEED_ALONE.items() if exists(network)]
    masked = _DROPOUT if network.name in MASKED else ()
    probes = [*_PROBE, *(f"probe.{layer}" for layer in affine)] if probed(network) else ()
    special = _SPECIAL if network.name in ("paper", "paper-thin") else ()
    return [*_MAKERS, *_BACKWARD, *masked, *alone, *probes, *seeded, *special, *(_PADDING if uneven else ())]


# Networks whose layers are each tried alone, backward: every kind of affine layer that there is. In full size gradient-exact asks
# the same of every layer, and this would cost a third more; in all thin networks, more than everything else together.
BARE = ("paper-thin", "original-2012-thin", "original-no-communication-thin", "cifar-11pct-thin")


def bare(network: Network) -> bool:
    """Is each affine layer of this network tried alone, backward?"""
    return network.name in BARE


def probed(network: Network) -> bool:
    """Are the layers of this network asked for their arithmetic? In full size, and every kind that there is in thin ones."""
    return not network.name.endswith("-thin") or bare(network)


def stimulus(network: Network, name: str, seed: int) -> Stimulus:
    """The stimulus called `name`; KeyError with the known names if there is none. The same bits on every machine."""
    known = names(network)
    if name not in known:
        raise KeyError(f"unknown stimulus {name!r}{nearest(name, known)} Known: {', '.join(known)}")
    if name in _SEED_ALONE:
        return Stimulus(name, network, {}, np.zeros(0, dtype=np.float32), seed)
    if name in _SPECIAL:
        kind = special_values.kind(_SPECIAL[name])
        return Stimulus(name, kind.network, kind.params, kind.x, seed)
    if name.startswith("dense."):
        return _dense(network, name.removeprefix("dense."), seed)
    if name.startswith("probe."):
        return _probe(network, name.removeprefix("probe."), seed)
    return (_MAKERS | _BACKWARD | _PROBE | _DROPOUT | _PADDING)[name](network, seed)
