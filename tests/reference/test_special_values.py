"""Special values: the cases are what they say, and both answers are worked by hand, from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alexnet_parity.reference import special_answers, special_values, stimuli, variants
from alexnet_parity.reference.spec import Conv, Dense, Local, Lrn, Pool, Relu, Softmax, SpatialLrn
from alexnet_parity.reference.special_answers import ANSWERS, OF_KIND, exact, single
from alexnet_parity.reference.special_values import DENORMAL, INF, KINDS, LARGEST, NAN, THEMES, kind

CASES = [(name, case) for name in KINDS for case in kind(name).cases]
BOTH = pytest.mark.parametrize("answer", [single, exact], ids=["float32", "exact"])


def given(name: str, case: str) -> tuple[np.ndarray, np.ndarray]:
    """Both answers to a case: step by step in float32, and exact."""
    tried = kind(name)
    asked = next(c for c in tried.cases if c.name == case)
    return tuple(asked.of(answer(tried.layer, tried.params, tried.x)) for answer in (single, exact))  # type: ignore[return-value]


def same(got: np.ndarray, want: np.ndarray | list[float]) -> None:
    """Bit for bit but for NaN's payload."""
    want = np.asarray(want, np.float32)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[want == 0]))


# The cases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_case_of_almost_every_theme_and_names_that_differ(name):
    cases = kind(name).cases
    assert len({case.name for case in cases}) == len(cases)
    assert {"nan", "infinity", "denormals", "overflow"} <= {case.theme for case in cases} <= set(THEMES)


@pytest.mark.parametrize("name", KINDS)
def test_axes_of_an_input_have_sizes_of_their_own(name):
    shape = kind(name).network.input_shape
    assert len(set(shape)) == len(shape)
    assert len(kind(name).x) not in shape


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}, {case.name}" for name, case in CASES])
def test_a_case_holds_what_it_is_about(name, case):
    x = kind(name).x[case.image]
    parts = [value[list(case.part)] if case.part else value for value in kind(name).params.values()]
    met = np.concatenate([x.ravel(), *(part.ravel() for part in parts)])
    tiny = (met != 0) & (np.abs(met) < 2.0**-125)
    seen = {
        "nan": np.isnan(met).any(),
        "infinity": np.isinf(met).any(),
        "zero-sign": (np.signbit(met) & (met == 0)).any(),
        "denormals": tiny.any() or (np.abs(x) < 2.0**-60).all() or x.min() == -90,
        "overflow": np.abs(x).max() >= 1e4,
    }
    assert seen[case.theme]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}, {case.name}" for name, case in CASES])
def test_what_a_case_is_said_to_give_is_there(name, case):
    """The word of a case, read off both answers wherever they are not as ordinary as without the special value."""
    tests = {
        "NaN": np.isnan,
        "inf": np.isinf,
        "-inf": lambda y: y == -np.inf,
        "0": lambda y: (y == 0) & ~np.signbit(y),
        "-0": lambda y: (y == 0) & np.signbit(y),
        "denormal": lambda y: (y != 0) & (np.abs(y) < 2.0**-126),
        "normal": lambda y: np.abs(y) > 2.0**-126,
        "largest": lambda y: np.abs(y) == LARGEST,
        "lowest": lambda y: y == -LARGEST,
        "1": lambda y: y == 1,
        "-1": lambda y: y == -1,
        "1 / 11": lambda y: np.abs(y - 1 / 11) < 1e-8,
        "1e-07": lambda y: (np.abs(y) > 5e-8) & (np.abs(y) < 2e-7),
        "5e-17": lambda y: (np.abs(y) > 4e-17) & (np.abs(y) < 6e-17),
        "NaN, neighbours 0": lambda y: np.isnan(y) | (y == 0),
    }
    in_single, in_exact = given(name, case.name)
    assert tests[case.float32](in_single).any()
    exactly = (
        (case.exact or case.float32).replace("-0", "0") if case.theme == "zero-sign" else case.exact or case.float32
    )
    assert tests[exactly](np.where(in_exact == 0, 0, in_exact)).any()


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}, {case.name}" for name, case in CASES])
def test_the_two_answers_part_only_where_a_case_says_so(name, case):
    in_single, in_exact = (np.where(y == 0, 0, y) for y in given(name, case.name))  # exact arithmetic has one zero
    near = np.isclose(in_single, in_exact, rtol=1e-5, atol=3 * 2.0**-149, equal_nan=True)
    assert near.all() == (not case.exact or {case.float32, case.exact} == {"0", "-0"})


def test_stimuli_of_special_values_exist_once_in_full_size_and_once_thin():
    of = {
        name: [s for s in stimuli.names(variants.variant(name)) if s.startswith("special.")]
        for name in variants.names()
    }
    assert {name for name, found in of.items() if found} == {"paper", "paper-thin"}
    assert of["paper"] == of["paper-thin"] == [f"special.{name}" for name in KINDS]


def test_a_stimulus_is_the_same_for_every_seed():
    one, other = (stimuli.stimulus(variants.variant("paper-thin"), "special.conv", seed) for seed in (0, 1))
    assert one.digests == other.digests
    assert one.network.names() == ["conv"]


# Sums of products ---------------------------------------------------------------------------------------------------


@BOTH
def test_a_sum_by_hand(answer):
    """3 * 2 + -1 * 5 + 4 * 0.5 + 7 = 10."""
    params = {"d.weight": np.array([[2, 5, 0.5]], np.float32), "d.bias": np.array([7], np.float32)}
    same(answer(Dense("d", 1), params, np.array([[3, -1, 4]], np.float32)), [[10]])


def test_sums_are_those_of_a_loop():
    """Convolution and unshared kernels: channel, row, column, one product after another, in float32."""
    for name in ("conv", "local"):
        tried = kind(name)
        weight = tried.params[f"{name}.weight"]
        got = single(tried.layer, tried.params, tried.x)
        padded = np.pad(tried.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        with np.errstate(all="ignore"):
            for n, o, row, column in [(0, 0, 2, 3), (3, 1, 1, 2), (5, 5, 0, 0), (6, 4, 2, 4), (9, 0, 2, 3)]:
                total = np.float32(-0.0)
                for c in range(3):
                    for i in range(3):
                        for j in range(3):
                            kernel = weight[o, c, i, j] if name == "conv" else weight[o, row, column, c, i, j]
                            total = np.float32(total + np.float32(padded[n, c, row + i, column + j] * kernel))
                same(got[n, o, row, column].reshape(1), [total])


@pytest.mark.parametrize("name", ["conv", "local"])
def test_nan_reaches_nine_windows_and_no_more_whatever_the_weight(name):
    for case in ("NaN among the inputs", "NaN under a weight of 0"):
        for y in given(name, case):
            assert np.isnan(y).sum() == 9


def test_an_infinity_has_the_sign_of_its_weight():
    """The plain filter is +1 at its corners and in its middle and -1 between, seen from the pixel turned round."""
    want = [[INF, -INF, INF], [-INF, INF, -INF], [INF, -INF, INF]]
    for case, sign in (("inf among the inputs", 1), ("-inf among the inputs", -1)):
        for y in given("conv", case):
            same(y[0, 1:4, 2:5], sign * np.array(want))


def test_inf_minus_inf_is_nan_where_both_are_seen():
    """At columns 3 and 4: the windows at columns 3 and 4 see both, those at 2 and 5 one of them."""
    for y in given("conv", "inf - inf"):
        assert np.isnan(y[0, 1:4, 3:5]).all()
        assert np.isinf(y[0, 1:4, [2, 5]]).all()
        assert np.isfinite(y[0, [0, 4]]).all()


def test_zero_times_inf_is_nan():
    for y in given("dense", "inf under a weight of 0"):
        assert np.isnan(y).all()


def test_zeros_beyond_the_border_times_an_infinite_weight_are_nan():
    """The infinite tap is the first: above and to the left of the pixel. So NaN in the first row and column, inf elsewhere."""
    for y in given("conv", "an infinite weight, also over the border"):
        assert np.isnan(y[0, 0]).all()
        assert np.isnan(y[0, :, 0]).all()
        assert np.isinf(y[0, 1:, 1:]).all()


def test_products_that_are_all_minus_zero_sum_to_minus_zero_unless_something_began_at_zero():
    in_single, in_exact = given("dense", "every product -0, bias -0")
    same(in_single, [-0.0])
    same(in_exact, [0.0])


def test_denormals_are_kept():
    """57 inputs of 1, 2, 3, 1 ... times 1, 2, 1 by map, of one sign: 37 + 2 * 38 + 39 = 152 = 19 * 8, in units of 2^-140."""
    sums = [sum((1, 2, 3)[number % 3] for number in range(start, start + 19)) for start in (0, 19, 38)]
    total = sums[0] + 2 * sums[1] + sums[2]
    for y in given("dense", "denormal inputs"):
        same(y, [total * 2.0**-140])
    for y in given("dense", "denormal inputs under large weights"):
        same(y, [total * 2.0**-14])
    for case in ("denormal weights", "products that become denormal"):
        for y in given("dense", case):
            same(y, [total * 2.0**-140])


def test_a_sum_may_overflow_on_its_way_and_come_back():
    """max + max - max: inf - max = inf in that order, max exactly."""
    in_single, in_exact = given("dense", "a sum that overflows on its way")
    assert abs(in_single[0]) == np.inf
    assert abs(in_exact[0]) == LARGEST


def test_products_that_overflow_and_cancel():
    """2 max - 2 max: inf - inf = NaN, 0 exactly; fused, inf - 2 max is inf."""
    in_single, in_exact = given("dense", "products that overflow and cancel")
    assert np.isnan(in_single[0])
    same(in_exact, [0.0])
    tried = kind("dense")
    case = next(c for c in tried.cases if c.name == "products that overflow and cancel")
    fused = case.of(special_answers.answer("fused", tried.layer, tried.params, tried.x))
    assert abs(fused[0]) == np.inf


# One number at a time -----------------------------------------------------------------------------------------------


@BOTH
def test_relu_by_hand(answer):
    x = np.array([[NAN, INF, -INF, 2, -2, DENORMAL, -DENORMAL, LARGEST, -LARGEST]], np.float32)
    same(answer(Relu("r"), {}, x), [[NAN, INF, 0, 2, 0, DENORMAL, 0, LARGEST, 0]])


def test_relu_of_minus_zero_is_the_larger_zero():
    same(single(Relu("r"), {}, np.array([[-0.0, 0.0]], np.float32)), [[0.0, 0.0]])


def test_tanh_by_hand():
    tried = kind("tanh")
    for name, at, want in (("NaN", 0, NAN), ("inf", 0, 1), ("-inf", 0, -1), ("denormal", 0, DENORMAL), ("-0", 0, -0.0)):
        y = given("tanh", name)[0].ravel()
        same(y[at : at + 1], [want])
    assert math.isclose(single(tried.layer, {}, tried.x).reshape(len(tried.x), -1)[0, 1], math.tanh(-2), rel_tol=1e-6)


@pytest.mark.parametrize("name", ["flatten", "dropout"])
def test_what_is_handed_on_keeps_its_bits(name):
    tried = kind(name)
    for answer in (single, exact):
        same(answer(tried.layer, {}, tried.x), tried.x.reshape(len(tried.x), -1))


# Normalisation ------------------------------------------------------------------------------------------------------


def test_nan_spreads_to_the_five_maps_whose_window_holds_it():
    for y in given("lrn", "one NaN"):
        assert np.isnan(y[1:6, 1, 2]).all()
        assert np.isnan(y).sum() == 5


def test_inf_makes_itself_nan_and_its_neighbours_zero():
    """inf / inf is NaN; 2 / inf is 0, -1 / inf is -0."""
    for y in given("lrn", "one inf"):
        assert np.isnan(y[3, 1, 2])
        assert (y[[1, 2, 4, 5], 1, 2] == 0).all()
        assert np.isnan(y).sum() == 1
        assert (y == 0).sum() == 4


def test_inf_within_a_map_reaches_the_pixels_around_it():
    for y in given("spatial-lrn", "one inf"):
        assert np.isnan(y[1, 2, 3])
        assert (y == 0).sum() == 8


def test_lrn_of_a_square_that_overflows_by_hand():
    """1e20 squared is 1e40, no float32: 1e20 / inf = 0. Exactly, 1e20 / (2 + 1e-4 * 1e40)^0.75 = 1e20 / 1e27 = 1e-7."""
    x = np.array([1e20], np.float32).reshape(1, 1, 1, 1)
    assert single(Lrn("n"), {}, x).item() == 0
    assert math.isclose(exact(Lrn("n"), {}, x).item(), 1e-7, rel_tol=1e-5)
    assert math.isclose(exact(SpatialLrn("n"), {}, x).item(), 1e-7, rel_tol=1e-5)


def test_lrn_of_a_sum_that_overflows_by_hand():
    """Four squares of 1e38: each is a float32, 4e38 is none."""
    x = np.full((1, 4, 1, 1), 1e19, np.float32)
    y = single(Lrn("n"), {}, x).ravel()
    assert y[1] == y[2] == 0  # see all four
    assert (y[[0, 3]] > 0).all()  # see three
    want = 1e19 / (2 + 1e-4 * 4e38) ** 0.75
    assert math.isclose(exact(Lrn("n"), {}, x).ravel()[1], want, rel_tol=1e-5)


def test_lrn_of_denormals_divides_by_two_to_the_three_quarters():
    for y in given("lrn", "all denormal"):
        assert abs(y[0, 0, 0] - 2.0**-140 / 2**0.75) <= 2.0**-149


# Pooling ------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("place", range(9))
def test_a_window_with_nan_at_any_place_has_no_maximum(answer, place):
    x = np.arange(9, dtype=np.float32)
    x[place] = NAN
    assert np.isnan(answer(Pool("p", 3, 3), {}, x.reshape(1, 1, 3, 3))).all()


@pytest.mark.parametrize(("name", "first", "windows"), [("max-pool", 0, 60), ("padded-pool", 2, 18)])
def test_nan_stands_at_each_of_the_nine_places_of_some_window(name, first, windows):
    tried = kind(name)
    x = tried.x[next(c.image for c in tried.cases if c.name.startswith("one NaN"))]
    places = {((row - first) % 3, (column - first) % 3) for _, row, column in np.argwhere(np.isnan(x))}
    assert len(places) == 9
    assert np.isnan(given(name, "one NaN, at each place in a window")[0]).sum() == windows


@pytest.mark.parametrize(
    ("name", "case", "where"),
    [("max-pool", "nothing but -inf", (1, 2, 1)), ("padded-pool", "nothing but -inf, at the edge", (0, 0, 1))],
)
def test_a_maximum_of_nothing_but_minus_infinity_is_that(name, case, where):
    for y in given(name, case):
        assert y[where] == -INF
        assert np.isinf(y).sum() == 1


def test_zero_is_above_minus_zero():
    x = np.array([[[[-0.0, 0.0], [-0.0, -0.0]]], [[[-0.0, -0.0], [-0.0, -0.0]]]], np.float32)
    same(single(Pool("p", 2, 2), {}, x).ravel(), [0.0, -0.0])


def test_means_by_hand():
    """Nine of the largest number: their sum overflows, their mean is one of them; inf with numbers is inf, with -inf NaN."""
    x = np.full((4, 1, 3, 3), LARGEST, np.float32)
    x[1:] = 9
    x[1, 0, 1, 1] = x[2, 0, 0, 0] = INF
    x[2, 0, 2, 2] = -INF
    average = Pool("p", 3, 3, average=True)
    same(single(average, {}, x).ravel(), [INF, INF, NAN, 9])
    same(exact(average, {}, x).ravel(), [LARGEST, INF, NAN, 9])


def test_a_mean_at_the_edge_counts_what_is_there():
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    average = Pool("p", 3, 3, padding=(1, 1), average=True)
    same(single(average, {}, x).ravel(), [(1 + 2 + 4 + 5) / 4])


# Softmax ------------------------------------------------------------------------------------------------------------


@BOTH
def test_softmax_by_hand(answer):
    """exp(0) and exp(-inf) = 0; 1e4 above all others is 1; equal logits share; NaN and inf - inf leave nothing."""
    x = np.array([[0, -INF], [1e4, 0], [-1e4, -1e4], [NAN, 0], [INF, 0], [-INF, -INF]], np.float32)
    same(answer(Softmax("s"), {}, x), [[1, 0], [1, 0], [0.5, 0.5], [NAN, NAN], [NAN, NAN], [NAN, NAN]])


def test_a_probability_may_be_denormal():
    """exp(-90) / (9 + 2 exp(-90)) = 8.19e-40 / 9."""
    for y in given("softmax", "a probability that is denormal"):
        assert math.isclose(y[3], math.exp(-90) / 9, rel_tol=1e-4)


# What implementations are seen to give ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "which"), [(name, which) for name in KINDS for which in OF_KIND[name]])
def test_every_known_answer_is_another_one_somewhere_in_its_kind(name, which):
    tried = kind(name)
    other = special_answers.answer(which, tried.layer, tried.params, tried.x)
    right = single(tried.layer, tried.params, tried.x)
    assert other.shape == right.shape
    assert other.dtype == np.float32
    moves = ("flatten", "dropout")  # a denormal that is only handed on can be flushed as well
    differs = ~((other == right) | (np.isnan(other) & np.isnan(right)))
    assert differs.any() or name in moves


def test_every_answer_is_of_some_kind():
    assert {which for names in OF_KIND.values() for which in names} == set(ANSWERS)


def test_flushing_by_hand():
    smallest = np.float32(2.0**-126)
    x = np.array([smallest, np.nextafter(smallest, np.float32(0)), -DENORMAL, 1, NAN, -INF], np.float32)
    same(special_answers.flush(x), [smallest, 0, 0, 1, NAN, -INF])


def test_sums_carried_from_map_to_map_by_hand():
    """n = 3, alpha = 1: over 1, inf, 2, 3, 4 the sum is inf, inf, inf - 1, then inf - inf = NaN to the end."""
    layer = Lrn("n", n=3, k=1.0, alpha=1.0, beta=1.0)
    x = np.array([1, INF, 2, 3, 4], np.float32).reshape(1, 5, 1, 1)
    same(special_answers.answer("running-sum", layer, {}, x).ravel(), [0, NAN, 0, NAN, NAN])
    same(single(layer, {}, x).ravel()[[0, 1, 2]], [0, NAN, 0])
    assert math.isclose(single(layer, {}, x).ravel()[4], 4 / 26, rel_tol=1e-6)


def test_sums_as_a_matrix_by_hand():
    """Map 4 does not have map 1 in its window, and multiplies its inf by 0."""
    layer = Lrn("n", n=3, k=1.0, alpha=1.0, beta=1.0)
    x = np.array([1, INF, 2, 3, 4], np.float32).reshape(1, 5, 1, 1)
    band = (np.abs(np.subtract.outer(range(5), range(5))) <= 1).astype(np.float32)
    with np.errstate(all="ignore"):
        want = x.ravel() / (1 + (band * np.square(x.ravel())).sum(axis=1))
    same(special_answers.answer("all-maps", layer, {}, x).ravel(), want)
    assert np.isnan(want[[3, 4]]).all()


def test_a_maximum_that_begins_with_the_lowest_number_by_hand():
    x = np.array([[NAN, NAN], [-INF, NAN], [NAN, 5], [-LARGEST, -INF]], np.float32).reshape(4, 1, 1, 2)
    pool = Pool("p", 2, 2, ceil=True, padding=(0, 1))
    same(special_answers.answer("from-lowest", pool, {}, x).ravel(), [-LARGEST, -LARGEST, 5, -LARGEST])
    same(special_answers.answer("without-nan", pool, {}, x).ravel(), [-INF, -INF, 5, -LARGEST])


def test_the_border_left_out_by_hand():
    """A 3-wide kernel with an infinite first tap over 1, 2: the first pixel's window has its zero there."""
    params = {"c.weight": np.zeros((1, 1, 3, 3), np.float32), "c.bias": np.zeros(1, np.float32)}
    params["c.weight"][0, 0, 1] = INF, 1, 1
    layer, x = Conv("c", 1, 3, padding=(1, 1)), np.array([1, 2], np.float32).reshape(1, 1, 1, 2)
    same(single(layer, params, x).ravel(), [NAN, INF])
    same(special_answers.answer("inside", layer, params, x).ravel(), [3, INF])


def test_patches_cut_out_by_a_convolution_by_hand():
    params = {"l.weight": np.ones((1, 2, 2, 1, 2, 2), np.float32), "l.bias": np.zeros((1, 2, 2), np.float32)}
    layer, x = Local("l", 1, 2), np.ones((1, 1, 3, 3), np.float32)
    x[0, 0, 0, 0] = INF
    same(single(layer, params, x).ravel(), [INF, 4, 4, 4])
    same(special_answers.answer("patches", layer, params, x).ravel(), [NAN, 4, 4, 4])


def test_a_tangent_as_a_ratio_loses_digits():
    """512 units of 2^-149, times 0.00489 is 2.5, rounded 3, over 0.00489 is 613: 20 % too large."""
    tried = kind("tanh")
    case = next(c for c in tried.cases if c.name == "denormal")
    y = case.of(special_answers.answer("ratio", tried.layer, {}, tried.x)).ravel()[0]
    assert y == 613 * 2.0**-149
    assert DENORMAL == 512 * 2.0**-149


def test_kinds_are_shared_and_known():
    assert special_values.kind("conv") is special_values.kind("conv")
    assert [tried.layer.name for tried in map(kind, KINDS)] == list(KINDS)
