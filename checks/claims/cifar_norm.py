"""Verdicts on Section 3.3's CIFAR-10 networks, with and without normalisation."""

from __future__ import annotations

from ...reference.claims import published
from ...reference.original_code.net import Net
from .verdict import Facts, Outcome, Verdict, decides, holds_if

WITHOUT, WITH = "cifar-13pct", "cifar-11pct"
COMPARED = ("filters", "outputs", "filterSize", "stride", "padding", "sizeX", "neuron", "initW", "wc")


def differences(one: Net, other: Net) -> list[str]:
    """What differs in the layers that both nets have: "local3 filters 32, 64"."""
    return [
        f"{layer.name} {name} {shown(getattr(layer, name))}, {shown(getattr(other.layer(layer.name), name))}"
        for layer in one.layers
        if layer.name in other.names()
        for name in COMPARED
        if getattr(layer, name) != getattr(other.layer(layer.name), name)
    ]


def shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@decides("lrn-cifar-13pct")
def without(facts: Facts) -> Outcome:
    error = facts.original.fact("cifar-13pct-error")
    net = facts.original.net(WITHOUT)
    evidence = (
        f"cuda-convnet's documentation logs a test error of {error:.3f} for this net of {net.parameter_count():,} "
        f"parameters, trained on {net.input_size} x {net.input_size} crops: {round(100 * error)}% when rounded."
    )
    return holds_if(round(100 * error) == 13, evidence)


@decides("lrn-cifar-11pct")
def with_(facts: Facts) -> Outcome:
    net = facts.original.net(WITH)
    evidence = (
        f"No log was found: the figure stands in the first line of the parameter file of a net of "
        f"{net.parameter_count():,} parameters."
    )
    return Outcome(Verdict.NOT_CHECKABLE, evidence)


@decides("lrn-cifar-same-net")
def same_net(facts: Facts) -> Outcome:
    one, other = facts.original.net(WITHOUT), facts.original.net(WITH)
    later = differences(one, other)
    earlier = [name for name in published.EARLIER_11PCT_DIFFERS if not name.startswith("rnorm")]
    counts = f"{one.parameter_count():,} and {other.parameter_count():,} parameters"
    if not later and not earlier:
        return Outcome(Verdict.HOLDS, f"The two nets differ in their normalisation only: {counts}.")
    evidence = (
        f"Two revisions of the net with normalisation are public. The later differs in {'; '.join(later) or 'nothing else'} "
        f"as well ({counts}); the earlier in {', '.join(earlier) if earlier else 'the two normalisations only'}, and both "
        "were trained about three times as long. The paper does not say which it used; by the later alone it would be wrong."
    )
    return Outcome(Verdict.CONTRADICTED if later and earlier else Verdict.UNDERSPECIFIED, evidence)


@decides("lrn-cifar-specified")
def specified(facts: Facts) -> Outcome:
    nets = [facts.original.nets[name] for name in (WITHOUT, WITH) if name in facts.original.nets]
    needed = ("epsW", "epsB", "momW", "momB", "wc", "initW")
    gaps = [
        f"{net.name} {layer.name} {name}"
        for net in nets
        for layer in net.learned()
        for name in needed
        if getattr(layer, name) in (None, ())
    ]
    evidence = (
        f"{len(nets)} of the two nets are public with layers, initial weights, rates, momentum and decay"
        f"{'' if not gaps else ', but for ' + ', '.join(gaps)}; which of the revisions is meant, the footnote does not say."
    )
    if len(nets) < 2 or gaps:
        return Outcome(Verdict.CONTRADICTED, evidence)
    return Outcome(Verdict.UNDERSPECIFIED if published.EARLIER_11PCT_DIFFERS else Verdict.HOLDS, evidence)
