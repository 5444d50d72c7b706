"""The mean that is subtracted from images: three numbers, or a mean image from .npy or Caffe's .binaryproto."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from . import caffe
from .errors import Unusable, reason

Array = np.ndarray


def three(text: str, name: str) -> tuple[float, float, float]:
    """Red, green and blue from "R,G,B"; raises Unusable for anything else."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise Unusable(f"{name}: found {text!r}, expected three numbers R,G,B")
    return values


def read(text: str, stored: tuple[int, int]) -> Array:
    """(3,) or (3, H, W), float32, from "R,G,B" or a file's name; an image has to be as large as the stored ones."""
    path = Path(text)
    if path.suffix == ".binaryproto":
        image = caffe.read_mean(path)
    elif path.suffix == ".npy":
        image = read_npy(path, stored)
    elif path.exists():
        raise Unusable(f"--mean {text}: found {path.suffix or 'no ending'!r}, expected .npy, .binaryproto or R,G,B")
    else:
        return np.array(three(text, "--mean"), np.float32)
    if image.shape != (3, *stored):
        raise Unusable(f"--mean {path}: found {by(image.shape)}, expected {by((3, *stored))}, as the images are stored")
    if not np.isfinite(image).all():
        raise Unusable(f"--mean {path}: it holds numbers that are not finite")
    return image


def read_npy(path: Path, stored: tuple[int, int]) -> Array:
    """A mean image (3, H, W) in red, green, blue; its header is checked before anything is made of it."""
    try:
        stream = io.BytesIO(path.read_bytes())  # a header that claims to be longer than the file takes no more memory
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if shape != (3, *stored) or dtype.kind not in "fiu":
            found = f"{by(shape)} of {dtype}"
            raise Unusable(f"--mean {path}: found {found}, expected {by((3, *stored))}, as the images are stored")
        stream.seek(0)
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused
            return npy.read_array(stream, allow_pickle=False).astype(np.float32)
    except Unusable:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise Unusable(f"--mean {path}: no usable .npy file ({reason(error)})") from None


def by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
