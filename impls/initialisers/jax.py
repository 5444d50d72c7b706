"""The paper's initialisation with jax.nn.initializers.

A key gives the same numbers at each use: two layers drawn with one key begin alike. Each parameter has its own here, split off
the first. jax.random.normal makes its numbers from 23 uniform bits, by the inverse error function.
"""

from __future__ import annotations

import jax
import numpy as np
from jax import numpy as jnp

from alexnet_parity.reference.spec import AFFINE, Layer, Network


def initialiser(layer: Layer, role: str) -> jax.nn.initializers.Initializer:
    """What a user passes for a layer's weight (role "weight") or bias ("bias")."""
    assert isinstance(layer, AFFINE)
    if role == "weight":
        return jax.nn.initializers.normal(layer.init_std)
    if layer.init_bias_std:
        spread = jax.nn.initializers.normal(layer.init_bias_std)
        return lambda key, shape, dtype=jnp.float32: layer.init_bias + spread(key, shape, dtype)
    return jax.nn.initializers.constant(layer.init_bias)


def initial(network: Network, seed: int) -> dict[str, np.ndarray]:
    """First values of every parameter in our layout, float32."""
    shapes = [(layer, *item) for layer, before, _ in network.walk() for item in layer.param_shapes(before).items()]
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: np.array(initialiser(layer, name.rpartition(".")[2])(key, shape, jnp.float32))
        for (layer, name, shape), key in zip(shapes, keys, strict=True)
    }
