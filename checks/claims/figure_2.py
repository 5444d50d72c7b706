"""Verdicts on Figure 2: the counts written into it."""

from __future__ import annotations

import math

from ...reference.spec import Dense
from .front import NEURONS
from .gpu import towers, width
from .verdict import Facts, Outcome, decides, holds_if

INPUT = 150_528
COUNTS = {"conv1": 253_440, "conv2": 186_624, "conv3": 64_896, "conv4": 64_896, "conv5": 43_264}
DENSE = (4096, 4096, 1000)


def product(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, (*shape[1:], shape[0])))


@decides("fig2-input-150528")
def inputs(facts: Facts) -> Outcome:
    shape = facts.paper.input_shape
    odd = 3 * 227**2
    evidence = f"{product(shape)} = {math.prod(shape):,}; 227 x 227 x 3 would be {odd:,}."
    return holds_if(math.prod(shape) == INPUT, evidence)


def maps(facts: Facts, *names: str) -> Outcome:
    """Do these layers have as many neurons as the figure says?"""
    shapes = {name: facts.paper.shapes()[name] for name in names}
    found = {name: math.prod(shape) for name, shape in shapes.items()}
    evidence = "; ".join(f"{name}: {product(shapes[name])} = {found[name]:,}" for name in names)
    stated = COUNTS[names[0]]
    channels, _, side = shapes[names[0]]
    if found[names[0]] != stated:
        evidence += f", not {stated:,}, {whole(stated, channels)}"
        evidence += f"; it equals {side} x {stated // (channels * side)} x {channels}" * (
            stated % (channels * side) == 0
        )
    return holds_if(all(found[name] == COUNTS[name] for name in names), f"{evidence}.")


def whole(neurons: int, channels: int) -> str:
    """Whether so many neurons make square maps."""
    each = neurons / channels
    square = each.is_integer() and math.isqrt(int(each)) ** 2 == each
    return f"whose {channels} maps of {each:,.0f} would{'' if square else ' not'} be square"


@decides("fig2-conv1-253440")
def layer_1(facts: Facts) -> Outcome:
    return maps(facts, "conv1")


@decides("fig2-conv2-186624")
def layer_2(facts: Facts) -> Outcome:
    return maps(facts, "conv2")


@decides("fig2-conv34-64896")
def layers_3_and_4(facts: Facts) -> Outcome:
    return maps(facts, "conv3", "conv4")


@decides("fig2-conv5-43264")
def layer_5(facts: Facts) -> Outcome:
    return maps(facts, "conv5")


@decides("fig2-fc-4096-4096-1000")
def dense(facts: Facts) -> Outcome:
    ours = tuple(layer.units for layer in facts.paper.layers if isinstance(layer, Dense))
    layers = [twins for twins in towers(facts.original.net("145")).values() if twins[0].type == "fc"]
    theirs = tuple(sum(map(width, twins)) for twins in layers)
    evidence = (
        f"As specified: {', '.join(map(str, ours))}; in the authors' net: "
        f"{', '.join(' + '.join(str(x.outputs) for x in twins) for twins in layers)}."
    )
    return holds_if(ours == theirs == DENSE, evidence)


@decides("fig2-counts-sum")
def total(facts: Facts) -> Outcome:
    stated = sum(COUNTS.values()) + sum(DENSE)
    corrected = stated - COUNTS["conv1"] + math.prod(facts.paper.shapes()["conv1"])
    evidence = (
        f"The figure's counts add up to {stated:,}, {100 * (stated / NEURONS - 1):+.1f}% from {NEURONS:,}; with layer 1 as "
        f"it must be, to {corrected:,}."
    )
    return holds_if(stated // 10_000 * 10_000 == NEURONS, evidence)
