"""Every variant against counts worked out beforehand, the facts that set it apart, and the authors' own configurations.

The configurations are taken as recorded in the project; `ALEXNET_ORIGINAL_CODE` names folders with the files themselves.
"""

from __future__ import annotations

import math
import os
from itertools import combinations

import pytest

from alexnet_parity.reference import variants
from alexnet_parity.reference.original_code.code import OriginalCode
from alexnet_parity.reference.original_code.net import Net
from alexnet_parity.reference.spec import (
    AFFINE,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Local,
    Lrn,
    Network,
    Pool,
    Relu,
    Softmax,
    SpatialLrn,
)

THIN = [name for name in variants.names() if name.endswith("-thin")]
FULL = [name for name in variants.names() if not name.endswith("-thin")]

# Weights, biases, multiply-adds, outputs of the convolutional and dense layers.
PAPER = (60_954_656, 10_568, 724_406_816, 659_272)
FC = 9216 * 4096 + 4096 * 4096 + 4096 * 1000  # the dense layers of nearly all, in weights and in multiply-adds
COUNTS = {
    "paper": PAPER,
    "paper-224": PAPER,
    "single-tower": (62_367_776, 10_568, 1_135_256_096, 659_272),
    "original-2012": PAPER,
    "original-one-tower": (59_788_304, 10_008, 391_514_384, 355_864),
    "original-no-lrn": PAPER,
    "original-non-overlapping": (60_954_656, 10_568, 686_891_552, 633_416),
    "original-no-communication": (60_699_680, 14_728, 724_323_872, 710_024),
    "original-six-conv": (61_544_480, 10_824, 745_640_480, 668_488),
    "caffe": PAPER,
    "caffenet": PAPER,
    "one-weird-trick": (61_090_496, 10_344, 714_188_480, 494_184),
    "cuda-convnet2-1gpu": (61_090_496, 10_344, 714_188_480, 494_184),
    "onnx-zoo": (  # 54, 26 and 12 in the place of 55, 27 and 13
        60_954_656,
        10_568,
        54**2 * 34_848 + 26**2 * 307_200 + 12**2 * (884_736 + 663_552 + 442_368) + FC,
        54**2 * 96 + 26**2 * 256 + 12**2 * (384 + 384 + 256) + 4096 + 4096 + 1000,
    ),
    "cifar-18pct": (
        89_440,
        138,
        32**2 * 32 * 75 + 16**2 * 32 * 800 + 8**2 * 64 * 800 + 10_240,
        32**2 * 32 + 16**2 * 32 + 8**2 * 64 + 10,
    ),
    "cifar-13pct": (
        1_114_048,
        2_442,
        24**2 * 64 * 75 + 12**2 * 64 * 1600 + 6**2 * (32 * 576 + 32 * 288) + 11_520,
        24**2 * 64 + 12**2 * 64 + 6**2 * (32 + 32) + 10,
    ),
    "cifar-11pct": (
        2_109_376,
        3_594,
        24**2 * 64 * 75 + 12**2 * 64 * 1600 + 6**2 * (64 * 576 + 32 * 576) + 11_520,
        24**2 * 64 + 12**2 * 64 + 6**2 * (64 + 32) + 10,
    ),
    **dict.fromkeys(
        ("cifar-brukman", "cifar-brukman-pylearn2"),
        (
            178_176,
            234,
            32**2 * 64 * 75 + 15**2 * 64 * 1600 + 7**2 * (64 * 576 + 32 * 576) + 15_680,
            32**2 * 64 + 15**2 * 64 + 7**2 * (64 + 32) + 10,
        ),
    ),
}


def counted(network: Network) -> tuple[int, int, int, int]:
    shapes = network.param_shapes()
    weights = sum(math.prod(shape) for name, shape in shapes.items() if name.endswith(".weight"))
    biases = sum(math.prod(shape) for name, shape in shapes.items() if name.endswith(".bias"))
    return weights, biases, sum(network.multiply_adds().values()), network.neurons()


def test_every_variant_is_counted():
    assert sorted(COUNTS) == sorted(FULL)


@pytest.mark.parametrize(("name", "counts"), COUNTS.items(), ids=COUNTS)
def test_weights_biases_multiply_adds_and_outputs_are_those_of_the_table_in(name, counts):
    network = variants.variant(name)
    assert counted(network) == counts
    assert network.parameter_count() == counts[0] + counts[1]


TOTALS = {
    "original-2012": 60_965_224,
    "original-one-tower": 59_798_312,
    "original-no-communication": 60_714_408,
    "original-six-conv": 61_555_304,
    "caffe": 60_965_224,
    "one-weird-trick": 61_100_840,
    "cifar-18pct": 89_578,
    "cifar-13pct": 1_116_490,
    "cifar-11pct": 2_112_970,
    "cifar-brukman": 178_410,
}


@pytest.mark.parametrize(("name", "total"), TOTALS.items(), ids=TOTALS)
def test_parameters_add_up_in(name, total):
    assert variants.variant(name).parameter_count() == total


@pytest.mark.parametrize(
    ("name", "layer", "weights", "biases"),
    [
        ("one-weird-trick", "conv1", 23_232, 64),
        ("one-weird-trick", "conv2", 307_200, 192),
        ("one-weird-trick", "conv3", 663_552, 384),
        ("one-weird-trick", "conv4", 884_736, 256),
        ("one-weird-trick", "conv5", 589_824, 256),
        ("single-tower", "conv2", 614_400, 256),
        ("single-tower", "conv4", 1_327_104, 384),
        ("single-tower", "conv5", 884_736, 256),
        ("original-2012", "fc6", 37_748_736, 4_096),
        ("cifar-11pct", "local3", 1_327_104, 2_304),
        ("cifar-11pct", "local4", 663_552, 1_152),
        ("cifar-brukman", "local3", 36_864, 64),
        ("cifar-brukman", "local4", 18_432, 32),
    ],
)
def test_a_layer_has_the_parameters_of_the_table(name, layer, weights, biases):
    shapes = variants.variant(name).param_shapes()
    assert math.prod(shapes[f"{layer}.weight"]) == weights
    assert math.prod(shapes[f"{layer}.bias"]) == biases


# What sets each apart -----------------------------------------------------------------------------------------------

DENSE = "flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"
MIDDLE = "conv3 relu3 conv4 relu4 conv5"
ORIGINAL = f"{MIDDLE} pool5 relu5 {DENSE}"
CIFAR = "flatten fc10 prob"
ORDERS = {
    "original-2012": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {ORIGINAL}",
    "original-one-tower": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {ORIGINAL}",
    "original-no-lrn": f"conv1 pool1 relu1 conv2 relu2 pool2 {ORIGINAL}",
    "original-non-overlapping": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {ORIGINAL}",
    "original-no-communication": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {ORIGINAL}",
    "original-six-conv": (
        f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {MIDDLE} pool5 relu5 conv6 relu_conv6 {DENSE}"
    ),
    "caffe": f"conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 {MIDDLE} relu5 pool5 {DENSE}",
    "caffenet": f"conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 {MIDDLE} relu5 pool5 {DENSE}",
    "one-weird-trick": (
        f"conv1 relu1 pool1 conv2 relu2 pool2 {MIDDLE} relu5 pool5 flatten drop6 fc6 relu6 drop7 fc7 relu7 fc8 prob"
    ),
    "cuda-convnet2-1gpu": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 pool2 {ORIGINAL}",
    "onnx-zoo": f"conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 {MIDDLE} relu5 pool5 {DENSE}",
    "cifar-18pct": f"conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 pool3 {CIFAR}",
    "cifar-13pct": f"conv1 relu1 pool1 conv2 relu2 pool2 local3 relu3 local4 relu4 {CIFAR}",
    "cifar-11pct": f"conv1 relu1 pool1 norm1 conv2 relu2 norm2 pool2 local3 relu3 local4 relu4 {CIFAR}",
    "cifar-brukman": f"conv1 relu1 pool1 norm1 conv2 relu2 norm2 pool2 local3 relu3 local4 relu4 {CIFAR}",
    "cifar-brukman-pylearn2": f"conv1 relu1 pool1 norm1 conv2 relu2 norm2 pool2 local3 relu3 local4 relu4 {CIFAR}",
}


@pytest.mark.parametrize(("name", "order"), ORDERS.items(), ids=ORDERS)
def test_the_layers_come_in_their_own_order_in(name, order):
    assert variants.variant(name).names() == order.split()
    assert variants.variant(f"{name}-thin").names() == order.split()


USUAL = (55, 27, 27, 13, 13, 13, 6)
SIDES = {  # after conv1, pool1, conv2, pool2, conv3 (and with it conv4), conv5, pool5
    **dict.fromkeys(("paper", "paper-224", "single-tower"), USUAL),
    **dict.fromkeys([name for name in FULL if name.startswith("original")], USUAL),
    **dict.fromkeys(("caffe", "caffenet", "one-weird-trick", "cuda-convnet2-1gpu"), USUAL),
    "original-non-overlapping": (55, 28, 26, 13, 13, 11, 6),
    "onnx-zoo": (54, 26, 26, 12, 12, 12, 6),
}


@pytest.mark.parametrize(("name", "sides"), SIDES.items(), ids=SIDES)
def test_the_maps_have_the_sides_of(name, sides):
    shapes = variants.variant(name).shapes()
    found = [shapes[layer][1:] for layer in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv5", "pool5")]
    assert found == [(side, side) for side in sides]
    assert shapes["conv4"][1:] == shapes["conv3"][1:]
    assert shapes["flatten"] == (256 * 6 * 6,)


CIFAR_SIDES = {
    "cifar-18pct": {"conv1": 32, "pool1": 16, "conv2": 16, "pool2": 8, "conv3": 8, "pool3": 4},
    "cifar-13pct": {"conv1": 24, "pool1": 12, "conv2": 12, "pool2": 6, "local3": 6, "local4": 6},
    "cifar-11pct": {"conv1": 24, "pool1": 12, "conv2": 12, "pool2": 6, "local3": 6, "local4": 6},
    "cifar-brukman": {"conv1": 32, "pool1": 15, "conv2": 15, "pool2": 7, "local3": 7, "local4": 7},
}


@pytest.mark.parametrize(("name", "sides"), CIFAR_SIDES.items(), ids=CIFAR_SIDES)
def test_the_maps_of_the_small_images_have_the_sides_of(name, sides):
    shapes = variants.variant(name).shapes()
    assert {layer: shapes[layer][1:] for layer in sides} == {layer: (side, side) for layer, side in sides.items()}


def norms(network: Network) -> dict[str, tuple]:
    found = {x.name: (x.n, x.k, x.alpha, x.beta, x.towers) for x in network.layers if isinstance(x, Lrn)}
    return found | {x.name: (x.n, x.k, x.alpha, x.beta) for x in network.layers if isinstance(x, SpatialLrn)}


TWO_E_5 = pytest.approx(2e-5, rel=1e-15)
NORMS = {  # n, k, alpha as the formula has it, beta, towers; within maps without towers
    "original-2012": {
        **dict.fromkeys(("norm1", "norm2"), (5, 2, TWO_E_5, 0.75, 2)),
        "cnorm2": (5, 1, pytest.approx(4e-5, rel=1e-15), 0.75),
    },
    "original-one-tower": {
        **dict.fromkeys(("norm1", "norm2"), (5, 2, TWO_E_5, 0.75, 1)),
        "cnorm2": (5, 1, pytest.approx(4e-5, rel=1e-15), 0.75),
    },
    "original-no-lrn": {},
    "caffe": dict.fromkeys(("norm1", "norm2"), (5, 1, TWO_E_5, 0.75, 1)),
    "caffenet": dict.fromkeys(("norm1", "norm2"), (5, 1, TWO_E_5, 0.75, 1)),
    "one-weird-trick": {},
    "cuda-convnet2-1gpu": dict.fromkeys(("norm1", "norm2"), (5, 2, TWO_E_5, 0.75, 1)),
    "onnx-zoo": dict.fromkeys(("norm1", "norm2"), (5, 1, TWO_E_5, 0.75, 1)),
    "cifar-18pct": dict.fromkeys(("norm1", "norm2"), (3, 1, pytest.approx(5e-5 / 9, rel=1e-15), 0.75)),
    "cifar-13pct": {},
    "cifar-11pct": dict.fromkeys(("norm1", "norm2"), (9, 1, pytest.approx(1e-3 / 9, rel=1e-15), 0.75, 1)),
    "cifar-brukman": dict.fromkeys(("norm1", "norm2"), (11, 2, 1e-4, 0.75, 1)),
    "cifar-brukman-pylearn2": dict.fromkeys(("norm1", "norm2"), (5, 2, 1e-4, 0.75, 1)),
}
for ablation in ("original-non-overlapping", "original-no-communication", "original-six-conv"):
    NORMS[ablation] = NORMS["original-2012"]


@pytest.mark.parametrize(("name", "constants"), NORMS.items(), ids=NORMS)
def test_normalisation_has_the_constants_of(name, constants):
    assert norms(variants.variant(name)) == constants
    assert norms(variants.variant(f"{name}-thin")) == constants


GROUPS = {
    "original-2012": {"conv2": 2, "conv4": 2, "conv5": 2},
    "original-one-tower": {},
    "original-no-communication": {"conv2": 2, "conv3": 2, "conv4": 2, "conv5": 2, "fc6": 2, "fc7": 2},
    "original-six-conv": {"conv2": 2, "conv4": 2, "conv5": 2},
    "caffe": {"conv2": 2, "conv4": 2, "conv5": 2},
    "onnx-zoo": {"conv2": 2, "conv4": 2, "conv5": 2},
    "one-weird-trick": {},
    "cuda-convnet2-1gpu": {},
    "cifar-brukman": {},
}


@pytest.mark.parametrize(("name", "groups"), GROUPS.items(), ids=GROUPS)
def test_the_layers_in_groups_are_those_of(name, groups):
    network = variants.variant(name)
    assert {x.name: x.groups for x in network.layers if isinstance(x, Conv | Dense) and x.groups > 1} == groups


PADDINGS = {  # of conv1, and whether it rounds up; of the pools
    "paper": ((0, 0), False, False),
    "paper-224": ((0, 3), False, False),
    "original-2012": ((0, 0), True, True),
    "original-six-conv": ((0, 0), True, True),
    "caffe": ((0, 0), False, True),
    "caffenet": ((0, 0), False, True),
    "one-weird-trick": ((2, 2), False, False),
    "cuda-convnet2-1gpu": ((0, 0), True, True),
    "onnx-zoo": ((0, 0), False, False),
    "cifar-18pct": ((2, 2), False, True),
    "cifar-11pct": ((2, 2), False, True),
    "cifar-brukman": ((2, 2), False, False),
}


@pytest.mark.parametrize(("name", "facts"), PADDINGS.items(), ids=PADDINGS)
def test_padding_and_rounding_are_those_of(name, facts):
    network = variants.variant(name)
    pools = {layer.ceil for layer in network.layers if isinstance(layer, Pool)}
    assert (network["conv1"].padding, network["conv1"].ceil, *pools) == facts


INPUTS = {224: ("paper-224", "original-2012", "one-weird-trick", "cuda-convnet2-1gpu", "onnx-zoo", "original-no-lrn")}
INPUTS |= {227: ("paper", "single-tower", "caffe", "caffenet"), 24: ("cifar-13pct", "cifar-11pct")}
INPUTS |= {32: ("cifar-18pct", "cifar-brukman", "cifar-brukman-pylearn2")}


@pytest.mark.parametrize(("size", "name"), [(size, name) for size, names in INPUTS.items() for name in names])
def test_images_are_of_the_size(size, name):
    assert variants.variant(name).input_shape == (3, size, size)


PAPER_STD = {"conv1": (0.01, 0), "conv2": (0.01, 1), "conv3": (0.01, 0), "conv4": (0.01, 1), "conv5": (0.01, 1)}
PAPER_STD |= {"fc6": (0.01, 1), "fc7": (0.01, 1), "fc8": (0.01, 0)}
ORIGINAL_STD = PAPER_STD | {"conv3": (0.03, 0), "conv4": (0.03, 1), "conv5": (0.03, 1)}
CAFFE_STD = PAPER_STD | dict.fromkeys(("conv2", "conv4", "conv5"), (0.01, 0.1))
CAFFE_STD |= {"fc6": (0.005, 0.1), "fc7": (0.005, 0.1)}
INITS = {  # weights' deviation, bias
    "paper": PAPER_STD,
    "original-2012": ORIGINAL_STD,
    "original-one-tower": ORIGINAL_STD,
    "original-no-communication": ORIGINAL_STD,
    "original-six-conv": ORIGINAL_STD | {"conv6": (0.03, 1)},
    "caffe": CAFFE_STD,
    "onnx-zoo": CAFFE_STD,
    "caffenet": PAPER_STD | {"fc6": (0.005, 1), "fc7": (0.005, 1)},
    "cuda-convnet2-1gpu": ORIGINAL_STD | {"fc8": (0.01, -7)},
    "cifar-18pct": {"conv1": (0.0001, 0), "conv2": (0.01, 0), "conv3": (0.01, 0), "fc10": (0.01, 0)},
}


@pytest.mark.parametrize(("name", "inits"), INITS.items(), ids=INITS)
def test_weights_and_biases_begin_as_in(name, inits):
    network = variants.variant(name)
    found = {x.name: (x.init_std, x.init_bias) for x in network.layers if isinstance(x, AFFINE)}
    assert found == inits
    assert not any(x.init_bias_std for x in network.layers if isinstance(x, AFFINE))


def test_torchvisions_weights_and_biases_begin_uniform_within_the_root_of_the_fan_in():
    """The std of a uniform distribution within +-a is a / sqrt(3)."""
    network = variants.variant("one-weird-trick")
    fans = {"conv1": 363, "conv2": 1600, "conv3": 1728, "conv4": 3456, "conv5": 2304, "fc6": 9216, "fc7": 4096}
    for layer, fan in (fans | {"fc8": 4096}).items():
        std = pytest.approx(1 / math.sqrt(fan) / math.sqrt(3))
        assert (network[layer].init_std, network[layer].init_bias, network[layer].init_bias_std) == (std, 0, std)


def test_the_keras_net_begins_with_glorots_uniform_distribution():
    """Within +-sqrt(6 / (fan in + fan out)), fans counting every tap: the std is that over sqrt(3)."""
    network = variants.variant("cifar-brukman")
    fans = {"conv1": 25 * (3 + 64), "conv2": 25 * (64 + 64), "local3": 9 * (64 + 64), "local4": 9 * (64 + 32)}
    for layer, fan in (fans | {"fc10": 1568 + 10}).items():
        assert network[layer].init_std == pytest.approx(math.sqrt(6 / fan) / math.sqrt(3))
        assert network[layer].init_bias == 0


def test_only_the_last_pool_of_the_onnx_model_is_padded_and_only_after():
    pools = {
        x.name: (x.kernel, x.stride, x.padding) for x in variants.variant("onnx-zoo").layers if isinstance(x, Pool)
    }
    assert pools == {"pool1": (3, 2, (0, 0)), "pool2": (3, 2, (0, 0)), "pool5": (3, 2, (0, 1))}


def test_non_overlapping_pools_are_2_wide_and_two_convolutions_lose_a_pixel_of_padding():
    network, original = variants.variant("original-non-overlapping"), variants.variant("original-2012")
    changed = [one.name for one, other in zip(network.layers, original.layers, strict=True) if key(one) != key(other)]
    assert changed == ["pool1", "conv2", "pool2", "conv5", "pool5"]
    assert {network[name].kernel for name in ("pool1", "pool2", "pool5")} == {2}
    assert (network["conv2"].padding, network["conv5"].padding) == ((1, 1), (0, 0))


def key(layer) -> tuple:
    """Everything but where a layer is specified."""
    return type(layer), *(value for name, value in vars(layer).items() if name != "source")


def test_two_towers_that_never_meet_before_the_last_layer():
    network = variants.variant("original-no-communication")
    widths = [network.shapes()[name][0] for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")]
    assert widths == [96, 320, 384, 384, 256, 8192, 4096, 1000]
    assert network.param_shapes()["fc6.weight"] == (8192, 4608)
    assert network.param_shapes()["fc7.weight"] == (4096, 4096)


def test_one_tower_keeps_conv5_and_the_dense_layers():
    shapes = variants.variant("original-one-tower").shapes()
    widths = [shapes[name][0] for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")]
    assert widths == [48, 128, 192, 192, 256, 4096, 4096, 1000]


def test_the_sixth_convolution_reads_both_towers():
    network = variants.variant("original-six-conv")
    assert network.param_shapes()["conv6.weight"] == (256, 256, 3, 3)
    assert network.shapes()["conv6"] == (256, 6, 6)


def test_means_are_taken_in_the_second_and_third_pool_of_18pct_only():
    found = {
        f"{name}/{layer.name}"
        for name in FULL
        for layer in variants.variant(name).layers
        if getattr(layer, "average", 0)
    }
    assert found == {"cifar-18pct/pool2", "cifar-18pct/pool3"}


def test_kernels_are_unshared_in_13pct_and_11pct_only():
    found = {name: tuple(x.name for x in variants.variant(name).layers if isinstance(x, Local)) for name in FULL}
    expected = dict.fromkeys(("cifar-13pct", "cifar-11pct"), ("local3", "local4"))
    assert {name: layers for name, layers in found.items() if layers} == expected
    assert variants.variant("cifar-13pct").param_shapes()["local3.weight"] == (32, 6, 6, 64, 3, 3)
    assert variants.variant("cifar-11pct").param_shapes()["local3.weight"] == (64, 6, 6, 64, 3, 3)


@pytest.mark.parametrize("names", [THIN, FULL], ids=["thin", "full"])
def test_no_two_variants_are_the_same_network_of_those(names):
    described = {name: (variants.variant(name).input_shape, *map(key, variants.variant(name).layers)) for name in names}
    assert not [pair for pair in combinations(names, 2) if described[pair[0]] == described[pair[1]]]


@pytest.mark.parametrize("name", variants.names())
def test_every_layer_has_a_source_and_every_network_says_what_it_is(name):
    network = variants.variant(name)
    assert all(layer.source for layer in network.layers)
    assert network.about
    assert network.name == name


# The authors' configurations ----------------------------------------------------------------------------------------

CONFIGURED = {
    "original-2012": "145",
    "original-one-tower": "145-half",
    "original-no-lrn": "148",
    "original-non-overlapping": "147",
    "original-no-communication": "150",
    "original-six-conv": "146-2012-2011",
    "cuda-convnet2-1gpu": "imagenet-1gpu",
    "cifar-18pct": "cifar-18pct",
    "cifar-13pct": "cifar-13pct",
    "cifar-11pct": "cifar-11pct",
}
GIVEN = [name for name in os.environ.get("ALEXNET_ORIGINAL_CODE", "").split(os.pathsep) if name]
CODES = [pytest.param(None, id="recorded"), *(pytest.param(folder, id="parsed") for folder in GIVEN)]


def code_of(folder: str | None) -> OriginalCode:
    return OriginalCode.read(folder) if folder else OriginalCode.recorded()


def read_from(net: Net) -> list[tuple]:
    """A configuration as steps, the two towers of a layer as one: layers that follow one another as NAMEa and NAMEb."""
    steps: list[tuple] = []
    layers = [layer for layer in net.layers if layer.type not in ("data", "cost.logreg")]
    while layers:
        layer, *layers = layers
        paired = bool(layers) and layer.name.endswith("a") and layers[0].name == f"{layer.name[:-1]}b"
        towers = 1
        if paired and layers[0].type == layer.type:
            towers, layers = 2, layers[1:]
        apart = towers if len(layer.inputs) == 1 and layer.inputs != ("data",) else 1
        match layer.type:
            case "conv" | "local":
                geometry = layer.filterSize[0], layer.stride[0], layer.padding[0], apart
                steps.append((layer.type, towers * layer.filters, *geometry, layer.initW[0], layer.initB))
            case "fc":
                steps.append(("fc", towers * layer.outputs, apart, layer.initW[0], layer.initB))
            case "cmrnorm":
                steps.append(("across", layer.size, layer.minDiv or 1, layer.scale / layer.size, layer.pow, towers))
            case "rnorm":
                size = layer.size or layer.sizeX
                steps.append(("within", size, layer.minDiv or 1, layer.scale / size**2, layer.pow))
            case "pool":
                steps.append(("pool", layer.pool, layer.sizeX, layer.stride[0], layer.start or 0))
            case "hs" | "dropout2":
                steps.append(("dropout", layer.keep))
            case "softmax":
                steps.append(("softmax",))
            case kind:
                raise AssertionError(kind)
        if layer.neuron:
            steps.append((layer.neuron,))
    return steps


def described(network: Network) -> list[tuple]:
    """The same steps from a variant; convolutions and pools must round up, as all of cuda-convnet does."""
    steps: list[tuple] = []
    for layer, before, _ in network.walk():
        match layer:
            case Conv() | Local():
                assert layer.padding[0] == layer.padding[1]
                groups = layer.groups if isinstance(layer, Conv) else 1
                up = isinstance(layer, Conv) and layer.ceil
                assert up or (2 * layer.padding[0] + before[1] - layer.kernel) % layer.stride == 0
                geometry = layer.kernel, layer.stride, layer.padding[0], groups
                kind = "local" if isinstance(layer, Local) else "conv"
                steps.append((kind, layer.channels, *geometry, layer.init_std, layer.init_bias))
            case Dense():
                steps.append(("fc", layer.units, layer.groups, layer.init_std, layer.init_bias))
            case Lrn():
                steps.append(("across", layer.n, layer.k, layer.alpha, layer.beta, layer.towers))
            case SpatialLrn():
                steps.append(("within", layer.n, layer.k, layer.alpha, layer.beta))
            case Pool():
                assert layer.ceil
                assert layer.padding == (0, 0)
                steps.append(("pool", "avg" if layer.average else "max", layer.kernel, layer.stride, 0))
            case Dropout():
                steps.append(("dropout", 1 - layer.rate))
            case Relu():
                steps.append(("relu",))
            case Softmax():
                steps.append(("softmax",))
            case other:
                assert isinstance(other, Flatten)
    return steps


def same(one: tuple, other: tuple) -> bool:
    """The same step; numbers to the last bit but one (0.0001 / 5 may be written in several ways)."""
    pairs = list(zip(one, other, strict=True))
    return all(math.isclose(a, b, rel_tol=1e-15) if isinstance(a, float) else a == b for a, b in pairs)


@pytest.mark.parametrize("folder", CODES)
@pytest.mark.parametrize(("name", "net"), CONFIGURED.items(), ids=CONFIGURED)
def test_layer_by_layer_the_authors_configuration_describes(name, net, folder):
    configured, network = read_from(code_of(folder).net(net)), described(variants.variant(name))
    for one, other in zip(configured, network, strict=True):
        assert same(one, other), (one, other)


@pytest.mark.parametrize("folder", CODES)
@pytest.mark.parametrize(("name", "net"), CONFIGURED.items(), ids=CONFIGURED)
def test_the_authors_configuration_has_the_counts_and_sizes_of(name, net, folder):
    network, configured = variants.variant(name), code_of(folder).net(net)
    assert configured.input_size == network.input_shape[1]
    assert (*configured.parameters(), configured.multiply_adds(), configured.neurons()) == counted(network)
    assert [s[1:] for s in sides(configured)] == [
        s[1:] for n, s in network.shapes().items() if n[:4] in ("conv", "pool")
    ]


def sides(net: Net) -> list[tuple[int, ...]]:
    """Output shapes of the convolutions and pools, of one tower where there are two."""
    shapes = net.shapes()
    return [shapes[layer.name] for layer in net.of_type("conv", "pool") if layer.name[-1] != "b"]


def test_a_changed_configuration_is_seen():
    code = OriginalCode.recorded().edit_all("145", "rnorm1", scale=0.0005)
    configured, network = read_from(code.net("145")), described(variants.variant("original-2012"))
    different = [one for one, other in zip(configured, network, strict=True) if not same(one, other)]
    assert [step[0] for step in different] == ["across"]
