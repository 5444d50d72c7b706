"""The same bits when run twice, and an image alone against the same image in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import compare
from .finding import Finding, Status
from .recording import AGAIN, FIRST, Recording
from .structure import missing
from .truth import Truth


def twice(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Run twice on the same input: the same bits."""
    for layer in truth.network.layers:
        once, again = recording.run().get(layer.name), recording.run(AGAIN).get(layer.name)
        if once is not None and again is not None:
            outcome = compare.bitwise(again, once.astype(np.float64))
            status = Status.PASS if outcome.ok else Status.FAIL
            yield Finding(status, layer.name, "the same bits when run twice", outcome.got, outcome.share)
    yield from missing(recording, truth, AGAIN)


def batch_exact(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Exact arithmetic: the first image alone gives the bits that it gives in the batch."""
    for layer in truth.network.layers:
        batch, alone = recording.run().get(layer.name), recording.run(FIRST).get(layer.name)
        if batch is not None and alone is not None:
            outcome = compare.bitwise(alone, batch[:1].astype(np.float64))
            status = Status.PASS if outcome.ok else Status.FAIL
            yield Finding(status, layer.name, "the same bits alone and in a batch", outcome.got, outcome.share)
    yield from missing(recording, truth, FIRST)


def batch_real(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Real numbers: a different batch size may sum in another order; alone, too, each number is within its bound."""
    for layer in truth.network.layers:
        batch, alone = recording.run().get(layer.name), recording.run(FIRST).get(layer.name)
        if batch is None or alone is None:
            continue
        want = truth.trace[layer.name][:1]
        outcome = compare.within(alone, want, truth.tolerances[layer.name][:1])
        status = Status.PASS if outcome.ok else Status.FAIL
        numbers = dict(outcome.numbers)
        if not compare.unlike(alone, want.shape) and not compare.unlike(batch[:1], want.shape):
            numbers["ulps_from_batch"] = float(compare.ulps(alone, batch[:1]).max())
        expected = "the first image alone within the bound as well"
        yield Finding(status, layer.name, expected, outcome.got, outcome.share, numbers=numbers)
    yield from missing(recording, truth, FIRST)
