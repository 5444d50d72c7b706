"""Two traces against one another: for each stimulus and run the first layer whose bits differ, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import compare
from ..recording import Recording
from .derived import same_bits
from .trace import Trace

Array = np.ndarray

SCHEMA = "alexnet-parity/trace-differences/1"


@dataclass(frozen=True)
class Difference:
    """One run of one stimulus. first: of the layers whose bits differ; ulps: the largest distance anywhere, None if not finite.

    differing: how many of `layers` differ. missing: recorded in one of the traces only.
    """

    stimulus: str
    run: str
    layers: int
    differing: int = 0
    first: str = ""
    how: str = ""
    ulps: float | None = 0.0
    worst: str = ""
    missing: tuple[str, ...] = ()

    def same(self) -> bool:
        return not (self.differing or self.missing)


def between(one: Trace, other: Trace) -> Iterator[Difference]:
    """Each run of each stimulus that either trace holds."""
    names = dict.fromkeys([*one.recordings, *other.recordings])
    for name in names:
        held = [trace.recordings.get(name, Recording("", "", name)) for trace in (one, other)]
        for run in dict.fromkeys([*held[0].runs, *held[1].runs]):
            yield of_run(name, run, held[0].run(run), held[1].run(run))


def of_run(stimulus: str, run: str, one: dict[str, Array], other: dict[str, Array]) -> Difference:
    common = [layer for layer in one if layer in other]
    missing = tuple(layer for layer in {**one, **other} if layer not in common)
    differing = [layer for layer in common if not same_bits(one[layer], other[layer])]
    if not differing:
        return Difference(stimulus, run, len(common), missing=missing)
    outcomes = {layer: outcome(one[layer], other[layer]) for layer in differing}
    finite = {layer: found.ulps for layer, found in outcomes.items() if found.ulps is not None}
    worst = max(finite, key=lambda layer: finite[layer], default="")
    return Difference(
        stimulus,
        run,
        len(common),
        len(differing),
        differing[0],
        outcomes[differing[0]].got,
        finite[worst] if worst and len(finite) == len(differing) else None,
        worst,
        missing,
    )


def outcome(one: Array, other: Array) -> compare.Comparison:
    """How another array departs from one whose bits it has not."""
    return (
        compare.bitwise(other, one.astype(np.float64))
        if one.dtype == np.float32
        else compare.Comparison(False, None, f"dtype {other.dtype} for {one.dtype}")
    )


def line(found: Difference) -> str:
    """One line for a terminal."""
    where = f"{found.stimulus} {found.run}"
    if found.same():
        return f"{where}: the same bits in all {found.layers} layers"
    parts = []
    if found.differing:
        most = f"; at most {found.ulps:g} ulp, at {found.worst}" if found.ulps is not None else ""
        parts.append(f"{found.differing} of {found.layers} layers differ, first {found.first}: {found.how}{most}")
    if found.missing:
        few = ", ".join(found.missing[:3]) + (" ..." if len(found.missing) > 3 else "")
        parts.append(f"{len(found.missing)} layers in one of them only: {few}")
    return f"{where}: {'; '.join(parts)}"
