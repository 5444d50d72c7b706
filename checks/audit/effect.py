"""How far a deviation moves what the layer gives, and what the network gives at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...reference import oracle
from ...reference.spec import Layer
from .reading import Reading

Array = np.ndarray


def moved(want: Array, got: Array) -> float | None:
    """Root mean square of the difference as a share of that of `want`; None where shapes differ or it is not finite."""
    if want.shape != got.shape:
        return None
    with np.errstate(all="ignore"):
        size = float(np.sqrt(np.mean(np.square(want)))) or 1.0
        share = float(np.sqrt(np.mean(np.square(want - got)))) / size
    return share if np.isfinite(share) else None


def alone(reading: Reading | None, expected: Layer | None, x: Array) -> tuple[Array, Array] | None:
    """(what the expected layer would give, what was given) on the input x, one image; None where it cannot take that."""
    x = x[:1].astype(np.float64)
    got = reading.y[:1].astype(np.float64) if reading is not None else x
    if expected is None:
        return x, got
    try:
        return oracle.apply(expected, renamed(reading, expected), x), got
    except (ValueError, KeyError, IndexError):
        return None


def renamed(reading: Reading | None, expected: Layer) -> dict[str, Array]:
    """The found parameters under the expected layer's name, where they have its shapes."""
    if reading is None:
        return {}
    given = {f"{expected.name}.{key.rpartition('.')[2]}": value for key, value in reading.params.items()}
    shapes = expected.param_shapes(reading.shape)
    return {name: given[name] for name, shape in shapes.items() if name in given and given[name].shape == shape}


def to_the_end(readings: Sequence[Reading], want: Array, got: Array) -> float | None:
    """How far the output of the remaining layers moves between two values of their input; None where it cannot be computed."""
    return between(readings, readings, want, got)


def between(first: Sequence[Reading], second: Sequence[Reading], want: Array, got: Array) -> float | None:
    """How far what one chain gives for `want` is from what another gives for `got`; None where that cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            share = moved(through(first, want), through(second, got))
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return share if share is not None and np.isfinite(share) else None


def through(readings: Sequence[Reading], value: Array) -> Array:
    for reading in readings:
        value = step(reading, value)
    return value


def step(reading: Reading, x: Array) -> Array:
    layer = reading.layer
    if type(layer).__module__.endswith("atoms"):
        raise TypeError(f"{layer.name}: not computable")
    return oracle.apply(replace(layer), reading.params, x)


def in_words(local: float | None, final: float | None, shapes: tuple[tuple[int, ...], tuple[int, ...]] | None) -> str:
    """ "its output moves by 12 %, the network's by 3.1 %"."""
    if shapes is not None and shapes[0] != shapes[1]:
        return f"gives {' x '.join(map(str, shapes[1]))} instead of {' x '.join(map(str, shapes[0]))}"
    if local is None:
        return "not measured"
    if local == 0:
        return "the same function here"
    if local == final:
        return f"the network's output moves by {share(local)}"
    return f"its output moves by {share(local)}" + (f", the network's by {share(final)}" if final is not None else "")


def share(value: float) -> str:
    percent = 100 * value
    return f"{percent:.2g} %" if percent < 99.5 else f"{percent:,.0f} %"
