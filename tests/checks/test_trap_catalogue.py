"""The catalogue: what public AlexNets do is in it, each entry is one network and one only, and each can be set somewhere."""

from __future__ import annotations

import dataclasses
import re
import string

import numpy as np
import pytest

from alexnet_parity.checks import traps
from alexnet_parity.reference import oracle, variants
from alexnet_parity.reference.mistaken import BorderedConv, BorderedPool, RandomDropout, Reordered, WindowLrn
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Lrn, Network, Pool, Relu

FRAMEWORKS = {"torch", "keras", "tf"}
ALSO = {"onnx", "jax"}
FULL = ["paper", "paper-224", "original-2012", "caffe", "caffenet", "one-weird-trick", "onnx-zoo"]
THIN = ["paper-thin", "original-2012-thin", "caffenet-thin", "one-weird-trick-thin"]

# What the audit has to know, and the entries that are it.
WANTED = {
    "54, 55, 56 or 57 at conv1 by SAME": ["padding-same"],
    "pad 1 to 5": [f"pad-{pixels}" for pixels in range(1, 6)],
    "ceil": ["conv-ceil", "conv-floor"],
    "valid everywhere": ["padding-missing"],
    "kernels and strides": ["kernel-1", "kernel-3", "kernel-5", "kernel-7", "kernel-9", "kernel-11", "stride-1", "stride-5"],
    "groups: none": ["groups-ignored"],
    "groups: conv3 too, block-diagonal fc7": ["grouped"],
    "towers that never meet": ["towers-never-meet"],
    "halves swapped": ["towers-swapped", "halves-exchanged"],
    "interleaved": ["towers-interleaved"],
    "widths: 64/192": ["maps-64", "maps-192"],
    "widths: conv4 = 256, conv2 = 192": ["maps-256", "maps-192"],
    "LRN: k": ["lrn-k-0", "lrn-k-1", "lrn-k-2"],
    "LRN: n": ["lrn-n-3", "lrn-n-5", "lrn-n-7", "lrn-n-9"],
    "LRN: alpha": ["lrn-alpha-1", "lrn-alpha-1e-5", "lrn-alpha-times-n", "lrn-alpha-over-maps-there"],
    "LRN: beta": ["lrn-beta-half", "lrn-beta-1"],
    "LRN: alpha/n": ["lrn-alpha-over-n"],
    "LRN: 10e-4": ["lrn-alpha-10e-4"],
    "LRN: radius for n": ["lrn-radius-n"],
    "LRN: even windows": ["lrn-n-4", "lrn-n-4-late"],
    "LRN: off by one": ["lrn-window-early", "lrn-window-late"],
    "LRN: per tower": ["lrn-per-tower", "lrn-across-towers"],
    "LRN: spatial instead of across maps": ["lrn-within-maps", "lrn-across-maps"],
    "LRN: before ReLU": ["lrn-before-relu", "relu-first", "relu-after-norm"],
    "LRN: after pool": ["lrn-after-pool", "lrn-before-pool"],
    "LRN: missing, one only": ["lrn-missing"],
    "LRN: on extra layers": ["lrn-extra", "lrn-repeated"],
    "batch norm in its place": ["batch-norm-instead", "batch-norm-extra"],
    "pooling: 2/2": ["pool-2x2"],
    "pooling: 3/3": ["pool-3x3-stride-3"],
    "pooling: ceil": ["pool-ceil", "pool-floor"],
    "pooling: average": ["pool-average", "pool-average-padded", "pool-max"],
    "pooling: missing": ["pool-missing"],
    "pooling: adaptive": ["pool-adaptive", "pool-global"],
    "pooling: SAME": ["pool-same"],
    "activations: missing": ["relu-missing"],
    "activations: on the logits": ["relu-extra"],
    "activations: tanh": ["tanh"],
    "activations: leaky": ["leaky-relu-001", "leaky-relu-01", "leaky-relu-02", "leaky-relu-03"],
    "dense: hidden width": ["units-256", "units-512", "units-1024", "units-2048", "units-4096"],
    "dense: extra layer": ["dense-extra", "dense-missing"],
    "dense: 1x1 convolution as fc6": ["fc6-1x1"],
    "dense: 5x5 as fc6": ["fc6-5x5"],
    "dense: flatten order": ["flattened-hwc", "flattened-whc", "flattened-cwh", "flattened-hcw"],
    "a square matrix transposed": ["dense-transposed"],
    "dropout: before, after": ["dropout-before-dense", "dropout-after-dense"],
    "dropout: rate": ["dropout-20", "dropout-30", "dropout-80"],
    "dropout: missing": ["dropout-missing"],
    "dropout: always on": ["dropout-always-on"],
    "dropout: scaled at test": ["dropout-scaled-at-test", "dropout-scaled-twice", "dropout-unscaled"],
    "biases: missing": ["bias-missing"],
    "biases: initialised otherwise": ["init-zero-bias", "init-bias-one", "init-bias-01", "init-bias-uniform"],
    "softmax: missing": ["softmax-missing"],
    "softmax: doubled": ["softmax-doubled"],
    "softmax: wrong axis": ["softmax-over-batch"],
    "input: BGR": ["input-bgr", "bgr"],
    "input: NHWC given as NCHW": ["input-as-if-hwc"],
    "input: range 0 to 1": ["input-divided-by-255"],
    "input: mean": ["input-centred", "input-imagenet-statistics"],
    "arithmetic: float16, bfloat16, TF32-like, one layer only": ["float16", "bfloat16", "tf32"],
    "initialisation": ["init-torch-uniform", "init-glorot-uniform", "init-he-normal", "init-truncated", "init-std-003"],
    "another number of classes": ["classes"],
}  # fmt: skip


def at(trap: str, layer: str, variant: str = "paper") -> Network:
    """A variant with a trap at a layer; fails where it can't be set there."""
    posed = traps.BY_ID[trap].posed(variants.variant(variant), layer)
    assert posed is not None, (trap, layer)
    return posed


# The table ------------------------------------------------------------------------------------------------------------


def test_there_are_enough_entries_each_with_an_id_of_its_own():
    ids = [trap.id for trap in traps.TRAPS]
    assert len(ids) >= 180
    assert len(set(ids)) == len(ids) == len(traps.BY_ID)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)


def test_the_families_make_up_the_table_in_order():
    assert tuple(trap for family in traps.FAMILIES.values() for trap in family) == traps.TRAPS


def test_no_two_entries_say_the_same():
    said = [trap.says for trap in traps.TRAPS]
    assert not {text for text in said if said.count(text) > 1}


@pytest.mark.parametrize("wanted", WANTED)
def test_what_public_alexnets_do_is_in_it(wanted):
    assert not set(WANTED[wanted]) - set(traps.BY_ID)


def test_each_entry_edits_something_and_says_how_to_pose_it():
    for trap in traps.TRAPS:
        edits = [trap.layer, trap.weights, trap.inputs, trap.tolerance, trap.network, trap.initial]
        assert any(edits), trap.id
        if (trap.weights or trap.inputs) and not (trap.layer or trap.network):
            assert trap.trick, trap.id
        assert not (trap.initial and sum(map(bool, edits)) > 1), trap.id


def test_like_entries_are_in_the_table_and_in_one_group_each():
    grouped = [name for group in traps.ALIKE for name in group]
    assert len(set(grouped)) == len(grouped)
    assert not set(grouped) - set(traps.BY_ID)


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trap", traps.TRAPS, ids=lambda trap: trap.id)
def test_the_cause_is_worded_for_each_framework(trap):
    assert set(trap.words) >= FRAMEWORKS
    assert set(trap.words) <= FRAMEWORKS | ALSO
    for text in trap.words.values():
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert names <= {"layer", "found", "expected"}
        worded = text.format(layer="conv2", found="5", expected="2")
        assert worded == worded.strip()
        assert not worded.endswith(".")
    assert trap.says == trap.says.strip()
    assert "{" not in trap.says
    assert not trap.says.endswith(".")


# Sites ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", THIN)
def test_no_two_entries_are_the_same_network_wherever_they_are_set(name):
    network = variants.variant(name)
    seen = {traps.signature(network): "none"}
    for layer in network.names():
        ids = [trap.id for trap, _ in traps.distinct(network, layer)]
        assert len(set(ids)) == len(ids)
        for trap, posed in traps.distinct(network, layer):
            if posed is not None:
                where = f"{trap.id} at {layer}"
                assert traps.signature(posed) not in seen, (where, seen[traps.signature(posed)])
                seen[traps.signature(posed)] = where


@pytest.mark.parametrize("name", [*FULL, *THIN])
def test_whatever_is_posed_is_a_network(name):
    network = variants.variant(name)
    for layer in network.names():
        for trap in traps.TRAPS:
            if (posed := trap.posed(network, layer)) is not None:
                assert list(posed.shapes()) == posed.names(), (trap.id, layer)
                assert posed.layers != network.layers


def test_each_entry_can_be_set_in_some_quick_network():
    left = set(traps.BY_ID)
    for network in traps.grounds():
        for layer in network.names():
            left -= {trap.id for trap, _ in traps.distinct(network, layer)}
    assert not left


def test_what_a_posed_network_computes_has_the_shapes_it_says():
    """Each entry once, where it can first be set; random weights, every layer by the oracle."""
    left, rng = set(traps.BY_ID), np.random.default_rng(0)
    for network in traps.grounds():
        for layer in network.names():
            for trap, posed in traps.distinct(network, layer) if left else ():
                if posed is None or trap.id not in left:
                    continue
                left.discard(trap.id)
                params = {name: 0.1 * rng.standard_normal(shape) for name, shape in posed.param_shapes().items()}
                with np.errstate(all="ignore"):  # k = 0 divides by zero
                    given = oracle.forward(posed, params, rng.standard_normal((1, *posed.input_shape)))
                assert {name: values.shape[1:] for name, values in given.items()} == posed.shapes(), trap.id
    unposed = {trap.id for trap in traps.TRAPS if not (trap.layer or trap.network)}
    assert left == unposed


def test_places_are_the_layers_where_an_entry_is_distinct():
    paper = variants.variant("paper")
    assert traps.places(traps.BY_ID["grouped"], paper) == ("conv3", "fc6", "fc7")
    assert traps.places(traps.BY_ID["padding-same"], paper) == ("conv1",)
    assert traps.places(traps.BY_ID["pad-4"], paper) == ("conv2", "conv3", "conv4", "conv5")  # at conv1 it is SAME
    assert traps.places(traps.BY_ID["pool-adaptive"], paper) == ()  # the identity at 6 x 6
    assert traps.places(traps.BY_ID["pool-adaptive"], variants.variant("paper-thin")) == ("pool5",)
    assert traps.places(traps.BY_ID["bgr"], paper) == ("conv1",)


def test_the_rows_of_the_report_are_the_table_with_its_places_in_the_paper():
    rows = traps.rows()
    assert [row.id for row in rows] == [trap.id for trap in traps.TRAPS]
    by_id = {row.id: row for row in rows}
    assert by_id["lrn-alpha-over-n"] == (
        "lrn-alpha-over-n",
        "normalisation",
        "alpha is divided by n",
        ("norm1", "norm2"),
    )
    assert by_id["kernels-shared"].where == ()
    assert sum(bool(row.where) for row in rows) >= 160


# Signatures -----------------------------------------------------------------------------------------------------------


def test_names_sources_and_first_values_do_not_make_another_network():
    paper = variants.variant("paper-thin")
    other = paper.swap(
        "conv1", dataclasses.replace(paper["conv1"], name="first", source="x", init_std=3.0, init_bias=2.0)
    )
    assert traps.signature(other) == traps.signature(paper)
    assert traps.signature(paper.edit("conv1", stride=3)) != traps.signature(paper)


@pytest.mark.parametrize(
    ("one", "other", "shape", "same"),
    [
        (Conv("c", 8, 11, 4, (0, 3)), Conv("c", 8, 11, 4, ceil=True), (3, 224, 224), True),
        (Conv("c", 8, 11, 4, (3, 3)), Conv("c", 8, 11, 4, (3, 0)), (3, 224, 224), True),
        (Conv("c", 8, 11, 4, (0, 3)), Conv("c", 8, 11, 4, (3, 0)), (3, 224, 224), False),
        (Conv("c", 8, 3), BorderedConv("c", 8, 3), (3, 9, 7), True),
        (Conv("c", 8, 3), BorderedConv("c", 8, 3, border=((1, 1), (1, 1))), (3, 9, 7), False),
        (Conv("c", 8, 3, 2), Conv("c", 8, 3, 5), (3, 3, 4), True),  # a single window
        (Conv("c", 8, 3, 2), Conv("c", 8, 3, 5), (3, 3, 9), False),
        (Pool("p", 3, 2), Pool("p", 3, 2, ceil=True), (3, 9, 7), True),
        (Pool("p", 3, 2), Pool("p", 3, 2, ceil=True), (3, 9, 8), False),
        (Pool("p", 3, 2, padding=(1, 1)), BorderedPool("p", 3, 2, border=((1, 1), (1, 1))), (3, 9, 7), True),
        (Lrn("n", n=4), Lrn("n", n=5), (8, 3, 2), True),  # n // 2 on each side
        (Lrn("n", n=4), WindowLrn("n", 2, 1), (8, 3, 2), False),
    ],
)  # fmt: skip
def test_a_layer_is_the_same_however_its_padding_is_written(one, other, shape, same):
    assert (traps.layer_signature(one, shape) == traps.layer_signature(other, shape)) == same


# Edits, one by one where a mistake in them would not show otherwise -------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "size"), [("paper", 57), ("paper-224", 56), ("one-weird-trick", 56), ("onnx-zoo", 56)]
)
def test_same_padding_gives_tensorflows_sizes(variant, size):
    assert at("padding-same", "conv1", variant).shapes()["conv1"][1:] == (size, size)


def test_same_pooling_everywhere_gives_28_14_7():
    network = at("padding-same", "conv1")
    for pool in ("pool1", "pool2", "pool5"):
        network = traps.BY_ID["pool-same"].posed(network, pool)
    assert [network.shapes()[pool][1] for pool in ("pool1", "pool2", "pool5")] == [29, 15, 8]
    network = at("padding-same", "conv1", "paper-224")
    for pool in ("pool1", "pool2", "pool5"):
        network = next(n for t, n in traps.distinct(network, pool) if t.id in ("pool-same", "pool-ceil"))
    assert [network.shapes()[pool][1] for pool in ("pool1", "pool2", "pool5")] == [28, 14, 7]


def test_same_padding_may_differ_for_rows_and_columns():
    layer = traps.BY_ID["pool-same"].posed(variants.variant("paper-thin"), "pool1")["pool1"]
    assert isinstance(layer, BorderedPool)
    assert layer.border == ((0, 1), (1, 1))  # 24 rows, 31 columns


@pytest.mark.parametrize(
    ("trap", "layer", "variant", "order"),
    [
        ("lrn-before-relu", "norm1", "paper", "conv1 norm1 relu1 pool1"),
        ("lrn-after-pool", "norm1", "paper", "conv1 relu1 pool1 norm1"),
        ("lrn-before-pool", "norm1", "caffenet", "conv1 relu1 norm1 pool1"),
        ("relu-first", "norm1", "original-2012", "conv1 relu1 norm1 pool1"),
        ("relu-after-norm", "relu1", "caffenet", "conv1 pool1 norm1 relu1"),
        ("lrn-repeated", "norm1", "paper", "conv1 relu1 norm1 norm1_again pool1"),
        ("lrn-missing", "norm1", "paper", "conv1 relu1 pool1"),
        ("relu-missing", "relu1", "paper", "conv1 norm1 pool1"),
        ("input-bgr", "conv1", "paper", "input conv1 relu1"),
        ("lrn-extra", "relu3", "paper", "conv3 relu3 relu3_norm conv4"),
        ("batch-norm-extra", "conv3", "paper", "conv3 conv3_norm relu3"),
        ("pool-extra", "relu4", "paper", "relu4 relu4_pool conv5"),
        ("towers-interleaved", "conv2", "paper", "pool1 conv2_input conv2"),
        ("fc6-1x1", "fc6", "paper", "pool5 fc6 relu6 drop6 flatten fc7 relu7"),
        ("fc6-5x5", "fc6", "one-weird-trick", "pool5 drop6 fc6 relu6 drop7 flatten fc7"),
        ("dense-extra", "fc7", "paper", "fc7 relu7 drop7 fc7_more fc7_more_relu fc8"),
        ("dense-missing", "fc7", "paper", "fc6 relu6 drop6 fc8 prob"),
        ("dense-missing", "fc7", "one-weird-trick", "fc6 relu6 drop7 fc8 prob"),
        ("dropout-before-dense", "drop6", "paper", "flatten drop6 fc6 relu6 drop7 fc7 relu7 fc8"),
        ("dropout-after-dense", "drop6", "one-weird-trick", "flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8"),
        ("global-average-instead-of-flatten", "flatten", "paper", "pool5 flatten_mean flatten fc6"),
        ("softmax-doubled", "prob", "paper", "fc8 prob prob_again"),
        ("relu-extra", "fc8", "paper", "fc8 fc8_relu prob"),
        ("dropout-on-output", "fc8", "paper", "fc8 fc8_drop prob"),
    ],
)  # fmt: skip
def test_the_chain_is_edited_as_the_entry_says(trap, layer, variant, order):
    assert f" {order} " in f" {' '.join(at(trap, layer, variant).names())} "


def test_towers_that_never_meet_are_apart_to_the_last_layer_but_one():
    network = at("towers-never-meet", "conv3")
    groups = [layer.groups for layer in network.layers if isinstance(layer, Conv | Dense)]
    assert groups == [1, 2, 2, 2, 2, 2, 2, 1]
    assert not traps.places(traps.BY_ID["towers-never-meet"], variants.variant("single-tower"))


def test_flattening_in_another_order_is_told_at_the_dense_layer_that_reads_it():
    network = at("flattened-hwc", "fc6", "one-weird-trick")  # through a dropout
    assert isinstance(network["flatten"], Reordered)
    assert traps.BY_ID["flattened-hwc"].posed(variants.variant("paper"), "fc7") is None


@pytest.mark.parametrize("order", ["hwc", "whc", "cwh", "hcw"])
def test_flattened_maps_and_reordered_columns_are_the_same_function(order):
    maps, rng = (4, 2, 3), np.random.default_rng(0)
    network = Network("n", maps, (Flatten("flatten"), Dense("d", 5)))
    weight, x = rng.standard_normal((5, 24)), rng.standard_normal((2, *maps))
    met, _ = traps.BY_ID[f"flattened-{order}"].weights(traps.Site(network["d"], (24,), maps), weight, np.zeros(5))
    flat = traps.BY_ID[f"flattened-{order}"].posed(network, "d")["flatten"].compute({}, x)
    np.testing.assert_allclose(flat @ weight.T, x.reshape(2, -1) @ met.T)


def test_alpha_times_the_mean_at_the_ends_is_the_formula_in_the_middle():
    layer, x = Lrn("n", n=5), 50 * np.random.default_rng(0).standard_normal((2, 12, 3, 4))
    site = traps.Site(layer, x.shape[1:], x.shape[1:])
    edited = traps.BY_ID["lrn-mean-at-the-ends"].edited(site).compute({}, x)
    want = oracle.lrn(x, layer)
    np.testing.assert_allclose(edited[:, 2:-2], want[:, 2:-2])
    assert (np.abs(edited[:, [0, 1, -2, -1]]) < np.abs(want[:, [0, 1, -2, -1]])).all()


def test_dropout_conventions_are_told_apart_by_what_training_does():
    at_test, twice = (at(f"dropout-scaled-{how}", "drop6")["drop6"] for how in ("at-test", "twice"))
    assert (at_test.factor, at_test.scaled, twice.factor, twice.scaled) == (0.5, False, 0.5, True)
    unscaled, always = (at(trap, "drop6")["drop6"] for trap in ("dropout-unscaled", "dropout-always-on"))
    assert (unscaled.factor, unscaled.scaled, always.always, always.scaled) == (1.0, False, True, True)
    maps = at("dropout-whole-maps", "pool5")["pool5_drop"]
    assert isinstance(maps, RandomDropout)
    assert maps.maps


def test_a_layer_left_out_is_not_posed_as_a_dropout():
    for trap, layer in (("relu-missing", "relu3"), ("lrn-missing", "norm2"), ("pool-missing", "pool2")):
        assert not [each for each in at(trap, layer).layers if isinstance(each, Dropout) and each.name == layer]


# First values ---------------------------------------------------------------------------------------------------------


def begins(trap: str, layer: str, variant: str = "paper") -> traps.Initial | None:
    network = variants.variant(variant)
    site = next(site for site in traps.sites(network) if site.layer.name == layer)
    return traps.BY_ID[trap].initial(site)


def test_first_values_are_those_that_the_frameworks_document():
    fan_in, fan_out = 48 * 25, 256 * 25  # conv2: 5 x 5 over 48 maps, 256 maps
    uniform = begins("init-torch-uniform", "conv2")
    assert (uniform.role, uniform.law, uniform.std) == ("weight", "uniform", pytest.approx((1 / (3 * fan_in)) ** 0.5))
    assert begins("init-glorot-uniform", "conv2").std == pytest.approx((2 / (fan_in + fan_out)) ** 0.5)
    assert begins("init-he-normal", "conv2").std == pytest.approx((2 / fan_in) ** 0.5)
    assert begins("init-he-normal-fan-out", "conv2").std == pytest.approx((2 / fan_out) ** 0.5)
    assert begins("init-xavier-caffe", "fc7").std == pytest.approx(1 / 64)
    cut = begins("init-lecun-normal", "fc7")
    drawn = np.random.default_rng(0).standard_normal(400_000)
    assert cut.law == "truncated"
    assert cut.std * drawn[np.abs(drawn) < 2].std() == pytest.approx(1 / 64, rel=5e-3)


def test_first_values_that_the_variant_has_itself_are_no_mistake():
    assert begins("init-std-003", "conv3", "original-2012") is None
    assert begins("init-std-0005", "fc6", "caffe") is None
    assert begins("init-torch-uniform", "conv1", "one-weird-trick") is None
    assert begins("init-bias-uniform", "fc8", "one-weird-trick") is None
    assert begins("init-bias-01", "conv2", "caffe") is None
    assert begins("init-zero-bias", "conv1") is None
    assert begins("init-bias-one", "conv2") is None
    assert begins("init-zero-bias", "conv2") == traps.Initial("bias", "constant", 0.0, 0.0)
    assert begins("init-bias-01", "conv2") == traps.Initial("bias", "constant", 0.0, 0.1)
    assert begins("init-truncated", "conv1") == traps.Initial("weight", "truncated", 0.01)


def test_other_activations_stand_where_the_relu_stood():
    network = at("leaky-relu-03", "relu4")
    assert (network["relu4"].function, network["relu4"].slope) == ("leaky_relu", 0.3)
    assert not isinstance(network["relu4"], Relu)
