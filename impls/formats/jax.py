"""What JAX's users save: their arrays by name, as .npz (jax.numpy.savez) or .safetensors (safetensors.flax, which needs no Flax).

JAX itself has no format for weights: `jax.export` saves a function, which takes them as an argument or has them as constants
without names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from alexnet_parity.impls.foreign import weights as files
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Network


def save_npz(model: Any, network: Network, path: Path) -> None:
    jnp.savez(path, **model.weights)


def load_npz(module: Any, network: Network, path: Path) -> Any:
    model = empty(module, network)
    with jax.default_device(model.device), jnp.load(path) as arrays:
        model.weights = {name: jnp.asarray(arrays[name]) for name in arrays.files}
    return model


def read_npz(path: Path, network: Network) -> Params:
    return files.npz(path)


def save_safetensors(model: Any, network: Network, path: Path) -> None:
    from safetensors.flax import save_file

    save_file(model.weights, path)


def load_safetensors(module: Any, network: Network, path: Path) -> Any:
    from safetensors.flax import load_file

    model = empty(module, network)
    with jax.default_device(model.device):
        model.weights = load_file(path)
    return model


def read_safetensors(path: Path, network: Network) -> Params:
    files.safetensors(path)  # refuses what is damaged, in one line
    from safetensors.flax import load_file

    return {name: np.array(value) for name, value in load_file(path).items()}


FORMATS = {
    "jax-npz": Codec(save_npz, load_npz, read_npz),
    "jax-safetensors": Codec(save_safetensors, load_safetensors, read_safetensors),
}
