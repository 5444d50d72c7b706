"""NumPy's AlexNet with one thing wrong in its layers, as an implementation that a claim's check can be given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy_alexnet

from alexnet_parity.reference.spec import Layer, Network


class Wrong:
    """Builds the network with `edit` done to each layer of a kind."""

    def __init__(self, kind: type[Layer], edit: Callable[[Layer], Layer]) -> None:
        self.kind, self.edit = kind, edit

    def build(self, network: Network, params: dict) -> numpy_alexnet.Model:
        layers = tuple(self.edit(layer) if isinstance(layer, self.kind) else layer for layer in network.layers)
        return numpy_alexnet.Model(dataclasses.replace(network, layers=layers), params)


class Broken:
    """Cannot be built."""

    def build(self, network: Network, params: dict) -> None:
        raise RuntimeError("no luck today")
