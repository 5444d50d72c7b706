"""The verdict on one array under a condition, whatever it is of: its bits against the plain run's, its numbers against bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..compare import Comparison
from ..finding import Finding, Status
from . import outcome
from .condition import Condition

Array = np.ndarray

EXPECTED = "numbers within their bound"
AS_PLAIN = "over the layer's own bound as the plain run is, which `verify --check local-large` judges"


@dataclass(frozen=True)
class Measured:
    """moved: from the plain run's bits. end_to_end: within the bound from the network's input? repeated: the same when run again?

    alone, plain_alone: within the layer's own bound, where it was fed what the plain run fed to it, here and in the plain run?
    fewer: in a mode of fewer bits, within that format's bound, from what the layer was fed; None where that was not finite.
    beyond: how many numbers lie beyond that format's range.
    """

    moved: Comparison
    end_to_end: Comparison
    alone: Comparison | None = None
    plain_alone: Comparison | None = None
    fewer: Comparison | None = None
    beyond: int = 0
    repeated: bool = True

    @property
    def as_plain(self) -> bool:
        """Is the plain run over the layer's own bound too? Then that is not the condition's doing."""
        both = self.alone is not None and self.plain_alone is not None
        return both and not (self.alone.ok or self.plain_alone.ok)  # type: ignore[union-attr]

    @property
    def asked(self) -> list[Comparison]:
        return [self.end_to_end] if self.alone is None or self.as_plain else [self.end_to_end, self.alone]

    @property
    def held(self) -> bool:
        return all(one.ok for one in self.asked)

    @property
    def worst(self) -> Comparison:
        return max(self.asked, key=lambda one: math.inf if one.share is None else one.share)

    @property
    def numbers(self) -> dict[str, float]:
        """What reports tabulate; what is not finite is infinite here, and left out of JSON."""
        far = {"ulps": self.moved.ulps, "end_to_end": self.end_to_end.share}
        far |= {"alone": self.alone.share} if self.alone else {}
        far |= {"fewer": self.fewer.share} if self.fewer else {}
        found = {name: math.inf if value is None else value for name, value in far.items()}
        return {**found, "moved": self.moved.wrong / self.moved.size, "beyond": float(self.beyond)}


def verdict(name: str, measured: Measured, condition: Condition) -> Finding:
    """The first that is wrong, or what was measured."""
    worst, fewer = measured.worst, measured.fewer

    def found(status: Status, expected: str, one: Comparison, got: str = "", hint: str = "") -> Finding:
        return Finding(status, name, expected, got or one.got, one.share, hint=hint, numbers=measured.numbers)

    if not measured.held and not condition.reduced:
        return found(Status.FAIL, EXPECTED, worst)
    if condition.reduced and fewer is not None and not fewer.ok:
        return found(Status.FAIL, f"numbers within {condition.arithmetic}'s bound, from what the layer was fed", fewer)
    if condition.repeats and not measured.repeated:
        return found(Status.FAIL, "the same bits when run twice under it", worst, "others")
    if condition.keeps and not measured.moved.ok:
        return found(Status.FAIL, "the plain run's bits", measured.moved)
    if not measured.held:
        return found(Status.KNOWN, EXPECTED, worst, hint=f"{outcome.REDUCED}{condition.arithmetic}, {within(measured)}")
    got = f"{bits(measured.moved)}; {worst.got}"
    if measured.as_plain:
        return found(Status.KNOWN, EXPECTED, worst, got, AS_PLAIN)
    return found(Status.PASS, "the plain run's bits" if condition.keeps else EXPECTED, worst, got)


def within(measured: Measured) -> str:
    """Where a mode of fewer bits leaves a layer in its own bound."""
    if measured.fewer is None:
        return "as it was set to; fed what overflowed before it"
    beyond = f", {measured.beyond} numbers beyond its range" if measured.beyond else ""
    return f"as it was set to; {measured.fewer.share or 0.0:.0%} of that format's bound{beyond}"


def bits(moved: Comparison) -> str:
    """How the bits compare with the plain run's, in words."""
    if moved.ok:
        return "the plain run's bits"
    far = "not finite" if moved.ulps is None else f"{moved.ulps:.0f} ulp at most"
    return f"{moved.wrong / moved.size:.2%} of the numbers moved, {far}"


def same(one: Array | None, other: Array | None) -> bool:
    """The same shape and the same bits, NaN alike."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.tobytes() == other.tobytes()
