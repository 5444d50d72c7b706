"""From a photograph to what the network sees: the paper's stored images (Section 2) and ten test views (Section 4.1).

Pixels are float32 grey levels, 0 to 255, as (3, height, width) in the order red, green, blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Array = np.ndarray

STORED = 256  # the side of a stored image
CROP = 224  # the side of a patch
VIEWS = 10
DEEP = ("I", "F")  # what the names of Pillow's modes of 16 and 32 bits begin with, and no others

# Which part of the mean image is subtracted from a view: the one that the view shows, as the paper has it; or always
# the central one, unreflected, as the authors' code did. Source: computerhistory/AlexNet-Source-Code @ 2f8b81f,
# convdata_jpeg.py lines 95 and 209-211.
ALIGNED, CENTRAL = "aligned", "central"


def shorter_side(image: Image.Image, size: int = STORED) -> Array:
    """The image rescaled so that its shorter side is `size` (bilinear), of that the central square: (3, size, size).

    Section 2. The longer side is rounded to whole pixels. Only the square is computed: it is mapped back to where it
    lies in the image, so that a very long image takes no more memory than any other.

    Raises ValueError for grey levels that need more than 8 bits: which of them would be 255 nobody has said.
    """
    from PIL import Image

    if image.mode.startswith(DEEP):  # Pillow would cut off whatever is above 255
        raise ValueError(f"more than 8 bits a channel (mode {image.mode}); save it with 8")
    image = image.convert("RGB")
    box = []
    for side in image.size:
        length = round(side * size / min(image.size))
        start = (length - size) // 2
        box.append((start * side / length, min((start + size) * side / length, side)))
    (left, right), (top, bottom) = box
    square = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.ascontiguousarray(np.asarray(square, np.float32).transpose(2, 0, 1))


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a crop given as one number, for a square, or as both."""
    return (size, size) if isinstance(size, int) else size


def offsets(stored: int, crop: int) -> range:
    """Every place along one axis where a crop can begin: 33 for 224 in 256. Raises ValueError if it does not fit."""
    if not 0 < crop <= stored:
        raise ValueError(f"found a crop of {crop} pixels, expected 1 to {stored}, the size of the stored image")
    return range(stored - crop + 1)


def centre_crop(pixels: Array, size: int | tuple[int, int]) -> Array:
    """The central part, (..., H, W) -> (..., height, width); where it cannot be exact, a pixel nearer to the top left."""
    height, width = sides(size)
    top, left = (offsets(n, crop)[-1] // 2 for n, crop in zip(pixels.shape[-2:], (height, width), strict=True))
    return pixels[..., top : top + height, left : left + width]


def reflect(pixels: Array) -> Array:
    """Left and right exchanged: (..., H, W) -> (..., H, W)."""
    return pixels[..., ::-1]


def ten_views(pixels: Array, size: int | tuple[int, int] = CROP) -> Array:
    """Section 4.1's ten patches of (3, H, W): (10, 3, height, width).

    Top left, top right, bottom left, bottom right, centre; then the horizontal reflections of these five.
    """
    height, width = sides(size)
    bottom, right = (offsets(n, crop)[-1] for n, crop in zip(pixels.shape[-2:], (height, width), strict=True))
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    crops = [pixels[:, top : top + height, left : left + width] for top, left in corners]
    five = np.stack([*crops, centre_crop(pixels, size)])  # (5, 3, height, width)
    return np.concatenate([five, reflect(five)])


def views(pixels: Array, size: int | tuple[int, int], count: int) -> Array:
    """The central view alone (count 1) or all ten (count 10): (count, 3, height, width)."""
    if count not in (1, VIEWS):
        raise ValueError(f"found {count} views, expected 1 (the centre) or {VIEWS}")
    return ten_views(pixels, size) if count == VIEWS else centre_crop(pixels, size)[None]


def subtract_mean(patches: Array, mean: Array, rule: str = ALIGNED) -> Array:
    """Views as `views` gives them, less the mean: (count, 3, height, width), float32.

    `mean` is an image (3, H, W) as large as the stored ones, or one number for each channel (3,). `rule` is ALIGNED
    (each pixel less the mean of its own place, Section 2) or CENTRAL; for a mean by channel they are the same.
    """
    if rule not in (ALIGNED, CENTRAL):
        raise ValueError(f"found the rule {rule!r}, expected {ALIGNED!r} or {CENTRAL!r}")
    mean = np.asarray(mean, np.float32)
    if mean.ndim == 1:
        return patches - mean[:, None, None]
    count, _, height, width = patches.shape
    return patches - views(mean, (height, width), count if rule == ALIGNED else 1)
