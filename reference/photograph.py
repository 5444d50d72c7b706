"""A real photograph through the paper's preprocessing (Section 2). Its stored square lies beside this file.

It is matplotlib's sample, Grace Hopper (US Navy, public domain), decoded and rescaled once by Pillow: who verifies needs
neither, and a decoder of another version does not change the numbers.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from . import preprocessing

# The mean of each of the red, green and blue channels over ImageNet's training images, in grey levels, as commonly
# published. The paper subtracts a mean image, which cannot be had without ImageNet; a constant stands in for it.
MEAN_RGB = (123.68, 116.779, 103.939)

STORED = Path(__file__).with_suffix(".npz")
DIGEST = "96307a46eeb6d87ba02a79711556d245950f28e5d39f5532cde8ea6d21974593"  # SHA-256 of its bytes


def path() -> Path:
    """Where the file that the square was made from lies; FileNotFoundError if matplotlib is missing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("the photograph ships with matplotlib, which is not installed: pip install matplotlib")
    return Path(spec.submodule_search_locations[0], "mpl-data", "sample_data", "grace_hopper.jpg")


@cache
def stored() -> np.ndarray:
    """The stored square, as `preprocessing.shorter_side` gives it: (3, 256, 256), float32, 0 to 255.

    Raises ValueError where the file is not the one that the project was published with.
    """
    with np.load(STORED) as file:
        pixels = file["photograph"]
    if hashlib.sha256(pixels.tobytes()).hexdigest() != DIGEST:
        raise ValueError(f"{STORED} is not the photograph of this project; get the file again")
    square = pixels.astype(np.float32)
    square.flags.writeable = False
    return square


def photograph(height: int, width: int) -> np.ndarray:
    """The central height x width of the photograph, mean subtracted: (1, 3, height, width), float32, -124 to 152.

    Raises ValueError for more than the stored 256 x 256.
    """
    view = preprocessing.views(stored(), (height, width), 1)  # (1, 3, height, width)
    return np.ascontiguousarray(preprocessing.subtract_mean(view, np.array(MEAN_RGB, np.float32)))
