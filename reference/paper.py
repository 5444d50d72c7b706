"""The paper's network: as printed, and in the two readings that everybody meets first."""

from __future__ import annotations

import dataclasses

from .spec import Conv, Dense, Dropout, Flatten, Layer, Lrn, Network, Pool, Relu, Softmax

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
    return network.renamed("single-tower", "the paper without groups, as many public copies have it")
