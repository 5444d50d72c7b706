"""The same bits when run twice, and an image alone against the same image in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import compare
from .finding import Finding, judged
from .recording import AGAIN, FIRST, Recording, in_both
from .structure import missing
from .truth import Truth


def twice(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Run twice on the same input: the same bits."""
    for layer, batch, again in both(recording, truth, AGAIN):
        yield judged(compare.bitwise(again, batch.astype(np.float64)), layer, "the same bits when run twice")
    yield from missing(recording, truth, AGAIN)


def batch_exact(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Exact arithmetic: the first image alone gives the bits that it gives in the batch."""
    for layer, batch, alone in both(recording, truth, FIRST):
        yield judged(compare.bitwise(alone, batch[:1].astype(np.float64)), layer, "the same bits alone and in a batch")
    yield from missing(recording, truth, FIRST)


def batch_real(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Real numbers: a different batch size may sum in another order; alone, too, each number is within its bound."""
    for layer, batch, alone in both(recording, truth, FIRST):
        want = truth.trace[layer][:1]
        outcome = compare.within(alone, want, truth.tolerances[layer][:1])
        comparable = not compare.unlike(alone, want.shape) and not compare.unlike(batch[:1], want.shape)
        numbers = {"ulps_from_batch": float(compare.ulps(alone, batch[:1]).max())} if comparable else {}
        yield judged(outcome, layer, "the first image alone within the bound as well", numbers=numbers)
    yield from missing(recording, truth, FIRST)


def both(recording: Recording, truth: Truth, run: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(layer, its output in the batch, its output in another run), where both were recorded."""
    return in_both(recording.run(), recording.run(run), truth.network.names())
