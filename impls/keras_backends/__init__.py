"""What of the Keras implementation Keras itself does not hide: a file for each backend, with the same functions.

    select(device)              a device's name for keras.device, after switching TF32 and non-deterministic kernels off
    flags(device)               what a model on it says of itself
    pull_back(function, x, start)          a tensor's function, and its gradient: from `start` (as the output), or of a scalar
    descent(loss, variables)               the value of loss(), a scalar, and its gradient with respect to each variable
    backward(model, x, masks, upstream, labels)      one training pass with everything on the way
    grouped(convolution, inputs, kernel, how)        a grouped convolution, not compiled again at every call
    compiled(function)                     a function of tensors as `fit` would run it

The backend is chosen before Keras is imported, once for a process: importing this package imports no framework.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from alexnet_parity.impls.interface import Unavailable, Unsupported

FILES = ("tensorflow", "torch", "jax")


def running() -> str:
    """The backend that Keras runs on in this process; "" before it is imported."""
    keras = sys.modules.get("keras")
    return keras.backend.backend() if keras else ""


def choose(backend: str) -> None:
    """Import Keras on this backend, whatever the environment says. Raises Unavailable where it runs on another already."""
    require(backend)
    os.environ["KERAS_BACKEND"] = backend
    import keras  # noqa: F401 - reads it


def require(backend: str) -> None:
    """Raises Unavailable if Keras runs on another backend in this process."""
    if running() not in ("", backend):
        raise Unavailable(
            f"Keras runs on {running()} in this process, expected {backend}: it takes one backend, when it is imported; "
            "use a process of its own"
        )


def current() -> ModuleType:
    """The file of the backend that Keras, once imported, runs on. Raises Unsupported for one that has none."""
    if running() not in FILES:
        raise Unsupported(f"no file in impls/keras_backends for Keras on {running()}; there are: {', '.join(FILES)}")
    return importlib.import_module(f"{__name__}.{running()}")
