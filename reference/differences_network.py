"""The aspects that the networks themselves express: each cell is read off the column's network."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .differences import Area, Read, Reader, Source, differs, paper, silent
from .preprocessing import STORED, offsets
from .spec import AFFINE, Conv, Dense, Dropout, Layer, Lrn, Network, Pool, Relu, SpatialLrn, borders

NOTHING = "-"
NET = "layers/layers-145.cfg"
RUN = "layers/layer-params-145.cfg"
TRAIN_VAL = "models/bvlc_alexnet/train_val.prototxt"
MODEL = "torchvision/models/alexnet.py"


def net(lines: str) -> Source:
    return Source("original", NET, lines)


def caffe(lines: str) -> Source:
    return Source("caffe", TRAIN_VAL, lines)


def model(lines: str) -> Source:
    return Source("torchvision", MODEL, lines)


# Readers ------------------------------------------------------------------------------------------------------------


def joined(texts: Iterable[str]) -> str:
    """Each text once, in order; NOTHING if there is none."""
    return ", ".join(dict.fromkeys(texts)) or NOTHING


def of_kind(network: Network, *kinds: type[Layer]) -> list[Layer]:
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def input_size(network: Network) -> str:
    return f"{' x '.join(map(str, network.input_shape[1:]))} x {network.input_shape[0]}"


def input_numbers(network: Network) -> str:
    return f"{math.prod(network.input_shape):,} numbers"


def crop_offsets(network: Network) -> str:
    return str(len(offsets(STORED, network.input_shape[1])))


def kernels(*names: str) -> Reader:
    """Number and shape of the kernels, and the stride where it is not 1."""

    def read(network: Network) -> str:
        texts = []
        for layer, before, _ in network.walk():
            if isinstance(layer, Conv) and layer.name in names:
                stride = f", stride {layer.stride}" if layer.stride > 1 else ""
                maps = before[0] // layer.groups
                texts.append(f"{layer.channels} of {layer.kernel} x {layer.kernel} x {maps}{stride}")
        return joined(texts)

    return read


def padding_and_groups(name: str) -> Reader:
    def read(network: Network) -> str:
        layer = network[name]
        assert isinstance(layer, Conv)
        groups = f"{layer.groups} groups" if layer.groups > 1 else "no groups"
        return f"padding {layer.padding[0]}, {groups}"

    return read


def conv1_zeros(network: Network) -> str:
    """The padding of conv1 as declared, how its size is rounded, and the zeros that its windows really read."""
    conv1 = network["conv1"]
    assert isinstance(conv1, Conv)
    _, (before, after) = borders(conv1, network.input_shape)
    reads = f"reads {before} before and {after} after" if before or after else "reads no zeros"
    declared = " and ".join(str(side) for side in dict.fromkeys(conv1.padding))
    return f"padding {declared}, rounded {'up' if conv1.ceil else 'down'}: {reads}"


def size_of(name: str) -> Reader:
    return lambda network: " x ".join(map(str, network.shapes()[name][1:]))


def behind(*names: str) -> Reader:
    """The layers that the named ones read."""

    def read(network: Network) -> str:
        order = network.names()
        return joined(f"after {order[order.index(name) - 1]}" for name in names if name in order)

    return read


def normalised(network: Network) -> str:
    """The convolutions whose outputs are normalised across maps."""
    last, found = "", []
    for layer in network.layers:
        last = layer.name if isinstance(layer, AFFINE) else last
        found += [last] if isinstance(layer, Lrn) else []
    return " and ".join(found) or NOTHING


def norm_and_pool(network: Network) -> str:
    """Which of normalisation and pooling comes first, in each layer that has both."""
    order, texts = network.names(), []
    for number in ("1", "2"):
        norm, pool = f"norm{number}", f"pool{number}"
        if norm in order:
            texts.append(f"{'norm' if order.index(norm) < order.index(pool) else 'pool'} first")
    return joined(texts)


def lrn(field: str) -> Reader:
    return lambda network: joined(f"{getattr(layer, field):g}" for layer in of_kind(network, Lrn))


def lrn_span(network: Network) -> str:
    """How many maps one normalisation can see at most: those of the layer, or of a tower."""
    texts = []
    for layer, (maps, *_), _ in network.walk():
        if isinstance(layer, Lrn):
            texts.append(f"{maps // layer.towers} of {maps}" if layer.towers > 1 else f"all {maps}")
    return joined(texts)


def within_maps(network: Network) -> str:
    layers = [layer for layer in network.layers if isinstance(layer, SpatialLrn)]
    return (
        joined(
            f"{behind(layer.name)(network)}: {layer.n} x {layer.n} pixels, k {layer.k:g}, alpha {layer.alpha:g}, "
            f"beta {layer.beta:g}"
            for layer in layers
        )
        if layers
        else "none"
    )


def pools(network: Network) -> str:
    layers = [layer for layer in network.layers if isinstance(layer, Pool)]
    return joined(
        f"{'mean' if layer.average else 'maximum'} of {layer.kernel} x {layer.kernel}, stride {layer.stride}"
        for layer in layers
    )


def pool_rounding(network: Network) -> str:
    layers = [layer for layer in network.layers if isinstance(layer, Pool)]
    return joined(f"sizes rounded {'up' if layer.ceil else 'down'}" for layer in layers)


def units(*names: str) -> Reader:
    def read(network: Network) -> str:
        layers = [network[name] for name in names]
        return joined(str(layer.units) for layer in layers if isinstance(layer, Dense))

    return read


def relu_on_logits(network: Network) -> str:
    order = network.layers
    last = max(place for place, layer in enumerate(order) if isinstance(layer, AFFINE))
    return "yes" if any(isinstance(layer, Relu) for layer in order[last:]) else "no"


def dropped(network: Network) -> str:
    """Whose outputs dropout acts on, at which rate; activations between are passed over."""
    source, texts, rates = "", [], []
    for layer in network.layers:
        if isinstance(layer, (*AFFINE, Pool)):
            source = layer.name
        elif isinstance(layer, Dropout):
            texts.append(source)
            rates.append(f"rate {layer.rate:g}")
    return f"outputs of {' and '.join(texts)}, {joined(rates)}" if texts else "none"


def weights(*names: str) -> Reader:
    """How the weights of these layers begin."""

    def read(network: Network) -> str:
        texts = []
        for name in names:
            layer = network[name]
            assert isinstance(layer, Conv | Dense)
            texts.append(uniform(layer.init_std) if layer.init_bias_std else f"N(0, {layer.init_std:g})")
        return joined(texts)

    return read


def biases(*names: str) -> Reader:
    """How the biases of these layers begin."""

    def read(network: Network) -> str:
        texts = []
        for name in names:
            layer = network[name]
            assert isinstance(layer, Conv | Dense)
            texts.append(uniform(layer.init_bias_std) if layer.init_bias_std else f"{layer.init_bias:g}")
        return joined(texts)

    return read


def uniform(std: float) -> str:
    """A uniform distribution about zero with this standard deviation, by its limit."""
    return f"uniform to {std * math.sqrt(3):.3g}"


def parameters(network: Network) -> str:
    return f"{network.parameter_count():,}"


# Rows ---------------------------------------------------------------------------------------------------------------

INPUT, ARCHITECTURE, NORMALISATION, INITIALISATION = (
    Area.INPUT,
    Area.ARCHITECTURE,
    Area.NORMALISATION,
    Area.INITIALISATION,
)
DEFAULT = " (torch's default: to 1 / sqrt of the inputs)"
TOWERS = " (half on each GPU)"

ROWS: tuple[Read, ...] = (
    Read(
        2,
        "input size",
        INPUT,
        input_size,
        (paper("Section 3.5, Fig. 2"), Source("original", "shownet.py", "464-485"), caffe("13"), model("")),
        detail=input_numbers,
        notes={
            "paper": "; 150,528 numbers",
            "original": "; 256 less a border on both sides, so always even",
            "torchvision": "; any from 63 up",
        },
    ),
    Read(
        3,
        "offsets of a training crop, per axis",
        INPUT,
        crop_offsets,
        (paper("Section 4.1"), Source("original", "convdata_jpeg.py", "238-246"), caffe("13")),
        said={
            "paper": silent("32 if 2,048 is 32 x 32 x 2; 256 - 224 + 1 is 33"),
            "torchvision": differs("no grid: a random part, resized"),
        },
    ),
    Read(
        8,
        "conv1",
        ARCHITECTURE,
        kernels("conv1"),
        (paper("Section 3.5"), net("9-33"), caffe("49-65"), model("18")),
        notes={"original": TOWERS},
    ),
    Read(
        9,
        "padding of conv1, in pixels",
        ARCHITECTURE,
        conv1_zeros,
        (
            net("13"),
            Source("original", "layer.py", "1004"),
            Source("cuda-convnet", "src/cudaconv2/filter_acts.cu", "131"),
            Source("caffe", "src/caffe/layers/conv_layer.cpp", "18-19"),
            model("18"),
        ),
        said={"paper": silent("not stated; 55 x 55 does not follow from 224")},
    ),
    Read(
        10,
        "maps of conv1",
        ARCHITECTURE,
        size_of("conv1"),
        (paper("Section 3.5, Fig. 2"), net("17")),
        notes={"paper": " drawn; the 253,440 neurons of Fig. 2 fit no square map"},
    ),
    Read(
        11,
        "first ReLU",
        NORMALISATION,
        behind("relu1"),
        (paper("Sections 3.3, 3.5"), net("9-63"), caffe("66-71"), model("19")),
    ),
    Read(
        12,
        "LRN across maps",
        NORMALISATION,
        normalised,
        (paper("Section 3.5"), net("35-45,95-105".partition(",")[0]), caffe("72-82"), model("17-31")),
    ),
    Read(
        13,
        "normalisation and pooling",
        NORMALISATION,
        norm_and_pool,
        (paper("Section 3.5"), net("35-63"), caffe("72-93")),
        notes={"caffe": " (CaffeNet, its sibling: pool first)"},
    ),
    Read(
        14,
        "LRN offset k",
        NORMALISATION,
        lrn("k"),
        (
            paper("Section 3.3"),
            Source("original", RUN, "137-155"),
            caffe("72-82"),
            Source("caffe", "src/caffe/proto/caffe.proto"),
        ),
        notes={"original": " (minDiv)", "caffe": " (its default, not set)"},
    ),
    Read(
        15,
        "LRN alpha, as it multiplies the sum of squares",
        NORMALISATION,
        lrn("alpha"),
        (
            paper("Section 3.3"),
            Source("original", "layer.py", "1183"),
            Source("caffe", "src/caffe/layers/lrn_layer.cpp", "115-120"),
        ),
        notes={"original": " (written 1e-4, divided by n = 5)", "caffe": " (written 1e-4, divided by n = 5)"},
    ),
    Read(
        16,
        "LRN beta; n",
        NORMALISATION,
        lambda network: joined(f"{layer.beta:g}; {layer.n}" for layer in network.layers if isinstance(layer, Lrn)),
        (paper("Section 3.3"), net("39"), Source("original", RUN, "137-155"), caffe("72-82")),
    ),
    Read(
        17,
        "maps that one LRN may look at",
        NORMALISATION,
        lrn_span,
        (paper("Section 3.3"), net("35-45"), Source("caffe", "src/caffe/layers/lrn_layer.cpp", "115-120")),
        notes={"original": " (a tower's own)", "caffe": " (across its groups)"},
    ),
    Read(
        18,
        "a second normalisation, within each map",
        NORMALISATION,
        within_maps,
        (paper("Section 3.5"), net("107-117"), Source("original", RUN, "157-163")),
    ),
    Read(
        19,
        "pool1, pool2, pool5",
        ARCHITECTURE,
        pools,
        (
            paper("Section 3.4"),
            net("47-63"),
            Source("caffe", "src/caffe/layers/pooling_layer.cpp", "92-102"),
            model("20"),
        ),
        detail=pool_rounding,
        notes={"paper": "; rounding not stated", "torchvision": " (the same at 55, 27 and 13)"},
    ),
    Read(
        20,
        "conv2",
        ARCHITECTURE,
        kernels("conv2"),
        (paper("Section 3.5"), net("65-93"), caffe("94-120"), model("21")),
        detail=padding_and_groups("conv2"),
        notes={"original": TOWERS},
    ),
    Read(
        21,
        "conv3",
        ARCHITECTURE,
        kernels("conv3"),
        (paper("Section 3.5"), net("135-161"), caffe("149-174"), model("24")),
        detail=padding_and_groups("conv3"),
        notes={"original": " (each half reads both GPUs)"},
    ),
    Read(
        22,
        "conv4",
        ARCHITECTURE,
        kernels("conv4"),
        (paper("Section 3.5"), net("163-189"), caffe("181-207"), model("26")),
        detail=padding_and_groups("conv4"),
        notes={"original": TOWERS},
    ),
    Read(
        23,
        "conv5",
        ARCHITECTURE,
        kernels("conv5"),
        (paper("Section 3.5"), net("192-218"), caffe("214-240"), model("28")),
        detail=padding_and_groups("conv5"),
        notes={"original": TOWERS},
    ),
    Read(
        24,
        "last ReLU before the dense layers",
        ARCHITECTURE,
        behind("relu5"),
        (paper("Section 3.5"), net("192-236"), caffe("241-256"), model("29")),
        notes={"original": " (the same function: maximum and ReLU commute)"},
    ),
    Read(
        26,
        "units of fc6 and fc7",
        ARCHITECTURE,
        units("fc6", "fc7"),
        (paper("Section 3.5"), net("238-292"), caffe("257-334"), model("35-39")),
        notes={"original": " (half on each GPU, each half reads both)"},
    ),
    Read(
        27,
        "ReLU on fc8",
        ARCHITECTURE,
        relu_on_logits,
        (paper("Section 3.5"), net("294-306".partition("-")[0]), caffe("335-360"), model("40")),
        said={"paper": differs("yes, if every fully-connected layer has one as it says")},
    ),
    Read(
        28,
        "dropout acts on the",
        ARCHITECTURE,
        dropped,
        (paper("Section 4.2"), net("256-292"), caffe("290-300"), model("33-41")),
        notes={"torchvision": "; none before fc8"},
    ),
    Read(
        30,
        "weights of conv1 and conv2 begin",
        INITIALISATION,
        weights("conv1", "conv2"),
        (paper("Section 5"), net("16"), caffe("57-60"), Source("pytorch", "torch/nn/modules/conv.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        31,
        "weights of conv3, conv4, conv5 begin",
        INITIALISATION,
        weights("conv3", "conv4", "conv5"),
        (paper("Section 5"), net("143"), caffe("165-168"), Source("pytorch", "torch/nn/modules/conv.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        32,
        "weights of fc6 and fc7 begin",
        INITIALISATION,
        weights("fc6", "fc7"),
        (paper("Section 5"), net("238-282"), caffe("270-273"), Source("pytorch", "torch/nn/modules/linear.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        33,
        "weights of fc8 begin",
        INITIALISATION,
        weights("fc8"),
        (paper("Section 5"), net("294-299"), caffe("348-351"), Source("pytorch", "torch/nn/modules/linear.py")),
        notes={"torchvision": DEFAULT},
    ),
    Read(
        34,
        "biases of conv2, conv4, conv5, fc6, fc7 begin at",
        INITIALISATION,
        biases("conv2", "conv4", "conv5", "fc6", "fc7"),
        (paper("Section 5"), net("74"), caffe("112-115"), Source("pytorch", "torch/nn/modules/conv.py")),
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
    Read(
        47,
        "parameters",
        Area.RESULT,
        parameters,
        (paper("Abstract"), net(""), caffe(""), model("")),
        notes={"paper": " from its layers; it says 60 million"},
    ),
)
