"""What an implementation offers, ours or anybody's. Everything at this border is NumPy.

A module with

    def build(network, params) -> Model            # optionally build(network, params, device="cpu")

`network` is a `reference.spec.Network`; `params` maps names to float32 arrays: "conv1.weight" (O, I / groups, K, K),
"fc6.weight" (out, in), "conv1.bias" (out,). fc6's inputs are the flattened maps in the order channel, row, column. A
module that is fixed to one network says so with `variant = "paper"` and may ignore `network`.

More is judged of a module that offers more, as ours do. Each is optional, and UNSUPPORTED where it is missing:

    gradients, step, backward      methods of the Model, below
    output                         method of the Model: the network's output and nothing else, Inference below
    velocities, restore            methods of the Model: {parameter: array} of what the next step adds 0.9 of, as w <- w + v
    initialisers.initial(network, seed)            first values by parameter: checks/training/initial.py
    optimisers.SETUPS                              optimisers as users set them up: checks/training/updates.py
    losses.FORMS, losses.DEPARTURES                forms of the loss: checks/training/losses.py
    formats.FORMATS                                files that it is saved in: impls/formats/codec.py
    augmentation                                   crops, flips, ten views, noise: checks/training/augmented.py
    dropout(x, upstream, rate, seed), dropout_at_test(x, rate)     its own dropout: checks/training/dropout_own.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np


class Model(Protocol):
    """A built network."""

    def activations(self, x: np.ndarray) -> Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]:
        """Every layer's output for a float32 batch x (N, C, H, W): float32 copies, maps as (N, C, H, W).

        A mapping by layer name, or (name, array) pairs one by one, so that a crash half-way leaves what came before.
        """
        ...

    def params(self) -> Mapping[str, np.ndarray]:
        """The weights and biases as the framework holds them now, in the layout they were given in."""
        ...


class Inference(Model, Protocol):
    """A network as it is used, when nobody looks into it."""

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output for a batch x (N, C, H, W): a float32 copy, (N, classes).

        Computed as the framework would with nothing recorded on the way: the bits of activations(), unless a compiler fuses
        layers. Then flags()["compiler"] says which, and its bound is what is asked of it: checks/stability.py.
        """
        ...

    def flags(self) -> Mapping[str, str]:
        """What the model says of itself, for the reports: device, tf32, deterministic, compiler."""
        ...


class Trainable(Model, Protocol):
    """A network that can be trained. Whoever has no optimiser leaves `step` out."""

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> Mapping[str, np.ndarray]:
        """The gradient of the mean cross-entropy with respect to every parameter, in the parameter's shape, float32.

        x (N, C, H, W) float32, labels (N,) int64. Dropout is off.
        """
        ...

    def step(self, x: np.ndarray, labels: np.ndarray, rate: float) -> None:
        """One update of all parameters by the paper's rule: v <- 0.9 v - 0.0005 rate w - rate grad; w <- w + v."""
        ...


class Backward(NamedTuple):
    """One training pass. Everything float32; maps as (N, C, H, W).

    activations: every layer's output before a closing softmax, by name. gradients: with respect to each of these, to the
    input as "input", and to every parameter. loss: (1,), where there were labels.
    """

    activations: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    loss: np.ndarray | None = None


class Dissectable(Trainable, Protocol):
    """What our own implementations offer besides: gradients at every layer, so that each can be judged alone."""

    def backward(
        self,
        x: np.ndarray,
        upstream: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> Backward:
        """Forward and backward from the logits (the output of the last layer that is no closing softmax).

        Either `upstream`, the gradient there, (N, classes), or `labels` (N,), for the mean cross-entropy. A dropout layer
        multiplies by its entry of `masks` (N, units), and is the identity without one.
        """
        ...


class Unsupported(Exception):
    """Raised by build() for a network that the implementation cannot express; the message says why."""


class Unavailable(Exception):
    """Raised by build() where the device that was asked for is missing; the message says what to do."""
