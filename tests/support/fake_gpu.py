"""NumPy as an implementation with a GPU: there fc7 is one unit in the last place off, with faster kernels fc8 as well."""

from __future__ import annotations

import os

import moody
import numpy_alexnet


class Model(numpy_alexnet.Model):
    def __init__(self, network, params, device):
        super().__init__(network, params)
        self.moved = {"cuda": ["fc7"]}.get(device, [])
        self.moved += ["fc8"] if os.environ.get("ALEXNET_FAST_KERNELS") else []

    def activations(self, x):
        for name, y in super().activations(x).items():
            yield name, moody.nudged(y) if name in self.moved else y


def build(network, params, device="cpu"):
    return Model(network, params, device)
