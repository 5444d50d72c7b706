"""Keras in less than float32: its policies of mixed types, which compute in a narrower one and keep float32 variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from alexnet_parity.impls.keras import from_channels_last, to_channels_last  # the implementation has chosen the backend
from alexnet_parity.impls.settings.every import rebuilt


def activations(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's output, cast to float32 by the backend: NumPy has no bfloat16."""
    with keras.device(model.device):
        outputs = model(to_channels_last(x))
        return {name: from_channels_last(ops.convert_to_numpy(ops.cast(y, "float32"))) for name, y in outputs.items()}


def policy(name: str) -> Callable[[Any], Any]:
    """The wrapper that builds under a policy; layers keep the one they were made under, and outputs are given as float32."""

    def wrap(module: Any) -> Any:
        def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Any:
            before = keras.config.dtype_policy()
            keras.config.set_dtype_policy(name)
            try:
                model = module.build(network, params, device=device)
            finally:
                keras.config.set_dtype_policy(before)
            told = model.flags
            model.activations = lambda x: activations(model, x)
            model.flags = lambda: {**told(), "policy": name}
            return model

        return rebuilt(module, build)

    return wrap


WRAPPERS = {"mixed-bfloat16": policy("mixed_bfloat16"), "mixed-float16": policy("mixed_float16")}
