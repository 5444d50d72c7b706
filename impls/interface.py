"""What an implementation offers, ours or anybody's. Everything at this border is NumPy.

A module with

    def build(network, params) -> Model            # optionally build(network, params, device="cpu")

`network` is a `reference.spec.Network`; `params` maps names to float32 arrays: "conv1.weight" (O, I / groups, K, K),
"fc6.weight" (out, in), "conv1.bias" (out,). fc6's inputs are the flattened maps in the order channel, row, column. A
module that is fixed to one network says so with `variant = "paper"` and may ignore `network`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

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


class Unsupported(Exception):
    """Raised by build() for a network that the implementation cannot express; the message says why."""


class Unavailable(Exception):
    """Raised by build() where the device that was asked for is missing; the message says what to do."""
