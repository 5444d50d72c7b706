"""The same bits when run twice, and an image alone against the same image in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import compare, running_sum
from .finding import Finding, Status, judged
from .recording import AGAIN, BATCH, FIRST, UNRECORDED, Recording, in_both
from .structure import missing
from .truth import Truth


def twice(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Run twice on the same input: the same bits."""
    for layer, batch, again in both(recording, truth, AGAIN):
        yield judged(compare.bitwise(again, batch.astype(np.float64)), layer, "the same bits when run twice")
    yield from missing(recording, truth, AGAIN)


def unrecorded(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """The output of a network of which nothing else is asked: the same bits, or in its bound where a compiler fuses layers.

    To hand over every layer's output keeps a compiler from fusing what it would fuse in use: what is verified layer by layer
    is then another program, and this one is judged by itself. `flags()["compiler"]` of a model says that there is one.
    """
    last = truth.network.layers[-1].name
    alone, recorded = recording.run(UNRECORDED).get(last), recording.run().get(last)
    if alone is None or recorded is None:
        run = UNRECORDED if alone is None else BATCH
        yield Finding(Status.ERROR, last, "the last layer's output", recording.why_missing(run) or "nothing")
        return
    comparable = not compare.unlike(alone, recorded.shape) and not compare.unlike(recorded, recorded.shape)
    numbers = {"ulps_from_recorded": float(compare.ulps(alone, recorded).max())} if comparable else {}
    if compiler := recording.flags.get("compiler"):
        outcome = compare.within(alone, truth.trace[last], truth.tolerances[last])
        expected = f"the float64 network's output, within the bound: {compiler} fuses layers"
        yield judged(outcome, last, expected, numbers=numbers)
        return
    hint = (
        "" if not numbers.get("ulps_from_recorded") else 'where a compiler fuses layers, flags()["compiler"] names it'
    )
    outcome = compare.bitwise(alone, recorded.astype(np.float64))
    yield judged(outcome, last, "the bits that are recorded with all others", numbers=numbers, hint=hint)


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
        hint = "" if outcome.ok else running_sum.hint(alone, want, truth.running_sum_tolerances[layer][:1])
        yield judged(outcome, layer, "the first image alone within the bound as well", hint=hint, numbers=numbers)
    yield from missing(recording, truth, FIRST)


def both(recording: Recording, truth: Truth, run: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(layer, its output in the batch, its output in another run), where both were recorded."""
    return in_both(recording.run(), recording.run(run), truth.network.names())
