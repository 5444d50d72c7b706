"""The frameworks against one another: nothing here is judged against the oracle alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from . import compare, running_sum
from .finding import Finding, Status, judged
from .recording import Recording, in_both
from .structure import missing
from .truth import Truth


def pairs(recordings: list[Recording]) -> Iterator[tuple[Recording, Recording, str]]:
    for a, b in combinations(recordings, 2):
        yield a, b, f"{a.impl} ~ {b.impl}"


def absent(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """An ERROR for each implementation that did not give every layer: it cannot have agreed."""
    for recording in recordings:
        for finding in missing(recording, truth):
            yield finding.filled(impl=recording.impl)


def exact(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """Every pair of implementations gives the same bits in exact arithmetic, layer by layer."""
    yield from absent(recordings, truth)
    for a, b, name in pairs(recordings):
        for layer, one, other in in_both(a.run(), b.run(), truth.network.names()):
            if truth.exact(layer) and truth.network[layer].kind != "softmax":
                outcome = compare.bitwise(other, one.astype(np.float64))
                yield judged(outcome, layer, f"the bits that {a.impl} gives", impl=name)


def real(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """Every pair within the sum of both bounds, with the largest distance in ulps and each one's RMSE to float64."""
    yield from absent(recordings, truth)
    for a, b, name in pairs(recordings):
        for layer, one, other in in_both(a.run(), b.run(), truth.network.names()):
            yield distance(name, layer, one, other, truth)


def distance(name: str, layer: str, one: np.ndarray, other: np.ndarray, truth: Truth) -> Finding:
    expected = "each other within the sum of both bounds"
    want = truth.trace[layer]
    for array in (one, other):
        problem = compare.unlike(array, want.shape) or (
            "" if np.isfinite(array).all() else "numbers that are not finite"
        )
        if problem:
            return Finding(Status.FAIL, layer, expected, problem, impl=name)
    outcome = compare.within(other, one.astype(np.float64), 2 * truth.tolerances[layer])
    numbers = {
        "ulps": float(compare.ulps(one, other).max()),
        "rmse_a": compare.rmse(one, want),
        "rmse_b": compare.rmse(other, want),
    }
    hint = ""
    if not outcome.ok:
        both = truth.tolerances[layer] + truth.running_sum_tolerances[layer]
        hint = running_sum.hint(other, one.astype(np.float64), both)
    return judged(outcome, layer, expected, impl=name, hint=hint, numbers=numbers)
