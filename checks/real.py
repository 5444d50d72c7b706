"""Parity on real numbers, within bounds derived for each element: each layer alone, and the chain end to end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..reference import oracle
from ..reference.spec import Layer
from . import bounds, compare, exact, traps
from .finding import Finding, Status
from .recording import Recording
from .structure import missing
from .truth import Truth


def local(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Each layer alone: the oracle is given what the implementation itself fed to the layer."""
    x: np.ndarray | None = truth.x
    for site in traps.sites(truth.network):
        got = recording.run().get(site.layer.name)
        if got is not None and x is not None:
            yield layer_alone(site, truth, x.astype(np.float64), got)
        x = exact.recordable(got, (len(truth.x), *site.layer.output(site.inputs)))
    yield from missing(recording, truth)


def layer_alone(site: traps.Site, truth: Truth, x: np.ndarray, got: np.ndarray) -> Finding:
    layer = site.layer
    want = oracle.apply(layer, truth.params, x)
    tolerance = bounds.local_tolerance(layer, truth.params, x, want)
    finding = judged(layer, compare.within(got, want, tolerance), "its own input")
    if finding.status is Status.FAIL:
        return finding.filled(hint=traps.explain(site, truth.params, x, got))
    return finding


def chain(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """End to end: every output against the float64 network's, tolerances carried forward."""
    for layer in truth.network.layers:
        got = recording.run().get(layer.name)
        if got is not None:
            outcome = compare.within(got, truth.trace[layer.name], truth.tolerances[layer.name])
            yield judged(layer, outcome, "the network's input", truth.single[layer.name], truth.trace[layer.name])
    yield from missing(recording, truth)


def judged(
    layer: Layer,
    outcome: compare.Comparison,
    given: str,
    numpy32: np.ndarray | None = None,
    want: np.ndarray | None = None,
) -> Finding:
    status = Status.PASS if outcome.ok else Status.FAIL
    expected = f"the float64 oracle's output for {given}, within the bound"
    numbers = dict(outcome.numbers)
    if numpy32 is not None and want is not None:
        numbers["rmse_numpy_float32"] = compare.rmse(numpy32, want)
    return Finding(status, layer.name, expected, outcome.got, outcome.share, layer.source, numbers=numbers)
