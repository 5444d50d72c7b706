"""Causes: entries of the catalogue whose facts are the facts that were found, and never a guess."""

from __future__ import annotations

import pytest

from alexnet_parity.checks import traps
from alexnet_parity.checks.audit.facts import Fact, of_network
from alexnet_parity.checks.audit.naming import causes
from alexnet_parity.reference import variants
from alexnet_parity.reference.mistaken import Activation, PaddedMean
from alexnet_parity.reference.spec import Network

THIN = variants.variant("paper-thin")


def named(found: Network, extra: tuple[Fact, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    shapes = {layer.name: before for layer, before, _ in THIN.walk()}
    own = {layer.name: before for layer, before, _ in found.walk()}
    facts = [*of_network(found, THIN), *extra]
    return [(c.traps, c.layer) for c in causes(facts, THIN, shapes | {n: own[n] for n in own if n in shapes})]


def posed(*edits: tuple[str, str]) -> Network:
    network = THIN
    for trap, layer in edits:
        network = traps.BY_ID[trap].posed(network, layer)
        assert network is not None, (trap, layer)
    return network


SINGLES = [
    ("lrn-k-1", "norm1"),
    ("lrn-alpha-over-n", "norm2"),
    ("lrn-alpha-10e-4", "norm1"),
    ("lrn-beta-half", "norm2"),
    ("lrn-missing", "norm1"),
    ("lrn-after-pool", "norm1"),
    ("lrn-window-early", "norm2"),
    ("pool-2x2", "pool1"),
    ("pool-average", "pool5"),
    ("groups-ignored", "conv2"),
    ("tanh", "relu3"),
    ("relu-missing", "relu4"),
    ("dropout-missing", "drop6"),
    ("dropout-20", "drop7"),
    ("softmax-missing", "prob"),
    ("kernel-3", "conv2"),
    ("stride-5", "conv1"),
    ("classes", "fc8"),
]


@pytest.mark.parametrize(("trap", "layer"), SINGLES)
def test_one_mistake_is_named_at_its_layer(trap, layer):
    assert named(posed((trap, layer))) == [((trap,), layer)]


def test_nothing_is_named_where_nothing_differs():
    assert causes([], THIN, {}) == []


@pytest.mark.parametrize(
    ("first", "second", "layer"),
    [
        ("lrn-alpha-10e-4", "lrn-alpha-over-n", "norm1"),
        ("lrn-k-1", "lrn-beta-half", "norm2"),
        ("lrn-k-1", "lrn-alpha-over-n", "norm1"),
    ],
)
def test_two_mistakes_at_one_layer_are_both_named(first, second, layer):
    network = posed((first, layer), (second, layer))
    said = named(network)
    assert {trap for ids, _ in said for trap in ids} == {first, second}, said
    assert {at for _, at in said} == {layer}


@pytest.mark.parametrize(
    "edits",
    [
        (("lrn-k-1", "norm1"), ("lrn-k-1", "norm2")),
        (("lrn-missing", "norm1"), ("tanh", "relu5")),
        (("pool-2x2", "pool1"), ("dropout-missing", "drop7")),
        (("groups-ignored", "conv2"), ("groups-ignored", "conv4")),
        (("softmax-missing", "prob"), ("classes", "fc8")),
        (("relu-missing", "relu1"), ("lrn-missing", "norm1")),
    ],
    ids=str,
)
def test_mistakes_at_two_layers_are_named_each(edits):
    assert sorted(named(posed(*edits))) == sorted(((trap,), layer) for trap, layer in edits)


@pytest.mark.parametrize(
    ("layer", "change"),
    [
        ("norm1", {"alpha": 3.7e-4}),
        ("norm1", {"k": 1.37}),
        ("norm2", {"beta": 0.61, "k": 1.41}),
        ("conv3", {"channels": 26}),
        ("fc6", {"units": 38}),
        ("drop6", {"rate": 0.37}),
        ("norm1", {"n": 13}),
    ],
    ids=str,
)
def test_what_no_entry_has_is_not_named(layer, change):
    said = named(THIN.edit(layer, **change))
    assert said
    assert {ids for ids, _ in said} == {()}, said
    assert {at for _, at in said} == {layer}


def test_a_mean_padded_in_another_way_than_the_entry_is_not_named_by_it():
    """pool-average-padded pads by 1: a 5 x 5 mean padded by 1 and one by 2 are not both it."""
    names = []
    for padding in (0, 1, 2):
        new = PaddedMean("pool1", 3, 2, padding)
        names.append(named(THIN.swap("pool1", new))[0][0])
    assert names.count(("pool-average-padded",)) <= 1


def test_an_activation_with_a_slope_that_no_entry_has_is_not_named():
    assert named(THIN.swap("relu3", Activation("relu3", "leaky_relu", 0.123))) == [((), "relu3")]


def test_a_quirk_is_its_own_cause_and_an_unknown_one_has_none():
    known, unknown = Fact("quirk", "conv1", "bgr"), Fact("quirk", "conv3", "weights-derived")
    assert named(THIN, (known, unknown)) == [(("bgr",), "conv1"), ((), "conv3")]


def test_what_is_not_explained_has_no_cause():
    fact = Fact("unexplained", "norm1", "", ("Unexplained", ("says", "odd")))
    assert named(THIN, (fact,)) == [((), "norm1")]


def test_every_fact_is_accounted_for_once():
    network = posed(("lrn-k-1", "norm1"), ("pool-2x2", "pool1"), ("tanh", "relu3"))
    facts = of_network(network, THIN)
    shapes = {layer.name: before for layer, before, _ in network.walk()}
    found = causes(facts, THIN, shapes)
    assert sum(len(cause.facts) for cause in found) == len(facts)
    assert frozenset().union(*(cause.facts for cause in found)) == facts


def test_a_dense_layer_more_is_named_at_the_layer_it_follows():
    """It stands behind drop7, two layers from fc7."""
    assert named(posed(("dense-extra", "fc7"))) == [(("dense-extra",), "fc7")]
