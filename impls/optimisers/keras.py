"""The paper's update rule by keras.optimizers.SGD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from alexnet_parity.impls import keras_backends
from alexnet_parity.reference.update_rules import DECAY, MOMENTUM
from alexnet_parity.reference.update_setups import DROP, Problem


class Paper:
    """keras.optimizers.SGD as the paper's rule: v <- 0.9 v - 0.0005 rate w - rate g; w <- w + v.

    Keras keeps the rate inside its velocity, v <- 0.9 v - rate g; w <- w + v (keras/src/optimizers/sgd.py, update_step), as
    the paper does, so that the decay has only to join the gradient. Its own `weight_decay` stays off: it is taken from the
    weight before the step and never enters the velocity.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.variables = dict(variables)
        self.optimiser = keras.optimizers.SGD(momentum=MOMENTUM)
        self.optimiser.build(list(self.variables.values()))

    def step(self, gradients: Mapping[str, Any], rate: float) -> None:
        """One update of all variables in place."""
        self.optimiser.learning_rate = rate
        pairs = [(gradients[name] + DECAY * variable, variable) for name, variable in self.variables.items()]
        self.optimiser.apply_gradients(pairs)

    def velocities(self) -> dict[str, Any]:
        """v of each variable, zero before the first step: copies."""
        return {name: keras.ops.copy(v) for name, v in zip(self.variables, self.optimiser.momentums, strict=True)}

    def load(self, velocities: Mapping[str, Any]) -> None:
        """Continue from these v, which are copied."""
        for name, momentum in zip(self.variables, self.optimiser.momentums, strict=True):
            momentum.assign(velocities[name])


# As users set it up ----------------------------------------------------------------------------------------------------

Course = dict[str, np.ndarray]  # each parameter after each step: (steps, *shape), float32
NAMES = {"kernel": "fc.weight", "bias": "fc.bias"}


def dense(problem: Problem, kernel: float = 0.0, bias: float = 0.0) -> keras.layers.Dense:
    """With L2 regularisers of these strengths; kernels are (in, out) in Keras."""
    outputs, inputs = problem.start["fc.weight"].shape
    strengths = {"kernel_regularizer": kernel, "bias_regularizer": bias}
    chosen = {name: keras.regularizers.L2(strength) for name, strength in strengths.items() if strength}
    layer = keras.layers.Dense(outputs, **chosen)
    layer.build((None, inputs))
    layer.kernel.assign(problem.start["fc.weight"].T)
    layer.bias.assign(problem.start["fc.bias"])
    return layer


def gradients(layer: keras.layers.Dense, problem: Problem, step: int) -> list[Any]:
    """Of a loss that is linear in kernel and bias, whose gradients are the problem's to the bit, and of the regularisers."""
    kernel, bias = problem.gradients["fc.weight"][step].T, problem.gradients["fc.bias"][step]

    def loss() -> Any:
        return keras.ops.sum(layer.kernel * kernel) + keras.ops.sum(layer.bias * bias) + sum(layer.losses)

    return keras_backends.current().descent(loss, layer.trainable_variables)[1]  # Keras has no derivative of its own


def recorded(layer: keras.layers.Dense) -> dict[str, np.ndarray]:
    values = {NAMES[v.name]: keras.ops.transpose(v) for v in layer.trainable_variables}
    return {name: np.array(keras.ops.convert_to_numpy(value), order="C") for name, value in values.items()}


def stacked(path: Sequence[Mapping[str, np.ndarray]]) -> Course:
    return {name: np.stack([held[name] for held in path]) for name in path[0]}


def sgd(
    kernel: float = 0.0,
    bias: float = 0.0,
    schedule: Callable[[float], Any] | None = None,
    renew: bool = False,
    exclude: Sequence[str] = (),
    **more: Any,
) -> Callable[[Problem], Course]:
    """keras.optimizers.SGD with L2 regularisers of strength `kernel` and `bias`; the rate is assigned at the drop.

    schedule: a learning rate schedule instead. renew: a new optimiser at the drop instead. exclude: names of variables that
    `weight_decay` leaves alone.
    """

    def made(rate: Any) -> keras.optimizers.SGD:
        return keras.optimizers.SGD(rate, momentum=MOMENTUM, **more)

    def run(problem: Problem) -> Course:
        layer, path, before = dense(problem, kernel, bias), [], problem.rates[0]
        optimiser = made(schedule(before) if schedule else before)
        if exclude:
            optimiser.exclude_from_weight_decay(var_names=list(exclude))
        for step, rate in enumerate(problem.rates):
            if rate != before and renew:
                optimiser = made(rate)
            elif rate != before and not schedule:
                optimiser.learning_rate = rate
            before = rate
            optimiser.apply_gradients(zip(gradients(layer, problem, step), layer.trainable_variables, strict=True))
            path.append(recorded(layer))
        return stacked(path)

    return run


def paper(problem: Problem) -> Course:
    layer, path = dense(problem), []
    optimiser = Paper({NAMES[variable.name]: variable for variable in layer.trainable_variables})
    for step, rate in enumerate(problem.rates):
        optimiser.step(dict(zip(optimiser.variables, gradients(layer, problem, step), strict=True)), rate)
        path.append(recorded(layer))
    return stacked(path)


def piecewise(rate: float) -> Any:
    return keras.optimizers.schedules.PiecewiseConstantDecay([DROP], [rate, rate / 10])


def staircase(rate: float) -> Any:
    return keras.optimizers.schedules.ExponentialDecay(rate, DROP, 0.1, staircase=True)


HALF: dict[str, Any] = {"kernel": DECAY / 2, "bias": DECAY / 2}

# What each is, in words and as a rule, stands in reference/update_setups.py.
SETUPS: dict[str, Callable[[Problem], Course]] = {
    "keras-sgd": sgd(),
    "keras-sgd-weight-decay": sgd(weight_decay=DECAY),
    "keras-sgd-exclude": sgd(weight_decay=DECAY, exclude=["bias"]),
    "keras-sgd-nesterov": sgd(**HALF, nesterov=True),
    "keras-sgd-l2": sgd(kernel=DECAY, bias=DECAY),
    "keras-sgd-l2-kernel": sgd(kernel=DECAY),
    "keras-sgd-half-l2-kernel": sgd(kernel=DECAY / 2),
    "keras-sgd-renewed": sgd(**HALF, renew=True),
    "keras-sgd-piecewise": sgd(**HALF, schedule=piecewise),
    "keras-sgd-staircase": sgd(**HALF, schedule=staircase),
    "keras-sgd-half-l2": sgd(**HALF),
    "keras-paper": paper,
}
