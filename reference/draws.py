"""Seeded numbers that are the same on every machine, for every framework and every version of NumPy.

NumPy promises stable streams for its bit generators but not for the distributions on top of them. So only the raw
64-bit words of Philox (Salmon et al. 2011) are taken from it; everything else is a table look-up. Each array has a
name and the name is part of the key: no draw depends on what was drawn before it.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from statistics import NormalDist

import numpy as np

Array = np.ndarray


BLOCK = 65536  # words looked up at a time: they stay in the cache


def stream(seed: int, name: str) -> np.random.Philox:
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")
    return np.random.Philox(key=key)


def next_words(source: np.random.Philox, count: int) -> Array:
    """The next `count` uniform 16-bit words, uint16; a stream may be read in blocks of multiples of four."""
    raw = source.random_raw(-(-count // 4)).astype("<u8", copy=False)
    return raw.view("<u2")[:count]


def words(seed: int, name: str, count: int) -> Array:
    """The first `count` uniform 16-bit words, uint16, of the stream called `name`."""
    return next_words(stream(seed, name), count)


def looked_up(seed: int, name: str, shape: tuple[int, ...], table: Array) -> Array:
    """Each number the entry of a table of 65,536 that the stream's next word names."""
    source, numbers = stream(seed, name), np.empty(math.prod(shape), table.dtype)
    for start in range(0, numbers.size, BLOCK):
        block = numbers[start : start + BLOCK]
        np.take(table, next_words(source, block.size), out=block, mode="clip")
    return numbers.reshape(shape)


@cache
def _quantiles() -> Array:
    """The 65,536 mid-quantiles of N(0, 1), float32, exactly symmetric about zero."""
    upper = [NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)]
    half = np.array(upper, dtype=np.float32)
    return np.concatenate([-half[::-1], half])


def normal(seed: int, name: str, shape: tuple[int, ...], std: float) -> Array:
    """N(0, std^2), float32, resolved to 65,536 equally likely values (so never beyond 4.3 std)."""
    table = (_quantiles() * np.float32(std)).astype(np.float32)
    return looked_up(seed, name, shape, table)


def integers(seed: int, name: str, shape: tuple[int, ...], choices: Array) -> Array:
    """Each number one of `choices` (equally likely, up to 1 part in 65,536 / len(choices)), float32."""
    table = np.asarray(choices, dtype=np.float32)[np.arange(65536) % len(choices)]
    return looked_up(seed, name, shape, table)


def permutation(seed: int, name: str, count: int) -> Array:
    """A permutation of range(count)."""
    draws = words(seed, name, 4 * count).view("<u8")
    return np.argsort(draws, kind="stable")


def digest(arrays: dict[str, Array]) -> str:
    """SHA-256, hex, over names, shapes and the little-endian float32 bytes of the arrays, in order of name."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        total.update(f"{name}{list(array.shape)}".encode())
        total.update(array.data)
    return total.hexdigest()
