"""Each framework's own initialisers: what they draw, and how they repeat themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harness import bad, verified

from alexnet_parity.reference import variants

pytestmark = [pytest.mark.once, pytest.mark.offers("initialisers")]

PAPER = variants.variant("paper-thin")


@pytest.fixture(autouse=True)
def once(impl):
    if impl == "keras_ops":
        pytest.skip("the same as keras")


def test_the_papers_initialisation_at_several_seeds(module):
    for seed in range(5):
        wrong = bad(verified(module, "paper-thin", ("init",), seed))
        assert not wrong, [finding.line() for finding in wrong]


def test_first_values_are_what_the_spec_has_and_nothing_else(module):
    drawn = module.initialisers.initial(PAPER, 3)
    assert {name: value.shape for name, value in drawn.items()} == PAPER.param_shapes()
    assert all(value.dtype == np.float32 for value in drawn.values())
    assert (drawn["conv2.bias"] == 1).all()
    assert not drawn["conv3.bias"].any()


def test_they_can_be_built_with(module):
    """In our layout: what was drawn goes in as it is and comes back."""
    drawn = module.initialisers.initial(PAPER, 3)
    held = module.build(PAPER, drawn).params()
    assert all(np.array_equal(held[name], value) for name, value in drawn.items())


def test_spreads_and_biases_of_other_networks_are_followed(module):
    """The authors' own: 0.03 in conv3; and biases that are drawn."""
    network = PAPER.edit("conv3", init_std=0.03).edit("fc6", init_bias=-2.0, init_bias_std=0.5)
    drawn = module.initialisers.initial(network, 1)
    n = drawn["conv3.weight"].size
    assert drawn["conv3.weight"].std() == pytest.approx(0.03, rel=6 / math.sqrt(2 * n))
    assert drawn["fc6.bias"].mean() == pytest.approx(-2, abs=6 * 0.5 / math.sqrt(37))
    assert 0.2 < drawn["fc6.bias"].std() < 1


def test_networks_with_unshared_kernels_and_groups(module):
    for variant in ("cifar-13pct-thin", "original-no-communication-thin"):
        network = variants.variant(variant)
        drawn = module.initialisers.initial(network, 1)
        assert {name: value.shape for name, value in drawn.items()} == network.param_shapes()


@pytest.mark.parametrize("seed", [None, 5])
def test_one_keras_initialiser_for_several_layers_repeats_itself(impl, seed):
    """With a seed and without: every layer begins with the same numbers. What `init-weights` names [init-one-seed]."""
    if impl != "keras":
        pytest.skip("Keras' own")
    import keras

    shared = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    one, other = (keras.layers.Dense(units, kernel_initializer=shared) for units in (5, 7))
    one.build((None, 11))
    other.build((None, 3))
    first, second = (np.ravel(layer.kernel.numpy()) for layer in (one, other))
    assert np.array_equal(first[:21], second)


def test_a_seeded_tensorflow_initialiser_repeats_itself_and_an_unseeded_one_does_not(impl):
    if impl != "tf_nn":
        pytest.skip("TensorFlow's own")
    import tensorflow as tf

    for seed, repeats in ((5, True), (None, False)):
        shared = tf.random_normal_initializer(stddev=0.01, seed=seed)
        assert np.array_equal(np.ravel(shared([4, 3])), np.ravel(shared([2, 6]))) is repeats


def test_one_initialiser_for_all_layers_is_caught(impl, module):
    """Planted in the framework itself."""
    from types import SimpleNamespace

    drawn = {"torch": torch_anew, "tf_nn": tensorflow_shared, "jax": jax_shared}.get(impl, keras_shared)
    planted = SimpleNamespace(initialisers=SimpleNamespace(initial=drawn))
    wrong = bad(verified(planted, "paper-thin", ("init-weights",)))
    assert [finding.layer for finding in wrong] == ["between layers"]
    assert "[init-one-seed]" in wrong[0].hint


def torch_anew(network, seed):
    """A generator made anew for each layer."""
    import torch

    return {
        name: torch.nn.init.normal_(torch.empty(shape), std=0.01, generator=torch.Generator().manual_seed(seed)).numpy()
        for name, shape in network.param_shapes().items()
    }


def jax_shared(network, seed):
    """One key for all layers: it gives the same numbers at each use."""
    import jax

    draw, key = jax.nn.initializers.normal(0.01), jax.random.key(seed)
    return {name: np.array(draw(key, shape)) for name, shape in network.param_shapes().items()}


def tensorflow_shared(network, seed):
    import tensorflow as tf

    from alexnet_parity.impls.tf_nn import from_tf, to_tf

    shared = tf.random_normal_initializer(stddev=0.01, seed=seed)
    shapes = {name: to_tf(np.zeros(shape)).shape for name, shape in network.param_shapes().items()}
    return {name: from_tf(shared(shape).numpy()) for name, shape in shapes.items()}


def keras_shared(network, seed):
    import keras

    from alexnet_parity.impls.keras import AXES, from_keras

    shared = keras.initializers.RandomNormal(stddev=0.01)  # no seed at all
    shapes = {name: tuple(s[axis] for axis in AXES[len(s)]) for name, s in network.param_shapes().items()}
    return {name: from_keras(shared(shape)) for name, shape in shapes.items()}
