"""Section 4.1's augmentation with every draw given, in Keras' layers and operations, on any backend. Maps are (N, H, W, C).

What Keras draws by itself is in `keras`, and tried there: its layers draw for each image in TensorFlow's pipelines alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def to_nhwc(images: np.ndarray) -> Any:  # (N, C, H, W) -> (N, H, W, C)
    return ops.convert_to_tensor(np.moveaxis(images, 1, 3))


def from_nhwc(images: Any) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(ops.convert_to_numpy(images), 3, 1))


def crop_and_flip(images: np.ndarray, top: np.ndarray, left: np.ndarray, flipped: np.ndarray, size: int) -> np.ndarray:
    """Each image's own patch: (N, C, H, W), integers (N,) twice, bool (N,) -> (N, C, size, size)."""
    rows = [
        ops.image.crop_images(
            image, top_cropping=int(row), left_cropping=int(column), target_height=size, target_width=size
        )
        for image, row, column in zip(to_nhwc(images), top, left, strict=True)
    ]
    turned = [ops.flip(x, axis=1) if flip else x for x, flip in zip(rows, flipped, strict=True)]
    return from_nhwc(ops.stack(turned))


def ten_patches(image: np.ndarray, size: int) -> np.ndarray:
    """Four corners, the centre, and the reflections of these five: (C, H, W) -> (10, C, size, size)."""
    x = to_nhwc(image[None])[0]
    bottom, right = x.shape[0] - size, x.shape[1] - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    four = [
        ops.image.crop_images(x, top_cropping=top, left_cropping=left, target_height=size, target_width=size)
        for top, left in corners
    ]
    five = ops.stack([*four, keras.layers.CenterCrop(size, size)(x)])
    return from_nhwc(ops.concatenate([five, ops.flip(five, axis=2)]))


def mean_of_ten(logits: np.ndarray) -> np.ndarray:
    """The mean of the ten softmax vectors: (10, classes) -> (classes,)."""
    return ops.convert_to_numpy(ops.mean(ops.softmax(logits), axis=0))


def colour_noise(
    images: np.ndarray, components: np.ndarray, scales: np.ndarray, alpha: np.ndarray, divisor: float = 1.0
) -> np.ndarray:
    """One shift for all pixels of an image, components (3, 3) in columns, scales (3,), alpha (N, 3); then / divisor.

    The paper: eigenvalues for scales, divisor 1. The authors' code: standard deviations, divisor 1.1.
    """
    shift = ops.matmul(ops.multiply(alpha, scales), ops.transpose(components))  # (N, 3)
    return from_nhwc((to_nhwc(images) + shift[:, None, None, :]) / divisor)
