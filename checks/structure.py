"""Is it the network it claims to be: the right layers, shapes, parameter counts, and the weights that were given?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..reference.spec import perhaps
from . import compare
from .finding import Finding, Status, judged
from .recording import BATCH, Recording
from .truth import Truth


def missing(recording: Recording, truth: Truth, run: str = BATCH) -> Iterator[Finding]:
    """One ERROR for the first layer that was not recorded, with the reason and how many more."""
    absent = [name for name in truth.network.names() if name not in recording.run(run)]
    if not absent:
        return
    strangers = [name for name in recording.run(run) if name not in truth.network.names()]
    more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
    reason = recording.why_missing(run) or f"not among the names given{perhaps(absent[0], strangers)}"
    yield Finding(Status.ERROR, absent[0], "an activation", f"none{more}: {reason}")


def shapes(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Every output's dtype and shape, and no name that the network does not have."""
    expected = {name: (len(truth.x), *shape) for name, shape in truth.network.shapes().items()}
    for layer in truth.network.layers:
        got = recording.run().get(layer.name)
        if got is not None:
            problem = compare.unlike(got, expected[layer.name])
            status = Status.FAIL if problem else Status.PASS
            wanted = f"float32 {expected[layer.name]}"
            yield Finding(status, layer.name, wanted, problem or wanted, source=layer.source)
    for name in recording.run():
        if name not in expected:
            hint = f"the layers are: {' '.join(expected)}"
            yield Finding(Status.ERROR, name, f"a layer's name{perhaps(name, list(expected))}", repr(name), hint=hint)
    yield from missing(recording, truth)


def parameters(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Learned numbers of every layer and in all, counted in what the framework holds."""
    if not recording.params_read:
        yield Finding(Status.ERROR, "", "params()", recording.why_missing("params") or "not read")
        return
    held = {name: truth.params[name].size if a is None else a.size for name, a in recording.params.items()}
    counts = truth.network.param_counts()
    for layer in truth.network.layers:
        if counts[layer.name]:
            got = sum(size for name, size in held.items() if name.rpartition(".")[0] == layer.name)
            yield count(layer.name, counts[layer.name], got, layer.source)
    yield count("", truth.network.parameter_count(), sum(held.values()), "Section 3.5, abstract")


def count(layer: str, expected: int, got: int, source: str) -> Finding:
    status = Status.PASS if got == expected else Status.FAIL
    return Finding(status, layer, f"{expected:,}", f"{got:,}", source=source, numbers={"parameters": got})


def readback(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """The weights that the framework holds are those given, bit for bit."""
    for name, given in truth.params.items():
        layer = name.rpartition(".")[0]
        expected = f"{name} as given, {math.prod(given.shape):,} numbers"
        if name not in recording.params:
            others = [other for other in recording.params if other not in truth.params]
            reason = recording.why_missing("params") or f"not in params(){perhaps(name, others)}"
            yield Finding(Status.ERROR, layer, expected, reason)
            continue
        held = recording.params[name]
        if held is None:
            yield Finding(Status.PASS, layer, expected, "every bit", 0.0)
        else:
            yield judged(compare.bitwise(held, given.astype(float)), layer, expected)
    for name in recording.params:
        if name not in truth.params:
            hint = f"the parameters are: {' '.join(truth.params)}"
            expected = f"a parameter's name{perhaps(name, list(truth.params))}"
            yield Finding(Status.ERROR, name.rpartition(".")[0], expected, repr(name), hint=hint)
