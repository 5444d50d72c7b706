"""Verdicts on Section 3.1: the ReLU, and how fast it learns."""

from __future__ import annotations

import math

import numpy as np

from ...reference.spec import Dense, Relu
from . import frameworks
from .verdict import Facts, Outcome, Verdict, decides, holds_if


@decides("relu-definition")
def definition(facts: Facts) -> Outcome:
    x = np.array([-3e38, -2.5, -1e-30, -0.0, 0, 1e-30, 2.5, 3e38], np.float32).reshape(1, 1, 2, 4)
    want = np.where(x > 0, x, 0)
    runs = frameworks.run(facts, frameworks.chain((1, 2, 4), Relu("relu")), x)
    apart = runs.apart("relu", want, exactly=True)
    evidence = (
        f"{x.size} numbers from {x.min():.0e} to {x.max():.0e}, both zeros among them, come out as max(0, x): "
        f"{runs.said(apart)}. At 0 the authors take a gradient of {facts.original.fact('relu-gradient-at-zero')}."
    )
    return holds_if(not apart, evidence)


def saturating(facts: Facts) -> list[str]:
    """Recorded nets with a tanh or logistic neuron in them."""
    nets = facts.original.nets.items()
    return [
        name for name, net in nets if any((layer.neuron or "").startswith(("tanh", "logistic")) for layer in net.layers)
    ]


def search(facts: Facts) -> str:
    found = saturating(facts)
    return (
        f"{len(found) or 'none'} of the {len(facts.original.nets)} configurations at hand has a tanh or logistic neuron"
    )


@decides("relu-cifar-six-times")
def six_times(facts: Facts) -> Outcome:
    evidence = f"Figure 1 is no log of a published run: {search(facts)}. The factor can only be measured anew."
    return Outcome(Verdict.NOT_CHECKABLE, evidence)


@decides("relu-fig1-setup")
def figure_1(facts: Facts) -> Outcome:
    if found := saturating(facts):
        return Outcome(Verdict.HOLDS, f"A configuration with a saturating neuron is public: {', '.join(found)}.")
    nets = [name for name in facts.original.nets if name.startswith("cifar")]
    decayed = [name for name in nets if any(any(layer.wc) for layer in facts.original.net(name).learned())]
    evidence = (
        f"The networks of Figure 1 are not identified: {search(facts)}, and {len(decayed)} of the {len(nets)} public "
        "CIFAR-10 nets have weight decay, a regulariser."
    )
    return Outcome(Verdict.UNDERSPECIFIED, evidence)


@decides("relu-several-times")
def several_times(_: Facts) -> Outcome:
    slope = 1 - math.tanh(2) ** 2
    evidence = (
        "The authors' release has no such pair of runs. The mechanism is sure: at an input of 2 the gradient through "
        f"tanh is {slope:.3f} and through four such layers {slope**4:.1e}, through ReLU 1; how much faster a "
        "network learns is not."
    )
    return Outcome(Verdict.NOT_CHECKABLE, evidence)


@decides("relu-positive-input-learns")
def learns(facts: Facts) -> Outcome:
    network = frameworks.chain((3,), Dense("fc", 2), Relu("relu"))
    x = np.array([[1, 2, 1], [2, -3, 1], [4, -1, -5]], np.float32)  # the first example alone turns the first unit on
    weight, bias = np.array([[1, 2, 0], [-2, 1, -1]], np.float32), np.array([-3, -9], np.float32)
    more = weight + np.array([[0.125, 0, 0], [0.125, 0, 0]], np.float32)
    runs = [frameworks.run(facts, network, x, {"fc.weight": w, "fc.bias": bias}) for w in (weight, more)]
    inputs = x @ weight.T + bias  # (3, 2)
    want = np.maximum(x @ more.T + bias, 0) - np.maximum(inputs, 0)  # exact: eighths
    first, second = frameworks.shared(runs[0].of("relu"), runs[1].of("relu"))
    slopes = {who: second[who] - before for who, before in first.items()}
    apart = [who for who, slope in slopes.items() if not np.array_equal(slope, want)]
    moved = (want != 0).sum(axis=0)
    evidence = (
        f"Of two units, one has a positive input for {int((inputs[:, 0] > 0).sum())} of {len(x)} examples, the other for "
        f"{int((inputs[:, 1] > 0).sum())}; raising a weight of each by 1/8 moves the first's output for {moved[0]} "
        f"example{'s' if moved[0] != 1 else ''} and the second's for {moved[1]}: {runs[0].said(apart)}."
    )
    return holds_if(not apart and moved[0] > 0 == moved[1], evidence)
