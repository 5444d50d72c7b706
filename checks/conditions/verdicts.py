"""The verdict on one array under a condition, whatever it is of: its bits against the plain run's, its numbers against bounds."""

from __future__ import annotations

import numpy as np

from ..compare import Comparison
from ..finding import Finding, Status
from . import outcome
from .condition import Condition

Array = np.ndarray

EXPECTED = "numbers within their bound"
AS_PLAIN = "over the layer's own bound as the plain run is, which `verify --check local-large` judges"


def verdict(
    layer: str,
    moved: Comparison,
    end_to_end: Comparison,
    alone: Comparison | None,
    condition: Condition,
    repeated: bool,
    as_plain: bool,
) -> Finding:
    """moved: from the plain run's bits. end_to_end, alone: within the bounds? repeated: the same bits when run again?

    as_plain: is the plain run over the layer's own bound too? Then that is not the condition's doing.
    """
    outcomes = [end_to_end] if alone is None or as_plain else [end_to_end, alone]
    worst = max(outcomes, key=lambda one: np.inf if one.share is None else one.share)
    held = all(one.ok for one in outcomes)
    numbers = {"ulps": moved.ulps or 0.0, "moved": moved.wrong / moved.size, "end_to_end": end_to_end.share or 0.0}
    if alone is not None:
        numbers["alone"] = alone.share or 0.0

    def found(status: Status, expected: str, got: str, share: float | None, hint: str = "") -> Finding:
        return Finding(status, layer, expected, got, share, hint=hint, numbers=numbers)

    if not held and not condition.reduced:
        return found(Status.FAIL, EXPECTED, worst.got, worst.share)
    if condition.repeats and not repeated:
        return found(Status.FAIL, "the same bits when run twice under it", "others", worst.share)
    if condition.keeps and not moved.ok:
        return found(Status.FAIL, "the plain run's bits", moved.got, moved.share)
    if not held:
        hint = f"{outcome.REDUCED}{condition.arithmetic}, as it was set to"
        return found(Status.KNOWN, EXPECTED, worst.got, worst.share, hint)
    if as_plain:
        return found(Status.KNOWN, EXPECTED, f"{bits(moved)}; {worst.got}", worst.share, AS_PLAIN)
    expected = "the plain run's bits" if condition.keeps else EXPECTED
    return found(Status.PASS, expected, f"{bits(moved)}; {worst.got}", worst.share)


def bits(moved: Comparison) -> str:
    """How the bits compare with the plain run's, in words."""
    if moved.ok:
        return "the plain run's bits"
    return f"{moved.wrong / moved.size:.2%} of the numbers moved, {moved.ulps:.0f} ulp at most"


def same(one: Array | None, other: Array | None) -> bool:
    """The same shape and the same bits, NaN alike."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.tobytes() == other.tobytes()
