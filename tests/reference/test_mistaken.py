"""The layers that only mistakes have: against numbers worked by hand, loops written from the definitions, and `math`."""

import dataclasses
import math

import numpy as np
import pytest

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
    Computed,
    Dilated,
    LogSoftmax,
    PaddedMean,
    RandomDropout,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from alexnet_parity.reference.spec import Conv, Layer, Lrn, Pool, borders

EXACT = {"rtol": 1e-12, "atol": 1e-13}
U = 2.0**-24


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def given(layer: Layer, x: np.ndarray, params: oracle.Params | None = None) -> np.ndarray:
    return oracle.apply(layer, params or {}, x)


# Activations ----------------------------------------------------------------------------------------------------------

BY_HAND = {
    "tanh": lambda v, _: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1),
    "sigmoid": lambda v, _: 1 / (1 + math.exp(-v)),
    "leaky_relu": lambda v, slope: v if v > 0 else slope * v,
    "elu": lambda v, slope: v if v > 0 else slope * (math.exp(v) - 1),
    "selu": lambda v, _: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * (math.exp(v) - 1)),
    "gelu": lambda v, _: v / 2 * math.erfc(-v / math.sqrt(2)),
    "gelu_tanh": lambda v, _: v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v * v * v))),
    "softplus": lambda v, _: math.log(1 + math.exp(v)),
    "relu6": lambda v, _: min(max(v, 0.0), 6.0),
    "silu": lambda v, _: v / (1 + math.exp(-v)),
    "abs": lambda v, _: v if v > 0 else -v,
    "softsign": lambda v, _: v / (1 + v) if v > 0 else v / (1 - v),
}
POINTS = [-30.0, -9.75, -6.0, -3.25, -1.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 0.75, 1.0, 2.5, 5.875, 6.125, 9.0, 30.0]


def test_every_function_has_a_formula_here():
    assert set(BY_HAND) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("slope", [0.2, 1.0])
def test_a_function_is_its_formula_at_each_point(name, slope):
    y = given(Activation("a", name, slope), np.array([POINTS, POINTS[::-1]]))
    want = [BY_HAND[name](v, slope) for v in POINTS]
    np.testing.assert_allclose(y, [want, want[::-1]], rtol=1e-9, atol=1e-12)  # 1 + tanh cancels: 1e-16 of 1


NEIGHBOURS = [("tanh", "sigmoid"), ("sigmoid", "tanh"), ("gelu", "gelu_tanh"), ("gelu_tanh", "gelu"), ("silu", "gelu")]
NEIGHBOURS += [("elu", "selu"), ("selu", "elu"), ("leaky_relu", "elu"), ("softplus", "silu"), ("relu6", "leaky_relu")]
NEIGHBOURS += [("softsign", "tanh"), ("abs", "leaky_relu")]


def used(layer: Computed, x: np.ndarray, got: np.ndarray, params: oracle.Params | None = None) -> float:
    """The largest share of the layer's own bound that `got` needs, for a float32 input x."""
    deep = x.astype(np.float64)
    want = given(layer, deep, params)
    bound = U * layer.rounding(params or {}, deep, want)
    assert bound.shape == want.shape
    assert (bound >= 0).all()
    error = np.abs(got.astype(np.float64) - want)
    assert error.shape == want.shape
    return float(np.max(np.divide(error, bound, out=np.where(error > 0, np.inf, 0.0), where=bound > 0)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0, 30.0])
def test_a_function_in_single_precision_keeps_to_its_bound(name, spread):
    x = (spread * draw(1, 3, 4, 23, 19)).astype(np.float32)
    layer = Activation("a", name, 0.2)
    assert given(layer, x).dtype == np.float32
    assert used(layer, x, given(layer, x)) <= 1


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "elu", "tanh"])
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_other_ways_to_write_a_function_in_single_precision_keep_to_its_bound(name, spread):
    """exp(x) - 1 is how TensorFlow's ELU is computed: what cancels near zero leaves an absolute error."""
    x, one = (spread * draw(2, 5, 701)).astype(np.float32), np.float32(1)
    with np.errstate(over="ignore"):
        ways = {
            "sigmoid": one / (one + np.exp(-x)),
            "silu": x / (one + np.exp(-x)),
            "softplus": np.log(one + np.exp(x)),
            "tanh": np.float32(2) / (one + np.exp(np.float32(-2) * x)) - one,
            "elu": np.where(x > 0, x, np.float32(0.2) * (np.exp(np.minimum(x, 0)) - one)),
        }
    assert ways[name].dtype == np.float32
    assert used(Activation("a", name, 0.2), x, ways[name]) <= 1


@pytest.mark.parametrize(("name", "other"), NEIGHBOURS)
def test_the_bound_of_a_function_is_not_blind_to(name, other):
    x = (8 * draw(3, 2, 997)).astype(np.float32)
    assert used(Activation("a", name, 0.2), x, given(Activation("a", other, 0.2), x)) > 100


def test_the_bound_of_a_slope_is_not_blind_to_another_one():
    x = (8 * draw(3, 2, 997)).astype(np.float32)
    for name in ("leaky_relu", "elu"):
        assert used(Activation("a", name, 0.2), x, given(Activation("a", name, 0.2002), x)) > 100


# Normalisation --------------------------------------------------------------------------------------------------------


def loops_window_lrn(x, layer):
    y = np.zeros(x.shape)
    for b, i, r, s in np.ndindex(x.shape):
        there = [x[b, j, r, s] for j in range(x.shape[1]) if i - layer.before <= j <= i + layer.after]
        total = math.fsum(abs(v) if layer.plain else v * v for v in there) / (len(there) if layer.mean else 1)
        scale = (layer.k + layer.alpha * total) ** layer.beta
        y[b, i, r, s] = x[b, i, r, s] * scale if layer.inverted else x[b, i, r, s] / scale
    return y


WINDOWS = {
    "early": WindowLrn("n", 2, 1, 2.0, 0.3, 0.75),
    "late": WindowLrn("n", 0, 3, 1.0, 0.3, 0.5),
    "mean": WindowLrn("n", 2, 2, 1.0, 0.3, 0.75, mean=True),
    "plain": WindowLrn("n", 1, 1, 1.5, 0.3, 0.75, plain=True),
    "mean of absolute values": WindowLrn("n", 1, 0, 1.5, 0.3, 1.25, mean=True, plain=True),
    "inverted": WindowLrn("n", 1, 2, 2.0, 0.3, 0.75, inverted=True),
    "wider than the maps": WindowLrn("n", 9, 8, 2.0, 0.3, 0.75),
}


@pytest.mark.parametrize("layer", WINDOWS.values(), ids=WINDOWS)
def test_a_window_is_the_loop_over_the_maps_that_are_there(layer):
    x = 3 * draw(4, 2, 7, 3, 5)
    np.testing.assert_allclose(given(layer, x), loops_window_lrn(x, layer), **EXACT)
    assert layer.output((7, 3, 5)) == (7, 3, 5)


@pytest.mark.parametrize(
    ("layer", "sums"),
    [
        (WindowLrn("n", 1, 0, 2, 0.5, 0.75), [1, 1 + 4, 4 + 9, 9 + 16]),
        (WindowLrn("n", 0, 2, 2, 0.5, 0.75), [1 + 4 + 9, 4 + 9 + 16, 9 + 16, 16]),
        (WindowLrn("n", 1, 0, 2, 0.5, 0.75, mean=True), [1, 5 / 2, 13 / 2, 25 / 2]),
        (WindowLrn("n", 1, 1, 2, 0.5, 0.75, plain=True), [3, 6, 9, 7]),
    ],
    ids=["one before", "two after", "a mean that divides by what is there", "absolute values"],
)
def test_windows_by_hand(layer, sums):
    maps = [1.0, -2.0, 3.0, 4.0]
    y = given(layer, np.array(maps).reshape(1, 4, 1, 1)).ravel()
    np.testing.assert_allclose(y, [a / (2 + 0.5 * s) ** 0.75 for a, s in zip(maps, sums, strict=True)], rtol=1e-14)


def test_an_inverted_power_multiplies_by_hand():
    y = given(WindowLrn("n", 0, 0, 8.0, 0.5, 0.75, inverted=True), np.full((1, 1, 1, 1), 4.0))
    assert y.item() == 4 * 8  # 8 + 0.5 * 16 = 16, and 16^0.75 = 8


def test_a_centred_window_is_the_papers():
    x = 9 * draw(5, 2, 11, 3, 4)
    np.testing.assert_allclose(given(WindowLrn("n", 2, 2), x), given(Lrn("n"), x), rtol=1e-14)


@pytest.mark.parametrize("layer", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("spread", [0.01, 1.0, 60.0])
def test_a_window_in_single_precision_keeps_to_its_bound(layer, spread):
    x = (spread * draw(6, 2, 23, 7, 9)).astype(np.float32)
    assert used(layer, x, given(layer, x)) <= 1
    scale = np.float32(layer.k) + np.float32(layer.alpha) * (
        layer.window(np.abs(x) if layer.plain else x * x) / (layer.window(np.ones_like(x)) if layer.mean else 1)
    ).astype(np.float32)
    power = np.exp(np.float32(layer.beta if layer.inverted else -layer.beta) * np.log(scale))
    assert power.dtype == np.float32
    assert used(layer, x, x * power) <= 1


@pytest.mark.parametrize("layer", WINDOWS.values(), ids=WINDOWS)
def test_the_bound_of_a_window_is_not_blind_to_one_map_more(layer):
    x = (30 * draw(6, 2, 23, 7, 9)).astype(np.float32)
    for change in ({"before": layer.before + 1}, {"after": layer.after + 1}, {"alpha": 1.01 * layer.alpha}):
        assert used(layer, x, given(dataclasses.replace(layer, **change), x)) > 100, change


def test_the_bound_of_a_window_is_there_where_maps_are_zero():
    x = np.zeros((1, 5, 2, 3), np.float32)
    x[0, 2] = 7
    assert used(WindowLrn("n"), x, given(WindowLrn("n"), x)) <= 1


NORM = {"b.weight": np.array([2.0, -0.5, 3.0]), "b.bias": np.array([10.0, 0.0, -1.0])}


def test_a_channel_norm_by_hand_on_maps_and_on_vectors():
    x = np.array([1.0, 4.0, -2.0])
    want = [12.0, -2.0, -7.0]
    np.testing.assert_array_equal(given(ChannelNorm("b"), x[None], NORM), [want])
    maps = np.broadcast_to(x[None, :, None, None], (2, 3, 4, 5))
    np.testing.assert_array_equal(
        given(ChannelNorm("b"), maps, NORM), np.broadcast_to(np.reshape(want, (1, 3, 1, 1)), maps.shape)
    )
    assert ChannelNorm("b").param_shapes((3, 4, 5)) == {"b.weight": (3,), "b.bias": (3,)}


def test_a_channel_norm_in_single_precision_keeps_to_its_bound_and_is_not_blind():
    """From gamma, beta, mean and variance, as frameworks compute it."""
    rng, x = np.random.default_rng(7), (30 * draw(7, 2, 19, 7, 9)).astype(np.float32)
    gamma, beta, mean, variance = (
        v.astype(np.float32)
        for v in (rng.normal(1, 0.2, 19), rng.normal(0, 3, 19), rng.normal(0, 3, 19), rng.uniform(0.5, 2, 19))
    )
    deep = [v.astype(np.float64) for v in (gamma, beta, mean, variance)]
    weight = deep[0] / np.sqrt(deep[3] + 1e-5)
    params = {"b.weight": weight, "b.bias": deep[1] - deep[2] * weight}
    wide = (slice(None), None, None)
    got = (x - mean[wide]) / np.sqrt(variance[wide] + np.float32(1e-5)) * gamma[wide] + beta[wide]
    assert got.dtype == np.float32
    assert used(ChannelNorm("b"), x, got, params) <= 1
    wrong = (x - mean[wide]) / np.sqrt(variance[wide] + np.float32(1e-3)) * gamma[wide] + beta[wide]
    assert used(ChannelNorm("b"), x, wrong, params) > 100


def test_a_channel_norm_whose_shift_cancels_keeps_to_its_bound():
    """beta is what the mean comes to: x weight + 0, but each of the two is rounded at its own size."""
    x = (30 * draw(7, 2, 3, 7, 9)).astype(np.float32)
    gamma, mean = np.full((3, 1, 1), 1.1, np.float32), np.array([20.1, -7.3, 13.7], np.float32)[:, None, None]
    beta = gamma * mean
    params = {"b.weight": gamma.ravel().astype(np.float64)}
    params["b.bias"] = beta.ravel().astype(np.float64) - params["b.weight"] * mean.ravel()
    assert np.abs(params["b.bias"]).max() < 1e-5
    got = (x - mean) * gamma + beta
    assert used(ChannelNorm("b"), x, got, params) <= 1
    assert used(ChannelNorm("b"), x, got * np.float32(1.001), params) > 100


# Pooling and geometry -------------------------------------------------------------------------------------------------


def loops_adaptive(x, layer):
    n, c, h, w = x.shape
    y = np.zeros((n, c, layer.size, layer.size))
    for b, i, r, s in np.ndindex(y.shape):
        rows = range(math.floor(r * h / layer.size), math.ceil((r + 1) * h / layer.size))
        columns = range(math.floor(s * w / layer.size), math.ceil((s + 1) * w / layer.size))
        seen = [x[b, i, p, q] for p in rows for q in columns]
        y[b, i, r, s] = math.fsum(seen) / len(seen) if layer.average else max(seen)
    return y


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize(("size", "h", "w"), [(6, 13, 15), (6, 6, 7), (6, 4, 3), (1, 5, 7), (3, 7, 9), (2, 5, 3)])
def test_adaptive_pooling_is_the_loop_over(average, size, h, w):
    layer, x = AdaptivePool("p", size, average), draw(8, 2, 3, h, w)
    y = given(layer, x)
    np.testing.assert_allclose(y, loops_adaptive(x, layer), **EXACT)
    assert y.shape[1:] == layer.output((3, h, w))


def test_adaptive_pooling_by_hand_overlaps():
    """Five pixels to three: 0..1, 1..3, 3..4."""
    x = np.array([1.0, 2, 4, 8, 16]).reshape(1, 1, 1, 5).repeat(5, axis=2)
    np.testing.assert_array_equal(given(AdaptivePool("p", 3), x)[0, 0, 1], [1.5, 14 / 3, 12])
    np.testing.assert_array_equal(given(AdaptivePool("p", 3, False), x)[0, 0, 1], [2, 8, 16])


@pytest.mark.parametrize("size", [1, 2, 6])
def test_adaptive_pooling_in_single_precision_keeps_to_its_bound_and_is_not_blind(size):
    x = draw(9, 2, 3, 17, 23).astype(np.float32)
    layer, one_pixel_on = AdaptivePool("p", size), np.roll(x, 1, axis=3)
    assert used(layer, x, given(layer, x)) <= 1
    if size > 1:
        assert used(layer, x, given(layer, one_pixel_on)) > 100
    most = AdaptivePool("p", size, average=False)
    assert used(most, x, given(most, x)) == 0
    assert used(most, x, np.nextafter(given(most, x), np.float32(np.inf))) == np.inf


def loops_padded_mean(x, layer):
    (n, c, h, w), p = x.shape, layer.padding
    rows, columns = ((size + 2 * p - layer.kernel) // layer.stride + 1 for size in (h, w))
    y = np.zeros((n, c, rows, columns))
    for b, i, r, s in np.ndindex(y.shape):
        for u, v in np.ndindex(layer.kernel, layer.kernel):
            row, column = r * layer.stride + u - p, s * layer.stride + v - p
            if 0 <= row < h and 0 <= column < w:
                y[b, i, r, s] += x[b, i, row, column] / layer.kernel**2
    return y


@pytest.mark.parametrize(
    "layer", [PaddedMean("p"), PaddedMean("p", 5, 3, 2), PaddedMean("p", 2, 2, 1), PaddedMean("p", 3, 1, 0)]
)
def test_a_mean_that_counts_the_padding_is_the_loop(layer):
    x = draw(10, 2, 3, 8, 11)
    y = given(layer, x)
    np.testing.assert_allclose(y, loops_padded_mean(x, layer), **EXACT)
    assert y.shape[1:] == layer.output((3, 8, 11))


def test_a_mean_that_counts_the_padding_by_hand():
    y = given(PaddedMean("p", 3, 2, 1), np.full((1, 1, 3, 3), 9.0))
    np.testing.assert_array_equal(y[0, 0], [[4, 4], [4, 4]])  # four of nine in each corner


def test_a_mean_that_counts_the_padding_keeps_to_its_bound_and_is_not_blind():
    x, layer = draw(11, 2, 3, 9, 12).astype(np.float32), PaddedMean("p")
    assert used(layer, x, given(layer, x)) <= 1
    assert used(layer, x, given(Pool("p", 3, 2, padding=(1, 1), average=True), x)[:, :, :5, :6]) > 100


def loops_conv(x, weight, bias, layer, above, left, shape):
    y = np.zeros((len(x), *shape))
    dilation, inputs, per = getattr(layer, "dilation", 1), weight.shape[1], len(weight) // layer.groups
    for b, o, r, s in np.ndindex(y.shape):
        y[b, o, r, s] = bias[o]
        for i, u, v in np.ndindex(inputs, layer.kernel, layer.kernel):
            row = r * layer.stride + u * dilation - above
            column = s * layer.stride + v * dilation - left
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                y[b, o, r, s] += weight[o, i, u, v] * x[b, o // per * inputs + i, row, column]
    return y


CONVS = {
    "dilated": (Dilated("c", 5, 3), 0, 0, (5, 5, 8)),
    "dilated, padded, in groups, with a stride": (Dilated("c", 6, 3, 2, (2, 1), groups=2, dilation=3), 2, 2, (6, 3, 5)),
    "dilated and rounded up": (Dilated("c", 3, 2, 4, ceil=True, dilation=2), 0, 0, (3, 3, 4)),
    "a border on each side": (BorderedConv("c", 5, 3, 2, border=((1, 0), (2, 3))), 1, 2, (5, 4, 8)),
    "a border, dilated, in groups": (
        BorderedConv("c", 4, 2, 1, groups=2, dilation=3, border=((0, 2), (1, 0))),
        0,
        1,
        (4, 8, 10),
    ),
}


@pytest.mark.parametrize("case", CONVS.values(), ids=CONVS)
def test_a_convolution_with_other_taps_or_borders_is_the_loop(case):
    layer, above, left, shape = case
    x = draw(12, 2, 4, 9, 12)
    params = {name: draw(13 + i, *s) for i, (name, s) in enumerate(layer.param_shapes((4, 9, 12)).items())}
    y = given(layer, x, params)
    assert layer.output((4, 9, 12)) == shape
    np.testing.assert_allclose(y, loops_conv(x, *params.values(), layer, above, left, shape), **EXACT)


def test_dilation_by_hand():
    x = np.arange(1.0, 6.0).reshape(1, 1, 1, 5).repeat(5, axis=2)
    weight = np.array([[1.0, 10], [100, 1000]]).reshape(1, 1, 2, 2)
    y = given(Dilated("c", 1, 2, dilation=3), x, {"c.weight": weight, "c.bias": np.array([0.5])})
    np.testing.assert_array_equal(y[0, 0], [[101 * 1 + 1010 * 4 + 0.5, 101 * 2 + 1010 * 5 + 0.5]] * 2)


def test_a_dilation_of_one_and_an_even_border_are_the_plain_convolution():
    plain = Conv("c", 5, 3, 2, (1, 2))
    x = draw(14, 2, 4, 9, 12)
    params = {name: draw(15, *s) for name, s in plain.param_shapes((4, 9, 12)).items()}
    want = given(plain, x, params)
    for other in (Dilated("c", 5, 3, 2, (1, 2), dilation=1), BorderedConv("c", 5, 3, 2, border=((1, 2), (1, 2)))):
        np.testing.assert_array_equal(given(other, x, params), want)


def loops_bordered_pool(x, layer, shape):
    (above, _), (left, _) = layer.border
    y = np.zeros((len(x), *shape))
    for b, i, r, s in np.ndindex(y.shape):
        seen = [
            x[b, i, p, q]
            for p, q in np.ndindex(x.shape[2:])
            if 0 <= p + above - r * layer.stride < layer.kernel and 0 <= q + left - s * layer.stride < layer.kernel
        ]
        y[b, i, r, s] = math.fsum(seen) / len(seen) if layer.average else max(seen)
    return y


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(
    ("border", "shape"), [(((0, 1), (1, 0)), (3, 4, 6)), (((2, 0), (1, 2)), (3, 5, 7)), (((0, 0), (0, 0)), (3, 4, 5))]
)
def test_pooling_with_its_own_borders_is_the_loop(average, border, shape):
    layer, x = BorderedPool("p", 3, 2, average=average, border=border), draw(16, 2, 3, 9, 12) - 5
    assert layer.output((3, 9, 12)) == shape
    np.testing.assert_allclose(given(layer, x), loops_bordered_pool(x, layer, shape), **EXACT)


@pytest.mark.parametrize(
    "layer", [BorderedConv("c", 5, 5, border=((0, 0), (2, 2))), BorderedPool("c", 5, 2, border=((0, 0), (2, 2)))]
)
def test_borders_that_are_too_small_for_the_window_are_refused_by_name(layer):
    with pytest.raises(ValueError, match="c: the 5-wide window does not fit"):
        layer.output((3, 4, 9))


def test_borders_are_what_the_layer_says():
    border = ((0, 1), (2, 3))
    assert borders(BorderedPool("p", 3, 2, border=border), (3, 9, 12)) == border
    assert borders(BorderedConv("c", 4, 3, border=border), (3, 9, 12)) == border
    assert Dilated("c", 4, 3, dilation=4).reach == 9


# Small things ---------------------------------------------------------------------------------------------------------


def test_an_affine_by_hand_for_all_and_for_each_channel():
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(given(Affine("a", (2.0,), (0.5,)), x).ravel(), [2.5, 4.5, 6.5])
    np.testing.assert_array_equal(given(Affine("a", (2.0, 3.0, 4.0), (0.5, 0.0, -1.0)), x).ravel(), [2.5, 6, 11])
    np.testing.assert_array_equal(given(Affine("a", (2.0, 3.0, 4.0), (0.5,)), x).ravel(), [2.5, 6.5, 12.5])
    np.testing.assert_array_equal(given(Affine("a", (1 / 2, 1.0), (0.0, 1.0)), np.array([[4.0, 5.0]])), [[2, 6]])


def test_an_affine_in_single_precision_keeps_to_its_bound_and_is_not_blind():
    x = (58 * draw(17, 2, 3, 9, 12)).astype(np.float32)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    layer = Affine("a", tuple(1 / std), tuple(-mean / std))
    wide = (slice(None), None, None)
    got = (x - mean.astype(np.float32)[wide]) / std.astype(np.float32)[wide]
    assert got.dtype == np.float32
    assert used(layer, x, got) <= 1
    assert (
        used(layer, x, (x - np.float32(123.68) + np.zeros((3, 1, 1), np.float32)) / std.astype(np.float32)[wide]) > 100
    )


NUMBERED = np.arange(24).reshape(1, 4, 3, 2)  # value = 6 c + 2 row + column

ORDERED = {
    "bgr": ((4, 3, 2), [18, 19, 20, 21, 22, 23, 12, 13, 14, 15, 16, 17, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]),
    "as-if-hwc": ((4, 3, 2), [0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23]),
    "rows-columns": ((4, 2, 3), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11, 12, 14, 16, 13, 15, 17, 18, 20, 22, 19, 21, 23]),
    "upside-down": ((4, 3, 2), [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7, 16, 17, 14, 15, 12, 13, 22, 23, 20, 21, 18, 19]),
    "mirrored": ((4, 3, 2), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14, 17, 16, 19, 18, 21, 20, 23, 22]),
    "interleaved": ((4, 3, 2), [0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]),
    "halves": ((4, 3, 2), [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    "hwc": ((24,), [0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23]),
    "cwh": ((24,), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11, 12, 14, 16, 13, 15, 17, 18, 20, 22, 19, 21, 23]),
    "whc": ((24,), [0, 6, 12, 18, 2, 8, 14, 20, 4, 10, 16, 22, 1, 7, 13, 19, 3, 9, 15, 21, 5, 11, 17, 23]),
    "hcw": ((24,), [0, 1, 6, 7, 12, 13, 18, 19, 2, 3, 8, 9, 14, 15, 20, 21, 4, 5, 10, 11, 16, 17, 22, 23]),
}  # fmt: skip


def test_every_order_is_listed_here():
    assert set(ORDERED) == set(ORDERS)


@pytest.mark.parametrize("order", ORDERED)
def test_numbers_by_hand_in_the_order(order):
    shape, want = ORDERED[order]
    x = np.concatenate([NUMBERED, NUMBERED + 100])
    y = given(Reordered("o", order), x)
    assert Reordered("o", order).output((4, 3, 2)) == shape
    assert y.shape == (2, *shape)
    np.testing.assert_array_equal(y[0].ravel(), want)
    np.testing.assert_array_equal(y[1].ravel(), np.array(want) + 100)
    assert not Reordered("o", order).rounding({}, x, y).any()


def test_no_two_orders_are_the_same():
    rows = [tuple(numbers) for _, numbers in ORDERED.values()]
    shapes = [shape for shape, _ in ORDERED.values()]
    assert len({*zip(rows, shapes, strict=True)}) == len(ORDERED)


def test_a_log_softmax_by_hand_and_without_overflow():
    x = np.array([[0, math.log(2), math.log(5)], [1000, 1000, 1000 + math.log(2)]])
    np.testing.assert_allclose(
        given(LogSoftmax("s"), x), np.log([[1 / 8, 2 / 8, 5 / 8], [1 / 4, 1 / 4, 2 / 4]]), rtol=1e-12
    )


def test_a_softmax_over_the_batch_by_hand_and_without_overflow():
    x = np.array([[0, 1000], [math.log(2), 1000], [math.log(5), 1000 + math.log(2)]])
    want = [[1 / 8, 1 / 4], [2 / 8, 1 / 4], [5 / 8, 2 / 4]]
    np.testing.assert_allclose(given(SoftmaxOver("s"), x), want, rtol=1e-12)
    np.testing.assert_allclose(given(SoftmaxOver("s", 1), x.T), np.transpose(want), rtol=1e-12)


@pytest.mark.parametrize("spread", [0.1, 3.0, 20.0])
def test_softmaxes_in_single_precision_keep_to_their_bounds_and_are_not_blind(spread):
    x = (spread * draw(18, 5, 1000)).astype(np.float32)
    assert used(LogSoftmax("s"), x, given(LogSoftmax("s"), x)) <= 1
    assert used(SoftmaxOver("s"), x, given(SoftmaxOver("s"), x)) <= 1
    assert used(SoftmaxOver("s"), x, given(SoftmaxOver("s", 1), x)) > 100
    assert used(LogSoftmax("s"), x, given(LogSoftmax("s"), x[:, 1:])[:, [0, *range(999)]]) > 100


def test_random_dropout_at_inference_multiplies_by_its_factor_and_keeps_the_precision():
    x = draw(19, 2, 7).astype(np.float32)
    layer = RandomDropout("d", 0.5, factor=0.5)
    assert given(layer, x).dtype == np.float32
    np.testing.assert_array_equal(given(layer, x), x / 2)
    np.testing.assert_array_equal(given(RandomDropout("d", 0.3), x), x)
    assert used(layer, x, given(layer, x)) <= 1
    assert used(layer, x, x) > 100


FLOAT32 = [Activation("l", name, 0.2) for name in FUNCTIONS] + [WindowLrn("l", mean=True), AdaptivePool("l", 2)]
FLOAT32 += [
    PaddedMean("l"),
    Affine("l", (0.3,), (0.1,)),
    Affine("l", (0.3,) * 4, (0.1,) * 4),
    LogSoftmax("l"),
    SoftmaxOver("l"),
]


@pytest.mark.parametrize("layer", FLOAT32, ids=lambda layer: getattr(layer, "function", layer.kind))
def test_the_precision_and_the_input_are_kept_by(layer):
    x = draw(20, 2, 4, 7, 9)
    for dtype in (np.float32, np.float64):
        fed = x.astype(dtype)
        before = fed.copy()
        assert given(layer, fed).dtype == dtype
        np.testing.assert_array_equal(fed, before)


def test_a_layer_without_a_definition_says_so():
    with pytest.raises(NotImplementedError):
        given(Computed("odd"), draw(1, 2, 3))
