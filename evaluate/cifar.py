"""The CIFAR-10 files as published: the python version (pickles) and the binary version (3073 bytes an image).

Source of both layouts: www.cs.toronto.edu/~kriz/cifar.html. Krizhevsky, Learning Multiple Layers of Features from Tiny
Images (2009).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import unpickle
from .errors import Unusable, reason

Array = np.ndarray

SIDE = 32
PIXELS = 3 * SIDE * SIDE
RECORD = 1 + PIXELS  # the binary version: a label, then the pixels
CLASSES = 10
LARGEST = 200 * 2**20  # bytes; a published file has 31 million

# The mean of red, green and blue over the 50,000 training images, in grey levels, as commonly published.
MEAN_RGB = (125.307, 122.961, 113.8575)

FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # as the archives unpack
NAMES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
ALL = NAMES["train"] + NAMES["test"]
PYTHON, BINARY = "", ".bin"  # the versions, by what their file names end in


def find(path: Path) -> tuple[Path, str] | None:
    """(folder, PYTHON or BINARY) where a folder, or one that an archive unpacked in it, holds CIFAR-10; else None."""
    for place in (path, *(path / name for name in FOLDERS)):
        for version in (PYTHON, BINARY):
            if any((place / f"{name}{version}").is_file() for name in ALL):
                return place, version
    return None


def open_cifar(place: Path, version: str, split: str) -> Cifar:
    """The train or the test split; raises Unusable for missing, damaged or foreign files."""
    files = [place / f"{name}{version}" for name in NAMES[split]]
    if absent := [file.name for file in files if not file.is_file()]:
        there = ", ".join(name for name in ALL if (place / f"{name}{version}").is_file())
        raise Unusable(f"{place}: no {', '.join(absent)}, expected for the {split} split; found {there}")
    read = read_pickle if version == PYTHON else read_binary
    names = class_names(place, version)
    return Cifar(f"CIFAR-10, {'python' if version == PYTHON else 'binary'} version, {split} split", files, read, names)


Read = Callable[[Path], tuple[Array, Array]]


class Cifar:
    """Labels of all files and the pixels of one: at most 31 MB at a time."""

    stored = (SIDE, SIDE)
    mean = MEAN_RGB

    def __init__(self, about: str, files: list[Path], read: Read, classes: tuple[str, ...]) -> None:
        self.about, self.files, self.classes = about, files, classes
        self.read = lru_cache(maxsize=1)(read)
        labels = [self.read(file)[0] for file in files]
        self.labels = np.concatenate(labels)
        self.starts = np.cumsum([0, *(len(part) for part in labels)])

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, image: int) -> int:
        return int(self.labels[image])

    def place(self, image: int) -> tuple[Path, int]:
        """(file, row in it)."""
        file = int(np.searchsorted(self.starts, image, side="right")) - 1
        return self.files[file], image - int(self.starts[file])

    def name(self, image: int) -> str:
        file, row = self.place(image)
        return f"{file.name}[{row}]"

    def pixels(self, image: int) -> Array:
        file, row = self.place(image)
        return self.read(file)[1][row].astype(np.float32)  # (3, 32, 32)

    def digest(self) -> str:
        total = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file that may be one of CIFAR-10's; raises Unusable if it is far too large."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None
    if size > LARGEST:
        raise Unusable(f"{path}: found {size:,} bytes, expected about 31 million; is it a CIFAR-10 file?")
    return size


def read_binary(path: Path) -> tuple[Array, Array]:
    """Labels (n,) and pixels (n, 3, 32, 32), uint8."""
    size = size_of(path)
    if size == 0 or size % RECORD:
        hint = " (that of CIFAR-100 has 3,074)" if size and size % (RECORD + 1) == 0 else "; is it cut short?"
        raise Unusable(f"{path}: found {size:,} bytes, expected records of {RECORD:,}{hint}")
    records = np.fromfile(path, np.uint8).reshape(-1, RECORD)
    return in_range(path, records[:, 0]), records[:, 1:].reshape(-1, 3, SIDE, SIDE)


def read_pickle(path: Path) -> tuple[Array, Array]:
    """Labels (n,) and pixels (n, 3, 32, 32), uint8."""
    content = pickled(path)
    if b"fine_labels" in content:
        raise Unusable(f"{path}: found CIFAR-100 (it has fine_labels), expected CIFAR-10")
    data, labels = content.get(b"data"), content.get(b"labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise Unusable(f"{path}: found data {described(data)}, expected uint8 rows of {PIXELS:,}")
    if not isinstance(labels, list) or len(labels) != len(data) or not labels:
        count = len(labels) if isinstance(labels, list) else "no"
        raise Unusable(f"{path}: found {count} labels for {len(data):,} images, expected one for each")
    if not all(type(label) is int for label in labels):
        raise Unusable(f"{path}: found labels that are no whole numbers, expected 0 to {CLASSES - 1}")
    return in_range(path, np.array(labels)), data.reshape(-1, 3, SIDE, SIDE)


def pickled(path: Path) -> dict[Any, Any]:
    """The dictionary in a pickle, every name in it bytes."""
    size_of(path)
    try:
        with path.open("rb") as stream:
            content = unpickle.load(stream, str(path))
    except OSError as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None
    if not isinstance(content, dict):
        raise Unusable(f"{path}: found a pickled {type(content).__name__}, expected a dictionary with data and labels")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


def described(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def in_range(path: Path, labels: Array) -> Array:
    """The labels as given; raises Unusable for one that is none of the ten classes."""
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise Unusable(f"{path}: image {wrong[0]} has the label {labels[wrong[0]]}, expected 0 to {CLASSES - 1}")
    return labels


def class_names(place: Path, version: str) -> tuple[str, ...]:
    """The ten names from batches.meta (or batches.meta.txt); none where that file is missing."""
    path = place / ("batches.meta" if version == PYTHON else "batches.meta.txt")
    if not path.is_file():
        return ()
    if version == PYTHON:
        listed = pickled(path).get(b"label_names")
        given = listed if isinstance(listed, list) else []
        names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in given]
    else:
        size_of(path)
        names = path.read_text(encoding="utf-8", errors="replace").split()
    if len(names) != CLASSES:
        raise Unusable(f"{path}: found {len(names)} names of classes, expected {CLASSES}")
    return tuple(names)
