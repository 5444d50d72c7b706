"""What a step is taken for: with what its operation says of itself, and from its numbers alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hand_graph import Hand, draw, weighted

from alexnet_parity.checks import bounds
from alexnet_parity.checks.audit.atoms import Dropped, Padded, Rounded, Same, Unexplained
from alexnet_parity.checks.audit.plain import as_dropout
from alexnet_parity.checks.audit.reading import judge
from alexnet_parity.checks.traps import half, mantissa
from alexnet_parity.reference import oracle
from alexnet_parity.reference.mistaken import (
    FUNCTIONS,
    ORDERS,
    Activation,
    AdaptivePool,
    Affine,
    BorderedConv,
    BorderedPool,
    ChannelNorm,
    Dilated,
    LogSoftmax,
    PaddedMean,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from alexnet_parity.reference.spec import Conv, Dense, Flatten, Layer, Lrn, Pool, Relu, Softmax, SpatialLrn

MAPS = draw(0, 2, 12, 11, 14)
POSITIVE = np.abs(MAPS)
ROWS = draw(1, 5, 37, spread=3.0)


def alone(layer: Layer, x: np.ndarray, kind: str = "other", **attributes) -> Layer:
    """What one operation that does just this is read as."""
    hand = Hand(x)
    hand.layer(layer, "x", kind, **attributes)
    (reading,) = hand.readings()
    return reading.layer


# Without hints --------------------------------------------------------------------------------------------------------

PLAIN = {
    "relu": (Relu("n"), MAPS),
    "relu of vectors": (Relu("n"), ROWS),
    "lrn": (Lrn("n"), POSITIVE),
    "lrn in towers": (Lrn("n", 3, 1.0, 1e-3, 0.5, towers=2), POSITIVE),
    "lrn within maps": (SpatialLrn("n", 3, 1.0, 1e-3, 0.75), POSITIVE),
    "lopsided lrn": (WindowLrn("n", 2, 1, 2.0, 1e-3), POSITIVE),
    "lrn that divides by what is there": (WindowLrn("n", 2, 2, 2.0, 1e-2, mean=True), POSITIVE),
    "lrn of absolute values": (WindowLrn("n", 2, 2, 2.0, 1e-2, plain=True), POSITIVE),
    "max pooling": (Pool("n", 3, 2), MAPS),
    "max pooling, padded": (Pool("n", 3, 2, padding=(1, 1)), MAPS),
    "max pooling 2 x 2": (Pool("n", 2, 2), MAPS),
    "max pooling 5 x 5": (Pool("n", 5, 3), MAPS),
    "mean pooling": (Pool("n", 3, 2, average=True), MAPS),
    "mean pooling, padded": (Pool("n", 3, 2, padding=(1, 1), average=True), MAPS),
    "mean pooling that counts the padding": (PaddedMean("n", 3, 2, 1), MAPS),
    "max pooling with borders": (BorderedPool("n", 3, 2, border=((1, 0), (0, 0))), MAPS),
    "a mean over everything": (AdaptivePool("n", 1), MAPS[:, :, :2, :3]),
    "adaptive mean": (AdaptivePool("n", 6), MAPS),
    "adaptive maximum": (AdaptivePool("n", 4, False), MAPS),
    "flatten": (Flatten("n"), MAPS),
    "softmax": (Softmax("n"), ROWS),
    "softmax over the batch": (SoftmaxOver("n", 0), ROWS),
    "log-softmax": (LogSoftmax("n"), ROWS),
    "affine": (Affine("n", (0.25,), (1.5,)), MAPS),
    "affine with a shift alone": (Affine("n", (1.0,), (-120.0,)), MAPS),
    "affine of three channels": (Affine("n", (0.25, 0.5, 2.0), (1.5, 0.0, -3.0)), MAPS[:, :3]),
    **{f"order {name}": (Reordered("n", name), MAPS) for name in ORDERS if name != "rows-columns"},
    "order rows-columns": (Reordered("n", "rows-columns"), MAPS[:, :, :, :11]),
    "order rows-columns of oblong maps": (Reordered("n", "rows-columns"), MAPS),
}
PLAIN |= {
    f"activation {f}": (
        Activation("n", f, 0.2 if f == "leaky_relu" else 1.0 if f == "elu" else 0.0),
        draw(3, 4, 7, 9, 5, spread=4.0),
    )
    for f in FUNCTIONS
}


def same_layer(found: Layer, want: Layer) -> bool:
    return type(found) is type(want) and dataclasses.replace(found, name="n") == want


@pytest.mark.parametrize(("layer", "x"), PLAIN.values(), ids=PLAIN)
def test_a_layer_is_read_off_its_numbers(layer, x):
    found = alone(layer, x)
    assert same_layer(found, layer), found


@pytest.mark.parametrize(("layer", "x"), PLAIN.values(), ids=PLAIN)
def test_what_is_read_off_numbers_gives_these_numbers(layer, x):
    """Whatever it is called, it never claims what it does not do."""
    found = alone(layer, x)
    if not isinstance(found, Unexplained | Same):
        want = oracle.apply(layer, {}, x.astype(np.float64))
        given = oracle.apply(found, {}, x.astype(np.float64))
        assert given.shape == want.shape
        np.testing.assert_allclose(given, want, rtol=2e-5, atol=2e-5 * np.abs(want).max())


# With hints -----------------------------------------------------------------------------------------------------------

THREE = {"kernel": (3, 3), "stride": (2, 2), "padding": ((0, 0), (0, 0))}
CONSTANTS = {"before": 2, "after": 2, "k": 2.0, "alpha": 1e-4, "beta": 0.75}
HINTED = {
    "relu": (Relu("n"), MAPS, "activation", {"function": "relu"}),
    "leaky relu": (Activation("n", "leaky_relu", 0.01), MAPS, "activation", {"function": "leaky_relu", "slope": 0.01}),
    "elu": (Activation("n", "elu", 1.0), MAPS / 9, "activation", {"function": "elu", "slope": 1.0}),
    "tanh": (Activation("n", "tanh"), MAPS / 9, "activation", {"function": "tanh"}),
    "lrn": (Lrn("n"), POSITIVE, "lrn", CONSTANTS),
    "lopsided lrn": (WindowLrn("n", 2, 1, 2.0, 1e-4), POSITIVE, "lrn", {**CONSTANTS, "after": 1}),
    "lrn with digits that a division left": (Lrn("n", 5, 2.0, 2e-5), POSITIVE, "lrn", {**CONSTANTS, "alpha": 1e-4 / 5}),
    "max pooling": (Pool("n", 3, 2), MAPS, "max_pool", THREE),
    "max pooling, rounded up": (Pool("n", 3, 2, True), MAPS, "max_pool", {**THREE, "ceil": True}),
    "mean pooling": (Pool("n", 3, 2, average=True), MAPS, "avg_pool", THREE),
    "mean that counts the padding": (
        PaddedMean("n", 3, 2, 1),
        MAPS,
        "avg_pool",
        {**THREE, "padding": ((1, 1), (1, 1))},
    ),
    "pooling with borders": (
        BorderedPool("n", 3, 2, border=((0, 1), (1, 0))),
        MAPS,
        "max_pool",
        {**THREE, "padding": ((0, 1), (1, 0))},
    ),
    "adaptive": (AdaptivePool("n", 6), MAPS, "adaptive_avg_pool", {"size": (6, 6)}),
    "softmax": (Softmax("n"), ROWS, "softmax", {"axis": 1}),
    "softmax over the batch": (SoftmaxOver("n", 0), ROWS, "softmax", {"axis": 0}),
    "log-softmax": (LogSoftmax("n"), ROWS, "log_softmax", {"axis": 1}),
}


@pytest.mark.parametrize(("layer", "x", "kind", "attributes"), HINTED.values(), ids=HINTED)
def test_a_layer_is_what_it_says(layer, x, kind, attributes):
    assert same_layer(alone(layer, x, kind, **attributes), layer)


@pytest.mark.parametrize(("layer", "x", "kind", "attributes"), HINTED.values(), ids=HINTED)
def test_one_number_changed_by_a_hundred_tolerances_is_not_passed_over(layer, x, kind, attributes):
    hand = Hand(x)
    y = oracle.apply(layer, {}, x)
    deep = x.astype(np.float64)
    want = oracle.apply(layer, {}, deep)
    size = bounds.local_tolerance(layer, {}, deep, want)
    place = np.unravel_index(int(np.abs(want).argmax()), want.shape)
    y[place] += np.float32(100 * max(size[place], abs(want[place]) * 2.0**-24))
    hand.op(kind, "x", y, "n", **attributes)
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained), reading.layer


def test_a_layer_that_says_it_is_another_is_read_by_its_numbers():
    assert same_layer(alone(Lrn("n"), POSITIVE, "lrn", before=2, after=2, k=1.0, alpha=1e-4, beta=0.75), Lrn("n"))
    assert same_layer(alone(Pool("n", 3, 2), MAPS, "max_pool", kernel=(2, 2), stride=(2, 2)), Pool("n", 3, 2))
    assert same_layer(alone(Activation("n", "tanh"), MAPS / 9, "activation", function="relu"), Activation("n", "tanh"))


# Slopes, scales, what floats do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.01, 0.1, 0.2, 1 / 3, 0.25, 11 / 48])
def test_the_slope_of_a_leaky_relu_is_recovered(slope):
    """11/48 is what torch's RReLU does at inference."""
    found = alone(Activation("n", "leaky_relu", slope), MAPS)
    assert isinstance(found, Activation)
    assert found.function == "leaky_relu"
    assert found.slope == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("seed", range(40))
def test_any_scale_and_shift_of_an_image_is_recovered(seed):
    rng = np.random.default_rng(seed)
    scale, shift = 10 ** rng.uniform(-3, 1, 3), rng.normal(0, 2, 3)
    x = np.abs(draw(seed, 2, 3, 9, 13, spread=60.0))
    found = alone(Affine("n", tuple(scale), tuple(shift)), x)
    assert isinstance(found, Affine), found
    np.testing.assert_allclose(found.scale, scale, rtol=1e-4)
    np.testing.assert_allclose(found.shift, shift, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1 / 255, 2 / 255, 1 / 58.395, 1 / 127.5, 1 / 0.229, 1 / 57.375, math.pi])
def test_a_single_scale_is_recovered(scale):
    found = alone(Affine("n", (scale,), (0.0,)), MAPS)
    assert isinstance(found, Affine), found
    assert found.scale[0] == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_never_explained(bad):
    for kind, attributes in (("activation", {"function": "relu"}), ("other", {})):
        hand = Hand(MAPS)
        y = np.maximum(MAPS, 0)
        y[1, 2, 3, 4] = bad
        hand.op(kind, "x", y, "n", **attributes)
        (reading,) = hand.readings()
        assert isinstance(reading.layer, Unexplained)
        assert "not finite" in reading.layer.says


def test_the_same_numbers_are_no_layer_and_in_a_vector_a_flattening():
    hand = Hand(MAPS)
    same = hand.op("identity", "x", MAPS)
    flat = hand.op("other", same, MAPS.reshape(2, -1))
    hand.op("other", flat, MAPS.reshape(2, -1, 1, 1))
    assert [type(r.layer) for r in hand.readings()] == [Same, Flatten, Same]


def test_numbers_rounded_to_another_type_are_read_as_that():
    for to, rounded in {"float16": half, "bfloat16": mantissa(7), "tf32": mantissa(10)}.items():
        hand = Hand(MAPS * 1e-3)
        hand.op("cast", "x", rounded(hand["x"]), "n")
        (reading,) = hand.readings()
        assert isinstance(reading.layer, Rounded)
        assert reading.layer.to == to or {reading.layer.to, to} == {"float16", "tf32"}


def test_ten_bits_are_float16_where_they_are_stored_as_that():
    for dtype, to in ((np.float16, "float16"), (np.float32, "tf32")):
        hand = Hand(MAPS)
        hand.op("cast", "x", half(MAPS).astype(dtype), "n")
        (reading,) = hand.readings()
        assert reading.layer == Rounded("n", to=to)


def test_numbers_below_the_smallest_normal_one_are_no_difference():
    """What softplus gives far below zero: float32 has few digits for it."""
    x = np.abs(MAPS)
    x[0, :, 0] = np.float32(4.2e-44)
    assert same_layer(alone(Lrn("n"), x, "lrn", before=2, after=2, k=2.0, alpha=1e-4, beta=0.75), Lrn("n"))


def test_small_numbers_tell_float16_from_tf32():
    hand = Hand(MAPS * 1e-6)
    hand.op("cast", "x", mantissa(10)(hand["x"]), "n")
    (reading,) = hand.readings()
    assert reading.layer == Rounded("n", to="tf32")


# Zeros around the maps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", [((1, 1), (1, 1)), ((0, 1), (2, 0)), ((3, 2), (0, 1)), ((0, 0), (0, 4))])
@pytest.mark.parametrize("value", [0.0, 7.5])
def test_a_border_is_read_off_its_numbers(border, value):
    hand = Hand(MAPS)
    hand.op("other", "x", np.pad(MAPS, ((0, 0), (0, 0), *border), constant_values=value), "n")
    (reading,) = hand.readings()
    assert reading.layer == Padded("n", border=border, value=value)


def test_a_border_that_repeats_the_edge_is_not_explained():
    hand = Hand(MAPS)
    hand.op("pad", "x", np.pad(MAPS, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge"), "n")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


def test_a_border_of_minus_infinity_is_a_border():
    hand = Hand(MAPS)
    hand.op("pad", "x", np.pad(MAPS, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf), "n")
    (reading,) = hand.readings()
    assert reading.layer == Padded("n", border=((1, 1), (1, 1)), value=-np.inf)


# Dropout --------------------------------------------------------------------------------------------------------------


def kept(rate: float, shape: tuple[int, ...], seed: int = 5) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) >= rate).astype(np.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("scaled", [True, False])
def test_random_zeros_are_dropout_with_their_share_and_factor(rate, scaled):
    hand = Hand(np.maximum(MAPS, 0))
    scale = np.float32(1 / (1 - rate) if scaled else 1)
    hand.op("other", "x", hand["x"] * kept(rate, MAPS.shape) * scale, "n")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Dropped)
    assert reading.layer.scale == pytest.approx(scale, rel=1e-5)
    assert reading.layer.share == pytest.approx(rate, abs=0.05)
    assert not reading.layer.maps


def test_whole_maps_of_zeros_are_dropout_of_maps():
    hand = Hand(np.maximum(MAPS, 0))
    hand.op("other", "x", hand["x"] * kept(0.5, (2, 12, 1, 1)) * np.float32(2), "n")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Dropped)
    assert reading.layer.maps


@pytest.mark.parametrize("maps", [True, False])
def test_chance_is_never_taken_for_a_function_of_the_numbers(maps):
    """Maps of very different size, each dropped or kept whole: one draw for each map, not one for each pixel."""
    sizes = np.geomspace(1, 1000, 20).reshape(1, 20, 1, 1)
    x = sizes * np.random.default_rng(1).uniform(0.5, 1.5, (2, 20, 5, 7))
    for seed in range(200):
        mask = kept(0.5, (2, 20, 1, 1) if maps else x.shape, seed)
        found = as_dropout("n", x, x * mask * 2)
        assert found is not None, seed
        assert (found.scale, found.maps) == (2, maps)
        assert found.share == pytest.approx(1 - mask.mean())


@pytest.mark.parametrize("largest", [True, False])
def test_maps_that_their_size_decides_are_no_dropout(largest):
    """The ten largest maps kept, or the ten smallest: nothing random about it."""
    x = np.arange(1.0, 21).reshape(1, 20, 1, 1) * np.ones((2, 1, 5, 7))
    assert as_dropout("n", x, np.where((x > 10) == largest, x, 0)) is None


@pytest.mark.parametrize(
    "cut",
    [lambda x: np.where(x > 1, x, 0), lambda x: np.where(np.abs(x) > 2, x, 0), lambda x: np.where(x < 3, x, 0)],
    ids=["thresholded ReLU", "hard shrink", "cut above"],
)
def test_zeros_that_the_size_of_numbers_decides_are_no_dropout(cut):
    """nn.Threshold, keras' ThresholdedReLU, nn.Hardshrink: as a function of x, not at random."""
    hand = Hand(MAPS)
    hand.op("activation", "x", cut(MAPS).astype(np.float32), "n", function="threshold")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained), reading.layer


def test_relu_is_no_dropout_and_two_factors_are_none():
    hand = Hand(MAPS)
    hand.op("other", "x", np.maximum(MAPS, 0), "n")
    assert [type(r.layer) for r in hand.readings()] == [Relu]
    hand = Hand(np.abs(MAPS))
    mask = kept(0.5, MAPS.shape)
    mask[:, 1] *= 3
    hand.op("other", "x", hand["x"] * mask, "n")
    assert [type(r.layer) for r in hand.readings()] == [Unexplained]


# Per channel ----------------------------------------------------------------------------------------------------------


def normed(x: np.ndarray, given: dict[str, np.ndarray]) -> np.ndarray:
    wide = (1, -1, *(1 for _ in x.shape[2:]))
    gamma, beta, mean, variance = (given[n].reshape(wide) for n in ("gamma", "beta", "mean", "variance"))
    return (x - mean) / np.sqrt(variance + np.float32(1e-5)) * gamma + beta


STATISTICS = {
    "gamma": 1 + 0.1 * draw(6, 12, spread=1.0),
    "beta": draw(7, 12, spread=1.0),
    "mean": draw(8, 12, spread=5.0),
    "variance": 1 + draw(9, 12, spread=1.0) ** 2,
}


@pytest.mark.parametrize("hinted", [True, False])
@pytest.mark.parametrize("rows", [False, True], ids=["maps", "vectors"])
def test_batch_normalisation_is_a_factor_and_a_shift_for_each_channel(hinted, rows):
    x = draw(10, 9, 12) if rows else MAPS
    hand = Hand(x, STATISTICS)
    inputs = ("x", *(f"param:{name}" for name in STATISTICS))
    roles = {"x": 0, "weight": 1, "bias": 2, "mean": 3, "variance": 4}
    hand.op("batch_norm" if hinted else "other", inputs, normed(x, STATISTICS), "n", roles if hinted else {})
    (reading,) = hand.readings()
    assert isinstance(reading.layer, ChannelNorm), reading.layer
    want = STATISTICS["gamma"] / np.sqrt(STATISTICS["variance"] + 1e-5)
    np.testing.assert_allclose(reading.params["n.weight"], want, rtol=1e-4)


def test_a_vector_added_to_the_channels_is_a_bias():
    hand = Hand(MAPS, {"b": draw(11, 12)})
    hand.op("add", ("x", "param:b"), MAPS + hand["param:b"][:, None, None], "n", {"bias": 1})
    (reading,) = hand.readings()
    assert reading.layer.kind == "bias"
    np.testing.assert_array_equal(reading.params["n.bias"], hand["param:b"])


def test_a_vector_added_along_the_columns_is_no_bias():
    """As many columns as maps: what NCHW and a bias at the end of the axes do."""
    x = MAPS[:, :, :, :12]
    hand = Hand(x, {"b": draw(11, 12)})
    hand.op("add", ("x", "param:b"), x + hand["param:b"], "n", {"bias": 1})
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


def test_a_vector_added_twice_at_once_is_no_bias():
    hand = Hand(MAPS, {"b": draw(11, 12)})
    hand.op("add", ("x", "param:b"), MAPS + 2 * hand["param:b"][:, None, None], "n", {"bias": 1}, alpha=2)
    (reading,) = hand.readings()
    assert reading.layer.kind != "bias"


# Layers with weights --------------------------------------------------------------------------------------------------

AFFINE = {
    "conv": (Conv("c", 8, 3, 2, (1, 1)), (4, 9, 12)),
    "conv in groups": (Conv("c", 8, 3, 1, (1, 2), groups=2), (4, 9, 12)),
    "dilated": (Dilated("c", 8, 3, 1, (2, 2), dilation=2), (4, 9, 12)),
    "bordered": (BorderedConv("c", 8, 3, 2, border=((0, 1), (1, 2))), (4, 9, 12)),
    "dense": (Dense("c", 10), (14,)),
    "dense in groups": (Dense("c", 10, groups=2), (14,)),
}


@pytest.mark.parametrize(("layer", "shape"), AFFINE.values(), ids=AFFINE)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_with_weights_is_recovered_with_them(layer, shape, bias):
    hand = Hand(draw(12, 3, *shape), weighted([(layer, shape)]))
    hand.affine(layer, "x", bias=None if bias else "")
    (reading,) = hand.readings()
    assert reading.layer == layer
    assert reading.origin == {"weight": "c.weight", "bias": "c.bias" if bias else ""}
    assert reading.quirks == ()
    assert 0 < reading.share <= 1


@pytest.mark.parametrize(("layer", "shape"), AFFINE.values(), ids=AFFINE)
def test_one_weight_that_is_not_what_was_used_is_seen(layer, shape):
    hand = Hand(draw(12, 3, *shape), weighted([(layer, shape)]))
    hand.affine(layer, "x")
    place = np.unravel_index(int(np.abs(hand.params["c.weight"]).argmax()), hand.params["c.weight"].shape)
    hand.params["c.weight"][place] *= np.float32(1.01)
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


@pytest.mark.parametrize(
    ("trick", "change"),
    {
        "kernels-flipped": lambda w: w[..., ::-1, ::-1],
        "kernels-transposed": lambda w: w.swapaxes(2, 3),
        "towers-swapped": lambda w: np.roll(w, len(w) // 2, axis=0),
        "bgr": lambda w: w[:, ::-1],
        "weights-tf32": mantissa(10),
        "weights-bfloat16": mantissa(7),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("recorded", [True, False])
def test_weights_that_are_used_otherwise_are_named(trick, change, recorded):
    """Recorded: the change is an operation. Not recorded: only what the layer gave shows it."""
    groups = 2 if trick == "towers-swapped" else 1
    layer = Conv("c", 8, 5, 2, groups=groups)
    shape = (3 * groups, 13, 11)
    hand = Hand(draw(12, 2, *shape), weighted([(layer, shape)]))
    used = np.ascontiguousarray(change(hand["param:c.weight"]))
    changed = hand.op("other", "param:c.weight", used, "changed")
    hand.affine(layer, "x", changed)
    if not recorded:
        (op,) = [op for op in hand.operations if op.name == "c"]
        inputs = tuple("param:c.weight" if t == changed else t for t in op.inputs)
        hand.operations = [dataclasses.replace(op, inputs=inputs)]
    (reading,) = hand.readings()
    assert reading.layer == layer
    assert reading.quirks == (trick,)


def test_a_square_matrix_used_transposed_is_named():
    layer = Dense("c", 14)
    hand = Hand(draw(12, 3, 14), weighted([(layer, (14,))]))
    changed = hand.op("transpose", "param:c.weight", hand["param:c.weight"].T, "changed", perm=(1, 0))
    hand.affine(layer, "x", changed)
    (reading,) = hand.readings()
    assert reading.quirks in ((), ("dense-transposed",))  # a matrix stored the other way round is nobody's mistake
    direct = Hand(draw(12, 3, 14), {**hand.params})
    y = direct["x"] @ direct["param:c.weight"] + direct["param:c.bias"]
    direct.op(
        "dense", ("x", "param:c.weight", "param:c.bias"), y, "c", {"x": 0, "weight": 1, "bias": 2}, weight_layout="OI"
    )
    (reading,) = direct.readings()
    assert reading.quirks == ("dense-transposed",)


def test_two_mistakes_in_one_weight_are_both_named():
    layer = Conv("c", 8, 5, 2)
    hand = Hand(draw(12, 2, 3, 13, 11), weighted([(layer, (3, 13, 11))]))
    flipped = hand.op("flip", "param:c.weight", hand["param:c.weight"][..., ::-1, ::-1], "flip")
    turned = hand.op("flip", flipped, hand[flipped][:, ::-1], "bgr")
    hand.affine(layer, "x", turned)
    (reading,) = hand.readings()
    assert set(reading.quirks) == {"kernels-flipped", "bgr"}


def test_a_weight_computed_in_another_way_is_said_to_be():
    layer = Conv("c", 8, 3)
    hand = Hand(draw(12, 2, 3, 9, 11), weighted([(layer, (3, 9, 11))]))
    scaled = hand.op("mul", "param:c.weight", 1.5 * hand["param:c.weight"], "scaled")
    hand.affine(layer, "x", scaled)
    (reading,) = hand.readings()
    assert reading.quirks == ("weights-derived",)


def test_a_weight_in_another_order_of_axes_is_no_mistake():
    layer, given = Conv("c", 8, 3), weighted([(Conv("c", 8, 3), (4, 9, 11))])
    hand = Hand(draw(12, 2, 4, 9, 11), {"c.weight": given["c.weight"].transpose(2, 3, 1, 0), "c.bias": given["c.bias"]})
    turned = hand.op("transpose", "param:c.weight", given["c.weight"], "turn", perm=(3, 2, 0, 1))
    hand.affine(layer, "x", turned)
    (reading,) = hand.readings()
    assert (reading.layer, reading.quirks) == (layer, ())


def test_a_convolution_in_nhwc_with_hwio_kernels_is_the_same_layer():
    layer, given = Conv("c", 8, 3, 2), weighted([(Conv("c", 8, 3, 2), (4, 9, 12))])
    x = draw(12, 2, 4, 9, 12)
    hand = Hand(x.transpose(0, 2, 3, 1), {**given, "c.weight": given["c.weight"].transpose(2, 3, 1, 0)}, "NHWC")
    y = oracle.apply(layer, given, x).transpose(0, 2, 3, 1)
    hand.op("conv", ("x", "param:c.weight", "param:c.bias"), y, "c", {"x": 0, "weight": 1, "bias": 2},
            stride=(2, 2), padding=((0, 0), (0, 0)), weight_layout="HWIO", layout="NHWC")  # fmt: skip
    (reading,) = hand.readings()
    assert reading.layer == layer
    np.testing.assert_array_equal(reading.x, x)
    np.testing.assert_array_equal(reading.params["c.weight"], given["c.weight"])


def test_layers_that_run_in_half_precision_are_named_by_it():
    layer, shape = Dense("c", 10), (300,)
    given = weighted([(layer, shape)])
    for name, rounded in (("float16", half), ("bfloat16", mantissa(7))):
        hand = Hand(rounded(draw(12, 3, 300, spread=1.0)), {key: rounded(value) for key, value in given.items()})
        at = hand.affine(layer, "x")
        hand.tensors[at] = rounded(hand[at])
        hand.dtypes[at] = name
        (reading,) = hand.readings()
        assert reading.layer == layer
        assert reading.quirks == (name,)


def test_a_half_precision_layer_with_a_wrong_weight_is_still_seen():
    layer, given = Dense("c", 10), weighted([(Dense("c", 10), (300,))])
    hand = Hand(half(draw(12, 3, 300, spread=1.0)), {key: half(value) for key, value in given.items()})
    at = hand.affine(layer, "x")
    hand.tensors[at] = half(hand[at])
    hand.tensors[at][1, 2] += np.float32(2)
    hand.dtypes[at] = "float16"
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


def test_weights_that_depend_on_the_input_are_no_weights():
    x = draw(12, 4, 4)
    hand = Hand(x)
    hand.op("dense", ("x", "x"), x @ x.T, "c", {"x": 0, "weight": 1}, weight_layout="OI")
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


def test_a_wrong_stride_in_what_it_says_of_itself_is_seen_or_corrected():
    layer, shape = Conv("c", 8, 3, 2), (4, 9, 12)
    hand = Hand(draw(12, 3, *shape), weighted([(layer, shape)]))
    hand.affine(layer, "x", stride=(1, 1))
    (reading,) = hand.readings()
    assert isinstance(reading.layer, Unexplained)


def test_judging_never_broadcasts_and_never_passes_what_is_not_a_number():
    x = np.zeros((2, 3, 4, 5), np.float32)
    assert judge(Relu("r"), {}, x, x[:1]) is None
    assert judge(Relu("r"), {}, x, np.full_like(x, np.nan)) is None
    assert judge(Relu("r"), {}, x, x) == 0
    assert judge(Pool("p", 9, 1), {}, x, x) is None  # does not fit
    assert judge(Lrn("n", k=0.0), {}, x, x) is None  # 0 / 0
