"""AlexNet in Keras 3 with nothing but keras.ops: the LRN is the sum of shifted squares, bound to no backend; on TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alexnet_parity.impls import keras_backends

if not keras_backends.running():
    keras_backends.choose("tensorflow")  # before all that imports Keras

from alexnet_parity.impls.augmentation import keras_ops as augmentation  # noqa: F401 - what it offers
from alexnet_parity.impls.formats import keras as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.initialisers import keras as initialisers  # noqa: F401 - what it offers
from alexnet_parity.impls.keras import Model, ShiftedSquaresLRN, dropout, dropout_at_test  # noqa: F401 - offered here too
from alexnet_parity.impls.losses import keras as losses  # noqa: F401 - what it offers
from alexnet_parity.impls.optimisers import keras as optimisers  # noqa: F401 - what it offers
from alexnet_parity.reference.spec import Network

requires = ("keras", "tensorflow")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    keras_backends.require("tensorflow")
    return Model(network, params, device, ShiftedSquaresLRN)
