"""TensorFlow in less than float32: weights and inputs cast, and what oneDNN may do with float32's products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_parity.impls.settings.every import after_build, with_flags
from alexnet_parity.impls.tf_nn import from_nhwc, from_tf, to_nhwc


def in_type(model: Any, dtype: tf.DType) -> None:
    """Variables and inputs cast; what comes out of each layer is given as float32."""
    held = {name: tf.Variable(tf.cast(value, dtype)) for name, value in model.net.weights.items()}
    model.net.weights = held

    def activations(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with tf.device(model.device):
            for name, y in model.net(tf.cast(tf.constant(to_nhwc(x)), dtype)):
                yield name, from_nhwc(tf.cast(y, tf.float32).numpy())

    model.activations = activations
    model.params = lambda: {name: from_tf(tf.cast(value, tf.float32).numpy()) for name, value in held.items()}


def active() -> dict[str, str]:
    """Are operands rounded? Asked of one product, 1 + 2^-15 times 1, in a matrix large enough."""
    x = tf.fill((64, 64), np.float32(1 + 2.0**-15))
    same = bool(tf.reduce_all(tf.matmul(x, tf.eye(64)) == x))
    return {"products": "exact here" if same else "rounded"}


def changed(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    return lambda module: after_build(module, change)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "bfloat16": changed(partial(in_type, dtype=tf.bfloat16)),
    "float16": changed(partial(in_type, dtype=tf.float16)),
    "fpmath-bfloat16": lambda module: with_flags(module, active),  # the environment does it
}
