"""Shared weights for a model that nobody here wrote: Gaussian, large activations at every layer, the same for the same shapes.

What a parameter is for is read off the recording: a weight of a convolution or dense layer, a bias, a statistic of a batch norm.
Anything else keeps the value that it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...impls.foreign.graph import Operation, Subject
from ...reference import draws
from ...reference.stimuli import LARGE_STD, LOGIT_STD
from .tape import Tape, own_layout

Array = np.ndarray

EXPECTED_INPUT = LARGE_STD / math.sqrt(2)  # of an affine layer behind a ReLU, before anything has been measured
LIFT = 4.0  # of biases, in the scale of their layer: every second map is then hardly ever zero
PASSES = 10  # in which the scale of every layer is measured and corrected, at most
BOUNDED = ("tanh", "sigmoid", "softsign", "relu6")  # what goes in hardly changes what comes out
NEAR = 2.0  # a layer's outputs are as large as they should be within this factor


@dataclass(frozen=True)
class Slot:
    """A convolution or dense layer of the model: its operation, its parameters' names, the target of its outputs."""

    number: int
    op: Operation
    weight: str
    bias: str
    std: float
    last: bool = False


def slots(tape: Tape) -> list[Slot]:
    """In order of execution; a weight used twice belongs to its first use."""
    found: list[Slot] = []
    for op in tape.graph.operations:
        if op.kind not in ("conv", "dense") or not any(t in tape.fed for t in op.inputs):
            continue
        weight = tape.sole(tape.operand(op, "weight"))
        if not weight or weight in [slot.weight for slot in found]:
            continue
        bias = tape.sole(tape.operand(op, "bias")) if "bias" in op.roles else ""
        products = fan_in(op, tape)
        found.append(Slot(len(found) + 1, op, weight, bias, LARGE_STD / (EXPECTED_INPUT * math.sqrt(products))))
    return [*found[:-1], replace(found[-1], last=True)] if found else []


def fan_in(op: Operation, tape: Tape) -> int:
    return max(1, math.prod(tape.weight(op, tape.operand(op, "weight")).shape[1:]))


def drawn(subject: Subject, tape: Tape, seed: int, lift: float = 0.0) -> dict[str, Array]:
    """Values for every parameter whose use is understood, in the framework's own layout."""
    values: dict[str, Array] = {}
    found = slots(tape)
    for slot in found:
        shape = subject.parameters[slot.weight]
        values[slot.weight] = in_layout(slot, shape, tape, seed)
        if slot.bias and slot.bias not in values:
            name = f"audit/{slot.number}.bias"
            values[slot.bias] = raised(
                seed, name, subject.parameters[slot.bias], 0.0 if slot.last else lift, target(slot)
            )
    for op in tape.graph.operations:
        values.update(others(subject, tape, op, values, seed, lift))
    return values


def raised(seed: int, name: str, shape: tuple[int, ...], lift: float, scale: float) -> Array:
    """Biases of a tenth of the layer's scale; every second one `lift` times that scale above."""
    numbers = draws.normal(seed, name, shape, scale / 10)
    numbers[::2] += np.float32(lift * scale)
    return numbers


def target(slot: Slot) -> float:
    return LOGIT_STD if slot.last else LARGE_STD


def in_layout(slot: Slot, shape: tuple[int, ...], tape: Tape, seed: int) -> Array:
    """Drawn as O, I, H, W (or out, in) and brought into the model's order, so that frameworks share weights."""
    layout, name = str(slot.op.attributes.get("weight_layout", "")), f"audit/{slot.number}.weight"
    direct = tape.operand(slot.op, "weight").startswith("param:") and len(layout) == len(shape)
    if not direct:
        return draws.normal(seed, name, shape, slot.std)
    axes = [axis for axis in "OIHW" if axis in layout]
    canonical = tuple(shape[layout.index(axis)] for axis in axes)
    return own_layout(draws.normal(seed, name, canonical, slot.std), layout)


def others(
    subject: Subject, tape: Tape, op: Operation, taken: Mapping[str, Array], seed: int, lift: float = 0.0
) -> dict[str, Array]:
    """Biases that are added by an operation of their own, and the parameters of a batch normalisation."""
    found: dict[str, Array] = {}
    for role, index in op.roles.items():
        name = "" if op.inputs[index] in tape.fed else tape.sole(op.inputs[index])  # cast, perhaps
        if not name or name in taken or name in found:
            continue
        if tape.operand(op, "x") not in tape.fed:  # a variance to which an epsilon is added, say
            continue
        shape = subject.parameters[name]
        if op.kind == "batch_norm":
            found[name] = statistic(role, seed, name, shape)
        elif role == "bias":
            found[name] = raised(seed, f"audit/{name}", shape, lift, LARGE_STD)
    return found


def statistic(role: str, seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Of a batch normalisation: weight and variance positive and about one, mean and bias about ten."""
    numbers = draws.normal(seed, f"audit/{name}", shape, 1.0)
    if role in ("weight", "variance"):
        return (1 + 0.2 * np.tanh(numbers)).astype(np.float32)
    return (10 * numbers).astype(np.float32)


def measured(slot: Slot, tape: Tape) -> float:
    """The root mean square of what the layer gave, its bias not counted separately."""
    y = tape.raw(slot.op.outputs[0]).astype(np.float64)
    return float(np.sqrt(np.mean(np.square(y)))) or 1.0


def scaled(values: dict[str, Array], tape: Tape) -> dict[str, Array]:
    """The weights corrected by how far each layer's outputs were from their target, earlier layers' corrections counted in."""
    corrected, factors = dict(values), {}
    for slot in slots(tape):
        if slot.weight in values:
            factors[slot.op.name] = target(slot) / measured(slot, tape)
            own = factors[slot.op.name] / upstream(slot.op, tape, factors)
            corrected[slot.weight] = (values[slot.weight] * np.float32(own)).astype(np.float32)
    return corrected


def near(tape: Tape) -> bool:
    """Are the outputs of all layers about as large as they should be?"""
    ratios = [measured(slot, tape) / target(slot) for slot in slots(tape)]
    return all(1 / NEAR <= ratio <= NEAR for ratio in ratios)


def upstream(op: Operation, tape: Tape, factors: Mapping[str, float]) -> float:
    """By how much what comes in will change: the factor of the nearest corrected layer before it, 1 for the image."""
    tensor = tape.operand(op, "x")
    while (maker := tape.maker.get(tensor)) is not None:
        if maker.name in factors:
            return factors[maker.name]
        if maker.attributes.get("function") in BOUNDED:
            return 1.0
        fed = [t for t in maker.inputs if t in tape.fed]
        if not fed:
            return 1.0
        tensor = fed[0]
    return 1.0
