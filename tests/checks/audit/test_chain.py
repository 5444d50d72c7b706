"""From a data-flow graph to a chain of steps."""

from __future__ import annotations

import numpy as np
import pytest
from hand_graph import Hand, draw, weighted

from alexnet_parity.checks.audit.atoms import Dropped, Unexplained
from alexnet_parity.checks.audit.chain import chain, output_of
from alexnet_parity.reference import oracle
from alexnet_parity.reference.mistaken import ChannelNorm, Reordered, WindowLrn
from alexnet_parity.reference.spec import Conv, Lrn, Pool, Relu

X = draw(0, 2, 8, 6, 7)


def ends(hand: Hand, *outputs: str) -> list[tuple[str, str]]:
    return [(s.x, s.y) for s in chain(hand.tape(*outputs))]


def names(hand: Hand, *outputs: str) -> list[list[str]]:
    return [[op.name for op in s.operations] for s in chain(hand.tape(*outputs))]


def doubled(hand: Hand, at: str, name: str) -> str:
    return hand.op("other", at, 2 * hand[at], name)


def test_a_line_is_cut_at_every_tensor():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = doubled(hand, a, "b")
    c = doubled(hand, b, "c")
    assert ends(hand) == [("x", a), (a, b), (b, c)]
    assert names(hand) == [["a"], ["b"], ["c"]]


def test_a_residual_is_not_cut_inside():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = doubled(hand, a, "b")
    c = doubled(hand, b, "c")
    d = hand.op("add", (c, a), hand[c] + hand[a], "sum")
    e = doubled(hand, d, "e")
    assert ends(hand) == [("x", a), (a, d), (d, e)]
    assert names(hand) == [["a"], ["b", "c", "sum"], ["e"]]


def test_the_input_itself_may_be_the_residual():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = hand.op("add", (a, "x"), hand[a] + hand["x"], "sum")
    assert ends(hand) == [("x", b)]


def test_a_tensor_used_twice_by_one_operation_is_one_use():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = hand.op("mul", (a, a), hand[a] ** 2, "square")
    assert ends(hand) == [("x", a), (a, b)]


def test_what_hangs_off_the_path_is_never_needed():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    doubled(hand, a, "looked at")
    b = doubled(hand, a, "b")
    doubled(hand, b, "afterwards")
    assert names(hand, b) == [["a"], ["b"]]


def test_constants_are_no_steps_and_do_not_carry_anything():
    hand = Hand(X, {"w": draw(1, 8)})
    half = hand.op("div", "param:w", hand["param:w"] / 2, "constant")
    a = doubled(hand, "x", "a")
    b = hand.op("add", (a, half), hand[a] + hand[half][:, None, None], "b")
    assert names(hand) == [["a"], ["b"]]
    assert ends(hand) == [("x", a), (a, b)]


def test_of_several_outputs_the_deepest_is_taken():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = doubled(hand, a, "b")
    c = doubled(hand, a, "auxiliary")
    tape = hand.tape(c, b, a)
    assert output_of(tape) == c  # as deep as b, and first
    d = doubled(hand, b, "d")
    assert output_of(hand.tape(a, c, d)) == d
    assert names(hand, a, c, d) == [["a"], ["b"], ["d"]]


def test_an_output_that_does_not_depend_on_the_input_is_none():
    hand = Hand(X, {"w": draw(1, 8)})
    a = hand.op("mul", "param:w", 2 * hand["param:w"], "a")
    assert output_of(hand.tape(a)) == ""
    b = doubled(hand, "x", "b")
    assert output_of(hand.tape(a, b)) == b


def test_in_place_operations_are_steps_under_new_names_of_their_tensor():
    hand = Hand(X)
    a = doubled(hand, "x", "a")
    b = hand.op("activation", a, np.maximum(hand[a], 0), "relu_", function="relu")
    c = doubled(hand, b, "c")
    assert ends(hand) == [("x", a), (a, b), (b, c)]
    np.testing.assert_array_equal(chain(hand.tape())[1].arrays(hand.tape())[0], 2 * X)


# Towers ---------------------------------------------------------------------------------------------------------------

CONV, NORM, POOL = Conv("c", 6, 3, padding=(1, 1)), Lrn("n", 5, 2.0, 0.01), Pool("p", 3, 2)


def half(layer: Conv, name: str) -> Conv:
    return Conv(name, layer.channels // 2, layer.kernel, layer.stride, layer.padding)


def params(shared: bool = False) -> dict[str, np.ndarray]:
    inputs = 8 if shared else 4
    return weighted([(half(CONV, name), (inputs, 6, 7)) for name in ("a", "b")])


def concat(hand: Hand, *tensors: str, axis: int = 1) -> str:
    return hand.op("concat", tensors, np.concatenate([hand[t] for t in tensors], axis=axis), "cat", axis=axis)


def tower(hand: Hand, at: str, name: str) -> str:
    at = hand.affine(half(CONV, name), at)
    at = hand.layer(Relu(f"{name}/relu"), at, "activation", function="relu")
    return hand.layer(POOL if name == "" else Pool(f"{name}/pool", 3, 2), at, "other")


def grouped(hand: Hand) -> Conv:
    return Conv("a", 6, 3, padding=(1, 1), groups=2)


@pytest.mark.parametrize("how", ["split", "slice"])
def test_two_towers_are_taken_in_step(how):
    hand = Hand(X, params())
    if how == "split":
        first, second = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    else:
        first, second = (hand.op("slice", "x", X[:, part], "slice") for part in (slice(4), slice(4, None)))
    y = concat(hand, tower(hand, first, "a"), tower(hand, second, "b"))
    readings = hand.merged(y)
    assert [r.layer for r in readings] == [grouped(hand), Relu("a/relu"), Pool("a/pool", 3, 2)]
    assert readings[0].params["a.weight"].shape == (6, 4, 3, 3)
    np.testing.assert_array_equal(readings[0].params["a.weight"][3:], hand["param:b.weight"])
    np.testing.assert_array_equal(readings[-1].y, hand[y])
    np.testing.assert_array_equal(readings[0].x, X)


def test_towers_that_share_their_input_are_one_layer_without_groups():
    hand = Hand(X, params(shared=True))
    y = concat(hand, tower(hand, "x", "a"), tower(hand, "x", "b"))
    readings = hand.merged(y)
    assert [r.layer for r in readings] == [Conv("a", 6, 3, padding=(1, 1)), Relu("a/relu"), Pool("a/pool", 3, 2)]
    assert readings[0].params["a.weight"].shape == (6, 8, 3, 3)
    np.testing.assert_array_equal(readings[0].x, X)


def test_a_normalisation_in_each_tower_has_towers():
    hand = Hand(X)
    parts = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    y = concat(hand, *(hand.layer(NORM, part) for part in parts))
    assert hand.layers(y) == [Lrn("n", 5, 2.0, 0.01, towers=2)]


def test_towers_whose_halves_are_exchanged_say_so():
    hand = Hand(X, params())
    first, second = hand.several("split", "x", [X[:, 4:], X[:, :4]], "split")
    y = concat(hand, tower(hand, first, "a"), tower(hand, second, "b"))
    order, *rest = hand.layers(y)
    assert isinstance(order, Reordered)
    assert order.order == "halves"
    assert rest[0] == grouped(hand)


def test_towers_that_read_every_second_map_say_so():
    hand = Hand(X, params())
    parts = [hand.op("slice", "x", X[:, part], "slice") for part in (slice(0, None, 2), slice(1, None, 2))]
    y = concat(hand, tower(hand, parts[0], "a"), tower(hand, parts[1], "b"))
    order, *rest = hand.layers(y)
    dealt = np.concatenate([X[:, ::2], X[:, 1::2]], axis=1)
    assert not isinstance(order, Conv)
    assert isinstance(order, Unexplained) or np.array_equal(oracle.apply(order, {}, X), dealt)
    assert rest[0] == grouped(hand)


def test_towers_inside_towers_are_as_many_groups():
    quarters = [Conv(name, 3, 3) for name in "abcd"]
    hand = Hand(X, weighted([(layer, (2, 6, 7)) for layer in quarters]))
    outer = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    ends_of = []
    for at, (first, second) in zip(outer, (quarters[:2], quarters[2:]), strict=True):
        inner = hand.several("split", at, [hand[at][:, :2], hand[at][:, 2:]], "inner")
        ends_of.append(concat(hand, hand.affine(first, inner[0]), hand.affine(second, inner[1])))
    y = concat(hand, *ends_of)
    (reading,) = hand.merged(y)
    assert reading.layer == Conv("a", 12, 3, groups=4)
    np.testing.assert_array_equal(reading.params["a.weight"][9:], hand["param:d.weight"])


def test_a_sum_of_towers_is_no_join_and_not_explained():
    hand = Hand(X, params())
    first, second = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    a, b = tower(hand, first, "a"), tower(hand, second, "b")
    y = hand.op("add", (a, b), hand[a] + hand[b], "sum")
    (reading,) = hand.readings(y)
    assert isinstance(reading.layer, Unexplained)


def test_towers_of_unequal_depth_are_not_explained():
    hand = Hand(X, params())
    first, second = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    a = hand.affine(half(CONV, "a"), first)
    b = hand.layer(Relu("r"), hand.affine(half(CONV, "b"), second), "activation", function="relu")
    (reading,) = hand.readings(concat(hand, a, b))
    assert isinstance(reading.layer, Unexplained)


def test_one_tower_put_twice_is_not_explained():
    hand = Hand(X, params())
    first = hand.op("slice", "x", X[:, :4], "slice")
    a = tower(hand, first, "a")
    *_, last = hand.readings(concat(hand, a, a))
    assert isinstance(last.layer, Unexplained)


@pytest.mark.parametrize("axis", [0, 2])
def test_towers_put_together_along_another_axis_are_not_passed_over(axis):
    """The next layer would be judged on maps that none of the towers gave."""
    hand = Hand(X, params())
    first, second = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    y = concat(hand, tower(hand, first, "a"), tower(hand, second, "b"), axis=axis)
    assert any(isinstance(layer, Unexplained) for layer in hand.layers(y))


def test_a_bias_added_in_each_tower_is_the_bias_of_both():
    """TensorFlow's way: tf.nn.conv2d and tf.nn.bias_add in each tower, then tf.concat."""
    given = params()
    hand = Hand(X, given)
    parts = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    sums = []
    for part, name in zip(parts, "ab", strict=True):
        at = hand.affine(half(CONV, name), part, bias="")
        bias = f"param:{name}.bias"
        sums.append(hand.op("add", (at, bias), hand[at] + hand[bias][:, None, None], f"{name}/add", {"bias": 1}))
    (reading,) = hand.merged(concat(hand, *sums))
    assert reading.layer == grouped(hand)
    np.testing.assert_array_equal(reading.params["a.bias"], np.concatenate([given["a.bias"], given["b.bias"]]))


@pytest.mark.parametrize("order", ["bgr", "halves", "as-if-hwc", "interleaved"])
def test_maps_reordered_within_each_tower_are_not_taken_for_an_order_of_all(order):
    hand = Hand(X)
    parts = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    y = concat(hand, *(hand.layer(Reordered("o", order), part) for part in parts))
    layers = [layer for layer in hand.layers(y) if not isinstance(layer, Unexplained)]
    for layer in layers:
        np.testing.assert_array_equal(oracle.apply(layer, {}, X), hand[y])


def test_a_lopsided_window_in_each_tower_is_not_taken_for_one_over_all():
    hand, layer = Hand(X), WindowLrn("n", 2, 1, 2.0, 0.01)
    parts = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    y = concat(hand, *(hand.layer(layer, part) for part in parts))
    (reading,) = hand.merged(y)
    if not isinstance(reading.layer, Unexplained):
        np.testing.assert_allclose(oracle.apply(reading.layer, {}, X.astype(np.float64)), hand[y], rtol=1e-5)


def test_what_towers_do_alike_to_a_shared_input_is_done_once():
    hand = Hand(X, params(shared=True))
    ends_of = []
    for name in "ab":
        at = hand.layer(Relu(f"{name}/first"), "x", "activation", function="relu")
        ends_of.append(hand.affine(half(CONV, name), at))
    layers = hand.layers(concat(hand, *ends_of))
    assert layers == [Relu("a/first"), Conv("a", 6, 3, padding=(1, 1))]


def test_dropout_in_each_tower_is_one_dropout():
    """As many numbers lost in each is chance: the share is that of both."""
    x = np.abs(X)
    kept = (np.random.default_rng(2).random(x.shape) > 0.5).astype(np.float32)
    hand = Hand(x)
    parts = hand.several("split", "x", [x[:, :4], x[:, 4:]], "split")
    masks = (kept[:, :4], kept[:, 4:])
    y = concat(hand, *(hand.op("dropout", p, 2 * hand[p] * m, rate=0.5) for p, m in zip(parts, masks, strict=True)))
    (reading,) = hand.readings(y)
    assert isinstance(reading.layer, Dropped), reading.layer
    assert reading.layer.scale == 2
    assert reading.layer.share == pytest.approx(1 - kept.mean())


def test_batch_normalisation_in_each_tower_is_one_of_all_channels():
    hand = Hand(X, {"w": draw(5, 8), "b": draw(6, 8)})
    parts = hand.several("split", "x", [X[:, :4], X[:, 4:]], "split")
    ends_of = []
    for part, of in zip(parts, (slice(4), slice(4, None)), strict=True):
        weight, bias = (hand[f"param:{name}"][of][:, None, None] for name in "wb")
        ends_of.append(hand.op("batch_norm", (part, "param:w", "param:b"), hand[part] * weight + bias))
    (reading,) = hand.readings(concat(hand, *ends_of))
    assert isinstance(reading.layer, ChannelNorm), reading.layer
    np.testing.assert_allclose(reading.params[f"{reading.layer.name}.weight"], hand["param:w"], rtol=1e-5)
    want = oracle.apply(reading.layer, reading.params, X.astype(np.float64))
    np.testing.assert_allclose(want, reading.y, rtol=1e-4, atol=1e-4)
