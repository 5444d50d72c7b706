"""How much memory a trace may take when it is read: what its network's outputs and weights come to, and no more.

An array that is stored as it stands takes what the file takes. One that was deflated, or is made again from a rule, and a weight
that is copied from what was given, are as large as the header says, and a header can say anything: so what it claims is added up
before any of it is made. Names and shapes as such are not held to the network's here: those of an implementation that
misbehaves are recorded as they are, and findings say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...reference.spec import Network
from . import packed
from .container import BadTrace

Array = np.ndarray

WEIGHTS = "weights"  # stands where a run's name does
IMAGES = 32  # through every layer, in float32: all passes and runs come to less than 16, and doubles are twice as wide
BESIDES = (
    16 << 20
)  # bytes: special values go through layers of their own, and a thin network's outputs may be of another shape
STRANGER = (
    256 << 20
)  # of a network that this version does not have, whose trace is refused by name later, or set beside another


def check(held: Mapping[str, Any], arrays: Mapping[str, Array], network: Network | None) -> None:
    """Raise BadTrace if what the header says of the stimuli is more than their network can have given.

    LookupError, TypeError, ValueError or AttributeError for a header that is not well formed.
    """
    claims = {
        "outputs": (sum(of_outputs(name, about, arrays) for name, about in held.items()), outputs_of(network)),
        "weights": (sum(of_weights(name, about, arrays) for name, about in held.items()), weights_of(network)),
    }
    for what, (found, most) in claims.items():
        if found > most:
            raise BadTrace(
                f"its {what} come to {megabytes(found)} when they are made again, expected at most {megabytes(most)}"
                f"{f' for {network.name}' if network else ''}; record it again, with fewer passes (--pass)"
            )


def megabytes(count: int) -> str:
    return f"{count // 1_000_000:,} MB" if count < 10**15 else "more than 1,000,000,000 MB"


def outputs_of(network: Network | None) -> int:
    """The most bytes that outputs may be made to take."""
    if network is None:
        return STRANGER
    return BESIDES + 4 * IMAGES * sum(math.prod(after) for _, _, after in network.walk())


def weights_of(network: Network | None) -> int:
    """The same of weights: one stimulus' are read back, in float32. Nothing is copied where there is no network."""
    return BESIDES + 4 * network.parameter_count() if network else BESIDES


def of_outputs(stimulus: str, about: Any, arrays: Mapping[str, Array]) -> int:
    """Bytes of the outputs that are not in the file as they stand, nor other ones' bytes."""
    sizes: dict[str, int] = {}
    total = 0
    for run, layers in about["runs"].items():
        for name in (f"{stimulus}/{run}/{layer}" for layer in layers):
            if (how := about["left_out"].get(name)) is not None:
                sizes[name] = sizes[how["of"]]
                total += 0 if how["rule"] == "same" else sizes[name]
            elif (small := about["packed"].get(name)) is not None:
                sizes[name] = packed.extent(small)[2]
                total += sizes[name]
            elif name in arrays:
                sizes[name] = arrays[name].nbytes
    return total


def of_weights(stimulus: str, about: Any, arrays: Mapping[str, Array]) -> int:
    """Bytes of the weights that are copied: those of which places are kept. Of all others one zero is held."""
    total = 0
    for name, shape in about["params"].items():
        if shape is not None:
            dtype, _, size = packed.extent(shape)
            total += size if f"{stimulus}/{WEIGHTS}/{name}/places" in arrays else dtype.itemsize
    return total
