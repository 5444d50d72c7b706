"""Settings of the OpenVINO implementation."""

from __future__ import annotations

from .options import built_with

WRAPPERS = {"default-precision": lambda module: built_with(module, precision="")}
