"""Verdicts on Section 3.2: two GPUs, half of the kernels on each."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...reference import draws
from ...reference.original_code.net import Layer, Net
from ...reference.spec import Conv, Network
from . import frameworks, logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

GAIN = (1.7, 1.2)
INTEGERS = np.array([-4, -3, -2, -1, 1, 2, 3, 4])  # exact in float32 however they are summed


def towers(net: Net) -> dict[str, tuple[Layer, ...]]:
    """The learned layers with their twins together: {"conv1": (conv1a, conv1b)}."""
    found: dict[str, tuple[Layer, ...]] = {}
    for layer in net.learned():
        stem = layer.name[:-1] if layer.name[-1] in "ab" else layer.name
        found[stem] = (*found.get(stem, ()), layer)
    return found


def crossing(net: Net) -> list[str]:
    """The learned layers that read maps of both GPUs."""
    sources = {
        stem: [{net.gpu(name) for name in layer.inputs} for layer in layers] for stem, layers in towers(net).items()
    }
    return [stem for stem, gpus in sources.items() if any(gpu >= {0, 1} for gpu in gpus)]


def width(layer: Layer) -> int:
    return layer.filters or layer.outputs or 0


@decides("gpu-half-each")
def half_each(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    *hidden, last = towers(net).items()
    halves = {stem: [(net.gpu(layer.name), width(layer)) for layer in layers] for stem, layers in hidden}
    equal = all([gpu for gpu, _ in pair] == [0, 1] and pair[0][1] == pair[1][1] for pair in halves.values())
    listed = ", ".join(f"{stem} {' + '.join(str(w) for _, w in pair)}" for stem, pair in halves.items())
    evidence = f"Kernels and neurons on GPU 0 + 1: {listed}. {last[0]} is on GPU {net.gpu(last[1][0].name)} alone."
    return holds_if(equal, evidence)


@decides("gpu-l3-all-l2")
def layer_3(facts: Facts) -> Outcome:
    conv3 = facts.paper["conv3"]
    assert isinstance(conv3, Conv)
    small = dataclasses.replace(conv3, channels=6, padding=(1, 1))
    network = frameworks.chain((4, 5, 7), small)
    weights = integers(network)
    x = draws.integers(0, "claims/layer3", (1, 4, 5, 7), INTEGERS)
    without = x * np.array([1, 1, 0, 0], np.float32)[:, None, None]  # the second tower silent
    runs = frameworks.run(facts, network, np.concatenate([x, without]), weights)
    reads = {who: (y[0] != y[1]).any(axis=(1, 2)) for who, y in runs.of("conv3").items()}
    deaf = [who for who, maps in reads.items() if not maps.all()]
    inputs = {layer.name: layer.inputs for layer in towers(facts.original.net("145"))["conv3"]}
    evidence = (
        "The authors' "
        + " and ".join(f"{name} reads {' and '.join(sources)}" for name, sources in inputs.items())
        + f". In a small layer 3, silencing the second half of the inputs changes "
        f"{min(int(maps.sum()) for maps in reads.values())} of {len(reads[frameworks.ORACLE])} maps: {runs.said(deaf)}."
    )
    return holds_if("conv3" in crossing(facts.original.net("145")) and not deaf, evidence)


@decides("gpu-l4-same-gpu")
def layers_2_4_5(facts: Facts) -> Outcome:
    names = ["conv2", "conv4", "conv5"]
    crossed = [name for name in names if name in crossing(facts.original.net("145"))]
    apart: dict[str, list[str]] = {}
    for name in names:
        layer = facts.paper[name]
        assert isinstance(layer, Conv)
        runs, whole, halves = towers_alone(facts, dataclasses.replace(layer, channels=6))
        for who in whole:
            if not np.array_equal(whole[who], halves[who]):
                apart.setdefault(who, []).append(name)
    where = f" in {', '.join(sorted(set().union(*apart.values())))}" if apart else ""
    evidence = (
        f"In the authors' configuration {', '.join(crossed) if crossed else 'none of ' + ', '.join(names)} reads the other "
        "GPU. Each in small, on integers: one grouped convolution gives bit for bit what two separate towers give: "
        f"{runs.said(apart)}{where}."
    )
    return holds_if(not crossed and not apart, evidence)


def towers_alone(facts: Facts, layer: Conv) -> tuple[frameworks.Runs, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A convolution run as specified, its outputs by who ran it, and those of two that see half of the maps each."""
    network = frameworks.chain((8, 6, 7), layer)
    params = integers(network)
    x = draws.integers(0, f"claims/{layer.name}", (1, 8, 6, 7), INTEGERS)
    runs = frameworks.run(facts, network, x, params)
    tower = dataclasses.replace(layer, channels=layer.channels // 2, groups=1)
    parts = []
    for half in (0, 1):
        mine = {name: np.split(value, 2)[half] for name, value in params.items()}
        mine[f"{layer.name}.weight"] = mine[f"{layer.name}.weight"][:, :4]  # all that a kernel of its own tower has
        parts.append(frameworks.run(facts, frameworks.chain((4, 6, 7), tower), np.split(x, 2, axis=1)[half], mine))
    whole, *halves = frameworks.shared(runs.of(layer.name), *(part.of(layer.name) for part in parts))
    return runs, whole, {who: np.concatenate([half[who] for half in halves], axis=1) for who in whole}


def integers(network: Network) -> dict[str, np.ndarray]:
    """Small whole numbers for every weight, none of them zero."""
    return {
        name: draws.integers(0, f"claims/{name}", shape, INTEGERS) for name, shape in network.param_shapes().items()
    }


@decides("gpu-comm-only-some-layers")
def communication(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    across = crossing(net)
    apart = [stem for stem in towers(net) if stem not in across]
    evidence = f"In the authors' configuration {', '.join(across) or 'none'} read both GPUs; {', '.join(apart) or 'none'} do not."
    return holds_if(across and [stem for stem in across if stem.startswith("conv")] == ["conv3"], evidence)


@decides("gpu-columns-not-independent")
def columns(facts: Facts) -> Outcome:
    joined = [stem for stem in crossing(facts.original.net("145")) if stem.startswith("conv")]
    apart = [stem for stem in crossing(facts.original.net("150")) if stem.startswith("conv")]
    one, other = (logged.error(facts.original, name) for name in ("150", "145"))
    top1, top5 = logged.points(one, other)
    evidence = (
        f"The columns meet in {', '.join(joined) or 'no convolution'}. The authors also trained a net whose columns "
        f"meet in {', '.join(apart) or 'none'}: {top1:.2f} points (top-1) and {top5:.2f} (top-5) worse, though with wider layers."
    )
    return holds_if(joined, evidence)


@decides("gpu-gain-1p7-1p2")
def gain(facts: Facts) -> Outcome:
    one, two = (logged.error(facts.original, name) for name in ("145-half", "145-2010"))
    gains = logged.points(one, two)
    evidence = (
        f"The notes have {logged.shown(one)} for one GPU and {logged.shown(two)} for two, on the test set of "
        f"ILSVRC-2010: {gains[0]:.3f} and {gains[1]:.3f} points."
    )
    return holds_if(logged.rounds_to(gains, GAIN), evidence)


@decides("gpu-onegpu-footnote")
def one_gpu(facts: Facts) -> Outcome:
    one, two = (facts.original.net(name) for name in ("145-half", "145"))
    widths = [[sum(map(width, layers)) for layers in towers(net).values()] for net in (one, two)]
    share = one.parameter_count() / two.parameter_count()
    kept = widths[0][4:] == widths[1][4:]  # the fifth convolution and the dense layers
    halved = all(2 * a == b for a, b in zip(widths[0][:4], widths[1][:4], strict=True))
    evidence = (
        f"The one-GPU configuration has layers of {', '.join(map(str, widths[0]))} against {', '.join(map(str, widths[1]))}, "
        f"and {one.parameter_count():,} parameters, {100 * share:.1f}% of {two.parameter_count():,}."
    )
    return holds_if(kept and halved and abs(share - 1) < 0.05, evidence)


@decides("gpu-most-params-fc1")
def most_parameters(facts: Facts) -> Outcome:
    counts, total = facts.paper.param_counts(), facts.paper.parameter_count()
    share = counts["fc6"] / total
    evidence = f"The first dense layer has {counts['fc6']:,} of {total:,} parameters, {100 * share:.2f}%."
    return holds_if(share > 0.5, evidence)


@decides("gpu-two-slightly-faster")
def faster(facts: Facts) -> Outcome:
    two, one = (facts.original.net(name).multiply_adds() for name in ("145", "145-half"))
    net = facts.original.net("145")
    first = sum(count for name, count in net.multiply_add_table().items() if net.gpu(name) == 0)
    evidence = (
        f"No times were logged. Two GPUs have {two / 2e6:.1f} million multiply-adds each for an image on average (GPU 0 with "
        f"the last layer {first / 1e6:.1f}), one GPU {one / 1e6:.1f} million ({100 * (two / 2 / one - 1):+.1f}%): "
        f"{'agrees with' if two / 2 < one else 'speaks against'} slightly less time, communication not counted."
    )
    return Outcome(Verdict.NOT_CHECKABLE, evidence)
