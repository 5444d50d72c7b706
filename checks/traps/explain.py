"""Which one mistake explains what a layer gave? Never a guess: the oracle is run again under each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...reference import oracle
from ...reference.spec import Dense, Layer, Network, Shape
from .. import bounds, compare
from .arithmetic import FORMATS
from .catalogue import TRAPS
from .signature import layer_signature
from .trap import Site, Trap

Array = np.ndarray
GLANCE = 64  # units


class Expectation(NamedTuple):
    """What a layer gives under a trap, float64, and how far a correct implementation of that may be from it.

    `rounded`: of a layer that runs in a shorter format, to which all that it gives has been rounded.
    """

    trap: Trap
    want: Array
    tolerance: Array
    rounded: Callable[[Array], Array] | None = None

    def met_by(self, got: Array) -> bool:
        """Is `got`, float32, what such a layer gives?"""
        if self.rounded is not None and not np.array_equal(self.rounded(got), got):
            return False
        return compare.within(got, self.want, self.tolerance).ok


def explain(site: Site, params: oracle.Params, x: Array, got: Array) -> str:
    """A hint: the one trap under which the oracle gives what was recorded, within the bound; never a guess."""
    if not np.isfinite(got).all():
        return ""
    return hint(expectations(site, params, x, got), got)


def hint(under: Iterator[Expectation] | list[Expectation], got: Array) -> str:
    found = [expected.trap for expected in under if expected.met_by(got)]
    if len(found) == 1:
        return f"agrees if {found[0].says} [{found[0].id}]"
    if found:
        return "agrees under several mistakes alike: " + ", ".join(trap.id for trap in found)
    return "unexplained by any single known mistake"


def explains(trap: Trap, site: Site, params: oracle.Params, x: Array, got: Array) -> bool:
    under = expectation(trap, site, params, x, got)
    return under is not None and under.met_by(got)


def expectations(site: Site, params: oracle.Params, x: Array, got: Array | None = None) -> Iterator[Expectation]:
    """The table's entries that edit this layer in its place; with `got`, less those that plainly
    don't give it.

    Of edits that come to the same layer, the first in the table alone.
    """
    seen = {layer_signature(site.layer, site.inputs)}
    for trap in TRAPS:
        if not isinstance(site.layer, trap.kinds):
            continue
        if not (trap.weights or trap.inputs or trap.tolerance):
            key = signed(in_place(trap, site), site.inputs)
            if key is None or key in seen:
                continue
            seen.add(key)
        if (under := expectation(trap, site, params, x, got)) is not None:
            yield under


def signed(layer: Layer | None, shape: Shape) -> tuple[object, ...] | None:
    try:
        return None if layer is None else layer_signature(layer, shape)
    except ValueError:  # no output of this size
        return None


def in_place(trap: Trap, site: Site) -> Layer | None:
    """The edited layer; None where the trap does not apply, or edits the chain and not a layer."""
    if trap.layer or trap.weights or trap.inputs or trap.tolerance:
        return trap.edited(site)
    if trap.network is None:
        return None
    try:
        edited = trap.network(Network("alone", site.inputs, (site.layer,)), site.layer.name)
    except ValueError:
        return None
    return edited.layers[0] if edited and len(edited.layers) == 1 else None


def expectation(
    trap: Trap, site: Site, params: oracle.Params, x: Array, got: Array | None = None
) -> Expectation | None:
    """None where the trap does not apply, needs other parameters than there are, gives no finite numbers or plainly not `got`."""
    layer = in_place(trap, site)
    if layer is None:
        return None
    with np.errstate(all="ignore"):  # a mistake may well overflow
        own = trap.edited_params(site, params)
        if own is None or not fits(layer, {**params, **own}, site.inputs):
            return None
        changed, fed = {**params, **own}, trap.inputs(x) if trap.inputs else x
        if got is not None:
            if compare.unlike(got, (len(x), *layer.output(x.shape[1:]))):
                return None
            if isinstance(layer, Dense) and layer.groups == 1 and layer.units > GLANCE:
                few, some = first_units(layer, changed)
                seen = computed(trap, few, some, fed)
                if seen is None or not seen.met_by(got[:, :GLANCE]):
                    return None
        return computed(trap, layer, changed, fed)


def first_units(layer: Dense, params: oracle.Params) -> tuple[Dense, oracle.Params]:
    """A dense layer's first units alone: enough to tell that a mistake is another, and fc6 has 38 million weights."""
    own = {f"{layer.name}.{part}": params[f"{layer.name}.{part}"][:GLANCE] for part in ("weight", "bias")}
    return replace(layer, units=GLANCE), own


def computed(trap: Trap, layer: Layer, params: oracle.Params, x: Array) -> Expectation | None:
    want = oracle.apply(layer, params, x)
    if not np.isfinite(want).all():
        return None
    if trap.tolerance:
        return Expectation(trap, want, trap.tolerance(layer, x, want))
    return in_its_format(Expectation(trap, want, bounds.local_tolerance(layer, params, x, want)), layer, params)


def in_its_format(exact: Expectation, layer: Layer, params: oracle.Params) -> Expectation | None:
    """Rounded as a layer that runs in float16 rounds: the sum once, and once more with the bias."""
    if exact.trap.id not in FORMATS:
        return exact
    rounded, unit = FORMATS[exact.trap.id]
    bias = float(np.abs(params[f"{layer.name}.bias"]).max(initial=0.0))
    want, tolerance = rounded(exact.want), exact.tolerance + 2 * unit * (np.abs(exact.want) + bias)
    return Expectation(exact.trap, want, tolerance, rounded) if np.isfinite(want).all() else None


def fits(layer: Layer, params: oracle.Params, shape: Shape) -> bool:
    """Is there an output, and are the parameters of the shapes that the layer needs?"""
    try:
        layer.output(shape)
        needed = layer.param_shapes(shape)
    except ValueError:
        return False
    return all(name in params and params[name].shape == size for name, size in needed.items())
