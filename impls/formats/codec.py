"""What a file format of a framework offers: saving a model, loading it as another one, and reading its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...reference.spec import Network
from ..foreign.graph import Refused

Array = np.ndarray
Params = dict[str, Array]
Outputs = Iterable[tuple[str, Array]]


def as_it_is(model: Any, x: Array) -> Outputs:
    """The model's own outputs, layer by layer."""
    given = model.activations(x)
    return given.items() if isinstance(given, Mapping) else given


@dataclass(frozen=True)
class Codec:
    """A format of one implementation.

    save(model, network, path): a model that the implementation built, into a file (or a folder, where the format is one).
    load(module, network, path): a model that has its numbers from the file alone, with params() and activations(); `module`
        is the implementation. Where the file holds the layers too, they come from the file.
    read(path, network): the parameters alone, by our names and in our layout, in the precision that they are stored in.
        Nothing in the file is unpickled or run. Raises Refused for what is damaged or another thing.
    original(model, x): what a loaded model's outputs are compared with, where its own way of running is not activations'.
    """

    save: Callable[[Any, Network, Path], None]
    load: Callable[[Any, Network, Path], Any]
    read: Callable[[Path, Network], Params]
    original: Callable[[Any, Array], Outputs] = as_it_is


def empty(module: Any, network: Network) -> Any:
    """A model whose parameters are all 77: a loader that loads nothing is seen."""
    shapes = network.param_shapes()
    return module.build(network, {name: np.full(shape, 77, np.float32) for name, shape in shapes.items()})


def kept(stored: Params) -> str:
    """What `float32` keeps of them all: every "bit", or every "value" of numbers that are stored in another precision."""
    return "bit" if all(value.dtype == np.float32 for value in stored.values()) else "value"


def float32(name: str, value: Array) -> Array:
    """The same numbers as float32; raises Refused where float32 has not got them."""
    if value.dtype == np.float32:
        return np.ascontiguousarray(value).reshape(value.shape)  # a number keeps its no dimensions
    if value.dtype.kind != "f":
        raise Refused(f"{name} holds {value.dtype}, expected float32")
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = value.astype(np.float32)
        lost = int(np.count_nonzero((narrow.astype(value.dtype) != value) & ~np.isnan(value)))
    if lost:
        raise Refused(f"{name} holds {lost:,} {value.dtype} numbers that float32 has not got; round them first")
    return narrow
