"""LRN whose sum is carried along from map to map, as Caffe's loop does: right in formula, over the bound, and named."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare, real, traps
from alexnet_parity.checks.recording import BATCH, Event, Recording
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle
from alexnet_parity.reference.spec import Lrn, Network, Pool, Relu
from alexnet_parity.reference.stimuli import Stimulus

CAFFE = Lrn("norm1", k=1.0, alpha=1e-4 / 5)
TOWERS = Lrn("norm1", k=1.0, alpha=1e-4 / 5, towers=2)


def dazzling(towers: int = 1) -> np.ndarray:
    """One map a thousand times as bright as the others, early on in each tower: (2, 24, 3, 5)."""
    x = np.random.default_rng(3).standard_normal((2, 24, 3, 5)).astype(np.float32) * 100
    x[:, :: 24 // towers] *= 1000
    return x


def carried_along(x: np.ndarray, layer: Lrn, alpha: float) -> np.ndarray:
    """float32 throughout: the next square is added to what was there, the last one subtracted."""
    half, result = layer.n // 2, []
    for tower in np.split(x, layer.towers, axis=1):
        scaled = np.float32(alpha) * tower * tower
        padded = np.pad(scaled, ((0, 0), (half, half), (0, 0), (0, 0)))
        scale = np.float32(layer.k) + padded[:, : 2 * half].sum(axis=1)
        for i in range(tower.shape[1]):
            scale = scale + padded[:, i + 2 * half]
            result.append(x[:, len(result)] / scale ** np.float32(layer.beta))
            scale = scale - padded[:, i]
    return np.stack(result, axis=1)


@pytest.mark.parametrize("layer", [CAFFE, TOWERS], ids=["one tower", "two towers"])
def test_it_is_over_the_bound_within_its_own_and_named(layer):
    x = dazzling(layer.towers)
    got, want = carried_along(x, layer, layer.alpha), oracle.lrn(x.astype(np.float64), layer)
    assert got.dtype == np.float32
    assert not compare.within(got, want, bounds.local_tolerance(layer, {}, x.astype(np.float64), want)).ok
    assert compare.within(got, want, bounds.running_sum_tolerance(layer, x.astype(np.float64), want)).ok
    site = traps.Site(layer, x.shape[1:], x.shape[1:])
    assert traps.explain(site, {}, x.astype(np.float64), got).endswith("[lrn-running-sum]")


def test_a_wrong_constant_in_a_running_sum_is_not_excused():
    x = dazzling()
    got, want = carried_along(x, CAFFE, CAFFE.alpha * 1.01), oracle.lrn(x.astype(np.float64), CAFFE)
    assert not compare.within(got, want, bounds.running_sum_tolerance(CAFFE, x.astype(np.float64), want)).ok


def test_at_even_activations_it_keeps_to_the_ordinary_bound_for_a_few_maps():
    x = np.random.default_rng(4).standard_normal((2, 6, 3, 5)).astype(np.float32)
    got, want = carried_along(x, CAFFE, CAFFE.alpha), oracle.lrn(x.astype(np.float64), CAFFE)
    assert compare.within(got, want, bounds.local_tolerance(CAFFE, {}, x.astype(np.float64), want)).ok


# End to end -----------------------------------------------------------------------------------------------------------

NETWORK = Network("bright", (24, 3, 5), (CAFFE, Relu("relu1"), Pool("pool1", 3, 2)))


def chained(alpha: float) -> dict[str, str]:
    """Each layer's verdict by chain-large, with what explains it, of a network whose LRN carries its sum along."""
    x = dazzling()
    truth = Truth(Stimulus("large", NETWORK, {}, x))
    recording, fed = Recording("subject", NETWORK.name, "large"), carried_along(x, CAFFE, alpha)
    for layer in NETWORK.layers:
        fed = fed if layer is CAFFE else oracle.apply(layer, {}, fed)
        recording.take(Event("activation", BATCH, layer.name, array=fed))
    return {finding.layer: finding.hint or str(finding.status.value) for finding in real.chain(recording, truth)}


def test_end_to_end_it_is_named_at_each_layer_that_it_carries_over_the_bound():
    found = chained(CAFFE.alpha)
    assert found["norm1"].endswith("[lrn-running-sum]")
    assert found["pool1"].endswith("[lrn-running-sum]")


def test_end_to_end_a_wrong_constant_is_not_excused_by_it():
    assert set(chained(CAFFE.alpha * 1.01).values()) == {"FAIL"}
