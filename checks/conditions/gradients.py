"""The way back under a condition: each gradient's bits against the plain run's, its numbers against the bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...reference.spec import Layer
from .. import compare
from ..finding import Finding, Status
from ..gradients import exact as gradients_exact
from ..gradients.exact import source
from ..gradients.given import Given, given
from ..gradients.truth import INPUT, parameter_names
from ..recording import AGAIN, BATCH, GRADIENTS, GRADIENTS_AGAIN, TRAINING, Recording
from ..truth import Truth
from . import reasons
from .baseline import Baseline
from .condition import PLAIN, Condition
from .verdicts import EXPECTED, Measured, same, verdict

Array = np.ndarray
LARGE = "condition-gradient-large"
FOLLOWS = "what it is computed from has moved"
TRANSFORMS = "Winograd's or Fourier's transform in place of the products' sum, which is what the condition brings back"


def real(recording: Recording, base: Baseline, condition: Condition) -> Iterator[Finding]:
    """Real numbers: the plain run's bits where the condition must keep them, within the end-to-end bound everywhere.

    The bound is that of the float64 network under the decisions that this run took at its kinks (`checks/gradients/given.py`).
    """
    if GRADIENTS in base.recording.refused and condition.name != PLAIN:
        return  # said of the plain run
    if reason := recording.refused.get(GRADIENTS, ""):
        yield Finding(Status.UNSUPPORTED, "", "gradients", reason, check=LARGE)
        return
    had, run = given(recording, base.truth), GRADIENTS_AGAIN if condition.name == AGAIN else GRADIENTS
    for name in had.expected():
        got, plain = recording.run(run).get(name), base.recording.run(GRADIENTS).get(name)
        if got is not None and plain is not None:
            found = of_gradient(name, got, plain, recording.run(GRADIENTS_AGAIN).get(name), had, condition)
            hint = why(name, recording, base, had, condition) if found.numbers.get("moved") else ""
            yield replace(found, check=LARGE, source=source(had.side, name), hint=found.hint or hint)
    yield from (replace(finding, check=LARGE) for finding in absent(recording, had))


def of_gradient(name: str, got: Array, plain: Array, again: Array | None, had: Given, condition: Condition) -> Finding:
    """What one gradient is under the condition; `layer` of the finding names the gradient."""
    for whose, array in (("", got), ("the plain run: ", plain)):
        if problem := compare.unlike(array, had.side.shape(name)):
            return Finding(Status.FAIL, name, EXPECTED, whose + problem)
    measured = Measured(
        moved=compare.bitwise(got, plain.astype(np.float64)),
        end_to_end=had.flow.holds(name, got),
        repeated=again is None or same(again, got),
    )
    return verdict(name, measured, condition)


def why(name: str, recording: Recording, base: Baseline, had: Given, condition: Condition) -> str:
    """Why a gradient moved: a reason on record, or that what it is computed from had moved; "" if it is not known."""
    layer = next((one for one in had.side.layers if name in (had.side.before[one.name], *parameter_names(one))), None)
    kept = (same(recording.run(run).get(part), base.recording.run(run).get(part)) for run, part in needs(layer, had))
    if not all(kept):
        return FOLLOWS
    kind = "softmax" if layer is None else layer.kind  # the loss
    return reasons.why(base.impl, condition.name, kind, base.device, back=True) if had.dissected else ""


def needs(layer: Layer | None, had: Given) -> list[tuple[str, str]]:
    """(run, array) of all that a layer's gradients are computed from; None is the loss, which is fed the logits.

    Where gradients of parameters alone are given, what every layer gave going forward.
    """
    if not had.dissected:
        return [(BATCH, one.name) for one in had.side.layers]
    fed = had.side.logits if layer is None else had.side.before[layer.name]
    above = [(GRADIENTS, layer.name)] if layer is not None else []
    return [(TRAINING, fed), *above] if fed != INPUT else above


def absent(recording: Recording, had: Given) -> Iterator[Finding]:
    """What was not given, in the first backward pass or in the second."""
    yield from had.absent()
    first, second = recording.run(GRADIENTS), recording.run(GRADIENTS_AGAIN)
    if lost := [name for name in first if name not in second]:
        reason = recording.why_missing(GRADIENTS_AGAIN) or "nothing"
        yield Finding(Status.ERROR, lost[0], "a gradient when run again", reason)


def in_exact(recording: Recording, truth: Truth, condition: Condition) -> Iterator[Finding]:
    """Exact arithmetic: the oracle's bits in every gradient, under every condition that leaves the products to be summed."""
    if GRADIENTS in recording.refused:
        return  # said of the real numbers
    for finding in gradients_exact.chain(recording, truth):
        if finding.status is Status.FAIL and condition.transforms:
            yield replace(finding, status=Status.KNOWN, hint=TRANSFORMS)
        else:
            yield finding
