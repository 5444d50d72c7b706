"""Settings of the PyTorch implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch


def after_build(module: Any, change: Callable[[Any], None]) -> Any:
    """The module, its models changed once they are built."""

    def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Any:
        model = module.build(network, params, device)
        change(model)
        return model

    return SimpleNamespace(**(vars(module) | {"build": build}))


WRAPPERS = {"threads-1": lambda module: after_build(module, lambda model: torch.set_num_threads(1))}
