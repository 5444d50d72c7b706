"""Settings of the ONNX Runtime implementation."""

from __future__ import annotations

from .options import built_with

WRAPPERS = {"optimised": lambda module: built_with(module, optimised=True)}
