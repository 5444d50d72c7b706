"""Modes of the Keras implementations on TensorFlow: a graph, as `predict` and `fit` run it, and one compiled by XLA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..keras import Model, from_channels_last, to_channels_last
from .tf_nn import declined, has_maxima


class Graph:
    """The passes of a model, each as one tf.function; what it holds, it holds itself."""

    def __init__(self, model: Model, xla: bool) -> None:
        self.model, self.compiler = model, "XLA" if xla else "Grappler"
        graph = partial(tf.function, jit_compile=xla, autograph=False)
        back = declined if xla and has_maxima(model.network) else graph
        self.every_output = graph(model.__call__)
        self.last_output = graph(lambda x: model(x)[model.network.layers[-1].name])
        model.training_pass = back(model.training_pass)  # type: ignore[method-assign]
        model.compiled = back(model.descent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        with keras.device(self.model.device):
            found = self.every_output(ops.convert_to_tensor(to_channels_last(x)))
        for layer in self.model.network.layers:
            yield layer.name, from_channels_last(ops.convert_to_numpy(found[layer.name]))

    def output(self, x: np.ndarray) -> np.ndarray:
        with keras.device(self.model.device):
            found = self.last_output(ops.convert_to_tensor(to_channels_last(x)))
        return from_channels_last(ops.convert_to_numpy(found))

    def flags(self) -> dict[str, str]:
        return {**self.model.flags(), "compiler": self.compiler}


def built_by(module: Any, xla: bool) -> Any:
    def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Graph:
        return Graph(module.build(network, params, device), xla)

    return SimpleNamespace(**(vars(module) | {"build": build}))


WRAPPERS = {"graph": partial(built_by, xla=False), "xla": partial(built_by, xla=True)}
