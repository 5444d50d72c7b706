"""Pickle without its danger: nothing is called but what rebuilds NumPy arrays and byte strings.

A pickle is a program, and loading one runs it. The CIFAR-10 files need a handful of names of it; every other name is
refused before anything is called.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .errors import Unusable, reason


class Forbidden(pickle.UnpicklingError):
    """The pickle asks for what plain data never needs."""


def encoded(text: str, encoding: str) -> bytes:
    """What stands in for `_codecs.encode`, as which Python 3 writes bytes for Python 2: latin-1 and nothing else."""
    if encoding not in ("latin1", "latin-1"):
        raise Forbidden(f"it wants bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


REBUILD: Any = np.zeros(0).__reduce__()[0]  # the function that NumPy's own pickles name, wherever this version keeps it

ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): REBUILD,  # NumPy 1, as the published files have it
    ("numpy._core.multiarray", "_reconstruct"): REBUILD,  # NumPy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): encoded,
}


class Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise Forbidden(f"it wants to call {module}.{name}, which no such file needs") from None

    def persistent_load(self, pid: Any) -> Any:
        raise Forbidden("it refers to objects outside of the file")


def load(stream: BinaryIO, name: str) -> Any:
    """The object in a pickle, strings of Python 2 as bytes; raises Unusable for whatever is not plain data, whole."""
    try:
        return Unpickler(stream, encoding="bytes").load()
    except Forbidden as error:
        raise Unusable(f"{name}: no usable pickle ({reason(error)}); it is no CIFAR-10 file; not loaded") from None
    except Exception as error:  # damaged pickles raise nearly anything
        raise Unusable(
            f"{name}: no usable pickle ({reason(error)}); is it cut short, or of another data set?"
        ) from None
