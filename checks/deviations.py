"""Edits of the paper's network, one for each difference in function, and the three networks that combine them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from ..reference import variants
from ..reference.original_2012 import DIVIDED
from ..reference.spec import Network, Relu

Edit = Callable[[Network], Network]

LARGEST = 227  # side of the largest image that one of them takes


@dataclass(frozen=True)
class Deviation:
    """A named edit of the paper's network.

    who: where it is met. aspect: its number in the table of differences. at: the convolution or dense layer that it is read
    off, or the one whose outputs are drawn where the edit lies between it and the next. combined: several edits at once.
    """

    name: str
    who: str
    edit: Edit
    aspects: tuple[int, ...]
    at: str = "conv1"
    drawn: bool = True
    combined: bool = False


# Edits ----------------------------------------------------------------------------------------------------------------


def norms(**changes: float) -> Edit:
    """Both LRN layers changed alike."""

    def edit(network: Network) -> Network:
        for name in ("norm1", "norm2"):
            network = network.edit(name, **changes)
        return network

    return edit


def relu_after_pool(network: Network) -> Network:
    return network.move("relu1", after="pool1")


def without_lrn(network: Network) -> Network:
    return network.swap("norm1").swap("norm2")


def pool_first(network: Network) -> Network:
    return network.move("norm1", after="pool1").move("norm2", after="pool2")


def within_maps(network: Network) -> Network:
    """The original's second normalisation, with its own constants."""
    extra = variants.variant("original-2012")["cnorm2"]
    return network.swap("norm2", network["norm2"], extra)


def padded(before: int, after: int) -> Edit:
    return lambda network: network.edit("conv1", padding=(before, after))


def larger_image(network: Network) -> Network:
    return dataclasses.replace(network.edit("conv1", padding=(0, 0)), input_shape=(3, LARGEST, LARGEST))


def ungrouped(network: Network) -> Network:
    for name in ("conv2", "conv4", "conv5"):
        network = network.edit(name, groups=1)
    return network


def rounded_up(network: Network) -> Network:
    for name in ("pool1", "pool2", "pool5"):
        network = network.edit(name, ceil=True)
    return network


def last_relu_after_pool(network: Network) -> Network:
    return network.move("relu5", after="pool5")


def dropout_first(network: Network) -> Network:
    return network.move("drop6", after="flatten").move("drop7", after="relu6")


def relu_on_logits(network: Network) -> Network:
    return network.swap("fc8", network["fc8"], Relu("relu8"))


def first_layer_of_2012(network: Network) -> Network:
    """The three edits that the authors' code makes to LRN: its place, its alpha and its towers."""
    return norms(alpha=DIVIDED, towers=2)(relu_after_pool(network))


def whole(name: str) -> Edit:
    """A network of `variants.py` as it is."""
    return lambda network: variants.variant(name)


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation("ReLU after LRN and pooling", "original code", relu_after_pool, (11,)),
    Deviation("alpha / 5", "original code, Caffe, PyTorch's default reading", norms(alpha=DIVIDED), (15,)),
    Deviation("k = 1", "Caffe, PyTorch, TensorFlow unless told", norms(k=1.0), (14,)),
    Deviation("LRN within towers", "original code", norms(towers=2), (17,)),
    Deviation("window of 11 maps", "TensorFlow with n for the radius", norms(n=11), (16,)),
    Deviation("no LRN", "torchvision", without_lrn, (12,)),
    Deviation("pooling before LRN", "CaffeNet", pool_first, (13,)),
    Deviation("normalised within maps too", "original code", within_maps, (18,), at="conv2"),
    Deviation("padding 2 + 2", "torchvision", padded(2, 2), (9,), drawn=False),
    Deviation("padding 1 + 2", "not met", padded(1, 2), (9,), drawn=False),
    Deviation("padding 3 + 0", "three zeros on every side", padded(3, 0), (9,), drawn=False),
    Deviation("227 real pixels", "Caffe", larger_image, (2, 9), drawn=False),
    Deviation(
        "groups ignored", "copies for one GPU, such as mbrukman's", ungrouped, (20, 22, 23), at="conv2", drawn=False
    ),
    Deviation("pooling rounded up", "original code, Caffe", rounded_up, (19,)),
    Deviation("last ReLU after pool5", "original code", last_relu_after_pool, (24,), at="conv5"),
    Deviation("dropout before fc6 and fc7", "torchvision", dropout_first, (28,), at="fc6"),
    Deviation("ReLU on fc8", "the paper's wording", relu_on_logits, (27,), at="fc8"),
    Deviation(
        "original code, LRN of layer 1 and 2", "its three together", first_layer_of_2012, (11, 15, 17), combined=True
    ),
    Deviation("original code, whole", "layers-145", whole("original-2012"), (9, 11, 15, 17, 18, 19, 24), combined=True),
    Deviation("Caffe, whole", "bvlc_alexnet", whole("caffe"), (2, 9, 14, 15, 19), combined=True),
    Deviation("CaffeNet, whole", "bvlc_reference_caffenet", whole("caffenet"), (2, 9, 13, 14, 15, 19), combined=True),
)


def named(name: str) -> Deviation:
    """The deviation called `name`; KeyError with the known names if there is none."""
    for deviation in DEVIATIONS:
        if deviation.name == name:
            return deviation
    raise KeyError(f"unknown deviation {name!r}; known: {', '.join(d.name for d in DEVIATIONS)}")
