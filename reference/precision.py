"""The arithmetics that a sum of products can be computed in, emulated to the bit: formats, and what three terms may give.

A layer's arithmetic has four places where numbers are rounded: its activations and its weights as they are read, its
accumulator, and its result. `Arithmetic` names all four. For up to three products every order of summation can be
written out, so that `outcomes` gives all that such a layer may answer; an answer outside them rules the arithmetic out.

Formats: float64, float32 and float16 are IEEE 754's. bfloat16 and TF32 have float32's range with 8 and 11 significant
bits. bfloat16 is rounded to nearest, ties to even (Intel, "BFLOAT16 - Hardware Numerics Definition", 2018). TF32's widths
are in NVIDIA's A100 whitepaper (2020), which does not say how to round to it; NVIDIA's PTX ISA does (`cvt`): to nearest with
ties away from zero (.rna, from sm_80), or ties to even or towards zero (.rn and .rz, from sm_90). Which of them a library
takes is its own affair, and hardware may only drop the bits behind, so each is a format of its own here. On an H100 (torch
2.11 with cuBLAS, JAX 0.11 with cuDNN) every answer was that of ties to even, and of sums as tensor cores keep them with 2
extra bits.

Computed in float64, where a product of two float32 numbers is exact and a sum is rounded to odd first, so that a second
rounding cannot go wrong (Boldo & Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
to odd", IEEE Trans. Comput. 57, 2008).
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
    are subnormal. highest: the exponent of the largest. truncates: towards zero, not to nearest. away: to nearest, ties away
    from zero, not to even.

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
    away: bool = False

    @cached_property
    def largest(self) -> float:
        return float(np.ldexp(2 - np.ldexp(1.0, 1 - self.bits), self.highest))

    def rounded(self, values: Array) -> Array:
        """The nearest numbers of this format, or the next towards zero: float64, any shape -> same.

        Beyond its range: infinity to nearest, the largest number towards zero (IEEE 754, 7.4). What was infinite stays so: of
        infinity's bits those that are dropped are zero.
        """
        if self.bits >= 53:
            return values
        if self.name in IEEE:
            with np.errstate(over="ignore"):
                return values.astype(IEEE[self.name]).astype(np.float64)
        _, exponents = np.frexp(values)
        steps = np.ldexp(1.0, np.maximum(exponents - 1, self.lowest) - (self.bits - 1))
        found = self.whole(values / steps) * steps
        beyond = np.abs(found) > self.largest
        if self.truncates:
            return np.where(beyond & np.isfinite(values), np.copysign(self.largest, values), found)
        return np.where(beyond, np.copysign(np.inf, values), found)

    def whole(self, values: Array) -> Array:
        """Integers in the direction that this format rounds in."""
        if self.truncates:
            return np.trunc(values)
        if self.away:  # a half is an odd number of halves; adding 0.5 would round what lies just below it up
            return np.trunc((np.trunc(2 * values) + np.copysign(1, values)) / 2)
        return np.rint(values)


FLOAT64 = Format("float64", 53, -1022, 1023)
FLOAT32 = Format("float32", 24)
TF32 = Format("tf32", 11)
TF32_AWAY = Format("tf32 ties away", 11, away=True)
TF32_TRUNCATED = Format("tf32 truncated", 11, truncates=True)
BFLOAT16 = Format("bfloat16", 8)
BFLOAT16_TRUNCATED = Format("bfloat16 truncated", 8, truncates=True)
FLOAT16 = Format("float16", 11, -14, 15)
FLOAT32_TRUNCATED = Format("float32 truncated", 24, truncates=True)
TENSOR_CORES = tuple(
    Format(f"float32 of tensor cores ({extra} extra bits)", 24, truncates=True, aligned=extra) for extra in range(4)
)


def of_bits(bits: int, truncates: bool = False) -> Format:
    """A format of so many significant bits and float32's range that has no name."""
    return Format(f"{bits} significant bits{' truncated' * truncates}", bits, truncates=truncates)


ODD = tuple(of_bits(bits) for bits in range(4, 24) if bits not in (8, 11))
ODD_TRUNCATED = tuple(of_bits(known.bits, truncates=True) for known in ODD)

NEAREST = {  # a format that truncates, or rounds ties away: the one of its width that rounds to nearest, ties to even
    TF32_AWAY: TF32,
    TF32_TRUNCATED: TF32,
    BFLOAT16_TRUNCATED: BFLOAT16,
    FLOAT32_TRUNCATED: FLOAT32,
    **dict.fromkeys(TENSOR_CORES, FLOAT32),
    **dict(zip(ODD_TRUNCATED, ODD, strict=True)),
}
IEEE: dict[str, type] = {"float32": np.float32, "float16": np.float16}  # NumPy rounds to these itself


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
    """The one answer where a single product is not zero: (..., terms), (..., terms) -> (...), float64.

    In pieces, whose order is not known: their sum rounded once, as near as they come.
    """
    with np.errstate(all="ignore"):
        if arithmetic.pieces > 1:
            return arithmetic.accumulator.rounded(products_of_pieces(x, weight, arithmetic).sum(axis=(0, -1)))
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


def products_of_pieces(x: Array, weight: Array, arithmetic: Arithmetic) -> Array:
    """Each product's own, in float64, where they and their sum are exact: (..., terms) twice -> (products, ..., terms).

    Those of the later pieces are left out as the scheme does: those whose places add up to `pieces` or more.
    """
    count = arithmetic.pieces
    xs = pieces_of(x.astype(np.float64), arithmetic.activations, count)
    weights = pieces_of(weight.astype(np.float64), arithmetic.weights, count)
    return np.stack([xs[i] * weights[j] for i in range(count) for j in range(count) if i + j < count])


def near_pieces(x: Array, weight: Array, got: Array, arithmetic: Arithmetic) -> Array:
    """As `possible`, for inputs in pieces. The products are too many for all their orders.

    Instead |got - sum| <= n 2^-24 sum |products| with n of them, which no order of n products exceeds to first order
    (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2); and the sum itself where no order rounds: inputs,
    sums and results of fewer bits than float32's are seen there.
    """
    with np.errstate(all="ignore"):  # infinities have no pieces
        products = products_of_pieces(x, weight, arithmetic)
        total = products.sum(axis=(0, -1))
        size = np.abs(products).sum(axis=(0, -1))
        terms = np.count_nonzero(products, axis=(0, -1))
        slack = np.where(size <= 2.0**24 * last_place(products), 0, np.maximum(terms, 1) * 2.0**-24 * size)
        return np.abs(got - total) <= slack


def last_place(products: Array) -> Array:
    """The largest power of two that all numbers are multiples of, infinite where all are zero: (n, ..., 3) -> (...).

    Numbers whose sizes add up to 2^24 of it are summed in 24 bits without rounding, in whatever order.
    """
    fractions, exponents = np.frexp(products)
    integers = np.ldexp(fractions, 53).astype(np.int64)
    lowest = np.ldexp((integers & -integers).astype(np.float64), exponents - 53)
    return np.where(products == 0, np.inf, lowest).min(axis=(0, -1))


# Candidates -----------------------------------------------------------------------------------------------------------

READ = (FLOAT32, BFLOAT16, TF32, FLOAT16, TF32_TRUNCATED, BFLOAT16_TRUNCATED, TF32_AWAY)
SUMMED = (FLOAT32, FLOAT64, BFLOAT16, FLOAT16, FLOAT32_TRUNCATED, *TENSOR_CORES)
GIVEN = (FLOAT32, BFLOAT16, FLOAT16)
ODD_SUMS = (*ODD, *(of_bits(bits) for bits in range(25, 31)))

PLAIN = Arithmetic()


def beside(arithmetic: Arithmetic) -> Iterator[Arithmetic]:
    """What differs from an arithmetic in one of its four places. Ties that go away are left out: answers that float32 fits too
    hold none.
    """
    reads = [read for read in READ if not read.away]
    yield from (replace(arithmetic, activations=read) for read in reads if read != arithmetic.activations)
    yield from (replace(arithmetic, weights=read) for read in reads if read != arithmetic.weights)
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
    """Any other width in one of the four places, or in all but the result. Fused: that it may be, not that it was.

    Sums of it with inputs and results that have names, and inputs or results of it in float32 sums.
    """
    for read in READ:
        for given in GIVEN:
            for kept in ODD_SUMS:
                yield Arithmetic(read, read, kept, given, fused=True)
    for known in (*ODD, *ODD_TRUNCATED):
        yield Arithmetic(known, known, known, fused=True)
        for fused in (False, True):
            yield Arithmetic(known, known, fused=fused)
            yield Arithmetic(activations=known, fused=fused)
            yield Arithmetic(weights=known, fused=fused)
            yield Arithmetic(result=known, fused=fused)
    yield from (Arithmetic(accumulator=kept, fused=True) for kept in ODD_TRUNCATED)


def in_pieces() -> Iterator[Arithmetic]:
    """Schemes that make float32 of narrower products: bfloat16 in two or three pieces, TF32 in two."""
    for narrow, count in ((BFLOAT16, 2), (BFLOAT16, 3), (TF32, 2)):
        yield Arithmetic(narrow, narrow, pieces=count)
