"""Section 4.1's augmentation with Keras' layers on TensorFlow, and with draws of their own. Maps are (N, H, W, C).

keras.layers.RandomCrop draws one place for all images of a batch (keras 3.15.1, keras/src/layers/preprocessing/
image_preprocessing/random_crop.py, lines 103 to 119), while RandomFlip draws for each image. A Dataset's map over single
images gives each image its own. RandomCrop cuts at random only where both sides are longer than the patch's (line 102); where one
is as long, it takes the centre. In a graph, where a patch's shape is not known, each patch is resized to the size that it has
(lines 167 to 182): copies all the same, to the bit.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from alexnet_parity.impls.augmentation.keras_ops import (  # noqa: F401 - offered here too
    colour_noise,
    crop_and_flip,
    from_nhwc,
    mean_of_ten,
    ten_patches,
    to_nhwc,
)


def random_patches(images: np.ndarray, size: int, seed: int) -> np.ndarray:
    """A place and a flip drawn for each image: (N, C, H, W) -> (N, C, size, size)."""
    from alexnet_parity.impls.augmentation.tf_nn import mapped  # Keras on other backends imports this file as well

    crop, flip = keras.layers.RandomCrop(size, size, seed=seed), keras.layers.RandomFlip("horizontal", seed=seed + 1)
    return mapped(images, lambda image: flip(crop(image, training=True), training=True))


def random_patches_of_batch(images: np.ndarray, size: int, seed: int) -> np.ndarray:
    """The same layers, given the whole batch."""
    crop, flip = keras.layers.RandomCrop(size, size, seed=seed), keras.layers.RandomFlip("horizontal", seed=seed + 1)
    return from_nhwc(flip(crop(to_nhwc(images), training=True), training=True))


def random_colour(images: np.ndarray, components: np.ndarray, scales: np.ndarray, seed: int) -> np.ndarray:
    """Colour noise with alpha drawn from N(0, 0.1) for each image and component."""
    alpha = keras.random.normal((len(images), 3), stddev=0.1, seed=seed)
    return colour_noise(images, components, scales, ops.convert_to_numpy(alpha))


RANDOM = {"RandomCrop and RandomFlip in map": random_patches}
OF_BATCH = {
    "RandomCrop of a batch": (
        random_patches_of_batch,
        "keras 3.15.1, keras/src/layers/preprocessing/image_preprocessing/random_crop.py lines 103-119",
    )
}
