"""What a network says of itself, in a few words: the cells that `differences_network.py` compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from .differences import NOTHING, Reader
from .preprocessing import STORED, offsets
from .spec import AFFINE, Conv, Dense, Dropout, Layer, Lrn, Network, Pool, Relu, SpatialLrn, borders


def joined(texts: Iterable[str]) -> str:
    """Each text once, in order; NOTHING if there is none."""
    return ", ".join(dict.fromkeys(texts)) or NOTHING


def of_kind(network: Network, *kinds: type[Layer]) -> list[Layer]:
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def input_size(network: Network) -> str:
    return f"{' x '.join(map(str, network.input_shape[1:]))} x {network.input_shape[0]}"


def input_numbers(network: Network) -> str:
    return f"{math.prod(network.input_shape):,} numbers"


def crop_offsets(network: Network) -> str:
    return str(len(offsets(STORED, network.input_shape[1])))


def kernels(*names: str) -> Reader:
    """Number and shape of the kernels, and the stride where it is not 1."""

    def read(network: Network) -> str:
        texts = []
        for layer, before, _ in network.walk():
            if isinstance(layer, Conv) and layer.name in names:
                stride = f", stride {layer.stride}" if layer.stride > 1 else ""
                maps = before[0] // layer.groups
                texts.append(f"{layer.channels} of {layer.kernel} x {layer.kernel} x {maps}{stride}")
        return joined(texts)

    return read


def padding_and_groups(name: str) -> Reader:
    def read(network: Network) -> str:
        layer = network[name]
        assert isinstance(layer, Conv)
        groups = f"{layer.groups} groups" if layer.groups > 1 else "no groups"
        return f"padding {layer.padding[0]}, {groups}"

    return read


def conv1_zeros(network: Network) -> str:
    """The padding of conv1 as declared, how its size is rounded, and the zeros that its windows really read."""
    conv1 = network["conv1"]
    assert isinstance(conv1, Conv)
    _, (before, after) = borders(conv1, network.input_shape)
    reads = f"reads {before} before and {after} after" if before or after else "reads no zeros"
    declared = " and ".join(str(side) for side in dict.fromkeys(conv1.padding))
    return f"padding {declared}, rounded {'up' if conv1.ceil else 'down'}: {reads}"


def size_of(name: str) -> Reader:
    return lambda network: " x ".join(map(str, network.shapes()[name][1:]))


def behind(*names: str) -> Reader:
    """The layers that the named ones read."""

    def read(network: Network) -> str:
        order = network.names()
        return joined(f"after {order[order.index(name) - 1]}" for name in names if name in order)

    return read


def normalised(network: Network) -> str:
    """The convolutions whose outputs are normalised across maps."""
    last, found = "", []
    for layer in network.layers:
        last = layer.name if isinstance(layer, AFFINE) else last
        found += [last] if isinstance(layer, Lrn) else []
    return " and ".join(found) or "none"


def norm_and_pool(network: Network) -> str:
    """Which of normalisation and pooling comes first, in each layer that has both."""
    order, texts = network.names(), []
    for number in ("1", "2"):
        norm, pool = f"norm{number}", f"pool{number}"
        if norm in order:
            texts.append(f"{'norm' if order.index(norm) < order.index(pool) else 'pool'} first")
    return joined(texts)


def lrn(field: str) -> Reader:
    return lambda network: joined(f"{getattr(layer, field):g}" for layer in of_kind(network, Lrn))


def lrn_exponent_and_size(network: Network) -> str:
    return joined(f"{layer.beta:g}; {layer.n}" for layer in network.layers if isinstance(layer, Lrn))


def lrn_span(network: Network) -> str:
    """How many maps one normalisation can see at most: those of the layer, or of a tower."""
    texts = []
    for layer, (maps, *_), _ in network.walk():
        if isinstance(layer, Lrn):
            texts.append(f"{maps // layer.towers} of {maps}" if layer.towers > 1 else f"all {maps}")
    return joined(texts)


def within_maps(network: Network) -> str:
    """Normalisations within each map, and where."""
    found = [
        f"{behind(layer.name)(network)}: {layer.n} x {layer.n} pixels, k {layer.k:g}, alpha {layer.alpha:g}, "
        f"beta {layer.beta:g}"
        for layer in network.layers
        if isinstance(layer, SpatialLrn)
    ]
    return ", ".join(found) or "none"


def pools(network: Network) -> str:
    layers = [layer for layer in network.layers if isinstance(layer, Pool)]
    return joined(
        f"{'mean' if layer.average else 'maximum'} of {layer.kernel} x {layer.kernel}, stride {layer.stride}"
        for layer in layers
    )


def pool_rounding(network: Network) -> str:
    layers = [layer for layer in network.layers if isinstance(layer, Pool)]
    return joined(f"sizes rounded {'up' if layer.ceil else 'down'}" for layer in layers)


def units(*names: str) -> Reader:
    def read(network: Network) -> str:
        layers = [network[name] for name in names]
        return joined(str(layer.units) for layer in layers if isinstance(layer, Dense))

    return read


def relu_on_logits(network: Network) -> str:
    order = network.layers
    last = max(place for place, layer in enumerate(order) if isinstance(layer, AFFINE))
    return "yes" if any(isinstance(layer, Relu) for layer in order[last:]) else "no"


def dropped(network: Network) -> str:
    """Whose outputs dropout acts on, at which rate; activations between are passed over."""
    source, texts, rates = "", [], []
    for layer in network.layers:
        if isinstance(layer, (*AFFINE, Pool)):
            source = layer.name
        elif isinstance(layer, Dropout):
            texts.append(source)
            rates.append(f"rate {layer.rate:g}")
    return f"outputs of {' and '.join(texts)}, {joined(rates)}" if texts else "none"


def weights(*names: str) -> Reader:
    """How the weights of these layers begin."""
    return beginning(names, lambda layer: (0.0, layer.init_std), lambda layer: f"N(0, {layer.init_std:g})")


def biases(*names: str) -> Reader:
    """How the biases of these layers begin."""
    return beginning(names, lambda layer: (layer.init_bias, layer.init_bias_std), lambda layer: f"{layer.init_bias:g}")


def beginning(
    names: tuple[str, ...],
    mean_and_std: Callable[[Conv | Dense], tuple[float, float]],
    describe: Callable[[Conv | Dense], str],
) -> Reader:
    """As described; where biases are spread at all both are uniform, and the limits are given."""

    def read(network: Network) -> str:
        layers = [layer for layer in network.layers if isinstance(layer, Conv | Dense) and layer.name in names]
        if all(layer.init_bias_std for layer in layers):
            return "uniform within +-" + joined(limits(*mean_and_std(layer)) for layer in layers)
        return joined(describe(layer) for layer in layers)

    return read


def limits(mean: float, std: float) -> str:
    """Of a uniform distribution with this mean and standard deviation."""
    return f"{std * math.sqrt(3):.3g}" + (f" about {mean:g}" if mean else "")


def parameters(network: Network) -> str:
    return f"{network.parameter_count():,}"
