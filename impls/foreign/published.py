"""AlexNets that others published as packages, each with what its source says, read by hand.

What a reading lists is what an audit has to find, no less and no more; until they agree, nothing is published about the
package. File and line are those of the version named here, and the SHA-256 of each file says that it is the one that was read.
The functions at the end give models that no address alone leads to: they build them as their authors' documentation does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

DEVIATION, CONVENTION = "deviation", "convention"
OWT = "One weird trick (2014)"
HERE = "alexnet_parity.impls.foreign.published"
IMAGES = (2, 3, 224, 224)
LEGACY = {"TF_USE_LEGACY_KERAS": "1"}  # Keras 2 behind tf.keras; set before TensorFlow is imported


@dataclass(frozen=True)
class Fact:
    """One way in which a network is not its nearest variant, or that variant is not the paper's network.

    layers: the paper's names; trap: the catalogue's id; kind: DEVIATION, or CONVENTION where the paper's authors, Caffe or the
    nearest variant do it so. lines: FILE:LINES in the package, `says`: what stands there, in our words.
    """

    layers: tuple[str, ...]
    trap: str
    kind: str
    lines: str
    says: str


@dataclass(frozen=True)
class Published:
    """One subject. `target`: what `alexnet-parity audit` is given; a path below site-packages for a file in a package.

    files: path below site-packages -> SHA-256 of what was read. nearest: the variant that it has to come out as, "" where
    `refused`, a part of the line that the audit has to end with, or `another`, a part of what an audit says of a network that is
    no AlexNet.
    unseen: what its source says and an audit of this target cannot see, and why. control: no AlexNet by name, audited to see
    that an audit does not call everything clean. environment: variables that its process needs.
    cites: the paper that its own source names.
    """

    name: str
    package: str
    version: str
    licence: str
    target: str
    about: str
    files: dict[str, str]
    nearest: str = ""
    facts: tuple[Fact, ...] = ()
    input_shape: tuple[int, int, int, int] | None = IMAGES
    unseen: tuple[str, ...] = ()
    refused: str = ""
    another: str = ""
    control: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    cites: str = ""

    def expected(self) -> frozenset[tuple[str, str, str]]:
        """(layer, trap, kind) of all that an audit has to find."""
        return frozenset((layer, fact.trap, fact.kind) for fact in self.facts for layer in fact.layers)

    def in_a_file(self) -> bool:
        return self.target.endswith(".onnx")

    def address(self) -> str:
        """The target on this machine."""
        return str(self.located(self.target)) if self.in_a_file() else self.target

    def located(self, path: str) -> Path:
        return Path(str(metadata.distribution(self.package).locate_file(path)))

    def absent(self) -> str:
        """Why it cannot be audited here: "" where it can."""
        try:
            found = metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return f"{self.package} is not installed here"
        if found != self.version:
            return f"{self.package} {found} is installed; what was read is {self.version}"
        missing = [name for name in self.imports() if util.find_spec(name) is None]
        return f"{missing[0]}, which it needs, is not installed here" if missing else ""

    def imports(self) -> tuple[str, ...]:
        """Packages that its target needs besides its own."""
        return NEEDS.get(self.package, ())

    def altered(self) -> list[str]:
        """Files of the package that are not what was read."""
        return [path for path, digest in self.files.items() if sha256(self.located(path)) != digest]


NEEDS = {
    **dict.fromkeys(("pytorchcv", "torchvision", "alexnet-pytorch", "ptcaffe"), ("torch",)),
    **dict.fromkeys(("pretrainedmodels", "lpips"), ("torch", "torchvision")),
    **dict.fromkeys(("tf2cv", "tensorflowcv"), ("tensorflow", "tf_keras")),
    **{"tf-slim": ("tensorflow",), "jaxonmodels": ("jax", "equinox"), "onnx": ("onnxruntime",)},
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def subjects() -> tuple[Published, ...]:
    """All of them, those that the paper's readers are likeliest to meet first, controls last."""
    return tuple(everything())


# What several have in common --------------------------------------------------------------------------------------------

CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5")
DENSE = ("fc6", "fc7", "fc8")
GROUPED = ("conv2", "conv4", "conv5")
ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")  # biases that begin with 1 in the paper


def narrow(first: str, second: str, fourth: str, groups: str = "") -> tuple[Fact, ...]:
    """64, 192 and 256 maps at conv1, conv2 and conv4, as in "One weird trick", and no groups."""
    return (
        Fact(("conv1",), "maps-64", CONVENTION, first, "64 maps; the paper has 96"),
        Fact(("conv2",), "maps-192", CONVENTION, second, "192 maps; the paper has 256"),
        *((Fact(("conv4",), "maps-256", CONVENTION, fourth, "256 maps; the paper has 384"),) if fourth else ()),
        no_groups(groups or first),
    )


def no_groups(lines: str) -> Fact:
    return Fact(GROUPED, "groups-ignored", CONVENTION, lines, "no groups are asked for, so every filter reads all maps")


def no_norm(lines: str) -> Fact:
    says = "the convolutions' ReLUs lead straight to pooling: no response normalisation"
    return Fact(("norm1", "norm2"), "lrn-missing", CONVENTION, lines, says)


def logits(lines: str) -> Fact:
    return Fact(("prob",), "softmax-missing", CONVENTION, lines, "the last dense layer's output is returned: logits")


def pad_2(lines: str) -> Fact:
    says = "2 zeros on all sides of conv1; an image of 224 in the paper's geometry wants 3 at the end alone"
    return Fact(("conv1",), "pad-2", CONVENTION, lines, says)


def one_weird_trick(conv1: str, conv2: str, conv4: str, convs: str, dropout: str, end: str) -> tuple[Fact, ...]:
    """torchvision's layers and all that they do otherwise than the paper, each with its lines; first values apart."""
    before = "a dropout before each of the two hidden dense layers; the paper has it behind them"
    return (
        pad_2(conv1),
        *narrow(conv1, conv2, conv4, convs),
        no_norm(convs),
        Fact(("drop6",), "dropout-before-dense", CONVENTION, dropout, before),
        logits(end),
    )


def begins(trap: str, layers: Sequence[str], lines: str, says: str, kind: str = DEVIATION) -> Fact:
    return Fact(tuple(layers), trap, kind, lines, says)


def begins_as_torch(layers: Sequence[str], lines: str) -> tuple[Fact, ...]:
    """torch's own first values where the nearest variant has them too: nobody's mistake, and not the paper's laws."""
    modules = "nn.Conv2d and nn.Linear" if "conv1" in layers else "nn.Linear"
    says = f"{modules} and no initialiser: torch's default, uniform within 1 / sqrt(fan in)"
    return tuple(begins(trap, layers, lines, says, CONVENTION) for trap in ("init-torch-uniform", "init-bias-uniform"))


def begins_with_zero_biases(layers: Sequence[str], lines: str, says: str) -> tuple[Fact, ...]:
    """Where the nearest variant draws its biases: zeros are the paper's own at conv1, conv3 and fc8."""
    there = [begins("init-zero-bias", [n for n in layers if n in ONES], lines, says)]
    own = [layer for layer in layers if layer not in ONES]
    return (*there, begins("init-zero-bias", own, lines, f"{says}, as in the paper at these layers", CONVENTION))


# The subjects ------------------------------------------------------------------------------------------------------------

PYTORCHCV = {
    "pytorchcv/models/alexnet.py": "6a1f8354a96cf6be69badb2d4d916103faaff74708fa921d783a02490ffdecb3",
}
PYTORCHCV_ZFNET = {
    "pytorchcv/models/zfnet.py": "d626e8626b601d09fa043c99e5e17c20540bae43d02df7805cba7382167a21f4",
}
TF2CV = {
    "tf2cv/models/alexnet.py": "1316485eb651e47f3bf41d80043a1cb114bca75031ab356778e4a3330684522b",
    "tf2cv/models/common.py": "6335cae16994a90d10d9c2e116b5e6f0e4e73ac0841a4cb4df1485491e980f75",
}
TF2CV_ZFNET = {"tf2cv/models/zfnet.py": "bd62f326e41236c5f398253ebba1ec92532f1b61c4ceb1638c3c1efeddfd2fa8"}
TENSORFLOWCV = {
    "tensorflowcv/models/alexnet.py": "f6569376b26c5fe18f0c3e7f647c3788e35e15a200049c0f75f2d5d38353d6e0",
    "tensorflowcv/models/common.py": "7f6ca921dc1618ed4676526ec7e67c88d26fa295d8e515adc884a1a5f7b463cf",
}
TF_SLIM = {"tf_slim/nets/alexnet.py": "635f129c9e19b6b52162698b798ce311ad2e1099ab10de78bb4e8cb684309849"}
TORCHVISION = {"torchvision/models/alexnet.py": "4a26ca838aa910cdd750cda835eb13100d983f11576aab18694678e6f81f31a5"}
ALEXNET_PYTORCH = {
    "alexnet_pytorch/model.py": "f287be11a1487eca4c994206db2afce2627861af62808eee572753a376e471e8",
    "alexnet_pytorch/utils.py": "4dbf7b9243c8a47a537bd8f0d04d4aeb80621c7c2117eeba66297fc0793b2f55",
}
PRETRAINED = {
    "pretrainedmodels/models/torchvision_models.py": "b08119ed26324b802202060c38b8ca16a911fd39cfc2348a6f7f8c71d933c4c0",
}
PTCAFFE = {"ptcaffe/models/alexnet.py": "20fc199fa910f65dc79401668ddf20746b28aab3290eb06706c079c323bcd670"}
LPIPS = {"lpips/pretrained_networks.py": "6a27f714c51796db466e86bebba6a617c1bfc4d566f3a1756497629c1248686e"}
JAXONMODELS = {
    "jaxonmodels/models/alexnet.py": "0bcba9cd58c19abdcaa6d20c9ca9dcac440c70942779db2f358055eac87a715f",
    "jaxonmodels/layers/normalization.py": "62d420737d8670a9e570529954a6dfe0aa8d162e2dafb8a291eb859dee075ac6",
}
LIGHT = "onnx/backend/test/data/light"
ZIGZAG = "zigzag/inputs/workload/alexnet.onnx"
KERAS = "no initialiser named: Keras' default"
CARRIED = "the file asks for a plain LRN; onnxruntime carries the sum of squares from map to map"


def everything() -> Iterator[Published]:
    yield from in_torch()
    yield from in_tensorflow()
    yield in_jax()
    yield from in_onnx()
    yield from controls()


def in_torch() -> Iterator[Published]:
    place = "torchvision/models/alexnet.py"
    yield Published(
        "torchvision",
        "torchvision",
        "0.15.2",
        "BSD-3-Clause",
        "torchvision.models:alexnet",
        "The network that most people know as AlexNet: the widths of 'One weird trick', no response normalisation.",
        TORCHVISION,
        "one-weird-trick",
        (
            *one_weird_trick(
                f"{place}:22", f"{place}:25", f"{place}:30", f"{place}:22-34", f"{place}:38, 41", f"{place}:44"
            ),
            *begins_as_torch((*CONVS, *DENSE), f"{place}:22, 25, 28, 30, 32, 39, 42, 44"),
        ),
        unseen=("its adaptive pooling to 6 x 6 (line 36) is the identity on images of 224 and of 227",),
        cites=OWT,
    )
    place = "pytorchcv/models/alexnet.py"
    ceil = f"{place}:170-174"
    yield Published(
        "pytorchcv alexnet",
        "pytorchcv",
        "0.0.74",
        "MIT",
        "pytorchcv.models.alexnet:alexnet",
        "The paper's widths in one tower, with response normalisation.",
        PYTORCHCV,
        "single-tower",
        (
            Fact(("conv1",), "padding-missing", CONVENTION, f"{place}:225", "no padding at conv1 on images of 224"),
            Fact(
                ("norm1", "norm2"),
                "lrn-alpha-over-n",
                CONVENTION,
                f"{place}:54",
                "alpha stays at torch's default 1e-4, which torch divides by size = 5: 2e-5",
            ),
            Fact(("pool1",), "pool-ceil", CONVENTION, ceil, "pooling rounds up: 54 becomes 27, not 26"),
            no_groups(f"{place}:162-168"),
            logits(f"{place}:116-117"),
            begins("init-he-uniform", CONVS, f"{place}:186", "kaiming_uniform_ with its own defaults"),
            begins("init-zero-bias", GROUPED, f"{place}:187-188", "biases of the convolutions set to 0"),
            begins("init-torch-uniform", DENSE, f"{place}:73-75, 109-111", "dense layers keep torch's default"),
            begins("init-bias-uniform", DENSE, f"{place}:73-75, 109-111", "dense layers keep torch's default"),
        ),
        cites=OWT,
    )
    yield Published(
        "pytorchcv alexnetb",
        "pytorchcv",
        "0.0.74",
        "MIT",
        "pytorchcv.models.alexnet:alexnetb",
        "The widths of 'One weird trick' and no response normalisation, with dropout where the paper has it.",
        PYTORCHCV,
        "one-weird-trick",
        (
            pad_2(f"{place}:231"),
            *narrow(f"{place}:228", f"{place}:228", f"{place}:228", f"{place}:162-168"),
            no_norm(f"{place}:232"),
            Fact(
                ("drop6",),
                "dropout-after-dense",
                CONVENTION,
                f"{place}:80-82",
                "dropout follows the hidden dense layers' ReLUs, as in the paper; torchvision has it before",
            ),
            logits(f"{place}:116-117"),
            begins("init-he-uniform", CONVS, f"{place}:186", "kaiming_uniform_ with its own defaults"),
            *begins_with_zero_biases(CONVS, f"{place}:187-188", "biases of the convolutions set to 0"),
            *begins_as_torch(DENSE, f"{place}:73-75, 109-111"),
        ),
        unseen=(f"pooling rounds up ({ceil}), which changes nothing at 55, 27 and 13",),
        cites=OWT,
    )
    place, utils = "alexnet_pytorch/model.py", "alexnet_pytorch/utils.py"
    yield Published(
        "alexnet-pytorch",
        "alexnet-pytorch",
        "0.2.0",
        "Apache-2.0",
        "alexnet_pytorch:AlexNet.from_name(model_name='alexnet')",
        "torchvision's layers with a dropout rate and first values of its own.",
        ALEXNET_PYTORCH,
        "one-weird-trick",
        (
            *one_weird_trick(
                f"{place}:38", f"{place}:41", f"{place}:46", f"{place}:38-50", f"{place}:54, 57", f"{place}:60"
            ),
            Fact(
                ("drop6", "drop7"),
                "dropout-20",
                DEVIATION,
                f"{utils}:36; {place}:54, 57",
                "the table of coefficients has a dropout of 0.2",
            ),
            begins("init-he-normal-fan-out", CONVS, f"{place}:65", "kaiming_normal_ with mode='fan_out'"),
            begins("init-std-001", DENSE, f"{place}:72", "N(0, 0.01), as in the paper", CONVENTION),
            *begins_with_zero_biases((*CONVS, *DENSE), f"{place}:66-67, 73", "biases set to 0"),
        ),
        cites=OWT,
    )
    place = "pretrainedmodels/models/torchvision_models.py"
    same = "torchvision/models/alexnet.py"
    yield Published(
        "pretrainedmodels",
        "pretrainedmodels",
        "0.7.4",
        "MIT by its metadata",
        "pretrainedmodels:alexnet(pretrained=None)",
        "torchvision's network with its modules renamed and its forward replaced on the instance (lines 131-168).",
        PRETRAINED | TORCHVISION,
        "one-weird-trick",
        (
            *one_weird_trick(
                f"{same}:22", f"{same}:25", f"{same}:30", f"{same}:22-34", f"{place}:147, 150", f"{place}:156-157"
            ),
            *begins_as_torch((*CONVS, *DENSE), f"{same}:22, 25, 28, 30, 32, 39, 42, 44; {place}:175"),
        ),
        unseen=("torchvision's adaptive pooling stays behind as a module that is never called",),
        cites=OWT,
    )
    place = "ptcaffe/models/alexnet.py"
    yield Published(
        "ptcaffe",
        "ptcaffe",
        "1.1",
        "MIT",
        "ptcaffe.models.alexnet:AlexNet(layer={'model_param': {}}, input_shape=[1,3,224,224])",
        "The layers of an early torchvision, before adaptive pooling; not Caffe's network.",
        PTCAFFE,
        "one-weird-trick",
        (
            *one_weird_trick(
                f"{place}:16", f"{place}:19", f"{place}:24", f"{place}:16-28", f"{place}:31, 34", f"{place}:37"
            ),
            *begins_as_torch((*CONVS, *DENSE), f"{place}:16, 19, 22, 24, 26, 32, 35, 37"),
        ),
    )
    yield Published(
        "lpips",
        "lpips",
        "0.1.4",
        "BSD-2-Clause",
        "lpips.pretrained_networks:alexnet(pretrained=False)",
        "torchvision's convolutions alone, by design: its first twelve modules are kept (lines 66-75) and the five ReLUs' maps "
        "returned (lines 80-94), so that neither the last pooling nor any dense layer is there.",
        LPIPS | TORCHVISION,
        another="found 5 convolutions and 0 dense layers, of which 5 have a place in the nearest variant, one-weird-trick",
    )


def in_tensorflow() -> Iterator[Published]:
    place, common = "tf2cv/models/alexnet.py", "tf2cv/models/common.py"
    radius = "depth_radius stays at tf.nn.lrn's default 5, which is a window of 11 maps"
    shifted = "where the size is not exact one zero is put on both sides: 54 becomes 27, and the windows begin one pixel early"
    yield Published(
        "tf2cv alexnet",
        "tf2cv",
        "0.0.18",
        "MIT",
        "tf2cv.models.alexnet:alexnet",
        "Written as pytorchcv's network by the same author, in TensorFlow 2.",
        TF2CV,
        "single-tower",
        (
            Fact(("conv1",), "padding-missing", CONVENTION, f"{place}:236", "no padding at conv1 on images of 224"),
            Fact(("norm1", "norm2"), "lrn-radius-n", DEVIATION, f"{place}:60", radius),
            Fact(("pool1",), "pool-pad-1", DEVIATION, f"{place}:191-195; {common}:391-403", shifted),
            no_groups(f"{place}:181-189"),
            logits(f"{place}:128-130"),
            begins(
                "init-glorot-uniform",
                (*CONVS, *DENSE),
                f"{common}:969-977; {place}:80-83",
                KERAS,
            ),
            begins("init-zero-bias", ONES, f"{common}:969-977; {place}:80-83", KERAS),
        ),
        environment=tuple(LEGACY.items()),
        cites=OWT,
    )
    yield Published(
        "tf2cv alexnetb",
        "tf2cv",
        "0.0.18",
        "MIT",
        "tf2cv.models.alexnet:alexnetb",
        "Written as pytorchcv's alexnetb by the same author, in TensorFlow 2.",
        TF2CV,
        "one-weird-trick",
        (
            pad_2(f"{place}:242"),
            *narrow(f"{place}:239", f"{place}:239", f"{place}:239", f"{place}:181-189"),
            no_norm(f"{place}:243"),
            Fact(
                ("drop6",),
                "dropout-after-dense",
                CONVENTION,
                f"{place}:90-92",
                "dropout follows the hidden dense layers' ReLUs, as in the paper; torchvision has it before",
            ),
            logits(f"{place}:128-130"),
            begins(
                "init-glorot-uniform",
                (*CONVS, *DENSE),
                f"{common}:969-977; {place}:80-83",
                KERAS,
            ),
            *begins_with_zero_biases((*CONVS, *DENSE), f"{common}:969-977; {place}:80-83", KERAS),
        ),
        unseen=("the pooling of tf2cv's alexnet is here as well; at 55, 27 and 13 it is exact and nothing is padded",),
        environment=tuple(LEGACY.items()),
        cites=OWT,
    )
    place, common = "tensorflowcv/models/alexnet.py", "tensorflowcv/models/common.py"
    yield Published(
        "tensorflowcv alexnet",
        "tensorflowcv",
        "0.0.38",
        "MIT",
        f"{HERE}:tensorflowcv",
        "The same author's network for TensorFlow 1, built here as a graph for inference.",
        TENSORFLOWCV,
        "single-tower",
        (
            Fact(("conv1",), "padding-missing", CONVENTION, f"{place}:286", "no padding at conv1 on images of 224"),
            Fact(("norm1", "norm2"), "lrn-radius-n", DEVIATION, f"{place}:68", radius),
            Fact(
                ("pool1",),
                "pool-pad-1",
                DEVIATION,
                f"{common}:251-265",
                "axes 2 and 3 are taken for height and width, which are the width and the maps here; one reflected pixel "
                "comes before and after in both directions: 54 becomes 27, and the windows begin one pixel early",
            ),
            no_groups(f"{place}:55-66"),
            logits(f"{place}:151-154"),
            begins(
                "init-he-normal-truncated",
                CONVS,
                f"{common}:417",
                "VarianceScaling(2.0): normal, cut at two standard deviations",
            ),
            begins("init-glorot-uniform", DENSE, f"{place}:99-101, 151-153", KERAS),
            begins("init-zero-bias", ONES, f"{common}:409-418; {place}:99-101", KERAS),
        ),
        input_shape=None,
        unseen=(
            f"dropout of 0.5 behind both hidden dense layers ({place}:103-107): the graph is built for inference",
            "at pool2 and pool5 the same lines put one row and one column at the end, which no window reaches",
        ),
        environment=tuple(LEGACY.items()),
        cites=OWT,
    )
    place = "tf_slim/nets/alexnet.py"
    yield Published(
        "tf-slim alexnet_v2",
        "tf-slim",
        "1.1.0",
        "Apache-2.0",
        f"{HERE}:tf_slim",
        "TF-Slim's alexnet_v2, all of it convolutions, built here as a graph for inference within its own arg scope. "
        "fc6 is a convolution of 5 x 5 over maps of 5 x 5: a dense layer of 6,400 inputs, where the paper has 9,216.",
        TF_SLIM,
        "one-weird-trick",
        (
            Fact(("conv1",), "padding-missing", CONVENTION, f"{place}:106", "padding='VALID': 54 x 54"),
            *narrow(f"{place}:106", f"{place}:108", "", f"{place}:105-112"),
            no_norm(f"{place}:83, 105-113"),
            Fact(("conv4",), "maps-384", CONVENTION, f"{place}:111", "384 maps, as in the paper; torchvision has 256"),
            logits(f"{place}:126-132"),
            begins("init-glorot-uniform", CONVS, f"{place}:83-84, 105-112", "slim's default: xavier_initializer"),
            begins(
                "init-other",
                DENSE,
                f"{place}:118",
                "N(0, 0.005) cut at two standard deviations",
            ),
            begins("init-bias-01", ("conv1", "conv3"), f"{place}:60", "biases of 0.1"),
            begins("init-bias-01", ONES, f"{place}:60, 119", "biases of 0.1, as in Caffe", CONVENTION),
            begins("init-zero-bias", ("fc8",), f"{place}:131", "biases of 0, as in the paper", CONVENTION),
        ),
        input_shape=None,
        unseen=(
            f"dropout of 0.5 behind fc6 and fc7 ({place}:121-125): the graph is built for inference. is_training=True is the "
            "default, so that dropout runs unless it is told otherwise",
        ),
        cites=OWT,
    )


def in_jax() -> Published:
    place, norm = "jaxonmodels/models/alexnet.py", "jaxonmodels/layers/normalization.py"
    lines = f"{place}:53-117"
    return Published(
        "jaxonmodels",
        "jaxonmodels",
        "0.2.3",
        "MIT",
        f"{HERE}:jaxonmodels",
        f"Equinox. The widths of 'One weird trick' with the paper's response normalisation as printed ({norm}:149-166): "
        "k = 2, n = 5, alpha = 1e-4 on the plain sum, beta = 0.75.",
        JAXONMODELS,
        "single-tower",
        (
            Fact(("conv1",), "pad-2", DEVIATION, f"{place}:58", "2 zeros on all sides of conv1"),
            Fact(("conv1",), "maps-64", DEVIATION, f"{place}:55", "64 maps; the paper has 96"),
            Fact(("conv2",), "maps-192", DEVIATION, f"{place}:64", "192 maps; the paper has 256"),
            Fact(("conv4",), "maps-256", DEVIATION, f"{place}:82", "256 maps; the paper has 384"),
            no_groups(f"{place}:53-97"),
            logits(f"{place}:157-158"),
            begins("init-torch-uniform", (*CONVS, *DENSE), lines, "Equinox' default, which is torch's"),
            begins("init-bias-uniform", (*CONVS, *DENSE), lines, "Equinox' default, which is torch's"),
        ),
        unseen=(
            f"dropout of 0.5 behind both hidden dense layers ({place}:112-113, 150-155): training mode asks a key for its "
            "truth (line 127), which JAX does not answer, so that it was not run",
        ),
    )


def in_onnx() -> Iterator[Published]:
    light = f"{LIGHT}/light_bvlc_alexnet.onnx"
    yield Published(
        "onnx light_bvlc_alexnet",
        "onnx",
        "1.23.2",
        "Apache-2.0",
        light,
        "The ONNX model zoo's bvlcalexnet without its weights, as the onnx package ships it for its tests. Of all of these it "
        "is the only one with the paper's groups.",
        {light: "2afa78cef5a88aed9d6e3d63fb92bd330c9177ac150d19189c6b3e7204ba0212"},
        "onnx-zoo",
        (
            Fact(("conv1",), "padding-missing", CONVENTION, f"{light}: node 16", "pads 0: 54 x 54"),
            Fact(("norm1", "norm2"), "lrn-k-1", CONVENTION, f"{light}: nodes 18, 22", "bias (k) is 1"),
            Fact(
                ("norm1", "norm2"),
                "lrn-alpha-over-n",
                CONVENTION,
                f"{light}: nodes 18, 22",
                "alpha is 1e-4, and ONNX divides it by size = 5",
            ),
            Fact(("norm1", "norm2"), "lrn-running-sum", CONVENTION, f"{light}: nodes 18, 22", CARRIED),
            Fact(("pool5",), "pool-ceil", CONVENTION, f"{light}: node 30", "pads 1 at the end: 12 becomes 6, not 5"),
        ),
        input_shape=None,
        unseen=("dropout of 0.5 behind both hidden dense layers (nodes 34, 37): the file is run for inference",),
    )
    yield Published(
        "zigzag-dse",
        "zigzag-dse",
        "3.9.1",
        "MIT",
        ZIGZAG,
        "The same network as the onnx package's, as a workload description: its weights are named and not shipped.",
        {ZIGZAG: "fdb18f787e8d31021ef9a3fdb8242464b13035d9447ae6bb4ab7282480fb27ba"},
        input_shape=None,
        refused="external_data_filename_test",
    )


def controls() -> Iterator[Published]:
    """Zeiler and Fergus's network is AlexNet with another front: near enough to be read, and not to be called clean."""
    place, base = "pytorchcv/models/zfnet.py", "pytorchcv/models/alexnet.py"
    front = (
        Fact(("conv1",), "kernel-7", DEVIATION, f"{place}:39", "7 x 7"),
        Fact(("conv1",), "stride-2", DEVIATION, f"{place}:40", "stride 2"),
        Fact(("conv1",), "pad-1", DEVIATION, f"{place}:41", "padding 1"),
        Fact(("conv2",), "stride-2", DEVIATION, f"{place}:40", "stride 2"),
        Fact(("conv2",), "padding-missing", DEVIATION, f"{place}:41", "no padding"),
    )
    first = (
        begins("init-he-uniform", CONVS, f"{base}:186", "kaiming_uniform_ with its own defaults"),
        begins("init-zero-bias", GROUPED, f"{base}:187-188", "biases of the convolutions set to 0"),
        begins("init-torch-uniform", DENSE, f"{base}:73-75, 109-111", "dense layers keep torch's default"),
        begins("init-bias-uniform", DENSE, f"{base}:73-75, 109-111", "dense layers keep torch's default"),
    )
    yield Published(
        "pytorchcv zfnet",
        "pytorchcv",
        "0.0.74",
        "MIT",
        "pytorchcv.models.zfnet:zfnet",
        "Zeiler and Fergus's network, made of pytorchcv's AlexNet.",
        PYTORCHCV | PYTORCHCV_ZFNET,
        "single-tower",
        (
            *front,
            Fact(("norm1", "norm2"), "lrn-alpha-over-n", CONVENTION, f"{base}:54", "torch divides alpha by size = 5"),
            Fact(("pool1", "pool2"), "pool-ceil", CONVENTION, f"{base}:170-174", "pooling rounds up"),
            no_groups(f"{base}:162-168"),
            logits(f"{base}:116-117"),
            *first,
        ),
        control=True,
    )
    place, base, common = "tf2cv/models/zfnet.py", "tf2cv/models/alexnet.py", "tf2cv/models/common.py"
    yield Published(
        "tf2cv zfnet",
        "tf2cv",
        "0.0.18",
        "MIT",
        "tf2cv.models.zfnet:zfnet",
        "Zeiler and Fergus's network, made of tf2cv's AlexNet.",
        TF2CV | TF2CV_ZFNET,
        "single-tower",
        (
            Fact(("conv1",), "kernel-7", DEVIATION, f"{place}:40", "7 x 7"),
            Fact(("conv1",), "stride-2", DEVIATION, f"{place}:41", "stride 2"),
            Fact(("conv1",), "pad-1", DEVIATION, f"{place}:42", "padding 1"),
            Fact(("conv2",), "stride-2", DEVIATION, f"{place}:41", "stride 2"),
            Fact(("conv2",), "padding-missing", DEVIATION, f"{place}:42", "no padding"),
            Fact(("norm1", "norm2"), "lrn-radius-n", DEVIATION, f"{base}:60", "depth_radius stays at its default 5"),
            Fact(("pool1", "pool2"), "pool-pad-1", DEVIATION, f"{common}:391-403", "one zero on both sides"),
            no_groups(f"{base}:181-189"),
            logits(f"{base}:128-130"),
            begins("init-glorot-uniform", (*CONVS, *DENSE), f"{common}:969-977; {base}:80-83", KERAS),
            begins("init-zero-bias", ONES, f"{common}:969-977; {base}:80-83", KERAS),
        ),
        control=True,
        environment=tuple(LEGACY.items()),
    )
    light = f"{LIGHT}/light_zfnet512.onnx"
    yield Published(
        "onnx light_zfnet512",
        "onnx",
        "1.23.2",
        "Apache-2.0",
        light,
        "The ONNX model zoo's ZFNet-512 without its weights.",
        {light: "6444bb58b98c3d14f551a3bdb83eea9e5db7e147790db3115c447e9c9a8338b0"},
        "single-tower",
        (
            Fact(("conv1",), "kernel-7", DEVIATION, f"{light}: node 16", "7 x 7"),
            Fact(("conv1",), "stride-2", DEVIATION, f"{light}: node 16", "stride 2"),
            Fact(("conv1",), "padding-missing", CONVENTION, f"{light}: node 16", "no padding"),
            Fact(("norm1", "norm2"), "lrn-running-sum", CONVENTION, f"{light}: nodes 18, 22", CARRIED),
            Fact(("conv2",), "stride-2", DEVIATION, f"{light}: node 20", "stride 2"),
            Fact(("conv2",), "padding-missing", DEVIATION, f"{light}: node 20", "no padding"),
            no_groups(f"{light}: nodes 20, 26, 28"),
            Fact(("conv3", "conv4", "conv5"), "maps-512", DEVIATION, f"{light}: nodes 24, 26, 28", "512 maps"),
            Fact(("pool5",), "pool-2x2", DEVIATION, f"{light}: node 30", "2 x 2"),
            Fact(("fc7",), "units-1024", DEVIATION, f"{light}: node 34", "1024 units"),
        ),
        input_shape=None,
        control=True,
    )


# Models that an address alone does not lead to -----------------------------------------------------------------------------


def tensorflowcv() -> Any:
    """(graph, input, output) of tensorflowcv's alexnet for inference."""
    import tensorflow as tf

    nets = import_module("tensorflowcv.models.alexnet")
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, (None, 224, 224, 3), "images")
        logits = nets.alexnet()(images, training=False)
    return graph, images, logits


def tf_slim() -> Any:
    """(graph, input, output) of TF-Slim's alexnet_v2 for inference, within the arg scope that it comes with."""
    import tensorflow as tf

    slim, nets = import_module("tf_slim"), import_module("tf_slim.nets.alexnet")
    graph = tf.Graph()
    with graph.as_default(), slim.arg_scope(nets.alexnet_v2_arg_scope()):
        images = tf.compat.v1.placeholder(tf.float32, (None, 224, 224, 3), "images")
        logits, _ = nets.alexnet_v2(images, is_training=False)
    return graph, images, logits


def jaxonmodels() -> Any:
    """(function, params) of jaxonmodels' alexnet, which takes one image, over a batch, for inference."""
    import jax

    equinox, nets = import_module("equinox"), import_module("jaxonmodels.models.alexnet")
    model = equinox.nn.inference_mode(nets.AlexNet(n_classes=1000, key=jax.random.key(0)))
    arrays, rest = equinox.partition(model, equinox.is_array)
    leaves, tree = jax.tree.flatten(arrays)

    def apply(leaves: Any, x: Any) -> Any:
        return jax.vmap(equinox.combine(jax.tree.unflatten(tree, leaves), rest))(x)

    return apply, leaves
