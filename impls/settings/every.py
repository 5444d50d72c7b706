"""Settings of any implementation: what it is given is changed, not the implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np


def with_inputs(module: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The module, its models' activations() fed changed inputs."""

    def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Any:
        model = module.build(network, params, device)
        plain = model.activations
        model.activations = lambda x: plain(change(x))
        return model

    return SimpleNamespace(**(vars(module) | {"build": build}))


def off_boundary(x: np.ndarray) -> np.ndarray:
    """A copy of x that begins 4 bytes beyond a multiple of 64."""
    room = np.empty(x.nbytes + 128, dtype=np.uint8)
    start = -room.ctypes.data % 64 + 4
    moved = room[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


WRAPPERS = {"unaligned": lambda module: with_inputs(module, off_boundary)}
