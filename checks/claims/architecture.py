"""Verdicts on Section 3.5: the size of every layer, and what is trained."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...reference import draws
from ...reference.spec import Conv, Dense, Network, Softmax
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
        f"{facts.original.fact('conv-outputs-rounded')}, to {theirs}, and reads the {missing} missing rows and columns, at the "
        f"bottom and right, as {facts.original.fact('missing-pixels-read-as')}; of 54, 55 and 56 its partialSums of "
        f"{' and, in a sister net, '.join(map(str, parts))} admit {', '.join(map(str, divides)) or 'none'}."
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


@decides("arch-fc-4096")
def hidden_layers(facts: Facts) -> Outcome:
    *hidden, _ = [layers for layers in towers(facts.original.net("145")).values() if layers[0].type == "fc"]
    theirs = [sum(map(width, layers)) for layers in hidden]
    *ours, _ = [layer.units for layer in facts.paper.layers if isinstance(layer, Dense)]
    listed = "; ".join(" + ".join(f"{x.outputs}" for x in layers) for layers in hidden)
    evidence = f"The authors' hidden dense layers have {listed} neurons; as specified: {', '.join(map(str, ours))}."
    return holds_if(theirs == ours == [HIDDEN, HIDDEN], evidence)


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
