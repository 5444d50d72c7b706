"""224 or 227, measured: which pixels conv1 really sees, and that 224 with its zeros is 227 with the same zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..reference import oracle
from ..reference.input_size import PADDINGS_OF_224, padded_like
from ..reference.spec import Conv, borders
from . import compare
from .finding import Finding, Status, judged
from .recording import Recording, in_both
from .structure import missing
from .truth import Truth

SOURCE = "Section 3.5"


def impulse(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """One lit pixel in the first and in the last corner: the numbers of the kernel's taps that meet it, to the bit.

    Every other padding that gives 55 x 55 must give another answer, else the check is blind.
    """
    conv1 = truth.network.layers[0]
    assert isinstance(conv1, Conv)
    got = recording.run().get(conv1.name)
    if got is None:
        yield from missing(recording, truth)
        return
    want = truth.trace[conv1.name]
    _, own = borders(conv1, truth.network.input_shape)
    others = {p: answer(conv1, p, truth) for p in PADDINGS_OF_224 if p != own}
    if alike := [p for p, other in others.items() if np.array_equal(other, want)]:
        yield Finding(Status.BLIND, conv1.name, "an answer of its own", f"paddings {alike} give the same")
        return
    named = [p for p, other in others.items() if compare.bitwise(got, other).ok]
    hint = f"agrees with padding {named[0]} (before, after)" if named else ""
    expected = f"the taps that meet the corners under padding {own}"
    yield judged(compare.bitwise(got, want), conv1.name, expected, source=conv1.source, hint=hint)


def answer(conv1: Conv, padding: tuple[int, int], truth: Truth) -> np.ndarray:
    """What conv1 would give under another padding."""
    return oracle.apply(padded_like(conv1, padding), truth.params, truth.x.astype(np.float64))


def as_227_exact(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """In exact arithmetic: 224 with its padding and 227 with the same zeros as pixels give the same bits."""
    for layer, one, other in both(recordings, truth):
        if truth.exact(layer) or truth.network[layer].kind == "softmax":
            outcome = compare.bitwise(one, other.astype(np.float64))
            yield judged(outcome, layer, "the bits of 227 x 227 with the same zeros", source=SOURCE)
    yield from missing(recordings[0], truth)
    yield from missing(recordings[1], truth)


def as_227_photograph(recordings: list[Recording], truth: Truth) -> Iterator[Finding]:
    """On the photograph: within both bounds (a library may sum in another order for padded input), bits counted."""
    for layer, one, other in both(recordings, truth):
        if problem := compare.unlike(other, truth.trace[layer].shape):
            yield Finding(Status.FAIL, layer, "227 x 227 with the same zeros", problem)
            continue
        outcome = compare.within(one, other.astype(np.float64), 2 * truth.tolerances[layer])
        numbers = {"bits_differ": float((one != other).sum())} if one.shape == other.shape else {}
        expected = "227 x 227 with the same zeros, within the sum of both bounds"
        yield judged(outcome, layer, expected, source=SOURCE, numbers=numbers)
    yield from missing(recordings[0], truth)
    yield from missing(recordings[1], truth)


def both(recordings: list[Recording], truth: Truth) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(layer, its output at 224 padded, its output at 227), where both were recorded."""
    padded, plain = recordings
    return in_both(padded.run(), plain.run(), truth.network.names())
