"""A real photograph through the paper's preprocessing (Section 2): matplotlib ships one, nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from . import preprocessing

# The mean of each of the red, green and blue channels over ImageNet's training images, in grey levels, as commonly
# published. The paper subtracts a mean image, which cannot be had without ImageNet; a constant stands in for it.
MEAN_RGB = (123.68, 116.779, 103.939)


def path() -> Path:
    """Where the photograph (Grace Hopper, US Navy, public domain) lies; FileNotFoundError if matplotlib is missing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("the photograph ships with matplotlib, which is not installed: pip install matplotlib")
    return Path(spec.submodule_search_locations[0], "mpl-data", "sample_data", "grace_hopper.jpg")


def photograph(height: int, width: int) -> np.ndarray:
    """The central height x width of the photograph, mean subtracted: (1, 3, height, width), float32, -124 to 152.

    Raises ValueError for more than the stored 256 x 256.
    """
    from PIL import Image

    with Image.open(path()) as image:
        stored = preprocessing.shorter_side(image)  # (3, 256, 256)
    view = preprocessing.views(stored, (height, width), 1)  # (1, 3, height, width)
    return np.ascontiguousarray(preprocessing.subtract_mean(view, np.array(MEAN_RGB, np.float32)))
