"""Parity on real numbers, within bounds derived for each element: each layer alone, and the chain end to end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..reference import oracle
from . import bounds, compare, exact, running_sum, traps
from .finding import Finding, judged
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


EXPECTED = "the float64 oracle's output for {}, within the bound"


def layer_alone(site: traps.Site, truth: Truth, x: np.ndarray, got: np.ndarray) -> Finding:
    layer = site.layer
    want = oracle.apply(layer, truth.params, x)
    outcome = compare.within(got, want, bounds.local_tolerance(layer, truth.params, x, want))
    hint = "" if outcome.ok else traps.explain(site, truth.params, x, got)
    return judged(outcome, layer.name, EXPECTED.format("its own input"), source=layer.source, hint=hint)


def chain(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """End to end: every output against the float64 network's, tolerances carried forward."""
    for layer in truth.network.layers:
        got = recording.run().get(layer.name)
        if got is not None:
            want = truth.trace[layer.name]
            outcome = compare.within(got, want, truth.tolerances[layer.name])
            numbers = {"rmse_numpy_float32": compare.rmse(truth.single[layer.name], want)}
            expected = EXPECTED.format("the network's input")
            hint = "" if outcome.ok else running_sum.hint(got, want, truth.running_sum_tolerances[layer.name])
            yield judged(outcome, layer.name, expected, source=layer.source, hint=hint, numbers=numbers)
    yield from missing(recording, truth)
