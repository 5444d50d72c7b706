"""Layers alone, in geometries that no variant has: uneven padding, cut windows, strides, groups, small maps."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference import oracle
from alexnet_parity.reference.spec import Conv, Dense, Flatten, Layer, Local, Lrn, Network, Pool, SpatialLrn

LAYERS: dict[str, tuple[Layer, tuple[int, ...]]] = {  # layer, maps: channels, height and width all different
    "a convolution that rounds up": (Conv("c", 5, 5, stride=3, ceil=True), (3, 9, 13)),
    "one that rounds up in its columns": (Conv("c", 5, 4, stride=3, ceil=True), (3, 7, 9)),
    "one that rounds up behind even padding": (Conv("c", 6, 5, stride=3, padding=(1, 1), ceil=True), (3, 9, 10)),
    "one that rounds up behind uneven padding": (Conv("c", 6, 5, stride=3, padding=(2, 1), ceil=True), (3, 9, 10)),
    "one whose padding no window reaches": (Conv("c", 5, 3, stride=4, padding=(0, 1)), (3, 11, 7)),
    "one in groups with uneven padding": (Conv("c", 6, 3, stride=2, padding=(0, 2), groups=2), (4, 7, 10)),
    "one that needs its padding to fit": (Conv("c", 5, 5, padding=(0, 3)), (2, 4, 3)),
    "one with more padding before": (Conv("c", 5, 4, stride=2, padding=(3, 0)), (2, 9, 6)),
    "a kernel at each position": (Local("l", 5, 3), (4, 6, 7)),
    "kernels at each position with uneven padding": (Local("l", 3, 4, stride=2, padding=(2, 1)), (5, 8, 11)),
    "kernels at each position with a stride": (Local("l", 5, 3, stride=3, padding=(1, 1)), (4, 6, 10)),
    "kernels at each position that need padding to fit": (Local("l", 5, 4, padding=(0, 2)), (2, 3, 6)),
    "normalisation within maps": (SpatialLrn("n", n=5, k=2.0, alpha=0.01), (3, 7, 11)),
    "normalisation within maps with an even n": (SpatialLrn("n", n=4, alpha=0.01, beta=0.5), (3, 7, 11)),
    "normalisation within maps smaller than its window": (SpatialLrn("n", n=9, alpha=0.01), (5, 3, 4)),
    "normalisation over nine maps in towers": (Lrn("n", n=9, alpha=0.01, towers=2), (14, 3, 5)),
    "normalisation over eleven maps": (Lrn("n", n=11, alpha=0.01), (13, 3, 5)),
    "normalisation over an even number of maps": (Lrn("n", n=4, alpha=0.01), (7, 3, 5)),
    "a maximum that rounds up": (Pool("p", 3, 2, ceil=True), (3, 10, 7)),
    "a maximum with a border after": (Pool("p", 3, 2, padding=(0, 1)), (3, 12, 6)),
    "a maximum with a border before": (Pool("p", 4, 3, padding=(2, 0)), (3, 8, 11)),
    "a maximum with an even border": (Pool("p", 3, 2, padding=(1, 1)), (3, 8, 11)),
    "a maximum with an even border, rounded up": (Pool("p", 3, 2, True, (1, 1)), (3, 10, 8)),
    "a maximum with an uneven border, rounded up": (Pool("p", 3, 2, True, (1, 0)), (3, 9, 6)),
    "a maximum with gaps, rounded up": (Pool("p", 2, 3, ceil=True), (4, 9, 7)),
    "a mean": (Pool("p", 3, 2, average=True), (3, 10, 7)),
    "a mean that rounds up": (Pool("p", 3, 2, ceil=True, average=True), (3, 10, 7)),
    "a mean over four that rounds up": (Pool("p", 4, 3, ceil=True, average=True), (3, 9, 12)),
    "a mean with an even border": (Pool("p", 3, 2, padding=(1, 1), average=True), (3, 8, 11)),
    "a mean with an even border, rounded up": (Pool("p", 3, 2, True, (1, 1), True), (3, 10, 8)),
    "a mean with an uneven border": (Pool("p", 3, 2, padding=(0, 1), average=True), (3, 8, 12)),
}
MAY_DECLINE = ("a mean with an uneven border",)


def judged(module, network: Network, values: dict[str, np.ndarray]) -> None:
    """Every output of an implementation against the oracle's for the same input, within the bound."""
    x = (50 * np.random.default_rng(9).standard_normal((2, *network.input_shape))).astype(np.float32)
    found = dict(module.build(network, values).activations(x))
    fed = x.astype(np.float64)
    for layer in network.layers:
        want = oracle.apply(layer, values, fed)
        outcome = compare.within(found[layer.name], want, bounds.local_tolerance(layer, values, fed, want))
        assert outcome.ok, outcome.got
        fed = found[layer.name].astype(np.float64)


def drawn(network: Network) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in network.param_shapes().items()}


@pytest.mark.parametrize("case", LAYERS)
def test_the_oracle_and_the_framework_agree_on(module, case):
    layer, shape = LAYERS[case]
    network = Network("odd", shape, (layer,))
    try:
        judged(module, network, drawn(network))
    except Unsupported:
        assert case in MAY_DECLINE


@pytest.mark.parametrize(("units", "groups"), [(6, 2), (9, 3), (6, 1)], ids=str)
def test_dense_groups_after_a_flattening_agree_with_the_oracle(module, units, groups):
    network = Network("odd", (4, 3, 5), (Flatten("f"), Dense("d", units, groups=groups), Dense("e", 7)))
    judged(module, network, drawn(network))


@pytest.mark.parametrize("case", [name for name, (layer, _) in LAYERS.items() if isinstance(layer, Pool)])
def test_a_pool_of_negative_numbers_never_sees_a_border(module, case):
    layer, shape = LAYERS[case]
    x = -1 - np.random.default_rng(2).random((2, *shape), dtype=np.float32)
    try:
        found = dict(module.build(Network("odd", shape, (layer,)), {}).activations(x))["p"]
    except Unsupported:
        assert case in MAY_DECLINE
        return
    assert found.min() >= -2
    assert found.max() <= -1


@pytest.mark.parametrize("case", ["a kernel at each position", "kernels at each position with uneven padding"])
def test_unshared_weights_are_read_back_as_given(module, case):
    layer, shape = LAYERS[case]
    network = Network("odd", shape, (layer,))
    values = drawn(network)
    held = module.build(network, values).params()
    assert sorted(held) == sorted(values)
    assert all(np.array_equal(held[name], values[name]) for name in values)
