"""How weights and biases begin: each cell is read off the column's network."""

from __future__ import annotations

from .differences import Area, Read, Source, paper
from .differences_network import caffe, net
from .differences_readers import biases, weights

INITIALISATION = Area.INITIALISATION
DEFAULT = " (torch's default: 1 / sqrt of the products summed)"

ROWS: tuple[Read, ...] = (
    Read(
        30,
        "weights of conv1 and conv2 begin",
        INITIALISATION,
        weights("conv1", "conv2"),
        (paper("Section 5"), net("17"), caffe("57-60"), Source("pytorch", "torch/nn/modules/conv.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        31,
        "weights of conv3, conv4, conv5 begin",
        INITIALISATION,
        weights("conv3", "conv4", "conv5"),
        (paper("Section 5"), net("143"), caffe("168-171"), Source("pytorch", "torch/nn/modules/conv.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        32,
        "weights of fc6 and fc7 begin",
        INITIALISATION,
        weights("fc6", "fc7"),
        (paper("Section 5"), net("238-282"), caffe("278-281"), Source("pytorch", "torch/nn/modules/linear.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        33,
        "weights of fc8 begin",
        INITIALISATION,
        weights("fc8"),
        (paper("Section 5"), net("294-299"), caffe("358-361"), Source("pytorch", "torch/nn/modules/linear.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        34,
        "biases of conv2, conv4, conv5, fc6, fc7 begin at",
        INITIALISATION,
        biases("conv2", "conv4", "conv5", "fc6", "fc7"),
        (paper("Section 5"), net("74"), caffe("117-120"), Source("pytorch", "torch/nn/modules/conv.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        35,
        "biases of conv1, conv3, fc8 begin at",
        INITIALISATION,
        biases("conv1", "conv3", "fc8"),
        (
            paper("Section 5"),
            Source("original", "layer.py", "833"),
            caffe("61-64"),
            Source("pytorch", "torch/nn/modules/conv.py"),
        ),
        notes={"torchvision": DEFAULT},
    ),
)
