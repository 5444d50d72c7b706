"""The bounds against experiment: a correct float32 layer stays inside, a wrong or less precise one does not."""

import dataclasses
import math

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare, traps
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import (
    AFFINE,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Local,
    Lrn,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
)

THIN = [name for name in variants.names() if name.endswith("-thin")]
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
PAPERS = ["paper-thin", "paper-224-thin", "single-tower-thin"]
PAPER_NORM = variants.paper()["norm1"]


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def as_single(values: np.ndarray) -> np.ndarray:
    """The nearest float32 numbers, as float64: what a float32 layer is really fed."""
    return values.astype(np.float32).astype(np.float64)


# Affine layers ------------------------------------------------------------------------------------------------------


def test_a_correct_sum_is_over_its_bound_three_times_in_ten_billion():
    assert 0 < bounds.failure_probability() < 1e-9
    assert f"{bounds.failure_probability():.0e}" == "3e-10"


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_the_bridge_has_the_moments_that_the_failure_probability_rests_on_at(q):
    """E exp(q X) = sqrt(r / sin r), r = sqrt(2 q), X the integral of a squared Brownian bridge."""
    steps = 400
    walk = np.cumsum(draw(1, 20_000, steps), axis=1) / math.sqrt(steps)
    bridge = walk - walk[:, -1:] * np.arange(1, steps + 1) / steps
    r = math.sqrt(2 * q)
    moment = np.exp(q * np.square(bridge).mean(axis=1)).mean()
    assert moment == pytest.approx(math.sqrt(r / math.sin(r)), rel=0.02)


@pytest.mark.parametrize("signs", ["random", "positive"])
@pytest.mark.parametrize("n", [64, 363, 1200, 2000])
def test_no_sum_of_one_term_after_another_leaves_its_bound_or_is_far_below_it_with(n, signs):
    rng, sums = np.random.default_rng(n), 20_000
    single, y, squares = np.zeros(sums, dtype=np.float32), np.zeros(sums), np.zeros(sums)
    for _ in range(n):
        weight, x = rng.standard_normal((2, sums), dtype=np.float32)
        if signs == "positive":  # partial sums that only grow: the bound's |y| has to carry them
            weight, x = abs(weight), abs(x)
        single += weight * x  # rounded, then added: two roundings a term, no fused multiply-add
        term = weight.astype(np.float64) * x
        y, squares = y + term, squares + term**2
    tolerance = bounds.FACTOR * bounds.U * math.sqrt(n) * (abs(y) + np.sqrt(squares))
    assert 0.03 < (abs(single - y) / tolerance).max() < 0.6


def test_the_affine_bound_by_hand():
    layer = Dense("d", 1)
    params = {"d.weight": np.array([[3.0, -1, 0.5, 1]]), "d.bias": np.array([2.0])}
    x = np.array([[1.0, 4, 2, 0]])
    y = oracle.apply(layer, params, x)  # 3 - 4 + 1 + 0 + 2 = 2; sigma^2 = 9 + 16 + 1 + 0 + 4 = 30
    want = 8 * 2.0**-24 * math.sqrt(4) * (2 + math.sqrt(30))
    assert bounds.local_tolerance(layer, params, x, y).item() == pytest.approx(want, rel=1e-14)


def test_the_affine_bound_counts_only_the_products_of_one_group():
    x = draw(1, 2, 4, 5, 7)
    layer = Conv("c", 6, 3, groups=2)
    params = {"c.weight": draw(2, 6, 2, 3, 3), "c.bias": np.zeros(6)}
    y = oracle.apply(layer, params, x)
    sigma = np.sqrt(oracle.squares(layer, params, x))
    want = 8 * 2.0**-24 * math.sqrt(2 * 3 * 3) * (abs(y) + sigma)
    np.testing.assert_allclose(bounds.local_tolerance(layer, params, x, y), want, rtol=1e-14)


@pytest.fixture(scope="module")
def large():
    """`paper` at full size with large activations."""
    return Truth(stimuli.stimulus(variants.paper(), "large", seed=0))


@pytest.mark.parametrize("name", LAYERS)
def test_tf32_is_ten_times_over_the_bound_or_more_in(large, name):
    layer, x, tf32 = large.network[name], as_single(large.input_of(name)), traps.mantissa(10)
    y = oracle.apply(layer, large.params, x)
    tolerance = bounds.local_tolerance(layer, large.params, x, y)
    rounded = {key: tf32(large.params[key]) for key in (f"{name}.weight", f"{name}.bias")}
    share = abs(oracle.apply(layer, rounded, tf32(x)) - y) / tolerance
    assert share.max() >= 10  # measured 22 (fc8) to 130 (conv1)
    assert np.median(share) > 1


# NumPy's own float32 network ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", THIN)
@pytest.mark.parametrize("kind", ["large", "photograph"])
def test_numpy_in_single_precision_stays_inside_both_bounds_seed_after_seed_of(kind, name):
    network = variants.variant(name)
    most = {layer.name: 0.0 for layer in network.layers if isinstance(layer, AFFINE)}
    for seed in range(20 if name in PAPERS else 6):
        t = Truth(stimuli.stimulus(network, kind, seed))
        x = t.x
        for layer in network.layers:
            got, fed = t.single[layer.name], x.astype(np.float64)
            want = oracle.apply(layer, t.params, fed)
            alone = compare.within(got, want, bounds.local_tolerance(layer, t.params, fed, want))
            end_to_end = compare.within(got, t.trace[layer.name], t.tolerances[layer.name])
            assert alone.ok, f"seed {seed}, {layer.name} alone: {alone.got}"
            assert end_to_end.ok, f"seed {seed}, {layer.name} end to end: {end_to_end.got}"
            if isinstance(layer, AFFINE):
                most[layer.name] = max(most[layer.name], alone.share)
            x = got
    assert min(most.values()) > 0.003, most  # a bound of which less is ever used would prove little


@pytest.mark.parametrize(
    "layer", [Relu("r"), Dropout("d"), Flatten("f"), Pool("p", 2, 2)], ids=lambda layer: layer.kind
)
def test_nothing_is_allowed_where_nothing_rounds_in(layer):
    x = draw(1, 2, 3, 4, 5)
    assert not bounds.local_tolerance(layer, {}, x, oracle.apply(layer, {}, x)).any()


# Response normalisation ---------------------------------------------------------------------------------------------


def torchs_way(x, layer):
    """alpha times n, the sum divided by n."""
    d = layer.k + np.float32(layer.alpha * layer.n) * (oracle.window_sum(x * x, layer) / np.float32(layer.n))
    return x / d**layer.beta


WAYS = {
    "a power": lambda x, layer: x / oracle.lrn_scale(x, layer) ** layer.beta,
    "a power of a mean": torchs_way,
    "an exponential of a logarithm": lambda x, layer: x * np.exp(-layer.beta * np.log(oracle.lrn_scale(x, layer))),
    "square roots": lambda x, layer: x / (np.sqrt(d := oracle.lrn_scale(x, layer)) * np.sqrt(np.sqrt(d))),
}


@pytest.mark.parametrize("scale", [1, 30, 300, 3000])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_normalisation_in_single_precision_is_inside_its_bound_by(way, scale):
    x = (scale * draw(scale, 2, 96, 13, 17)).astype(np.float32)
    got, fed = way(x, PAPER_NORM), x.astype(np.float64)
    want = oracle.lrn(fed, PAPER_NORM)
    outcome = compare.within(got, want, bounds.local_tolerance(PAPER_NORM, {}, fed, want))
    assert outcome.ok, outcome.got
    assert outcome.share > 0.05


MISTAKEN = {
    "alpha off by a percent": {"alpha": 1.01e-4},
    "alpha divided by n": {"alpha": 2e-5},
    "k off by a thousandth": {"k": 2.002},
    "beta off by a thousandth": {"beta": 0.75075},
    "a window of three": {"n": 3},
    "two towers": {"towers": 2},
}


@pytest.mark.parametrize("fields", MISTAKEN.values(), ids=MISTAKEN)
def test_normalisation_is_far_outside_its_bound_at_scale_100_with(fields):
    x = 100 * draw(1, 2, 96, 13, 17)
    want = oracle.lrn(x, PAPER_NORM)
    wrong = oracle.lrn(x, Lrn("norm1", **fields))
    share = abs(wrong - want) / bounds.local_tolerance(PAPER_NORM, {}, x, want)
    assert share.max() > 100


# Normalisation within maps, and means ----------------------------------------------------------------------------------


def taps_of(x, layer: Pool, order=None):
    """Each window's pixels as a stack (K K, N, C, H', W'), float32, zero where there is none, in some order."""
    windows = oracle.windows_of(x, layer).reshape(*layer_shape(x, layer), -1)
    stack = np.moveaxis(windows, -1, 0)
    return stack if order is None else stack[order]


def layer_shape(x, layer: Pool) -> tuple[int, ...]:
    return (len(x), *layer.output(x.shape[1:]))


def one_after_another(stack):
    return np.cumsum(stack, axis=0, dtype=np.float32)[-1]


def in_pairs(stack):
    while len(stack) > 1:
        odd = stack[len(stack) // 2 * 2 :]
        stack = np.concatenate([stack[0 : len(stack) // 2 * 2 : 2] + stack[1::2], odd])
    return stack[0]


def by_rows(stack):
    side = math.isqrt(len(stack))
    return one_after_another(np.stack([one_after_another(row) for row in stack.reshape(side, side, *stack.shape[1:])]))


SUMS = {
    "one after another": one_after_another,
    "backwards": lambda stack: one_after_another(stack[::-1]),
    "in pairs": in_pairs,
    "row by row": by_rows,
    "the largest first": lambda stack: one_after_another(np.take_along_axis(stack, np.argsort(-abs(stack), 0), 0)),
}
MEANS = {
    "three wide, rounded up": (Pool("p", 3, 2, ceil=True, average=True), (2, 7, 14, 9)),
    "five wide, with a border": (Pool("p", 5, 3, padding=(2, 1), average=True), (2, 7, 14, 19)),
}
QUOTIENTS = {
    "a division": lambda total, count: total / count,
    "a product with the reciprocal": lambda total, count: total * (np.float32(1) / count),
}


@pytest.mark.parametrize("summed", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("divided", QUOTIENTS.values(), ids=QUOTIENTS)
@pytest.mark.parametrize(("layer", "shape"), MEANS.values(), ids=MEANS)
@pytest.mark.parametrize("signs", ["random", "positive"])
def test_a_mean_in_single_precision_is_inside_its_bound(layer, shape, summed, divided, signs):
    x = (100 * draw(1, *shape)).astype(np.float32)
    x = abs(x) if signs == "positive" else x
    got = divided(summed(taps_of(x, layer)), oracle.window_counts(shape, layer).astype(np.float32))
    fed = x.astype(np.float64)
    want = oracle.pool(fed, layer)
    outcome = compare.within(got, want, bounds.local_tolerance(layer, {}, fed, want))
    assert outcome.ok, outcome.got
    assert outcome.share > 0.1


def test_the_bound_of_a_mean_is_nearly_reached():
    """Eight numbers just under half of the last bit of the first, each lost when it is added: the worst order there is."""
    layer, x = Pool("p", 3, 2, average=True), np.full((1, 1, 3, 3), 2.0**-24 * 0.99, dtype=np.float32)
    x[0, 0, 0, 0] = 1
    got, fed = one_after_another(taps_of(x, layer)) / np.float32(9), x.astype(np.float64)
    want = oracle.pool(fed, layer)
    outcome = compare.within(got, want, bounds.local_tolerance(layer, {}, fed, want))
    assert outcome.ok
    assert outcome.share > 0.7


@pytest.mark.parametrize(
    ("layer", "counts"),
    [
        (Pool("p", 2, 2, average=True), [[4, 4]]),
        (Pool("p", 2, 2, ceil=True, average=True), [[4, 4, 2], [2, 2, 1]]),
    ],
    ids=["that fit", "cut by the edge"],
)
def test_the_bound_of_a_mean_by_hand_in_windows(layer, counts):
    """(c + 1) 2^-24 times the mean of |x| over the c pixels that are there."""
    x = np.array([[1.0, -2, 3, 4, 5], [-6, 7, 8, 0, 1], [9, 2, -12, 3, 10]])[None, None]
    means = {
        (0, 0): (1 + 2 + 6 + 7) / 4,
        (0, 1): (3 + 4 + 8 + 0) / 4,
        (0, 2): (5 + 1) / 2,
        (1, 0): (9 + 2) / 2,
        (1, 1): (12 + 3) / 2,
        (1, 2): 10,
    }
    tolerance = bounds.local_tolerance(layer, {}, x, oracle.pool(x, layer))[0, 0]
    want = [[2.0**-24 * (c + 1) * means[r, s] for s, c in enumerate(row)] for r, row in enumerate(counts)]
    np.testing.assert_allclose(tolerance, want, rtol=1e-14)


WITHIN = {"3 x 3": SpatialLrn("n", n=3, alpha=5e-5 / 9), "5 x 5": SpatialLrn("n", n=5, alpha=0.001 / 25)}
POWERS = {
    "a power": lambda x, d, beta: x / d**beta,
    "an exponential of a logarithm": lambda x, d, beta: x * np.exp(-beta * np.log(d)),
    "square roots": lambda x, d, beta: x / (np.sqrt(d) * np.sqrt(np.sqrt(d))),
}


@pytest.mark.parametrize("scale", [1, 100, 3000])
@pytest.mark.parametrize("power", POWERS.values(), ids=POWERS)
@pytest.mark.parametrize("summed", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("layer", WITHIN.values(), ids=WITHIN)
def test_normalisation_within_maps_in_single_precision_is_inside_its_bound(layer, summed, power, scale):
    x, half = (scale * draw(scale, 2, 5, 13, 17)).astype(np.float32), layer.n // 2
    around = Pool("w", layer.n, 1, padding=(half, half))
    d = np.float32(layer.k) + np.float32(layer.alpha) * summed(taps_of(x * x, around))
    got, fed = power(x, d, np.float32(layer.beta)), x.astype(np.float64)
    want = oracle.lrn(fed, layer)
    outcome = compare.within(got, want, bounds.local_tolerance(layer, {}, fed, want))
    assert got.dtype == np.float32
    assert outcome.ok, outcome.got
    assert outcome.share > 0.05


def test_the_bound_of_normalisation_within_maps_by_hand():
    """Nine terms in the middle of a map of ones: m = 9, S = 9, d = 1 + 0.5 * 9."""
    layer, x = SpatialLrn("n", n=3, k=1, alpha=0.5, beta=0.75), np.ones((1, 2, 3, 5))
    d = 1 + 0.5 * 9
    roundings = 0.75 * ((9 + 4) * 4.5 / d + 2) + 5 * 0.75 * math.log(d) + 4 + 1
    tolerance = bounds.local_tolerance(layer, {}, x, oracle.lrn(x, layer))
    assert tolerance[0, 1, 1, 2] == pytest.approx(2.0**-24 * d**-0.75 * roundings, rel=1e-14)


PLANTED = {**{f"a mean {name}": case for name, case in MEANS.items()}}
PLANTED |= {f"normalisation {name}": (layer, (2, 5, 13, 17)) for name, layer in WITHIN.items()}


@pytest.mark.parametrize(("layer", "shape"), PLANTED.values(), ids=PLANTED)
def test_three_times_the_bound_in_one_number_is_caught_in(layer, shape):
    x = (100 * draw(1, *shape)).astype(np.float32).astype(np.float64)
    want = oracle.apply(layer, {}, x)
    tolerance, got = bounds.local_tolerance(layer, {}, x, want), want.astype(np.float32)
    assert compare.within(got, want, tolerance).ok
    got[1, 2, 3, 1] = want[1, 2, 3, 1] + 3 * tolerance[1, 2, 3, 1]
    assert compare.within(got, want, tolerance).wrong == 1


MISTAKEN_WITHIN = {
    "alpha off by a percent": {"alpha": 1.01 * 4e-5},
    "alpha undivided": {"alpha": 0.001},
    "alpha divided by n": {"alpha": 0.001 / 5},
    "k off by a thousandth": {"k": 1.001},
    "beta off by a thousandth": {"beta": 0.75075},
    "a window of three": {"n": 3},
}


@pytest.mark.parametrize("fields", MISTAKEN_WITHIN.values(), ids=MISTAKEN_WITHIN)
def test_normalisation_within_maps_is_far_outside_its_bound_at_scale_100_with(fields):
    layer, x = WITHIN["5 x 5"], 100 * draw(1, 2, 5, 13, 17)
    want = oracle.lrn(x, layer)
    wrong = oracle.lrn(x, dataclasses.replace(layer, **fields))
    share = abs(wrong - want) / bounds.local_tolerance(layer, {}, x, want)
    assert share.max() > 100


def test_zeros_counted_in_a_mean_are_far_outside_its_bound():
    layer, x = Pool("p", 3, 2, ceil=True, average=True), 100 * draw(1, 2, 5, 8, 6)
    want = oracle.pool(x, layer)
    wrong = want * oracle.window_counts(x.shape, layer) / 9
    assert (abs(wrong - want) / bounds.local_tolerance(layer, {}, x, want)).max() > 1e4


# Softmax ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 3, 30, 300])
def test_softmax_in_single_precision_is_inside_its_bound_at_scale(scale):
    x = (scale * draw(7, 20, 1000)).astype(np.float32)
    got, fed = oracle.softmax(x), x.astype(np.float64)
    want = oracle.softmax(fed)
    assert compare.within(got, want, bounds.local_tolerance(Softmax("s"), {}, fed, want)).ok


def test_softmax_is_outside_its_bound_when_one_logit_is_off_by_2_to_the_minus_15():
    x = 3 * draw(7, 2, 1000)
    want, wrong = oracle.softmax(x), oracle.softmax(x + 2.0**-15 * (np.arange(1000) == 500))
    assert not compare.within(wrong.astype(np.float32), want, bounds.local_tolerance(Softmax("s"), {}, x, want)).ok


# Carried through layers ---------------------------------------------------------------------------------------------


def jacobian(layer, params, x: np.ndarray, step: float) -> np.ndarray:
    """dy / dx by central differences, one column an input."""
    columns = []
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        columns.append(
            (oracle.apply(layer, params, x + move) - oracle.apply(layer, params, x - move)).ravel() / (2 * step)
        )
    return np.array(columns).T


CARRIED = {
    "normalisation": (Lrn("n", alpha=1e-3), 30 * draw(1, 2, 7, 2, 3)),
    "normalisation over three maps": (Lrn("n", n=3, k=1, alpha=0.1, beta=0.5), draw(2, 2, 5, 3, 4)),
    "normalisation within two towers": (Lrn("n", alpha=1e-3, towers=2), 30 * draw(3, 2, 8, 3, 1)),
    "softmax": (Softmax("s"), 2 * draw(4, 3, 7)),
    "a convolution in groups": (Conv("c", 4, 3, stride=2, padding=(0, 1), groups=2), draw(5, 2, 6, 4, 5)),
    "a dense layer": (Dense("d", 3), draw(6, 2, 7)),
    "a dense layer in groups": (Dense("d", 6, groups=2), draw(11, 2, 8)),
    "a kernel at each position": (Local("l", 3, 3, stride=2, padding=(1, 0)), draw(12, 2, 4, 5, 7)),
    "a convolution that rounds up": (Conv("c", 4, 3, stride=2, ceil=True), draw(13, 2, 3, 4, 6)),
    "normalisation within maps": (SpatialLrn("n", n=3, alpha=1e-3), 30 * draw(14, 2, 3, 4, 5)),
    "normalisation within maps over 5 x 5": (SpatialLrn("n", k=2, alpha=1e-2, beta=0.5), 10 * draw(15, 1, 2, 6, 7)),
    "normalisation over nine maps in towers": (Lrn("n", n=9, alpha=1e-3, towers=2), 30 * draw(16, 2, 14, 2, 3)),
    "a mean": (Pool("p", 3, 2, average=True), draw(17, 2, 3, 5, 7)),
    "a mean cut by the edge": (Pool("p", 3, 2, ceil=True, average=True), draw(18, 2, 3, 6, 4)),
    "a mean with a border": (Pool("p", 3, 2, padding=(1, 1), average=True), draw(19, 2, 3, 5, 7)),
    "flattening": (Flatten("f"), draw(7, 2, 3, 4, 5)),
    "dropout at inference": (Dropout("d"), draw(8, 2, 7)),
}


@pytest.mark.parametrize(("layer", "x"), CARRIED.values(), ids=CARRIED)
def test_independent_errors_are_carried_by_the_jacobian_of(layer, x):
    params = {name: draw(9, *shape) for name, shape in layer.param_shapes(x.shape[1:]).items()}
    before, y = abs(draw(10, *x.shape)), oracle.apply(layer, params, x)
    slopes = jacobian(layer, params, x, step=1e-5 * abs(x).max())
    want = np.sqrt(np.square(slopes * before.ravel()).sum(axis=1)).reshape(y.shape)
    np.testing.assert_allclose(bounds.carried(layer, params, x, y, before), want, rtol=1e-6)


def test_relu_carries_an_error_unchanged_even_where_it_is_closed():
    x = np.array([[-1.0, 0.0, 2.0]])
    before = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(bounds.carried(Relu("r"), {}, x, oracle.relu(x), before), before)


@pytest.mark.parametrize(
    ("layer", "want"),
    [(Pool("p", 2, 2), [[7, 8]]), (Pool("p", 2, 2, ceil=True), [[7, 8, 5], [9, 12, 10]])],
    ids=["that fit", "cut by the edge"],
)
def test_a_pool_carries_the_largest_error_wherever_the_maximum_lies_in_windows(layer, want):
    before = np.array([[1.0, 2, 3, 4, 5], [6, 7, 8, 0, 1], [9, 2, 12, 3, 10]])[None, None]
    x = -before  # the largest value lies where the error is smallest
    np.testing.assert_array_equal(bounds.carried(layer, {}, x, oracle.pool(x, layer), before)[0, 0], want)


# End to end ---------------------------------------------------------------------------------------------------------


def test_the_first_layers_tolerance_end_to_end_is_its_own():
    t = Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", seed=1))
    own = bounds.local_tolerance(t.network["conv1"], t.params, t.input_of("conv1"), t.trace["conv1"])
    np.testing.assert_array_equal(t.tolerances["conv1"], own)


def perturbed(t: Truth, seed: int, part: float) -> dict[str, np.ndarray]:
    """How far the chain ends from the truth if each layer errs at random by up to `part` of its own tolerance."""
    rng, x, away = np.random.default_rng(seed), t.x.astype(np.float64), {}
    for layer in t.network.layers:
        own = bounds.local_tolerance(layer, t.params, t.input_of(layer.name), t.trace[layer.name])
        x = oracle.apply(layer, t.params, x) + part * own * rng.uniform(-1, 1, own.shape)
        away[layer.name] = abs(x - t.trace[layer.name])
    return away


@pytest.mark.parametrize(("name", "part"), [(name, 0.5 if name in PAPERS else 0.25) for name in THIN])
def test_random_errors_of_a_part_of_each_layers_tolerance_stay_inside_the_chains_in(name, part):
    """A half in the paper's networks, a quarter in all.

    Tolerances travel as standard deviations of independent errors, so errors that used all of them could add up to more:
    an error of uniform size up to a half has a deviation of 0.29, and the largest of 20,000 lies at four deviations. Without
    the paper's LRN before pool1 little is added on the way; and where the windows of a pool overlap, the same error is handed
    on up to four times. Real implementations use a fifth at most (measured).
    """
    for seed in range(5):
        t = Truth(stimuli.stimulus(variants.variant(name), "large", seed))
        away = perturbed(t, seed, part)
        assert all((away[layer] <= t.tolerances[layer]).all() for layer in away)


@pytest.mark.parametrize("name", THIN)
def test_numpy_in_single_precision_uses_a_quarter_of_the_chains_tolerance_at_most_in(name):
    """The other side of the test above: what real implementations need is less than what is proved to fit."""
    for seed in range(3):
        t = Truth(stimuli.stimulus(variants.variant(name), "large", seed))
        for layer, want in t.trace.items():
            assert (abs(t.single[layer] - want) <= 0.25 * t.tolerances[layer]).all(), layer


def test_random_errors_of_fifty_times_each_layers_tolerance_leave_the_chains_in_every_layer():
    t = Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", seed=1))
    away = perturbed(t, seed=1, part=50)
    assert all((away[layer] > t.tolerances[layer]).any() for layer in LAYERS)


@pytest.mark.parametrize("layer", [*LAYERS, "norm1", "norm2"])
def test_errors_of_a_given_deviation_come_out_with_the_deviation_carried_through(layer):
    t = Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", seed=1))
    x, y = t.input_of(layer), t.trace[layer]
    before = 1e-7 * abs(x).max() * np.random.default_rng(2).uniform(0.5, 1.5, x.shape)
    expected = bounds.carried(t.network[layer], t.params, x, y, before)
    rng = np.random.default_rng(3)
    trials = [
        oracle.apply(t.network[layer], t.params, x + before * rng.standard_normal(x.shape)) - y for _ in range(200)
    ]
    np.testing.assert_allclose(np.std(trials, axis=0), expected, rtol=0.35)  # seven standard errors of 200 trials
