"""Verdicts on Section 3.5: every layer, its size and its place."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...reference import draws
from ...reference.original_code.net import Net
from ...reference.spec import AFFINE, Conv, Dense, Lrn, Network, Pool, Relu, Softmax, SpatialLrn
from . import frameworks
from .gpu import INTEGERS, integers, towers, width
from .verdict import Facts, Outcome, Verdict, decides, holds_if

IMAGE = (3, 224, 224)
KERNELS = {  # kernels, their size, their depth, the stride
    "conv1": (96, 11, 3, 4),
    "conv2": (256, 5, 48, 1),
    "conv3": (384, 3, 256, 1),
    "conv4": (384, 3, 192, 1),
    "conv5": (256, 3, 192, 1),
}
MAPS = {"conv1": 55, "conv2": 27, "conv3": 13, "conv4": 13, "conv5": 13}
HIDDEN = 4096


@decides("arch-input-224")
def input_size(facts: Facts) -> Outcome:
    sizes = accepted(facts)
    border, side = facts.original.fact("crop-border"), facts.original.fact("image-side")
    evidence = (
        f"{IMAGE[1]} x {IMAGE[2]}: of all borders that the authors' code could crop off {side} x {side}, its configuration "
        f"admits inputs of {' and '.join(map(str, sizes)) or 'no size'} only (partialSum must divide the maps); the border "
        f"used is {border}. 227 is odd, and {side} less two borders never is."
    )
    fits = side - 2 * border == IMAGE[1] and IMAGE[1] in sizes
    return holds_if(fits and facts.paper.input_shape == IMAGE, evidence)


def accepted(facts: Facts) -> list[int]:
    """Input sizes at which the authors' code would take its own configuration."""
    net = facts.original.net("145")
    return [size for size in range(facts.original.fact("image-side"), 37, -2) if net.runs_at(size)]


def kernels(facts: Facts, layer: str) -> Outcome:
    stated = KERNELS[layer]
    conv = facts.paper[layer]
    assert isinstance(conv, Conv)
    ours = (conv.channels, conv.kernel, facts.paper.param_shapes()[f"{layer}.weight"][1], conv.stride)
    twins = towers(facts.original.net("145"))[layer]
    one = twins[0]
    theirs = (sum(map(width, twins)), one.filterSize[0], sum(one.channels), one.stride[0])
    evidence = (
        f"The authors' {' + '.join(x.name for x in twins)}: {' + '.join(str(x.filters) for x in twins)} kernels of "
        f"{theirs[1]} x {theirs[1]} x {theirs[2]}, stride {theirs[3]}; specified as {ours[0]} of "
        f"{ours[1]} x {ours[1]} x {ours[2]}, stride {ours[3]}."
    )
    return holds_if(ours == theirs == stated, evidence)


for name in KERNELS:
    decides(f"arch-{name}")(functools.partial(kernels, layer=name))


@decides("arch-conv1-55")
def maps_of_layer_1(facts: Facts) -> Outcome:
    conv = facts.paper["conv1"]
    assert isinstance(conv, Conv)
    side = facts.paper.input_shape[1]
    exact = (side - conv.kernel) / conv.stride + 1
    padded = facts.paper.shapes()["conv1"][1]
    missing = (padded - 1) * conv.stride + conv.kernel - side
    theirs = facts.original.net("145").shapes(side)["conv1a"][1]
    parts = [facts.original.net("145").layer("conv1a").partialSum, facts.original.fact("partial-sum-153")]
    if exact == MAPS["conv1"]:
        return Outcome(Verdict.HOLDS, f"({side} - {conv.kernel}) / {conv.stride} + 1 = {exact:g}, without any padding.")
    divides = [n for n in (54, 55, 56) if all(n * n % part == 0 for part in parts if part)]
    evidence = (
        f"({side} - {conv.kernel}) / {conv.stride} + 1 = {exact:g}, and no padding is mentioned. The authors' code rounds "
        f"{facts.original.fact('conv-outputs-rounded')} to {theirs} and reads the {missing} missing rows and columns, at the "
        f"bottom and right, as {facts.original.fact('missing-pixels-read-as')}; of 54, 55 and 56 its partialSums of "
        f"{' and '.join(map(str, parts))} admit {', '.join(map(str, divides)) or 'none'}."
    )
    return Outcome(Verdict.UNDERSPECIFIED if padded == theirs == MAPS["conv1"] else Verdict.CONTRADICTED, evidence)


@decides("arch-stride-rf-centres")
def stride(facts: Facts) -> Outcome:
    conv = facts.paper["conv1"]
    assert isinstance(conv, Conv)
    step = facts.paper.receptive_fields()["conv1"][1]
    side = conv.kernel + 3 * conv.stride
    network = frameworks.chain((2, side, side), dataclasses.replace(conv, channels=4, padding=(0, 0)))
    x = draws.integers(0, "claims/stride", (1, 2, side, side), INTEGERS)
    shifted = np.roll(x, -conv.stride, axis=(2, 3))
    runs = frameworks.run(facts, network, np.concatenate([x, shifted]), integers(network))
    apart = [who for who, y in runs.of("conv1").items() if not np.array_equal(y[0, :, 1:, 1:], y[1, :, :-1, :-1])]
    evidence = (
        f"Neighbouring outputs of layer 1 see pixels {step} apart, as the stride of {conv.stride} says: an image moved by "
        f"{conv.stride} pixels gives outputs moved by one, bit for bit: {runs.said(apart)}."
    )
    return holds_if(step == conv.stride and not apart, evidence)


@decides("arch-conv2-5-padding")
def padding(facts: Facts) -> Outcome:
    names = [name for name in MAPS if name != "conv1"]
    bare = facts.paper
    for name in names:
        bare = bare.edit(name, padding=(0, 0))
    stated = [MAPS[name] for name in names]
    without = sides(bare, names)
    with_ = sides(facts.paper, names)
    net = facts.original.net("145")
    theirs = [net.layer(f"{name}a").padding[0] for name in names]
    shapes = [net.shapes()[f"{name}a"][1] for name in names]
    if without == stated:
        return Outcome(Verdict.HOLDS, f"Without padding the maps are {', '.join(map(str, without))}, as in Figure 2.")
    evidence = (
        f"Without padding the maps would be {', '.join(map(str, without))} wide. With the authors' padding of "
        f"{', '.join(map(str, theirs))} they are {', '.join(map(str, shapes))}, as Figure 2 has them."
    )
    return Outcome(Verdict.UNDERSPECIFIED if with_ == shapes == stated else Verdict.CONTRADICTED, evidence)


def sides(network: Network, names: list[str]) -> list[int]:
    """Widths of these layers' maps."""
    shapes = network.shapes()
    return [shapes[name][1] for name in names]


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


@decides("arch-fc-4096")
def hidden_layers(facts: Facts) -> Outcome:
    *hidden, _ = [layers for layers in towers(facts.original.net("145")).values() if layers[0].type == "fc"]
    theirs = [sum(map(width, layers)) for layers in hidden]
    *ours, _ = [layer.units for layer in facts.paper.layers if isinstance(layer, Dense)]
    listed = "; ".join(" + ".join(f"{x.outputs}" for x in layers) for layers in hidden)
    evidence = f"The authors' hidden dense layers have {listed} neurons; as specified: {', '.join(map(str, ours))}."
    return holds_if(theirs == ours == [HIDDEN, HIDDEN], evidence)


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
        f"across maps and its pool. At activations of 100 it moves them by {100 * frameworks.moved(a, want):.0f}%: "
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


@decides("arch-objective")
def objective(facts: Facts) -> Outcome:
    logits = draws.normal(0, "claims/objective", (3, 7), 2.0)
    labels = np.array([4, 0, 6])
    runs = frameworks.run(facts, frameworks.chain((7,), Softmax("prob")), logits)
    slope = slopes(logits.astype(np.float64), labels)
    right = np.eye(7)[labels]
    errors = {who: float(np.abs((right - p) / len(p) - slope).max()) for who, p in runs.of("prob").items()}
    apart = [who for who, error in errors.items() if not error < 1e-6]
    costs = [
        (net.layer("logprob").type, net.layer(net.layer("logprob").inputs[1]).type, net.layer("logprob").coeff)
        for net in [facts.original.net("145")]
    ]
    scale = facts.original.fact("gradient-scale")
    evidence = (
        f"The authors' cost is {costs[0][0]} on a {costs[0][1]}, its gradient times {scale}. The slope of the mean "
        f"log-probability is (1 for the right label - probability) / cases, to {max(errors.values()):.0e} by finite "
        f"differences: {runs.said(apart)}."
    )
    return holds_if(costs == [("cost.logreg", "softmax", 1.0)] and scale == "1 / cases" and not apart, evidence)


def slopes(logits: np.ndarray, labels: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Change of the mean log-probability of the right labels with each logit, by central differences."""

    def mean(z: np.ndarray) -> float:
        chosen = z[np.arange(len(z)), labels]
        return float((chosen - np.log(np.exp(z).sum(axis=1))).mean())

    found = np.empty_like(logits)
    for index in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        found[index] = (mean(up) - mean(down)) / (2 * step)
    return found
