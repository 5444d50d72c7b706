"""Top-k with ties, under the three rules, against every order of the classes that the probabilities allow."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from alexnet_parity.evaluate import ties
from alexnet_parity.reference import draws

# label 2 of (0.1, 0.3, 0.2, 0.2, 0.2): one above, two tied, none of them before it; label 4 has two before it.
TIED = np.array([0.1, 0.3, 0.2, 0.2, 0.2])


@pytest.mark.parametrize(
    "label, k, fractional, against, index",
    [
        (1, 1, 1, 1, 1),
        (2, 1, 0, 0, 0),
        (2, 2, Fraction(1, 3), 0, 1),
        (3, 2, Fraction(1, 3), 0, 0),
        (4, 3, Fraction(2, 3), 0, 0),
        (4, 4, 1, 1, 1),
        (0, 4, 0, 0, 0),
        (0, 5, 1, 1, 1),
    ],
)
def test_ties_by_hand(label, k, fractional, against, index):
    place = ties.place(TIED, label)
    assert place.credit(k, "fractional") == fractional
    assert place.credit(k, "against") == against
    assert place.credit(k, "index") == index


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_rules_follow_from_all_orders_that_the_probabilities_allow(k):
    """fractional: the share of the orders that have the label among the first k; against: all have it; index: the first."""
    for case in range(20):
        values = draws.integers(case, "ties", (6,), np.array([0, 1, 2]))
        orders = [o for o in itertools.permutations(range(6)) if all(np.diff(values[list(o)]) <= 0)]
        for label in range(6):
            right = [label in order[:k] for order in orders]
            place = ties.place(values, label)
            assert place.credit(k, "fractional") == Fraction(sum(right), len(right))
            assert place.credit(k, "against") == all(right)
            assert place.credit(k, "index") == (label in ties.order(values)[:k])


def test_without_ties_all_rules_are_one():
    values = draws.permutation(0, "no ties", 9).astype(float)
    for label, k in itertools.product(range(9), (1, 5)):
        assert len({ties.place(values, label).credit(k, rule) for rule in ties.RULES}) == 1


def test_a_network_that_says_nothing_gets_what_chance_gets():
    """All probabilities equal: 5 of 8 by shares, none if ties count against."""
    values = np.full(8, 1 / 8)
    shares = [ties.place(values, label).credit(5, "fractional") for label in range(8)]
    assert sum(shares) == 5
    assert sum(ties.place(values, label).credit(5, "against") for label in range(8)) == 0
    assert sum(ties.place(values, label).credit(5, "index") for label in range(8)) == 5


def test_every_rule_says_what_it_means_and_whose_it_is():
    assert ties.DEFAULT in ties.RULES
    assert "layer_kernels.cu" in ties.RULES["fractional"]
    assert "Caffe" in ties.RULES["against"]
