"""The answers to a probe repeat a few numbers over and over: stored deflated they take a sixth of their size."""

from __future__ import annotations

import math
import re
import zlib
from typing import Any

import numpy as np

from . import container

Array = np.ndarray

DTYPE = re.compile(r"[<>|][a-zA-Z]\d{0,4}(\[\w+\])?")  # as NumPy itself says it; a longer text may be of any size
STIMULI = ("probe",)  # of all others the outputs stand as they are, for any reader of the format
WORTH = 2  # times smaller, at least, or it is left as it is


def packed(array: Array) -> Array | None:
    """Its little-endian bytes deflated (RFC 1950), (n,), uint8; None where that is not worth it."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    small = np.frombuffer(zlib.compress(little.tobytes()), np.uint8)
    return small if small.size * WORTH <= array.nbytes else None


def extent(about: Any) -> tuple[np.dtype, tuple[int, ...], int]:
    """Dtype, shape and bytes of an array that a header speaks of; ValueError for what no array has: a size below zero, say."""
    dtype, shape = about["dtype"], about["shape"]
    if not isinstance(dtype, str) or not DTYPE.fullmatch(dtype) or not container.naturals(shape) or len(shape) > 32:
        raise ValueError(f"{str(about)[:80]} for a dtype and shape")
    return np.dtype(dtype), tuple(shape), np.dtype(dtype).itemsize * math.prod(shape)


def unpacked(small: Array, about: Any) -> Array:
    """The array again; ValueError where it does not come out at its size. about: its dtype and shape.

    Takes as much memory as `about` says: whether that may be is asked before (`room.py`).
    """
    dtype, shape, size = extent(about)
    reader = zlib.decompressobj()
    try:
        content = reader.decompress(small.tobytes(), size + 1)  # never more than a byte too many
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) != size or not reader.eof or reader.unused_data:
        raise ValueError(f"{len(content)} bytes for {dtype} of shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape)
