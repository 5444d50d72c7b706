"""One implementation under one condition, layer by layer: its bits against the plain run's, its numbers against the bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ...reference.spec import Layer
from .. import compare, exact
from ..finding import Finding, Status
from ..precision import judge as precision
from ..recording import AGAIN, BATCH, Recording
from ..structure import missing
from ..truth import Truth
from . import fewer, gradients, outcome, reasons
from .baseline import Baseline
from .condition import Condition
from .verdicts import AS_PLAIN, EXPECTED, Measured, same, verdict

Array = np.ndarray


def real(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    """Real numbers: the plain run's bits where the condition must keep them, within the end-to-end bound everywhere.

    A layer that was fed the very bits that the plain run fed to it is held to its own, narrower bound as well. What else
    was fed is judged alone in modes of fewer bits only: it takes the oracle once more for each condition.
    """
    run = AGAIN if condition.name == AGAIN else BATCH
    truth = base.truth
    fed: Array | None = truth.x
    for layer, _, shape in truth.network.walk():
        got, plain = recording.run(run).get(layer.name), base.recording.run().get(layer.name)
        if got is not None and plain is not None:
            yield of_layer(layer, fed, got, plain, recording.run(AGAIN).get(layer.name), base, condition)
        fed = exact.recordable(got, (len(truth.x), *shape))
    yield from missing(recording, truth, run)
    if run != AGAIN:
        yield from missing(recording, truth, AGAIN)


def of_layer(
    layer: Layer,
    fed: Array | None,
    got: Array,
    plain: Array,
    again: Array | None,
    base: Baseline,
    condition: Condition,
) -> Finding:
    """What one layer gave under the condition. fed: None where that was not finite, or not given."""
    want = base.truth.trace[layer.name]
    for whose, array in (("", got), ("the plain run: ", plain)):
        if problem := compare.unlike(array, want.shape):
            return Finding(Status.FAIL, layer.name, EXPECTED, whose + problem)
    measured = Measured(
        moved=compare.bitwise(got, plain.astype(np.float64)),
        end_to_end=compare.within(got, want, base.truth.tolerances[layer.name]),
        repeated=again is None or same(again, got),
    )
    if condition.reduced:
        measured = in_its_format(layer, fed, got, measured, base, condition)
    elif same(fed, base.inputs[layer.name]) and not measured.moved.ok and (bound := base.layer_alone(layer)):
        alone, plain_alone = compare.within(got, *bound), compare.within(plain, *bound)
        measured = replace(measured, alone=alone, plain_alone=plain_alone)
    finding = verdict(layer.name, measured, condition)
    hint = "" if measured.moved.ok else reasons.why(base.impl, condition.name, layer.kind, base.device)
    known = f"{finding.hint}; {hint}" if hint and finding.hint == AS_PLAIN else finding.hint
    return replace(finding, source=layer.source, hint=known or hint)


def in_its_format(
    layer: Layer, fed: Array | None, got: Array, measured: Measured, base: Baseline, condition: Condition
) -> Measured:
    """Held to the bound of the format that the mode declares, where what the layer was fed is known."""
    if fed is None:
        return measured
    form = fewer.FORMATS[condition.arithmetic]
    own, beyond = fewer.judged(layer, base.truth.params, fed, got, form)
    return replace(measured, fewer=own, beyond=beyond)


def in_exact(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    """Exact arithmetic: the oracle's bits at every layer, whatever the condition; numbers of fewer bits are not asked."""
    if condition.name == AGAIN:
        recording = replace(recording, runs={BATCH: recording.run(AGAIN)})
    yield from exact.chain(recording, base.truth)


def taken_effect(flags: dict[str, str], condition: Condition) -> Finding | None:
    """BLIND if the model's own flags do not show the condition; None where it names none to show."""
    if not condition.shows:
        return None
    wanted = ", ".join(f"{name} {value}" for name, value in condition.shows.items())
    found = ", ".join(f"{name} {flags.get(name, 'not told')}" for name in condition.shows)
    status = Status.PASS if wanted == found else Status.BLIND
    hint = "" if status is Status.PASS else "the condition has not taken effect: what it shows is the plain run"
    return Finding(status, "", f"flags that show it: {wanted}", found, hint=hint)


def probed(recording: Recording, truth: Truth, condition: Condition) -> Iterator[Finding]:
    """What the probe says of each convolution and dense layer: the arithmetic that the condition declares, and nothing else.

    A condition declares what inputs are read in. How they are summed is the library's: several ways may fit all answers.
    """
    chain = "-chain" if recording.stimulus == PROBE else ""
    read = {layer.name: found.inputs for layer, found in precision.verdicts(recording, truth)}
    for about, found in (("inputs", precision.inputs), ("accumulator", precision.accumulator)):
        for finding in found(recording, truth):
            named = replace(finding, check=f"precision{chain}-{about}")
            yield on_purpose(named, read.get(finding.layer, frozenset()), condition) if condition.reduced else named


def on_purpose(finding: Finding, read: frozenset[str], condition: Condition) -> Finding:
    """Of a mode of fewer bits: KNOWN if the layer multiplies in what the mode declares, PASS if it may stay in float32 and does.

    read: all formats that its inputs may have been read in, none where the probe could not tell: that is BLIND. Else FAIL.
    """
    if finding.status is Status.ERROR:
        return without_operation(finding, condition)
    if read and {name.partition(" ")[0] for name in read} == {condition.arithmetic}:  # however it rounds to that width
        odd = ", by the answers of one product alone" if finding.got.startswith(precision.UNEXPLAINED) else ""
        return replace(finding, status=Status.KNOWN, hint=f"{outcome.REDUCED}{condition.arithmetic}{odd}")
    if condition.permits and read == {"float32"} and finding.status is Status.PASS:
        return replace(finding, hint=f"float32: allowed to be {condition.arithmetic}, and is not here")
    wanted = f"expected products in {condition.arithmetic}, as it was set to"
    if not read:
        return replace(finding, status=Status.BLIND, hint=f"{wanted}; the probe cannot tell")
    return replace(finding, status=Status.FAIL, hint=wanted)


# What frameworks raise where an operation, or a kernel of it, is not there in a type.
NO_OPERATION = re.compile(
    r"activations\(\) raised (NotImplementedError|NotFoundError|.*not implemented for '(Half|BFloat16)')"
)


def without_operation(finding: Finding, condition: Condition) -> Finding:
    """A framework need not have every operation in every type: one that it has not could not be asked. No other exception."""
    if finding.status is not Status.ERROR or not NO_OPERATION.search(finding.got):
        return finding
    return replace(finding, status=Status.UNSUPPORTED, hint=f"no such operation in {condition.arithmetic}")


def forward_and_back(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    """Real numbers: every layer's output, and every gradient where the condition is asked for them."""
    yield from real(recording, base, condition)
    if condition.backward:
        yield from gradients.real(recording, base, condition)


def exactly_back(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    if condition.backward:
        yield from gradients.in_exact(recording, base.truth, condition)


PROBE = "probe"  # the whole network; probe.LAYER, one layer alone
Judge = Callable[[Recording, Baseline, Condition], Iterator[Finding]]
JUDGES: dict[str, Judge] = {"large": forward_and_back, "exact": in_exact, "gradient-exact": exactly_back}


def findings(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    """All that a recording under a condition settles; strict about a mode of fewer bits that shows nowhere.

    A mode that the processor has no instructions for says so itself, `products exact here`: then it is float32's.
    """
    if recording.flags.get("products") == "exact here":
        condition = replace(condition, arithmetic="float32", permits=False)
    if recording.stimulus.startswith(PROBE):
        yield from probed(recording, base.truth, condition)
        return
    found = list(JUDGES[recording.stimulus](recording, base, condition))
    yield from (without_operation(finding, condition) if condition.reduced else finding for finding in found)
    measured = any(finding.numbers for finding in found)
    if condition.reduced and measured and not any(f.status is Status.KNOWN for f in found):
        yield nowhere(condition)


def nowhere(condition: Condition) -> Finding:
    """No layer left float32's bound: the library's choice, where flags show that it was allowed to; else not the mode at all."""
    expected = f"numbers beyond float32's bound, computed in {condition.arithmetic}"
    if condition.permits and condition.shows:
        hint = f"allowed to be {condition.arithmetic}, and no layer is: not at this size"
        return Finding(Status.PASS, "", expected, "every layer within it", hint=hint)
    return Finding(Status.FAIL, "", expected, "every layer within it", hint="the mode has not taken effect")
