"""What settings of several implementations share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def built_with(module: Any, **options: Any) -> Any:
    """The module, its models built with these options."""

    def build(network: Any, params: Any, device: str = "cpu") -> Any:
        return module.Model(network, params, device, **options)

    return SimpleNamespace(**(vars(module) | {"build": build}))
