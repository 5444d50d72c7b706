"""Response normalisation read off what it took and gave: any window, any constants."""

from __future__ import annotations

import numpy as np
import pytest
from hand_graph import Hand, draw

from alexnet_parity.checks.audit.atoms import Unexplained
from alexnet_parity.checks.audit.lrn_fit import ends, fitted_norms, nice
from alexnet_parity.reference import oracle
from alexnet_parity.reference.mistaken import WindowLrn
from alexnet_parity.reference.spec import Layer, Lrn, SpatialLrn


def read(layer: Layer, x: np.ndarray) -> Layer:
    hand = Hand(x)
    hand.layer(layer, "x")
    (reading,) = hand.readings()
    return reading.layer


def posed(seed: int) -> tuple[Layer, np.ndarray]:
    """A window of any kind with any constants under which it does something, and what it is fed."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([3, 5, 7, 9]))
    k, beta = float(f"{rng.uniform(0.5, 4):.3g}"), float(f"{rng.uniform(0.3, 1.5):.3g}")
    x = np.abs(draw(seed, 2, 24, 3, 2, spread=20.0)) * (rng.random((2, 24, 3, 2)) > 0.3)
    alpha = float(f"{k * rng.uniform(0.3, 3) / (n * 400):.3g}")
    kind = seed % 4
    if kind == 0:
        return Lrn("n", n, k, alpha, beta), x.astype(np.float32)
    if kind == 1:
        return Lrn("n", min(n, 5), k, alpha, beta, towers=2), x.astype(np.float32)
    if kind == 2:
        return SpatialLrn("n", min(n, 5), k, alpha / n, beta), x.astype(np.float32)
    before, after = [(2, 1), (1, 2), (1, 0), (0, 1)][seed // 4 % 4]
    return WindowLrn("n", before, after, k, alpha, beta, mean=seed // 16 % 2 == 1), x.astype(np.float32)


@pytest.mark.parametrize("block", range(20))
def test_any_constants_are_recovered(block):
    for seed in range(10 * block, 10 * block + 10):
        layer, x = posed(seed)
        found = read(layer, x)
        assert type(found) is type(layer), (seed, layer, found)
        for name in ("n", "before", "after", "towers", "mean"):
            assert getattr(found, name, None) == getattr(layer, name, None), (seed, layer, found)
        for name in ("k", "alpha", "beta"):
            assert getattr(found, name) == pytest.approx(getattr(layer, name), rel=1e-3), (seed, layer, found)


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
def test_the_papers_own_is_recovered_exactly_at_activations_of(spread):
    """At 1 the sum hardly counts: no other constants may be claimed to be found."""
    x = np.abs(draw(3, 2, 24, 6, 8, spread=spread))
    found = read(Lrn("n"), x)
    if spread > 1:
        assert found == Lrn("n")
    else:
        want = oracle.apply(Lrn("n"), {}, x.astype(np.float64))
        np.testing.assert_allclose(oracle.apply(found, {}, x.astype(np.float64)), want, rtol=1e-5)


OTHERS = {
    "a random factor for each number": lambda x: x * np.random.default_rng(0).uniform(0.5, 1, x.shape),
    "division by the largest map": lambda x: x / (1 + x.max(axis=1, keepdims=True)),
    "division by the norm of all maps": lambda x: x / np.sqrt(1 + np.square(x).sum(axis=1, keepdims=True)),
    "cubes instead of squares": lambda x: x / (2 + 1e-5 * cubes(x)) ** 0.75,
    "a window that wraps around": lambda x: x / (2 + 1e-3 * wrapped(x)) ** 0.75,
    "k inside and a number outside": lambda x: x / ((1 + 1e-3 * np.square(x)) ** 0.75 + 0.1),
    "subtraction of the mean": lambda x: x - x.mean(axis=1, keepdims=True),
}


def cubes(x: np.ndarray) -> np.ndarray:
    return WindowLrn("n", 2, 2).window(np.abs(x) ** 3)


def wrapped(x: np.ndarray) -> np.ndarray:
    return sum(np.roll(np.square(x), shift, axis=1) for shift in range(-2, 3))


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_no_normalisation_is_refused(other):
    x = np.abs(draw(4, 2, 24, 6, 8, spread=20.0))
    y = other(x.astype(np.float64)).astype(np.float32)
    assert y.shape == x.shape
    hand = Hand(x)
    hand.op("other", "x", y, "n")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained), reading.layer


def test_an_inverted_power_is_recovered():
    layer = WindowLrn("n", 2, 2, 2.0, 1e-3, 0.75, inverted=True)
    found = read(layer, np.abs(draw(4, 2, 24, 6, 8, spread=20.0)))
    assert found == layer


def test_one_number_off_is_refused():
    x = np.abs(draw(5, 2, 24, 6, 8, spread=20.0))
    y = oracle.apply(Lrn("n", 5, 2.0, 1e-3), {}, x)
    y[1, 13, 3, 5] *= np.float32(1 + 2e-4)  # in the second image, that the search does not look at
    hand = Hand(x)
    hand.op("other", "x", y, "n")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained), reading.layer


@pytest.mark.parametrize("shape", [(2, 24), (2, 3, 6, 8), (2, 1, 6, 8)])
def test_odd_shapes_are_no_reason_to_break_off(shape):
    x = np.abs(draw(6, *shape, spread=20.0))
    list(fitted_norms("n", x, np.zeros_like(x)))
    list(fitted_norms("n", np.zeros_like(x), x))
    list(fitted_norms("n", x, -x))
    assert list(fitted_norms("n", x, np.sin(x))) == []


def test_the_ends_of_a_line_by_hand():
    sums = np.array([0.0, 1.0, 2.0, 10.0])
    assert ends(sums, 3 + 0.5 * sums) == pytest.approx((3, 0.5), rel=1e-12)


def test_three_digits_are_what_a_person_writes():
    assert [nice(v) for v in (1.9999e-5, 0.74996, 2.0003, 0.3333333)] == [2e-5, 0.75, 2.0, 0.333]


@pytest.mark.parametrize("factor", [0.0171, 1 / 58.395, 3.1])
def test_a_constant_factor_is_no_normalisation(factor):
    """k alone explains it, with whatever alpha and beta: a line, but of no slope."""
    x = np.abs(draw(4, 2, 24, 6, 8, spread=20.0))
    y = (x.astype(np.float64) * factor).astype(np.float32)
    for layer in fitted_norms("n", x, y):
        assert layer.alpha > 0
    hand = Hand(x)
    hand.op("other", "x", y, "n")
    (reading,) = hand.readings()
    assert reading.layer.kind not in ("lrn", "windowlrn", "spatiallrn"), reading.layer
