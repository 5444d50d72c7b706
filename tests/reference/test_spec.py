"""The paper as data: every number here was worked out by hand or stands in the paper."""

import dataclasses
import math

import pytest

from alexnet_parity.reference import variants
from alexnet_parity.reference.spec import (
    Conv,
    Dense,
    Flatten,
    Local,
    Lrn,
    Network,
    Pool,
    Relu,
    SpatialLrn,
    borders,
)

PAPERS = ["paper", "paper-224", "single-tower"]
PAPERS += [f"{name}-thin" for name in PAPERS]
THIN = [name for name in variants.names() if name.endswith("-thin")]

LAYERS = [
    *("conv1", "relu1", "norm1", "pool1"),
    *("conv2", "relu2", "norm2", "pool2"),
    *("conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5", "flatten"),
    *("fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8", "prob"),
]
PARAMETERS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}
MULTIPLY_ADDS = {  # outputs x products summed for each
    "conv1": 96 * 55 * 55 * (3 * 11 * 11),
    "conv2": 256 * 27 * 27 * (48 * 5 * 5),
    "conv3": 384 * 13 * 13 * (256 * 3 * 3),
    "conv4": 384 * 13 * 13 * (192 * 3 * 3),
    "conv5": 256 * 13 * 13 * (192 * 3 * 3),
    "fc6": 4096 * 9216,
    "fc7": 4096 * 4096,
    "fc8": 1000 * 4096,
}
SHAPES = {  # of each layer that changes the shape
    "conv1": (96, 55, 55),
    "pool1": (96, 27, 27),
    "conv2": (256, 27, 27),
    "pool2": (256, 13, 13),
    "conv3": (384, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (256, 13, 13),
    "pool5": (256, 6, 6),
    "flatten": (9216,),
    "fc6": (4096,),
    "fc7": (4096,),
    "fc8": (1000,),
}
FIELDS = {  # (size, step, start): size grows by step before it x (kernel - 1), start falls by step x zeros before
    "conv1": (11, 4, 0),
    "pool1": (11 + 4 * 2, 8, 0),
    "conv2": (19 + 8 * 4, 8, -8 * 2),
    "pool2": (51 + 8 * 2, 16, -16),
    "conv3": (67 + 16 * 2, 16, -16 - 16),
    "conv4": (99 + 16 * 2, 16, -32 - 16),
    "conv5": (131 + 16 * 2, 16, -48 - 16),
    "pool5": (163 + 16 * 2, 32, -64),
}


def held(values: dict) -> dict:
    """The value of every layer, from those of the layers that change it."""
    filled, now = {}, None
    for name in LAYERS:
        filled[name] = now = values.get(name, now)
    return filled


def chain(*layers, shape=(4, 5, 7)) -> Network:
    return Network("odd", shape, layers)


# What the paper's network is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPERS)
def test_the_layers_come_in_the_order_of_the_paper_in(name):
    assert variants.variant(name).names() == LAYERS


@pytest.mark.parametrize("name", variants.names())
def test_every_layer_says_where_it_is_specified_in(name):
    assert all(layer.source for layer in variants.variant(name).layers)


@pytest.mark.parametrize(
    ("name", "count"),
    [("paper", 60_965_224), ("paper-224", 60_965_224), ("single-tower", 62_378_344)],
    ids=["60,965,224 of the paper", "60,965,224 at 224 as well", "62,378,344 of the single tower"],
)
def test_parameters_add_up_to_the(name, count):
    assert variants.variant(name).parameter_count() == count


@pytest.mark.parametrize(("layer", "count"), PARAMETERS.items(), ids=[f"{k} has {v:,}" for k, v in PARAMETERS.items()])
def test_parameters_are_counted_with_biases_so_that(layer, count):
    assert variants.paper().param_counts()[layer] == count


def test_only_the_eight_convolutional_and_dense_layers_have_parameters():
    assert {name: n for name, n in variants.paper().param_counts().items() if n} == PARAMETERS


@pytest.mark.parametrize("name", ["paper", "paper-224", "single-tower"])
def test_there_are_659272_neurons_behind_the_input_of(name):
    assert variants.variant(name).neurons() == 659_272


@pytest.mark.parametrize(
    ("layer", "count"), MULTIPLY_ADDS.items(), ids=[f"{k} takes {v:,}" for k, v in MULTIPLY_ADDS.items()]
)
def test_multiply_adds_are_outputs_times_products_so_that(layer, count):
    assert variants.paper().multiply_adds()[layer] == count


@pytest.mark.parametrize(
    ("name", "count"),
    [("paper", 724_406_816), ("single-tower", 1_135_256_096)],
    ids=["724,406,816 for the paper", "1,135,256,096 without groups"],
)
def test_multiply_adds_of_one_image_are(name, count):
    assert sum(variants.variant(name).multiply_adds().values()) == count


@pytest.mark.parametrize("name", ["paper", "paper-224"])
def test_each_layer_has_the_shape_of_figure_2_in(name):
    assert variants.variant(name).shapes() == held(SHAPES)


@pytest.mark.parametrize("layer", ["norm1", "norm2"])
def test_normalisation_has_the_constants_of_section_3_3_in(layer):
    norm = variants.paper()[layer]
    assert (norm.n, norm.k, norm.alpha, norm.beta, norm.towers) == (5, 2.0, 1e-4, 0.75, 1)


def test_exactly_conv2_conv4_and_conv5_are_split_between_the_towers():
    assert [x.name for x in variants.paper().layers if getattr(x, "groups", 1) == 2] == ["conv2", "conv4", "conv5"]
    assert not [x.name for x in variants.single_tower().layers if getattr(x, "groups", 1) > 1]


def test_a_grouped_kernel_reads_only_the_maps_of_its_tower():
    assert variants.paper().param_shapes()["conv2.weight"] == (256, 48, 5, 5)
    assert variants.single_tower().param_shapes()["conv2.weight"] == (256, 96, 5, 5)


def test_at_224_the_three_zeros_lie_only_after_the_image():
    network = variants.paper_224()
    assert (network.input_shape, network["conv1"].padding) == ((3, 224, 224), (0, 3))


@pytest.mark.parametrize("name", ["paper", "paper-224"])
def test_receptive_fields_follow_by_hand_in(name):
    upto_pool5 = {layer: field for layer, field in held(FIELDS).items() if LAYERS.index(layer) <= LAYERS.index("pool5")}
    assert variants.variant(name).receptive_fields() == upto_pool5


# Thin networks and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", THIN)
def test_no_two_axes_of_anything_learned_are_equal_in(name):
    """A transposed input or weight cannot have the right shape. Where rounding up ends in 3 x 3, values must tell."""
    network = variants.variant(name)
    learned = [layer for layer, count in network.param_counts().items() if count]
    shapes, inputs = network.shapes(), {layer.name: before for layer, before, _ in network.walk()}
    widths = [shapes[layer][0] for layer in learned]
    assert len(set(widths)) == len(widths)
    assert len(set(network.input_shape)) == 3
    square = {
        "original-six-conv-thin": ["conv6"],
        "original-non-overlapping-thin": ["conv2"],
    }  # 3 x 3; 16 maps, 16 columns
    assert [layer for layer in learned if len(set(inputs[layer])) < len(inputs[layer])] == square.get(name, [])
    if "fc7" in learned:
        assert len(set(network.param_shapes()["fc7.weight"])) == 2  # a square one would hide a transposition


@pytest.mark.parametrize("name", [name for name in PAPERS if name.endswith("-thin")])
def test_no_two_axes_of_any_layer_are_equal_in(name):
    assert all(len(set(shape)) == len(shape) for shape in variants.variant(name).shapes().values())


@pytest.mark.parametrize("name", THIN)
def test_geometry_is_that_of_the_full_network_in(name):
    thin, full = variants.variant(name), variants.variant(name.removesuffix("-thin"))
    for one, other in zip(thin.layers, full.layers, strict=True):
        assert type(one) is type(other)
        narrower = ("channels", "units", "init_std", "init_bias_std")  # torchvision's spread follows the fan in
        fields = [field.name for field in dataclasses.fields(other) if field.name not in narrower]
        assert all(getattr(one, field) == getattr(other, field) for field in fields)


@pytest.mark.parametrize("name", THIN)
def test_the_first_convolution_leaves_the_rest_that_it_leaves_in_the_full_network_of(name):
    for one, other in zip(
        *(rests(variants.variant(n), "conv1") for n in (name, name.removesuffix("-thin"))), strict=True
    ):
        assert one == other


def rests(network: Network, name: str) -> list[int]:
    """How many pixels are left over after the windows that fit: rows, columns."""
    layer, before = next((layer, before) for layer, before, _ in network.walk() if layer.name == name)
    return [(sum(layer.padding) + size - layer.kernel) % layer.stride for size in before[1:]]


@pytest.mark.parametrize("name", THIN)
def test_windows_cut_in_the_full_network_are_cut_in(name):
    """On one axis at least: else rounding down where one should round up would only be seen at full size."""
    thin, full = variants.variant(name), variants.variant(name.removesuffix("-thin"))
    for layer in full.layers:
        if isinstance(layer, Conv | Pool) and layer.ceil and any(rests(full, layer.name)):
            assert any(rests(thin, layer.name)), layer.name


@pytest.mark.parametrize("name", THIN)
def test_the_first_pool_rounded_the_other_way_shows_in_the_shape_of(name):
    network = variants.variant(name)
    other = network.edit("pool1", ceil=not network["pool1"].ceil)
    assert other.shapes()["pool1"] != network.shapes()["pool1"]


def test_each_variant_answers_to_its_own_name():
    assert [variants.variant(name).name for name in variants.names()] == variants.names()


def test_an_unknown_variant_is_refused_with_the_nearest_name():
    with pytest.raises(KeyError, match="did you mean 'paper'"):
        variants.variant("papr")


# Editing ------------------------------------------------------------------------------------------------------------


def test_edit_changes_one_field_of_one_layer_and_leaves_the_original_alone():
    paper = variants.paper()
    edited = paper.edit("norm1", k=1.0)
    assert (edited["norm1"].k, edited["norm2"].k, paper["norm1"].k) == (1.0, 2.0, 2.0)
    assert edited.edit("norm1", k=2.0) == paper


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        ("nrm1", {"k": 1.0}, "did you mean 'norm1'.*It has: conv1 relu1 norm1 .* prob"),
        ("norm1", {"alfa": 1.0}, "did you mean 'alpha'.*It has: .*n k alpha beta towers"),
        ("relu1", {"zzz": 1.0}, "no field 'zzz'\\. It has: name source"),
    ],
    ids=[
        "layer with the nearest and all real names",
        "field with the nearest and all real names",
        "field that resembles none",
    ],
)
def test_edit_refuses_an_unknown(layer, changes, message):
    with pytest.raises(KeyError, match=message):
        variants.paper().edit(layer, **changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda: variants.paper()["conv9"],
        lambda: variants.paper().swap("conv9"),
        lambda: variants.paper().move("conv9", after="conv1"),
        lambda: variants.paper().move("conv1", after="conv9"),
        lambda: variants.paper().only("conv9"),
    ],
    ids=["looked up", "swapped", "moved", "moved behind", "taken alone"],
)
def test_an_unknown_layer_cannot_be(change):
    with pytest.raises(KeyError, match="no layer 'conv9'; did you mean 'conv"):
        change()


def test_move_puts_a_layer_behind_another_and_keeps_the_rest_in_order():
    moved = variants.paper().move("norm1", after="pool1")
    assert moved.names()[:5] == ["conv1", "relu1", "pool1", "norm1", "conv2"]
    assert sorted(moved.names()) == sorted(LAYERS)


def test_swap_without_a_new_layer_leaves_the_old_one_out():
    assert variants.paper().swap("norm1").names() == [name for name in LAYERS if name != "norm1"]


def test_swap_puts_several_layers_in_the_place_of_one():
    swapped = variants.paper().swap("norm1", Relu("again"), Lrn("norm1", k=1.0))
    assert swapped.names()[1:5] == ["relu1", "again", "norm1", "pool1"]
    assert swapped["norm1"].k == 1.0


def test_only_gives_one_layer_what_the_whole_network_would_feed_it():
    alone = variants.paper().only("conv2")
    assert (alone.names(), alone.input_shape, alone.shapes()) == (["conv2"], (96, 27, 27), {"conv2": (256, 27, 27)})


def test_layers_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        variants.paper()["conv1"].kernel = 7


# Impossible networks ------------------------------------------------------------------------------------------------


def test_two_layers_cannot_have_the_same_name():
    with pytest.raises(ValueError, match="layer names repeat: twice"):
        chain(Relu("twice"), Relu("once"), Relu("twice"))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (chain(Conv("c", 6, 6)), "c: the 6-wide window does not fit into 5; use a larger input"),
        (chain(Pool("p", 6, 2)), "p: the 6-wide window does not fit into 5"),
        (chain(Conv("c", 6, 3, groups=3)), "c: 4 inputs and 6 outputs do not divide into 3 groups"),
        (chain(Conv("c", 6, 3, groups=4)), "c: 4 inputs and 6 outputs do not divide into 4 groups"),
        (chain(Lrn("n", towers=3)), "n: 4 maps do not divide into 3 towers"),
        (chain(Dense("d", 6)), r"d: found input \(4, 5, 7\), expected a vector; put a Flatten before it"),
        (chain(Flatten("f"), Conv("c", 6, 3)), r"c: found input \(140,\), expected \(channels, height, width\)"),
        (chain(Flatten("f"), Lrn("n")), r"n: found input \(140,\)"),
        (chain(Flatten("f"), Dense("d", 9, groups=2)), "d: 140 inputs and 9 outputs do not divide into 2 groups"),
        (chain(Flatten("f"), Dense("d", 9, groups=3)), "d: 140 inputs and 9 outputs do not divide into 3 groups"),
        (chain(Local("l", 6, 6)), "l: the 6-wide window does not fit into 5; use a larger input"),
        (chain(Flatten("f"), Local("l", 6, 3)), r"l: found input \(140,\), expected \(channels, height, width\)"),
        (chain(Flatten("f"), SpatialLrn("n")), r"n: found input \(140,\), expected \(channels, height, width\)"),
        (chain(Conv("c", 6, 9, padding=(1, 2), ceil=True)), "c: the 9-wide window does not fit into 8"),
    ],
    ids=[
        "a kernel larger than the map",
        "a pooling window larger than the map",
        "groups that do not divide the inputs",
        "groups that do not divide the outputs",
        "towers that do not divide the maps",
        "a dense layer on maps",
        "a convolution on a vector",
        "a normalisation on a vector",
        "dense groups that do not divide the outputs",
        "dense groups that do not divide the inputs",
        "a kernel at each position larger than the map",
        "a kernel at each position on a vector",
        "a normalisation within maps on a vector",
        "a kernel that no rounding up makes fit",
    ],
)
def test_no_shape_exists_for(network, message):
    with pytest.raises(ValueError, match=message):
        network.shapes()


@pytest.mark.parametrize(
    ("size", "floor", "ceil"),
    [(9, 4, 4), (10, 4, 5), (3, 1, 1), (4, 1, 2), (55, 27, 27), (24, 11, 12)],
    ids=["9 does not differ", "10 differs", "3 does not differ", "4 differs", "55 does not differ", "24 differs"],
)
def test_a_3x3_pool_of_stride_2_admits_a_cut_window_only_with_ceil_so_that(size, floor, ceil):
    assert Pool("p", 3, 2).output((2, size, 7)) == (2, floor, 3)
    assert Pool("p", 3, 2, ceil=True).output((2, size, 7)) == (2, ceil, 3)


def test_a_cut_window_that_would_start_outside_the_map_does_not_count():
    assert Pool("p", 1, 3, ceil=True).output((2, 6, 7)) == (2, 2, 3)  # starts at 0, 3 and, of the columns only, 6


# Rounding up, borders, unshared kernels, groups ---------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [3, 5, 11])
def test_a_convolution_that_rounds_up_has_the_modules_of_cuda_convnet(kernel, stride, padding):
    """1 + ceil((2 padding + size - filter) / stride), whatever is under the last window."""
    layer = Conv("c", 6, kernel, stride, padding=(padding, padding), ceil=True)
    for size in range(kernel, kernel + 14):
        modules = 1 + math.ceil((2 * padding + size - kernel) / stride)
        assert layer.output((2, size, kernel)) == (6, modules, 1 + math.ceil(2 * padding / stride)), size


@pytest.mark.parametrize(
    ("layer", "shape", "want"),
    [
        (Conv("c", 6, 11, stride=4), (3, 227, 231), ((0, 0), (0, 0))),
        (Conv("c", 6, 11, stride=4), (3, 228, 230), ((0, 0), (0, 0))),
        (Conv("c", 6, 11, stride=4, padding=(0, 3)), (3, 224, 225), ((0, 3), (0, 2))),
        (Conv("c", 6, 11, stride=4, ceil=True), (3, 224, 227), ((0, 3), (0, 0))),
        (Conv("c", 6, 11, stride=4, padding=(2, 2)), (3, 224, 226), ((2, 1), (2, 3 - 4))),
        (Conv("c", 6, 5, padding=(2, 2)), (3, 9, 7), ((2, 2), (2, 2))),
        (Pool("p", 3, 2, ceil=True), (3, 24, 31), ((0, 1), (0, 0))),
        (Pool("p", 3, 2, padding=(0, 1)), (3, 12, 5), ((0, 1), (0, 0))),
        (Pool("p", 3, 2, True, (1, 0)), (3, 24, 31), ((1, 0), (1, 1))),
        (Local("l", 6, 3, padding=(1, 1)), (3, 6, 4), ((1, 1), (1, 1))),
    ],
    ids=[
        "none where windows come out even",
        "none where pixels are left over",
        "as much padding as windows reach",
        "what a convolution rounds up",
        "less at the end than the padding",
        "both sides",
        "what a pool rounds up",
        "no border where no window reaches it",
        "a border before and a cut window",
        "a kernel at each position",
    ],
)
def test_the_windows_reach_beyond_the_maps_by(layer, shape, want):
    want = tuple((before, max(0, after)) for before, after in want)
    assert borders(layer, shape) == want


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 2), (2, 1)], ids=str)
@pytest.mark.parametrize("ceil", [False, True], ids=["down", "up"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_with_its_borders_as_pixels_the_same_windows_fit_without_padding_rounding(padding, ceil, stride):
    layer = Pool("p", 4, stride, ceil=ceil, padding=padding)
    for size in range(4, 16):
        shape = (3, size, size + 1)
        (above, below), (left, right) = borders(layer, shape)
        enlarged = (3, above + size + below, left + size + 1 + right)
        assert Pool("p", 4, stride).output(enlarged) == layer.output(shape)
        assert min(above, below, left, right) >= 0


def test_a_kernel_at_each_position_is_learned_for_each():
    layer = Local("l", 6, 3, stride=2, padding=(1, 1))
    shapes = layer.param_shapes((4, 5, 8))
    assert layer.output((4, 5, 8)) == (6, 3, 4)
    assert shapes == {"l.weight": (6, 3, 4, 4, 3, 3), "l.bias": (6, 3, 4)}
    network = chain(layer, shape=(4, 5, 8))
    assert network.param_counts() == {"l": 6 * 3 * 4 * (4 * 9 + 1)}
    assert network.multiply_adds() == {"l": 6 * 3 * 4 * 4 * 9}
    assert network.neurons() == 6 * 3 * 4


def test_a_grouped_dense_layer_reads_a_part_of_the_inputs():
    network = chain(Flatten("f"), Dense("d", 9, groups=3), shape=(3, 5, 7))
    assert network.param_shapes() == {"d.weight": (9, 35), "d.bias": (9,)}
    assert network.multiply_adds()["d"] == 9 * 35
    assert network["d"].reduction((105,)) == 35


def test_the_fields_of_windows_that_reach_beyond_the_edge_and_of_normalisation_within_maps_by_hand():
    network = chain(
        Conv("c", 6, 5, stride=2, padding=(1, 0), ceil=True),  # sees 5 pixels, starts at -1
        SpatialLrn("n", n=5),  # 2 outputs to each side, 2 pixels apart
        Pool("p", 3, 2, padding=(1, 0), average=True),  # starts one output, 2 pixels, earlier
        Local("l", 3, 3, padding=(1, 1)),  # outputs are 4 apart now
        shape=(4, 21, 23),
    )
    assert network.receptive_fields() == {
        "c": (5, 2, -1),
        "n": (5 + 2 * 4, 2, -1 - 2 * 2),
        "p": (13 + 2 * 2, 4, -5 - 2),
        "l": (17 + 4 * 2, 4, -7 - 4),
    }
