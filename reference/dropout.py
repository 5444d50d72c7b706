"""Dropout (Section 4.2) by enumeration: every mask of a small layer, so that means over all of them are exact."""

from __future__ import annotations

import numpy as np

from . import oracle

Array = np.ndarray


def masks(units: int) -> Array:
    """All masks of `units` units, each equally likely at probability one half: (2^units, units), 0.0 or 1.0."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)


def geometric_mean(distributions: Array) -> Array:
    """The geometric mean over the first axis, normalised to sum to one: (nets, classes) -> (classes,)."""
    logs = np.log(distributions).mean(axis=0)
    return oracle.softmax(logs[None])[0]


def one_layer(hidden: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """Dropout on `hidden` (units,) before a softmax: (geometric mean of all 2^units nets, the net with halved outputs).

    weight (classes, units), bias (classes,); both results (classes,).
    """
    nets = oracle.softmax(oracle.dense(masks(hidden.size) * hidden, weight, bias))  # (2^units, classes)
    halved = oracle.softmax(oracle.dense(0.5 * hidden[None], weight, bias))[0]
    return geometric_mean(nets), halved


def two_layers(hidden: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """The same with dropout on `hidden` (units,) and on relu(first hidden); first (units2, units), second (classes, units2)."""
    outer, inner = masks(hidden.size), masks(len(first))
    middle = oracle.relu((outer * hidden) @ first.T)  # (2^units, units2)
    both = (middle[:, None] * inner).reshape(-1, len(first))  # (2^units 2^units2, units2)
    halved = 0.5 * oracle.relu(0.5 * hidden[None] @ first.T)
    return geometric_mean(oracle.softmax(both @ second.T)), oracle.softmax(halved @ second.T)[0]
