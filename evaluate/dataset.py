"""What every data set offers, and which kind a folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .errors import Unusable

Array = np.ndarray

SPLITS = ("test", "train")  # the first where none is asked for


class Dataset(Protocol):
    """Labelled images, decoded one by one. An image is (3, height, width), float32, 0 to 255, red, green, blue."""

    about: str  # the format in words
    classes: tuple[str, ...]  # their names in order of index; empty where the data does not say
    stored: tuple[int, int]  # height and width of every image
    mean: tuple[float, float, float]  # what is subtracted where nothing else is asked for

    def __len__(self) -> int: ...

    def label(self, image: int) -> int: ...

    def name(self, image: int) -> str: ...

    def pixels(self, image: int) -> Array:
        """One image; raises Unreadable if it cannot be decoded."""
        ...

    def digest(self) -> str:
        """SHA-256, hex, of what tells this data from other data: contents, or names, sizes and labels."""
        ...


@dataclass(frozen=True)
class Source:
    """Where the data is: a folder, which split of it (CIFAR-10; "": test), its labels (a flat folder of images)."""

    path: str
    split: str = ""
    labels: str = ""


def open_dataset(source: Source) -> Dataset:
    """The data set in a folder, its format told by what lies there.

    Raises Unusable, also for damaged files, and for a split or labels where the format has none to choose.
    """
    from . import cifar, folder

    path = Path(source.path)
    if not path.is_dir():
        archive = "; unpack it first" if path.is_file() else ""
        raise Unusable(f"--data {path}: no such folder{archive}")
    if found := cifar.find(path):
        if source.labels:
            raise Unusable(f"--labels {source.labels}: found CIFAR-10, which has its own labels; leave --labels out")
        return cifar.open_cifar(*found, source.split or SPLITS[0])
    if source.split:
        raise Unusable(
            f"--split {source.split}: found no CIFAR-10 files in {path}, and only they have splits; leave it out"
        )
    return folder.open_folder(path, Path(source.labels) if source.labels else None)
