"""Why: the entries of the trap catalogue whose facts are the facts that were found. Never a guess.

Every entry poses at every layer near a difference, as an edit of the expected network, and leaves facts of its own. Entries
whose facts are all among those found are taken, the largest first, until none is left; what is left over may be two mistakes
in one place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...reference.spec import Network, Shape
from ..traps import BY_ID, TRAPS
from ..traps.catalogue import distinct
from ..traps.trap import Trap
from .facts import Fact, between, of_network

MOST = 4000  # pairs of mistakes that are tried in one place


@dataclass(frozen=True)
class Cause:
    """Traps that together explain some facts, the layer they are set at, and the layer as they make it."""

    traps: tuple[str, ...]
    layer: str
    facts: frozenset[Fact]
    also: tuple[str, ...] = ()  # other entries with the very same facts


@dataclass(frozen=True)
class Pose:
    trap: Trap
    layer: str
    facts: frozenset[Fact]
    network: Network


def causes(facts: Iterable[Fact], expected: Network, shapes: dict[str, Shape]) -> list[Cause]:
    """A cause for each fact, in the order of the layers; facts that no entry has come back as a Cause without traps.

    shapes: of the input that each expected layer really got, by its name.
    """
    left, found = set(facts), []
    direct = [fact for fact in left if fact.kind == "quirk"]
    for fact in direct:
        left.discard(fact)
        found.append(Cause((fact.what,) if fact.what in BY_ID else (), fact.layer, frozenset({fact})))
    poses = [pose for name in near(left, expected) for pose in posed(expected, name, shapes.get(name))]
    while left:
        fitting = [pose for pose in poses if pose.facts and pose.facts <= left]
        if not fitting:
            break
        best = max(fitting, key=lambda pose: (len(pose.facts), -poses.index(pose)))
        also = tuple(dict.fromkeys(p.trap.id for p in fitting if p.facts == best.facts and p.trap.id != best.trap.id))
        found.append(Cause((best.trap.id,), best.layer, best.facts, also))
        left -= best.facts
    for group in places(left, expected):
        found.extend(pairs_for(group, poses, expected, shapes))
    order = {name: i for i, name in enumerate(expected.names())}
    return sorted(found, key=lambda cause: order.get(cause.layer, -1))


def near(facts: Iterable[Fact], expected: Network) -> list[str]:
    """The layers that facts speak of, those that a moved one has passed, and their neighbours."""
    names, spoken = expected.names(), set()
    for fact in facts:
        ends = [names.index(name) for name in (fact.layer, fact.what) if name in names] or [0]
        spoken |= set(range(min(ends), max(ends) + 1))
    wide = {i + step for i in spoken for step in range(-4, 4) if 0 <= i + step < len(names)}
    return [names[i] for i in sorted(wide)]


def posed(expected: Network, name: str, shape: Shape | None) -> list[Pose]:
    """Every entry that applies at a layer, with its facts; edits of the layer itself on the input that it really got."""
    found: list[Pose] = []
    for trap, network in distinct(expected, name):
        if network is None:
            continue
        edited = trap.layer(expected[name]) if trap.layer and trap.network is None else None
        facts = (
            frozenset(between((edited, shape), expected[name]))
            if edited is not None and shape is not None
            else facts_of(network, expected)
        )
        found.append(Pose(trap, name, facts, network))
    return [*found, *posed_elsewhere(expected, name, shape, {pose.trap.id for pose in found})]


def posed_elsewhere(expected: Network, name: str, shape: Shape | None, told: set[str]) -> list[Pose]:
    """Entries that change nothing on the expected input, and something on the one that the layer really got."""
    layer = expected[name]
    if shape is None or shape == next(before for own, before, _ in expected.walk() if own.name == name):
        return []
    found = []
    for trap in TRAPS:
        if trap.id not in told and trap.layer and trap.network is None and isinstance(layer, trap.kinds):
            edited = trap.layer(layer)
            facts = frozenset(between((edited, shape), layer)) if edited is not None else frozenset()
            found.append(Pose(trap, name, facts, expected))
    return found


@lru_cache(maxsize=4096)
def facts_of(network: Network, expected: Network) -> frozenset[Fact]:
    return of_network(network, expected)


def places(facts: set[Fact], expected: Network) -> list[frozenset[Fact]]:
    """Facts grouped by the layer that they are about."""
    groups: dict[str, set[Fact]] = {}
    for fact in facts:
        groups.setdefault(fact.layer, set()).add(fact)
    return [frozenset(group) for group in groups.values()]


def pairs_for(
    group: frozenset[Fact], poses: Sequence[Pose], expected: Network, shapes: dict[str, Shape]
) -> list[Cause]:
    """Two mistakes in one place that make these facts together, and only one such pair up to order; else no name."""
    layer = next(iter(group)).layer
    here = [pose for pose in poses if pose.layer == layer or {f.layer for f in pose.facts} & {layer}]
    found: list[Cause] = []
    tried = 0
    for first in here:
        for second in here:
            if second.trap is first.trap or tried >= MOST:
                continue
            tried += 1
            facts = both(first, second, expected, shapes)
            if facts == group:
                ids = tuple(sorted((first.trap.id, second.trap.id)))
                if ids not in [cause.traps for cause in found]:
                    found.append(Cause(ids, layer, group))
    if found:
        return [dataclasses.replace(found[0], also=tuple(" + ".join(c.traps) for c in found[1:]))]
    return [Cause((), fact.layer, frozenset({fact})) for fact in sorted(group, key=repr)]


def both(first: Pose, second: Pose, expected: Network, shapes: dict[str, Shape]) -> frozenset[Fact]:
    """The facts of the second mistake made on top of the first."""
    if second.layer not in first.network.names():
        return frozenset()
    edit = second.trap.layer if second.trap.network is None else None
    if edit and first.trap.layer and first.trap.network is None and first.layer == second.layer:
        once = first.trap.layer(expected[first.layer])
        if once is None or not isinstance(once, second.trap.kinds):
            return frozenset()
        twice = edit(once)
        shape = shapes.get(first.layer)
        return (
            frozenset() if twice is None or shape is None else frozenset(between((twice, shape), expected[first.layer]))
        )
    network = second.trap.posed(first.network, second.layer)
    return frozenset() if network is None else facts_of(network, expected)
