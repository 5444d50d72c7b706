"""The same decision on a real photograph: the same five classes in the same order, the same probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..reference.spec import Softmax
from . import compare
from .finding import Finding, Status, judged
from .recording import Recording
from .structure import missing
from .truth import Truth

TOP = 5


def top5(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """The same five most probable classes, in the same order wherever their gap is above the bound."""
    name = truth.network.layers[-1].name
    p, tolerance = truth.trace[name], truth.tolerances[name]
    got = recording.run().get(name)
    if got is None or compare.unlike(got, p.shape):
        yield from missing(recording, truth)
        return
    for image in range(len(p)):
        order = np.argsort(-p[image], kind="stable")[: TOP + 1]
        gap = p[image][order[:-1]] - p[image][order[1:]]
        decided = gap > tolerance[image][order[:-1]] + tolerance[image][order[1:]]
        want = [int(c) for c in order[:TOP]]
        if not decided[-1]:
            yield Finding(Status.BLIND, name, "a gap above the bound between fifth and sixth", f"{gap[-1]:.1e}")
            continue
        found = [int(c) for c in np.argsort(-got[image], kind="stable")[:TOP]]
        ordered = (got[image][order[:-1]] > got[image][order[1:]])[decided].all()  # NaN is not ordered
        status = Status.PASS if set(found) == set(want) and ordered else Status.FAIL
        numbers = {"gap": float(gap[-1]), "bound_at_gap": float(tolerance[image][order[-2:]].sum())}
        yield Finding(status, name, f"classes {want}", f"classes {found}", source="Section 2", numbers=numbers)


def probabilities(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Every class's probability within its bound."""
    layer = truth.network.layers[-1]
    got = recording.run().get(layer.name)
    if got is None:
        yield from missing(recording, truth)
        return
    if not isinstance(layer, Softmax):
        yield Finding(Status.UNSUPPORTED, layer.name, "a softmax at the end", layer.kind)
        return
    want, tolerance = truth.trace[layer.name], truth.tolerances[layer.name]
    outcome = compare.within(got, want, tolerance)
    yield judged(outcome, layer.name, "every probability within its bound", source=layer.source)
