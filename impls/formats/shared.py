"""The shared layout in files that NumPy alone writes and reads: .npz, and .safetensors with the safetensors package.

Names as "conv1.weight", kernels (O, I / groups, K, K), dense weights (out, in), biases (out,).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...reference.spec import Network
from ..foreign import weights
from .codec import Codec, Params


class Held:
    """Parameters that nothing is computed with."""

    def __init__(self, params: Mapping[str, np.ndarray]) -> None:
        self.held = dict(params)

    def params(self) -> Params:
        return self.held


def build(network: Network, params: Mapping[str, np.ndarray]) -> Held:
    return Held(params)


def save_npz(model: Any, network: Network, path: Path) -> None:
    np.savez(path, allow_pickle=False, **model.params())


def save_safetensors(model: Any, network: Network, path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in model.params().items()}, path)


def read_npz(path: Path, network: Network) -> Params:
    return weights.npz(path)


def read_safetensors(path: Path, network: Network) -> Params:
    return weights.safetensors(path)


def load_npz(module: Any, network: Network, path: Path) -> Any:
    return module.build(network, read_npz(path, network))


def load_safetensors(module: Any, network: Network, path: Path) -> Any:
    return module.build(network, read_safetensors(path, network))


FORMATS = {
    "npz": Codec(save_npz, load_npz, read_npz),
    "safetensors": Codec(save_safetensors, load_safetensors, read_safetensors),
}
