"""Dropout by enumeration against masks written out and products taken naively."""

import itertools

import numpy as np
import pytest

from alexnet_parity.reference import draws, dropout, oracle


def test_masks_are_all_of_them_once():
    assert sorted(map(tuple, dropout.masks(3).tolist())) == sorted(itertools.product([0.0, 1.0], repeat=3))


def test_geometric_mean_by_hand():
    """Roots of 0.2 x 0.8 and 0.8 x 0.2 are equal; roots of 0.1 x 0.4 and 0.9 x 0.6 are 0.2 and 0.7348."""
    np.testing.assert_allclose(dropout.geometric_mean(np.array([[0.2, 0.8], [0.8, 0.2]])), [0.5, 0.5])
    root = np.sqrt(0.54)
    expected = [0.2 / (0.2 + root), root / (0.2 + root)]
    np.testing.assert_allclose(dropout.geometric_mean(np.array([[0.1, 0.9], [0.4, 0.6]])), expected, rtol=1e-14)


def small(name, *shape):
    return draws.normal(9, name, shape, 1.0).astype(float)


def test_one_layer_against_a_loop_over_masks():
    hidden, weight, bias = small("h", 4), small("w", 3, 4), small("b", 3)
    product = np.ones(3)
    for mask in itertools.product([0, 1], repeat=4):
        product *= oracle.softmax((weight @ (np.array(mask) * hidden) + bias)[None])[0]
    root = product ** (1 / 16)
    mean, halved = dropout.one_layer(hidden, weight, bias)
    np.testing.assert_allclose(mean, root / root.sum(), rtol=1e-12)
    np.testing.assert_allclose(halved, mean, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_two_layers_against_a_loop_over_pairs_of_masks(seed):
    hidden, first, second = small(f"{seed}h", 3), small(f"{seed}f", 2, 3), small(f"{seed}s", 4, 2)
    nets = []
    for outer in itertools.product([0, 1], repeat=3):
        middle = np.maximum(first @ (np.array(outer) * hidden), 0)
        nets += [
            oracle.softmax((second @ (np.array(inner) * middle))[None])[0]
            for inner in itertools.product([0, 1], repeat=2)
        ]
    root = np.prod(nets, axis=0) ** (1 / len(nets))
    mean, halved = dropout.two_layers(hidden, first, second)
    np.testing.assert_allclose(mean, root / root.sum(), rtol=1e-12)
    expected = oracle.softmax((second @ (0.5 * np.maximum(first @ (0.5 * hidden), 0)))[None])[0]
    np.testing.assert_allclose(halved, expected, rtol=1e-12)
