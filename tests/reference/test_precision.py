"""Formats against numbers worked by hand and NumPy's own types; sums against exact fractions; the probe's own numbers."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from alexnet_parity.reference import draws, precision, probe, stimuli, variants
from alexnet_parity.reference.precision import (
    BFLOAT16,
    BFLOAT16_TRUNCATED,
    FLOAT16,
    FLOAT32,
    FLOAT32_TRUNCATED,
    FLOAT64,
    PLAIN,
    TENSOR_CORES,
    TF32,
    TF32_AWAY,
    TF32_TRUNCATED,
    Arithmetic,
    Format,
)
from alexnet_parity.reference.spec import AFFINE

THIN = variants.variant("paper-thin")
EVERY_KIND = [
    (name, layer.name) for name in stimuli.BARE for layer in variants.variant(name).layers if isinstance(layer, AFFINE)
]

# Formats --------------------------------------------------------------------------------------------------------------

BY_HAND = [
    (BFLOAT16, 257, 256),  # half-way: to the even one below
    (BFLOAT16, 259, 260),  # half-way: to the even one above
    (BFLOAT16, 258.5, 258),
    (BFLOAT16, -257.001, -258),
    (BFLOAT16_TRUNCATED, 259, 258),
    (BFLOAT16_TRUNCATED, -259.9, -258),
    (TF32, 2049, 2048),
    (TF32, 2051, 2052),
    (TF32, 4095, 4096),
    (TF32_TRUNCATED, 2051, 2050),
    (TF32_AWAY, 2049, 2050),  # half-way: away from zero
    (TF32_AWAY, -2049, -2050),
    (TF32_AWAY, 2051, 2052),
    (TF32_AWAY, 2048.999, 2048),
    (TF32_AWAY, -2049.001, -2050),
    (TF32_AWAY, 4095, 4096),
    (TF32_AWAY, 2.0**-30, 2.0**-30),
    (TF32_AWAY, 2.0**-137, 2.0**-136),  # half of the smallest subnormal
    (TF32_AWAY, (0.5 - 2.0**-54) * 2.0**-136, 0),  # just less: half an ulp more would bring it there
    (TF32_AWAY, float(np.finfo(np.float32).max), np.inf),
    (FLOAT16, 2049, 2048),
    (FLOAT16, 65519, 65504),
    (FLOAT16, 65520, np.inf),
    (FLOAT16, -70000, -np.inf),
    (FLOAT16, 2.0**-24, 2.0**-24),  # the smallest subnormal
    (FLOAT16, 2.0**-25, 0),  # half of it: to even
    (FLOAT16, 1.5 * 2.0**-24, 2.0**-23),
    (TF32, 2.0**-30, 2.0**-30),  # TF32 has float32's range
    (TF32, 1e30, 1616 * 2.0**89),
    (FLOAT32, 2.0**24 + 1, 2.0**24),
    (FLOAT32, 2.0**24 + 3, 2.0**24 + 4),
    (FLOAT32_TRUNCATED, 2.0**24 + 3, 2.0**24 + 2),
    (FLOAT32, 1e39, np.inf),
    (FLOAT32, 2.0**-149, 2.0**-149),
    (FLOAT64, 0.1, 0.1),
    (precision.of_bits(14), 2.0**14 + 3, 2.0**14 + 4),
]


@pytest.mark.parametrize(("known", "value", "want"), BY_HAND, ids=lambda value: getattr(value, "name", str(value)))
def test_rounding_by_hand(known: Format, value: float, want: float):
    assert known.rounded(np.array([value]))[0] == pytest.approx(want, rel=1e-6, abs=0)
    if np.isfinite(want) and abs(want) < 1e29:
        assert known.rounded(np.array([value]))[0] == want


INPUTS = [BFLOAT16, BFLOAT16_TRUNCATED, TF32, TF32_AWAY, TF32_TRUNCATED, FLOAT16]
SUMS = [
    FLOAT32,
    FLOAT64,
    FLOAT32_TRUNCATED,
    *TENSOR_CORES,
    precision.of_bits(23),
    precision.of_bits(23, truncates=True),
]


@pytest.mark.parametrize("known", [*INPUTS, *SUMS], ids=lambda known: known.name)
def test_what_is_infinite_stays_so_and_nan_stays_nan(known):
    got = known.rounded(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0]))
    np.testing.assert_array_equal(got, [np.inf, -np.inf, np.nan, 0, 0])
    np.testing.assert_array_equal(np.signbit(got[3:]), [False, True])


def test_beyond_the_range_lies_infinity_to_nearest_and_the_largest_number_towards_zero():
    beyond = np.array([1e39, -1e39])
    for known in (BFLOAT16, TF32, TF32_AWAY, FLOAT32, FLOAT16):
        np.testing.assert_array_equal(known.rounded(beyond), [np.inf, -np.inf])
    for known in (BFLOAT16_TRUNCATED, TF32_TRUNCATED, FLOAT32_TRUNCATED, *TENSOR_CORES):
        largest = 2.0**128 - 2.0 ** (128 - known.bits)
        np.testing.assert_array_equal(known.rounded(beyond), [largest, -largest])


def test_as_bits_are_dropped_and_added_to():
    """What hardware does to float32's bits, infinity's among them: `and 0xffffe000`; of finite ones, 0x1000 more first."""
    bits = np.random.default_rng(4).integers(0, 2**32, 20000, dtype=np.uint64).astype(np.uint32)
    bits[:4] = (0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x00001000)
    values = bits.view(np.float32)
    bits = bits[~np.isnan(values)]
    values = bits.view(np.float32).astype(np.float64)
    cut = (bits & np.uint32(0xFFFFE000)).view(np.float32)
    np.testing.assert_array_equal(TF32_TRUNCATED.rounded(values), cut)
    more = (bits + np.uint32(0x1000) * np.isfinite(values).astype(np.uint32)) & np.uint32(0xFFFFE000)
    np.testing.assert_array_equal(TF32_AWAY.rounded(values), more.view(np.float32))


def naive(value: float, known: Format) -> float:
    """One number, by exact fractions."""
    if value == 0:
        return 0.0
    exact, exponent = abs(Fraction(value)), 0
    while exact >= 2:
        exact, exponent = exact / 2, exponent + 1
    while exact < 1:
        exact, exponent = exact * 2, exponent - 1
    scaled = exact * 2 ** (known.bits - 1)
    whole = int(scaled) if known.truncates else round(scaled)  # Python rounds halves to even
    whole = int(scaled + Fraction(1, 2)) if known.away else whole
    return float(np.copysign(float(Fraction(whole, 2 ** (known.bits - 1)) * Fraction(2) ** exponent), value))


@pytest.mark.parametrize(
    "known",
    [BFLOAT16, TF32, TF32_AWAY, FLOAT32, BFLOAT16_TRUNCATED, TF32_TRUNCATED, FLOAT32_TRUNCATED, *SUMS[-2:]],
    ids=lambda known: known.name,
)
def test_rounding_as_fractions_do(known):
    random = np.random.default_rng(3)
    values = random.standard_normal(300) * 2.0 ** random.integers(-20, 20, 300)
    values[:40] = np.arange(40) + 2.0 ** (known.bits + 1) + np.arange(40) % 3  # ties among them
    want = [naive(value, known) for value in values]
    np.testing.assert_array_equal(known.rounded(values), want)


def test_float16_and_float32_are_numpys():
    values = np.random.default_rng(5).standard_normal(2000) * 2.0 ** np.arange(-40, 40).repeat(25)
    with np.errstate(over="ignore"):
        want = values.astype(np.float16).astype(np.float64)
    np.testing.assert_array_equal(FLOAT16.rounded(values), want)
    generic = Format("as float16", 11, -14, 15)  # not known by name: rounded by the general rule
    np.testing.assert_array_equal(generic.rounded(values), want)
    generic = Format("as float32", 24)
    np.testing.assert_array_equal(generic.rounded(values), values.astype(np.float32).astype(np.float64))


# Sums -----------------------------------------------------------------------------------------------------------------


def terms(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    x, weight = np.array([*pairs, *[(0.0, 0.0)] * (3 - len(pairs))]).T
    return x.astype(np.float32)[None], weight.astype(np.float32)[None]


def answers(arithmetic: Arithmetic, *pairs: tuple[float, float]) -> set[float]:
    return set(precision.outcomes(*terms(*pairs), arithmetic)[0].tolist())


def test_one_survives_only_where_it_comes_last():
    assert answers(PLAIN, (2.0**24, 1), (1, 1), (-(2.0**24), 1)) == {0, 1}
    assert answers(Arithmetic(accumulator=FLOAT64), (2.0**24, 1), (1, 1), (-(2.0**24), 1)) == {1}
    assert answers(Arithmetic(accumulator=BFLOAT16), (512, 1), (1, 1), (-512, 1)) == {0, 1}
    assert answers(PLAIN, (512, 1), (1, 1), (-512, 1)) == {1}


def test_a_fused_product_is_not_rounded():
    x, w = 1 + 2.0**-23, 1 + 2.0**-23
    rounded = 1 + 2.0**-22  # x w = 1 + 2^-22 + 2^-46
    assert answers(PLAIN, (x, w), (-rounded, 1)) == {0}
    assert answers(Arithmetic(fused=True), (x, w), (-rounded, 1)) == {0, 2.0**-46}
    assert answers(Arithmetic(accumulator=FLOAT64), (x, w), (-rounded, 1)) == {2.0**-46}


def test_each_place_rounds_on_its_own():
    x, w = 1 + 2.0**-9, 1 + 2.0**-10
    assert answers(Arithmetic(activations=BFLOAT16), (x, w)) == {w}
    assert answers(Arithmetic(weights=BFLOAT16), (x, w)) == {x}
    assert answers(Arithmetic(result=BFLOAT16), (x, w)) == {1}
    assert answers(PLAIN, (x, w)) == {1 + 2.0**-9 + 2.0**-10 + 2.0**-19}
    assert answers(Arithmetic(result=BFLOAT16), (x, 1), (-1, 1)) == {2.0**-9}  # a rounded input would leave nothing
    assert answers(Arithmetic(activations=BFLOAT16), (x, 1), (-1, 1)) == {0}


def test_float16_overflows_and_infinities_cancel_to_nan():
    got = precision.outcomes(*terms((60000, 1), (60000, 1), (-60000, 1)), Arithmetic(FLOAT16, FLOAT16, FLOAT16))
    assert set(got[0][np.isfinite(got[0])]) == {60000 - 0.0}
    assert np.isinf(got).any()
    allowed = precision.possible(*terms((70000, 1), (-70000, 1)), np.array([np.nan], np.float32), Arithmetic(FLOAT16))
    assert allowed.all()


def test_a_double_rounding_cannot_go_wrong():
    """1 + 2^-24 + 2^-60: through float64 it would be 1 + 2^-24, a tie, and then 1."""
    assert precision.to_odd(np.array([1 + 2.0**-24]), np.array([2.0**-60]))[0] > 1 + 2.0**-24
    assert precision.added(np.array([1 + 2.0**-24]), np.array([2.0**-60]), FLOAT32)[0] == 1 + 2.0**-23
    assert precision.added(np.array([1 + 2.0**-24]), np.array([-(2.0**-60)]), FLOAT32)[0] == 1


@pytest.mark.parametrize("bits", [8, 11, 24])
def test_sums_are_exact_sums_rounded_once(bits):
    random = np.random.default_rng(bits)
    a, b = random.standard_normal((2, 400)) * 2.0 ** random.integers(-30, 30, (2, 400))
    known = precision.of_bits(bits)
    for one, other, got in zip(a, b, precision.added(a, b, known), strict=True):
        total = Fraction(one) + Fraction(other)
        around = [known.rounded(np.array([float(total) * (1 + step * 2.0**-bits)]))[0] for step in (-1, 0, 1)]
        assert abs(Fraction(got) - total) == min(abs(Fraction(near) - total) for near in around)


def test_tensor_cores_cut_what_lies_below_the_largest():
    plain, extra = TENSOR_CORES[0], TENSOR_CORES[2]
    large, small = (2.0**24, 1), (1.5, 1)
    assert answers(Arithmetic(accumulator=plain), large, small, (-(2.0**24), 1)) == {0, 1.5}
    # with two bits more: 1.5 where all three are added at once; 2^24 + 1.5 is cut to 2^24, and -2^24 + 1.5 to -2^24 + 2
    assert answers(Arithmetic(accumulator=extra), large, small, (-(2.0**24), 1)) == {1.5, 0, 2}
    assert answers(Arithmetic(accumulator=extra), (2.0**24, 1), (0.3125, 1), (-(2.0**24), 1)) == {0, 0.3125}


def test_pieces():
    x = 1 + 2.0**-9 + 2.0**-20
    high, low = precision.pieces_of(np.array([x]), BFLOAT16, 2)
    assert (high[0], low[0]) == (1, 2.0**-9)  # of 2^-9 (1 + 2^-11), eight bits
    three = Arithmetic(BFLOAT16, BFLOAT16, pieces=2)
    six = Arithmetic(BFLOAT16, BFLOAT16, pieces=3)
    assert (three.inputs, six.inputs) == ("bfloat16x3", "bfloat16x6")
    whole, part = np.array([x], np.float32), np.array([1 + 2.0**-9], np.float32)
    assert not precision.possible(*terms((x, 1)), whole, three)[0]
    assert precision.possible(*terms((x, 1)), part, three)[0]
    assert precision.possible(*terms((x, 1)), whole, six)[0]


def test_a_sum_of_pieces_that_no_order_rounds_is_asked_exactly():
    """24 bits times a power of two: three bfloat16 numbers whose sums are exact, and no bound lets a lost bit through."""
    six = Arithmetic(BFLOAT16, BFLOAT16, pieces=3)
    x = 1 + 2.0**-23
    for got, allowed in ((x, True), (1.0, False), (1 + 2.0**-22, False)):
        assert bool(precision.possible(*terms((x, 2.0**-5)), np.array([got * 2.0**-5], np.float32), six)[0]) == allowed
    w = 1 + 2.0**-9 + 2.0**-23  # the product needs more: one ulp off is within the bound
    assert precision.possible(*terms((x, w)), np.array([np.nextafter(np.float32(x * w), np.float32(2))]), six)[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_last_place_of_all_terms(seed):
    random = np.random.default_rng(seed)
    products = np.ldexp(random.integers(-5, 5, (4, 7, 3)).astype(float), random.integers(-20, 20, (4, 7, 3)))
    for column, got in enumerate(precision.last_place(products)):
        fractions = [Fraction(value) for value in products[:, column].ravel() if value]
        want = max(2.0**k for k in range(-30, 30) if all((f / Fraction(2) ** k).denominator == 1 for f in fractions))
        assert got == want
    assert np.isinf(precision.last_place(np.zeros((2, 1, 3)))[0])


def test_infinities_pass_through_sums_that_truncate():
    for known in (FLOAT32_TRUNCATED, *TENSOR_CORES):
        assert answers(Arithmetic(accumulator=known), (np.inf, 1), (1, 1)) == {np.inf}


# The probe's numbers --------------------------------------------------------------------------------------------------


def made(variant: str, layer: str, seed: int = 1) -> stimuli.Stimulus:
    return stimuli.stimulus(variants.variant(variant), f"probe.{layer}", seed)


def test_wide_numbers_are_odd_integers_of_the_bits_asked():
    values = np.abs(probe.wide(7, "some", (4000,)))
    assert ((values >= 1) & (values < 2)).all()
    integers = values * 2.0**23
    assert (integers == np.rint(integers)).all()
    lowest = integers.astype(np.int64) & -integers.astype(np.int64)
    bits = 24 - np.log2(lowest).astype(int)
    assert set(bits) == set(probe.WIDTHS)
    for narrow in (BFLOAT16, TF32, FLOAT16):
        changed = narrow.rounded(values) != values
        assert changed[bits > narrow.bits].all()
        assert not changed[bits <= narrow.bits].any()


@pytest.mark.parametrize(("variant", "layer"), EVERY_KIND)
def test_every_filter_is_asked_something_and_of_every_kind(variant, layer):
    given = made(variant, layer)
    weight = given.params[f"{layer}.weight"]
    taps = np.count_nonzero(weight.reshape(-1, given.network[layer].reduction(given.network.input_shape)), axis=1)
    assert taps.min() >= 2
    assert {2, 3} <= set(taps)
    assert taps.max() >= min(16, weight[0].size - weight[0].size % 2 if weight.ndim == 2 else 16)
    assert not given.params[f"{layer}.bias"].any()
    assert given.x.shape[0] % len(probe.SHEETS) == 0
    assert np.abs(given.x).max() == probe.LARGE
    assert np.abs(weight).max() < 65504  # float16's range


@pytest.mark.parametrize(("variant", "layer"), EVERY_KIND)
def test_only_two_kinds_of_images_leave_the_range_of_float16(variant, layer):
    given = made(variant, layer)
    heaviest = np.abs(given.params[f"{layer}.weight"]).max()
    small = dict.fromkeys(probe.SHEETS, 2.0**-24) | {"unit": 2.0**-38}
    small |= {f"swallow-{turn}": 2.0**-48 for turn in range(3)}
    for place, sheet in enumerate(probe.SHEETS):
        x = np.abs(given.x[place :: len(probe.SHEETS)].astype(np.float64))
        assert x[x > 0].min() >= small[sheet], sheet
        top = 2.0**26 if "swallow" in sheet else 2.0**17 if sheet == "unit" else 65504
        assert x.max() * heaviest < top, sheet


@pytest.mark.parametrize(("variant", "layer"), EVERY_KIND)
def test_of_three_rotations_each_class_is_the_small_one_once(variant, layer):
    given = made(variant, layer)
    classes = probe.classes(given.network[layer], given.network.input_shape)
    small = []
    for turn in range(3):
        image = given.x[probe.SHEETS.index(f"swallow-{turn}")]
        per_class = [np.unique(np.abs(image[classes == which])) for which in range(3)]
        (at,) = [which for which in range(3) if not np.array_equal(per_class[which], [probe.LARGE])]
        small.append(at)
        signs = {float(image[classes == which].ravel()[0]) for which in range(3) if which != at}
        assert signs == {probe.LARGE, -probe.LARGE}
    assert sorted(small) == [0, 1, 2]


def test_in_any_order_exactly_one_rotation_keeps_the_small_number():
    large, small = np.float32(2.0**12), np.float32(2.0**-30)
    for order in itertools.permutations(range(3)):
        kept = 0
        for turn in range(3):
            values = np.roll([large, -large, small], turn)[list(order)]
            kept += bool(np.float32(np.float32(values[0] + values[1]) + values[2]))
        assert kept == 1


def test_what_is_probed():
    assert "probe.conv3" in stimuli.names(THIN)
    assert "probe" in stimuli.names(variants.variant("paper"))
    assert not any(name.startswith("probe") for name in stimuli.names(variants.variant("caffe-thin")))


def test_the_same_numbers_for_ever():
    """Computed once; a change here means that no recorded trace of a probe can be judged any more."""
    given = made("paper-thin", "conv2", seed=0)
    found = (draws.digest(given.params)[:16], draws.digest({"x": given.x})[:16])
    whole = stimuli.stimulus(THIN, "probe", 0)
    assert (*found, draws.digest(whole.params)[:16]) == PINNED


PINNED = ("1506f76b8d40b316", "07907c96ca504eaa", "15c89a927017952c")
