"""Shared weights: large activations at every layer, whatever the network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hand_graph import Hand, draw
from numpy_subject import Subject

from alexnet_parity.checks.audit import weights
from alexnet_parity.checks.audit.audit import fitted_weights, image
from alexnet_parity.checks.audit.tape import Tape
from alexnet_parity.reference import variants
from alexnet_parity.reference.mistaken import Activation
from alexnet_parity.reference.spec import Dense, Lrn, Network, Relu
from alexnet_parity.reference.stimuli import paper_init

THIN = variants.variant("paper-thin")


def without_norms(network: Network) -> Network:
    for layer in network.layers:
        if isinstance(layer, Lrn):
            network = network.swap(layer.name)
    return network


def with_tanh(network: Network) -> Network:
    for layer in network.layers:
        if isinstance(layer, Relu):
            network = network.swap(layer.name, Activation(layer.name, "tanh"))
    return network


NETWORKS = {
    "paper-thin": THIN,
    "caffe-thin": variants.variant("caffe-thin"),
    "tanh": with_tanh(THIN),
    "no normalisation": without_norms(THIN),
    "tanh and no normalisation": without_norms(with_tanh(THIN)),
    "cifar": variants.variant("cifar-18pct-thin"),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_layer_gives_about_what_it_should(network):
    subject = Subject(network, paper_init(network, 0))
    shape = network.input_shape
    tape = Tape(subject.record(image(shape, 1, 0)), subject.held)
    values = fitted_weights(subject, tape, shape, None, 0)
    assert set(values) == set(subject.parameters)
    fresh = Tape(subject.record(image(shape, 2, 0)), subject.held)
    for slot in weights.slots(fresh):
        ratio = weights.measured(slot, fresh) / weights.target(slot)
        assert 1 / 3 < ratio < 3, (slot.op.name, ratio)


def test_the_slots_are_the_layers_in_their_order_and_the_last_has_its_own_target():
    subject = Subject(THIN, paper_init(THIN, 0))
    found = weights.slots(Tape(subject.record(image(THIN.input_shape, 1, 0)), subject.held))
    assert [slot.weight for slot in found] == [
        f"{n}.weight" for n in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    ]
    assert [slot.last for slot in found] == [False] * 7 + [True]
    assert [slot.bias for slot in found] == [slot.weight.replace("weight", "bias") for slot in found]


def test_a_weight_used_twice_is_one_slot():
    layer = Dense("d", 5)
    hand = Hand(draw(0, 2, 5), {"d.weight": draw(1, 5, 5), "d.bias": draw(2, 5)})
    hand.affine(Dense("d", 5), hand.affine(layer, "x"))
    assert len(weights.slots(hand.tape())) == 1


def test_the_same_numbers_are_drawn_whatever_the_order_of_the_axes():
    given = draw(1, 4, 3, 5, 5)
    x = draw(0, 2, 3, 9, 11)
    found = []
    for layout in ("OIHW", "HWIO"):
        stored = given if layout == "OIHW" else given.transpose(2, 3, 1, 0)
        hand = Hand(x, {"w": stored})
        y = np.zeros((2, 4, 5, 7), np.float32)
        hand.op("conv", ("x", "param:w"), y, "c", {"x": 0, "weight": 1}, weight_layout=layout, stride=(1, 1))
        tape = hand.tape()

        values = weights.drawn(SimpleNamespace(parameters={"w": stored.shape}), tape, 0)["w"]
        assert values.shape == stored.shape
        found.append(values if layout == "OIHW" else values.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(*found)


def test_other_seeds_are_other_numbers_and_the_same_seed_the_same():
    subject = Subject(THIN, paper_init(THIN, 0))
    tape = Tape(subject.record(image(THIN.input_shape, 1, 0)), subject.held)
    a, b, c = (weights.drawn(subject, tape, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not any(np.array_equal(a[name], c[name]) for name in a)


def test_a_layer_that_gives_nothing_is_no_reason_to_divide_by_zero():
    hand = Hand(np.zeros((2, 5)), {"d.weight": draw(1, 5, 5), "d.bias": np.zeros(5)})
    hand.affine(Dense("d", 5), "x")
    scaled = weights.scaled(dict(hand.params), hand.tape())
    assert all(np.isfinite(value).all() for value in scaled.values())
