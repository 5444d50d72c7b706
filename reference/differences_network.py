"""The aspects that the networks themselves express: each cell is read off the column's network."""

from __future__ import annotations

from .differences import Area, Read, Source, differs, paper, same, silent
from .differences_readers import (
    behind,
    conv1_zeros,
    crop_offsets,
    dropped,
    input_numbers,
    input_size,
    kernels,
    lrn,
    lrn_exponent_and_size,
    lrn_span,
    norm_and_pool,
    normalised,
    padding_and_groups,
    parameters,
    pool_rounding,
    pools,
    relu_on_logits,
    size_of,
    units,
    within_maps,
)

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


# Rows ---------------------------------------------------------------------------------------------------------------

INPUT, ARCHITECTURE, NORMALISATION = Area.INPUT, Area.ARCHITECTURE, Area.NORMALISATION
TOWERS = " (half on each GPU)"

ROWS: tuple[Read, ...] = (
    Read(
        2,
        "input size",
        INPUT,
        input_size,
        (paper("Section 3.5, Fig. 2"), Source("original", "shownet.py", "464-485"), caffe("12"), model("17-18")),
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
        (paper("Section 4.1"), Source("original", "convdata_jpeg.py", "238-246"), caffe("10-14")),
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
        (paper("Section 3.5"), net("9-33"), caffe("40-66"), model("18")),
        notes={"original": TOWERS},
    ),
    Read(
        9,
        "padding of conv1, in pixels",
        ARCHITECTURE,
        conv1_zeros,
        (
            net("14"),
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
        (paper("Section 3.5, Fig. 2"), net("18")),
        notes={"paper": " drawn; the 253,440 neurons of Fig. 2 fit no square map"},
    ),
    Read(
        11,
        "first ReLU",
        NORMALISATION,
        behind("relu1"),
        (paper("Sections 3.3, 3.5"), net("9-63"), caffe("67-72"), model("19")),
    ),
    Read(
        12,
        "LRN across maps",
        NORMALISATION,
        normalised,
        (paper("Section 3.5"), net("35-45"), net("95-105"), caffe("73-83"), caffe("129-139"), model("17-31")),
    ),
    Read(
        13,
        "normalisation and pooling",
        NORMALISATION,
        norm_and_pool,
        (paper("Section 3.5"), net("35-63"), caffe("73-94")),
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
            caffe("73-83"),
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
        lrn_exponent_and_size,
        (paper("Section 3.3"), net("39"), Source("original", RUN, "137-155"), caffe("73-83")),
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
        (paper("Section 3.5"), net("65-93"), caffe("95-122"), model("21")),
        detail=padding_and_groups("conv2"),
        notes={"original": TOWERS},
    ),
    Read(
        21,
        "conv3",
        ARCHITECTURE,
        kernels("conv3"),
        (paper("Section 3.5"), net("135-161"), caffe("151-177"), model("24")),
        detail=padding_and_groups("conv3"),
        notes={"original": " (each half reads both GPUs)"},
    ),
    Read(
        22,
        "conv4",
        ARCHITECTURE,
        kernels("conv4"),
        (paper("Section 3.5"), net("163-189"), caffe("184-211"), model("26")),
        detail=padding_and_groups("conv4"),
        notes={"original": TOWERS},
    ),
    Read(
        23,
        "conv5",
        ARCHITECTURE,
        kernels("conv5"),
        (paper("Section 3.5"), net("192-218"), caffe("218-245"), model("28")),
        detail=padding_and_groups("conv5"),
        notes={"original": TOWERS},
    ),
    Read(
        24,
        "last ReLU before the dense layers",
        ARCHITECTURE,
        behind("relu5"),
        (paper("Section 3.5"), net("192-236"), caffe("246-262"), model("29")),
        notes={"original": " (the same function: maximum and ReLU commute)"},
    ),
    Read(
        26,
        "units of fc6 and fc7",
        ARCHITECTURE,
        units("fc6", "fc7"),
        (paper("Section 3.5"), net("238-292"), caffe("263-333"), model("35-39")),
        notes={"original": " (half on each GPU, each half reads both)"},
    ),
    Read(
        27,
        "ReLU on fc8",
        ARCHITECTURE,
        relu_on_logits,
        (paper("Section 3.5"), net("294-299"), caffe("343-367"), model("40")),
        said={"paper": same("yes, if every fully-connected layer has one as it says")},
    ),
    Read(
        28,
        "dropout acts on the",
        ARCHITECTURE,
        dropped,
        (paper("Section 4.2"), net("256-292"), caffe("294-302"), caffe("334-342"), model("33-41")),
        notes={"torchvision": "; none before fc8"},
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
