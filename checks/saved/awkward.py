"""Weights of every kind of bit pattern that a float32 has, so that whatever changes one of them on its way shows."""

from __future__ import annotations

import math

import numpy as np

from ...reference import draws
from ...reference.spec import Network

Params = dict[str, np.ndarray]

# Zeros of both signs; the smallest and the largest denormals and normals; 1 and its neighbours; infinities; NaNs, quiet
# and signalling, of either sign, with a payload.
PATTERNS = np.array(
    [
        *(0x80000000, 0x00000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000),
        *(0x7F7FFFFF, 0xFF7FFFFF, 0x3F800001, 0x3F7FFFFF, 0xBF800001, 0x7F800000, 0xFF800000),
        *(0x7FC00000, 0xFFC00000, 0x7FC12345, 0x7F800001, 0xFFA54321),
    ],
    dtype=np.uint32,
)


def weights(network: Network, seed: int) -> Params:
    """Parameters of random bits, the patterns above among them, in each parameter from another one on."""
    shapes = network.param_shapes().items()
    return {name: bits(seed, name, shape, 3 * place) for place, (name, shape) in enumerate(shapes)}


def bits(seed: int, name: str, shape: tuple[int, ...], first: int) -> np.ndarray:
    count = math.prod(shape)
    found = draws.words(seed, f"saved/{name}", 2 * count).view("<u4").astype(np.uint32)  # a copy
    planted = np.roll(PATTERNS, -first)[:count]
    places = draws.permutation(seed, f"saved/{name}/places", min(count, 4096))[: len(planted)]
    found[places] = planted[: len(places)]
    return found.view(np.float32).reshape(shape)
