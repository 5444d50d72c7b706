"""The paper's preprocessing against pictures small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alexnet_parity.reference import photograph, preprocessing
from alexnet_parity.reference.preprocessing import ALIGNED, CENTRAL


def picture(width, height):
    """A picture whose every pixel differs from its neighbours."""
    numbers = np.arange(height * width * 3) * 37 % 256
    return Image.fromarray(numbers.reshape(height, width, 3).astype(np.uint8))


def numbered(height, width):
    """Pixels that say where they are: channel, row, column."""
    return np.add.outer(np.arange(3) * 10_000, np.add.outer(np.arange(height) * 100, np.arange(width))).astype(
        np.float32
    )


def in_two_steps(image, size):
    """Rescale all of it, then cut the middle out: the paper's sentence, literally."""
    scale = size / min(image.size)
    large = image.resize(tuple(round(n * scale) for n in image.size), Image.Resampling.BILINEAR)
    left, top = (large.width - size) // 2, (large.height - size) // 2
    return np.asarray(large, np.float32)[top : top + size, left : left + size].transpose(2, 0, 1)


@pytest.mark.parametrize("shape", [(31, 47), (47, 31), (300, 519), (256, 256), (641, 480), (7, 90)], ids=str)
def test_the_square_is_that_of_rescaling_and_cropping(shape):
    image = picture(*shape)
    square = preprocessing.shorter_side(image, 24)
    assert square.shape == (3, 24, 24)
    assert square.dtype == np.float32
    assert np.abs(square - in_two_steps(image, 24)).max() <= 1  # both round to whole grey levels on their way


def test_a_stored_image_is_left_as_it_is():
    image = picture(256, 256)
    assert np.array_equal(preprocessing.shorter_side(image), np.asarray(image).transpose(2, 0, 1))


def test_a_very_long_image_is_cut_in_its_middle():
    long = Image.new("RGB", (40_000, 1), (1, 2, 3))
    long.paste((200, 100, 50), (19_990, 0, 20_010, 1))
    assert np.array_equal(preprocessing.shorter_side(long)[:, 100, 100], [200, 100, 50])


def test_grey_and_transparent_images_become_rgb():
    assert preprocessing.shorter_side(Image.new("L", (30, 20), 7), 8).tolist() == np.full((3, 8, 8), 7.0).tolist()
    assert preprocessing.shorter_side(Image.new("RGBA", (30, 20), (9, 8, 7, 255)), 8)[:, 0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_more_than_8_bits_are_refused_not_cut_off(mode):
    with pytest.raises(ValueError, match="more than 8 bits a channel"):
        preprocessing.shorter_side(Image.new(mode, (30, 20)), 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_of_8_bits_is_read(mode):
    assert preprocessing.shorter_side(Image.new(mode, (30, 20)), 8).shape == (3, 8, 8)


def test_the_photograph_of_the_suite_is_the_same_square():
    with Image.open(photograph.path()) as image:
        square = preprocessing.shorter_side(image)
    mean = np.array(photograph.MEAN_RGB, np.float32)
    ours = preprocessing.subtract_mean(preprocessing.views(square, (103, 131), 1), mean)
    assert np.array_equal(ours, photograph.photograph(103, 131))


def test_a_224_patch_can_begin_at_33_places():
    assert list(preprocessing.offsets(256, 224)) == list(range(33))
    assert len(preprocessing.offsets(24, 24)) == 1


@pytest.mark.parametrize("crop", [0, 257, -1])
def test_a_patch_that_does_not_fit_is_refused(crop):
    with pytest.raises(ValueError, match="expected 1 to 256"):
        preprocessing.offsets(256, crop)


def test_the_ten_views_begin_where_the_paper_says():
    views = preprocessing.ten_views(numbered(9, 12), (5, 6))
    assert views.shape == (10, 3, 5, 6)
    assert [divmod(int(v), 100) for v in views[:5, 0, 0, 0]] == [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    assert [divmod(int(v), 100) for v in views[5:, 0, 0, -1]] == [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    assert np.array_equal(views[5:], views[:5, :, :, ::-1])


def test_the_views_of_a_stored_image_are_224_wide():
    views = preprocessing.ten_views(numbered(256, 256))
    assert views.shape == (10, 3, 224, 224)
    assert views[4, 0, 0, 0] == 16 * 100 + 16


def test_one_view_is_the_centre():
    pixels = numbered(9, 12)
    assert np.array_equal(preprocessing.views(pixels, (5, 6), 1)[0], preprocessing.ten_views(pixels, (5, 6))[4])
    with pytest.raises(ValueError, match="found 9 views"):
        preprocessing.views(pixels, 5, 9)


def test_the_papers_mean_is_that_of_the_place_that_a_view_shows():
    pixels, mean = numbered(9, 12), numbered(9, 12) % 7
    views = preprocessing.ten_views(pixels, (5, 6))
    assert np.array_equal(
        preprocessing.subtract_mean(views, mean, ALIGNED), preprocessing.ten_views(pixels - mean, (5, 6))
    )


def test_the_authors_mean_is_central_and_not_reflected():
    pixels, mean = numbered(9, 12), np.sqrt(numbered(9, 12))
    views = preprocessing.ten_views(pixels, (5, 6))
    less = preprocessing.subtract_mean(views, mean, CENTRAL)
    for view, centred in zip(views, less, strict=True):
        assert np.array_equal(centred, view - mean[:, 2:7, 3:9])
    aligned = preprocessing.subtract_mean(views, mean, ALIGNED)
    assert np.array_equal(less[4], aligned[4])
    assert not any(np.array_equal(less[i], aligned[i]) for i in (0, 1, 2, 3, 5, 6, 7, 8, 9))


def test_a_mean_by_channel_is_the_same_everywhere():
    views = preprocessing.ten_views(numbered(9, 12), (5, 6))
    less = preprocessing.subtract_mean(views, np.array([1, 2, 3]))
    assert less.dtype == np.float32
    assert np.array_equal(views - less, np.broadcast_to(np.array([1, 2, 3])[:, None, None], views.shape))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="expected 'aligned' or 'central'"):
        preprocessing.subtract_mean(np.zeros((1, 3, 2, 2)), np.zeros(3), "centre")
