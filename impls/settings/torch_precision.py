"""PyTorch in less than float32: autocast, modules of a narrower type, and what oneDNN may do with float32's products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from alexnet_parity.impls.settings.every import after_build, with_flags

Change = Callable[[Any], None]


def recorded_by(model: Any, step: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
    """Have the model's activations computed layer by layer by step(layer, x), and given as float32."""

    @torch.inference_mode()
    def activations(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        y = model.tensor(x)
        for name, layer in model.net.named_children():
            y = step(layer, y)
            yield name, y.float().cpu().numpy().copy()

    model.activations = activations


def autocast(model: Any) -> None:
    """torch.autocast as its users write it: the module stays float32."""

    def step(layer: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(model.device.type, torch.bfloat16):
            return layer(x)

    recorded_by(model, step)


def in_type(model: Any, dtype: torch.dtype) -> None:
    """module.to(dtype), and inputs of that type."""
    model.net.to(dtype)
    recorded_by(model, lambda layer, x: layer(x.to(dtype)))
    state = model.net.state_dict
    model.params = lambda: {name: value.float().cpu().numpy().copy() for name, value in state().items()}


def narrow_products(precision: str) -> None:
    """What oneDNN may round float32's operands to, in matrix products and convolutions.

    Source: torch/backends/mkldnn/__init__.py, whose fp32_precision is new in 2.9. `torch.set_float32_matmul_precision` sets the
    one for matrix products: "medium" bf16, "high" tf32.
    """
    for products in (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv):
        products.fp32_precision = precision


def active() -> str:
    """Does this processor's oneDNN round operands now? Asked of one product, 1 + 2^-15 times 1, in a matrix large enough."""
    x = torch.full((64, 64), 1 + 2.0**-15)
    y = torch.nn.functional.linear(x, torch.eye(64))
    return "exact here" if torch.equal(y, x) else "rounded"


def products(precision: str) -> Callable[[Any], Any]:
    """The wrapper; back to float32's own as soon as the activations have been computed."""

    def change(model: Any) -> None:
        plain = model.activations

        def activations(x: np.ndarray) -> list[tuple[str, np.ndarray]]:
            narrow_products(precision)
            try:
                return list(plain(x))
            finally:
                narrow_products("none")

        model.activations = activations

    def flags() -> dict[str, str]:
        narrow_products(precision)
        try:
            return {"onednn_products": precision, "products": active()}
        finally:
            narrow_products("none")

    return lambda module: with_flags(after_build(module, change), flags)


def changed(change: Change) -> Callable[[Any], Any]:
    return lambda module: after_build(module, change)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "autocast-bfloat16": changed(autocast),
    "bfloat16": changed(partial(in_type, dtype=torch.bfloat16)),
    "float16": changed(partial(in_type, dtype=torch.float16)),
    "mkldnn-bfloat16": products("bf16"),
    "mkldnn-tf32": products("tf32"),
}
