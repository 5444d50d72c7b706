"""Conditions that TensorFlow computes under: threads, oneDNN, instructions, and what cuDNN may do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import config
from tensorflow.python.util import _pywrap_util_port

from alexnet_parity.impls.settings.every import after_build, with_flags


def flags() -> dict[str, str]:
    """As they are now, read from TensorFlow."""
    return {
        "threads": str(tf.config.threading.get_intra_op_parallelism_threads() or "all"),
        "onednn": str(_pywrap_util_port.IsMklEnabled()),
        "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
        "deterministic": str(config.is_op_determinism_enabled()),
        "onednn_max_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "all"),
    }


def threads(count: int) -> Callable[[Any], Any]:
    """Set before the first operation: TensorFlow makes its threads then and refuses a change after."""

    def wrap(module: Any) -> Any:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
        return with_flags(module, flags)

    return wrap


def set_once(change: Callable[[], object]) -> Callable[[Any], Any]:
    """The wrapper that changes the process once the model is built: build() has a say in it."""
    return lambda module: with_flags(after_build(module, lambda model: change()), flags)


def told(module: Any) -> Any:
    """Nothing changed but what the model tells: the environment does it."""
    return with_flags(module, flags)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "threads-1": threads(1),
    "threads-2": threads(2),
    "threads-3": threads(3),
    "onednn-off": told,
    "isa-avx2": told,
    "tf32-on": set_once(lambda: tf.config.experimental.enable_tensor_float_32_execution(True)),
    "deterministic-off": set_once(config.disable_op_determinism),
}
