"""Section 4.2: dropout, executed on small layers where every mask can be enumerated."""

from __future__ import annotations

import numpy as np

from ...reference import draws, dropout, oracle
from ...reference.claims import published_results as published
from ...reference.original_code.net import Layer, Net
from ...reference.spec import Dense, Dropout
from .verdict import Facts, Outcome, Verdict, decides, holds_if

SEED, EXACT = 2012, 1e-12


def normal(name: str, *shape: int) -> np.ndarray:
    return draws.normal(SEED, f"dropout/{name}", shape, 1.0).astype(np.float64)


def dropped(net: Net) -> tuple[Layer, ...]:
    return net.of_type("hs")


def keeps(facts: Facts) -> set[float]:
    """What the paper's network keeps in the authors' configuration, over its dropout layers."""
    return {layer.keep for layer in dropped(facts.original.net("145")) if layer.keep is not None}


def kept_units(uniform: np.ndarray, keep: float) -> np.ndarray:
    """The authors' mask: a unit stays where a uniform number is smaller than `keep`."""
    return (uniform < keep).astype(np.float64)


def uniform(name: str, *shape: int) -> np.ndarray:
    """Uniform in (0, 1), resolved to 1/65,536."""
    return (draws.words(SEED, f"dropout/{name}", int(np.prod(shape))).reshape(shape) + 0.5) / 65536


def backward(mask: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The authors' gradient by a masked layer's input, from that by its output."""
    return mask * gradient


@decides("drop-p-half")
def probability(facts: Facts) -> Outcome:
    """The configuration's keep, and the share that the authors' rule then drops."""
    found = keeps(facts)
    units = 65536
    share = 1 - kept_units(uniform("share", units), next(iter(found), 1.0)).mean()
    says = f"keep = {', '.join(map(str, sorted(found))) or 'none'} in the configuration"
    near = abs(share - 0.5) < 5 * 0.5 / np.sqrt(units)
    return holds_if(found == {0.5} and near, f"{says}; by the code's rule that zeroes {share:.1%} of {units} outputs.")


@decides("drop-no-backprop")
def no_gradient(_: Facts) -> Outcome:
    """Differentiate a masked layer numerically: no dropped output has a gradient, and the kept ones have the code's."""
    hidden, weight, mask = normal("hidden", 6), normal("weight", 5, 6), np.array([1.0, 0, 1, 0, 0, 1])

    def loss(values: np.ndarray) -> float:
        return -float(np.log(oracle.softmax((mask * values)[None] @ weight.T)[0, 2]))

    step = 1e-6 * np.eye(6)
    numeric = np.array([(loss(hidden + s) - loss(hidden - s)) / 2e-6 for s in step])
    above = oracle.softmax((mask * hidden)[None] @ weight.T)[0] - np.eye(5)[2]  # gradient by the scores
    code = backward(mask, above @ weight)
    through_dropped, apart = np.abs(numeric[mask == 0]).max(), np.abs(numeric - code).max()
    says = (
        f"Largest gradient through a dropped output: {through_dropped:g}; the code multiplies the gradient by the mask,"
    )
    holds = through_dropped == 0 and apart < 1e-8 and np.abs(numeric[mask == 1]).min() > 1e-3
    return holds_if(holds, f"{says} which agrees with the numerical gradient to {apart:.0e}.")


@decides("drop-mask-per-input")
def mask_per_input(facts: Facts) -> Outcome:
    shape, cases = facts.original.fact("dropout-mask-shape"), facts.original.fact("minibatch")
    columns = cases if "cases" in shape else 1
    drawn = kept_units(uniform("masks", 4096, columns), 0.5)
    masks = np.broadcast_to(drawn, (4096, cases))
    different = len(np.unique(masks, axis=1).T)
    return holds_if(
        different == cases, f"The mask is {shape}: {different} different masks in a batch of {cases}, executed."
    )


@decides("drop-test-halve")
def halved(facts: Facts) -> Outcome:
    """The factor at test time is the mean of all masks, so that the next layer sees the mean of what it saw."""
    scale, training = facts.original.fact("dropout-test-scale"), facts.original.fact("dropout-training-scale")
    factors = keeps(facts) if scale == "keep" else {scale}
    mean = float(dropout.masks(10).mean())
    named = ", ".join(map(str, sorted(factors)))
    says = f"The code multiplies by {scale} = {named} at test time and by {training:g} in training;"
    return holds_if(
        factors == {0.5} and training == 1, f"{says} the mean over all {2**10} masks of 10 units is {mean}."
    )


@decides("drop-geometric-mean")
def geometric_mean(_: Facts) -> Outcome:
    """One layer: every mask of 8 units. Two layers: every pair of masks of 6 and 6 units, over 20 draws of the weights."""
    mean, test = dropout.one_layer(normal("one/hidden", 8), normal("one/weight", 5, 8), normal("one/bias", 5))
    exact = np.abs(mean - test).max()
    one = f"One dropout layer before a softmax: equal to {exact:.0e} over all {2**8} masks of 8 units."
    worst, halving, keeping = 0.0, [], []
    for draw in range(20):
        hidden, first = np.abs(normal(f"{draw}/hidden", 6)), normal(f"{draw}/first", 6, 6)
        second = normal(f"{draw}/second", 5, 6)
        mean, test = dropout.two_layers(hidden, first, second)
        full = oracle.softmax(oracle.relu(hidden[None] @ first.T) @ second.T)[0]
        worst = max(worst, np.abs(mean - test).max())
        halving.append(np.abs(mean - test).mean())
        keeping.append(np.abs(mean - full).mean())
    ratio = np.mean(halving) / np.mean(keeping)
    two = f"Two layers: only near, up to {worst:.2f} off in 20 random nets of 12 units, {ratio:.0%} of the error without halving."
    return holds_if(exact < EXACT and ratio < 0.5, f"{one} {two}")


@decides("drop-first-two-fc")
def first_two(facts: Facts) -> Outcome:
    """In the configuration and in the spec alike: every fully connected layer but the last, which are two."""
    net = facts.original.net("145")
    ends = {name for layer in net.of_type("softmax") for name in layer.inputs}
    hidden = [layer.name for layer in net.of_type("fc") if layer.name not in ends]
    read = [name for layer in dropped(net) for name in layer.inputs]
    order = facts.paper.names()
    layers = facts.paper.layers
    followed = [
        dense.name
        for dense in layers
        if isinstance(dense, Dense)
        and any(isinstance(layer, Dropout) for layer in layers[order.index(dense.name) :][:3])
    ]
    first = [layer.name for layer in layers if isinstance(layer, Dense)][:2]
    says = f"Dropout reads {', '.join(read)} in the configuration and {', '.join(followed)} in the spec"
    return holds_if(
        sorted(read) == sorted(hidden) and followed == first, f"{says}; not {', '.join(sorted(ends))}, the last layer."
    )


@decides("drop-without-overfits")
def without_dropout(_: Facts) -> Outcome:
    told = published.DROPOUT_109
    other = f"A net whose third hidden layer had none until epoch {told['on']} was stopped at {told['killed']}"
    return Outcome(
        Verdict.NOT_CHECKABLE, f"No run of this network without dropout was logged. {other} for {told['because']}."
    )


@decides("drop-doubles-iterations")
def doubles_iterations(facts: Facts) -> Outcome:
    ended = facts.original.notes("145").runs[0].stopped()
    says = f"With dropout the run on 2012 was ended at epoch {ended:.0f}; no run without it was logged to compare."
    return Outcome(Verdict.NOT_CHECKABLE, says)
