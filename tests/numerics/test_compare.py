"""The one place where arrays are compared: each way in which a comparison could be fooled, and is not."""

import numpy as np
import pytest

from alexnet_parity.checks import compare

SHAPE = (2, 3, 5, 4)
BIG, TINY = np.finfo(np.float32).max, np.float32(2.0**-149)  # the largest and the smallest positive float32


def single(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def but(array: np.ndarray, value: float, at: tuple[int, ...] = (1, 2, 3, 1)) -> np.ndarray:
    """A copy with one element replaced."""
    other = array.copy()
    other[at] = value
    return other


X = draw(1, *SHAPE)
WANT = X.astype(np.float64)
TOLERANCE = np.full(SHAPE, 1e-3)

UNLIKE = {
    "double precision": (WANT, "dtype float64, expected float32"),
    "half precision": (X.astype(np.float16), "dtype float16, expected float32"),
    "integers": (X.astype(np.int32), "dtype int32, expected float32"),
    "one axis fewer": (X[0], "shape (3, 5, 4), expected (2, 3, 5, 4)"),
    "an axis of one that would be broadcast": (X[:1], "shape (1, 3, 5, 4), expected (2, 3, 5, 4)"),
    "two axes exchanged": (X.swapaxes(2, 3), "shape (2, 3, 4, 5), expected (2, 3, 5, 4)"),
    "as many numbers in one axis": (X.ravel(), "shape (120,), expected (2, 3, 5, 4)"),
}


@pytest.mark.parametrize(
    "judge",
    [compare.bitwise, lambda got, want: compare.within(got, want, TOLERANCE)],
    ids=["bitwise", "within a bound"],
)
@pytest.mark.parametrize(("got", "says"), UNLIKE.values(), ids=UNLIKE)
def test_equal_numbers_are_refused_as(got, says, judge):
    outcome = judge(got, WANT)
    assert (outcome.ok, outcome.share, outcome.got) == (False, None, says)


@pytest.mark.parametrize("shapes", [((64,), (64, 64)), ((64, 64), (64,))], ids=["into a matrix", "from a matrix"])
def test_a_vector_is_not_broadcast(shapes):
    got, want = np.zeros(shapes[0], np.float32), np.zeros(shapes[1])
    assert not compare.bitwise(got, want).ok
    assert not compare.within(got, want, np.ones(shapes[1])).ok


# Bitwise ------------------------------------------------------------------------------------------------------------


def test_equal_bits_pass_with_nothing_of_the_bound_used():
    outcome = compare.bitwise(X, WANT)
    assert (outcome.ok, outcome.share, outcome.ulps, outcome.wrong) == (True, 0.0, 0.0, 0)


def test_equal_bits_pass_whatever_their_layout_in_memory():
    assert compare.bitwise(np.asfortranarray(X), WANT).ok


@pytest.mark.parametrize("towards", [np.inf, -np.inf], ids=["above", "below"])
def test_one_number_one_ulp_away_fails_bitwise_and_is_named_when(towards):
    outcome = compare.bitwise(but(X, np.nextafter(X[1, 2, 3, 1], np.float32(towards))), WANT)
    assert (outcome.ok, outcome.share, outcome.ulps, outcome.wrong) == (False, 2.0, 1.0, 1)
    assert "1 of 120 differ, most at [1, 2, 3, 1]" in outcome.got


@pytest.mark.parametrize(("got", "want"), [(-0.0, 0.0), (0.0, -0.0)], ids=["minus for plus", "plus for minus"])
def test_a_zero_of_the_wrong_sign_fails_bitwise(got, want):
    assert not compare.bitwise(but(X, got), but(WANT, want)).ok


@pytest.mark.parametrize(
    ("got", "want"),
    [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, np.inf), (np.inf, -np.inf)],
    ids=[
        "NaN for a number",
        "a number for NaN",
        "infinity for a number",
        "a number for infinity",
        "infinity for its opposite",
    ],
)
def test_what_is_not_finite_fails_bitwise(got, want):
    assert not compare.bitwise(but(X, got), but(WANT, want)).ok


def test_a_nan_is_counted_and_its_place_named():
    outcome = compare.bitwise(but(X, np.nan), WANT)
    assert (outcome.share, outcome.got) == (None, "1 of 120 not finite, first at [1, 2, 3, 1]: nan")


def test_a_nan_fails_bitwise_even_where_the_truth_has_one():
    assert not compare.bitwise(but(X, np.nan), but(WANT, np.nan)).ok


def test_nothing_is_not_equal_to_nothing():
    empty = np.zeros((2, 0), np.float32)
    assert not compare.bitwise(empty, empty.astype(float)).ok
    assert not compare.within(empty, empty.astype(float), empty.astype(float)).ok


def test_a_tolerance_is_never_broadcast():
    with pytest.raises(ValueError, match="one for each number"):
        compare.within(X, WANT, np.ones(1))


# Within a bound -----------------------------------------------------------------------------------------------------


def test_the_share_of_the_bound_is_that_of_the_worst_element():
    got, want, tolerance = single(1.5, 2.0, 4.25), np.array([1.0, 2.0, 4.0]), np.array([2.0, 0.5, 0.5])
    outcome = compare.within(got, want, tolerance)  # errors 0.5, 0 and 0.25: a quarter, nothing and a half
    assert (outcome.ok, outcome.share, outcome.wrong) == (True, 0.5, 0)
    assert outcome.got == "50.00% of the bound at most, at [2]: 4.25 for 4, tolerance 0.5"
    assert dict(outcome.numbers)["rmse"] == pytest.approx(((0.25 + 0 + 0.0625) / 3) ** 0.5)
    assert dict(outcome.numbers)["rms"] == pytest.approx(((1 + 4 + 16) / 3) ** 0.5)


def test_the_element_furthest_over_its_own_tolerance_is_named_not_the_largest_error():
    outcome = compare.within(single(1.5, 2.0, 5.0), np.array([1.0, 2.0, 4.0]), np.array([0.125, 0.5, 0.75]))
    assert (outcome.ok, outcome.share, outcome.wrong) == (False, 4.0, 2)
    assert outcome.got == "2 of 3 over their bound, worst at [0]: 1.5 for 1, tolerance 0.12"


@pytest.mark.parametrize(
    ("error", "ok"),
    [(0.5, True), (np.nextafter(0.5, 1), False)],
    ids=["equal to the tolerance passes", "just over fails"],
)
def test_an_error(error, ok):
    assert compare.within(single(0.0), np.array([error]), np.array([0.5])).ok is ok


@pytest.mark.parametrize("judged", [X, but(X, -0.0)], ids=["the same bits", "zero of either sign"])
def test_no_tolerance_and_no_error_pass_with(judged):
    outcome = compare.within(judged, judged.astype(np.float64), np.zeros(SHAPE))
    assert (outcome.ok, outcome.share) == (True, 0.0)


def test_no_tolerance_and_an_error_fail_without_a_share():
    outcome = compare.within(but(X, 9.0), WANT, np.zeros(SHAPE))
    assert (outcome.ok, outcome.share, outcome.wrong) == (False, None, 1)
    assert "[1, 2, 3, 1]" in outcome.got


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["NaN", "infinity", "minus infinity"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e30], ids=["of ordinary size", "of any finite size"])
def test_no_tolerance_admits(tolerance, value):
    outcome = compare.within(but(X, value), WANT, np.full(SHAPE, tolerance))
    assert (outcome.ok, outcome.share, outcome.wrong) == (False, None, 1)
    assert outcome.got.startswith("1 of 120 not finite, first at [1, 2, 3, 1]")


@pytest.mark.parametrize(
    ("want", "tolerance"), [(but(WANT, np.nan), TOLERANCE), (WANT, but(TOLERANCE, np.nan))], ids=["truth", "tolerance"]
)
def test_a_number_never_agrees_with_a_nan_in_the(want, tolerance):
    assert not compare.within(but(X, 9.0), want, tolerance).ok


@pytest.mark.parametrize(
    "permuted",
    [X[:, [1, 0, 2]], X[::-1], X[:, :, ::-1], X[..., ::-1]],
    ids=["channels", "images", "rows", "columns"],
)
def test_nothing_is_sorted_until_it_fits_so_not_with_permuted(permuted):
    assert not compare.within(permuted, WANT, TOLERANCE).ok
    assert not compare.bitwise(permuted, WANT).ok


def test_a_single_wrong_number_among_many_fails():
    outcome = compare.within(but(X, X[1, 2, 3, 1] + 1), WANT, TOLERANCE)
    assert (outcome.ok, outcome.wrong) == (False, 1)


# Distances ----------------------------------------------------------------------------------------------------------

DISTANCES = {
    "none from a number to itself": (1.0, 1.0, 0),
    "none between the two zeros": (0.0, -0.0, 0),
    "one to the smallest number from zero": (0.0, TINY, 1),
    "two between the smallest numbers on both sides of zero": (-TINY, TINY, 2),
    "one above a power of two": (2.0, np.nextafter(np.float32(2), np.float32(3)), 1),
    "one below a power of two": (2.0, np.nextafter(np.float32(2), np.float32(1)), 1),
    "two across a power of two": (
        np.nextafter(np.float32(2), np.float32(1)),
        np.nextafter(np.float32(2), np.float32(3)),
        2,
    ),
    "one between negative neighbours": (-2.0, np.nextafter(np.float32(-2), np.float32(-3)), 1),
    "2^23 from one to two": (1.0, 2.0, 2**23),
    "2^24 from minus one to minus four": (-1.0, -4.0, 2**24),
    "all that there are between the largest of both signs": (-BIG, BIG, 2 * (2**31 - 2**23 - 1)),
}


@pytest.mark.parametrize(("a", "b", "distance"), DISTANCES.values(), ids=DISTANCES)
def test_the_distance_in_ulps_is(a, b, distance):
    assert compare.ulps(single(a), single(b)).item() == compare.ulps(single(b), single(a)).item() == distance


def test_ordered_integers_have_the_order_of_the_numbers():
    values = np.sort(draw(2, 1000))
    assert (np.diff(compare.ordered(values)) > 0).all()


def test_rmse_is_taken_in_double_precision():
    assert compare.rmse(single(1e30, 1), np.array([0.0, 1.0])) == pytest.approx(1e30 / 2**0.5)
