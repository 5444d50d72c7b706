"""224 or 227: the sizes of every hypothesis, worked out by hand (evidence, differences.md, section 5)."""

import itertools

import numpy as np
import pytest

from alexnet_parity.reference import input_size, oracle, stimuli, variants
from alexnet_parity.reference.input_size import HYPOTHESES, PADDINGS_OF_224, padded_like, windows

BY_ID = {h.id: h for h in HYPOTHESES}
FITS, SMALL, CEIL_7 = ((27, 13, 6), (27, 13, 6)), ((26, 12, 5), (27, 13, 6)), ((27, 13, 6), (28, 14, 7))

# id: zeros read after the image (negative: pixels left unread), conv1, (maps after pools that round down, maps after
# pools that round up), shows the 55, 13 and 6 of the paper, has 150,528 inputs
TABLE = {
    "A": (0, 55, FITS, True, False),
    "B": (-1, 54, SMALL, False, True),
    "C": (3, 55, FITS, True, True),
    "D": (2, 55, FITS, True, True),
    "E": (1, 55, FITS, True, True),
    "F": (3, 55, FITS, True, True),
    "G": (0, 55, FITS, True, True),
    "H": (-2, 54, SMALL, False, True),
    "I": (2, 55, FITS, True, True),
    "J": (1, 55, FITS, True, True),
    "K": (5, 56, CEIL_7, False, True),
    "L": (0, 55, FITS, True, True),
    "M": (4, 56, CEIL_7, False, True),
    "N": (4, 56, CEIL_7, False, True),
    "O": (-1, 54, SMALL, False, True),
    "P": (4, 57, ((28, 13, 6), (28, 14, 7)), False, False),
    "Q": (1, 55, FITS, True, False),
    "R": (2, 55, FITS, True, False),
    "S": (-1, 55, FITS, True, False),
    "T": (2, 56, CEIL_7, False, False),
    "U": (3, 61, ((30, 14, 6), (30, 15, 7)), False, False),
    "V": (-1, 62, ((30, 14, 6), (31, 15, 7)), False, False),
}
LABELS = [f"{key}: {BY_ID[key].says}" for key in TABLE]


def test_every_hypothesis_stands_once_in_the_table_of_the_evidence():
    assert [h.id for h in HYPOTHESES] == list(TABLE)


@pytest.mark.parametrize(("key", "row"), TABLE.items(), ids=LABELS)
def test_sizes_follow_from_hypothesis(key, row):
    after, conv1, (floor, ceil), fits, inputs = row
    h = BY_ID[key]
    assert (h.zeros[1], h.conv1) == (after, conv1)
    assert (h.sizes(ceil_pools=False), h.sizes(ceil_pools=True)) == ((conv1, *floor), (conv1, *ceil))
    assert (h.fits_figure_2(), h.neurons_in == 150_528) == (fits, inputs)


@pytest.mark.parametrize(("key", "before"), [("N", 3), ("P", 4)], ids=["3 at 224", "4 at 227"])
def test_tensorflow_same_puts_fewer_zeros_before_than_after_or_as_many_namely(key, before):
    assert BY_ID[key].zeros[0] == before


def test_the_authors_code_could_have_run_only_224_and_226():
    assert [h.id for h in HYPOTHESES if h.possible_in_2012()] == ["C", "Q"]


@pytest.mark.parametrize("pair", ["CF", "DI", "EJ", "GL", "BO"], ids=" and ".join)
def test_the_same_pixels_are_read_under(pair):
    one, other = (BY_ID[key] for key in pair)
    assert (one.conv1, one.zeros) == (other.conv1, other.zeros)


def test_every_padding_of_224_that_gives_55_is_listed():
    fitting = {h.zeros for h in HYPOTHESES if h.input == 224 and h.conv1 == 55}
    assert fitting == set(PADDINGS_OF_224)
    assert {before + after for before, after in PADDINGS_OF_224} == {3}


def test_windows_that_round_up_count_each_one_that_is_begun():
    assert [windows(size, 3, 2, ceil=True) for size in (3, 4, 5, 6)] == [1, 2, 2, 3]
    assert [windows(size, 3, 2, ceil=False) for size in (3, 4, 5, 6)] == [1, 1, 2, 2]


# Told apart by an impulse -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers():
    """conv1's answer to the impulse under each padding, at full size."""
    s = stimuli.stimulus(variants.paper_224(), "impulse", seed=1)
    conv1 = s.network["conv1"]
    return {p: oracle.apply(padded_like(conv1, p), s.params, s.x.astype(np.float64)) for p in PADDINGS_OF_224}


@pytest.mark.parametrize("image", [0, 1], ids=["the first pixel", "the last pixel"])
def test_each_padding_answers_differently_to_a_light_in(answers, image):
    assert all(y.shape == (2, 96, 55, 55) for y in answers.values())
    pairs = itertools.combinations([y[image] for y in answers.values()], 2)
    assert not any(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("padding", PADDINGS_OF_224, ids=[f"{b} before and {a} after" for b, a in PADDINGS_OF_224])
def test_the_corners_meet_the_taps_worked_out_by_hand_with(answers, padding):
    before, _ = padding
    number = np.arange(96) * 3 * 121 + 1  # of each filter's first tap
    # Window 0 starts at pixel -before, so pixel 0 lies under tap `before`; window 54 starts at 4 * 54 - before, so
    # pixel 223 lies under tap 7 + before. No other window reaches either pixel.
    last = 7 + before
    np.testing.assert_array_equal(answers[padding][0, :, 0, 0], number + 11 * before + before)
    np.testing.assert_array_equal(answers[padding][1, :, 54, 54], number + 11 * last + last)
    assert [np.count_nonzero(image) for image in answers[padding]] == [96, 96]


def test_two_zeros_on_both_sides_are_two_before_and_one_after():
    s = stimuli.stimulus(variants.paper_224(), "dense.conv1", seed=1)
    one, other = (oracle.apply(padded_like(s.network["conv1"], p), s.params, s.x[:1]) for p in ((2, 2), (2, 1)))
    np.testing.assert_array_equal(one, other)


def test_only_224_and_226_divide_as_the_configuration_of_2012_demands():
    assert input_size.sizes_of_2012() == [226, 224]


def test_a_configuration_of_another_net_would_admit_other_sizes(monkeypatch):
    monkeypatch.setattr(input_size, "PARTIAL_SUMS", {"conv1": 1, "conv2": 1, "conv3 to conv5": 1})
    assert len(input_size.sizes_of_2012()) > 100
