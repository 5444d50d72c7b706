"""The update rules against two steps worked by hand, and against one another."""

import numpy as np
import pytest

from alexnet_parity.reference import update_rules
from alexnet_parity.reference.update_rules import caffe, cuda_convnet, descend, paper, torch

RULES = [paper, cuda_convnet, caffe, torch]


def two_steps(rule):
    """Weight 2, gradients 3 and 5, rates 0.1 and 0.01."""
    gradients = iter([3.0, 5.0])
    return descend(rule, np.array([2.0]), lambda _: np.array([next(gradients)]), [0.1, 0.01])[:, 0]


# Step 1: v = -0.0005 x 0.1 x 2 - 0.1 x 3 = -0.3001; w = 1.6999.
# Step 2, rate inside v: v = 0.9 x -0.3001 - 0.0005 x 0.01 x 1.6999 - 0.01 x 5 = -0.3200984995; w = 1.3798015005.
INSIDE = [1.6999, 1.3798015005]
# Step 2, rate outside: buffer = 0.9 x 3.001 + 5 + 0.0005 x 1.6999 = 7.70174995; w = 1.6999 - 0.0770174995.
OUTSIDE = [1.6999, 1.6228825005]


@pytest.mark.parametrize("rule", [paper, cuda_convnet, caffe], ids=["paper", "cuda-convnet", "caffe"])
def test_rate_inside_the_velocity(rule):
    np.testing.assert_allclose(two_steps(rule), INSIDE, rtol=0, atol=1e-14)


def test_rate_outside_the_velocity():
    np.testing.assert_allclose(two_steps(torch), OUTSIDE, rtol=0, atol=1e-14)


def valley(rates, rule):
    curvature, centre = np.array([0.3, 1.0, 1.7]), np.array([1.0, -2.0, 0.5])
    return descend(rule, np.zeros(3), lambda weight: curvature * (weight - centre), rates)


def test_all_agree_while_the_rate_is_constant():
    paths = [valley([0.05] * 50, rule) for rule in RULES]
    for path in paths[1:]:
        np.testing.assert_allclose(path, paths[0], rtol=0, atol=1e-14)


def test_only_torch_departs_when_the_rate_changes_and_only_from_there():
    rates = [0.05] * 25 + [0.005] * 25
    first, *others = (valley(rates, rule) for rule in RULES)
    for path in others[:2]:
        np.testing.assert_allclose(path, first, rtol=0, atol=1e-14)
    apart = np.abs(others[2] - first).max(axis=1)
    assert apart[:25].max() < 1e-14
    assert apart[25:].min() > 1e-3


def test_momentum_against_a_sum_over_all_gradients_before():
    """Without decay the velocity is the sum of rate x gradient x 0.9^age."""
    gradients = [1.0, -2.0, 4.0, 0.5]
    steps = iter(gradients)
    path = descend(paper, np.array([0.0]), lambda _: np.array([next(steps)]), [0.2] * 4)[:, 0]
    weight, expected = 0.0, []
    for last in range(4):
        decay = sum(0.0005 * 0.2 * ([0.0, *expected][age]) * 0.9 ** (last - age) for age in range(last + 1))
        weight -= sum(0.2 * gradients[age] * 0.9 ** (last - age) for age in range(last + 1)) + decay
        expected.append(weight)
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", RULES, ids=["paper", "cuda-convnet", "caffe", "torch"])
def test_decay_alone_shrinks_weights_by_rate_times_decay(rule):
    path = descend(rule, np.array([4.0, -8.0]), np.zeros_like, [0.1])
    np.testing.assert_allclose(path, [[4 * (1 - 5e-5), -8 * (1 - 5e-5)]], rtol=1e-15)


@pytest.mark.parametrize("rule", RULES, ids=["paper", "cuda-convnet", "caffe", "torch"])
def test_a_rule_leaves_its_arguments_alone(rule):
    weight, velocity, gradient = np.ones(3), np.full(3, 2.0), np.full(3, 5.0)
    rule(weight, velocity, gradient, 0.1)
    assert (weight.tolist(), velocity.tolist(), gradient.tolist()) == ([1] * 3, [2] * 3, [5] * 3)


def test_the_constants_are_section_5s():
    assert (update_rules.MOMENTUM, update_rules.DECAY) == (0.9, 0.0005)
