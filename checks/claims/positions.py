"""Verdicts on Section 3.5: what lies behind what, and who reads whom."""

from __future__ import annotations

import numpy as np

from ...reference import draws
from ...reference.original_code.net import Net
from ...reference.spec import AFFINE, Dense, Lrn, Network, Pool, Relu, SpatialLrn
from . import frameworks
from .gpu import towers
from .verdict import Facts, Outcome, Verdict, decides, holds_if


def between(net: Net, first: str, last: str) -> list[str]:
    """Types of the layers on the way from one to another, following first inputs back."""
    found, name = [], net.layer(last).inputs[0]
    while name != first and net.layer(name).inputs:
        found.append(net.layer(name).type)
        name = net.layer(name).inputs[0]
    return found


@decides("arch-no-pool-norm-3-5")
def nothing_between(facts: Facts) -> Outcome:
    theirs = between(facts.original.net("145"), "conv3a", "conv5a")
    names = facts.paper.names()
    ours = [facts.paper[name].kind for name in names[names.index("conv3") + 1 : names.index("conv5")]]
    evidence = (
        f"Between the authors' conv3 and conv5 lie layers of type {', '.join(theirs)} only; "
        f"as specified: {', '.join(ours)}."
    )
    return holds_if(set(theirs) == {"conv"} and set(ours) <= {"conv", "relu"}, evidence)


@decides("arch-fc-all-to-all")
def all_to_all(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    reads = {layer.name: {net.gpu(name) for name in layer.inputs} for layer in net.of_type("fc")}
    partial = [name for name, gpus in reads.items() if not gpus >= {0, 1}]
    grouped = [layer.name for layer in facts.paper.layers if isinstance(layer, Dense) and layer.groups > 1]
    evidence = (
        f"Of the authors' {', '.join(reads)}, {', '.join(partial) or 'none'} read{'s' if len(partial) < 2 else ''} "
        f"less than both halves of the layer before."
    )
    return holds_if(not partial and not grouped, evidence)


def behind(network: Network, kind: type) -> list[str]:
    """The learned layer before each layer of a kind."""
    found, learned = [], ""
    for layer in network.layers:
        learned = layer.name if isinstance(layer, AFFINE) else learned
        if isinstance(layer, kind):
            found.append(learned)
    return found


def behind_theirs(net: Net, kind: str) -> list[str]:
    """The same in a configuration, twins taken together."""
    found: list[str] = []
    for layer in net.of_type(kind):
        source = net.layer(layer.inputs[0])
        while source.type not in ("conv", "fc"):
            source = net.layer(source.inputs[0])
        found.append(source.name[:-1] if source.name[-1] in "ab" else source.name)
    return list(dict.fromkeys(found))


@decides("arch-lrn-positions")
def norm_positions(facts: Facts) -> Outcome:
    theirs, ours = behind_theirs(facts.original.net("145"), "cmrnorm"), behind(facts.paper, Lrn)
    evidence = f"The authors normalise across maps behind {' and '.join(theirs)}; as specified: {' and '.join(ours)}."
    return holds_if(theirs == ours == ["conv1", "conv2"], evidence)


@decides("arch-extra-within-map-norm")
def other_norms(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    extra = net.of_type("rnorm", "cnorm")
    if not extra:
        return Outcome(Verdict.HOLDS, "The authors' configuration has no other normalisation.")
    one = extra[0]
    assert one.size
    assert one.scale
    assert one.pow
    within = SpatialLrn("within", n=one.size, k=1.0, alpha=one.scale / one.size**2, beta=one.pow)
    a = np.maximum(draws.normal(0, "claims/within", (1, 2, 27, 27), 100.0), 0)
    runs = frameworks.run(facts, frameworks.chain(a.shape[1:], within), a)
    want = within_by_hand(a, within)
    apart = runs.apart("within", want)
    evidence = (
        f"The authors' net also normalises within each map: {' and '.join(x.name for x in extra)}, over {one.size} x "
        f"{one.size} pixels, scale {one.scale:g} / {one.size**2}, power {one.pow:g}, between the second normalisation "
        f"across maps and its pool. Over {a.shape[1]} random maps of scale 100 it "
        f"moves them by {100 * frameworks.moved(a, want):.0f}% (in the network: reports/differences.md): "
        f"{runs.said(apart)}."
    )
    return Outcome(Verdict.CONTRADICTED, evidence)


def within_by_hand(a: np.ndarray, layer: SpatialLrn) -> np.ndarray:
    """a / (k + alpha * sum of squares over n x n pixels)^beta, one pixel at a time: (N, C, H, W) -> same."""
    squares, half = a.astype(np.float64) ** 2, layer.n // 2
    sums = np.empty_like(squares)
    for y, x in np.ndindex(a.shape[2:]):
        window = squares[:, :, max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        sums[:, :, y, x] = window.sum(axis=(2, 3))
    return a / (layer.k + layer.alpha * sums) ** layer.beta


@decides("arch-pool-positions")
def pool_positions(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    theirs, ours = behind_theirs(net, "pool"), behind(facts.paper, Pool)
    reads = {layer.name: net.layer(layer.inputs[0]) for layer in net.of_type("pool") if layer.name.endswith("a")}
    normed = [source.type.endswith("norm") for source in reads.values()]
    maxima = {layer.pool for layer in net.of_type("pool")} == {"max"}
    evidence = (
        f"The authors' {', '.join(f'{name} reads {source.name}' for name, source in reads.items())}: behind layers "
        f"{', '.join(theirs)}; as specified: {', '.join(ours)}."
    )
    return holds_if(
        theirs == ours == ["conv1", "conv2", "conv5"] and normed == [True, True, False] and maxima, evidence
    )


@decides("arch-relu-every-layer")
def relu_everywhere(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    bare = [stem for stem, layers in towers(net).items() if any(layer.neuron != "relu" for layer in layers)]
    later = [stem for stem in bare if all(pooled_relu(net, layer.name) for layer in towers(net)[stem])]
    without = [stem for stem in bare if stem not in later]
    pool, relu = Pool("pool", 3, 2), Relu("relu")
    a = draws.normal(0, "claims/relu-pool", (2, 3, 7, 9), 30.0)
    runs = [frameworks.run(facts, frameworks.chain(a.shape[1:], *order), a) for order in ((relu, pool), (pool, relu))]
    before, after = frameworks.shared(runs[0].of("pool"), runs[1].of("relu"))
    apart = [who for who in before if not np.array_equal(before[who], after[who])]
    evidence = (
        f"The authors' {frameworks.listed(without) if without else 'layers'} "
        f"{'have no ReLU on their outputs: a normalisation or the softmax reads them signed' if without else 'all have one'}. "
        f"That of {frameworks.listed(later) if later else 'no layer'} comes after the pool, which is the same bit for bit: "
        f"{runs[0].said(apart)}."
    )
    return holds_if(not without and not apart, evidence)


def pooled_relu(net: Net, name: str) -> bool:
    """Is a layer read by max-pools with a ReLU only?"""
    readers = net.readers(name)
    return bool(readers) and all(x.type == "pool" and x.pool == "max" and x.neuron == "relu" for x in readers)
