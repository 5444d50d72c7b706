"""Weights from a file, checked against the network before they take memory: .npz, .safetensors, .caffemodel."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..reference import variants
from ..reference.spec import Network, Shape, nearest
from . import caffe
from .errors import Unusable, reason

Array = np.ndarray
Params = dict[str, Array]

KINDS = (".npz", ".safetensors", ".caffemodel")


@dataclass(frozen=True)
class Entry:
    """One array in a file: what its header says, and how to read it. `fits` settles whether a shape means another."""

    shape: Shape
    dtype: str
    load: Callable[[], Array]
    fits: Callable[[Shape, Shape], bool] = tuple.__eq__


def read(path: Path, network: Network) -> Params:
    """Every parameter of `network`: float32, kernels (O, I / groups, K, K), dense (out, in), biases (out,).

    Raises Unusable where the file is damaged, of another kind, of another network, or holds what is no finite number.
    """
    if not path.is_file():
        raise Unusable(f"--weights {path}: no such file")
    if path.suffix not in KINDS:
        hint = "; convert it to .safetensors" if path.suffix in (".pt", ".pth", ".h5", ".keras", ".pkl") else ""
        raise Unusable(f"--weights {path}: found {path.suffix or 'no ending'!r}, expected {', '.join(KINDS)}{hint}")
    open_file = {".npz": open_npz, ".safetensors": open_safetensors, ".caffemodel": open_caffe}[path.suffix]
    try:
        with open_file(path) as entries:
            check(path, entries, network)
            params = {name: loaded(path, name, entries[name], shape) for name, shape in network.param_shapes().items()}
    except OSError as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None
    return in_rgb(params, network) if path.suffix == ".caffemodel" else params


def check(path: Path, entries: Mapping[str, Entry], network: Network) -> None:
    """Raise Unusable unless the file has the network's parameters, all of them, no others, in the same shapes."""
    wanted = network.param_shapes()
    for name in entries:
        if name not in wanted:
            has = ", ".join(wanted)
            hint = advice(entries) or f"{nearest(name, list(wanted))} It has: {has}"
            raise Unusable(f"{path}: {network.name} has no {name!r}{hint}")
    for name, shape in wanted.items():
        if name not in entries:
            raise Unusable(
                f"{path}: found no {name!r}, expected {by(shape)} for {network.name}; it holds "
                f"{', '.join(entries) or 'nothing'}{advice(entries)}"
            )
    for name, shape in wanted.items():
        if not entries[name].fits(entries[name].shape, shape):
            raise Unusable(
                f"{path}: {name} is {by(entries[name].shape)}, expected {by(shape)} for {network.name}"
                f"{advice(entries) or '; give the variant that the weights are of (--variant)'}"
            )


def by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def advice(entries: Mapping[str, Entry]) -> str:
    """The variant that the file's names and shapes are those of, if there is one."""
    for name in variants.names():
        shapes = shapes_of(name)
        if shapes.keys() == entries.keys() and all(
            entries[key].fits(entries[key].shape, shapes[key]) for key in shapes
        ):
            return f"; these are the shapes of {name!r}: give the variant that the weights are of (--variant)"
    return ""


@cache
def shapes_of(variant: str) -> dict[str, Shape]:
    return variants.variant(variant).param_shapes()


FLOATS = ("float16", "float32", "float64")


def loaded(path: Path, name: str, entry: Entry, shape: Shape) -> Array:
    """One array as float32; raises Unusable for other kinds of numbers, damage, and numbers that are not finite."""
    if entry.dtype not in FLOATS:
        raise Unusable(f"{path}: {name} holds {entry.dtype}, expected one of {', '.join(FLOATS)}")
    array = entry.load()
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused
        array = np.ascontiguousarray(array, np.float32).reshape(shape)
    if wrong := array.size - int(np.isfinite(array).sum()):
        raise Unusable(f"{path}: {name} holds {wrong:,} of {array.size:,} numbers that are not finite")
    return array


# .npz ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[dict[str, Entry]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            yield {name.removesuffix(".npy"): npz_entry(path, archive, name) for name in names}
    except zipfile.BadZipFile as error:
        raise Unusable(f"{path}: no whole .npz file ({reason(error)}); is it cut short?") from None


def npz_entry(path: Path, archive: zipfile.ZipFile, name: str) -> Entry:
    """From the array's header alone; nothing else is read yet."""
    try:
        with archive.open(name) as stream:
            version = npy.read_magic(stream)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(stream)
    except Exception as error:  # a damaged archive raises nearly anything
        raise damaged(path, name, error) from None

    def load() -> Array:
        try:
            with archive.open(name) as stream:
                return npy.read_array(stream, allow_pickle=False)
        except Exception as error:
            raise damaged(path, name, error) from None

    return Entry(shape, dtype.name, load)


def damaged(path: Path, name: str, error: Exception) -> Unusable:
    return Unusable(f"{path}: {name} cannot be read ({reason(error)}); is the file damaged?")


# .safetensors -------------------------------------------------------------------------------------------------------

SAFE_TYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[dict[str, Entry]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise caffe.needs("safetensors", path) from None
    try:
        with safe_open(path, framework="np") as file:
            entries = {}
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part = file.get_slice(name)
                kind = SAFE_TYPES.get(part.get_dtype(), part.get_dtype())
                entries[name] = Entry(tuple(part.get_shape()), kind, partial(file.get_tensor, name))
            yield entries
    except SafetensorError as error:
        raise Unusable(f"{path}: no whole .safetensors file ({reason(error)}); is it cut short?") from None


# .caffemodel --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_caffe(path: Path) -> Iterator[dict[str, Entry]]:
    """A layer's blobs are its weight and its bias; `fits` knows the four dimensions that old files give everything."""
    entries = {}
    for layer, blobs in caffe.read_layers(path).items():
        if len(blobs) > 2:
            raise Unusable(f"{path}: layer {layer!r} has {len(blobs)} blobs, expected a weight and a bias")
        for kind, blob in zip(("weight", "bias"), blobs, strict=False):
            entries[f"{layer}.{kind}"] = Entry(blob.shape, "float32", blob.array, blob.fits)
    yield entries


def in_rgb(params: Params, network: Network) -> Params:
    """Caffe's images are blue, green, red: the first convolution's input channels the other way round."""
    first = next(iter(network.param_shapes()))
    if network.input_shape[0] == 3 and math.prod(params[first].shape[2:]) > 1 and params[first].shape[1] == 3:
        params = params | {first: np.ascontiguousarray(params[first][:, ::-1])}
    return params
