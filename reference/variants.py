"""The networks that an implementation can be verified against, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .spec import Conv, Dense, Dropout, Flatten, Layer, Lrn, Network, Pool, Relu, Softmax, nearest

RELU, LRN, POOL, DROP = "Section 3.1", "Section 3.3", "Sections 3.4, 3.5", "Section 4.2"
CONV, DENSE, LOSS = "Section 3.5", "Section 3.5", "Section 3.5"


def paper() -> Network:
    """The paper at 227 x 227, where 55 x 55 follows without padding; two towers written as groups; LRN as printed."""
    layers: tuple[Layer, ...] = (
        Conv("conv1", 96, 11, stride=4, source=CONV),
        Relu("relu1", source=RELU),
        Lrn("norm1", source=LRN),
        Pool("pool1", 3, 2, source=POOL),
        Conv("conv2", 256, 5, padding=(2, 2), groups=2, init_bias=1.0, source=CONV),
        Relu("relu2", source=RELU),
        Lrn("norm2", source=LRN),
        Pool("pool2", 3, 2, source=POOL),
        Conv("conv3", 384, 3, padding=(1, 1), source=CONV),
        Relu("relu3", source=RELU),
        Conv("conv4", 384, 3, padding=(1, 1), groups=2, init_bias=1.0, source=CONV),
        Relu("relu4", source=RELU),
        Conv("conv5", 256, 3, padding=(1, 1), groups=2, init_bias=1.0, source=CONV),
        Relu("relu5", source=RELU),
        Pool("pool5", 3, 2, source=POOL),
        Flatten("flatten", source=DENSE),
        Dense("fc6", 4096, init_bias=1.0, source=DENSE),
        Relu("relu6", source=RELU),
        Dropout("drop6", source=DROP),
        Dense("fc7", 4096, init_bias=1.0, source=DENSE),
        Relu("relu7", source=RELU),
        Dropout("drop7", source=DROP),
        Dense("fc8", 1000, source=DENSE),
        Softmax("prob", source=LOSS),
    )
    return Network("paper", (3, 227, 227), layers, "the paper at 227 x 227, two towers as groups, LRN as printed")


def paper_224() -> Network:
    """224 x 224 with three pixels of zeros at the right and the bottom only, as the authors' code did.

    Source: computerhistory/AlexNet-Source-Code @ 2f8b81f, layer.py line 1004 (output size rounded up) and
    layers/layers-145.cfg (padding=0); mbrukman/cuda-convnet, filter_acts.cu line 131 (missing pixels read as zero).
    """
    padded = paper().edit("conv1", padding=(0, 3), source="Section 3.5; layer.py:1004 of the authors' code")
    about = "224 x 224 as printed, three pixels of zeros at the right and bottom as in the authors' code"
    return dataclasses.replace(padded, input_shape=(3, 224, 224)).renamed("paper-224", about)


def single_tower() -> Network:
    """One tower: no groups, so conv2, conv4 and conv5 read every map before them."""
    network = paper()
    for layer in network.layers:
        if isinstance(layer, Conv):
            network = network.edit(layer.name, groups=1)
    return network.renamed("single-tower", "the paper without groups, as most public copies have it")


# Few maps, a different number in every layer, an input that is not square and fc7 that is not square: a transposition
# or a loop over the wrong axis cannot hide, and 24 rows at conv1 tell pools that round up from those that round down.
THIN_WIDTHS = {"conv1": 16, "conv2": 20, "conv3": 28, "conv4": 24, "conv5": 12, "fc6": 37, "fc7": 29, "fc8": 11}
THIN_ROWS, THIN_COLUMNS = 103, 131


def thin(network: Network) -> Network:
    """A quick network of the same geometry: kernels, strides, padding, groups and LRN kept, widths and input reduced."""
    for layer in network.layers:
        if width := THIN_WIDTHS.get(layer.name):
            network = network.edit(layer.name, **{"channels" if isinstance(layer, Conv) else "units": width})
    first = network.layers[0]
    border = sum(first.padding) if isinstance(first, Conv) else 0
    network = dataclasses.replace(network, input_shape=(3, THIN_ROWS - border, THIN_COLUMNS - border))
    return network.renamed(f"{network.name}-thin", f"{network.name} with few maps on a small image, for quick checks")


_FULL: dict[str, Callable[[], Network]] = {"paper": paper, "paper-224": paper_224, "single-tower": single_tower}


def names() -> list[str]:
    """Every variant's name: the full ones first, then their thin counterparts."""
    return [*_FULL, *(f"{name}-thin" for name in _FULL)]


def variant(name: str) -> Network:
    """The network called `name`; an unknown name raises KeyError and says the nearest right one."""
    if name in _FULL:
        return _FULL[name]()
    if name.endswith("-thin") and name.removesuffix("-thin") in _FULL:
        return thin(_FULL[name.removesuffix("-thin")]())
    raise KeyError(f"unknown variant {name!r}{nearest(name, names())} Known: {', '.join(names())}")
