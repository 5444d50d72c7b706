"""The recording in the audit's own order of axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hand_graph import Hand, draw

from alexnet_parity.checks.audit.tape import canonical, own_layout

NCHW = draw(0, 2, 3, 5, 7)
NHWC = NCHW.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("layout", ["".join(p) for p in itertools.permutations("OIHW")])
def test_a_kernel_in_any_order_comes_back_as_it_was(layout):
    sizes = {"O": 2, "I": 3, "H": 5, "W": 7}
    stored = draw(1, *(sizes[axis] for axis in layout))
    usual = canonical(stored, layout)
    assert usual.shape == (2, 3, 5, 7)
    assert usual[1, 2, 4, 6] == stored[tuple({"O": 1, "I": 2, "H": 4, "W": 6}[axis] for axis in layout)]
    np.testing.assert_array_equal(own_layout(usual, layout), stored)


@pytest.mark.parametrize(("layout", "shape"), [("OI", (3, 5)), ("IO", (5, 3))])
def test_a_matrix_in_either_order_comes_back_as_it_was(layout, shape):
    stored = draw(1, *shape)
    usual = canonical(stored, layout)
    assert usual.shape == (3, 5)
    np.testing.assert_array_equal(own_layout(usual, layout), stored)


def test_a_weight_of_other_axes_than_said_is_left_as_it_is():
    stored = draw(1, 3, 5)
    np.testing.assert_array_equal(canonical(stored, "HWIO"), stored)


def test_maps_are_turned_by_what_the_graph_says():
    np.testing.assert_array_equal(Hand(NHWC, layout="NHWC").tape("x").array("x"), NCHW)
    np.testing.assert_array_equal(Hand(NCHW).tape("x").array("x"), NCHW)


def test_an_operation_says_what_it_takes_and_gives():
    hand = Hand(NHWC)  # the graph says NCHW, the first operation knows better
    y = hand.op("max_pool", "x", NHWC[:, ::2, ::2], layout="NHWC")
    np.testing.assert_array_equal(hand.tape().array("x"), NCHW)
    np.testing.assert_array_equal(hand.tape().array(y), NCHW[:, :, ::2, ::2])


def test_a_layout_is_handed_on_through_what_says_nothing():
    hand = Hand(NHWC, layout="NHWC")
    a = hand.op("other", "x", 2 * NHWC)
    b = hand.op("other", a, 3 * NHWC)
    np.testing.assert_array_equal(hand.tape().array(b), 3 * NCHW)


@pytest.mark.parametrize(("layout", "perm", "other"), [("NCHW", (0, 2, 3, 1), "NHWC"), ("NHWC", (0, 3, 1, 2), "NCHW")])
def test_a_transposition_changes_the_layout_and_not_the_maps(layout, perm, other):
    hand = Hand(NCHW if layout == "NCHW" else NHWC, layout=layout)
    a = hand.op("transpose", "x", hand["x"].transpose(perm), perm=perm)
    b = hand.op("other", a, 2 * hand[a])
    tape = hand.tape()
    assert tape.layouts[a] == tape.layouts[b] == other
    np.testing.assert_array_equal(tape.array(a), NCHW)
    np.testing.assert_array_equal(tape.array(b), 2 * NCHW)


def test_a_transposition_of_rows_and_columns_is_no_layout():
    hand = Hand(NCHW)
    a = hand.op("transpose", "x", NCHW.transpose(0, 1, 3, 2), perm=(0, 1, 3, 2))
    np.testing.assert_array_equal(hand.tape().array(a), NCHW.transpose(0, 1, 3, 2))


def test_there_and_back_is_where_it_began():
    hand = Hand(NCHW)
    a = hand.op("transpose", "x", NHWC, perm=(0, 2, 3, 1))
    b = hand.op("transpose", a, NCHW, perm=(0, 3, 1, 2))
    tape = hand.tape()
    assert (tape.layouts["x"], tape.layouts[a], tape.layouts[b]) == ("NCHW", "NHWC", "NCHW")
    assert hand.layers() == []


def test_what_is_made_of_parameters_knows_which():
    hand = Hand(NCHW, {"a": draw(1, 3), "b": draw(2, 3)})
    c = hand.op("add", ("param:a", "param:b"), hand["param:a"] + hand["param:b"])
    d = hand.op("mul", ("x", c), NCHW * hand[c][:, None, None])
    tape = hand.tape()
    assert tape.origins("param:a") == {"a"}
    assert tape.origins(c) == {"a", "b"}
    assert tape.origins(d) == tape.origins("x") == frozenset()
    assert d in tape.fed
    assert c not in tape.fed


def test_a_weight_computed_over_and_over_from_itself_is_looked_up_once():
    """Each step takes the last tensor twice: as many ways back as 2 to the power of the steps."""
    hand = Hand(NCHW, {"w": draw(1, 3)})
    at = "param:w"
    for _ in range(60):
        at = hand.op("add", (at, at), hand[at])
    tape = hand.tape()
    calls = []
    plain = type(tape).origins

    def counted(self, tensor):
        calls.append(tensor)
        if len(calls) > 10_000:
            raise AssertionError("the origins of a tensor are looked up again and again")
        return plain(self, tensor)

    type(tape).origins = counted
    try:
        assert tape.origins(at) == {"w"}
    finally:
        type(tape).origins = plain


def test_halves_and_integers_are_read_as_float32_and_named_by_their_own_type():
    hand = Hand(NCHW)
    a = hand.op("cast", "x", NCHW.astype(np.float16))
    b = hand.op("cast", "x", NCHW)
    hand.dtypes[b] = "bfloat16"
    tape = hand.tape(a, b)
    assert tape.array(a).dtype == np.float32
    assert (tape.dtype(a), tape.dtype(b), tape.dtype("x")) == ("float16", "bfloat16", "float32")


def test_unknown_tensors_are_known_to_be_so():
    hand = Hand(NCHW, {"a": draw(1, 3)})
    tape = hand.tape("x")
    assert tape.known("x")
    assert tape.known("param:a")
    assert not tape.known("param:b")
    assert not tape.known("t9")
    assert tape.axes("t9") == 0
