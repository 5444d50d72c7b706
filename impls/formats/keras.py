"""What Keras saves: the model (.keras) and its weights alone (.weights.h5).

Either holds the weights as HDF5, by groups that are named by the layers' classes and order ("conv2d_1"), with the layer's own
name beside each: reading goes by that name and needs no Keras. `load_weights` goes by class and order.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_parity.impls.describe import one_line
from alexnet_parity.impls.foreign import keras_file
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Flatten, Network

# Keras' axes to ours, by number of axes: those of `AXES` in impls/keras.py, the other way round.
BACK = {1: (0,), 2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1), 6: (5, 0, 1, 4, 2, 3)}
ROLES = ("weight", "bias")  # in the order in which layers make them
HDF5 = "model.weights.h5"


# The model ------------------------------------------------------------------------------------------------------------


def save_model(model: Any, network: Network, path: Path) -> None:
    model.net.save(path)


def load_model(module: Any, network: Network, path: Path) -> Any:
    """The layers and the weights out of the file; what it was built with is left behind."""
    import keras

    model = empty(module, network)
    with keras.device(model.device):
        model.hold(keras_file.saved_model(path))
    return model


def read_model(path: Path, network: Network) -> Params:
    """The weights in a .keras file; nothing in it is built or run."""
    with opened(path) as archive:
        keras_file.inspect_members(path, archive)
        keras_file.inspect_weights(path, archive)
        check_order(path, json.loads(archive.read("config.json")), network)
        with archive.open(HDF5) as stored:
            return weights(path, stored)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RecursionError) as error:
        raise Refused(f"{path}: no whole .keras file ({one_line(error)}); is it cut short?") from None


def check_order(path: Path, config: Any, network: Network) -> None:
    """Refused where the maps are flattened in another order than channel, row, column: its dense weights are in another.

    Keras' Flatten goes row, column, channel, unless a Permute comes before it.
    """
    parts = [part for part in keras_file.nested(config) if isinstance(part.get("config"), dict)]
    named = {part["config"].get("name"): part for part in parts}
    for layer in network.layers:
        turned = named.get(f"{layer.name}_order", {}).get("config", {}).get("dims")
        if isinstance(layer, Flatten) and layer.name in named and numbers(turned) != [3, 1, 2]:
            raise Refused(
                f"{path}: found {layer.name} without a Permute((3, 1, 2)) named {layer.name}_order before it, expected one: "
                "the dense weights after it are in the order row, column, channel; permute them first"
            )
    if odd := next((p for p in parts if p["config"].get("data_format") == "channels_first"), None):
        raise Refused(f"{path}: found {odd['config'].get('name')} with channels first, expected channels last")


def numbers(found: Any) -> list[int]:
    """JSON's list, or the way in which Keras writes a tuple."""
    return list(found.get("items", [])) if isinstance(found, dict) else list(found or [])


# The weights ----------------------------------------------------------------------------------------------------------


def save_weights(model: Any, network: Network, path: Path) -> None:
    model.net.save_weights(path)


def load_weights(module: Any, network: Network, path: Path) -> Any:
    model = empty(module, network)
    model.net.load_weights(path)
    return model


def read_weights(path: Path, network: Network) -> Params:
    with path.open("rb") as stored:
        return weights(path, stored)


def weights(path: Path, stored: Any) -> Params:
    """Every layer's variables in an HDF5 file, by the layer's name."""
    import h5py

    try:
        with h5py.File(stored, "r") as file:
            if sum(keras_file.array_bytes(path, file)) > keras_file.MOST_BYTES:
                raise Refused(f"{path}: its arrays claim more than {keras_file.MOST_BYTES >> 30} GB")
            return dict(by_layer(path, file))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise Refused(f"{path}: no whole HDF5 file of Keras' ({one_line(error)}); is it cut short?") from None


def by_layer(path: Path, group: Any) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of what stands in "vars" anywhere below a group."""
    import h5py

    for key, part in group.items():
        if key != "vars" and isinstance(part, h5py.Group):
            yield from by_layer(path, part)
        elif key == "vars" and len(part):
            layer = part.attrs.get("name")
            if not isinstance(layer, str) or sorted(part) != [str(k) for k in range(len(ROLES))]:
                raise Refused(f"{path}: found {len(part)} variables at {part.name}, expected a layer's kernel and bias")
            for place, role in enumerate(ROLES):
                yield f"{layer}.{role}", ours(path, f"{layer}.{role}", part[str(place)][()])


def ours(path: Path, name: str, value: np.ndarray) -> np.ndarray:
    if value.ndim not in BACK:
        raise Refused(f"{path}: {name} has {value.ndim} axes, expected those of a kernel or a bias")
    return np.array(value.transpose(BACK[value.ndim]), order="C")


FORMATS = {
    "keras": Codec(save_model, load_model, read_model),
    "keras-weights": Codec(save_weights, load_weights, read_weights),
}
