"""Convolutions and means written by hand, in several steps that only together are a layer."""

from __future__ import annotations

import numpy as np
import pytest
from hand_graph import Hand, draw, weighted

from alexnet_parity.checks.audit.atoms import Unexplained
from alexnet_parity.reference import oracle
from alexnet_parity.reference.spec import Conv, Local, Pool

X = draw(0, 2, 3, 9, 12)


def patches(x: np.ndarray, layer: Conv | Local) -> np.ndarray:
    """(N, C K K, H' W'), as unfold gives them."""
    windows = oracle.windows_of(x, layer)
    n, c, h, w, k, _ = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k * k, h * w)


def unfolded(layer: Conv, order: str) -> Hand:
    """unfold, a product with the kernel as a matrix on one side or the other, a bias, a reshape."""
    hand = Hand(X, weighted([(layer, X.shape[1:])]))
    weight, bias = hand["param:c.weight"].reshape(layer.channels, -1), hand["param:c.bias"]
    _, h, w = layer.output(X.shape[1:])
    columns = hand.op("other", "x", patches(X, layer), "unfold")
    matrix = hand.op("reshape", "param:c.weight", weight, "flat")
    if order == "weight first":
        at = hand.op("other", (matrix, columns), weight @ hand[columns], "matmul")
        at = hand.op("add", (at, "param:c.bias"), hand[at] + bias[:, None], "bias")
    else:
        rows = hand.op("transpose", columns, hand[columns].transpose(0, 2, 1), "rows", perm=(0, 2, 1))
        at = hand.op("other", (rows, matrix), hand[rows] @ weight.T, "matmul")
        at = hand.op("add", (at, "param:c.bias"), hand[at] + bias, "bias")
        at = hand.op("transpose", at, hand[at].transpose(0, 2, 1), "back", perm=(0, 2, 1))
    hand.op("reshape", at, hand[at].reshape(2, layer.channels, h, w), "fold")
    return hand


@pytest.mark.parametrize("order", ["weight first", "patches first"])
@pytest.mark.parametrize("layer", [Conv("c", 5, 3), Conv("c", 5, 3, 2, (1, 1)), Conv("c", 4, 5, 2, (2, 2))], ids=str)
def test_a_convolution_of_patches_is_recovered(layer, order):
    (reading,) = unfolded(layer, order).merged()
    assert reading.layer == layer
    np.testing.assert_array_equal(reading.x, X)
    assert reading.origin == {"weight": "c.weight", "bias": "c.bias"}


def test_a_convolution_of_patches_with_one_wrong_number_is_not():
    hand = unfolded(Conv("c", 5, 3, 2, (1, 1)), "weight first")
    last = hand.operations[-1].outputs[0]
    hand.tensors[last][1, 3, 2, 4] += np.float32(0.1)
    assert any(isinstance(layer, Unexplained) for layer in hand.layers())


@pytest.mark.parametrize("layer", [Local("l", 4, 3), Local("l", 4, 3, 2, (1, 1))], ids=str)
def test_kernels_that_are_not_shared_are_recovered(layer):
    hand = Hand(X, weighted([(layer, X.shape[1:])]))
    weight = hand["param:l.weight"]
    _, h, w = layer.output(X.shape[1:])
    columns = hand.op("other", "x", patches(X, layer), "unfold")
    kernels = weight.reshape(4, h * w, -1)
    at = hand.op("other", (columns, "param:l.weight"), np.einsum("opk,nkp->nop", kernels, hand[columns]), "einsum")
    at = hand.op("reshape", at, hand[at].reshape(2, 4, h, w), "fold")
    hand.op("add", (at, "param:l.bias"), hand[at] + hand["param:l.bias"], "bias")
    (reading,) = hand.merged()
    assert reading.layer == layer


@pytest.mark.parametrize(
    "layer", [Pool("p", 3, 2, average=True), Pool("p", 3, 2, padding=(1, 1), average=True)], ids=str
)
def test_a_sum_divided_by_how_many_pixels_there_are_is_a_mean(layer):
    hand = Hand(X)
    sums = oracle.windows_of(X, layer).sum(axis=(4, 5))
    at = hand.op("other", "x", sums, "sum")
    hand.op("div", at, sums / oracle.window_counts(X.shape, layer), "div")
    (reading,) = hand.merged()
    assert (reading.layer.kernel, reading.layer.stride, reading.layer.average) == (3, 2, True)
    np.testing.assert_allclose(oracle.apply(reading.layer, {}, X), oracle.apply(layer, {}, X), rtol=1e-5, atol=1e-5)


def test_a_convolution_with_constants_is_no_layer_with_weights():
    """How patches are cut out, or sums taken, by hand."""
    hand = Hand(X)
    kernel = np.ones((3, 1, 3, 3), np.float32)
    hand.tensors["k"] = kernel
    layer = Conv("c", 3, 3, 2, groups=3)
    y = oracle.apply(layer, {"c.weight": kernel, "c.bias": np.zeros(3, np.float32)}, X)
    at = hand.op("conv", ("x", "k"), y, "c", {"x": 0, "weight": 1}, stride=(2, 2), weight_layout="OIHW")
    hand.op("div", at, y / np.float32(9), "div")
    (reading,) = hand.merged()
    assert reading.layer == Pool(reading.layer.name, 3, 2, average=True)
