"""Dropout from a run in training mode beside one in inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hand_graph import draw
from numpy_subject import Subject

from alexnet_parity.checks.audit.audit import layers_of
from alexnet_parity.checks.audit.dropout import at_inference_only, rate_of, with_dropout
from alexnet_parity.checks.audit.tape import Tape
from alexnet_parity.reference.mistaken import Affine, RandomDropout
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Layer, Network, Relu

SHAPE = (3, 8, 9)


def network(*drops: Layer) -> Network:
    return Network("n", SHAPE, (Flatten("flatten"), Dense("fc6", 60), Relu("relu6"), *drops, Dense("fc7", 7)))


def runs(given: Network, hints: bool = True, images: int = 32, training: Network | None = None):
    params = {name: draw(i, *shape, spread=0.3) for i, (name, shape) in enumerate(given.param_shapes().items())}
    x, found = draw(9, images, *given.input_shape), []
    for net, mode in ((given, False), (training or given, True)):
        subject = Subject(net, params, hints=hints, seed=3)
        found.append(layers_of(Tape(subject.record(x, mode), subject.held)))
    return found


def drops(given: Network, hints: bool = True, images: int = 32, training: Network | None = None) -> list[Layer]:
    readings = with_dropout(*runs(given, hints, images, training))
    kept = [r.layer for r in readings if isinstance(r.layer, Dropout | RandomDropout)]
    assert [type(r.layer) for r in readings if r.layer not in kept] == [Flatten, Dense, Relu, Dense]
    return kept


@pytest.mark.parametrize("hints", [True, False])
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.75])
def test_standard_dropout_is_recovered(rate, hints):
    (found,) = drops(network(Dropout("drop6", rate)), hints)
    assert type(found) is Dropout
    assert found.rate == pytest.approx(rate, abs=1e-4)


KINDS = {
    "unscaled": RandomDropout("drop6", 0.3, scaled=False),
    "the paper's: unscaled, halved at test": RandomDropout("drop6", 0.5, factor=0.5, scaled=False),
    "scaled twice": RandomDropout("drop6", 0.5, factor=0.5),
    "always on": RandomDropout("drop6", 0.5, always=True),
}


@pytest.mark.parametrize("hints", [True, False])
@pytest.mark.parametrize("layer", KINDS.values(), ids=KINDS)
def test_other_dropout_is_recovered(layer, hints):
    (found,) = drops(network(layer), hints)
    assert replace(found, name="drop6") == layer


@pytest.mark.parametrize(
    "layer", [RandomDropout("drop6", 0.5, maps=True), RandomDropout("drop6", 0.4, scaled=False, maps=True)]
)
def test_dropout_of_whole_maps_is_recovered_with_its_rate(layer):
    """Whole maps are as many draws as maps, not as pixels."""
    layers = (Conv("conv1", 10, 3), Relu("relu1"), layer, Flatten("flatten"), Dense("fc6", 5))
    found = [r.layer for r in with_dropout(*runs(Network("n", SHAPE, layers)))]
    assert replace(found[2], name="drop6") == layer


@pytest.mark.parametrize("hints", [True, False])
def test_two_dropouts_in_a_row_are_two_or_one_of_both(hints):
    found = drops(network(Dropout("a", 0.5), Dropout("b", 0.2)), hints)
    assert [round(layer.rate, 3) for layer in found] == [0.5, 0.2]


def test_no_dropout_is_none():
    assert drops(network()) == []
    assert drops(network(), hints=False) == []


def test_dropout_that_is_called_so_and_never_drops_is_none():
    given = network(Dropout("drop6", 0.5))
    assert drops(given, training=network(Dropout("drop6", 0.0))) == []


def test_dropout_that_a_training_run_alone_has_is_found_in_its_place():
    """A functional call that inference skips."""
    (found,) = drops(network(), training=network(Dropout("drop6", 0.5)))
    assert found == Dropout(found.name, 0.5)
    readings = with_dropout(*runs(network(), training=network(Dropout("drop6", 0.5))))
    assert [r.layer.kind for r in readings] == ["flatten", "dense", "relu", "dropout", "dense"]


def test_more_operations_in_training_do_not_move_dropout():
    """A second ReLU that changes nothing, in training only."""
    given = network(Dropout("drop6", 0.5))
    layers = list(given.layers)
    layers.insert(1, Affine("noise", (1.25,), (0.0,)))
    readings = with_dropout(*runs(given, training=Network("n", SHAPE, tuple(layers))))
    kinds = [r.layer.kind for r in readings]
    assert kinds.index("dropout") == kinds.index("relu") + 1


def test_a_factor_that_does_not_go_with_the_share_of_zeros_is_no_ordinary_rate():
    """Half of the numbers lost, the rest multiplied by 1.25: dropout neither of 0.5 nor of 0.2."""
    inference, training = runs(network(Dropout("drop6", 0.5)))
    wrong = [
        replace(r, layer=replace(r.layer, scale=1.25)) if type(r.layer).__name__ == "Dropped" else r for r in training
    ]
    found = [r.layer for r in with_dropout(inference, wrong)]
    assert not any(type(layer) is Dropout for layer in found)


def test_a_factor_below_one_is_no_negative_rate():
    inference, training = runs(network(Dropout("drop6", 0.5)))
    wrong = [
        replace(r, layer=replace(r.layer, scale=0.5)) if type(r.layer).__name__ == "Dropped" else r for r in training
    ]
    for reading in with_dropout(inference, wrong):
        assert getattr(reading.layer, "rate", 0.5) >= 0


def test_what_always_drops_is_seen_without_a_training_run():
    inference, _ = runs(network(RandomDropout("drop6", 0.5, always=True)))
    (found,) = [r.layer for r in at_inference_only(inference) if isinstance(r.layer, RandomDropout)]
    assert replace(found, name="drop6") == RandomDropout("drop6", 0.5, always=True)


def test_a_share_is_the_usual_rate_that_it_may_be():
    assert rate_of(0.49, 1000) == 0.5
    assert rate_of(0.26, 100) == 0.25
    assert rate_of(0.35, 100_000) == 0.35
    assert rate_of(0.5, 10**9) == 0.5


def test_no_run_in_two_hundred_names_a_wrong_rate():
    for seed in range(200):
        count = 32 * 29
        share = np.random.default_rng(seed).binomial(count, 0.5) / count
        assert rate_of(share, count) == 0.5


@pytest.mark.parametrize("count", [64, 447])
def test_few_draws_of_a_half_are_a_half(count):
    """At 447 a share of 0.447 is nothing unusual, and nearer to 0.4."""
    shares = np.random.default_rng(1).binomial(count, 0.5, 200) / count
    assert {rate_of(share, count) for share in shares} == {0.5}
