"""Which one mistake explains what a layer gave? Never a guess: the oracle is run again under each."""

from __future__ import annotations

import numpy as np

from ...reference import oracle
from .. import bounds, compare
from .catalogue import TRAPS
from .trap import Site, Trap

Array = np.ndarray


def explain(site: Site, params: oracle.Params, x: Array, got: Array) -> str:
    """A hint: the one trap under which the oracle gives what was recorded, within the bound; never a guess."""
    if not np.isfinite(got).all():
        return ""
    found = [trap for trap in TRAPS if isinstance(site.layer, trap.kinds) and explains(trap, site, params, x, got)]
    if len(found) == 1:
        return f"agrees if {found[0].says} [{found[0].id}]"
    if found:
        return "agrees under several mistakes alike: " + ", ".join(trap.id for trap in found)
    return "unexplained by any single known mistake"


def explains(trap: Trap, site: Site, params: oracle.Params, x: Array, got: Array) -> bool:
    layer, own = trap.edited(site), trap.edited_params(site, params)
    if layer is None or own is None:
        return False
    try:
        shape = (len(x), *layer.output(x.shape[1:]))
    except ValueError:
        return False
    if compare.unlike(got, shape):
        return False
    x = trap.inputs(x) if trap.inputs else x
    changed = {**params, **own}
    want = oracle.apply(layer, changed, x)
    if trap.tolerance:
        return compare.within(got, want, trap.tolerance(layer, x, want)).ok
    return compare.within(got, want, bounds.local_tolerance(layer, changed, x, want)).ok
