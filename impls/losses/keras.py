"""Cross-entropy in Keras, from logits and from probabilities.

From probabilities (from_logits=False, the default, and what "sparse_categorical_crossentropy" in compile() stands for) Keras
clips them to 1e-7 .. 1 - 1e-7 before the logarithm (keras 3.15.1, keras/src/backend/tensorflow/nn.py, lines 1432 to 1436 and
1373 to 1376). But where it can find out what went into the softmax it takes that, and from_logits is ignored: probabilities
that a Keras softmax gave remember their logits (lines 172 and 1267 to 1270), and in a graph those of tf.nn.softmax are traced
back (lines 1272 to 1284). So a model that ends with a Keras softmax, and nothing after it, has the paper's loss; the same
probabilities as numbers, averaged, cast, or eagerly from tf.nn.softmax, have not.

That is so on TensorFlow. On PyTorch and JAX probabilities remember nothing: those of a Keras softmax are clipped as well
(keras/src/backend/torch/nn.py, lines 868 to 871 and 913 to 917; keras/src/backend/jax/nn.py, lines 982 to 985 and 1009 to 1012).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import losses, ops

from alexnet_parity.impls import keras_backends

Form = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def with_gradient(loss: Callable[[Any, np.ndarray], Any]) -> Form:
    """(logits, labels) -> (loss (1,), its gradient with respect to the logits (N, classes))."""

    def form(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        leaf = ops.convert_to_tensor(logits)
        value, gradient = keras_backends.current().pull_back(lambda x: loss(x, labels), leaf)
        return ops.convert_to_numpy(value).reshape(1), ops.convert_to_numpy(gradient)

    return form


def sparse(probabilities: Callable[[Any], Any] | None) -> Form:
    """SparseCategoricalCrossentropy, from logits or from what `probabilities` makes of them."""
    objective = losses.SparseCategoricalCrossentropy(from_logits=probabilities is None)
    return with_gradient(lambda x, labels: objective(labels, probabilities(x) if probabilities else x))


def one_hot(probabilities: Callable[[Any], Any] | None) -> Form:
    """CategoricalCrossentropy, likewise."""
    objective = losses.CategoricalCrossentropy(from_logits=probabilities is None)

    def loss(logits: Any, labels: np.ndarray) -> Any:
        targets = ops.one_hot(labels, logits.shape[1])
        return objective(targets, probabilities(logits) if probabilities else logits)

    return with_gradient(loss)


FORMS: dict[str, Form] = {
    "SparseCategoricalCrossentropy(from_logits=True)": sparse(None),
    "CategoricalCrossentropy(from_logits=True)": one_hot(None),
    "softmax layer, SparseCategoricalCrossentropy()": sparse(keras.layers.Softmax()),
    "softmax layer, CategoricalCrossentropy()": one_hot(keras.layers.Softmax()),
}
DEPARTURES: dict[str, str] = {}
if keras_backends.running() == "tensorflow":
    import tensorflow as tf

    FORMS |= {
        "tf.nn.softmax, SparseCategoricalCrossentropy()": sparse(tf.nn.softmax),
        "tf.nn.softmax, CategoricalCrossentropy()": one_hot(tf.nn.softmax),
    }
    DEPARTURES |= {
        "tf.nn.softmax, SparseCategoricalCrossentropy()": "clipped-and-rescaled",
        "tf.nn.softmax, CategoricalCrossentropy()": "clipped",
    }
else:
    DEPARTURES |= {
        "softmax layer, SparseCategoricalCrossentropy()": "clipped",
        "softmax layer, CategoricalCrossentropy()": "clipped",
    }
loss = FORMS["SparseCategoricalCrossentropy(from_logits=True)"]
