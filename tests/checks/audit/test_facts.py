"""How one chain differs from another: one small difference, one fact; and which variant is nearest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alexnet_parity.checks.audit import expected
from alexnet_parity.checks.audit.atoms import Unexplained
from alexnet_parity.checks.audit.facts import Fact, align, differences, of_network, signature, steps
from alexnet_parity.reference import variants
from alexnet_parity.reference.mistaken import (
    Activation,
    BorderedConv,
    Dilated,
    LogSoftmax,
    PaddedMean,
    RandomDropout,
    SoftmaxOver,
    WindowLrn,
)
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Network, Pool, Relu, Softmax

PAPER = variants.variant("paper")

FIELDS = [
    ("conv1", {"stride": 3}, "stride", 3),
    ("conv1", {"kernel": 9}, "kernel", 9),
    ("conv3", {"channels": 256}, "channels", 256),
    ("conv2", {"groups": 1}, "groups", 1),
    ("conv2", {"padding": (1, 1)}, "border", ((1, 1), (1, 1))),
    ("conv2", {"padding": (3, 1)}, "border", ((3, 1), (3, 1))),
    ("norm1", {"k": 1.0}, "k", 1.0),
    ("norm1", {"n": 3}, "n", 3),
    ("norm2", {"alpha": 2e-5}, "alpha", 2e-5),
    ("norm2", {"beta": 0.5}, "beta", 0.5),
    ("norm1", {"towers": 2}, "towers", 2),
    ("pool1", {"average": True}, "average", True),
    ("pool2", {"kernel": 2}, "kernel", 2),
    ("fc6", {"units": 2048}, "units", 2048),
    ("fc7", {"groups": 2}, "groups", 2),
    ("fc8", {"units": 17}, "units", 17),
    ("drop6", {"rate": 0.2}, "rate", 0.2),
]


@pytest.mark.parametrize(("layer", "change", "what", "value"), FIELDS, ids=str)
def test_one_field_is_one_fact(layer, change, what, value):
    found = PAPER.edit(layer, **change)
    assert of_network(found, PAPER) == {Fact("field", layer, what, value)}


@pytest.mark.parametrize("layer", [layer.name for layer in PAPER.layers if layer.name != "flatten"])
def test_a_layer_left_out_is_one_fact(layer):
    found = steps_without(layer)
    assert {d.fact for d in differences(found, steps(PAPER))} == {Fact("missing", layer)}


def steps_without(name: str):
    """The steps as they are, one taken out: the audit takes the shapes from what ran."""
    return [step for step in steps(PAPER) if step[0].name != name]


@pytest.mark.parametrize("behind", [layer.name for layer in PAPER.layers])
def test_a_layer_too_many_is_one_fact(behind):
    found = list(steps(PAPER))
    place = PAPER.names().index(behind) + 1
    shape = PAPER.shapes()[behind]
    extra = (Activation("odd", "tanh"), shape)
    found.insert(place, extra)
    (difference,) = differences(found, steps(PAPER))
    assert difference.fact == Fact("extra", behind, "", signature(*extra))
    assert difference.found == place


def test_a_layer_before_the_first_is_behind_nothing():
    found = [(Activation("odd", "tanh"), (3, 227, 227)), *steps(PAPER)]
    (difference,) = differences(found, steps(PAPER))
    assert (difference.fact.kind, difference.fact.layer, difference.found) == ("extra", "", 0)


@pytest.mark.parametrize(
    ("layer", "new"),
    [
        ("relu3", Activation("x", "tanh")),
        ("norm1", WindowLrn("x", 2, 1)),
        ("pool1", PaddedMean("x")),
        ("drop6", RandomDropout("x", 0.5, always=True)),
        ("prob", LogSoftmax("x")),
        ("prob", SoftmaxOver("x", 0)),
        ("prob", Activation("x", "sigmoid")),
    ],
    ids=str,
)
def test_another_layer_in_the_place_of_one_is_one_fact(layer, new):
    found = [(new if step[0].name == layer else step[0], step[1]) for step in steps(PAPER)]
    shape = dict(zip(PAPER.names(), (before for _, before, _ in PAPER.walk()), strict=True))[layer]
    assert {d.fact for d in differences(found, steps(PAPER))} == {Fact("kind", layer, "", signature(new, shape))}


def test_what_is_not_explained_is_one_fact_at_its_place():
    found = [(Unexplained("u") if step[0].name == "norm1" else step[0], step[1]) for step in steps(PAPER)]
    (difference,) = differences(found, steps(PAPER))
    assert (difference.fact.kind, difference.fact.layer, difference.expected) == ("unexplained", "norm1", "norm1")


@pytest.mark.parametrize(
    ("layer", "after"),
    [
        ("norm1", "pool1"),
        ("norm2", "pool2"),
        ("drop6", "flatten"),
        ("drop7", "fc7"),
        ("pool1", "relu1"),
        ("drop6", "fc6"),
    ],
)
def test_a_layer_that_stands_elsewhere_has_moved(layer, after):
    found = PAPER.move(layer, after)
    facts = of_network(found, PAPER)
    assert len(facts) == 1, facts
    (fact,) = facts
    assert fact.kind == "moved"


def test_a_layer_that_moved_and_changed_is_two_facts():
    found = PAPER.move("norm1", "pool1").edit("norm1", k=1.0)
    assert of_network(found, PAPER) == {Fact("moved", "norm1", "pool1"), Fact("field", "norm1", "k", 1.0)}


def test_several_differences_are_as_many_facts():
    found = PAPER.edit("norm1", k=1.0).edit("conv3", channels=256).edit("fc6", units=2048).swap("norm2").swap("drop7")
    found = found.swap("relu4", Activation("relu4", "tanh")).edit("pool5", average=True)
    facts = of_network(found, PAPER)
    assert {(f.kind, f.layer) for f in facts} == {
        *(("field", name) for name in ("norm1", "conv3", "fc6", "pool5")),
        *(("missing", name) for name in ("norm2", "drop7")),
        ("kind", "relu4"),
    }
    assert len(facts) == 7


def test_an_aligned_chain_is_complete_and_in_order():
    found = steps(PAPER.swap("norm1").move("norm2", "pool2").swap("fc7").edit("conv5", channels=12))
    pairs = align(found, steps(PAPER))
    assert [i for i, _ in pairs if i is not None] == list(range(len(found)))
    assert [j for _, j in pairs if j is not None] == list(range(len(PAPER.layers)))


def test_names_sources_and_ways_to_pad_are_no_difference():
    same = PAPER.swap("conv1", replace(PAPER["conv1"], name="conv1", source="elsewhere", init_std=7.0))
    same = same.edit("pool1", ceil=True)  # 55 to 27 either way
    assert of_network(same, PAPER) == frozenset()
    bordered = BorderedConv("conv2", 256, 5, groups=2, border=((2, 2), (2, 2)))
    assert of_network(PAPER.swap("conv2", bordered), PAPER) == frozenset()
    dilated = Dilated("conv2", 256, 5, padding=(2, 2), groups=2, dilation=1)
    assert of_network(PAPER.swap("conv2", dilated), PAPER) == frozenset()


def test_numbers_are_compared_to_four_digits():
    assert of_network(PAPER.edit("norm1", alpha=1.00000001e-4), PAPER) == frozenset()
    assert len(of_network(PAPER.edit("norm1", alpha=1.01e-4), PAPER)) == 1


def test_means_with_other_paddings_are_told_apart():
    """Else one is named by what the other is."""
    assert signature(PaddedMean("p", 5, 2, 1), (3, 9, 9)) != signature(PaddedMean("p", 5, 2, 2), (3, 9, 9))


# Variants -------------------------------------------------------------------------------------------------------------

FULL = [name for name in variants.names() if not name.endswith("-thin")]


@pytest.mark.parametrize("name", FULL)
def test_the_nearest_variant_of_a_variant_is_itself(name):
    network = variants.variant(name)
    match = expected.nearest(steps(network), network.input_shape)
    equal = [other for other in FULL if not of_network(network, expected.on_input(other, network.input_shape))]
    assert match.name == name or match.name in equal
    assert not match.differences
    assert expected.is_alexnet(match, steps(network))


@pytest.mark.parametrize("name", ["paper", "caffe", "caffenet", "one-weird-trick", "single-tower"])
def test_seventeen_classes_do_not_make_another_network(name):
    network = variants.variant(name)
    other = network.edit("fc8", units=17)
    match = expected.nearest(steps(other), network.input_shape)
    assert {d.fact for d in match.differences} <= {Fact("field", "fc8", "units", 17)}
    assert expected.is_alexnet(match, steps(other))


@pytest.mark.parametrize(
    "name", [name for name in variants.names() if name.endswith("-thin") and not name.startswith("cifar")]
)
def test_a_thin_alexnet_is_an_alexnet(name):
    network = variants.variant(name)
    assert expected.is_alexnet(expected.nearest(steps(network), network.input_shape), steps(network))


def flat(name: str, shape, *layers) -> Network:
    named = [replace(layer, name=f"l{i}") for i, layer in enumerate(layers)]
    return Network(name, shape, tuple(named))


def conv(channels: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> tuple:
    return (Conv("c", channels, kernel, stride, (padding, padding)), Relu("r"))


HALF, END = Pool("p", 2, 2), (Dense("d", 1000), Softmax("s"))

MLP = flat(
    "mlp",
    (1, 28, 28),
    Flatten("f"),
    Dense("d", 512),
    Relu("r"),
    Dropout("x"),
    Dense("d", 512),
    Relu("r"),
    Dense("d", 10),
    Softmax("s"),
)
DEEP_MLP = flat("mlp", (3, 224, 224), Flatten("f"), *(Dense("d", 64), Relu("r")) * 4, *END)
LENET = flat(
    "lenet",
    (1, 28, 28),
    *conv(6, 5, 1, 2),
    HALF,
    *conv(16, 5, 1, 0),
    HALF,
    Flatten("f"),
    Dense("d", 120),
    Relu("r"),
    Dense("d", 84),
    Relu("r"),
    Dense("d", 10),
    Softmax("s"),
)
VGG = flat(
    "vgg", (3, 224, 224),
    *conv(64) * 2, HALF, *conv(128) * 2, HALF, *conv(256) * 3, HALF, *conv(512) * 3, HALF, *conv(512) * 3, HALF,
    Flatten("f"), Dense("d", 4096), Relu("r"), Dropout("x"), Dense("d", 4096), Relu("r"), Dropout("x"), *END,
)  # fmt: skip
RESIDUAL = flat(
    "resnet", (3, 224, 224),
    *conv(64, 7, 2, 3), Pool("p", 3, 2, padding=(1, 1)), *(Unexplained("u"), Relu("r")) * 8, Flatten("f"), *END,
)  # fmt: skip


@pytest.mark.parametrize(
    "network", [MLP, DEEP_MLP, LENET, VGG, RESIDUAL], ids=["mlp", "deep mlp", "lenet", "vgg", "resnet"]
)
def test_other_networks_are_no_alexnet(network):
    match = expected.nearest(steps(network), network.input_shape)
    assert not expected.is_alexnet(match, steps(network)), (match.name, match.cost, match.anchors)


def test_nothing_at_all_is_no_alexnet():
    assert not expected.is_alexnet(expected.nearest([], (3, 227, 227)), [])


def test_an_alexnet_with_many_mistakes_is_still_one():
    found = (
        PAPER.edit("norm1", k=1.0).swap("norm2").edit("conv2", groups=1).edit("conv4", groups=1).edit("conv5", groups=1)
    )
    found = found.swap("drop6").swap("drop7").swap("prob").edit("fc8", units=10)
    match = expected.nearest(steps(found), PAPER.input_shape)
    assert expected.is_alexnet(match, steps(found))


def test_layers_are_counted_in_words():
    assert expected.counted(steps(PAPER)) == "5 convolutions and 3 dense layers"
    assert expected.counted(steps(PAPER)[:1]) == "1 convolution and 0 dense layers"


def test_small_images_are_held_against_networks_for_small_images():
    for name, shape in (("cifar-18pct", (3, 32, 32)), ("caffe", (3, 227, 227))):
        assert expected.nearest(steps(variants.variant(name)), shape).name == name
