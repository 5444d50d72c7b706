"""Settings of the JAX implementation."""

from __future__ import annotations

from .options import built_with

WRAPPERS = {"jit": lambda module: built_with(module, compiled=True)}
