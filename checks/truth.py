"""The oracle's side of one stimulus, each part computed when first asked for and then kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..reference import oracle
from ..reference.spec import AFFINE, Layer, Pool
from ..reference.stimuli import Stimulus
from . import bounds
from .compare import whole
from .gradients.truth import Oracle

Array = np.ndarray


class Truth:
    def __init__(self, stimulus: Stimulus) -> None:
        self.stimulus = stimulus
        self.network, self.params, self.x = stimulus.network, stimulus.params, stimulus.x

    @cached_property
    def trace(self) -> dict[str, Array]:
        """Every layer's output in float64."""
        return oracle.forward(self.network, self.params, self.x, masks=self.stimulus.masks)

    @cached_property
    def single(self) -> dict[str, Array]:
        """Every layer's output by NumPy in float32: a yardstick, never the truth."""
        return oracle.forward(self.network, self.params, self.x, np.float32, self.stimulus.masks)

    @cached_property
    def tolerances(self) -> dict[str, Array]:
        """End-to-end tolerance of every layer's output."""
        return bounds.chain_tolerances(self.network, self.params, self.x, self.trace, self.stimulus.masks)

    @cached_property
    def running_sum_tolerances(self) -> dict[str, Array]:
        """The same where each LRN carries its sum of squares along from map to map."""
        return bounds.chain_tolerances(
            self.network, self.params, self.x, self.trace, self.stimulus.masks, bounds.carried_along_tolerance
        )

    @cached_property
    def backward(self) -> Oracle:
        """The backward pass: every gradient in float64, with its tolerance."""
        return Oracle(self)

    def input_of(self, layer: str) -> Array:
        """What the oracle feeds to a layer, float64."""
        names = self.network.names()
        index = names.index(layer)
        return self.trace[names[index - 1]] if index else self.x.astype(np.float64)

    @cached_property
    def magnitudes(self) -> dict[str, float]:
        """max(|W| * |x| + |b|) of each layer that sums: no partial sum, in whatever order, is larger."""
        return {
            layer.name: float(oracle.magnitudes(layer, self.params, self.input_of(layer.name)).max())
            for layer in self.network.layers
            if sums(layer)
        }

    @cached_property
    def exact_layers(self) -> frozenset[str]:
        """Layers up to which every sum is exact in float32, in any order: proved on the actual numbers."""
        proved: list[str] = []
        if whole(self.x) and all(whole(value) for value in self.params.values()):
            for name, output in self.trace.items():
                if self.magnitudes.get(name, 0.0) >= bounds.EXACT_LIMIT or not whole(output):
                    break
                proved.append(name)
        return frozenset(proved)

    def exact(self, layer: str) -> bool:
        return layer in self.exact_layers


def sums(layer: Layer) -> bool:
    """Is it a convolution, a dense layer, or a pooling that takes the mean?"""
    return isinstance(layer, AFFINE) or (isinstance(layer, Pool) and layer.average)
