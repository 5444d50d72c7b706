"""Conditions that JAX computes under: threads, instructions, and what a GPU may do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import lax

from alexnet_parity.impls import jax as implementation
from alexnet_parity.impls.settings.every import after_build, with_flags

POOL = "tf_XLAEigen"  # as XLA names the threads that it computes with


def flags() -> dict[str, str]:
    """Threads counted by their name where the system tells; what XLA was given, each flag by its name."""
    given = (flag.lstrip("-").partition("=") for flag in os.environ.get("XLA_FLAGS", "").split())
    return {
        "threads": str(counted() or os.environ.get("PJRT_NPROC", "all")),
        "precision": str(jax.config.jax_default_matmul_precision),
        **{name: value for name, _, value in given},
    }


def counted() -> int:
    """How many threads XLA has for its operations; 0 where there is no /proc."""
    names = (task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").glob("*"))
    return Counter(name.rstrip("0123456789") for name in names)[POOL]


def set_once(change: Callable[[], object]) -> Callable[[Any], Any]:
    """The wrapper that changes the process once the model is built: build() has a say in it."""
    return lambda module: with_flags(after_build(module, lambda model: change()), flags)


def told(module: Any) -> Any:
    """Nothing changed but what the model tells: the environment does it."""
    return with_flags(module, flags)


def tensor_float() -> None:
    """TF32 where JAX's users say nothing; `impls/jax.py` asks for the highest precision at each product."""
    jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    implementation.HIGHEST = lax.Precision.DEFAULT


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "threads-1": told,
    "threads-2": told,
    "threads-3": told,
    "isa-avx2": told,
    "tf32-on": set_once(tensor_float),
    "deterministic-off": told,
    "autotune-on": told,
}
