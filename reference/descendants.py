"""AlexNets that others released and most people mean: Caffe's two, torchvision's, cuda-convnet2's, the ONNX model zoo's."""

from __future__ import annotations

import dataclasses
import math

from .original_2012 import DIVIDED
from .paper import paper
from .spec import AFFINE, Network

CAFFE = "BVLC/caffe @ 9b89154, models"
TORCHVISION = "pytorch/vision @ 29032aa, torchvision/models/alexnet.py"
CONVNET2 = "akrizhevsky/cuda-convnet2 @ 3238bf0, layers/layers-imagenet-1gpu.cfg"
ONNX = "onnx/onnx, onnx/backend/test/data/light/light_bvlc_alexnet.onnx"


def caffe() -> Network:
    """bvlc_alexnet: 227; LRN with Caffe's default k = 1 and alpha / n; pooling rounded up; biases 0.1, not 1.

    Source: models/bvlc_alexnet/train_val.prototxt; src/caffe/layers/lrn_layer.cpp:115-120 (alpha / size).
    """
    network = paper()
    for norm in ("norm1", "norm2"):
        network = network.edit(norm, k=1.0, alpha=DIVIDED)
    for pool in ("pool1", "pool2", "pool5"):
        network = network.edit(pool, ceil=True)
    for layer in network.layers:
        if isinstance(layer, AFFINE) and layer.init_bias:
            network = network.edit(layer.name, init_bias=0.1)
    for dense in ("fc6", "fc7"):
        network = network.edit(dense, init_std=0.005)
    about = "Caffe's bvlc_alexnet: 227, LRN with k = 1 and alpha / n, biases 0.1"
    return network.sourced(f"{CAFFE}/bvlc_alexnet/train_val.prototxt").renamed("caffe", about)


def caffenet() -> Network:
    """bvlc_reference_caffenet: as bvlc_alexnet with pooling before normalisation, and biases of 1."""
    network = caffe().move("norm1", after="pool1").move("norm2", after="pool2")
    for layer in network.layers:
        if isinstance(layer, AFFINE) and layer.init_bias:
            network = network.edit(layer.name, init_bias=1.0)
    about = "Caffe's bvlc_reference_caffenet: pooling before normalisation"
    return network.sourced(f"{CAFFE}/bvlc_reference_caffenet/train_val.prototxt").renamed("caffenet", about)


def narrow(network: Network) -> Network:
    """The widths of "One weird trick": 64, 192, 384, 256, 256 maps, no groups."""
    for name, width in (("conv1", 64), ("conv2", 192), ("conv3", 384), ("conv4", 256), ("conv5", 256)):
        network = network.edit(name, channels=width, groups=1)
    return network


def one_weird_trick() -> Network:
    """torchvision's alexnet: 224 padded by 2 on all sides, no LRN, dropout before fc6 and fc7.

    torchvision returns the logits: the softmax is in its loss. Its adaptive pooling to 6 x 6 is the identity at 224. Weights
    and biases begin uniform within +-1 / sqrt(fan in), torch's default: `init_std` and `init_bias_std` are the std of that.
    """
    network = dataclasses.replace(narrow(paper()), input_shape=(3, 224, 224)).edit("conv1", padding=(2, 2))
    network = network.swap("norm1").swap("norm2").move("drop6", after="flatten").move("drop7", after="relu6")
    for layer, before, _ in tuple(network.walk()):
        if isinstance(layer, AFFINE):
            std = 1 / math.sqrt(3 * layer.reduction(before))
            network = network.edit(layer.name, init_std=std, init_bias=0.0, init_bias_std=std)
    about = (
        "torchvision's alexnet, after the 2014 paper: 64 and 192 maps, no LRN, padding 2, dropout before fc6 and fc7"
    )
    return network.sourced(TORCHVISION).renamed("one-weird-trick", about)


def cuda_convnet2() -> Network:
    """cuda-convnet2's ImageNet net for one GPU: torchvision's widths with the original's LRN, rounding and order."""
    network = dataclasses.replace(narrow(paper()), input_shape=(3, 224, 224)).edit("conv1", ceil=True)
    network = network.move("relu1", after="pool1").move("relu5", after="pool5")
    for norm in ("norm1", "norm2"):
        network = network.edit(norm, alpha=DIVIDED)
    for pool in ("pool1", "pool2", "pool5"):
        network = network.edit(pool, ceil=True)
    for conv in ("conv3", "conv4", "conv5"):
        network = network.edit(conv, init_std=0.03)
    network = network.edit("fc8", init_bias=-7.0)
    about = "cuda-convnet2's net for one GPU: 64 and 192 maps, LRN before ReLU in layer 1, alpha / n"
    return network.sourced(CONVNET2).renamed("cuda-convnet2-1gpu", about)


def onnx_zoo() -> Network:
    """bvlcalexnet as the onnx package ships it: 224 without padding, so 54 x 54; pool5 padded at the right and bottom."""
    network = dataclasses.replace(caffe(), input_shape=(3, 224, 224))
    for pool in ("pool1", "pool2", "pool5"):
        network = network.edit(pool, ceil=False)
    network = network.edit("pool5", padding=(0, 1))
    about = "the ONNX model zoo's bvlcalexnet: 224 without padding, 54 x 54, the last pooling padded to reach 6 x 6"
    return network.sourced(ONNX).renamed("onnx-zoo", about)
