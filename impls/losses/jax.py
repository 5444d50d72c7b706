"""Cross-entropy in JAX, which has the logarithmic softmax and leaves the rest to its users: theirs, in four ways."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax import Array, nn
from jax import numpy as jnp

Form = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def with_gradient(loss: Callable[[Array, Array], Array]) -> Form:
    """(logits, labels) -> (loss (1,), its gradient with respect to the logits (N, classes))."""

    def form(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = jax.value_and_grad(loss)(jnp.array(logits), jnp.array(labels, jnp.int32))
        return np.array(value).reshape(1), np.array(gradient)

    return form


def picked(values: Array, labels: Array) -> Array:  # (N, classes), (N,) -> (N,)
    return jnp.take_along_axis(values, labels[:, None], axis=1)[:, 0]


def from_logits(logits: Array, labels: Array) -> Array:
    """-log_softmax at the label, the mean over the batch: (N, classes), (N,) -> ()."""
    return -picked(nn.log_softmax(logits), labels).mean()


def one_hot(logits: Array, labels: Array) -> Array:
    return -(nn.one_hot(labels, logits.shape[1]) * nn.log_softmax(logits)).sum(axis=1).mean()


def from_logsumexp(logits: Array, labels: Array) -> Array:
    return (nn.logsumexp(logits, axis=1) - picked(logits, labels)).mean()


def from_softmax(logits: Array, labels: Array) -> Array:
    return -jnp.log(picked(nn.softmax(logits), labels)).mean()


FORMS: dict[str, Form] = {
    "-log_softmax": with_gradient(from_logits),
    "-log_softmax, one-hot": with_gradient(one_hot),
    "logsumexp - logit": with_gradient(from_logsumexp),
    "-log(softmax)": with_gradient(from_softmax),
}
DEPARTURES = {"-log(softmax)": "log-of-softmax"}
loss = FORMS["-log_softmax"]
