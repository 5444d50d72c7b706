"""Keras on TensorFlow: gradients by tf.GradientTape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import tensorflow as tf
from keras import ops

from alexnet_parity.impls import tf_nn


def select(device: str) -> str:
    return "gpu:0" if "GPU" in tf_nn.select(device) else "cpu:0"


def flags(device: str) -> dict[str, str]:
    return tf_nn.flags(device)


def pull_back(function: Callable[[Any], Any], x: Any, start: Any = None) -> tuple[Any, Any]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x, start)


def descent(loss: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    with tf.GradientTape() as tape:
        value = loss()
    return value, tape.gradient(value, [variable.value for variable in variables])


def backward(
    model: Any, x: Any, masks: Mapping[str, Any] | None, upstream: Any, labels: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], Any]:
    """(outputs, gradients at "input" and each of them, gradients of the weights, loss or None)."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = model.up_to_logits(x, masks)
        y = outputs[next(reversed(outputs))]
        loss = None if labels is None else model.loss(labels, y)
    weights = {name: variable.value for name, variable in model.variables.items()}
    found, of_weights = tape.gradient(y if loss is None else loss, ({"input": x, **outputs}, weights), upstream)
    return outputs, found, of_weights, loss


def grouped(convolution: Callable[..., Any], inputs: Any, kernel: Any, how: tuple[Any, ...]) -> Any:
    """Through one tf.function for each shape: XLA compiles it once.

    Keras makes one anew at every call, and XLA compiles it every time (keras 3.15.1, keras/src/backend/tensorflow/nn.py,
    conv, lines 835 to 839). Within ours, its function is part of ours; in a graph it is part of that, and compiled with it.
    """
    if not tf.executing_eagerly():
        return convolution(inputs, kernel)
    kernel = tf.convert_to_tensor(kernel)  # a variable would be held, and traced for itself
    return compiled_convolution(tuple(inputs.shape), tuple(kernel.shape), *how)(inputs, kernel)


@cache
def compiled_convolution(
    _inputs: tuple[int | None, ...],
    _kernel: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
    dilation: tuple[int, ...],
    layout: str,
) -> Any:
    """ops.conv for inputs and a kernel of these shapes: of tensors alone, so that it holds no weights."""

    def convolution(inputs: Any, kernel: Any) -> Any:
        return ops.conv(inputs, kernel, list(strides), padding, layout, dilation)

    return tf.function(convolution, jit_compile=True, autograph=False)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, autograph=False)
