"""Arrays that a file need not hold: they are, bit for bit, another one's bytes or its ReLU.

A ReLU's output is a third of all that a network gives. Whether an array can be left out is tried on its bits when it is
written; what was left out is made again from the same rule, which rounds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray

RULES: dict[str, Callable[[Array], Array]] = {
    "same": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, x.dtype.type(0)),  # -0 and NaN become 0
    "relu, -0 and NaN kept": lambda x: np.where(x < 0, x.dtype.type(0), x),
}


def rule_for(array: Array, source: Array) -> str:
    """The rule that gives exactly this array from `source`, "" if none does."""
    if source.dtype != array.dtype or source.size != array.size:
        return ""
    return next((name for name in RULES if same_bits(made(name, source, array.shape), array)), "")


def made(rule: str, source: Array, shape: tuple[int, ...]) -> Array:
    """What a rule gives, in a shape of as many numbers; KeyError for an unknown rule, ValueError for another size."""
    if math.prod(shape) != source.size:
        raise ValueError(f"{source.size} numbers for the shape {shape}")
    return RULES[rule](source).reshape(shape)


def same_bits(array: Array, other: Array) -> bool:
    """The same dtype, shape and bytes, NaN and all?"""
    if (array.dtype, array.shape) != (other.dtype, other.shape):
        return False
    one, another = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (array, other))
    return bool(np.array_equal(one, another))


def first_that_fits(array: Array, sources: Mapping[str, Array]) -> tuple[str, str] | None:
    """(rule, name of the source) for the first of some arrays that gives this one."""
    found = ((rule_for(array, source), name) for name, source in sources.items())
    return next(((rule, name) for rule, name in found if rule), None)
