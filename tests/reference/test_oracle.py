"""The oracle against numbers worked by hand and against loops written from the definitions."""

import math

import numpy as np
import pytest

from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Layer, Lrn, Pool, Relu, Softmax

THIN = [name for name in variants.names() if name.endswith("-thin")]
EXACT = {"rtol": 1e-12, "atol": 1e-13}  # atol for a sum that happens to cancel; the terms are of size 1


def array(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def weighted(layer: Conv | Dense, seed: int, shape: tuple[int, ...]) -> oracle.Params:
    return {name: draw(seed + i, *s) for i, (name, s) in enumerate(layer.param_shapes(shape).items())}


# The definitions as loops -------------------------------------------------------------------------------------------


def loops_conv(x, weight, bias, layer):
    """y[b, o, r, s] = bias[o] + sum over i, u, v of w[o, i, u, v] * x[b, i, r stride + u - pad, s stride + v - pad]."""
    (n, _, h, w), (filters, inputs, k, _), (before, after) = x.shape, weight.shape, layer.padding
    rows, columns = ((size + before + after - k) // layer.stride + 1 for size in (h, w))
    y = np.zeros((n, filters, rows, columns))
    for b, o, r, s in np.ndindex(y.shape):
        first = o // (filters // layer.groups) * inputs  # the first map that this filter's group reads
        y[b, o, r, s] = bias[o]
        for i, u, v in np.ndindex(inputs, k, k):
            row, column = r * layer.stride + u - before, s * layer.stride + v - before
            if 0 <= row < h and 0 <= column < w:
                y[b, o, r, s] += weight[o, i, u, v] * x[b, first + i, row, column]
    return y


def loops_lrn(x, layer):
    """Section 3.3: b_i = a_i / (k + alpha * sum of a_j^2, j from max(0, i - n//2) to min(N - 1, i + n//2))^beta."""
    y, size = np.zeros(x.shape), x.shape[1] // layer.towers
    for b, i, r, s in np.ndindex(x.shape):
        start = i // size * size  # the first map of the tower
        low, high = max(start, i - layer.n // 2), min(start + size - 1, i + layer.n // 2)
        total = sum(x[b, j, r, s] ** 2 for j in range(low, high + 1))
        y[b, i, r, s] = x[b, i, r, s] / (layer.k + layer.alpha * total) ** layer.beta
    return y


def loops_pool(x, layer):
    """The maximum of whatever part of each window lies inside; windows start at multiples of the stride."""
    n, c, h, w = x.shape
    tops, lefts = (list(starts(size, layer)) for size in (h, w))
    y = np.zeros((n, c, len(tops), len(lefts)))
    for b, i, r, s in np.ndindex(y.shape):
        rows, columns = (range(a, min(a + layer.kernel, size)) for a, size in ((tops[r], h), (lefts[s], w)))
        y[b, i, r, s] = max(x[b, i, p, q] for p in rows for q in columns)
    return y


def starts(size, layer):
    """Where windows start: the next one if it fits or, with `ceil`, if pixels are left over and it starts inside."""
    start = 0
    while True:
        yield start
        left_over, start = start + layer.kernel < size, start + layer.stride
        if not (left_over and start < size if layer.ceil else start + layer.kernel <= size):
            return


def loops_dense(x, weight, bias):
    return np.array([[bias[o] + math.fsum(weight[o] * row) for o in range(len(weight))] for row in x])


def loops_softmax(x):
    return np.array([[math.exp(v) / math.fsum(math.exp(u) for u in row) for v in row] for row in x])


def loops(layer: Layer, params: oracle.Params, x: np.ndarray) -> np.ndarray:
    match layer:
        case Conv():
            return loops_conv(x, params[f"{layer.name}.weight"], params[f"{layer.name}.bias"], layer)
        case Dense():
            return loops_dense(x, params[f"{layer.name}.weight"], params[f"{layer.name}.bias"])
        case Lrn():
            return loops_lrn(x, layer)
        case Pool():
            return loops_pool(x, layer)
        case Softmax():
            return loops_softmax(x)
    raise AssertionError(layer)


CASES = {  # layer, input shape: batch, maps, height and width all different
    "a plain convolution": (Conv("c", 5, 3), (2, 4, 8, 7)),
    "a convolution of stride 4 with an 11-wide kernel": (Conv("c", 5, 11, stride=4), (2, 3, 23, 19)),
    "a convolution whose stride does not come out even": (Conv("c", 5, 3, stride=2), (2, 3, 8, 10)),
    "a convolution with zeros on both sides": (Conv("c", 4, 5, padding=(2, 2)), (2, 3, 6, 7)),
    "a convolution with zeros after only": (Conv("c", 4, 5, stride=3, padding=(0, 3)), (2, 3, 8, 11)),
    "a convolution with more zeros before than after": (Conv("c", 4, 4, stride=2, padding=(2, 1)), (2, 3, 9, 6)),
    "a convolution in two groups": (Conv("c", 6, 3, padding=(1, 1), groups=2), (2, 4, 5, 7)),
    "a convolution in three groups with a stride": (Conv("c", 6, 3, stride=2, padding=(1, 0), groups=3), (2, 9, 7, 5)),
    "a 1 x 1 convolution": (Conv("c", 6, 1), (2, 4, 5, 3)),
    "a normalisation with the paper's window": (Lrn("n", alpha=0.1), (2, 11, 4, 3)),
    "a normalisation over three maps": (Lrn("n", n=3, k=1.0, alpha=0.3, beta=0.5), (2, 7, 3, 4)),
    "a normalisation with an even n": (Lrn("n", n=4, alpha=0.3), (2, 7, 3, 4)),
    "a normalisation within two towers": (Lrn("n", alpha=0.3, towers=2), (2, 8, 3, 5)),
    "a normalisation with a window wider than the maps": (Lrn("n", n=9, alpha=0.3), (2, 3, 4, 5)),
    "a pool that comes out even": (Pool("p", 3, 2), (2, 4, 9, 7)),
    "a pool that rounds down": (Pool("p", 3, 2), (2, 4, 10, 8)),
    "a pool that rounds up": (Pool("p", 3, 2, ceil=True), (2, 4, 10, 7)),
    "a pool that rounds up in one pixel": (Pool("p", 4, 3, ceil=True), (2, 3, 8, 5)),
    "a pool with gaps between its windows": (Pool("p", 2, 3), (2, 3, 9, 7)),
    "a dense layer": (Dense("d", 5), (2, 7)),
    "a dense layer of more than one block of rows": (Dense("d", oracle.ROWS + 5), (2, 7)),
    "a softmax": (Softmax("s"), (2, 7)),
}


@pytest.mark.parametrize("seed", [1, 2, 3], ids=["first seed", "second seed", "third seed"])
@pytest.mark.parametrize(("layer", "shape"), CASES.values(), ids=CASES)
def test_the_loops_of_the_definition_agree_with(layer, shape, seed):
    params, x = weighted(layer, seed, shape[1:]), draw(seed + 10, *shape)
    y = oracle.apply(layer, params, x)
    assert y.shape == (len(x), *layer.output(shape[1:]))
    np.testing.assert_allclose(y, loops(layer, params, x), **EXACT)


MISTAKES = {  # case, (layer, params) -> the mistaken (layer, params)
    "alpha divided by n": ("a normalisation with the paper's window", lambda x, p: (Lrn("n", alpha=0.1 / 5), p)),
    "alpha off by a percent": ("a normalisation with the paper's window", lambda x, p: (Lrn("n", alpha=0.101), p)),
    "n taken for a radius": ("a normalisation with the paper's window", lambda x, p: (Lrn("n", n=11, alpha=0.1), p)),
    "a window across the towers": ("a normalisation within two towers", lambda x, p: (Lrn("n", alpha=0.3), p)),
    "sizes rounded down": ("a pool that rounds up", lambda x, p: (Pool("p", 3, 2), p)),
    "sizes rounded up": ("a pool that rounds down", lambda x, p: (Pool("p", 3, 2, ceil=True), p)),
    "pooling windows of 2 x 2": ("a pool that comes out even", lambda x, p: (Pool("p", 2, 2), p)),
    "kernels flipped": ("a plain convolution", lambda x, p: (x, p | {"c.weight": p["c.weight"][..., ::-1, ::-1]})),
    "kernels transposed": ("a plain convolution", lambda x, p: (x, p | {"c.weight": p["c.weight"].swapaxes(2, 3)})),
    "the bias left out": ("a plain convolution", lambda x, p: (x, p | {"c.bias": 0 * p["c.bias"]})),
    "the zeros on the other side": (
        "a convolution with more zeros before than after",
        lambda x, p: (Conv("c", 4, 4, stride=2, padding=(1, 2)), p),
    ),
    "the groups exchanged": (
        "a convolution in two groups",
        lambda x, p: (x, p | {"c.weight": np.roll(p["c.weight"], 3, axis=0)}),
    ),
    "one weight off by 2^-20": ("a dense layer", lambda x, p: (x, p | {"d.weight": p["d.weight"] * (1 + 2**-20)})),
}


@pytest.mark.parametrize(("case", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_the_loops_do_not_agree_with(case, mistake):
    layer, shape = CASES[case]
    params, x = weighted(layer, 1, shape[1:]), draw(11, *shape)
    wrong, wrong_params = mistake(layer, params)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(oracle.apply(wrong, wrong_params, x), loops(layer, params, x), **EXACT)


# By hand ------------------------------------------------------------------------------------------------------------

IMAGE = array([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12])[None, None]  # (1, 1, 3, 4)
KERNEL = array([1, 10], [100, 1000])[None, None]  # each digit of an output names the pixel that a tap met


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (Conv("c", 1, 2), [[6521, 7632, 8743], [10965, 12076, 13187]]),
        (Conv("c", 1, 2, stride=2), [[6521, 8743]]),
        (Conv("c", 1, 2, stride=2, padding=(1, 0)), [[1000, 3200], [9050, 12076]]),
        (Conv("c", 1, 2, stride=2, padding=(0, 1)), [[6521, 8743], [109, 131]]),
    ],
    ids=["is not flipped", "skips with a stride of 2", "meets zeros above and to the left", "meets zeros below"],
)
def test_a_kernel_by_hand(layer, want):
    y = oracle.conv(IMAGE, KERNEL, array(0), layer)
    np.testing.assert_array_equal(y[0, 0], want)


def test_a_bias_is_added_once_to_each_of_its_own_maps():
    y = oracle.conv(IMAGE, np.stack([KERNEL[0], -KERNEL[0]]), array(0.5, 7), Conv("c", 2, 2, stride=2))
    np.testing.assert_array_equal(y[0], [[[6521.5, 8743.5]], [[-6514, -8736]]])


def test_the_filters_of_a_group_see_only_the_maps_of_that_group():
    x = array(1, 10, 100, 1000).reshape(1, 4, 1, 1)
    weight = array([1, 2], [3, 4], [5, 6], [7, 8]).reshape(4, 2, 1, 1)
    y = oracle.conv(x, weight, np.zeros(4), Conv("c", 4, 1, groups=2))
    np.testing.assert_array_equal(y.ravel(), [1 + 20, 3 + 40, 500 + 6000, 700 + 8000])


def test_relu_keeps_the_positive_and_zeroes_the_rest():
    np.testing.assert_array_equal(oracle.apply(Relu("r"), {}, array(-2, -0.0, 0, 3)), [0, 0, 0, 3])


@pytest.mark.parametrize(
    ("layer", "sums"),
    [
        (Lrn("n", n=3, k=2, alpha=0.5, beta=0.75), [1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16]),
        (Lrn("n", n=5, k=2, alpha=0.5, beta=0.75), [1 + 4 + 9, 1 + 4 + 9 + 16, 1 + 4 + 9 + 16, 4 + 9 + 16]),
        (Lrn("n", n=3, k=1, alpha=0.1, beta=0.5, towers=2), [1 + 4, 1 + 4, 9 + 16, 9 + 16]),
    ],
    ids=["over three maps, clipped at the first and the last", "over five maps", "stops between two towers"],
)
def test_normalisation_by_hand(layer, sums):
    maps = [1.0, -2.0, 3.0, 4.0]
    want = [a / (layer.k + layer.alpha * s) ** layer.beta for a, s in zip(maps, sums, strict=True)]
    y = oracle.lrn(array(maps).reshape(1, 4, 1, 1), layer)
    np.testing.assert_allclose(y.ravel(), want, rtol=1e-15)


def test_normalisation_of_one_map_by_arithmetic_alone():
    y = oracle.lrn(np.full((1, 1, 1, 1), 4.0), Lrn("n", k=8, alpha=0.5, beta=0.75))
    assert y.item() == 4 / 8  # 8 + 0.5 * 16 = 16, and 16^0.75 = 8


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (Pool("p", 2, 2), [[-1, -3]]),
        (Pool("p", 2, 2, ceil=True), [[-1, -3], [-9, -11]]),
        (Pool("p", 3, 2), [[-1]]),
        (Pool("p", 3, 2, ceil=True), [[-1, -3]]),
        (Pool("p", 2, 1), [[-1, -2, -3], [-5, -6, -7]]),
    ],
    ids=["leaves out a row", "cuts a window below", "leaves out a column", "cuts a window at the right", "overlaps"],
)
def test_a_pool_of_negative_numbers_never_sees_a_padded_zero_and(layer, want):
    np.testing.assert_array_equal(oracle.pool(-IMAGE, layer)[0, 0], want)


def test_flattening_runs_over_columns_then_rows_then_channels():
    x = np.arange(2 * 2 * 3 * 4.0).reshape(2, 2, 3, 4)
    y = oracle.apply(Flatten("f"), {}, x)
    assert all(y[1, c * 12 + r * 4 + s] == x[1, c, r, s] for c, r, s in np.ndindex(2, 3, 4))


def test_a_dense_layer_by_hand():
    y = oracle.dense(array([1, 2, 3], [4, 5, 6]), array([1, 10, 100], [-1, 0, 1]), array(0.5, 7))
    np.testing.assert_array_equal(y, [[321.5, 9], [654.5, 9]])


def test_softmax_by_hand_and_without_overflow():
    y = oracle.softmax(array([0, math.log(2), math.log(5)], [1000, 1000, 1000 + math.log(2)]))
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8], [1 / 4, 1 / 4, 2 / 4]], rtol=1e-12)


def test_dropout_at_inference_is_the_identity():
    x = draw(1, 2, 7)
    np.testing.assert_array_equal(oracle.apply(Dropout("d"), {}, x), x)


# Companion runs -----------------------------------------------------------------------------------------------------

AFFINE = {k: v for k, v in CASES.items() if isinstance(v[0], Conv | Dense)}


@pytest.mark.parametrize(("layer", "shape"), AFFINE.values(), ids=AFFINE)
def test_magnitudes_are_the_layer_on_absolute_values_of(layer, shape):
    params, x = weighted(layer, 1, shape[1:]), draw(11, *shape)
    want = loops(layer, {name: abs(p) for name, p in params.items()}, abs(x))
    np.testing.assert_allclose(oracle.magnitudes(layer, params, x), want, **EXACT)


@pytest.mark.parametrize(("layer", "shape"), AFFINE.values(), ids=AFFINE)
def test_squares_are_the_layer_on_squared_values_of(layer, shape):
    params, x = weighted(layer, 1, shape[1:]), draw(11, *shape)
    want = loops(layer, {name: p**2 for name, p in params.items()}, x**2)
    np.testing.assert_allclose(oracle.squares(layer, params, x), want, **EXACT)


@pytest.mark.parametrize(("layer", "shape"), AFFINE.values(), ids=AFFINE)
def test_variance_is_carried_by_squared_weights_and_without_the_bias_of(layer, shape):
    params, variance = weighted(layer, 1, shape[1:]), draw(11, *shape) ** 2
    squared = {name: p**2 if name.endswith("weight") else 0 * p for name, p in params.items()}
    want = loops(layer, squared, variance)
    np.testing.assert_allclose(oracle.carry_variance(layer, params, variance), want, **EXACT)


@pytest.mark.parametrize(
    "run",
    [oracle.magnitudes, oracle.squares, oracle.carry_variance, oracle.apply],
    ids=["magnitudes", "squares", "the carried variance", "the layer itself"],
)
def test_neither_the_parameters_nor_the_input_are_changed_by(run):
    layer, shape = CASES["a convolution in two groups"]
    params, x = weighted(layer, 1, shape[1:]), draw(11, *shape)
    arrays = [*params.values(), x]
    copies = [a.copy() for a in arrays]
    run(layer, params, x)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


# The whole chain ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["in double precision", "in single precision"])
@pytest.mark.parametrize("name", THIN)
def test_every_layer_has_the_shape_of_the_spec_and_keeps_its_precision(name, dtype):
    s = stimuli.stimulus(variants.variant(name), "large", seed=5)
    trace = oracle.forward(s.network, s.params, s.x, dtype)
    assert {layer: y.shape for layer, y in trace.items()} == {k: (2, *v) for k, v in s.network.shapes().items()}
    assert {y.dtype for y in trace.values()} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", THIN)
def test_each_layer_reads_the_one_before_it(name):
    s = stimuli.stimulus(variants.variant(name), "large", seed=5)
    trace = oracle.forward(s.network, s.params, s.x)
    x = s.x.astype(np.float64)
    for layer in s.network.layers:
        np.testing.assert_array_equal(trace[layer.name], oracle.apply(layer, s.params, x))
        x = trace[layer.name]


def test_an_unknown_kind_of_layer_is_refused_by_name():
    class Attention(Layer):
        pass

    with pytest.raises(TypeError, match="odd: the oracle has no attention layer"):
        oracle.apply(Attention("odd"), {}, draw(1, 2, 3))
