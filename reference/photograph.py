"""A real photograph through the paper's preprocessing (Section 2): matplotlib ships one, nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

SHORT_SIDE = 256
# The mean of each of the red, green and blue channels over ImageNet's training images, in grey levels, as commonly
# published. The paper subtracts a mean image, which cannot be had without ImageNet; a constant stands in for it.
MEAN_RGB = (123.68, 116.779, 103.939)


def path() -> Path:
    """Where the photograph (Grace Hopper, US Navy, public domain) lies; FileNotFoundError if matplotlib is missing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("the photograph ships with matplotlib, which is not installed: pip install matplotlib")
    return Path(spec.submodule_search_locations[0], "mpl-data", "sample_data", "grace_hopper.jpg")


def square(file: Path) -> np.ndarray:
    """Shorter side to 256 (bilinear), central 256 x 256: (256, 256, 3), uint8, RGB."""
    from PIL import Image

    with Image.open(file) as image:
        rgb = image.convert("RGB")
    scale = SHORT_SIDE / min(rgb.size)
    rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.BILINEAR)
    left, top = (rgb.width - SHORT_SIDE) // 2, (rgb.height - SHORT_SIDE) // 2
    return np.asarray(rgb)[top : top + SHORT_SIDE, left : left + SHORT_SIDE]


def photograph(height: int, width: int) -> np.ndarray:
    """The central height x width of the photograph, mean subtracted: (1, 3, height, width), float32, -124 to 152."""
    if max(height, width) > SHORT_SIDE:
        raise ValueError(f"found a crop of {height} x {width}, expected at most {SHORT_SIDE} x {SHORT_SIDE}")
    centred = square(path()).astype(np.float32) - np.array(MEAN_RGB, dtype=np.float32)
    top, left = (SHORT_SIDE - height) // 2, (SHORT_SIDE - width) // 2
    crop = centred[top : top + height, left : left + width]  # (height, width, 3)
    return np.ascontiguousarray(crop.transpose(2, 0, 1)[None])
