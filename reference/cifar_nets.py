"""The CIFAR-10 networks: cuda-convnet's three, which Section 3.3 speaks of, and the Keras net that this project began with.

Sources: computerhistory/AlexNet-Source-Code @ 2f8b81f, example-layers/ (18pct, conv-local-13pct); akrizhevsky/cuda-convnet2
@ 3238bf0, layers/layers-cifar10-11pct.cfg; mbrukman/reimplementing-ml-papers @ d137ca0, alexnet/alexnet_cifar10.py.
"""

from __future__ import annotations

import math

from .spec import AFFINE, Conv, Dense, Flatten, Layer, Local, Lrn, Network, Pool, Relu, Softmax, SpatialLrn

EXAMPLES = "computerhistory/AlexNet-Source-Code @ 2f8b81f, example-layers"
CONVNET2 = "akrizhevsky/cuda-convnet2 @ 3238bf0, layers"
BRUKMAN = "mbrukman/reimplementing-ml-papers @ d137ca0, alexnet"


def conv5x5(name: str, maps: int, std: float, source: str) -> Conv:
    return Conv(name, maps, 5, padding=(2, 2), init_std=std, source=source)


def local3x3(name: str, maps: int, source: str) -> Local:
    return Local(name, maps, 3, padding=(1, 1), init_std=0.04, source=source)


def halving(name: str, source: str, average: bool = False) -> Pool:
    """cuda-convnet's pooling: 3 x 3, stride 2, sizes rounded up; a mean counts only pixels that are there."""
    return Pool(name, 3, 2, ceil=True, average=average, source=source)


def classes(source: str) -> tuple[Layer, ...]:
    return Flatten("flatten", source=source), Dense("fc10", 10, source=source), Softmax("prob", source=source)


def cifar_18pct() -> Network:
    """18 % error in 20 minutes: three convolutions, normalisation within each map, average pooling."""
    source = f"{EXAMPLES}/layers-18pct.cfg"
    alpha = 0.00005 / 9  # scale, divided by the window's 3 x 3 pixels

    def norm(name: str) -> SpatialLrn:
        return SpatialLrn(name, n=3, k=1.0, alpha=alpha, beta=0.75, source=source)

    layers = (
        conv5x5("conv1", 32, 0.0001, source),
        Relu("relu1", source=source),
        halving("pool1", source),
        norm("norm1"),
        conv5x5("conv2", 32, 0.01, source),
        Relu("relu2", source=source),
        halving("pool2", source, average=True),
        norm("norm2"),
        conv5x5("conv3", 64, 0.01, source),
        Relu("relu3", source=source),
        halving("pool3", source, average=True),
        *classes(source),
    )
    return Network(
        "cifar-18pct", (3, 32, 32), layers, "cuda-convnet's quick CIFAR-10 net: LRN within maps, average pooling"
    )


def cifar_13pct() -> Network:
    """13 % without normalisation (Section 3.3): two convolutions, two locally connected layers, 24 x 24 crops."""
    source = f"{EXAMPLES}/layers-conv-local-13pct.cfg"
    layers = (
        conv5x5("conv1", 64, 0.0001, source),
        Relu("relu1", source=source),
        halving("pool1", source),
        conv5x5("conv2", 64, 0.01, source),
        Relu("relu2", source=source),
        halving("pool2", source),
        local3x3("local3", 32, source),
        Relu("relu3", source=source),
        local3x3("local4", 32, source),
        Relu("relu4", source=source),
        *classes(source),
    )
    return Network(
        "cifar-13pct", (3, 24, 24), layers, "cuda-convnet's CIFAR-10 net without normalisation, 24 x 24 crops"
    )


def cifar_11pct() -> Network:
    """11 % with normalisation (Section 3.3): windows of 9 maps, scale 0.001 / 9, offset 1; local3 twice as wide."""
    source = f"{CONVNET2}/layers-cifar10-11pct.cfg"

    def norm(name: str) -> Lrn:
        return Lrn(name, n=9, k=1.0, alpha=0.001 / 9, beta=0.75, source=source)

    layers = (
        conv5x5("conv1", 64, 0.0001, source),
        Relu("relu1", source=source),
        halving("pool1", source),
        norm("norm1"),
        conv5x5("conv2", 64, 0.01, source),
        Relu("relu2", source=source),
        norm("norm2"),
        halving("pool2", source),
        local3x3("local3", 64, source),
        Relu("relu3", source=source),
        local3x3("local4", 32, source),
        Relu("relu4", source=source),
        *classes(source),
    )
    return Network(
        "cifar-11pct", (3, 24, 24), layers, "cuda-convnet's CIFAR-10 net with LRN over 9 maps, 24 x 24 crops"
    )


def cifar_brukman() -> Network:
    """The Keras net of the document that started this project, with its LRN over tf.nn: n given as a radius, 11 maps.

    Its layers named Local3 and Local4 are ordinary convolutions. Keras begins with Glorot's uniform distribution:
    `init_std` is the std of that.
    """
    source = f"{BRUKMAN}/alexnet_cifar10.py"
    lrn = f"{BRUKMAN}/local_response_normalization.py"
    layers = (
        conv5x5("conv1", 64, 0.01, source),
        Relu("relu1", source=source),
        Pool("pool1", 3, 2, source=source),
        Lrn("norm1", n=11, source=lrn),
        conv5x5("conv2", 64, 0.01, source),
        Relu("relu2", source=source),
        Lrn("norm2", n=11, source=lrn),
        Pool("pool2", 3, 2, source=source),
        Conv("local3", 64, 3, padding=(1, 1), source=source),
        Relu("relu3", source=source),
        Conv("local4", 32, 3, padding=(1, 1), source=source),
        Relu("relu4", source=source),
        *classes(source),
    )
    about = "the CIFAR-10 net of mbrukman/reimplementing-ml-papers, LRN over tf.nn: a window of 11 maps"
    network = Network("cifar-brukman", (3, 32, 32), layers, about)
    for layer, before, after in tuple(network.walk()):
        if isinstance(layer, AFFINE):
            network = network.edit(layer.name, init_std=glorot_std(layer, before, after))
    return network


def glorot_std(layer: Layer, before: tuple[int, ...], after: tuple[int, ...]) -> float:
    """sqrt(2 / (fan in + fan out)), where a convolution's fans count every tap."""
    taps = layer.kernel**2 if isinstance(layer, Conv) else 1
    return math.sqrt(2 / (layer.reduction(before) + after[0] * taps))


def cifar_brukman_pylearn2() -> Network:
    """The same net with its other LRN, after Pylearn2's: a window of 5 maps, as the paper has it."""
    network = cifar_brukman()
    for norm in ("norm1", "norm2"):
        network = network.edit(norm, n=5, source=f"{BRUKMAN}/third_party/pylearn2")
    about = "the CIFAR-10 net of mbrukman/reimplementing-ml-papers, LRN after Pylearn2: a window of 5 maps"
    return network.renamed("cifar-brukman-pylearn2", about)
