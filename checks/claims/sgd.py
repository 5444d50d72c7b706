"""Section 5: the update rule and its constants, initialisation, learning rates, length of training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist

import numpy as np

from ...reference import draws, oracle, update_rules
from ...reference.original_code.net import Layer, Net
from ...reference.original_code.notes import Event, Run
from ...reference.spec import Conv
from .augmentation import paper_runs
from .verdict import Facts, Outcome, Verdict, decides, holds_if

SEED = 2012
STEPS, CHANGE, RATE = 50, 25, 0.05  # steps, when the rate falls to a tenth, what it was


def normal(name: str, *shape: int) -> np.ndarray:
    return draws.normal(SEED, f"sgd/{name}", shape, 1.0).astype(np.float64)


def per_year(values: Mapping[str, object]) -> str:
    return "; ".join(f"run on {year}: {value}" for year, value in values.items())


# The update --------------------------------------------------------------------------------------------------------------


@decides("sgd-batch-128")
def batch(facts: Facts) -> Outcome:
    size = facts.original.fact("minibatch")
    return holds_if(size == 128, f"The code's default is {size}; the paper's runs note no other.")


@decides("sgd-momentum-0p9")
def momentum(facts: Facts) -> Outcome:
    layers = facts.original.net("145").learned()
    found = {value for layer in layers for value in (*layer.momW, layer.momB)}
    return holds_if(found == {0.9}, f"momW and momB of all {len(layers)} learned layers: {listed(found)}.")


@decides("sgd-weight-decay")
def decay(facts: Facts) -> Outcome:
    layers = facts.original.net("145").learned()
    found = {value for layer in layers for value in layer.wc}
    biases = facts.original.fact("bias-weight-decay")
    says = f"wc of the weights of all {len(layers)} learned layers: {listed(found)}; biases: {biases:g}, of which the paper"
    return holds_if(found == {0.0005}, f"{says} says nothing.")


def listed(values: set) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))


@decides("sgd-update-rule")
def update_rule(_: Facts) -> Outcome:
    """Descend a quadratic valley by each rule from the same weights, the rate divided by 10 halfway."""
    curvature, centre = np.linspace(0.2, 2.0, 7), normal("centre", 7)
    rates = [RATE] * CHANGE + [RATE / 10] * (STEPS - CHANGE)

    def path(rule: update_rules.Rule) -> np.ndarray:
        return update_rules.descend(rule, normal("start", 7), lambda weight: curvature * (weight - centre), rates)

    printed = path(update_rules.paper)
    code, caffe, torch = (
        np.abs(path(rule) - printed) for rule in (update_rules.cuda_convnet, update_rules.caffe, update_rules.torch)
    )
    says = (
        f"{STEPS} steps, the rate divided by 10 after {CHANGE}: the authors' code differs by {code.max():.0e}, Caffe's rule "
        f"by {caffe.max():.0e}; PyTorch's, which keeps the rate outside v, by {torch[:CHANGE].max():.0e} before the change "
        f"and {torch.max():.2f} after."
    )
    return holds_if(code.max() < 1e-12 and caffe.max() < 1e-12, says)


@decides("sgd-batch-average")
def batch_average(facts: Facts) -> Outcome:
    """The gradient of the mean loss by the scores, numerically, against the code's: (p - one-hot) / cases."""
    scores, labels = normal("scores", 4, 5), np.array([1, 0, 3, 3])

    def loss(values: np.ndarray) -> float:
        return -float(np.log(oracle.softmax(values)[range(4), labels]).mean())

    steps = 1e-6 * np.eye(20).reshape(20, 4, 5)
    numeric = np.array([(loss(scores + s) - loss(scores - s)) / 2e-6 for s in steps]).reshape(4, 5)
    factor = facts.original.fact("gradient-scale")
    cases = 4 if factor == "1 / cases" else 1
    code = (oracle.softmax(scores) - np.eye(5)[labels]) / cases
    apart = np.abs(code - numeric).max()
    says = (
        f"The code scales the gradient by {factor}: on 4 examples it is within {apart:.0e} of the numerical gradient of"
    )
    return holds_if(apart < 1e-8, f"{says} the mean loss.")


@decides("sgd-wd-lowers-train-error")
def decay_and_training_error(facts: Facts) -> Outcome:
    weights, _ = facts.original.net("145").parameters()
    says = f"No run without weight decay was logged; all {weights:,} weights of the network decay."
    return Outcome(Verdict.NOT_CHECKABLE, says)


# Initialisation ----------------------------------------------------------------------------------------------------------


@decides("init-weights-0p01")
def weights(facts: Facts) -> Outcome:
    layers = facts.original.net("145").learned()
    other = {layer.name: listed(set(layer.initW)) for layer in layers if set(layer.initW) != {0.01}}
    says = "; ".join(f"{name} {value}" for name, value in other.items()) or "none"
    return holds_if(not other, f"Standard deviation other than 0.01 in {len(other)} of {len(layers)} layers: {says}.")


def with_bias(net: Net) -> tuple[list[Layer], list[Layer]]:
    """Layers whose biases the paper starts at 1 (convolutions 2, 4, 5 and hidden fully connected), and the others."""
    ends = {name for layer in net.of_type("softmax") for name in layer.inputs}
    ones = [layer for layer in net.of_type("conv") if layer.name[:5] in ("conv2", "conv4", "conv5")]
    ones += [layer for layer in net.of_type("fc") if layer.name not in ends]
    return ones, [layer for layer in net.learned() if layer not in ones]


def biases(layers: list[Layer]) -> str:
    return ", ".join(f"{layer.name} {layer.initB:g}" for layer in layers)


@decides("init-bias-one")
def ones(facts: Facts) -> Outcome:
    found, _ = with_bias(facts.original.net("145"))
    return holds_if(found and all(layer.initB == 1 for layer in found), f"initB: {biases(found)}.")


@decides("init-bias-zero")
def zeros(facts: Facts) -> Outcome:
    _, found = with_bias(facts.original.net("145"))
    default = facts.original.fact("default-bias")
    says = f"initB, {default:g} where a file is silent: {biases(found)}."
    return holds_if(found and all(layer.initB == 0 for layer in found), says)


@decides("init-bias-speeds-start")
def bias_at_the_start(facts: Facts) -> Outcome:
    """How many ReLUs of conv2 start with positive input, if what it reads has unit mean square."""
    conv2 = next(layer for layer in facts.paper.layers if isinstance(layer, Conv) and layer.init_bias)
    inputs = next(layer.reduction(before) for layer, before, _ in facts.paper.walk() if layer is conv2)
    spread = conv2.init_std * math.sqrt(inputs)
    positive = NormalDist().cdf(conv2.init_bias / spread)
    says = (
        f"{conv2.name} sums {inputs} inputs; if they are of unit size its sums deviate by {spread:.2f}, so a bias of "
        f"{conv2.init_bias:g} makes {positive:.1%} of the ReLUs' inputs positive instead of 50%. Whether that speeds up learning "
        f"needs training; Caffe found a flat loss with it and took 0.1."
    )
    return Outcome(Verdict.NOT_CHECKABLE, says)


# Rates and epochs --------------------------------------------------------------------------------------------------------


def bias_rates(net: Net) -> dict[float, list[str]]:
    """Layers by how many times their weights' rate their biases have; frozen layers, with neither, are left out."""
    found: dict[float, list[str]] = {}
    for layer in net.learned():
        if layer.epsB and max(layer.epsW):
            found.setdefault(round(layer.epsB / max(layer.epsW), 6), []).append(layer.name)
    return found


@decides("lr-equal-all-layers")
def equal_rates(facts: Facts) -> Outcome:
    """Rates of their own: conv1's, by the notes; the biases', by the configuration as it stood at the end."""
    own = {}
    for year, run in paper_runs(facts).items():
        if changes := [event for event in run.events if event.where]:
            names = ", ".join(sorted({name for event in changes for name in event.where}))
            frozen = run.frozen("conv1")
            end = f", frozen at {frozen:.0f} of {run.stopped():.0f}" if frozen else ""
            own[year] = f"{names} slowed at epoch {changes[0].epoch:.0f}{end}"
    times = {factor: names for factor, names in bias_rates(facts.original.net("145")).items() if factor != 1}
    first = facts.original.fact("first-rate-153")
    said = [f"run on {year}: {what}" for year, what in own.items()]
    said += [
        f"biases at {factor:g} times the weights' rate in {len(names)} layers at the end of the run on 2012"
        for factor, names in times.items()
    ]
    said += [f"in a sister net at {first['epsB'] / first['epsW']:g} times at the start"]
    text = "; ".join(said)
    return holds_if(not own and not times, f"{text[0].upper()}{text[1:]}.")


def epochs_of(events: Iterable[Event]) -> str:
    return ", ".join(f"{event.epoch:g}" for event in events)


def divisors(run: Run) -> list[float]:
    """By how much each reduction of the whole network's rate divided it."""
    found, rate = [], run.first_rate()
    for event in run.reductions():
        was = event.was or rate
        if was and event.to:
            found.append(round(was / event.to, 6))
        rate = event.to
    return found


@decides("lr-manual-div-10")
def divided_by_ten(facts: Facts) -> Outcome:
    found = {year: divisors(run) for year, run in paper_runs(facts).items()}
    says = per_year({year: "divided by " + ", ".join(f"{d:g}" for d in values) for year, values in found.items()})
    epochs = " and ".join(epochs_of(run.reductions()) for run in paper_runs(facts).values())
    good = all(values and set(values) == {10} for values in found.values())
    evidence = f"R{says[1:]}. Other epochs in each, {epochs}: by hand, for a reason that the notes don't give."
    return Outcome(Verdict.UNDERSPECIFIED if good else Verdict.CONTRADICTED, evidence)


@decides("lr-start-0p01")
def first_rate(facts: Facts) -> Outcome:
    found = {year: run.first_rate() for year, run in paper_runs(facts).items()}
    sister = facts.original.fact("first-rate-153")["epsW"]
    says = per_year(found)
    return holds_if(set(found.values()) == {0.01}, f"First rate, {says}; net 153's file still lists {sister:g}.")


@decides("lr-three-reductions")
def three_reductions(facts: Facts) -> Outcome:
    found = {f"on {year}": run.reductions() for year, run in paper_runs(facts).items()}
    ablations = {
        f"of net {name}": facts.original.notes(name).runs[0].reductions() for name in ("147", "148", "145-half")
    }
    says = "; ".join(
        f"run {name}: {len(events)}, at epochs {epochs_of(events)}" for name, events in (found | ablations).items()
    )
    return holds_if(all(len(events) == 3 for events in found.values()), f"R{says[1:]}.")


@decides("epochs-90")
def epochs(facts: Facts) -> Outcome:
    """Within 5% of 90."""
    found = {year: run.stopped() for year, run in paper_runs(facts).items()}
    says = per_year({year: f"ended at epoch {end:g}" if end else "no end noted" for year, end in found.items()})
    return holds_if(all(end and abs(end - 90) <= 4.5 for end in found.values()), f"R{says[1:]}.")
