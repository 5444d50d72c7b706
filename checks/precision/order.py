"""The order of summation, as far as the order filters tell it (`reference/probe.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...reference.probe import SMALL, groups_of
from ...reference.spec import Layer
from .terms import Filters, answers, filters, filters_of, read

Array = np.ndarray
Pair = frozenset[int]

POSITIONS = 32  # of a map, at most: all sum alike


def split(layer: Layer, params: Mapping[str, Array], x: Array, got: Array) -> bool | None:
    """Summed in several partial sums? None where too few filters were asked, or their answers are no counts.

    Of an order filter's taps, those survive that are added outside the smallest subtree with both large numbers. The rest, at
    least two, is its size. Summed one after the other, into one accumulator, the size is the later one's place: two pairs that
    share no tap never have the same. Where they do, there were several accumulators.
    """
    _, many = filters(params[f"{layer.name}.weight"], layer.reduction(x.shape[1:]))
    if len(many.rows) < 2:
        return None
    sizes = list(subtrees(layer, many, x, got))
    if not sizes or any(found is None for found in sizes):
        return None
    return any(disjoint_alike(found) for found in sizes if found)


def subtrees(layer: Layer, many: Filters, x: Array, got: Array) -> Iterator[dict[Pair, int] | None]:
    """For each image of ones, group and position: the size of the subtree of each pair; None for an answer that is no count."""
    per_group = filters_of(layer, x.shape[1:]) // groups_of(layer)
    groups = many.rows // per_group
    large = np.argsort(-np.abs(many.weight), axis=1, kind="stable")[:, :2]
    pairs = [frozenset(map(int, taps)) for taps in np.take_along_axis(many.taps, large, axis=1)]
    total = many.taps.shape[1]
    for image in np.flatnonzero([(values == 1).all() for values in x]):
        whole = (read(layer, many, x, int(image)) == 1).all(axis=1)  # (rows, positions): nothing in the padding
        with np.errstate(invalid="ignore"):
            survived = answers(layer, many, got, int(image)).astype(np.float64) / SMALL
        for group in np.unique(groups):
            mine = groups == group
            for position in range(0, whole.shape[1], -(-whole.shape[1] // POSITIONS)):
                rows = np.flatnonzero(mine & whole[:, position])
                counts = survived[rows, position]
                if not np.all((counts == np.rint(counts)) & (counts >= 0) & (counts <= total - 2)):
                    yield None
                    return
                yield {pairs[row]: total - int(count) for row, count in zip(rows, counts, strict=True)}


def disjoint_alike(sizes: Mapping[Pair, int]) -> bool:
    """Do two pairs without a common tap have subtrees of the same size?"""
    of_size: dict[int, list[Pair]] = {}
    for pair, size in sizes.items():
        if any(not pair & other for other in of_size.get(size, [])):
            return True
        of_size.setdefault(size, []).append(pair)
    return False
