"""Paddings, biases, roundings and flattenings join the layers that they belong to."""

from __future__ import annotations

import numpy as np
import pytest
from hand_graph import Hand, draw, weighted

from alexnet_parity.checks.audit.atoms import Rounded, Unexplained
from alexnet_parity.checks.audit.facts import fields
from alexnet_parity.checks.traps import half, mantissa
from alexnet_parity.reference import oracle
from alexnet_parity.reference.mistaken import Affine, BorderedConv, BorderedPool, Dilated, PaddedMean, Reordered
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Pool, Relu

X = draw(0, 2, 4, 9, 12)


def padded(hand: Hand, at: str, border, value: float = 0.0) -> str:
    return hand.op("pad", at, np.pad(hand[at], ((0, 0), (0, 0), *border), constant_values=value), "pad")


def explains(reading) -> bool:
    """The merged layer is what it says on what it was fed."""
    want = oracle.apply(reading.layer, reading.params, reading.x.astype(np.float64))
    return want.shape == reading.y.shape and bool(
        np.allclose(want, reading.y, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    )


EVEN, UNEVEN = ((1, 2), (1, 2)), ((0, 1), (2, 1))


@pytest.mark.parametrize(
    ("border", "own", "want"),
    [
        (EVEN, (0, 0), Conv("c", 5, 3, 2, (1, 2))),
        (EVEN, (1, 1), Conv("c", 5, 3, 2, (2, 3))),
        (UNEVEN, (0, 0), BorderedConv("c", 5, 3, 2, border=((0, 1), (2, 1)))),
    ],
)
def test_zeros_before_a_convolution_are_its_padding(border, own, want):
    layer = Conv("c", 5, 3, 2, own)
    hand = Hand(X, weighted([(layer, (4, 12, 15))]))
    hand.affine(layer, padded(hand, "x", border))
    (reading,) = hand.merged()
    np.testing.assert_array_equal(reading.x, X)
    assert fields(reading.layer, X.shape[1:]) == fields(want, X.shape[1:])
    assert explains(reading)


def test_zeros_before_a_dilated_convolution_are_its_padding():
    layer = Dilated("c", 5, 3, dilation=2)
    hand = Hand(X, weighted([(layer, (4, 11, 14))]))
    hand.affine(layer, padded(hand, "x", ((2, 0), (2, 0))))
    (reading,) = hand.merged()
    assert reading.layer == Dilated("c", 5, 3, padding=(2, 0), dilation=2)
    assert explains(reading)


def test_other_numbers_than_zero_before_a_convolution_are_not():
    layer = Conv("c", 5, 3)
    hand = Hand(X, weighted([(layer, (4, 11, 14))]))
    hand.affine(layer, padded(hand, "x", ((1, 1), (1, 1)), 0.5))
    first, second = hand.layers()
    assert isinstance(first, Unexplained)
    assert second == layer


@pytest.mark.parametrize(
    ("x", "value", "joins"),
    [(X, -np.inf, True), (np.abs(X), 0.0, True), (X, 0.0, False), (np.abs(X), 1.0, False)],
    ids=["minus infinity", "zeros beside what is never negative", "zeros beside negative numbers", "ones"],
)
def test_a_border_before_max_pooling_is_its_padding_where_it_is_never_the_maximum(x, value, joins):
    hand = Hand(x)
    hand.layer(Pool("p", 3, 2), padded(hand, "x", ((1, 1), (1, 1)), value), "max_pool", kernel=(3, 3), stride=(2, 2))
    layers = hand.layers()
    if joins:
        (reading,) = hand.merged()
        assert fields(reading.layer, x.shape[1:]) == fields(Pool("p", 3, 2, padding=(1, 1)), x.shape[1:])
        assert explains(reading)
    else:
        assert isinstance(layers[0], Unexplained)
        assert layers[1] == Pool("p", 3, 2)


def test_an_uneven_border_before_max_pooling_is_its_own():
    hand = Hand(X)
    hand.layer(Pool("p", 3, 2), padded(hand, "x", UNEVEN, -np.inf), "max_pool", kernel=(3, 3), stride=(2, 2))
    (reading,) = hand.merged()
    assert isinstance(reading.layer, BorderedPool)
    assert explains(reading)


def test_zeros_before_a_mean_are_counted():
    hand = Hand(X)
    at = padded(hand, "x", ((1, 1), (1, 1)))
    hand.layer(Pool("p", 3, 2, average=True), at, "avg_pool", kernel=(3, 3), stride=(2, 2))
    (reading,) = hand.merged()
    assert reading.layer == PaddedMean("p", 3, 2, 1)
    assert explains(reading)


def test_zeros_before_anything_else_stand_for_themselves():
    hand = Hand(X)
    hand.layer(Relu("r"), padded(hand, "x", ((1, 1), (1, 1))), "activation", function="relu")
    first, second = hand.layers()
    assert isinstance(first, Unexplained)
    assert second == Relu("r")


def test_zeros_at_the_very_end_are_not_lost():
    hand = Hand(X)
    padded(hand, hand.layer(Relu("r"), "x", "activation", function="relu"), ((1, 1), (1, 1)))
    first, second = hand.layers()
    assert first == Relu("r")
    assert isinstance(second, Unexplained)


def test_zeros_that_no_window_reaches_are_no_difference():
    """One row and one column of four more than windows of stride 4 use: as no padding there."""
    shape = (4, 9, 12)
    assert fields(BorderedConv("c", 5, 3, 4, border=((0, 1), (0, 2))), shape) == fields(Conv("c", 5, 3, 4), shape)


# Biases ---------------------------------------------------------------------------------------------------------------


def biased(own: bool, times: int) -> Hand:
    layer = Conv("c", 5, 3)
    hand = Hand(X, weighted([(layer, (4, 9, 12))]))
    at = hand.affine(layer, "x", bias=None if own else "")
    for _ in range(times):
        at = hand.op("add", (at, "param:c.bias"), hand[at] + hand["param:c.bias"][:, None, None], "", {"bias": 1})
    return hand


def test_a_bias_added_by_itself_is_the_layers():
    (reading,) = biased(own=False, times=1).merged()
    assert reading.layer == Conv("c", 5, 3)
    assert reading.origin == {"weight": "c.weight", "bias": "c.bias"}
    assert reading.quirks == ()
    assert explains(reading)


@pytest.mark.parametrize(("own", "times"), [(True, 1), (False, 2)])
def test_a_bias_added_twice_is_named(own, times):
    (reading,) = biased(own, times).merged()
    assert reading.quirks == ("bias-doubled",)
    assert explains(reading)


def test_a_bias_behind_a_padding_is_no_bias_of_the_layer_before_it():
    """What is around the maps is then the bias, not zero."""
    layer = Conv("c", 5, 3)
    hand = Hand(X, weighted([(layer, (4, 9, 12)), (Conv("d", 6, 3), (5, 9, 12))]))
    at = padded(hand, hand.affine(layer, "x", bias=""), ((1, 1), (1, 1)))
    at = hand.op("add", (at, "param:c.bias"), hand[at] + hand["param:c.bias"][:, None, None], "add", {"bias": 1})
    hand.affine(Conv("d", 6, 3), at)
    assert any(isinstance(found, Unexplained) for found in hand.layers())


def test_a_vector_added_behind_something_else_is_not_explained():
    hand = Hand(X, {"b": draw(1, 4)})
    at = hand.layer(Relu("r"), "x", "activation", function="relu")
    hand.op("add", (at, "param:b"), hand[at] + hand["param:b"][:, None, None], "add", {"bias": 1})
    first, second = hand.layers()
    assert first == Relu("r")
    assert isinstance(second, Unexplained | Affine)  # a shift of few channels is one of images too


# Flattening and convolutions over everything -----------------------------------------------------------------------------


def test_flattening_in_a_channels_last_graph_is_flattening():
    dense, x = Dense("d", 7), draw(1, 2, 4, 3, 5)
    given = weighted([(dense, (60,))])
    rows_first = np.arange(60).reshape(4, 3, 5).transpose(1, 2, 0).ravel()
    given["d.weight"] = given["d.weight"][:, rows_first]
    hand = Hand(x.transpose(0, 2, 3, 1), given, "NHWC")
    at = hand.op("reshape", "x", hand["x"].reshape(2, -1), "flatten")
    hand.affine(dense, at)
    first, second = hand.merged()
    assert first.layer == Flatten("flatten")
    np.testing.assert_array_equal(second.x, x.reshape(2, -1))
    np.testing.assert_array_equal(second.params["d.weight"][:, rows_first], given["d.weight"])
    assert explains(second)


def test_flattening_rows_first_where_channels_are_first_is_another_order():
    hand = Hand(draw(1, 2, 4, 3, 5))
    hand.layer(Reordered("f", "hwc"), "x", "reshape")
    assert hand.layers() == [Reordered("f", "hwc")]


@pytest.mark.parametrize("squeezed", [True, False])
def test_convolutions_over_all_that_is_left_are_dense_layers(squeezed):
    wide, one = Conv("c", 7, 6), Conv("d", 5, 1)
    hand = Hand(draw(1, 2, 4, 6, 6), weighted([(wide, (4, 6, 6)), (one, (7, 1, 1))]))
    at = hand.layer(Relu("r"), hand.affine(wide, "x"), "activation", function="relu")
    at = hand.affine(one, hand.op("dropout", at, hand[at], "drop", rate=0.5))
    if squeezed:
        hand.op("reshape", at, hand[at].reshape(2, 5), "squeeze")
    readings = hand.merged()
    assert [r.layer for r in readings] == [
        Flatten("c/flatten"),
        Dense("c", 7),
        Relu("r"),
        Dropout("drop", 0.5),
        Dense("d", 5),
    ]
    assert readings[1].params["c.weight"].shape == (7, 144)
    assert all(explains(r) for r in readings)


def test_a_grouped_convolution_over_everything_is_a_grouped_dense_layer():
    wide = Conv("c", 6, 3, groups=2)
    hand = Hand(draw(1, 2, 4, 3, 3), weighted([(wide, (4, 3, 3))]))
    hand.affine(wide, "x")
    flatten, dense = hand.merged()
    assert dense.layer == Dense("c", 6, groups=2)
    assert explains(flatten)
    assert explains(dense)


def test_a_padded_convolution_with_one_output_is_no_dense_layer():
    """3 x 3 over 3 x 3 maps, a border of one and a stride of four: its one window sees four pixels."""
    layer = Conv("c", 6, 3, 4, (1, 1))
    hand = Hand(draw(1, 2, 4, 3, 3), weighted([(layer, (4, 3, 3))]))
    hand.affine(layer, "x")
    assert all(explains(reading) for reading in hand.merged())


def test_a_convolution_that_is_not_over_everything_is_itself():
    layer = Conv("c", 6, 3)
    hand = Hand(draw(1, 2, 4, 3, 4), weighted([(layer, (4, 3, 4))]))
    hand.affine(layer, "x")
    assert hand.layers() == [layer]


# Roundings ------------------------------------------------------------------------------------------------------------

ROUNDED = {"float16": half, "bfloat16": mantissa(7), "tf32": mantissa(10)}


@pytest.mark.parametrize("to", ROUNDED)
@pytest.mark.parametrize("weights", [True, False])
def test_a_rounded_input_and_weight_are_that_precision(to, weights):
    layer = Dense("d", 7)
    hand = Hand(draw(1, 3, 40, spread=1.0), weighted([(layer, (40,))]))
    at = hand.op("cast", "x", ROUNDED[to](hand["x"]), "cast")
    weight = hand.op("cast", "param:d.weight", ROUNDED[to](hand["param:d.weight"]), "w") if weights else ""
    hand.affine(layer, at, weight)
    (reading,) = hand.merged()
    assert reading.layer == layer
    alike = {"tf32", "float16"} if to != "bfloat16" else {to}  # ten bits both, for numbers of this size
    (quirk,) = reading.quirks
    assert quirk in (alike if weights else {f"input-{name}" for name in alike})


def test_a_rounding_that_no_layer_follows_stands_for_itself():
    hand = Hand(draw(1, 3, 40, spread=1.0))
    at = hand.op("cast", "x", mantissa(7)(hand["x"]), "cast")
    hand.layer(Relu("r"), at, "activation", function="relu")
    assert hand.layers() == [Rounded("cast", to="bfloat16"), Relu("r")]
