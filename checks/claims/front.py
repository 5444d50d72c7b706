"""Verdicts on the abstract and the introduction: headline figures, and what training cost."""

from __future__ import annotations

import math

from ...reference.claims import published
from ...reference.spec import Conv, Dense, Lrn, Network, Pool, Softmax
from . import data, logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

__all__ = ["data"]

PARAMETERS, NEURONS, CLASSES = 60_000_000, 650_000, 1000
TRAINING, EPOCHS, DAYS, BATCH = 1_200_000, 90, (5, 6), 128
TEST_2010 = (37.5, 17.0)
WINNER, SECOND = 15.3, 26.2


def ungrouped(network: Network) -> Network:
    for layer in network.layers:
        if isinstance(layer, Conv):
            network = network.edit(layer.name, groups=1)
    return network


@decides("abs-train-1p2m")
def training_set(_: Facts) -> Outcome:
    page = published.CONTEST_2010
    updates = page.training / BATCH
    evidence = (
        f"The page of ILSVRC-{page.year} states {page.training:,} training images in {page.categories} categories; "
        f"at {BATCH} a batch that is {updates:,.0f} updates per epoch."
    )
    return holds_if((page.training, page.categories) == (TRAINING, CLASSES), evidence)


@decides("abs-2010-test-errors")
def headline_errors(facts: Facts) -> Outcome:
    result = logged.error(facts.original, "145-2010")
    counts = [rate * logged.TEST_2010 for rate in (result.top1, result.top5)]
    whole = all(logged.whole(rate, logged.TEST_2010) for rate in (result.top1, result.top5))
    evidence = (
        f"The authors logged {logged.shown(result)}, which is {100 * result.top1:.1f}% and {100 * result.top5:.1f}%. "
        f"On {logged.TEST_2010:,} images that is {counts[0]:,.0f} and {counts[1]:,.0f} errors"
        f"{'' if whole else ', not whole numbers'}."
    )
    return holds_if(logged.rounds_to((100 * result.top1, 100 * result.top5), TEST_2010) and whole, evidence)


@decides("abs-60m-params")
def parameters(facts: Facts) -> Outcome:
    count, theirs = facts.paper.parameter_count(), facts.original.net("145").parameter_count()
    without = ungrouped(facts.paper).parameter_count()
    evidence = (
        f"Section 3.5 gives {count:,} ({100 * (count / PARAMETERS - 1):+.1f}%), the authors' configuration {theirs:,}; "
        f"without the split into two towers it would be {without:,} ({100 * (without / PARAMETERS - 1):+.1f}%)."
    )
    return holds_if(count == theirs and round(count, -7) == PARAMETERS, evidence)


@decides("abs-650k-neurons")
def neurons(facts: Facts) -> Outcome:
    count, theirs = facts.paper.neurons(), facts.original.net("145").neurons()
    evidence = (
        f"The outputs of the convolutions and dense layers are {count:,} ({100 * (count / NEURONS - 1):+.1f}%), in the "
        f"authors' configuration {theirs:,}: 650,000 if cut to two digits, {round(count, -4):,} if rounded."
    )
    return holds_if(count == theirs and count // 10_000 * 10_000 == NEURONS, evidence)


@decides("abs-layer-inventory")
def layer_inventory(facts: Facts) -> Outcome:
    counts = [sum(isinstance(layer, kind) for layer in facts.paper.layers) for kind in (Conv, Dense, Pool)]
    *_, final, last = facts.paper.layers
    classes = final.units if isinstance(final, Dense) else 0
    net = facts.original.net("145")
    theirs = [len(logged.levels(net.of_type(kind))) for kind in ("conv", "fc", "pool")]
    softmax = isinstance(last, Softmax) and [layer.outputs for layer in net.learned()][-1] == classes
    evidence = (
        f"As specified: {counts[0]} convolutions, {counts[1]} dense layers, {counts[2]} pools, "
        f"a {classes}-way {last.kind}. The authors' configuration, its twins on two GPUs taken together: {theirs[0]} "
        f"conv, {theirs[1]} fc, {theirs[2]} pool layers."
    )
    return holds_if(counts == theirs == [5, 3, 3] and classes == CLASSES and softmax, evidence)


@decides("abs-2012-15p3")
def winner(_: Facts) -> Outcome:
    first, second = published.best(), published.best(other_than=published.best().team)
    evidence = (
        f"The results page: {first.team} {first.error:.5f} ({first.about}) before {second.team} {second.error:.5f}; "
        f"all entries of the first: {', '.join(f'{error:.5f}' for error in errors(first.team))}."
    )
    return holds_if(first.team == "SuperVision" and round(100 * first.error, 1) == WINNER, evidence)


def errors(team: str) -> list[float]:
    return [entry.error for entry in published.ENTRIES_2012 if entry.team == team]


@decides("abs-2012-second-26p2")
def second(_: Facts) -> Outcome:
    entry = published.best(other_than="SuperVision")
    evidence = f"The results page: the best entry of another team is {entry.team}'s with {entry.error:.5f}."
    return holds_if(round(100 * entry.error, 1) == SECOND, evidence)


@decides("intro-conv-max-1pct")
def convolutions_share(facts: Facts) -> Outcome:
    shares = conv_shares(facts.paper)
    most = max(conv_shares(ungrouped(facts.paper)).values())
    listed = ", ".join(f"{name} {share:.2f}%" for name, share in shares.items())
    over = [name for name, share in shares.items() if share > 1]
    evidence = (
        f"Shares of all parameters: {listed}; without the two towers up to {most:.2f}%. "
        f"{len(over)} of {len(shares)} exceed 1%"
        + (", if not by enough to show in whole percents." if over and round(max(shares.values())) <= 1 else ".")
    )
    return holds_if(not over, evidence)


def conv_shares(network: Network) -> dict[str, float]:
    """Percent of all parameters in each convolution."""
    counts, total = network.param_counts(), network.parameter_count()
    return {layer.name: 100 * counts[layer.name] / total for layer in network.layers if isinstance(layer, Conv)}


@decides("intro-remove-conv-hurts")
def removing_a_convolution(facts: Facts) -> Outcome:
    nets = [name for name in facts.original.notes_by_name if name in facts.original.nets]
    depths = {name: len(logged.levels(facts.original.net(name).of_type("conv"))) for name in nets}
    fewest = min(depths.values())
    evidence = (
        f"{'None' if fewest >= 5 else 'One or more'} of the {len(nets)} trained nets whose notes are at hand "
        f"{'lacks' if fewest >= 5 else 'lack'} a convolution: they have {fewest} to {max(depths.values())}. The authors did "
        "not publish the trainings that the claim rests on."
    )
    return Outcome(Verdict.NOT_CHECKABLE, evidence)


@decides("intro-public-code")
def public_code(facts: Facts) -> Outcome:
    used = {layer.type for layer in facts.original.net("145").layers}
    missing = sorted(used - published.CUDA_CONVNET_TYPES)
    limits = facts.original.fact("public-2012-layers")
    offset = {layer.minDiv for layer in facts.original.net("145").of_type("cmrnorm")}
    lacks = [f"no layer of type {kind!r}" + (" (dropout)" if kind == "hs" else "") for kind in missing]
    if offset != {limits["lrn_offset"]}:
        lacks.append(
            f"LRN offset fixed at {limits['lrn_offset']} (the net needs {', '.join(f'{k:g}' for k in offset)})"
        )
    if not limits["several_gpus"]:
        lacks.append("one model on one GPU only")
    if not lacks:
        return Outcome(Verdict.HOLDS, f"The public cuda-convnet has all {len(used)} layer types that the net uses.")
    evidence = (
        f"The cuda-convnet of 2012 has the convolutions, pools and norms, but {'; '.join(lacks)}: the network could not "
        "be trained with it. The text does not say that it could."
    )
    return Outcome(Verdict.UNDERSPECIFIED, evidence)


@decides("time-5-6-days")
def training_time(facts: Facts) -> Outcome:
    products = sum(facts.paper.multiply_adds().values())
    operations = products * 2 * 3 * TRAINING * EPOCHS  # multiply and add; forward, and backward twice as much
    peak = 2 * published.GTX_580_FLOPS
    rates = [operations / (days * 86400) for days in DAYS]
    evidence = (
        f"{products:,} multiply-adds an image, three times over, for {TRAINING / 1e6:.1f} million images and {EPOCHS} "
        f"epochs: {rates[0] / 1e12:.2f} to {rates[1] / 1e12:.2f} TFLOP/s for {DAYS[0]} to {DAYS[1]} days, "
        f"{100 * rates[0] / peak:.0f} to {100 * rates[1] / peak:.0f}% of two cards' peak of {peak / 1e12:.2f}: "
        f"{'plausible' if rates[-1] < peak else 'impossible'}, not shown."
    )
    return Outcome(Verdict.NOT_CHECKABLE if rates[-1] < peak else Verdict.CONTRADICTED, evidence)


@decides("gpu-memory-limit")
def memory(facts: Facts) -> Outcome:
    copies = 3 * 4 * facts.paper.parameter_count()  # weights, increments, gradients; float32
    kept = (Conv, Lrn, Pool, Dense)
    outputs = sum(math.prod(after) for layer, _, after in facts.paper.walk() if isinstance(layer, kept))
    activations = 2 * 4 * BATCH * outputs  # and their gradients
    total, card = copies + activations, published.GTX_580_BYTES
    evidence = (
        f"Weights, increments and gradients take {copies / 1e6:,.0f} MB; activations of {BATCH} images and their "
        f"gradients at least {activations / 1e6:,.0f} MB: {total / 1e9:.2f} GB together, "
        f"{'more than' if total > card else 'less than'} the {card / 1e9:.2f} GB of one card. What the kernels' "
        "own buffers took was not logged."
    )
    return Outcome(Verdict.HOLDS if total > card else Verdict.NOT_CHECKABLE, evidence)
