"""The photograph is a file of the project: no decoder is needed for it, and another file is not taken for it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from alexnet_parity.reference import photograph


@pytest.fixture
def afresh():
    photograph.stored.cache_clear()
    yield
    photograph.stored.cache_clear()


def test_the_file_is_the_one_that_the_digest_is_of():
    pixels = np.load(photograph.STORED)["photograph"]
    assert (pixels.shape, pixels.dtype) == ((3, 256, 256), np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == photograph.DIGEST


@pytest.mark.usefixtures("afresh")
def test_another_file_is_refused(tmp_path, monkeypatch):
    pixels = np.load(photograph.STORED)["photograph"]
    pixels[1, 100, 77] ^= 1
    np.savez_compressed(tmp_path / "photograph.npz", photograph=pixels)
    monkeypatch.setattr(photograph, "STORED", tmp_path / "photograph.npz")
    with pytest.raises(ValueError, match="is not the photograph of this project"):
        photograph.photograph(7, 9)


def test_what_is_given_out_can_be_written_to_and_what_is_kept_cannot():
    before = photograph.photograph(7, 9)
    photograph.photograph(7, 9)[...] = 0
    np.testing.assert_array_equal(photograph.photograph(7, 9), before)
    assert not photograph.stored().flags.writeable
