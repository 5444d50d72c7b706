"""What the authors ran: their own 2012 network and the single runs behind the paper's ablations.

Source: computerhistory/AlexNet-Source-Code @ 2f8b81f, layers/layers-NAME.cfg and layer-params-NAME.cfg; the convolution and
normalisation kernels are read from akrizhevsky/cuda-convnet2 @ 3238bf0. Towers are written as groups.
"""

from __future__ import annotations

import dataclasses

from .paper import paper
from .spec import Conv, Layer, Lrn, Network, Pool, Relu, SpatialLrn

LAYERS = "computerhistory/AlexNet-Source-Code @ 2f8b81f, layers"
DIVIDED = 1e-4 / 5  # scale=0.0001, which layer.py:1183 divides by the window's 5 maps


def original() -> Network:
    """layers-145, the network of the paper's tables: how it differs from the paper is in `differences.py`.

    224 with sizes rounded up (layer.py:1004), so three pixels of zeros at the right and the bottom; ReLU after pool1, so that
    norm1 sees signed values, and after pool5; alpha divided by n; LRN inside each tower; a second normalisation, within each
    map (5 x 5 pixels, scale 0.001 / 25, offset 1), before pool2; pooling rounded up; conv3 to conv5 begin with 0.03.
    """
    network = dataclasses.replace(paper(), input_shape=(3, 224, 224))
    network = network.edit("conv1", ceil=True).move("relu1", after="pool1").move("relu5", after="pool5")
    for norm in ("norm1", "norm2"):
        network = network.edit(norm, alpha=DIVIDED, towers=2)
    within = SpatialLrn("cnorm2", n=5, k=1.0, alpha=0.001 / 25, beta=0.75)
    network = network.swap("norm2", network["norm2"], within)
    for pool in ("pool1", "pool2", "pool5"):
        network = network.edit(pool, ceil=True)
    for conv in ("conv3", "conv4", "conv5"):
        network = network.edit(conv, init_std=0.03)
    about = "the authors' own network (layers-145): 224 rounded up, LRN within towers and before ReLU, alpha / n"
    return network.sourced(f"{LAYERS}/layers-145.cfg").renamed("original-2012", about)


def one_tower() -> Network:
    """layers-145-half: one tower, but conv5 and the dense layers keep the full width (the paper's footnote 2)."""
    network = original()
    for name, width in (("conv1", 48), ("conv2", 128), ("conv3", 192), ("conv4", 192)):
        network = network.edit(name, channels=width)
    for layer in network.layers:
        if isinstance(layer, Conv):
            network = network.edit(layer.name, groups=1)
        elif isinstance(layer, Lrn):
            network = network.edit(layer.name, towers=1)
    about = "the authors' one-GPU ablation (layers-145-half): one tower, conv5 and dense layers full width"
    return network.sourced(f"{LAYERS}/layers-145-half.cfg").renamed("original-one-tower", about)


def no_lrn() -> Network:
    """layers-148: no normalisation at all, within maps neither."""
    network = original().swap("norm1").swap("norm2").swap("cnorm2")
    about = "the authors' ablation without normalisation (layers-148)"
    return network.sourced(f"{LAYERS}/layers-148.cfg").renamed("original-no-lrn", about)


def non_overlapping() -> Network:
    """layers-147: 2 x 2 pooling; conv2 and conv5 lose a pixel of padding so that fc6 still sees 6 x 6."""
    network = original()
    for layer in network.layers:
        if isinstance(layer, Pool):
            network = network.edit(layer.name, kernel=2)
    network = network.edit("conv2", padding=(1, 1)).edit("conv5", padding=(0, 0))
    about = "the authors' ablation with 2 x 2 pooling (layers-147): 55-28-26-13-13-11-6"
    return network.sourced(f"{LAYERS}/layers-147.cfg").renamed("original-non-overlapping", about)


def no_communication() -> Network:
    """layers-150: the towers meet in fc8 only; conv2 has 2 x 160 maps and fc6 2 x 4096 units to make up for it."""
    network = original().edit("conv2", channels=320).edit("conv3", groups=2)
    network = network.edit("fc6", units=8192, groups=2).edit("fc7", groups=2)
    about = "the authors' control without communication between the towers (layers-150)"
    return network.sourced(f"{LAYERS}/layers-150.cfg").renamed("original-no-communication", about)


def six_conv() -> Network:
    """layers-146-2012-2011: a sixth convolution over the last pooling layer, reading both towers."""
    network = original()
    sixth: tuple[Layer, ...] = (Conv("conv6", 256, 3, padding=(1, 1), init_std=0.03, init_bias=1.0), Relu("relu_conv6"))
    network = network.swap("relu5", network["relu5"], *sixth)
    about = "the authors' network with a sixth convolution over pool5 (layers-146-2012-2011)"
    return network.sourced(f"{LAYERS}/layers-146-2012-2011.cfg").renamed("original-six-conv", about)
