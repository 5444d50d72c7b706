"""Keras on PyTorch: gradients by torch.autograd as `impls/torch.py` takes them, its variables being parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from alexnet_parity.impls import torch as plain


def select(device: str) -> str:
    return "gpu:0" if plain.select(device).type == "cuda" else "cpu"


def flags(device: str) -> dict[str, str]:
    return plain.flags(torch.device("cuda" if "gpu" in device else "cpu"))


def pull_back(function: Callable[[Any], Any], x: Any, start: Any = None) -> tuple[Any, Any]:
    leaf = x.detach().requires_grad_()
    y = function(leaf)
    (gradient,) = plain.gradients_of(y, [leaf], start)
    return y, gradient


def descent(loss: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    value = loss()
    return value.detach(), list(plain.gradients_of(value, [variable.value for variable in variables]))


def backward(
    model: Any, x: Any, masks: Mapping[str, Any] | None, upstream: Any, labels: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], Any]:
    """(outputs, gradients at "input" and each of them, gradients of the weights, loss or None)."""
    leaf = x.detach().requires_grad_()
    outputs = model.up_to_logits(leaf, masks)
    y = outputs[next(reversed(outputs))]
    loss = None if labels is None else model.loss(labels, y)
    around = {"input": leaf, **outputs}
    sources = [*around.values(), *(variable.value for variable in model.variables.values())]
    found = plain.gradients_of(y if loss is None else loss, sources, upstream)
    of_weights = dict(zip(model.variables, found[len(around) :], strict=True))
    return outputs, dict(zip(around, found, strict=False)), of_weights, loss


def grouped(convolution: Callable[..., Any], inputs: Any, kernel: Any, how: tuple[Any, ...]) -> Any:
    return convolution(inputs, kernel)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As it is: `fit` compiles nothing here, unless it is asked to."""
    return function
