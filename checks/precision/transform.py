"""Convolutions that do not sum the products: transforms of tiles (Winograd's, Fourier's), seen by where they leave rounding.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. In a sum of products an answer depends on
its own window only, and one product alone is rounded the same wherever it stands. A transform computes a tile of answers
together: its rounding depends on where in the tile an answer lies, and reaches answers whose window holds nothing but zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...reference.spec import Conv, Layer
from .terms import Terms

Array = np.ndarray

NEAR = 2.0**-12  # of the largest product: inputs rounded to eleven bits would leave more


def like(layer: Layer, params: Mapping[str, Array], x: Array, asked: Terms) -> bool:
    """Do answers depend on their place, or on pixels outside their window, and are all as near as float32 brings them?"""
    if not isinstance(layer, Conv) or layer.kernel == 1 or not np.isfinite(asked.got).all():
        return False
    products = asked.x.astype(np.float64) * asked.weight
    image, row, _ = asked.place
    weight = params[f"{layer.name}.weight"].astype(np.float64)
    largest_pixel = np.abs(x.reshape(len(x), -1)).max(axis=1)
    scale = largest_pixel[image] * np.abs(weight.reshape(len(weight), -1)).sum(axis=1)[row]
    near = np.abs(asked.got - products.sum(axis=1)) <= NEAR * scale
    return bool(near.all()) and (leaks(asked, products) or moves(asked, products))


def leaks(asked: Terms, products: Array) -> bool:
    """Is there an answer where there is nothing to sum?"""
    return bool(np.any((products == 0).all(axis=1) & (asked.got != 0)))


def moves(asked: Terms, products: Array) -> bool:
    """Does the same single product give different answers at different positions of a map?"""
    alone = np.count_nonzero(products, axis=1) == 1
    image, row, _ = (part[alone] for part in asked.place)
    keys = np.stack([image, row, products[alone].sum(axis=1)], axis=1)
    _, which = np.unique(keys, axis=0, return_inverse=True)
    which = which.reshape(-1)
    found = asked.got[alone].astype(np.float64)
    count = int(which.max(initial=-1)) + 1
    least, most = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(least, which, found)
    np.maximum.at(most, which, found)
    return bool(np.any(least < most))
