"""Photographs in folders, as ImageNet's are: one folder for each class, or all in one with a file of labels."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from ..reference import preprocessing
from ..reference.photograph import MEAN_RGB
from ..reference.spec import nearest
from .errors import Unreadable, Unusable, reason

Array = np.ndarray

ENDINGS = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


class Folder:
    """Files decoded when they are asked for and never kept: rescaled and cut to 256 x 256 as in Section 2."""

    stored = (preprocessing.STORED, preprocessing.STORED)
    mean = MEAN_RGB

    def __init__(self, about: str, root: Path, names: list[str], labels: list[int], classes: tuple[str, ...]) -> None:
        self.about, self.root, self.names, self.labels, self.classes = about, root, names, labels, classes

    def __len__(self) -> int:
        return len(self.names)

    def label(self, image: int) -> int:
        return self.labels[image]

    def name(self, image: int) -> str:
        return self.names[image]

    def pixels(self, image: int) -> Array:
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which no pixel depends on
                with Image.open(self.root / self.names[image]) as picture:
                    return preprocessing.shorter_side(picture)  # (3, 256, 256)
        except Exception as error:  # decoders raise whatever they like
            raise Unreadable(reason(error).replace(str(self.root), "DIR")) from None

    def digest(self) -> str:
        """Over names, sizes and labels: reading a million photographs twice would double the work."""
        total = hashlib.sha256()
        for name, label in zip(self.names, self.labels, strict=True):
            total.update(f"{name}\0{(self.root / name).stat().st_size}\0{label}\n".encode(errors="surrogateescape"))
        return total.hexdigest()


def open_folder(root: Path, labels: Path | None) -> Folder:
    """The images below `root`; raises Unusable where there are none, or labels that do not fit them."""
    try:
        inside = sorted(root.iterdir())
        folders = [entry.name for entry in inside if entry.is_dir()]
        pictures = [entry.name for entry in inside if is_picture(entry.name) and entry.is_file()]
        if pictures and (labels or not folders):
            return flat(root, pictures, labels or only_text(root, inside))
        if pictures:
            raise Unusable(
                f"{root}: found {len(pictures)} images beside {len(folders)} folders; "
                "expected one folder for each class, or images alone with a file of labels (--labels FILE)"
            )
        if labels:
            raise Unusable(f"{root}: found no images beside --labels {labels}, expected all of them in this folder")
        return by_class(root, folders)
    except OSError as error:
        raise Unusable(f"cannot read {root}: {reason(error)}") from None


def is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def by_class(root: Path, folders: list[str]) -> Folder:
    """A class's index is its folder's place in the sorted list, as is usual for ImageNet's synset names."""
    names, labels = [], []
    for label, folder in enumerate(folders):
        found = sorted(name for name in os.listdir(root / folder) if is_picture(name))
        names += [f"{folder}/{name}" for name in found]
        labels += [label] * len(found)
    if not names:
        raise Unusable(
            f"{root}: found no images and no CIFAR-10 files; expected data_batch_1 ... test_batch (with or without .bin), "
            "one folder of images for each class, or a folder of images with a file of labels"
        )
    about = f"one folder for each of {len(folders):,} classes" if len(folders) != 1 else f"the one folder {folders[0]}"
    return Folder(about, root, names, labels, tuple(folders))


def only_text(root: Path, inside: list[Path]) -> Path:
    """The folder's one .txt file."""
    texts = [entry for entry in inside if entry.suffix == ".txt"]
    if len(texts) != 1:
        found = ", ".join(entry.name for entry in texts) or "none"
        raise Unusable(f"{root}: expected one .txt file with the images' labels, found {found}; name it with --labels")
    return texts[0]


def flat(root: Path, pictures: list[str], path: Path) -> Folder:
    """Images in one folder, in order of name, with their labels from a file."""
    given = read_labels(path)
    if isinstance(given, list):
        if len(given) != len(pictures):
            raise Unusable(f"{path}: found {len(given):,} labels for {len(pictures):,} images, expected one for each")
        labels = given
    else:
        if absent := sorted(set(given) - set(pictures)):
            raise Unusable(
                f"{path}: it lists {absent[0]!r}, which is not in {root}{nearest(absent[0], pictures[:1000])}"
            )
        if unlisted := [name for name in pictures if name not in given]:
            raise Unusable(f"{path}: no label for {unlisted[0]!r} ({len(unlisted):,} such images in {root})")
        labels = [given[name] for name in pictures]
    return Folder(f"a folder of images with labels from {path.name}", root, pictures, labels, ())


def read_labels(path: Path) -> list[int] | dict[str, int]:
    """One whole number a line, or "name label" a line; raises Unusable with the line that is neither."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None
    numbers: list[int] = []
    names: dict[str, int] = {}
    for place, line in enumerate(lines, start=1):
        *name, label = line.rsplit(None, 1) or [""]
        if not label:
            continue
        if not (label.isascii() and label.isdecimal() and len(label) < 10):
            raise Unusable(
                f"{path}, line {place}: found {line.strip()[:80]!r}, expected a label, or a name and a label"
            )
        if not name:
            numbers.append(int(label))
        elif name[0].strip() in names:
            raise Unusable(f"{path}, line {place}: {name[0].strip()!r} has a label already")
        else:
            names[name[0].strip()] = int(label)
    if bool(numbers) == bool(names):
        found = "both numbers alone and names with numbers" if names else "no labels"
        raise Unusable(f"{path}: found {found}, expected one label a line, or one name and label a line")
    return names or numbers
