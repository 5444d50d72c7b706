"""The one place where arrays are compared. Shapes are strict, nothing is broadcast, and NaN never passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Comparison:
    """The outcome: `ok`, the largest error over its bound (None: not finite), and the worst element in words."""

    ok: bool
    share: float | None
    got: str
    ulps: float | None = None
    wrong: int = 0
    numbers: tuple[tuple[str, float], ...] = ()  # measured beside it


def ordered(values: Array) -> Array:
    """float32 bits as integers in the order of the numbers, so that neighbours differ by one; both zeros are 0."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def ulps(a: Array, b: Array) -> Array:
    """How many float32 numbers lie between a and b, element by element."""
    return np.abs(ordered(a) - ordered(b))


def rmse(a: Array, b: Array) -> float:
    return float(np.sqrt(np.mean(np.square(a.astype(np.float64) - b))))


def unlike(got: Array, expected_shape: tuple[int, ...]) -> str:
    """Why an array cannot be compared at all ("" if it can): dtype, then shape."""
    if got.dtype != np.float32:
        return f"dtype {got.dtype}, expected float32"
    if got.shape != expected_shape:
        return f"shape {got.shape}, expected {expected_shape}"
    return "" if got.size else "no numbers at all"


def at(index: tuple[Any, ...]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def bitwise(got: Array, want: Array) -> Comparison:
    """Same bits as `want` (float64 truth, exactly representable in float32), signed zeros included."""
    if problem := unlike(got, want.shape):
        return Comparison(False, None, problem)
    if not np.isfinite(got).all():
        return not_finite(got)
    want = want.astype(np.float32)
    differs = got.view(np.uint32) != want.view(np.uint32)
    wrong = int(differs.sum())
    if not wrong:
        return Comparison(True, 0.0, f"all {got.size} equal", ulps=0.0)
    distance = np.maximum(ulps(got, want), differs)  # +0 and -0 differ, if by nothing
    worst = np.unravel_index(int(distance.argmax()), got.shape)
    most = float(distance[worst])
    how = "the sign of zero" if got[worst] == want[worst] else f"{most:.0f} ulp"
    text = f"{wrong} of {got.size} differ, most at {at(worst)}: {got[worst]!s} for {want[worst]!s} ({how})"
    return Comparison(False, 2 * most, text, ulps=most, wrong=wrong)


def within(got: Array, want: Array, tolerance: Array) -> Comparison:
    """Each element within its own tolerance of the float64 truth."""
    if problem := unlike(got, want.shape):
        return Comparison(False, None, problem)
    if tolerance.shape != want.shape:
        raise ValueError(f"found tolerances of shape {tolerance.shape}, expected {want.shape}: one for each number")
    if not np.isfinite(got).all():
        return not_finite(got)
    error = np.abs(got - want)  # float64
    ok = error <= tolerance  # never `error > tolerance`: NaN must fail
    wrong = int(np.size(ok) - np.count_nonzero(ok))
    share = np.divide(error, tolerance, out=np.where(error > 0, np.inf, 0.0), where=tolerance > 0)
    worst = np.unravel_index(int(share.argmax()), got.shape)
    most = float(share[worst])
    numbers = (("rmse", rmse(got, want)), ("rms", float(np.sqrt(np.mean(np.square(want))))))
    place = f"{at(worst)}: {got[worst]!s} for {want[worst]:.9g}, tolerance {tolerance[worst]:.2g}"
    if wrong:
        text = f"{wrong} of {got.size} over their bound, worst at {place}"
    else:
        text = f"{most:.2%} of the bound at most, at {place}"
    return Comparison(bool(ok.all()), most if np.isfinite(most) else None, text, wrong=wrong, numbers=numbers)


def not_finite(got: Array) -> Comparison:
    bad = ~np.isfinite(got)
    wrong = int(bad.sum())
    first = np.unravel_index(int(bad.argmax()), got.shape)
    return Comparison(
        False, None, f"{wrong} of {got.size} not finite, first at {at(first)}: {got[first]!s}", wrong=wrong
    )
