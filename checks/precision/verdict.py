"""Which arithmetic a layer computed in: the one that every one of its answers allows, or that none does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...reference import precision
from ...reference.precision import FLOAT32, FLOAT64, PLAIN, Arithmetic, Format
from ...reference.spec import Layer
from . import order, transform
from .terms import Terms, terms

Array = np.ndarray

CHUNKS = (64, 1024)  # answers that a candidate is tried on before all of them
SINGLE = 64  # answers of one product, at most, tried before that: they have no order


@dataclass(frozen=True)
class Verdict:
    """found: the arithmetics that every answer allows, none if there is none.

    split: summed in several partial sums; None where it could not be seen. transformed: as Winograd's. asked: answers judged.
    alone: where nothing is found, the formats of inputs that the answers of one product allow, which no order of sums touches.
    """

    found: tuple[Arithmetic, ...]
    split: bool | None = None
    transformed: bool = False
    asked: int = 0
    unlike: str = ""  # float32's most distant answer, in words
    alone: frozenset[str] = frozenset()

    @property
    def inputs(self) -> frozenset[str]:
        """The formats that inputs may have been read in; none where that could not be seen."""
        return frozenset(arithmetic.inputs for arithmetic in self.found) or self.alone

    def places(self, place: str) -> tuple[Format, ...]:
        """The formats found for one of "activations", "weights", "accumulator", "result"."""
        return tuple(dict.fromkeys(getattr(arithmetic, place) for arithmetic in self.found))

    @property
    def fused(self) -> bool:
        """Was at least one product added unrounded, and is float32 what it was added in?"""
        return bool(self.found) and all(a.fused and a.accumulator == FLOAT32 for a in self.found)


def verdict(layer: Layer, params: Mapping[str, Array], x: Array, got: Array) -> Verdict:
    """Judge one layer by what it was fed, x (N, ...), and what it gave, got (N, ...), both float32."""
    asked = informative(terms(layer, params, x, got))
    found = consistent(asked)
    if not found:
        transformed = transform.like(layer, params, x, asked)
        alone = frozenset() if transformed else inputs_alone(asked)
        return Verdict((), transformed=transformed, asked=len(asked), unlike=unlike(asked), alone=alone)
    narrow = all(arithmetic.accumulator.bits <= FLOAT32.bits for arithmetic in found)
    return Verdict(found, order.split(layer, params, x, got) if narrow else None, asked=len(asked))


def informative(asked: Terms) -> Terms:
    """Shuffled, those with most terms and most bits in the first places: a wrong candidate is dropped early."""
    shuffled = asked.only(np.random.Generator(np.random.Philox(0)).permutation(len(asked)))
    products = shuffled.x.astype(np.float64) * shuffled.weight
    count = np.count_nonzero(products, axis=1)
    kinds = [np.flatnonzero(count == terms) for terms in (1, 2, 3, 0)]
    heads = [kind[:256] for kind in kinds[:3]]
    first = np.concatenate([head[start::4] for start in range(4) for head in heads])  # a quarter of each, then the next
    rest = np.setdiff1d(np.arange(len(shuffled)), first, assume_unique=True)
    return shuffled.only(np.concatenate([first, rest]))


def allows(asked: Terms, arithmetic: Arithmetic) -> bool:
    """Does every answer allow this arithmetic? Tried on few first."""
    if arithmetic.pieces == 1 and not allows_alone(asked, arithmetic, SINGLE):
        return False
    start = 0
    for end in (*CHUNKS, len(asked)):
        part = slice(start, end)
        if not precision.possible(asked.x[part], asked.weight[part], asked.got[part], arithmetic).all():
            return False
        start = end
    return True


def allows_alone(asked: Terms, arithmetic: Arithmetic, most: int | None = None) -> bool:
    """Do the answers of one product alone allow it? All of them, or the first so many."""
    one, part = asked.alone, slice(0, most)
    want = precision.of_one(one.x[part], one.weight[part], arithmetic)
    return bool(np.all((want == one.got[part]) | (np.isnan(want) & np.isnan(one.got[part]))))


def consistent(asked: Terms) -> tuple[Arithmetic, ...]:
    """All arithmetics that every answer allows, the simplest way to say it: not fused if nothing needs to be.

    Pieces last: they are held to a bound, which others near float32 keep too.
    """
    for fused in (False, True):
        base = replace(PLAIN, fused=fused)
        if allows(asked, base):
            found = (base, *(other for other in precision.beside(base) if allows(asked, other)))
            wider = tuple(other for other in found if other.accumulator == FLOAT64)
            return wider if wider and nothing_lost(asked) else found
    named = tuple(precision.every())
    return (
        simplest(asked, named)
        or simplest(asked, [replace(candidate, fused=True) for candidate in named])
        or simplest(asked, precision.odd())
        or tuple(found for found in simplest(asked, precision.in_pieces()) if shown(asked, found))
    )


def shown(asked: Terms, pieces: Arithmetic) -> bool:
    """Do the answers of one product show that it was made of pieces? Where they cannot, they need not.

    They do not where one product in one piece explains them all, although the sum of the pieces, however well rounded, is
    another number in some of them: what is unlike float32 is then how products are added.
    """
    one = asked.alone
    same = precision.of_one(one.x, one.weight, pieces) == precision.of_one(one.x, one.weight, PLAIN)
    return bool(same.all()) or not inputs_alone(asked)


def inputs_alone(asked: Terms) -> frozenset[str]:
    """The formats of inputs that all answers of one product allow, by any arithmetic that has a name; none for none."""
    found = simplest_of(
        precision.every(), lambda known: allows_alone(asked, known, SINGLE) and allows_alone(asked, known)
    )
    return frozenset(arithmetic.inputs for arithmetic in found) if len(asked.alone) else frozenset()


def nothing_lost(asked: Terms) -> bool:
    """Did a number too small for float32 survive beside the same two large ones in all three places of a filter?

    A single answer may be float32's, if the large ones were added first. Not all three, in whatever order. Asked only where
    every answer allows float64.
    """
    products = asked.x.astype(np.float64) * asked.weight
    small = np.abs(products).argmin(axis=1)
    rest = products.sum(axis=1)
    survived = (asked.got == rest) & (rest != 0) & (np.abs(products).max(axis=1) > 2.0**26 * np.abs(rest))
    kinds = np.unique(np.stack([asked.place[1], small], axis=1)[survived], axis=0)
    return bool((np.bincount(kinds[:, 0]) == 3).any()) if len(kinds) else False


def simplest(asked: Terms, candidates: Iterable[Arithmetic]) -> tuple[Arithmetic, ...]:
    """Those that are allowed; one that truncates, or rounds ties away, only where the same would not do that does not."""
    return simplest_of(candidates, lambda candidate: allows(asked, candidate))


def simplest_of(candidates: Iterable[Arithmetic], allowed: Callable[[Arithmetic], bool]) -> tuple[Arithmetic, ...]:
    """Those that are allowed, as in `simplest`."""
    found = [candidate for candidate in candidates if allowed(candidate)]
    return tuple(candidate for candidate in found if not any(other in found for other in nearer(candidate)))


def nearer(candidate: Arithmetic) -> Iterator[Arithmetic]:
    """The same with a format replaced by the one of its width that rounds to nearest, ties to even: in a place or both inputs."""
    for places in (("activations",), ("weights",), ("activations", "weights"), ("accumulator",), ("result",)):
        near = {place: precision.NEAREST.get(getattr(candidate, place)) for place in places}
        if None not in near.values():
            yield replace(candidate, **near)  # type: ignore[arg-type]


def unlike(asked: Terms) -> str:
    """The answer that is farthest from float32's, for a message."""
    exact = (asked.x.astype(np.float64) * asked.weight).sum(axis=1)
    wrong = ~precision.possible(asked.x, asked.weight, asked.got, replace(PLAIN, fused=True))
    with np.errstate(invalid="ignore"):
        size = np.abs(asked.x.astype(np.float64) * asked.weight).sum(axis=1)
        off = np.where(wrong, np.abs(asked.got - exact) / np.maximum(size, 2.0**-126), -1)
    worst = int(np.nan_to_num(off, nan=np.inf).argmax())
    products = " + ".join(
        f"{x:.9g} * {w:.9g}" for x, w in zip(asked.x[worst], asked.weight[worst], strict=True) if x * w != 0
    )
    return f"{int(wrong.sum())} of {len(asked)} answers, as {asked.got[worst]:.9g} for {products or '0'}"
