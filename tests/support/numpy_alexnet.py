"""NumPy in float32 as an implementation: lets the core be tested where no framework is installed."""

from __future__ import annotations

import numpy as np

from alexnet_parity.reference import oracle


class Model:
    def __init__(self, network, params):
        self.network, self.weights = network, params

    def activations(self, x):
        return oracle.forward(self.network, self.weights, x, np.float32)

    def params(self):
        return dict(self.weights)


def build(network, params):
    return Model(network, params)
