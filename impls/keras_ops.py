"""AlexNet in Keras 3 with nothing but keras.ops: the LRN is the sum of shifted squares, bound to no backend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alexnet_parity.impls.keras import Model, ShiftedSquaresLRN
from alexnet_parity.reference.spec import Network

requires = ("keras", "tensorflow")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device, ShiftedSquaresLRN)
