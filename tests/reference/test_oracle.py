"""The oracle against numbers worked by hand and against loops written from the definitions."""

import math

import numpy as np
import pytest

from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Local,
    Lrn,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
    borders,
)

THIN = [name for name in variants.names() if name.endswith("-thin")]
EXACT = {"rtol": 1e-12, "atol": 1e-13}  # atol for a sum that happens to cancel; the terms are of size 1


def array(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def weighted(layer: Layer, seed: int, shape: tuple[int, ...]) -> oracle.Params:
    return {name: draw(seed + i, *s) for i, (name, s) in enumerate(layer.param_shapes(shape).items())}


# The definitions as loops -------------------------------------------------------------------------------------------


def loops_conv(x, weight, bias, layer):
    """y[b, o, r, s] = bias[o] + sum over i, u, v of w[o, i, u, v] * x[b, i, r stride + u - pad, s stride + v - pad]."""
    (n, _, h, w), (filters, inputs, k, _), (before, after) = x.shape, weight.shape, layer.padding
    rounded = math.ceil if layer.ceil else math.floor
    rows, columns = (1 + rounded((size + before + after - k) / layer.stride) for size in (h, w))
    y = np.zeros((n, filters, rows, columns))
    for b, o, r, s in np.ndindex(y.shape):
        first = o // (filters // layer.groups) * inputs  # the first map that this filter's group reads
        y[b, o, r, s] = bias[o]
        for i, u, v in np.ndindex(inputs, k, k):
            row, column = r * layer.stride + u - before, s * layer.stride + v - before
            if 0 <= row < h and 0 <= column < w:
                y[b, o, r, s] += weight[o, i, u, v] * x[b, first + i, row, column]
    return y


def loops_local(x, weight, bias, layer):
    """y[b, o, r, s] = bias[o, r, s] + sum over i, u, v of w[o, r, s, i, u, v] * x[b, i, r stride + u - pad, ...]."""
    (n, _, h, w), (filters, rows, columns, inputs, k, _), (before, _) = x.shape, weight.shape, layer.padding
    y = np.zeros((n, filters, rows, columns))
    for b, o, r, s in np.ndindex(y.shape):
        y[b, o, r, s] = bias[o, r, s]
        for i, u, v in np.ndindex(inputs, k, k):
            row, column = r * layer.stride + u - before, s * layer.stride + v - before
            if 0 <= row < h and 0 <= column < w:
                y[b, o, r, s] += weight[o, r, s, i, u, v] * x[b, i, row, column]
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


def loops_spatial_lrn(x, layer):
    """a / (k + alpha * sum of a^2 over the pixels up to n//2 rows and columns away, those that are there)^beta."""
    y, (_, _, h, w), half = np.zeros(x.shape), x.shape, layer.n // 2
    for b, i, r, s in np.ndindex(x.shape):
        near = [(p, q) for p, q in np.ndindex(h, w) if abs(p - r) <= half and abs(q - s) <= half]
        total = sum(x[b, i, p, q] ** 2 for p, q in near)
        y[b, i, r, s] = x[b, i, r, s] / (layer.k + layer.alpha * total) ** layer.beta
    return y


def loops_pool(x, layer):
    """The maximum or the mean of whatever part of each window lies inside."""
    n, c, h, w = x.shape
    tops, lefts = (list(starts(size, layer)) for size in (h, w))
    y = np.zeros((n, c, len(tops), len(lefts)))
    for b, i, r, s in np.ndindex(y.shape):
        seen = [
            x[b, i, p, q]
            for p, q in np.ndindex(h, w)
            if 0 <= p - tops[r] < layer.kernel and 0 <= q - lefts[s] < layer.kernel
        ]
        y[b, i, r, s] = math.fsum(seen) / len(seen) if layer.average else max(seen)
    return y


def starts(size, layer):
    """Where windows start, `padding` before the map: the next one if it fits or, with `ceil`, if it starts inside."""
    before, after = layer.padding
    start = -before
    while True:
        yield start
        left_over, start = start + layer.kernel < size + after, start + layer.stride
        if not (left_over and start < size if layer.ceil else start + layer.kernel <= size + after):
            return


def loops_dense(x, weight, bias, layer):
    """Unit o of group g reads the g-th part of the inputs only."""
    (units, inputs), y = weight.shape, np.zeros((len(x), len(weight)))
    for b, o in np.ndindex(y.shape):
        first = o // (units // layer.groups) * inputs  # the first input that this unit's group reads
        y[b, o] = bias[o] + math.fsum(weight[o, i] * x[b, first + i] for i in range(inputs))
    return y


def loops_softmax(x):
    return np.array([[math.exp(v) / math.fsum(math.exp(u) for u in row) for v in row] for row in x])


def loops(layer: Layer, params: oracle.Params, x: np.ndarray) -> np.ndarray:
    learned = [params[f"{layer.name}.{name}"] for name in ("weight", "bias")] if params else []
    match layer:
        case Conv():
            return loops_conv(x, *learned, layer)
        case Local():
            return loops_local(x, *learned, layer)
        case Dense():
            return loops_dense(x, *learned, layer)
        case Lrn():
            return loops_lrn(x, layer)
        case SpatialLrn():
            return loops_spatial_lrn(x, layer)
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
    "a convolution that rounds up in both directions": (Conv("c", 5, 5, stride=3, ceil=True), (2, 3, 9, 12)),
    "a convolution that rounds up in its rows only": (Conv("c", 4, 4, stride=3, ceil=True), (2, 3, 9, 10)),
    "a convolution that rounds up in one pixel": (Conv("c", 4, 11, stride=4, ceil=True), (2, 3, 16, 21)),
    "a convolution that rounds up behind its padding": (
        Conv("c", 6, 5, stride=3, padding=(2, 1), groups=2, ceil=True),
        (2, 4, 9, 10),
    ),
    "a convolution with a kernel at each position": (Local("c", 5, 3), (2, 4, 6, 7)),
    "one with a kernel at each position and zeros on both sides": (Local("c", 5, 3, padding=(1, 1)), (2, 4, 3, 6)),
    "one with a kernel at each position, a stride and zeros": (Local("c", 3, 4, 2, padding=(2, 1)), (2, 5, 8, 11)),
    "a normalisation with the paper's window": (Lrn("n", alpha=0.1), (2, 11, 4, 3)),
    "a normalisation over three maps": (Lrn("n", n=3, k=1.0, alpha=0.3, beta=0.5), (2, 7, 3, 4)),
    "a normalisation with an even n": (Lrn("n", n=4, alpha=0.3), (2, 7, 3, 4)),
    "a normalisation within two towers": (Lrn("n", alpha=0.3, towers=2), (2, 8, 3, 5)),
    "a normalisation with a window wider than the maps": (Lrn("n", n=9, alpha=0.3), (2, 3, 4, 5)),
    "a normalisation over nine maps": (Lrn("n", n=9, k=1.0, alpha=0.1), (2, 13, 4, 3)),
    "a normalisation over eleven maps": (Lrn("n", n=11, alpha=0.1), (2, 17, 3, 4)),
    "a normalisation over nine maps within two towers": (Lrn("n", n=9, alpha=0.1, towers=2), (2, 14, 3, 4)),
    "a normalisation over eleven maps, more than a tower has": (Lrn("n", n=11, alpha=0.1, towers=2), (2, 8, 3, 5)),
    "a normalisation within maps over three pixels": (SpatialLrn("n", n=3, alpha=0.3), (2, 4, 5, 7)),
    "a normalisation within maps over five pixels": (SpatialLrn("n", k=2.0, alpha=0.1, beta=0.5), (2, 3, 7, 9)),
    "a normalisation within maps with an even n": (SpatialLrn("n", n=4, alpha=0.3), (2, 3, 6, 7)),
    "a normalisation within maps smaller than the window": (SpatialLrn("n", n=9, alpha=0.3), (2, 5, 3, 4)),
    "a pool that comes out even": (Pool("p", 3, 2), (2, 4, 9, 7)),
    "a pool that rounds down": (Pool("p", 3, 2), (2, 4, 10, 8)),
    "a pool that rounds up": (Pool("p", 3, 2, ceil=True), (2, 4, 10, 7)),
    "a pool that rounds up in one pixel": (Pool("p", 4, 3, ceil=True), (2, 3, 8, 5)),
    "a pool with gaps between its windows": (Pool("p", 2, 3), (2, 3, 9, 7)),
    "a pool with a border": (Pool("p", 3, 2, padding=(1, 1)), (2, 4, 9, 7)),
    "a pool with a border after only": (Pool("p", 3, 2, padding=(0, 1)), (2, 4, 12, 6)),
    "a pool with a border before only": (Pool("p", 4, 3, padding=(2, 0)), (2, 4, 8, 11)),
    "a pool that rounds up behind its border": (Pool("p", 3, 2, ceil=True, padding=(1, 0)), (2, 4, 9, 6)),
    "a pool that rounds up, not past its border": (Pool("p", 3, 2, ceil=True, padding=(1, 1)), (2, 4, 10, 8)),
    "a mean that comes out even": (Pool("p", 3, 2, average=True), (2, 4, 9, 7)),
    "a mean that rounds up": (Pool("p", 3, 2, ceil=True, average=True), (2, 4, 10, 8)),
    "a mean that rounds up in its columns only": (Pool("p", 4, 3, ceil=True, average=True), (2, 3, 10, 8)),
    "a mean with a border": (Pool("p", 3, 2, padding=(2, 1), average=True), (2, 3, 8, 11)),
    "a mean that rounds up behind its border": (Pool("p", 3, 2, True, (1, 0), True), (2, 3, 7, 6)),
    "a dense layer": (Dense("d", 5), (2, 7)),
    "a dense layer of more than one block of rows": (Dense("d", oracle.ROWS + 5), (2, 7)),
    "a dense layer in two groups": (Dense("d", 6, groups=2), (3, 8)),
    "a dense layer in three groups": (Dense("d", 6, groups=3), (2, 15)),
    "a dense layer in two groups of more than one block of rows": (Dense("d", 2 * oracle.ROWS + 6, groups=2), (2, 8)),
    "a softmax": (Softmax("s"), (2, 7)),
}


@pytest.mark.parametrize("seed", [1, 2, 3], ids=["first seed", "second seed", "third seed"])
@pytest.mark.parametrize(("layer", "shape"), CASES.values(), ids=CASES)
def test_the_loops_of_the_definition_agree_with(layer, shape, seed):
    params, x = weighted(layer, seed, shape[1:]), draw(seed + 10, *shape)
    y = oracle.apply(layer, params, x)
    assert y.shape == (len(x), *layer.output(shape[1:]))
    np.testing.assert_allclose(y, loops(layer, params, x), **EXACT)


def plain(layer):
    """Sizes rounded down, the loops' zeros at the right and bottom left out."""
    return Conv(layer.name, layer.channels, layer.kernel, layer.stride, layer.padding, layer.groups)


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
    "a convolution rounded down": ("a convolution that rounds up in both directions", lambda x, p: (plain(x), p)),
    "a kernel shared by all positions": (
        "a convolution with a kernel at each position",
        lambda x, p: (x, p | {"c.weight": 0 * p["c.weight"] + p["c.weight"][:, :1, :1]}),
    ),
    "kernels of exchanged rows": (
        "a convolution with a kernel at each position",
        lambda x, p: (x, p | {"c.weight": p["c.weight"][:, ::-1]}),
    ),
    "a bias shared by all positions": (
        "a convolution with a kernel at each position",
        lambda x, p: (x, p | {"c.bias": 0 * p["c.bias"] + p["c.bias"][:, :1, :1]}),
    ),
    "zeros after the edge counted in a mean": (
        "a mean that rounds up",
        lambda x, p: (
            Conv("p", 4, 3, 2, groups=4, ceil=True),
            {"p.weight": np.full((4, 1, 3, 3), 1 / 9), "p.bias": np.zeros(4)},
        ),
    ),
    "the maximum for the mean": ("a mean that rounds up", lambda x, p: (Pool("p", 3, 2, ceil=True), p)),
    "the mean for the maximum": ("a pool that rounds up", lambda x, p: (Pool("p", 3, 2, True, average=True), p)),
    "the border on the other side": (
        "a pool with a border after only",
        lambda x, p: (Pool("p", 3, 2, padding=(1, 0)), p),
    ),
    "alpha divided by n within maps": (
        "a normalisation within maps over three pixels",
        lambda x, p: (SpatialLrn("n", n=3, alpha=0.3 / 3), p),
    ),
    "alpha divided by n x n within maps": (
        "a normalisation within maps over three pixels",
        lambda x, p: (SpatialLrn("n", n=3, alpha=0.3 / 9), p),
    ),
    "a window across maps, not within": (
        "a normalisation within maps over three pixels",
        lambda x, p: (Lrn("n", n=3, k=1.0, alpha=0.3), p),
    ),
    "a window of five maps for nine": (
        "a normalisation over nine maps",
        lambda x, p: (Lrn("n", n=5, k=1.0, alpha=0.1), p),
    ),
    "dense groups exchanged": (
        "a dense layer in two groups",
        lambda x, p: (x, p | {"d.weight": np.roll(p["d.weight"], 3, axis=0)}),
    ),
    "dense groups that read every second input": (
        "a dense layer in two groups",
        lambda x, p: (Dense("d", 6), p | {"d.weight": np.kron(p["d.weight"], [1, 0])}),
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


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (Pool("p", 3, 2, padding=(0, 1)), [[-1, -3]]),
        (Pool("p", 2, 2, padding=(1, 0)), [[-1, -2], [-5, -6]]),
        (Pool("p", 2, 2, padding=(1, 1)), [[-1, -2, -4], [-5, -6, -8]]),
        (Pool("p", 2, 2, ceil=True, padding=(1, 0)), [[-1, -2, -4], [-5, -6, -8]]),
        (Pool("p", 2, 2, ceil=True, padding=(0, 1)), [[-1, -3], [-9, -11]]),
    ],
    ids=["after", "before", "on both sides", "before and rounded up", "after, where no further window starts inside"],
)
def test_the_maximum_of_negative_numbers_never_sees_a_border(layer, want):
    np.testing.assert_array_equal(oracle.pool(-IMAGE, layer)[0, 0], want)


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (Pool("p", 2, 2, average=True), [[3.5, 5.5]]),
        (Pool("p", 2, 2, ceil=True, average=True), [[3.5, 5.5], [9.5, 11.5]]),
        (Pool("p", 3, 2, ceil=True, average=True), [[6, 7.5]]),
        (Pool("p", 3, 3, padding=(1, 1), average=True), [[3.5, 5.5]]),
        (Pool("p", 3, 3, True, (1, 0), True), [[3.5, 5.5], [9.5, 11.5]]),
        (Pool("p", 3, 2, True, (2, 2), True), [[1, 2, 3.5], [5, 6, 7.5], [9, 10, 11.5]]),
    ],
    ids=[
        "leaves out a row",
        "divides by two below",
        "divides by six at the right",
        "divides by four in each corner",
        "divides by what is there behind a border",
        "divides by one in the first corner",
    ],
)
def test_a_mean_by_hand(layer, want):
    np.testing.assert_array_equal(oracle.pool(IMAGE, layer)[0, 0], want)


@pytest.mark.parametrize(
    ("layer", "shape", "want"),
    [
        (Pool("p", 3, 2, ceil=True, average=True), (2, 5, 8, 6), [[9, 9, 6], [9, 9, 6], [9, 9, 6], [6, 6, 4]]),
        (Pool("p", 3, 2, average=True), (2, 5, 8, 6), [[9, 9]] * 3),
        (Pool("p", 3, 2, padding=(1, 1), average=True), (2, 5, 5, 3), [[4, 4], [6, 6], [4, 4]]),
    ],
    ids=["that round up", "that round down", "with a border"],
)
def test_the_pixels_that_windows_see_are_counted_in_means(layer, shape, want):
    np.testing.assert_array_equal(oracle.window_counts(shape, layer), [[want]])


def test_a_kernel_meets_zeros_where_its_last_window_is_cut():
    y = oracle.conv(IMAGE, KERNEL, array(0), Conv("c", 1, 2, stride=2, ceil=True))
    np.testing.assert_array_equal(y[0, 0], [[6521, 8743], [109, 131]])
    y = oracle.conv(IMAGE[:, :, :2], KERNEL, array(0), Conv("c", 1, 2, stride=3, ceil=True))
    np.testing.assert_array_equal(y[0, 0], [[6521, 804]])  # one column of the second window is there


CUT = {
    "11 wide, stride 4, as conv1": (11, 4, (2, 3, 16, 21)),
    "5 wide, stride 3": (5, 3, (2, 3, 9, 10)),
    "3 wide, stride 2": (3, 2, (2, 4, 8, 6)),
    "even in its rows": (4, 3, (2, 4, 7, 9)),
}


@pytest.mark.parametrize(("kernel", "stride", "shape"), CUT.values(), ids=CUT)
def test_rounding_up_gives_the_bits_of_explicit_zeros_at_the_right_and_bottom_of_a_kernel(kernel, stride, shape):
    layer = Conv("c", 5, kernel, stride, ceil=True)
    params, x = weighted(layer, 1, shape[1:]), draw(2, *shape)
    (above, below), (left, right) = borders(layer, shape[1:])
    assert (above, left) == (0, 0)
    assert (below, right) == tuple(-(size - kernel) % stride for size in shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (0, below), (0, right)))
    by_hand = oracle.apply(Conv("c", 5, kernel, stride), params, padded)
    np.testing.assert_array_equal(oracle.apply(layer, params, x), by_hand)
    even = oracle.apply(Conv("c", 5, kernel, stride), params, x)
    assert even.shape != by_hand.shape  # rounding down would show


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 2)], ids=str)
def test_equal_kernels_at_all_positions_are_a_shared_convolution_with_padding(padding):
    shared, shape = Conv("c", 5, 3, stride=2, padding=padding), (2, 4, 7, 10)
    params, x = weighted(shared, 1, shape[1:]), draw(2, *shape)
    own = Local("c", 5, 3, stride=2, padding=padding)
    shapes = own.param_shapes(shape[1:])
    everywhere = {
        "c.weight": np.broadcast_to(params["c.weight"][:, None, None], shapes["c.weight"]),
        "c.bias": np.broadcast_to(params["c.bias"][:, None, None], shapes["c.bias"]),
    }
    np.testing.assert_allclose(oracle.apply(own, everywhere, x), oracle.apply(shared, params, x), **EXACT)


def test_a_kernel_at_each_position_by_hand():
    """Position (r, s) multiplies the pixel under its one tap by 10^(3 r + s)."""
    layer, image = Local("c", 1, 1), array([1, 2, 3], [4, 5, 6])[None, None]
    weight = (10.0 ** np.arange(6)).reshape(1, 2, 3, 1, 1, 1)
    y = oracle.local(image, weight, array([0, 0, 7], [0, 0, 0])[None], layer)
    np.testing.assert_array_equal(y[0, 0], [[1, 20, 307], [4000, 50000, 600000]])


def test_a_kernel_at_each_position_is_not_flipped():
    weight = np.stack([KERNEL[0, 0], 2 * KERNEL[0, 0], 3 * KERNEL[0, 0]] * 2).reshape(1, 2, 3, 1, 2, 2)
    y = oracle.local(IMAGE, weight, np.zeros((1, 2, 3)), Local("c", 1, 2))
    np.testing.assert_array_equal(y[0, 0], [[6521, 2 * 7632, 3 * 8743], [10965, 2 * 12076, 3 * 13187]])


def test_normalisation_within_a_map_by_hand():
    """Squares 1 4 9 / 16 25 36: a corner sees four pixels of its own map, the middle six; other maps none."""
    layer, image = SpatialLrn("n", n=3, k=2, alpha=0.5, beta=0.75), array([1, -2, 3], [-4, 5, 6])
    sums = array([1 + 4 + 16 + 25, 91, 4 + 9 + 25 + 36], [1 + 4 + 16 + 25, 91, 4 + 9 + 25 + 36])
    y = oracle.lrn(np.stack([image, 100 * image])[None], layer)
    np.testing.assert_allclose(y[0, 0], image / (2 + 0.5 * sums) ** 0.75, rtol=1e-15)
    np.testing.assert_allclose(y[0, 1], 100 * image / (2 + 0.5 * 1e4 * sums) ** 0.75, rtol=1e-15)


@pytest.mark.parametrize("n", [3, 5], ids=["3 x 3", "5 x 5"])
def test_alpha_is_not_divided_within_maps_over(n):
    x = np.full((1, 2, 7, 9), 2.0)
    y = oracle.lrn(x, SpatialLrn("n", n=n, k=1, alpha=0.5, beta=1))
    assert y[0, 0, 3, 4] == 2 / (1 + 0.5 * n * n * 4)
    assert y[0, 1, 0, 0] == 2 / (1 + 0.5 * (n // 2 + 1) ** 2 * 4)


@pytest.mark.parametrize("n", [9, 11])
def test_a_wide_window_is_clipped_at_the_tower_on_signed_values_with_n(n):
    """Map i of tower t holds (-1)^i (i + 1): the sums by hand, for the first, the middle and the last map of each."""
    maps = np.array([(-1) ** i * (i + 1.0) for i in range(26)])
    y = oracle.lrn(maps.reshape(1, 26, 1, 1), Lrn("n", n=n, k=2, alpha=0.5, beta=0.75, towers=2)).ravel()
    for i, first, last in ((0, 0, n // 2), (6, 6 - n // 2, 6 + n // 2), (12, 12 - n // 2, 12), (13, 13, 13 + n // 2)):
        total = sum((j + 1) ** 2 for j in range(first, last + 1))
        assert y[i] == pytest.approx(maps[i] / (2 + 0.5 * total) ** 0.75, rel=1e-14)


def test_a_grouped_dense_layer_by_hand():
    weight, bias = array([1, 2], [3, 4], [5, 6], [7, 8]), array(0.5, 0, 0, 7)
    y = oracle.apply(Dense("d", 4, groups=2), {"d.weight": weight, "d.bias": bias}, array([1, 10, 100, 1000]))
    np.testing.assert_array_equal(y, [[21.5, 43, 6500, 8707]])


@pytest.mark.parametrize(("units", "groups"), [(6, 2), (6, 3), (2 * oracle.ROWS + 6, 2)], ids=str)
def test_a_grouped_dense_layer_is_a_block_diagonal_one_with(units, groups):
    inputs, layer = 12, Dense("d", units, groups=groups)
    params, x = weighted(layer, 1, (inputs,)), draw(2, 3, inputs)
    blocks = np.zeros((units, inputs))
    for g in range(groups):
        mine = slice(g * units // groups, (g + 1) * units // groups)
        blocks[mine, g * inputs // groups : (g + 1) * inputs // groups] = params["d.weight"][mine]
    whole = oracle.apply(Dense("d", units), params | {"d.weight": blocks}, x)
    np.testing.assert_allclose(oracle.apply(layer, params, x), whole, **EXACT)


def test_relu_before_and_after_a_maximum_give_the_same_bits_and_a_mean_does_not():
    x = draw(1, 2, 4, 10, 7)
    for layer in (Pool("p", 3, 2), Pool("p", 3, 2, ceil=True), Pool("p", 2, 2, padding=(1, 1))):
        np.testing.assert_array_equal(oracle.relu(oracle.pool(x, layer)), oracle.pool(oracle.relu(x), layer))
    mean = Pool("p", 3, 2, average=True)
    assert (oracle.relu(oracle.pool(x, mean)) != oracle.pool(oracle.relu(x), mean)).any()


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

AFFINE = {k: v for k, v in CASES.items() if isinstance(v[0], Conv | Local | Dense)}


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
@pytest.mark.parametrize(
    "case",
    ["a convolution in two groups", "a convolution with a kernel at each position", "a dense layer in two groups"],
)
def test_neither_the_parameters_nor_the_input_are_changed_by(run, case):
    layer, shape = CASES[case]
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
