"""The one place where arrays are compared. Shapes are strict, nothing is broadcast, and NaN never passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
    size: int = 0
    place: str = ""  # of the worst element, and what is there


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


def whole(values: Array) -> bool:
    """Are all of the numbers integers? In pieces that stay in the cache: fc6 alone has 38 million."""
    flat = values.reshape(-1)
    pieces = (flat[start : start + 65536] for start in range(0, flat.size, 65536))
    return all((piece == np.rint(piece)).all() for piece in pieces)


def at(index: tuple[Any, ...]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def shifted(index: tuple[Any, ...], first: int) -> tuple[Any, ...]:
    """An index into a block of rows as one into the whole array, whose row `first` is the block's first."""
    return (index[0] + first, *index[1:])


def equal(got: Array, want: Array, first: int = 0) -> Comparison:
    """Same numbers as `want` (float64 truth, exactly representable in float32), both zeros alike.

    A sum whose terms are all zero is -0 or 0 as its accumulator begins with the first product or with 0: either is right.
    """
    if problem := unlike(got, want.shape):
        return Comparison(False, None, problem)
    return bitwise(got + np.float32(0), want + 0.0, first)  # -0 + 0 is 0


def bitwise(got: Array, want: Array, first: int = 0) -> Comparison:
    """Same bits as `want` (float64 truth, exactly representable in float32), signed zeros included.

    Of a block of rows, `first` is the number of its first one.
    """
    if problem := unlike(got, want.shape):
        return Comparison(False, None, problem)
    if not np.isfinite(got).all():
        return not_finite(got, first)
    want = want.astype(np.float32)
    differs = got.view(np.uint32) != want.view(np.uint32)
    wrong = int(differs.sum())
    if not wrong:
        return Comparison(True, 0.0, equal_text(0, got.size), ulps=0.0, size=got.size)
    distance = np.maximum(ulps(got, want), differs)  # +0 and -0 differ, if by nothing
    worst = np.unravel_index(int(distance.argmax()), got.shape)
    most = float(distance[worst])
    how = "the sign of zero" if got[worst] == want[worst] else f"{most:.0f} ulp"
    place = f"{at(shifted(worst, first))}: {got[worst]!s} for {want[worst]!s} ({how})"
    text = equal_text(wrong, got.size, place)
    return Comparison(False, 2 * most, text, ulps=most, wrong=wrong, size=got.size, place=place)


def patterns(got: Array, want: Array) -> Comparison:
    """Same 32 bits as `want` (float32 too) everywhere, whatever they mean: NaNs with their payload, infinities, both zeros."""
    if problem := unlike(got, want.shape) or unlike(want, want.shape):
        return Comparison(False, None, problem)
    one, other = (np.ascontiguousarray(array).view(np.uint32) for array in (got, want))
    differs = one != other
    wrong = int(differs.sum())
    if not wrong:
        return Comparison(True, 0.0, equal_text(0, got.size), ulps=0.0, size=got.size)
    first = np.unravel_index(int(differs.argmax()), got.shape)
    place = f"{at(first)}: {int(one[first]):#010x} ({got[first]!s}) for {int(other[first]):#010x} ({want[first]!s})"
    text = f"{wrong} of {got.size} differ, first at {place}"
    return Comparison(False, None, text, wrong=wrong, size=got.size, place=place)


def equal_text(wrong: int, size: int, place: str = "") -> str:
    return f"{wrong} of {size} differ, most at {place}" if wrong else f"all {size} equal"


def within(got: Array, want: Array, tolerance: Array, first: int = 0) -> Comparison:
    """Each element within its own tolerance of the float64 truth. Of a block of rows, `first` is the number of its first one."""
    if problem := unlike(got, want.shape):
        return Comparison(False, None, problem)
    if tolerance.shape != want.shape:
        raise ValueError(f"found tolerances of shape {tolerance.shape}, expected {want.shape}: one for each number")
    if not np.isfinite(got).all():
        return not_finite(got, first)
    error = got - want  # float64
    error = np.abs(error, out=error)
    ok = error <= tolerance  # never `error > tolerance`: NaN must fail
    wrong = int(np.size(ok) - np.count_nonzero(ok))
    share = shares(error, tolerance)
    worst = np.unravel_index(int(share.argmax()), got.shape)
    most = float(share[worst])
    numbers = (("rmse", root_mean_square(error)), ("rms", root_mean_square(want)))
    place = f"{at(shifted(worst, first))}: {got[worst]!s} for {want[worst]:.9g}, tolerance {tolerance[worst]:.2g}"
    share_or_none = most if np.isfinite(most) else None
    text = within_text(wrong, got.size, most, place)
    return Comparison(bool(ok.all()), share_or_none, text, None, wrong, numbers, got.size, place)


def shares(error: Array, tolerance: Array) -> Array:
    """Each error over its bound; infinite where the bound is zero and the error is not."""
    if tolerance.min() > 0:
        return np.divide(error, tolerance)
    return np.divide(error, tolerance, out=np.where(error > 0, np.inf, 0.0), where=tolerance > 0)


def root_mean_square(values: Array) -> float:
    flat = values.reshape(-1)  # float64; a product with itself needs no array of squares
    return float(np.sqrt(flat @ flat / flat.size))


def within_text(wrong: int, size: int, most: float, place: str) -> str:
    if wrong:
        return f"{wrong} of {size} over their bound, worst at {place}"
    return f"{most:.2%} of the bound at most, at {place}"


def not_finite(got: Array, first: int = 0) -> Comparison:
    bad = ~np.isfinite(got)
    wrong = int(bad.sum())
    worst = np.unravel_index(int(bad.argmax()), got.shape)
    place = f"{at(shifted(worst, first))}: {got[worst]!s}"
    text = f"{wrong} of {got.size} not finite, first at {place}"
    return Comparison(False, None, text, wrong=wrong, size=got.size, place=place)


def one_of(got: Array, wants: Sequence[Array], tolerance: Array, signed_zeros: bool = True) -> Comparison:
    """Each number is that of one of `wants`, float32: NaN where it is NaN, the same infinity, the same zero, or near.

    NaN is NaN whatever its payload. Zeros are the same in sign as well, unless `signed_zeros` is off. Other numbers may be
    off by their tolerance, which is taken for each of `wants`.
    """
    if problem := unlike(got, wants[0].shape):
        return Comparison(False, None, problem)
    if any(array.shape != got.shape for array in (*wants, tolerance)):
        raise ValueError(f"found {[a.shape for a in (*wants, tolerance)]}, expected {got.shape}: one for each number")
    ok = np.any([same_value(got, want, tolerance, signed_zeros) for want in wants], axis=0)
    wrong = int(np.size(ok) - np.count_nonzero(ok))
    if not wrong:
        return Comparison(True, None, equal_text(0, got.size), size=got.size)
    first = np.unravel_index(int(np.argmin(ok)), got.shape)
    place = f"{at(first)}: {got[first]!s} for {' or '.join(dict.fromkeys(str(want[first]) for want in wants))}"
    return Comparison(False, None, f"{wrong} of {got.size} differ, first at {place}", None, wrong, (), got.size, place)


def same_value(got: Array, want: Array, tolerance: Array, signed_zeros: bool) -> Array:
    """Element by element: both NaN, the same infinity, the same zero, or finite and within the tolerance."""
    zeros = (got == 0) & (np.signbit(got) == np.signbit(want) if signed_zeros else True)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.isfinite(got) & (np.abs(got.astype(np.float64) - want) <= tolerance)
    finite = np.where(want == 0, zeros, near)
    return np.where(np.isnan(want), np.isnan(got), np.where(np.isinf(want), got == want, finite)).astype(bool)


# Some rows at a time ------------------------------------------------------------------------------------------------

Part = Callable[[slice], Comparison]


def in_blocks(got: Array, shape: tuple[int, ...], part: Part, rows: Iterable[slice]) -> Comparison:
    """One comparison of an array with what is computed block by block: `part` compares some rows.

    For what is too large to be held in float64: fc6's weight has 38 million entries.
    """
    if problem := unlike(got, shape):
        return Comparison(False, None, problem)
    return merged([part(block) for block in rows])


def merged(parts: list[Comparison]) -> Comparison:
    """Comparisons of the blocks of one array as one; all by `equal`, all by `bitwise`, or all by `within`."""
    if len(parts) == 1:
        return parts[0]
    size, wrong = sum(part.size for part in parts), sum(part.wrong for part in parts)
    if lost := next((part for part in parts if not part.ok and part.share is None), None):
        kind = "not finite, first" if "not finite" in lost.got else "over their bound, worst"
        return replace(lost, got=f"{wrong} of {size} {kind} at {lost.place}", wrong=wrong, size=size)
    worst = max(parts, key=lambda part: part.share or 0.0)
    if worst.ulps is not None:
        return replace(worst, got=equal_text(wrong, size, worst.place), wrong=wrong, size=size)
    text = within_text(wrong, size, worst.share or 0.0, worst.place)
    numbers = tuple((name, pooled(parts, name)) for name, _ in worst.numbers)
    ok = all(part.ok for part in parts)
    return Comparison(ok, worst.share, text, None, wrong, numbers, size, worst.place)


def pooled(parts: list[Comparison], name: str) -> float:
    """A root mean square over all blocks from that of each."""
    squares = sum(dict(part.numbers)[name] ** 2 * part.size for part in parts)
    return float(np.sqrt(squares / sum(part.size for part in parts)))
