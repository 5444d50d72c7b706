"""The arithmetics that a sum of products can be computed in, emulated to the bit: formats, and what three terms may give.

A layer's arithmetic has four places where numbers are rounded: its activations and its weights as they are read, its
accumulator, and its result. `Arithmetic` names all four. For up to three products every order of summation can be
written out, so that `outcomes` gives all that such a layer may answer; an answer outside them rules the arithmetic out.

Formats: float64, float32 and float16 are IEEE 754's. bfloat16 and TF32 have float32's range with 8 and 11 significant
bits, rounded to nearest, ties to even (Intel, "BFLOAT16 - Hardware Numerics Definition", 2018; NVIDIA A100 whitepaper,
2020); hardware that only drops the bits behind is a format of its own here. Computed in float64, where a product of two
float32 numbers is exact and a sum is rounded to odd first, so that a second rounding cannot go wrong (Boldo & Melquiond,
"Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE Trans. Comput. 57, 2008).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Format:
    """bits: significant ones, the leading one included. lowest: the exponent of the smallest normal number; below it numbers
    are subnormal. highest: the exponent of the largest; beyond it is infinity. truncates: towards zero, not to nearest.

    aligned: of an accumulator as in NVIDIA's tensor cores, how many bits it keeps beyond its own while it adds several products
    at once: all are shifted to the exponent of the largest and cut there (Fasi, Higham, Mikaitis & Pranesh, "Numerical
    behavior of NVIDIA tensor cores", PeerJ Comput. Sci. 7:e330, 2021).
    """

    name: str
    bits: int
    lowest: int = -126
    highest: int = 127
    truncates: bool = False
    aligned: int | None = None

    @cached_property
    def largest(self) -> float:
        return float(np.ldexp(2 - np.ldexp(1.0, 1 - self.bits), self.highest))

    def rounded(self, values: Array) -> Array:
        """The nearest numbers of this format: float64, any shape -> same; infinite beyond its range."""
        if self.bits >= 53:
            return values
        if self.name in IEEE:
            with np.errstate(over="ignore"):
                return values.astype(IEEE[self.name]).astype(np.float64)
        _, exponents = np.frexp(values)
        steps = np.ldexp(1.0, np.maximum(exponents - 1, self.lowest) - (self.bits - 1))
        near = np.trunc(values / steps) if self.truncates else np.rint(values / steps)
        found = near * steps
        beyond = np.abs(found) > self.largest
        return np.where(beyond, np.copysign(self.largest if self.truncates else np.inf, values), found)


FLOAT64 = Format("float64", 53, -1022, 1023)
FLOAT32 = Format("float32", 24)
TF32 = Format("tf32", 11)
TF32_TRUNCATED = Format("tf32 truncated", 11, truncates=True)
BFLOAT16 = Format("bfloat16", 8)
BFLOAT16_TRUNCATED = Format("bfloat16 truncated", 8, truncates=True)
FLOAT16 = Format("float16", 11, -14, 15)
FLOAT32_TRUNCATED = Format("float32 truncated", 24, truncates=True)
TENSOR_CORES = tuple(
    Format(f"float32 of tensor cores ({extra} extra bits)", 24, truncates=True, aligned=extra) for extra in range(4)
)

NEAREST = {  # a format that truncates: the one of its width that does not
    TF32_TRUNCATED: TF32,
    BFLOAT16_TRUNCATED: BFLOAT16,
    FLOAT32_TRUNCATED: FLOAT32,
    **dict.fromkeys(TENSOR_CORES, FLOAT32),
}
IEEE: dict[str, type] = {"float32": np.float32, "float16": np.float16}  # NumPy rounds to these itself


def of_bits(bits: int) -> Format:
    """A format of so many significant bits and float32's range that has no name."""
    return Format(f"{bits} significant bits", bits)


def to_odd(a: Array, b: Array) -> Array:
    """a + b in float64, rounded to odd: whatever is lost leaves its mark in the last bit.

    Rounded once more, to 51 bits or fewer, it is the exact sum rounded once.
    """
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)  # Knuth's two-sum: total + lost is exact
    even = (np.ascontiguousarray(total).view(np.int64) & 1) == 0
    beside = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    return np.where((lost != 0) & even & np.isfinite(total), beside, total)


def added(a: Array, b: Array, accumulator: Format) -> Array:
    """a + b as the accumulator holds it, rounded once."""
    return accumulator.rounded(a + b if accumulator.bits >= 53 else to_odd(a, b))


@dataclass(frozen=True)
class Arithmetic:
    """What a layer reads, sums and gives in. `pieces`: each input is the sum of so many numbers of its format, as in
    bfloat16x3 (two pieces, three products) and bfloat16x6 (three pieces, six): float32's bits from narrow multipliers.
    """

    activations: Format = FLOAT32
    weights: Format = FLOAT32
    accumulator: Format = FLOAT32
    result: Format = FLOAT32
    fused: bool = False
    pieces: int = 1

    @property
    def inputs(self) -> str:
        """The name of the inputs' format; both where activations and weights differ."""
        if self.pieces > 1:
            return f"{self.activations.name}x{self.pieces * (self.pieces + 1) // 2}"
        if self.activations == self.weights:
            return self.activations.name
        return f"activations {self.activations.name}, weights {self.weights.name}"


# Three terms, in any order --------------------------------------------------------------------------------------------


def outcomes(x: Array, weight: Array, arithmetic: Arithmetic) -> Array:
    """Every answer that the sum of x * weight over the last axis (three terms, zeros where there are fewer) may have.

    (..., 3), (..., 3) -> (..., answers), float64. Each of the three pairs may be summed first. `fused`: each product may
    besides go into its addition unrounded (a fused multiply-add).
    """
    with np.errstate(all="ignore"):  # float16 overflows, and infinities cancel
        products = arithmetic.activations.rounded(x.astype(np.float64)) * arithmetic.weights.rounded(
            weight.astype(np.float64)
        )
        held = arithmetic.accumulator.rounded(products)
        found = [arithmetic.result.rounded(total) for total in totals(products, held, arithmetic)]
    return np.stack(found, axis=-1)


def of_one(x: Array, weight: Array, arithmetic: Arithmetic) -> Array:
    """The one answer where a single product is not zero: (..., 3), (..., 3) -> (...), float64."""
    with np.errstate(all="ignore"):
        read = (
            arithmetic.activations.rounded(x.astype(np.float64)),
            arithmetic.weights.rounded(weight.astype(np.float64)),
        )
        return arithmetic.result.rounded(arithmetic.accumulator.rounded((read[0] * read[1]).sum(axis=-1)))


def totals(products: Array, held: Array, arithmetic: Arithmetic) -> Iterator[Array]:
    """Sums in each order, from the products as they are and as the accumulator holds them: (..., 3) twice -> (...) each."""
    if arithmetic.accumulator.aligned is not None:
        yield from at_once(products, arithmetic.accumulator)
        return
    for i, j, last in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        firsts = [(held[..., i], held[..., j])]
        lasts = [held[..., last]]
        if arithmetic.fused:
            firsts += [(products[..., i], held[..., j]), (held[..., i], products[..., j])]
            lasts += [products[..., last]]
        for a, b in firsts:
            pair = added(a, b, arithmetic.accumulator)
            for c in lasts:
                yield added(pair, c, arithmetic.accumulator)


def at_once(products: Array, accumulator: Format) -> Iterator[Array]:
    """All three products in one addition, or any two and then the third: (..., 3) -> (...) each."""
    yield aligned(products, accumulator)
    for i, j, last in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        pair = aligned(products[..., [i, j]], accumulator)
        yield aligned(np.stack([pair, products[..., last]], axis=-1), accumulator)


def aligned(terms: Array, accumulator: Format) -> Array:
    """The sum over the last axis, every term cut at the last place that is kept beside the largest; then cut to its width."""
    assert accumulator.aligned is not None
    _, exponents = np.frexp(terms)
    largest = np.where(terms == 0, -1000, exponents).max(axis=-1, keepdims=True)
    step = np.ldexp(1.0, largest - accumulator.bits - accumulator.aligned)
    return accumulator.rounded((np.trunc(terms / step) * step).sum(axis=-1))


def possible(x: Array, weight: Array, got: Array, arithmetic: Arithmetic) -> Array:
    """Is each answer one that the arithmetic may have given? (..., 3), (..., 3), (...) -> (...); both zeros are alike."""
    if arithmetic.pieces > 1:
        return near_pieces(x, weight, got, arithmetic)
    if not arithmetic.fused:
        return among(outcomes(x, weight, arithmetic), got)
    allowed = among(outcomes(x, weight, replace(arithmetic, fused=False)), got)
    rest = ~allowed  # few, where nothing was fused
    allowed[rest] = among(outcomes(x[rest], weight[rest], arithmetic), got[rest])
    return allowed


def among(found: Array, got: Array) -> Array:
    """Is each answer one of those found for it? (..., answers), (...) -> (...); NaN is NaN, both zeros are alike."""
    wanted = got.astype(np.float64)[..., None]
    return np.any((found == wanted) | (np.isnan(found) & np.isnan(wanted)), axis=-1)


# Inputs in pieces -----------------------------------------------------------------------------------------------------


def pieces_of(values: Array, narrow: Format, count: int) -> list[Array]:
    """Numbers of a narrow format whose sum comes nearest to each value, the largest first."""
    found: list[Array] = []
    for _ in range(count):
        piece = narrow.rounded(values)
        found.append(piece)
        values = values - piece
    return found


def near_pieces(x: Array, weight: Array, got: Array, arithmetic: Arithmetic) -> Array:
    """As `possible`, for inputs in pieces. The products are too many for all their orders.

    Instead |got - sum| <= n 2^-24 sum |products| with n of them, which no order of n products exceeds to first order
    (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2). Products of the later pieces are left out as the
    scheme does: those whose places add up to `pieces` or more.
    """
    narrow, count = arithmetic.activations, arithmetic.pieces
    xs = pieces_of(x.astype(np.float64), narrow, count)
    weights = pieces_of(weight.astype(np.float64), narrow, count)
    products = [xs[i] * weights[j] for i in range(count) for j in range(count) if i + j < count]
    total = np.sum(products, axis=(0, -1))
    size = np.sum(np.abs(products), axis=(0, -1))
    terms = np.count_nonzero(products, axis=(0, -1))
    return np.abs(got - total) <= np.maximum(terms, 1) * 2.0**-24 * size


# Candidates -----------------------------------------------------------------------------------------------------------

READ = (FLOAT32, BFLOAT16, TF32, FLOAT16, TF32_TRUNCATED, BFLOAT16_TRUNCATED)
SUMMED = (FLOAT32, FLOAT64, BFLOAT16, FLOAT16, FLOAT32_TRUNCATED, *TENSOR_CORES)
GIVEN = (FLOAT32, BFLOAT16, FLOAT16)
ODD_SUMS = tuple(of_bits(bits) for bits in range(4, 31) if bits not in (8, 11, 24))

PLAIN = Arithmetic()


def beside(arithmetic: Arithmetic) -> Iterator[Arithmetic]:
    """What differs from an arithmetic in one of its four places."""
    yield from (replace(arithmetic, activations=read) for read in READ if read != arithmetic.activations)
    yield from (replace(arithmetic, weights=read) for read in READ if read != arithmetic.weights)
    yield from (replace(arithmetic, accumulator=kept) for kept in SUMMED if kept != arithmetic.accumulator)
    yield from (replace(arithmetic, result=given) for given in GIVEN if given != arithmetic.result)


def every() -> Iterator[Arithmetic]:
    """All arithmetics that have a name, not fused: inputs alike, or one of them float32; results no finer than the sums."""
    pairs = [(read, read) for read in READ]
    pairs += [pair for read in READ[1:] for pair in ((read, FLOAT32), (FLOAT32, read))]
    for activations, weights in pairs:
        for kept in SUMMED:
            for given in (kept,) if kept.bits < FLOAT32.bits else GIVEN:
                yield Arithmetic(activations, weights, kept, given)


def odd() -> Iterator[Arithmetic]:
    """Accumulators of any other width, with inputs and results that have names."""
    for read in READ:
        for given in GIVEN:
            for kept in ODD_SUMS:
                yield Arithmetic(read, read, kept, given, fused=True)


def in_pieces() -> Iterator[Arithmetic]:
    """Schemes that make float32 of narrower products: bfloat16 in two or three pieces, TF32 in two."""
    for narrow, count in ((BFLOAT16, 2), (BFLOAT16, 3), (TF32, 2)):
        yield Arithmetic(narrow, narrow, pieces=count)
