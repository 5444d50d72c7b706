"""A check must be able to see: each stated edit of each field of the spec moves the layer's output by 100 x its tolerance.

Proved on the oracle alone, at the stimulus with large activations, for every layer that has the field. An edit that
moves less is BLIND. One that gives the same function at these sizes is KNOWN, and the proof is that not one bit moves;
should it ever move something, the finding fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..reference import oracle
from ..reference.spec import (
    AFFINE,
    Conv,
    Dense,
    Dropout,
    Layer,
    Local,
    Lrn,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
)
from . import bounds
from .finding import Finding, Status
from .traps import nothing
from .truth import Truth

MARGIN = 100.0


@dataclass(frozen=True)
class Edit:
    """One change of one field; `same` says why it is the same function, where it is one."""

    kind: type[Layer]
    field: str
    says: str
    change: Callable[[Any], Layer]
    same: Callable[[Any, tuple[int, ...]], str] = lambda layer, shape: ""


def to(field: str, value: Any) -> Callable[[Any], Layer]:
    return lambda layer: replace(layer, **{field: value(layer) if callable(value) else value})


def whole_windows(layer: Conv | Pool, shape: tuple[int, ...]) -> str:
    """Rounding up or down is the same where it gives the same number of windows."""
    same = replace(layer, ceil=not layer.ceil).output(shape) == layer.output(shape)
    return f"no window of {shape[1]} x {shape[2]} is cut" if same else ""


def not_reached(layer: Conv | Local | Pool, shape: tuple[int, ...]) -> str:
    """A further pixel at the end, which reads as nothing, is the same where no further window comes with it."""
    wider = replace(layer, padding=widened(layer.padding))
    return "no window more fits in" if wider.output(shape) == layer.output(shape) else ""


def at_inference(layer: Dropout, shape: tuple[int, ...]) -> str:
    return "dropout is the identity at inference, whatever its rate"


CONVOLUTION: tuple[Edit, ...] = tuple(
    edit
    for kind in (Conv, Local)
    for edit in (
        Edit(kind, "channels", "one map fewer", to("channels", lambda c: c.channels - 1)),
        Edit(kind, "kernel", "two pixels smaller", to("kernel", lambda c: c.kernel - 2)),
        Edit(kind, "stride", "one more", to("stride", lambda c: c.stride + 1)),
        Edit(kind, "padding", "one pixel further right and down", to("padding", lambda c: shifted(c.padding))),
        Edit(
            kind,
            "padding",
            "one pixel more at the right and bottom",
            to("padding", lambda c: widened(c.padding)),
            not_reached,
        ),
    )
)

NORMALISATION: tuple[Edit, ...] = tuple(
    edit
    for kind in (Lrn, SpatialLrn)
    for edit in (
        Edit(kind, "n", "n + 2", to("n", lambda a: a.n + 2)),
        Edit(kind, "n", "n - 2", to("n", lambda a: a.n - 2)),
        Edit(kind, "k", "the other of 1 and 2", to("k", lambda a: 1.0 if a.k != 1 else 2.0)),
        Edit(kind, "alpha", "alpha / n", to("alpha", lambda a: a.alpha / a.n)),
        Edit(kind, "alpha", "alpha + 1 %", to("alpha", lambda a: a.alpha * 1.01)),
        Edit(kind, "beta", "beta + 0.01", to("beta", lambda a: a.beta + 0.01)),
        Edit(kind, "name", "left out", nothing),
    )
)

EDITS: tuple[Edit, ...] = (
    *CONVOLUTION,
    Edit(Conv, "groups", "the other grouping", to("groups", lambda c: 1 if c.groups > 1 else 2)),
    Edit(Conv, "ceil", "sizes rounded the other way", to("ceil", lambda c: not c.ceil), whole_windows),
    *NORMALISATION,
    Edit(
        Lrn,
        "towers",
        "the window stops at the border of the towers, or no longer does",
        to("towers", lambda a: 3 - a.towers),
    ),
    Edit(Relu, "name", "left out", nothing),
    Edit(Pool, "kernel", "one pixel smaller", to("kernel", lambda p: p.kernel - 1)),
    Edit(Pool, "stride", "one more", to("stride", lambda p: p.stride + 1)),
    Edit(Pool, "ceil", "sizes rounded the other way", to("ceil", lambda p: not p.ceil), whole_windows),
    Edit(
        Pool,
        "padding",
        "one pixel more at the right and bottom",
        to("padding", lambda p: widened(p.padding)),
        not_reached,
    ),
    Edit(Pool, "average", "the mean for the maximum, or the other way round", to("average", lambda p: not p.average)),
    Edit(Dense, "units", "one unit fewer", to("units", lambda d: d.units - 1)),
    Edit(Dense, "groups", "the other grouping", to("groups", lambda d: 1 if d.groups > 1 else 2)),
    Edit(Dropout, "rate", "a rate of 0.4", to("rate", 0.4), at_inference),
    Edit(Softmax, "name", "left out", nothing),
)


def shifted(padding: tuple[int, int]) -> tuple[int, int]:
    before, after = padding
    return (before - 1, after + 1) if before else (before + 1, max(0, after - 1))


def widened(padding: tuple[int, int]) -> tuple[int, int]:
    return (padding[0], padding[1] + 1)


def fields(truth: Truth) -> Iterator[Finding]:
    """Each edit of each layer's fields, in order of the layers."""
    for layer, inputs, _ in truth.network.walk():
        for edit in EDITS:
            if isinstance(layer, edit.kind):
                yield judged(edit, layer, inputs, truth)


def judged(edit: Edit, layer: Layer, inputs: tuple[int, ...], truth: Truth) -> Finding:
    what = f"{edit.field}: {edit.says}"
    seen, how = moved(edit.change(layer), layer, inputs, truth)
    if reason := edit.same(layer, inputs):
        status = Status.KNOWN if seen == 0 else Status.FAIL
        return Finding(status, layer.name, f"{what}: not one bit moves", how, source=layer.source, hint=reason)
    status = Status.PASS if seen >= MARGIN else Status.BLIND
    numbers = {"moved": seen} if np.isfinite(seen) else {}
    return Finding(
        status, layer.name, f"{what}: moves {MARGIN:.0f} x the tolerance", how, source=layer.source, numbers=numbers
    )


def moved(edited: Layer, layer: Layer, inputs: tuple[int, ...], truth: Truth) -> tuple[float, str]:
    """How far the edited layer's output lies from the real one's, in tolerances; infinite where a shape gives it away."""
    try:
        edited.output(inputs)
        if isinstance(layer, AFFINE) and edited.param_shapes(inputs) != layer.param_shapes(inputs):
            return np.inf, "weights of another shape"
        if edited.output(inputs) != layer.output(inputs):
            return np.inf, f"shape {edited.output(inputs)} for {layer.output(inputs)}"
    except ValueError as error:
        return np.inf, f"impossible: {error}"
    x, want = truth.input_of(layer.name), truth.trace[layer.name]
    difference = np.abs(oracle.apply(edited, truth.params, x) - want)
    if not difference.any():
        return 0.0, "no difference at all"
    tolerance = bounds.local_tolerance(layer, truth.params, x, want)
    floor = np.maximum(
        tolerance, bounds.SMALLEST_NORMAL
    )  # where the layer itself does not round, any change is infinite
    most = float((difference / floor).max()) if tolerance.any() else np.inf
    return most, f"{most:.3g} x" if np.isfinite(most) else "a change where no rounding is allowed"
