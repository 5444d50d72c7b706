"""Stochastic gradient descent with momentum and weight decay, as the paper and three code bases write it.

Each rule is a function of weight, velocity (what is carried from step to step), gradient and rate that returns the new
weight and velocity. They agree while the rate is constant; whether the rate lies inside the velocity decides what
happens when it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
Step = tuple[Array, Array]  # the new weight and velocity
Rule = Callable[[Array, Array, Array, float], Step]

MOMENTUM, DECAY = 0.9, 0.0005  # Section 5


def paper(weight: Array, velocity: Array, gradient: Array, rate: float) -> Step:
    """Section 5: v <- 0.9 v - 0.0005 rate w - rate g; w <- w + v."""
    velocity = MOMENTUM * velocity - DECAY * rate * weight - rate * gradient
    return weight + velocity, velocity


def cuda_convnet(weight: Array, increment: Array, gradient: Array, rate: float) -> Step:
    """Momentum and gradient first, then the decay, then the weight; the gradient is that of the objective to maximise.

    Source: computerhistory/AlexNet-Source-Code @ 2f8b81f, src/weights.cu lines 146-197.
    """
    increment = MOMENTUM * increment + rate * -gradient
    increment = increment + -DECAY * rate * weight
    return weight + increment, increment


def caffe(weight: Array, history: Array, gradient: Array, rate: float) -> Step:
    """Decay joins the gradient; the history holds what is subtracted.

    Source: BVLC/caffe @ 9b89154, src/caffe/solvers/sgd_solver.cpp lines 156-238.
    """
    history = rate * (gradient + DECAY * weight) + MOMENTUM * history
    return weight - history, history


def torch(weight: Array, buffer: Array, gradient: Array, rate: float) -> Step:
    """Decay joins the gradient; the buffer sums gradients, and the rate of the day multiplies all of it.

    Source: PyTorch's documentation of torch.optim.SGD (dampening 0, no Nesterov).
    """
    buffer = MOMENTUM * buffer + (gradient + DECAY * weight)
    return weight - rate * buffer, buffer


def descend(rule: Rule, weight: Array, gradient: Callable[[Array], Array], rates: Sequence[float]) -> Array:
    """The weight after each step, from zero velocity: (steps, *weight.shape). `gradient` takes the current weight."""
    velocity, path = np.zeros_like(weight), []
    for rate in rates:
        weight, velocity = rule(weight, velocity, gradient(weight), rate)
        path.append(weight)
    return np.stack(path)
