"""Weights from a file into a model under audit, by the model's own names. Nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ...reference.spec import nearest
from ..describe import describe, one_line
from .graph import Array, Refused, Subject
from .target import need

KERAS = (".weights.h5", ".h5", ".keras")
KINDS = ".npz, .safetensors, .pt or .pth, and for Keras models .weights.h5 or .keras"
UNLEARNED = "num_batches_tracked"  # torch's batch normalisation counts; nothing reads it at inference


def put(subject: Subject, file: str) -> None:
    """Load a file's arrays; raises Refused for names or shapes that are not the model's."""
    values = dict(read(Path(file)))
    if values and all(name.startswith("module.") for name in values):  # saved from within DataParallel
        values = {name.removeprefix("module."): value for name, value in values.items()}
    values = {name: value for name, value in values.items() if not name.endswith(UNLEARNED)}
    names = list(subject.parameters)
    for name in values:
        if name not in subject.parameters:
            raise Refused(f"{file}: the model has no parameter {name!r}{nearest(name, names)} It has: {some(names)}")
    kept = {*values, *subject.frozen}
    if lacking := [name for name in names if name not in kept and not name.endswith(UNLEARNED)]:
        raise Refused(f"{file} lacks {some(lacking)}; it has: {some(list(values))}")
    try:
        subject.load(values)
    except ValueError as error:
        raise Refused(f"{file}: {one_line(error)}") from None


def some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read(file: Path) -> Mapping[str, Array]:
    if file.is_dir():
        raise Refused(f"{file} is a folder, expected a file: {KINDS}")
    if not file.is_file():
        near = nearest(file.name, [path.name for path in file.parent.glob("*")])
        raise Refused(f"no file {str(file)!r} here (looked in {file.parent.resolve()}){near}")
    match file.suffix:
        case ".npz":
            return npz(file)
        case ".safetensors":
            return safetensors(file)
        case ".pt" | ".pth":
            need("torch", file.name)
            from . import torch_models

            return torch_models.state(file)
    if file.name.endswith(KERAS):
        raise Refused(f"{file}: only Keras models in a Python file or module read {file.suffix}; save it as .npz")
    raise Refused(f"{file}: files that end in {file.suffix!r} are not known; expected {KINDS}")


def npz(file: Path) -> dict[str, Array]:
    """Every array of a .npz file, each one's size compared with what the archive says before it is allocated."""
    check_readable(file)
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                check_entry(file, archive, entry)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Refused:
        raise
    except Exception as error:  # a damaged archive raises nearly anything
        raise Refused(f"{file}: no whole .npz file ({one_line(error)})") from None


def check_readable(file: Path) -> None:
    """Refused in the system's own words where it cannot be opened: the libraries say of every file that it is not there."""
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or one_line(error)}") from None


def check_entry(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as stream:
        reader = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = reader(stream)
        bytes_there = entry.file_size - stream.tell()
    if dtype.kind not in "fiub":
        what = "Python objects, which are not unpickled" if dtype.hasobject else f"{dtype}, expected real numbers"
        raise Refused(f"{file}: {entry.filename} holds {what}; save it as float32")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != bytes_there:
        raise Refused(f"{file}: {entry.filename} says {dtype}{list(shape)}, {wanted} bytes, and holds {bytes_there}")
    if entry.file_size > 1100 * max(entry.compress_size, 1):  # no deflated stream shrinks further
        raise Refused(f"{file}: {entry.filename} says that {entry.compress_size} bytes unpack to {entry.file_size}")


def safetensors(file: Path) -> dict[str, Array]:
    """Every array of a .safetensors file; the library checks sizes against the file."""
    need("safetensors", file.name)
    check_readable(file)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as arrays:
            return {name: arrays.get_tensor(name) for name in arrays.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        raise Refused(f"{file}: no whole .safetensors file ({one_line(error)})") from None


def keras(model: Any, file: str) -> str:
    """Let a Keras model read a file of Keras' own kinds; returns what is left to do: the file, if it is of another kind."""
    if not file.endswith(KERAS):
        return file
    if not Path(file).is_file():
        read(Path(file))  # refuses
    try:
        model.load_weights(file)
    except Exception as error:
        raise Refused(f"{file}: load_weights() raised {describe(error)}") from None
    return ""
