"""224 or 227, measured: which pixels conv1 really sees, and that 224 with its zeros is 227 with the same zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..reference import oracle
from ..reference.input_size import PADDINGS_OF_224, padded_like
from . import compare
from .finding import Finding, Status
from .recording import Recording
from .structure import missing
from .truth import Truth


def impulse(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """One lit pixel in the first and in the last corner: the numbers of the kernel's taps that meet it, to the bit.

    Every other padding that gives 55 x 55 must give another answer, else the check is blind.
    """
    conv1 = truth.network.layers[0]
    got = recording.run().get(conv1.name)
    if got is None:
        yield from missing(recording, truth)
        return
    want = truth.trace[conv1.name]
    outcome = compare.bitwise(got, want)
    others = [p for p in PADDINGS_OF_224 if p != conv1.padding]  # type: ignore[attr-defined]
    alike = [p for p in others if np.array_equal(oracle.apply(padded_like(conv1, p), truth.params, truth.x), want)]
    if alike:
        yield Finding(Status.BLIND, conv1.name, "an answer of its own", f"paddings {alike} give the same")
        return
    named = [p for p in others if compare.bitwise(got, oracle.apply(padded_like(conv1, p), truth.params, truth.x)).ok]
    hint = f"agrees with padding {named[0]} (before, after)" if named else ""
    expected = f"the taps that meet the corners under padding {conv1.padding}"  # type: ignore[attr-defined]
    status = Status.PASS if outcome.ok else Status.FAIL
    yield Finding(status, conv1.name, expected, outcome.got, outcome.share, conv1.source, hint)


def as_227_exact(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """In exact arithmetic: 224 with its padding and 227 with the same zeros as pixels give the same bits."""
    for layer, one, other in both(recordings, truth):
        if truth.exact(layer) or truth.network[layer].kind == "softmax":
            yield judged(
                layer, compare.bitwise(one, other.astype(np.float64)), "the bits of 227 x 227 with the same zeros"
            )
    yield from missing(recordings[0], truth)
    yield from missing(recordings[1], truth)


def as_227_photograph(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """On the photograph: within both bounds (a library may sum in another order for padded input), bits counted."""
    for layer, one, other in both(recordings, truth):
        if problem := compare.unlike(other, truth.trace[layer].shape):
            yield Finding(Status.FAIL, layer, "227 x 227 with the same zeros", problem)
            continue
        outcome = compare.within(one, other.astype(np.float64), 2 * truth.tolerances[layer])
        finding = judged(layer, outcome, "227 x 227 with the same zeros, within the sum of both bounds")
        if one.shape == other.shape:
            finding.numbers["bits_differ"] = float((one != other).sum())
        yield finding
    yield from missing(recordings[0], truth)
    yield from missing(recordings[1], truth)


def both(recordings: list[Recording], truth: Truth) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    padded, plain = recordings
    for name in truth.network.names():
        one, other = padded.run().get(name), plain.run().get(name)
        if one is not None and other is not None:
            yield name, one, other


def judged(layer: str, outcome: compare.Comparison, expected: str) -> Finding:
    status = Status.PASS if outcome.ok else Status.FAIL
    return Finding(status, layer, expected, outcome.got, outcome.share, "Section 3.5")
