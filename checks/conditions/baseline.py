"""What a run under a condition is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...reference import oracle
from ...reference.spec import Layer
from .. import bounds, exact
from ..recording import Recording
from ..truth import Truth

Array = np.ndarray


@dataclass
class Baseline:
    """The plain run of one implementation on one stimulus, with what others are compared with."""

    impl: str  # without the condition
    recording: Recording
    truth: Truth
    alone: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    device: str = "cpu"

    @cached_property
    def inputs(self) -> dict[str, Array | None]:
        """What each layer was fed; None where the layer before it was not recorded as it should be."""
        before: Array | None = self.truth.x
        found: dict[str, Array | None] = {}
        for layer, _, shape in self.truth.network.walk():
            found[layer.name] = before
            before = exact.recordable(self.recording.run().get(layer.name), (len(self.truth.x), *shape))
        return found

    def layer_alone(self, layer: Layer) -> tuple[Array, Array] | None:
        """The oracle's output for what the plain run fed to the layer, and its tolerance; computed once for all conditions."""
        x = self.inputs[layer.name]
        if x is None:
            return None
        if layer.name not in self.alone:
            want = oracle.apply(layer, self.truth.params, x.astype(np.float64))
            tolerance = bounds.local_tolerance(layer, self.truth.params, x.astype(np.float64), want)
            self.alone[layer.name] = want, tolerance
        return self.alone[layer.name]
