"""Response normalisation written by hand: its window and constants, read off what it took and gave.

With r = x / y = (k + alpha S)^beta and the right window, r^(1 / beta) is a straight line in the sum of squares S. For each window
that is met in the wild the exponent is searched for which the line is straightest; k and alpha are then its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from ...reference import oracle, variants
from ...reference.mistaken import WindowLrn
from ...reference.spec import Layer, Lrn, SpatialLrn

Array = np.ndarray

CENTRED = (5, 3, 11, 7, 9, 4, 2)
LOPSIDED = ((2, 1), (1, 2), (3, 1), (1, 3), (1, 0), (0, 1), (3, 2), (2, 3))
BETAS = (0.75, 0.5, 1.0, 0.25)
SAMPLE = 60  # columns of pixels, all maps of each, that the search looks at
FLAT = 1 + 1e-4  # by how much the denominator must vary for its constants to mean anything
STRAIGHT = 3e-6  # relative distance from the line that float32 leaves behind


def fitted_norms(name: str, x: Array, y: Array) -> Iterator[Layer]:
    """Normalisations that fit a sample; the caller proves them on everything."""
    if x.ndim != 4 or (np.sign(x) != np.sign(y)).mean() > 0.01:
        return
    yield from usual(name, x.shape[1])
    with np.errstate(all="ignore"):
        divided, multiplied = x / y, y / x
    if not np.isfinite(divided[x != 0]).all():
        return
    for ratio, found in ((divided, windows(name, x)), (multiplied, inverted(name))):
        for make, total in found:
            sums, ratios, used = sampled(x, total, ratio)
            if used and (fit := straightest(sums, ratios)):
                k, alpha, beta = fit
                if abs(k) < 1e-3 * alpha * float(sums.mean()):
                    yield make(0.0, nice(alpha), nice(beta))
                yield make(nice(k), nice(alpha), nice(beta))
                yield make(k, alpha, beta)


def usual(name: str, maps: int) -> Iterator[Layer]:
    """What variants have: where activations are small many constants fit, and these first."""
    for layer in known():
        if maps % layer.towers == 0:
            yield replace(layer, name=name)


@cache
def known() -> tuple[Lrn, ...]:
    networks = (variants.variant(name) for name in variants.names() if name.endswith("-thin"))
    found = (replace(layer, name="", source="") for net in networks for layer in net.layers if isinstance(layer, Lrn))
    return tuple(dict.fromkeys(found))


def inverted(name: str) -> Iterator[tuple[Make, Callable[[Array], Array]]]:
    """The power multiplies."""
    for n in (5, 3, 7, 9):
        shape = WindowLrn(name, n // 2, n // 2, inverted=True)
        yield (
            lambda k, a, b, s=shape: replace(s, k=k, alpha=a, beta=b),  # type: ignore[misc]
            lambda x, s=shape: s.window(x * x),  # type: ignore[misc]
        )


Make = Callable[[float, float, float], Layer]


def windows(name: str, x: Array) -> Iterator[tuple[Make, Callable[[Array], Array]]]:
    """(layer of these constants, its sum over the window) for each window; the sum takes x * x in float64."""
    maps = x.shape[1]
    for towers in (1, 2):
        if maps % towers == 0:
            for n in (5, 3, 11, 7, 9):
                yield across(name, n, towers)
    for before, after in LOPSIDED:
        for mean in (False, True):
            yield lopsided(name, before, after, mean, plain=False)
    for n in (5, 3):
        yield lopsided(name, n // 2, n // 2, mean=True, plain=False)
        yield lopsided(name, n // 2, n // 2, mean=False, plain=True)
    for n in (5, 3, 7, 9):
        yield within(name, n)


def across(name: str, n: int, towers: int) -> tuple[Make, Callable[[Array], Array]]:
    shape = Lrn(name, n, towers=towers)
    return (lambda k, a, b: Lrn(name, n, k, a, b, towers)), (lambda x: oracle.window_sum(x * x, shape))


def within(name: str, n: int) -> tuple[Make, Callable[[Array], Array]]:
    shape = SpatialLrn(name, n)
    return (lambda k, a, b: SpatialLrn(name, n, k, a, b)), (lambda x: oracle.window_sum(x * x, shape))


def lopsided(name: str, before: int, after: int, mean: bool, plain: bool) -> tuple[Make, Callable[[Array], Array]]:
    shape = WindowLrn(name, before, after, mean=mean, plain=plain)

    def total(x: Array) -> Array:
        sums = shape.window(np.abs(x) if plain else x * x)
        return sums / shape.window(np.ones_like(x)) if mean else sums

    return (lambda k, a, b: WindowLrn(name, before, after, k, a, b, mean=mean, plain=plain)), total


def sampled(x: Array, total: Callable[[Array], Array], ratio: Array) -> tuple[Array, Array, bool]:
    """S and r where x is large enough for r to be exact: of the first image, rows in the middle and at the edge."""
    rows = sorted({0, x.shape[2] // 2, x.shape[2] - 1})
    sums = total(x[:1].astype(np.float64))[:, :, rows]
    r, there = ratio[:1, :, rows].astype(np.float64), np.abs(x[:1, :, rows]) > 1e-3
    return sums[there], r[there], bool(there.sum() > 20)


def straightest(sums: Array, ratios: Array) -> tuple[float, float, float] | None:
    """(k, alpha, beta), or None where no exponent makes a line."""
    if not (ratios > 0).all():
        return None
    weights = sums - sums.mean()
    if not np.square(weights).sum() > 0:
        return None

    def residual(beta: float) -> float:
        k, alpha = ends(sums, ratios ** (1 / beta))
        inside = k + alpha * sums
        if not (inside > 0).all():
            return np.inf
        if inside.max() <= inside.min() * FLAT:
            return np.inf  # a constant factor, which the sum has no part in
        return float(np.max(np.abs(inside**beta / ratios - 1)))

    best = min(BETAS, key=residual)
    if residual(best) > STRAIGHT:
        best = searched(residual, 0.1, 2.5)
    if residual(best) > STRAIGHT:
        return None
    k, alpha = ends(sums, ratios ** (1 / best))
    return (k, alpha, best) if alpha > 0 else None


def ends(sums: Array, values: Array) -> tuple[float, float]:
    """k and alpha of values = k + alpha * sums, by least squares relative to the values."""
    rows = np.stack([1 / values, sums / values], axis=1)
    scale = np.abs(rows).max(axis=0)
    k, alpha = np.linalg.lstsq(rows / scale, np.ones_like(values), rcond=None)[0] / scale
    return float(k), float(alpha)


def searched(residual: Callable[[float], float], low: float, high: float) -> float:
    """The exponent of the smallest residual: a grid, then golden sections around its best point."""
    grid = np.linspace(low, high, 25)
    best = int(np.argmin([residual(float(beta)) for beta in grid]))
    low, high = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    golden = (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if residual(left) < residual(right):
            high = right
        else:
            low = left
    return (low + high) / 2


def nice(value: float) -> float:
    """Rounded to three digits: what a person will have written."""
    return float(f"{value:.3g}")
