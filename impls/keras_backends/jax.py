"""Keras on JAX: its variables are given values in a StatelessScope, so that jax.vjp sees pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import keras

from alexnet_parity.impls import jax as plain
from alexnet_parity.impls.interface import Unavailable


def select(device: str) -> str:
    plain.prepare()
    has_gpu = any(found.platform == "gpu" for found in jax.devices())
    if device == "cuda" and not has_gpu:
        raise Unavailable("JAX sees no GPU here; run with --device cpu, or pip install 'jax[cuda12]'")
    return "gpu:0" if has_gpu and device != "cpu" else "cpu:0"


def flags(device: str) -> dict[str, str]:
    gpu = jax.devices("gpu")[0].device_kind if "gpu" in device else ""
    return {
        "device": f"{device} {gpu}".strip(),
        "tf32": str(jax.config.jax_default_matmul_precision != "highest"),
        "deterministic": "requested",  # XLA has no way to ask
    }


def stateless(variables: Sequence[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """(values, *arguments) -> function(*arguments) with these values for the variables; what it would set is dropped."""

    def pure(values: Sequence[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*arguments)

    return pure


def pull_back(function: Callable[[Any], Any], x: Any, start: Any = None) -> tuple[Any, Any]:
    y, back = jax.vjp(function, x)
    (gradient,) = back(jax.numpy.ones_like(y) if start is None else start)
    return y, gradient


def descent(loss: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    return jax.value_and_grad(stateless(variables, loss))([variable.value for variable in variables])


def backward(
    model: Any, x: Any, masks: Mapping[str, Any] | None, upstream: Any, labels: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], Any]:
    """(outputs, gradients at "input" and each of them, gradients of the weights, loss or None).

    Layer by layer, as JAX tells no gradients on the way: what goes back from one layer arrives at the one before it.
    """
    steps, outputs, y = [], {}, x
    for name in model.names_up_to_logits():
        own = {n: variable for n, variable in model.variables.items() if n.partition(".")[0] == name}
        mask = (masks or {}).get(name)
        pure = stateless(list(own.values()), lambda y, name=name, mask=mask: model.apply(name, y, mask))
        y, back = jax.vjp(pure, [variable.value for variable in own.values()], y)
        outputs[name] = y
        steps.append((name, list(own), back))
    loss, upstream = (None, upstream) if labels is None else pull_back(lambda y: model.loss(labels, y), y)
    gradients: dict[str, Any] = {}
    of_weights: dict[str, Any] = {}
    for name, own_names, back in reversed(steps):
        gradients[name] = upstream
        found, upstream = back(upstream)
        of_weights |= dict(zip(own_names, found, strict=True))
    return outputs, {"input": upstream, **gradients}, of_weights, loss


def grouped(convolution: Callable[..., Any], inputs: Any, kernel: Any, how: tuple[Any, ...]) -> Any:
    return convolution(inputs, kernel)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As it is, operation by operation: a jax.jit of it would hold the weights as constants."""
    return function
