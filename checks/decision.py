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
    """The five most probable classes, where the gaps between them are larger than the bound."""
    name = truth.network.layers[-1].name
    p, tolerance = truth.trace[name], truth.tolerances[name]
    got = recording.run().get(name)
    if got is None or compare.unlike(got, p.shape):
        yield from missing(recording, truth)
        return
    for image in range(len(p)):
        order = np.argsort(-p[image], kind="stable")[: TOP + 1]
        gap = p[image][order[:-1]] - p[image][order[1:]]
        doubt = tolerance[image][order[:-1]] + tolerance[image][order[1:]]
        if not (gap > doubt).all():
            yield Finding(Status.BLIND, name, "gaps between the first six above the bound", f"{gap.min():.1e}")
            continue
        want = [int(c) for c in order[:TOP]]
        found = [int(c) for c in np.argsort(-got[image], kind="stable")[:TOP]]
        status = Status.PASS if found == want and np.isfinite(got[image]).all() else Status.FAIL
        numbers = {"smallest_gap": float(gap.min()), "bound_at_gap": float(doubt[gap.argmin()])}
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
