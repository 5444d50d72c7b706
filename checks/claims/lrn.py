"""Verdicts on Section 3.3: what the normalisation of the text computes, and what the authors' did."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...reference import draws
from ...reference.claims import published
from ...reference.spec import Lrn, Pool, Relu
from . import frameworks, logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

Array = np.ndarray
CONSTANTS = (2.0, 5, 1e-4, 0.75)  # k, n, alpha, beta
GAIN = (1.4, 1.2)
SCALE = 100.0  # standard deviation of activations at which the constants matter


def norm1(facts: Facts) -> Lrn:
    layer = facts.paper["norm1"]
    assert isinstance(layer, Lrn)
    return layer


def by_hand(a: Array, layer: Lrn, alpha: float, subtract_mean: bool = False) -> Array:
    """Section 3.3's formula, one map at a time, in float64: (N, C, H, W) -> same."""
    a = a.astype(np.float64)
    last = a.shape[1] - 1
    b = np.empty_like(a)
    for i in range(last + 1):
        window = a[:, max(0, i - layer.n // 2) : min(last, i + layer.n // 2) + 1]
        if subtract_mean:
            window = window - window.mean(axis=1, keepdims=True)
        b[:, i] = a[:, i] / (layer.k + alpha * (window**2).sum(axis=1)) ** layer.beta
    return b


def activations(name: str) -> Array:
    return np.maximum(draws.normal(0, f"claims/{name}", (2, 12, 3, 5), SCALE), 0)


def effective_alpha(facts: Facts) -> float:
    """What the authors' code multiplies the sum of squares by."""
    layer = facts.original.net("145").layer("rnorm1a")
    assert layer.scale
    assert layer.size
    return layer.scale / layer.size if facts.original.fact("lrn-scale-divided-by-size") else layer.scale


@decides("lrn-formula")
def formula(facts: Facts) -> Outcome:
    layer, theirs = norm1(facts), effective_alpha(facts)
    a = activations("lrn-formula")
    printed, coded = by_hand(a, layer, layer.alpha), by_hand(a, layer, theirs)
    runs = frameworks.run(facts, frameworks.chain(a.shape[1:], layer), a)
    apart = runs.apart("norm1", printed)
    same = np.isclose(theirs, layer.alpha, rtol=1e-9)
    evidence = (
        f"With the printed formula, written out by hand, {runs.said(apart)}. The authors' code divides alpha by the "
        f"size of the window first, so that it multiplies the sum by {theirs:.0e}, not {layer.alpha:.0e}: over "
        f"{a.shape[1]} random maps of scale {SCALE:.0f}, the layer by itself, outputs move by "
        f"{100 * frameworks.moved(printed, coded):.0f}% (in the network: reports/differences.md)."
        if not same
        else f"With the printed formula {runs.said(apart)}, and alpha is {theirs:.0e} in the authors' code too."
    )
    return holds_if(same and not apart, evidence)


@decides("lrn-constants")
def constants(facts: Facts) -> Outcome:
    theirs = {(x.minDiv, x.size, x.scale, x.pow) for x in facts.original.net("145").of_type("cmrnorm")}
    ours = {(x.k, x.n, x.alpha, x.beta) for x in facts.paper.layers if isinstance(x, Lrn)}
    said = "; ".join(f"k = {k:g}, n = {n}, alpha = {alpha:g}, beta = {beta:g}" for k, n, alpha, beta in sorted(theirs))
    count = len(facts.original.net("145").of_type("cmrnorm"))
    return holds_if(theirs == ours == {CONSTANTS}, f"Configured in {count} layers of the authors' net: {said}.")


@decides("lrn-window-bounds")
def window(facts: Facts) -> Outcome:
    layer, maps = norm1(facts), 13
    level = layer.alpha**-0.5  # each map in the window adds 1 to the sum times alpha
    network = frameworks.chain((maps, 1, 1), layer)
    runs = frameworks.run(facts, network, np.full((1, maps, 1, 1), level, np.float32))
    found = {
        who: np.rint((level / b.ravel().astype(np.float64)) ** (1 / layer.beta) - layer.k).astype(int).tolist()
        for who, b in runs.of("norm1").items()
    }
    half = layer.n // 2
    want = [min(maps - 1, i + half) - max(0, i - half) + 1 for i in range(maps)]
    apart = [who for who, counts in found.items() if counts != want]
    counts = found[apart[0] if apart else frameworks.ORACLE]
    evidence = (
        f"n/2 is {layer.n / 2:g}. With {half} maps on each side, as the authors' integer division has it, maps 0, 1, middle, "
        f"N-2 and N-1 see {counts[0]}, {counts[1]}, {counts[maps // 2]}, {counts[-2]} and {counts[-1]} maps: "
        f"{runs.said(apart)}. A framework that takes {layer.n} for a radius would sum {2 * layer.n + 1}."
    )
    if apart:
        return Outcome(Verdict.CONTRADICTED, evidence)
    return Outcome(Verdict.UNDERSPECIFIED if layer.n % 2 else Verdict.HOLDS, evidence)


@decides("lrn-n-total-kernels")
def span(facts: Facts) -> Outcome:
    layer, net = norm1(facts), facts.original.net("145")
    kernels = sum(x.filters or 0 for x in net.layers if x.name in ("conv1a", "conv1b"))
    theirs = net.layer("rnorm1a").channels[0]
    a = np.full((2, 12, 1, 1), SCALE, np.float32)
    a[1, 6] = 10 * SCALE  # the first map of the second half; its neighbour in the first half is map 5
    runs = [
        frameworks.run(facts, frameworks.chain((12, 1, 1), dataclasses.replace(layer, towers=towers)), a)
        for towers in (1, 2)
    ]
    across, within = (
        {who: 100 * float(1 - b[1, 5, 0, 0] / b[0, 5, 0, 0]) for who, b in outputs.items()}
        for outputs in frameworks.shared(*(run.of("norm1") for run in runs))
    )
    apart = [who for who in across if across[who] < 1 or within[who] != 0]
    evidence = (
        f"The authors normalise each tower by itself, over {theirs} of {kernels} maps. It matters at the border: a map ten "
        f"times as bright lowers its neighbour across it by {across[frameworks.ORACLE]:.0f}% if windows span the whole "
        f"layer and by {within[frameworks.ORACLE]:.0f}% if they stop: {runs[0].said(apart)}."
    )
    return holds_if(theirs == kernels and not apart, evidence)


@decides("lrn-after-relu")
def order(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    before = {x.name: net.layer(x.inputs[0]).neuron for x in net.of_type("cmrnorm")}
    signed = [name for name, neuron in before.items() if neuron != "relu"]
    a = draws.normal(0, "claims/lrn-order", (1, 12, 9, 11), SCALE)
    layers = {"relu": Relu("relu"), "norm": norm1(facts), "pool": Pool("pool", 3, 2)}
    orders = [("relu", "norm", "pool"), ("norm", "pool", "relu")]
    runs = [frameworks.run(facts, frameworks.chain(a.shape[1:], *(layers[x] for x in names)), a) for names in orders]
    printed, coded = frameworks.shared(runs[0].of("pool"), runs[1].of("relu"))
    truths = printed[frameworks.ORACLE], coded[frameworks.ORACLE]
    apart = [who for who in printed if not all(map(frameworks.close, (printed[who], coded[who]), truths))]
    moved = 100 * frameworks.moved(*truths)
    evidence = (
        f"In the authors' net {frameworks.listed(signed) if signed else 'no normalisation'} read"
        f"{'s' if len(signed) == 1 else ''} signed numbers, without a ReLU before"
        f"{': the ReLU of layer 1 comes after its pool' if 'rnorm1a' in signed else ''}. Over {a.shape[1]} random "
        f"maps of scale {SCALE:.0f} this moves what leaves the pool by {moved:.0f}% (in the network: reports/differences.md): "
        f"{runs[0].said(apart)}."
    )
    return holds_if(not signed and not apart, evidence)


@decides("lrn-no-mean-subtraction")
def brightness(facts: Facts) -> Outcome:
    layer, a = norm1(facts), activations("lrn-mean")
    plain, centred = (by_hand(a, layer, layer.alpha, subtract_mean=s) for s in (False, True))
    runs = frameworks.run(facts, frameworks.chain(a.shape[1:], layer), a)
    apart = runs.apart("norm1", plain)
    kinds = sorted({x.type for x in facts.original.net("145").layers if x.type.endswith("norm")})
    evidence = (
        f"With the formula without means {runs.said(apart)}. Subtracting the window's mean would move outputs by "
        f"{100 * frameworks.moved(plain, centred):.0f}%. The authors' net has layers of type {' and '.join(kinds)}, "
        f"{'one of them' if 'cnorm' in kinds else 'none'} the contrast normalisation cnorm."
    )
    return holds_if(not apart and "cnorm" not in kinds, evidence)


@decides("lrn-hyperparams-by-validation")
def chosen(facts: Facts) -> Outcome:
    offsets = facts.original.fact("lrn-offset-of-131-and-135")
    one, two = (facts.original.fact(f"logged-{net}") for net in ("131", "135"))
    top1, top5 = (100 * (two[key] - one[key]) for key in ("top1", "top5"))
    evidence = (
        f"A pair of logged runs that differs in k alone has k = {offsets[0]} and {offsets[1]}, on the validation set of 2012: "
        f"{top1:+.2f} points top-1 and {top5:+.2f} top-5 for the k that was kept. {'; '.join(published.LRN_TRIALS)}. That such "
        "trials chose the constants, the notes don't say."
    )
    return Outcome(Verdict.HOLDS if max(top1, top5) < 0 else Verdict.UNDERSPECIFIED, evidence)


@decides("lrn-gain-1p4-1p2")
def gain(facts: Facts) -> Outcome:
    without, with_ = (logged.error(facts.original, name) for name in ("148", "145"))
    gains, z = logged.points(without, with_), logged.sigmas(without, with_, logged.VALIDATION)
    dropped = [x.name for x in facts.original.net("145").of_type("rnorm")]
    evidence = (
        f"The notes have {logged.shown(without)} without and {logged.shown(with_)} with normalisation, on the validation "
        f"set of 2012 (the notes name no year; the figures are those of 2012): {gains[0]:.3f} and {gains[1]:.3f} points, "
        f"{z[0]:.1f} and {z[1]:.1f} standard errors, if the images had been different ones; one run each, "
        f"and the net without lacks {' and '.join(dropped) or 'nothing else'} as well."
    )
    return holds_if(logged.rounds_to(gains, GAIN), evidence)
