"""The answers to a probe repeat a few numbers over and over: stored deflated they take a sixth of their size."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

Array = np.ndarray

STIMULI = ("probe",)  # of all others the outputs stand as they are, for any reader of the format
WORTH = 2  # times smaller, at least, or it is left as it is


def packed(array: Array) -> Array | None:
    """Its little-endian bytes deflated (RFC 1950), (n,), uint8; None where that is not worth it."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    small = np.frombuffer(zlib.compress(little.tobytes()), np.uint8)
    return small if small.size * WORTH <= array.nbytes else None


def unpacked(small: Array, about: Any) -> Array:
    """The array again; ValueError where it does not come out at its size. about: its dtype and shape."""
    dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
    size = dtype.itemsize * math.prod(shape)
    reader = zlib.decompressobj()
    try:
        content = reader.decompress(small.tobytes(), size + 1)  # never more than a byte too many
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) != size or not reader.eof or reader.unused_data:
        raise ValueError(f"{len(content)} bytes for {dtype} of shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape)
