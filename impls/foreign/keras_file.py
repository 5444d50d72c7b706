"""Loading a .keras file from a stranger: looked through before anything in it is built, allocated or run.

It is a zip archive with config.json (the layers), metadata.json and model.weights.h5.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .graph import Refused

MOST_BYTES = 8 << 30  # of weights; the full AlexNet has a quarter of a GB
MOST_CONFIG = 64 << 20
MOST_UNITS = 1 << 20  # in one layer, in any direction
SIZES = (
    "units",
    "filters",
    "kernel_size",
    "input_dim",
    "output_dim",
    "target_shape",
    "size",
    "padding",
    "depth_multiplier",
)
NEEDED = ("config.json", "metadata.json", "model.weights.h5")
UNSAFE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
MODULES = ("keras", "builtins")


def saved_model(path: Path) -> Any:
    """The model in a .keras file, not compiled. Raises Refused, one line, for one that is malformed, unsafe or too large."""
    inspect_file(path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras says of a file, it is the file's fault
        raise Refused(f"{path}: Keras cannot load it: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def inspect_file(path: Path) -> None:
    if not path.is_file():
        raise Refused(f"{path}: no such file; give a .keras file")
    try:
        with zipfile.ZipFile(path) as archive:
            inspect_members(path, archive)
            config = json.loads(archive.read("config.json"))
            if not isinstance(config, dict):
                raise Refused(f"{path}: found {type(config).__name__} in config.json, expected an object")
            inspect_config(path, config)
            inspect_weights(path, archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Refused(f"{path}: found no readable .keras archive ({first_line(error)}); save it again") from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: config.json is malformed ({first_line(error)}); save it again") from None


def inspect_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = {member.filename: member for member in archive.infolist()}
    if missing := [name for name in NEEDED if name not in members]:
        raise Refused(
            f"{path}: found no {missing[0]} in the archive, expected a model saved by model.save('....keras')"
        )
    total = sum(member.file_size for member in members.values())
    if total > MOST_BYTES:
        raise Refused(f"{path}: found {total / 2**30:.0f} GB in the archive, expected at most {MOST_BYTES >> 30}")
    if (size := members["config.json"].file_size) > MOST_CONFIG:
        raise Refused(f"{path}: found a config.json of {size >> 20} MB, expected at most {MOST_CONFIG >> 20}")


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON document."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def inspect_config(path: Path, config: dict[str, Any]) -> None:
    """Only layers that Keras has or that the user registered; sizes that can be allocated."""
    total = 0
    for part in nested(config):
        if "class_name" not in part:
            continue
        inspect_class(path, part)
        settings = part.get("config")
        if isinstance(settings, dict):
            for key in SIZES:
                for size in numbers(settings.get(key)):
                    if not 0 <= size <= MOST_UNITS:
                        raise Refused(f"{path}: found {key}={size} in config.json, expected 0 to {MOST_UNITS}")
            total += 4 * weights_of(part, settings)
    if total > MOST_BYTES:
        raise Refused(
            f"{path}: its layers ask for {total / 2**30:.0f} GB of weights, expected at most {MOST_BYTES >> 30}"
        )


def inspect_class(path: Path, part: dict[str, Any]) -> None:
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if name in UNSAFE:
        raise Refused(
            f"{path}: found a {name}, which runs code out of the file; audit the factory that builds the model"
        )
    if not isinstance(module, str) or module.split(".")[0] in MODULES:
        return
    import keras

    if keras.saving.get_registered_object(registered) is None:
        raise Refused(f"{path}: found a layer {module}.{name} that Keras has not; register it, or audit the factory")


def numbers(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def weights_of(part: dict[str, Any], settings: dict[str, Any]) -> int:
    """Numbers that a layer will allocate, by the input shape that it was saved with; 0 where it says none."""
    build = part.get("build_config")
    shape = list(numbers(build.get("input_shape"))) if isinstance(build, dict) else []
    inputs = shape[-1] if shape else 1
    if isinstance(units := settings.get("units"), int):
        return units * inputs
    if isinstance(filters := settings.get("filters"), int):
        return filters * inputs * math.prod(numbers(settings.get("kernel_size")))
    return 0


def inspect_weights(path: Path, archive: zipfile.ZipFile) -> None:
    """HDF5 can claim arrays of any size and point into other files."""
    import h5py

    try:
        with archive.open("model.weights.h5") as stored, h5py.File(stored, "r") as file:
            total = sum(array_bytes(path, file))
    except OSError as error:
        raise Refused(f"{path}: model.weights.h5 is malformed ({first_line(error)}); save it again") from None
    if total > MOST_BYTES:
        raise Refused(f"{path}: model.weights.h5 claims {total / 2**30:.0f} GB, expected at most {MOST_BYTES >> 30}")


def array_bytes(path: Path, group: Any) -> Iterator[int]:
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{path}: found a link out of model.weights.h5 ({name}), expected arrays only")
        part = group[name]
        if isinstance(part, h5py.Group):
            yield from array_bytes(path, part)
        elif part.external or part.is_virtual:
            raise Refused(f"{path}: found {name} stored outside model.weights.h5, expected arrays only")
        else:
            yield part.nbytes
