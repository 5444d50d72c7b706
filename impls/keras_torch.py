"""AlexNet in Keras 3 on PyTorch: the network of `keras_ops`, of whose operations none is bound to a backend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alexnet_parity.impls import keras_backends
from alexnet_parity.reference.spec import Network

keras_backends.choose("torch")  # before all that imports Keras

from alexnet_parity.impls.augmentation import keras_ops as augmentation  # noqa: E402, F401 - what it offers
from alexnet_parity.impls.formats import keras as formats  # noqa: E402, F401 - what it offers
from alexnet_parity.impls.initialisers import keras as initialisers  # noqa: E402, F401 - what it offers
from alexnet_parity.impls.keras import Model, ShiftedSquaresLRN, dropout, dropout_at_test  # noqa: E402, F401 - offered
from alexnet_parity.impls.losses import keras as losses  # noqa: E402, F401 - what it offers
from alexnet_parity.impls.optimisers import keras as optimisers  # noqa: E402, F401 - what it offers

requires = ("keras", "torch")


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device, ShiftedSquaresLRN)
