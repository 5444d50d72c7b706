"""Which of the differences change nothing: each pair of `pairs.py` run on the oracle and on implementations."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..impls.describe import describe
from ..reference import draws, oracle
from ..reference.stimuli import Stimulus
from . import bounds, compare, known, running_sum
from .compare import Comparison
from .finding import Finding, Status, judged
from .pairs import Arithmetic, Pair, pairs
from .recording import Feed
from .running import record
from .truth import Truth

Array = np.ndarray
Run = Callable[[Stimulus], Array]

ORACLE = "oracle"


class NotRun(Exception):
    """A side gave no output; `status` says how that is to be judged."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


def of_oracle(seed: int) -> Iterator[Finding]:
    """Every pair in float64, and the two conventions of dropout through two layers."""
    for pair in pairs(seed):
        yield from filled(judge(pair, oracle_runs), pair.name, ORACLE, seed, pair.arithmetic.value)
    yield from filled(dropout_conventions(seed), "dropout-training", ORACLE, seed, Arithmetic.REAL.value)


def of_implementation(module: Any, name: str, seed: int, flags: dict[str, str] | None = None) -> Iterator[Finding]:
    """Every pair on one implementation (anything with `build`), in this process; what it says of itself goes to `flags`."""
    run = runs_on(module, name, {} if flags is None else flags)
    found = (filled(judge(pair, run), pair.name, name, seed, pair.arithmetic.value) for pair in pairs(seed))
    yield from known.applied(itertools.chain.from_iterable(found))


def filled(found: Iterator[Finding], name: str, impl: str, seed: int, arithmetic: str) -> Iterator[Finding]:
    again = "" if impl == ORACLE else f" --impl {shlex.quote(impl)}"
    replay = f"alexnet-parity differences{again} --seed {seed}"
    for finding in found:
        yield finding.filled(check=f"pair-{name}", impl=impl, stimulus=arithmetic, seed=seed, replay=replay)


# Running ------------------------------------------------------------------------------------------------------------


def oracle_runs(stimulus: Stimulus) -> Array:
    """The last layer's output, computed in float64."""
    return Truth(stimulus).trace[stimulus.network.layers[-1].name].astype(np.float32)


def runs_on(module: Any, name: str, flags: dict[str, str]) -> Run:
    """The last layer's output by an implementation; raises NotRun where there is none."""

    def run(stimulus: Stimulus) -> Array:
        feed = Feed(stimulus.network.name, stimulus.name, read_back=False)
        recording = record(module, stimulus, feed, name)
        flags.update(recording.flags)
        last = stimulus.network.layers[-1].name
        if last in recording.run():
            return recording.run()[last]
        if recording.unsupported:
            raise NotRun(Status.UNSUPPORTED, recording.unsupported)
        raise NotRun(Status.ERROR, recording.unavailable or recording.why_missing() or f"no output {last!r}")

    return run


def side(stimuli: Sequence[Stimulus], run: Run) -> Array:
    """One side's output: that of its network, or those of both towers, side by side."""
    parts = [run(stimulus) for stimulus in stimuli]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


# Judging ------------------------------------------------------------------------------------------------------------


def judge(pair: Pair, run: Run) -> Iterator[Finding]:
    """Each side against the oracle, then the sides against one another. A side that gives nothing ends it."""
    if pair.arithmetic is Arithmetic.EXACT and (unproved := may_round(pair)):
        yield Finding(Status.BLIND, unproved, "sums below 2^24, integers", "a sum that may round")
        return
    outputs, hint = [], ""
    for stimuli in (pair.one, pair.other):
        layer = stimuli[0].network.layers[-1].name
        try:
            got = side(stimuli, run)
        except NotRun as missing:
            yield Finding(missing.status, layer, pair.says, str(missing))
            return
        except Exception as error:
            yield Finding(Status.ERROR, layer, pair.says, describe(error))
            return
        outputs.append(got)
        outcome = against_oracle(pair, stimuli, got)
        hint = hint or ("" if outcome.ok else sums_carried_along(pair, stimuli, got))
        yield judged(outcome, layer, f"the oracle's output on {stimuli[0].network.name}", hint=hint)
    sides = together(pair, *outputs)
    yield replace(sides, hint=hint)


def may_round(pair: Pair) -> str:
    """The first layer of a pair whose sums are not proved exact; "" if all are."""
    for stimulus in (*pair.one, *pair.other):
        truth = Truth(stimulus)
        for name in stimulus.network.names():
            if not truth.exact(name):
                return name
    return ""


def against_oracle(pair: Pair, stimuli: Sequence[Stimulus], got: Array) -> Comparison:
    want = np.concatenate([output(stimulus) for stimulus in stimuli], axis=1)
    if pair.arithmetic is not Arithmetic.LRN:
        return compare.bitwise(got, want)
    return compare.within(got, want, tolerance(stimuli[0]))


def sums_carried_along(pair: Pair, stimuli: Sequence[Stimulus], got: Array) -> str:
    """What to say of an LRN that is over its bound as one is that carries its sum of squares from map to map; "" otherwise."""
    if pair.arithmetic is not Arithmetic.LRN or len(stimuli) > 1:
        return ""
    (layer,), want = stimuli[0].network.layers, output(stimuli[0])
    tolerance = bounds.carried_along_tolerance(layer, {}, stimuli[0].x.astype(np.float64), want)
    return running_sum.hint(got, want, tolerance)


def output(stimulus: Stimulus) -> Array:
    """The oracle's last output, float64."""
    return Truth(stimulus).trace[stimulus.network.layers[-1].name]


def tolerance(stimulus: Stimulus) -> Array:
    """How far the one LRN of this stimulus may be from the oracle, plus the rounding to float32 of the oracle's own."""
    (layer,) = stimulus.network.layers
    want = output(stimulus)
    return bounds.local_tolerance(layer, {}, stimulus.x.astype(np.float64), want) + bounds.U * np.abs(want)


def together(pair: Pair, one: Array, other: Array) -> Finding:
    """The two sides: equal everywhere, or different in the places that are named and nowhere else."""
    layer = pair.one[0].network.layers[-1].name
    if pair.apart is None:
        return judged(compare.bitwise(one, other.astype(np.float64)), layer, "the same bits on both sides")
    expected = f"{int(pair.apart.sum())} of {pair.apart.size} places differ"
    if problem := compare.unlike(other, one.shape):
        return Finding(Status.FAIL, layer, expected, f"the other side has {problem}")
    differs = places_apart(pair, one, other)
    wrong = int((differs != pair.apart).sum())
    got = f"{int(differs.sum())} do" + (f", {wrong} of them or of the others wrongly" if wrong else ", those expected")
    status = Status.FAIL if wrong else Status.PASS
    return Finding(status, layer, expected, got, numbers={"places_apart": float(differs.sum())})


def places_apart(pair: Pair, one: Array, other: Array) -> Array:
    """Where the sides differ: (H, W) or (C,), as `pair.apart` counts. After LRN: by more than both may be off."""
    if pair.arithmetic is not Arithmetic.LRN:
        return np.any(compare.ulps(one, other) > 0, axis=(0, 1))
    allowed = tolerance(pair.one[0]) + tolerance(pair.other[0])
    maps = zip(*(np.moveaxis(values, 1, 0) for values in (one, other.astype(np.float64), allowed)), strict=True)
    return np.array([not compare.within(*values).ok for values in maps])


# Dropout in training ------------------------------------------------------------------------------------------------


def dropout_conventions(seed: int) -> Iterator[Finding]:
    """fc6, dropout, fc7, dropout, fc8 in both conventions, with the same masks in training and without any at test.

    As the paper has it: kept outputs as they are in training, all halved at test. Inverted: kept outputs doubled in training,
    all as they are at test, and the weights behind a dropout halved. Powers of two do not round: the bits are equal.
    """
    sizes = (19, 17, 13, 11)
    weights = [
        draws.normal(seed, f"dropout/{n}", shape, 1.0).astype(np.float64)
        for n, shape in enumerate(zip(sizes[1:], sizes[:-1], strict=True))
    ]
    x = draws.normal(seed, "dropout/input", (2, sizes[0]), 1.0).astype(np.float64)
    masks = [draws.integers(seed, f"dropout/mask/{n}", (2, n), np.array([0, 1])).astype(np.float64) for n in sizes[1:3]]
    for when, kept in (("training", masks), ("test", None)):
        printed = through(x, weights, [m if kept else 0.5 for m in masks])
        inverted = through(x, [weights[0], *(w / 2 for w in weights[1:])], [2 * m if kept else 1.0 for m in masks])
        outcome = compare.bitwise(printed.astype(np.float32), inverted.astype(np.float32).astype(np.float64))
        yield judged(outcome, "fc8", f"the same bits in both conventions at {when}")


def through(x: Array, weights: Sequence[Array], factors: Sequence[Array | float]) -> Array:
    """Dense layers with ReLU, each hidden output times its factor: (N, inputs) -> (N, classes)."""
    first, second, last = weights
    for weight, factor in ((first, factors[0]), (second, factors[1])):
        x = factor * oracle.relu(oracle.dense(x, weight, np.zeros(len(weight))))
    return oracle.dense(x, last, np.zeros(len(last)))
