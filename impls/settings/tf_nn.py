"""Modes of the implementation in plain TensorFlow: a graph, and one compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from ...reference.spec import Network, Pool
from .. import tf_nn as eager
from ..interface import Unsupported


class Graph(eager.Model):
    """Every layer's output by one tf.function, the last alone by another, a training pass by a third.

    Grappler makes a division by a constant a product with its reciprocal (tensorflow 2.21, tensorflow/core/grappler/optimizers/
    constant_folding.cc): a mean over nine whole numbers is off by an ulp where XLA and single operations are exact.
    """

    def __init__(self, network: Any, params: Mapping[str, np.ndarray], device: str = "cpu", xla: bool = False) -> None:
        super().__init__(network, params, device)
        self.compiler = "XLA" if xla else "Grappler"
        graph = partial(tf.function, jit_compile=xla, autograph=False)
        back = declined if xla and has_maxima(network) else graph
        self.every_output = graph(lambda x: dict(self.net(x)))
        self.last_output = graph(lambda x: dict(self.net(x))[network.layers[-1].name])
        self.training_pass = back(super().training_pass)  # type: ignore[method-assign]
        self.descent = back(super().descent)  # type: ignore[method-assign]

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with tf.device(self.device):
            found = self.every_output(tf.constant(eager.to_nhwc(x)))
        for layer in self.net.network.layers:
            yield layer.name, eager.from_nhwc(found[layer.name].numpy())

    def output(self, x: np.ndarray) -> np.ndarray:
        with tf.device(self.device):
            return eager.from_nhwc(self.last_output(tf.constant(eager.to_nhwc(x))).numpy())

    def flags(self) -> dict[str, str]:
        return {**super().flags(), "compiler": self.compiler}


def has_maxima(network: Network) -> bool:
    return any(isinstance(layer, Pool) and not layer.average for layer in network.layers)


def declined(_: Callable[..., Any]) -> Callable[..., Any]:
    """For a way back that XLA refuses: "GPU MaxPool gradient ops do not yet have a deterministic XLA implementation".

    On a CPU as well, wherever tf.config.experimental.enable_op_determinism() is asked for, as `tf_nn.select` does
    (tensorflow 2.21, tensorflow/compiler/tf2xla/kernels/pooling_ops.cc, MaxPoolGradOp).
    """

    def refuse(*_: Any) -> Any:
        raise Unsupported(
            "XLA has no deterministic gradient of max-pooling, and deterministic operations are asked for"
        )

    return refuse


def built_by(module: Any, xla: bool) -> Any:
    def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Graph:
        return Graph(network, params, device, xla)

    return SimpleNamespace(**(vars(module) | {"build": build}))


WRAPPERS = {"graph": partial(built_by, xla=False), "xla": partial(built_by, xla=True)}
