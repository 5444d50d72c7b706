"""JAX in less than float32: arrays of a narrower type, and its default precision of products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from alexnet_parity.impls import jax as implementation
from alexnet_parity.impls.settings.every import after_build, with_flags


def in_type(model: Any, dtype: Any) -> None:
    """Parameters and inputs cast; what comes out of each layer is given as float32."""
    held = {name: value.astype(dtype) for name, value in model.weights.items()}

    def activations(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with jax.default_device(model.device):
            for name, y in implementation.outputs(model.network, held, jnp.array(x, dtype)):
                yield name, np.array(y.astype(jnp.float32))

    model.activations = activations
    model.params = lambda: {name: np.array(value.astype(jnp.float32)) for name, value in held.items()}


def at_default(model: Any) -> None:
    """Products as JAX makes them unless told: this implementation asks for the highest precision, its users may not.

    On a GPU that is TF32, on a TPU bfloat16. `jax_default_matmul_precision="bfloat16"` asks for the least there is.
    """
    plain = model.activations

    def activations(x: np.ndarray) -> list[tuple[str, np.ndarray]]:
        highest, implementation.HIGHEST = implementation.HIGHEST, lax.Precision.DEFAULT
        try:
            with jax.default_matmul_precision("bfloat16"):
                return list(plain(x))
        finally:
            implementation.HIGHEST = highest

    model.activations = activations


def active() -> dict[str, str]:
    """Are operands rounded at the default? Asked of one product, 1 + 2^-15 times 1."""
    with jax.default_matmul_precision("bfloat16"):
        x = jnp.full((64, 64), 1 + 2.0**-15, jnp.float32)
        same = bool((jnp.matmul(x, jnp.eye(64)) == x).all())
    return {"products": "exact here" if same else "rounded"}


def changed(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    return lambda module: after_build(module, change)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "bfloat16": changed(partial(in_type, dtype=jnp.bfloat16)),
    "float16": changed(partial(in_type, dtype=jnp.float16)),
    "matmul-bfloat16": lambda module: with_flags(after_build(module, at_default), active),
}
