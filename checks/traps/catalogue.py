"""The table of named mistakes, joined from its families, and where in a network each can be set.

The order is part of the table: where two entries would be the same network, the first is its name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...reference import variants
from ...reference.spec import Conv, Dense, Local, Network
from . import (
    activations,
    arithmetic,
    dense,
    dropout,
    geometry,
    grouping,
    initial,
    inputs,
    normalisation,
    outputs,
    parameters,
    pooling,
    widths,
)
from .chain import site_of
from .signature import signature
from .trap import Site, Trap

FAMILIES: dict[str, tuple[Trap, ...]] = {
    "geometry": geometry.TRAPS,
    "pooling": pooling.TRAPS,
    "grouping": grouping.TRAPS,
    "widths": widths.TRAPS,
    "parameters": parameters.TRAPS,
    "dense": dense.TRAPS,
    "normalisation": normalisation.TRAPS,
    "activations": activations.TRAPS,
    "outputs": outputs.TRAPS,
    "dropout": dropout.TRAPS,
    "inputs": inputs.TRAPS,
    "arithmetic": arithmetic.TRAPS,
    "initial": initial.TRAPS,
}

TRAPS: tuple[Trap, ...] = tuple(trap for family in FAMILIES.values() for trap in family)

BY_ID = {trap.id: trap for trap in TRAPS}

# Other mistakes with the same numbers: ten bits of mantissa both, or the same factor at inference. Named together.
ALIKE: tuple[tuple[str, ...], ...] = (
    ("weights-tf32", "weights-float16"),
    ("dropout-scaled-at-test", "dropout-scaled-twice"),
)


class Row(NamedTuple):
    """An entry for a report; `where`: the layers of `paper` at which it can be set."""

    id: str
    family: str
    says: str
    where: tuple[str, ...]


def distinct(network: Network, layer: str) -> list[tuple[Trap, Network | None]]:
    """Every entry that can be set at a layer, in order, with the network it makes; repeats and what changes nothing left out.

    The network is None for entries that leave the chain as it is: weights, arithmetic, first values.
    """
    site, seen = site_of(network, layer), {signature(network)}
    found: list[tuple[Trap, Network | None]] = []
    for trap in TRAPS:
        if not isinstance(site.layer, trap.kinds):
            continue
        posed = trap.posed(network, layer)
        key = signature(posed) if posed else unposed_key(trap, site)
        if key is not None and key not in seen:
            seen.add(key)
            found.append((trap, posed))
    return found


def unposed_key(trap: Trap, site: Site) -> tuple[object, ...] | None:
    """What tells an entry that makes no other network from others at its site; None where it does not apply."""
    if trap.layer or trap.network:
        return None
    if trap.initial:
        begins = trap.initial(site)
        return None if begins is None else ("initial", begins)
    return (trap.id,) if trap.tolerance or applies_to_weights(trap, site) else None


def applies_to_weights(trap: Trap, site: Site) -> bool:
    """Tried on a layer with few outputs and weights that have no symmetry."""
    few = with_few_outputs(site)
    rng = np.random.default_rng(0)
    shapes = few.layer.param_shapes(few.inputs).items()
    return trap.edited_params(few, {name: rng.standard_normal(shape) for name, shape in shapes}) is not None


def with_few_outputs(site: Site) -> Site:
    match site.layer:
        case Conv(groups=groups):
            return replace(site, layer=replace(site.layer, channels=2 * groups))
        case Dense(groups=groups):
            return replace(site, layer=replace(site.layer, units=2 * groups))
        case Local():
            return replace(site, layer=replace(site.layer, channels=1))
    return site


def roomy() -> Network:
    """`paper-thin` on a larger image, its dense layers even: for what `paper-thin` is too small or too odd."""
    network = replace(variants.variant("paper-thin"), input_shape=(3, 195, 227))
    return (
        network.edit("fc6", units=38).edit("fc7", units=30).renamed("roomy-thin", "paper-thin with room for every trap")
    )


def grounds() -> tuple[Network, ...]:
    """Quick networks that have, together, a place for every entry."""
    thin = [variants.variant(name) for name in variants.names() if name.endswith("-thin")]
    return (*thin[:1], roomy(), *thin[1:])


def places(trap: Trap, network: Network) -> tuple[str, ...]:
    """The layers at which an entry can be set and is no other entry."""
    names = [layer.name for layer in network.layers if isinstance(layer, trap.kinds)]
    return tuple(name for name in names if trap in [other for other, _ in distinct(network, name)])


def rows() -> list[Row]:
    """The table for a report: each entry with its family, what it says and where it can be set in `paper`."""
    network = variants.variant("paper")
    where: dict[str, list[str]] = {trap.id: [] for trap in TRAPS}
    for name in network.names():
        for trap, _ in distinct(network, name):
            where[trap.id].append(name)
    return [Row(t.id, family, t.says, tuple(where[t.id])) for family, traps in FAMILIES.items() for t in traps]
