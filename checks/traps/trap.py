"""What a trap is: a named mistake as an edit of the spec, the weights, the arithmetic, the mode or the first values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...reference import oracle
from ...reference.spec import Dense, Dropout, Flatten, Layer, Network, Shape

Array = np.ndarray
Weights = tuple[Array, Array]


@dataclass(frozen=True)
class Site:
    """A layer with what a trap may need to know: the shape of its input and of the maps before a flattening."""

    layer: Layer
    inputs: Shape
    maps: Shape


@dataclass(frozen=True)
class Initial:
    """The law that a parameter's first values follow. `role`: "weight" or "bias"; `law`: one of LAWS; std 0 is a constant."""

    role: str
    law: str
    std: float
    mean: float = 0.0


LAWS = ("normal", "truncated", "uniform", "constant")  # truncated: normal, cut at two standard deviations


@dataclass(frozen=True)
class Trap:
    """A named mistake at one layer.

    says: what is wrong, as the end of "agrees if ...".
    kinds: the layers that it can be met at.
    layer: edits the layer in its place; network: edits the chain around the layer called so (left out, moved, repeated, more of
    them); weights: edits (weight, bias) of unchanged shapes; inputs: done to the layer's input as well (reduced precision);
    tolerance: of a layer that is right, but rounds more than it should; initial: what its parameters begin with. Each gives
    None where the trap does not apply.
    trick: how the posers of impls/foreign are told to do `weights` and `inputs` at run time.
    convention: whose choice it is, where it is a choice and no mistake.
    words: the likely cause in a framework's own words, by "torch", "keras", "tf", "onnx", "jax"; `says` elsewhere. They may
    hold {layer}, {found} and {expected}.
    """

    id: str
    says: str
    kinds: tuple[type[Layer], ...]
    layer: Callable[[Any], Layer | None] | None = None
    weights: Callable[[Site, Array, Array], Weights | None] | None = None
    inputs: Callable[[Array], Array] | None = None
    tolerance: Callable[[Any, Array, Array], Array] | None = None
    network: Callable[[Network, str], Network | None] | None = None
    initial: Callable[[Site], Initial | None] | None = None
    trick: str = ""
    convention: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    def edited(self, site: Site) -> Layer | None:
        return self.layer(site.layer) if self.layer else site.layer

    def edited_params(self, site: Site, params: oracle.Params) -> dict[str, Array] | None:
        """The layer's own parameters under the trap; empty where it changes none, None where it does not apply."""
        if self.weights is None:
            return {}
        names = f"{site.layer.name}.weight", f"{site.layer.name}.bias"
        changed = self.weights(site, params[names[0]], params[names[1]])
        return None if changed is None else dict(zip(names, changed, strict=True))

    def posed(self, network: Network, name: str) -> Network | None:
        """The network with this mistake at the layer called `name`; None where that is no other network, or none at all."""
        layer = network[name]
        if not isinstance(layer, self.kinds):
            return None
        try:
            if self.network:
                new = self.network(network, name)
            else:
                edited = self.layer(layer) if self.layer else None
                new = None if edited is None else network.swap(name, edited)
            if new is not None:
                new.shapes()
        except ValueError:  # nothing of this size is left for a later layer
            return None
        return None if new is None or new.layers == network.layers else new


# Small edits that many entries are made of ------------------------------------------------------------------------------


def value(name: str, new: Any) -> Callable[[Layer], Layer | None]:
    """Set one field; the trap does not apply where it already has that value."""

    def edit(layer: Layer) -> Layer | None:
        to = new(layer) if callable(new) else new
        return None if getattr(layer, name) == to else replace(layer, **{name: to})

    return edit


def nothing(layer: Layer) -> Layer:
    """The layer left out: whatever goes in comes out."""
    return Dropout(layer.name, source=layer.source)


def kernels(change: Callable[[Array], Array]) -> Callable[[Site, Array, Array], Weights | None]:
    """A change of the weight alone; does not apply where it changes no bit."""

    def edit(_: Site, weight: Array, bias: Array) -> Weights | None:
        new = np.ascontiguousarray(change(weight))
        return None if new.shape != weight.shape or np.array_equal(new, weight) else (new, bias)

    return edit


def removed(network: Network, name: str) -> Network:
    """The chain without the layer."""
    return network.swap(name)


def followed_by(make: Callable[[Layer], Layer]) -> Callable[[Network, str], Network]:
    """The chain with one more layer behind the one called so."""
    return lambda network, name: network.swap(name, network[name], make(network[name]))


def preceded_by(make: Callable[[Layer], Layer]) -> Callable[[Network, str], Network]:
    return lambda network, name: network.swap(name, make(network[name]), network[name])


def sites(network: Network) -> Iterator[Site]:
    maps: Shape = ()
    for layer, before, _ in network.walk():
        if isinstance(layer, Flatten):
            maps = before
        yield Site(layer, before, maps if isinstance(layer, Dense) else before)
        if isinstance(layer, Dense):
            maps = ()
