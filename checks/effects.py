"""How far each difference moves the network's outputs, by the float64 oracle.

The measure is mean |moved - paper's| / mean |paper's|. It depends on how large the activations are, because LRN does: at
scale s the outputs of every convolution and dense layer have standard deviation s. Two readings:

- at the layer concerned. What lies between conv1 and conv2 (or wherever the edit is) is fed N(0, s^2), independent numbers,
  so that nothing else plays in. Another padding or grouping is read off that convolution in the whole network.
- at the logits: the whole network of the paper at 224, Gaussian weights and image, and the same weights in the other one.

The weights are untrained: a figure says how strong an edit is, not how much accuracy it costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..reference import draws, oracle, variants
from ..reference.photograph import photograph
from ..reference.spec import AFFINE, Dense, Dropout, Layer, Network, Softmax
from ..reference.stimuli import INPUT_STD, paper_init
from .deviations import DEVIATIONS, LARGEST, Deviation

Array = np.ndarray

SCALES = (1.0, 10.0, 30.0, 100.0, 300.0)
BASE = "paper-224"
IMAGES = 2  # drawn for the reading at a layer: enough for two digits of all but the towers
BIAS = 0.1  # standard deviation of the biases, as a share of the scale


@dataclass(frozen=True)
class Effect:
    """What was measured at one scale; both figures are shares (0.5: half as much moved as there is)."""

    deviation: str
    scale: float
    at_layer: float
    at_logits: float


def share(moved: Array, given: Array) -> float:
    """mean |moved - given| / mean |given|; raises ValueError where the shapes differ."""
    if moved.shape != given.shape:
        raise ValueError(
            f"found outputs of shape {moved.shape}, expected {given.shape}: another network, not comparable"
        )
    return float(np.abs(moved - given).mean() / np.abs(given).mean())


def measured(seed: int, scales: Sequence[float] = SCALES) -> Iterator[Effect]:
    """Every deviation at every scale."""
    whole = Whole(seed)
    for scale in scales:
        yield from whole.effects(scale)


def untrained_scale(seed: int) -> float:
    """Standard deviation of conv1's outputs for the photograph, as the paper initialises it: where training begins."""
    conv1 = variants.variant(BASE).only("conv1")
    outputs = oracle.forward(conv1, paper_init(conv1, seed), photograph(*conv1.input_shape[1:]))
    return float(outputs["conv1"].std())


# At the layer concerned ---------------------------------------------------------------------------------------------


def after(network: Network, name: str) -> tuple[Layer, ...]:
    """What lies between an affine layer and the next one (or the softmax)."""
    rest = network.layers[network.names().index(name) + 1 :]
    ends = [place for place, layer in enumerate(rest) if isinstance(layer, (*AFFINE, Softmax))]
    return rest[: ends[0]] if ends else rest


def at_layer(deviation: Deviation, scale: float, seed: int) -> float:
    """The effect on what follows `at`, whose outputs are drawn from N(0, scale^2), independently."""
    network = deviation.edit(variants.variant(BASE))
    moved = through(after(network, deviation.at), drawn(deviation.at, scale, seed))
    return share(moved, given(deviation.at, scale, seed))


@lru_cache(maxsize=4)
def drawn(layer: str, scale: float, seed: int) -> Array:
    """Outputs of an affine layer of the paper's network for IMAGES images, each from N(0, scale^2): (N, ...), float64."""
    shape = (IMAGES, *variants.variant(BASE).shapes()[layer])
    return draws.normal(seed, f"effects/{layer}", shape, scale).astype(np.float64)


@lru_cache(maxsize=4)
def given(layer: str, scale: float, seed: int) -> Array:
    """What the paper's network makes of them before the next affine layer."""
    return through(after(variants.variant(BASE), layer), drawn(layer, scale, seed))


def through(layers: Sequence[Layer], x: Array) -> Array:
    for layer in layers:
        x = oracle.apply(layer, {}, x)
    return x


# At the logits ------------------------------------------------------------------------------------------------------


@dataclass
class Whole:
    """The paper's network at 224 and its edits, with one set of weights, at any scale."""

    seed: int
    base: Network = field(default_factory=lambda: variants.variant(BASE))

    @cached_property
    def image(self) -> Array:
        return draws.normal(self.seed, "effects/image", (1, 3, LARGEST, LARGEST), INPUT_STD).astype(np.float64)

    @cached_property
    def weights(self) -> dict[str, Array]:
        """N(0, 1), float32; the biases are zero here and added by `Run.apply` at their own scale."""
        return {
            name: np.zeros(shape, np.float32)
            if name.endswith(".bias")
            else draws.normal(self.seed, f"effects/{name}", shape, 1.0)
            for name, shape in self.base.param_shapes().items()
        }

    @cached_property
    def biases(self) -> dict[str, Array]:
        """N(0, 1) for each affine layer, shaped to be added to its outputs; float64."""
        return {
            layer.name: draws.normal(
                self.seed, f"effects/{layer.name}/bias", (shape[0], *[1] * (len(shape) - 1)), 1.0
            ).astype(np.float64)
            for layer, _, shape in self.base.walk()
            if isinstance(layer, AFFINE)
        }

    def params(self, network: Network) -> Mapping[str, Array]:
        """The weights; where groups are ignored, those missing are drawn like the others."""
        shapes = {name: shape for name, shape in network.param_shapes().items() if self.weights[name].shape != shape}
        return self.weights | {name: self.without_groups(name, shape) for name, shape in shapes.items()}

    def without_groups(self, name: str, shape: tuple[int, ...]) -> Array:
        """A weight (O, I, K, K) in which each group's kernels keep their own on the group's maps, random ones elsewhere.

        Raises ValueError where that is not what makes the shapes differ: networks of other widths are not comparable.
        """
        own = self.weights[name]
        groups, rest = divmod(shape[1], own.shape[1])
        if rest or (shape[0], *shape[2:]) != (own.shape[0], *own.shape[2:]):
            raise ValueError(f"{name}: found shape {shape}, expected {own.shape}: another network, not comparable")
        weight = draws.normal(self.seed, f"effects/{name}/other groups", shape, 1.0)
        kernels, maps = np.split(np.arange(shape[0]), groups), np.split(np.arange(shape[1]), groups)
        for rows, columns in zip(kernels, maps, strict=True):
            weight[np.ix_(rows, columns)] = own[rows]
        return weight

    def effects(self, scale: float, deviations: Sequence[Deviation] = DEVIATIONS) -> Iterator[Effect]:
        """Each deviation at one scale. Raises ValueError for one that is not comparable."""
        run = Run(self, scale)
        networks = [self.base, *(deviation.edit(self.base) for deviation in deviations)]
        maps = [run.maps(network) for network in networks]
        given, *logits = run.logits(networks, maps)  # in one batch: what is equal has equal bits
        for deviation, outputs, moved in zip(deviations, maps[1:], logits, strict=True):
            if deviation.drawn:
                local = at_layer(deviation, scale, self.seed)
            else:
                local = share(outputs[deviation.at], run.given[deviation.at])
            yield Effect(deviation.name, scale, local, share(moved, given))


class Run:
    """One scale: the paper's network, and the factor that gives each layer's outputs the standard deviation `scale`.

    The same factors hold in every other network.
    """

    def __init__(self, whole: Whole, scale: float) -> None:
        self.whole, self.scale = whole, scale
        self.factors: dict[str, float] = {}
        self.given: dict[str, Array] = {}
        x = self.seen(whole.base)
        for layer in whole.base.layers[:-1]:  # up to the logits
            if isinstance(layer, AFFINE):
                self.factors[layer.name] = scale / float(oracle.apply(layer, whole.weights, x).std())
            x = self.given[layer.name] = self.apply(layer, whole.weights, x)

    def seen(self, network: Network) -> Array:
        """The part of the image that a network takes: (1, 3, H, W)."""
        _, rows, columns = network.input_shape
        return self.whole.image[:, :, :rows, :columns]

    def apply(self, layer: Layer, params: Mapping[str, Array], x: Array) -> Array:
        x = oracle.apply(layer, params, x)
        if isinstance(layer, AFFINE):
            x = self.factors[layer.name] * x + BIAS * self.scale * self.whole.biases[layer.name]
        return x

    def maps(self, network: Network) -> dict[str, Array]:
        """The outputs of a network's layers up to the first dense one; what it shares with the paper's is not repeated."""
        base, params, x = self.whole.base, self.whole.params(network), self.seen(network)
        alike = network.input_shape == base.input_shape
        outputs = {}
        for place, layer in enumerate(network.layers[: dense_from(network)]):
            alike = alike and layer == base.layers[place]
            x = outputs[layer.name] = self.given[layer.name] if alike else self.apply(layer, params, x)
        return outputs

    def logits(self, networks: Sequence[Network], maps: Sequence[dict[str, Array]]) -> list[Array]:
        """Each network's logits (1, classes). Those with the same dense layers go through together, as one batch."""
        tails = [tail(network) for network in networks]
        found: list[Array] = [np.empty(0)] * len(networks)
        for same in dict.fromkeys(tails):
            members = [place for place, own in enumerate(tails) if own == same]
            x = np.concatenate([maps[place]["flatten"] for place in members])  # (members, inputs of fc6)
            network = networks[members[0]]
            for layer in network.layers[dense_from(network) : -1]:
                x = self.apply(layer, self.whole.weights, x)
            for row, place in enumerate(members):
                found[place] = x[row : row + 1]
        return found


def dense_from(network: Network) -> int:
    """Where the dense part begins: behind the flattening."""
    return network.names().index("flatten") + 1


def tail(network: Network) -> tuple[tuple[Any, ...], ...]:
    """The dense part as far as it counts for the function: kinds, names, units; no dropout, the identity here."""
    layers = network.layers[dense_from(network) :]
    return tuple(
        (layer.kind, layer.name, layer.units if isinstance(layer, Dense) else 0)
        for layer in layers
        if not isinstance(layer, Dropout)
    )
