"""The bounds against experiment: a correct float32 layer stays inside, a wrong or less precise one does not."""

import math

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare, traps
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import AFFINE, Conv, Dense, Dropout, Flatten, Lrn, Pool, Relu, Softmax

THIN = [name for name in variants.names() if name.endswith("-thin")]
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
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
def test_numpy_in_single_precision_stays_inside_both_bounds_over_20_seeds_of(kind, name):
    network, most = variants.variant(name), dict.fromkeys(LAYERS, 0.0)
    for seed in range(20):
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


@pytest.mark.parametrize("name", THIN)
def test_random_errors_of_half_of_each_layers_tolerance_stay_inside_the_chains_in(name):
    """Half: tolerances travel as standard deviations, so errors that used all of them could add up to more."""
    for seed in range(5):
        t = Truth(stimuli.stimulus(variants.variant(name), "large", seed))
        away = perturbed(t, seed, part=0.5)
        assert all((away[layer] <= t.tolerances[layer]).all() for layer in away)


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
