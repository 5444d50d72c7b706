"""Small edits of a chain that many entries are made of, and how their words are put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...reference.spec import AFFINE, Dense, Flatten, Layer, Network, Pool, Relu
from .trap import Site, sites

Edit = Callable[[Network, str], Network | None]


def words(torch: str, keras: str, tf: str, **others: str) -> dict[str, str]:
    """The likely cause and its remedy in each framework's own words; `others`: "onnx", "jax"."""
    return {"torch": torch, "keras": keras, "tf": tf, **others}


def site_of(network: Network, name: str) -> Site:
    return next(site for site in sites(network) if site.layer.name == name)


def after(network: Network, name: str) -> tuple[Layer, ...]:
    """The layers behind the one called so, in order."""
    return network.layers[network.names().index(name) + 1 :]


def before(network: Network, name: str) -> tuple[Layer, ...]:
    """The layers ahead of the one called so, the nearest first."""
    return network.layers[: network.names().index(name)][::-1]


def following(network: Network, name: str) -> Layer | None:
    return next(iter(after(network, name)), None)


def preceding(network: Network, name: str) -> Layer | None:
    return next(iter(before(network, name)), None)


def stage(network: Network, name: str) -> tuple[Layer, ...]:
    """The stage that a layer is in: from a convolution or dense layer up to, not including, the next one or the flattening."""
    layers = network.layers
    starts = [i for i, layer in enumerate(layers) if isinstance(layer, (*AFFINE, Flatten))]
    here = network.names().index(name)
    first = max((i for i in starts if i <= here), default=0)
    end = min((i for i in starts if i > here), default=len(layers))
    return layers[first:end]


def behind(network: Network, name: str, *new: Layer) -> Network:
    return network.swap(name, network[name], *new)


def moved_ahead(network: Network, name: str, of: str) -> Network:
    """The layer taken out and put directly before the one called `of`."""
    layer = network[name]
    return network.swap(name).swap(of, layer, network[of])


def first_layer(network: Network, name: str) -> bool:
    return network.layers[0].name == name


def denses(network: Network) -> list[Dense]:
    return [layer for layer in network.layers if isinstance(layer, Dense)]


def last_dense(network: Network, name: str) -> bool:
    """Is it the layer that gives the classes?"""
    found = denses(network)
    return bool(found) and found[-1].name == name


def hidden_dense(network: Network, name: str) -> bool:
    return name in [layer.name for layer in denses(network)[:-1]]


def last_pool(network: Network, name: str) -> bool:
    """Is it the last pooling of a network that is flattened somewhere behind it?"""
    pools = [layer.name for layer in network.layers if isinstance(layer, Pool)]
    return pools[-1:] == [name] and any(isinstance(layer, Flatten) for layer in after(network, name))


def first_pool(network: Network) -> Pool:
    """The network's first pooling, as a pattern for one too many; the paper's where it has none."""
    return next((layer for layer in network.layers if isinstance(layer, Pool)), Pool("pool", 3, 2))


def where(applies: Callable[[Network, str], bool], edit: Callable[[Network, str], Network]) -> Edit:
    """An edit that applies only at some layers."""
    return lambda network, name: edit(network, name) if applies(network, name) else None


def of_stage(kind: type[Layer], network: Network, name: str) -> bool:
    """Does the layer's stage begin with a layer of this kind?"""
    return isinstance(stage(network, name)[0], kind)


def another(layer: Layer, suffix: str) -> Layer:
    """The same layer once more, under a name of its own."""
    return replace(layer, name=f"{layer.name}_{suffix}")


def relu_of(network: Network, name: str) -> Relu | None:
    """The ReLU in a layer's stage, if it has one."""
    return next((layer for layer in stage(network, name) if isinstance(layer, Relu)), None)
