"""The suite on NumPy's own float32 network: needs no framework, so the core can be tested alone."""

from __future__ import annotations

import numpy as np
import numpy_alexnet
import pytest
from faults import FAULTS, Faulty, check_caught
from harness import bad, verified

from alexnet_parity.checks import traps
from alexnet_parity.reference import oracle, variants
from alexnet_parity.reference.special_values import THEMES


@pytest.mark.parametrize("variant", [name for name in variants.names() if name.endswith("-thin")])
def test_every_check_passes_on_the_thin_network(variant):
    assert not bad(verified(numpy_alexnet, variant))


@pytest.mark.parametrize("variant", [name for name in variants.names() if name.endswith("-thin")])
def test_no_false_alarm_on_any_variant(variant):
    for seed in range(1, 6):
        assert not bad(verified(numpy_alexnet, variant, ("exact", "local", "chain", "batch"), seed)), seed


@pytest.mark.parametrize("variant", ["cifar-18pct", "cifar-13pct", "cifar-11pct", "cifar-brukman"])
def test_full_size_network_for_small_images_passes(variant):
    assert not bad(verified(numpy_alexnet, variant, ("structure", "exact", "local", "chain")))


def test_no_false_alarm_over_100_seeds():
    families = ("exact", "local", "chain", "batch")
    for seed in range(1, 101):
        assert not bad(verified(numpy_alexnet, "paper-thin", families, seed)), seed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_caught_at_its_own_layer(fault):
    check_caught(numpy_alexnet, fault)


class InTF32:
    """NumPy's network with one layer computed as a tensor core would: both operands rounded to TF32."""

    def __init__(self, layer):
        self.layer = layer

    def build(self, network, params):
        outer = self

        class Model(numpy_alexnet.Model):
            def activations(self, x):
                for layer in network.layers:
                    weights = self.weights
                    if layer.name == outer.layer:
                        rounded = {n: traps.mantissa(10)(weights[n]) for n in layer.param_shapes(x.shape[1:])}
                        rounded |= {f"{layer.name}.bias": weights[f"{layer.name}.bias"]}
                        weights, x = weights | rounded, traps.mantissa(10)(x)
                    x = oracle.apply(layer, weights, x)
                    yield layer.name, x

        return Model(network, params)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"])
def test_tf32_in_one_layer_is_caught_there_and_named(layer):
    wrong = bad(verified(InTF32(layer), "paper-thin", ("local-large",)))
    assert [f.layer for f in wrong] == [layer]
    assert "[tf32]" in wrong[0].hint


# What a module may offer besides: dropout, optimisers, initialisers, losses, augmentation, steps, formats, the output alone.
OFFERED = ("dropout-own", "update", "init", "train", "saved", "repeat-unrecorded")


class Fixed:
    """A module written for the paper's network only."""

    variant = "paper-thin"

    def __init__(self, module=numpy_alexnet):
        self.module = module

    def build(self, network, params):
        return self.module.build(variants.variant("paper-thin"), params)


def test_module_fixed_to_one_network_gets_every_check_that_it_can_take():
    found = verified(Fixed(), "paper-thin")
    assert not bad(found)
    unsupported = {f.check for f in found if f.status == "UNSUPPORTED" and not f.check.startswith(OFFERED)}
    assert unsupported == {"exact-chain", "exact-local", "exact-dense", "batch-exact"} | {
        *("gradient-exact-chain", "gradient-exact-local", "gradient-dense", "gradient-ties"),
        *("dropout-shared-paper", "dropout-shared-inverted"),
        *("precision-inputs", "precision-accumulator"),
        *(f"special-{theme}" for theme in THEMES),
    }
    asked = {f.check for f in found if f.status == "PASS"}
    assert asked >= {"exact-one-tap", "local-large", "chain-photograph", "precision-chain-inputs", "repeat-large"}


def test_module_fixed_to_one_network_is_unsupported_on_another():
    found = [f for f in verified(Fixed(), "single-tower-thin") if f.impl == "subject"]
    assert {f.status for f in found} == {"UNSUPPORTED"}
    assert "paper-thin" in found[0].got


@pytest.mark.parametrize(
    "trap, layer",
    [
        ("kernels-flipped", "conv2"),
        ("flattened-hwc", "fc6"),
        ("bias-missing", "conv1"),
        ("towers-swapped", "conv5"),
    ],
)
def test_one_tap_catches_a_fault_in_a_module_fixed_to_one_network(trap, layer):
    fault = next(f for f in FAULTS if f.id == f"{trap}-at-{layer}")
    wrong = bad(verified(Fixed(Faulty(numpy_alexnet, fault)), "paper-thin", ("exact",)))
    assert [f.layer for f in wrong] == [layer]


def test_one_tap_is_not_fed_to_modules_that_take_any_network():
    assert not [f for f in verified(numpy_alexnet, "paper-thin", ("exact",)) if f.check == "exact-one-tap"]


def test_one_tap_runs_for_any_module_when_asked_for_by_name():
    found = verified(numpy_alexnet, "paper-thin", ("exact-one-tap",))
    assert len(found) == 21
    assert not bad(found)


class InPlace(numpy_alexnet.Model):
    """ReLU overwrites what was given to it, as nn.ReLU(inplace=True) does; views are handed out."""

    def activations(self, x):
        for layer in self.network.layers:
            if layer.kind == "relu":
                np.maximum(x, 0, out=x)
            else:
                x = oracle.apply(layer, self.weights, x)
            yield layer.name, x


def test_in_place_layers_are_recorded_as_they_were_when_each_is_yielded():
    class Module:
        build = staticmethod(InPlace)

    assert not bad(verified(Module, "paper-thin", ("exact", "local")))


def test_in_place_layers_handed_over_together_are_caught():
    """A mapping of references: conv1 shows what relu1 made of it. Copies are the implementation's duty; this tells."""

    class Together(InPlace):
        def activations(self, x):
            return dict(super().activations(x))

    class Module:
        build = staticmethod(Together)

    assert "conv1" in {f.layer for f in bad(verified(Module, "paper-thin", ("exact",)))}
