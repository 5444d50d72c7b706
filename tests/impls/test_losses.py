"""Each framework's cross-entropy: the paper's, and where common forms part from it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from harness import bad, verified

pytestmark = [pytest.mark.once, pytest.mark.offers("losses")]

LOGITS, LABELS = np.log(np.array([[1, 2, 5], [6, 3, 1]], np.float32)), np.array([1, 0])


@pytest.fixture(autouse=True)
def once(impl):
    if impl == "keras_ops":
        pytest.skip("the same as keras")


def test_every_form_is_the_papers_or_parts_from_it_as_known(module):
    for seed in (0, 1, 2):
        findings = verified(module, "paper-thin", ("train-loss",), seed)
        assert not bad(findings), [finding.line() for finding in bad(findings)]
        known = [finding for finding in findings if finding.status == "KNOWN"]
        assert len(known) == len(module.losses.DEPARTURES)


def test_by_hand(module):
    """Probabilities 1/8, 2/8, 5/8 and .6, .3, .1."""
    for name, form in module.losses.FORMS.items():
        value, gradient = form(LOGITS.copy(), LABELS.copy())
        assert value == pytest.approx([(math.log(4) - math.log(0.6)) / 2], rel=1e-6), name
        np.testing.assert_allclose(gradient, [[0.0625, -0.375, 0.3125], [-0.2, 0.15, 0.05]], atol=1e-7, err_msg=name)
    assert module.losses.loss in module.losses.FORMS.values()


def planted(impl):
    """Mistakes made with the framework's own functions: (id that must be named, form)."""
    if impl == "torch":
        import torch.nn.functional as F

        from alexnet_parity.impls.losses.torch import with_gradient

        return [
            ("[loss-summed]", with_gradient(lambda x, y: F.cross_entropy(x, y, reduction="sum"))),
            ("smoothed by 0.1", with_gradient(lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1))),
            ("[loss-softmax-twice]", with_gradient(lambda x, y: F.cross_entropy(F.softmax(x, dim=1), y))),
            ("[loss-labels-one-too-high]", with_gradient(lambda x, y: F.cross_entropy(x, (y + 1) % x.shape[1]))),
        ]
    if impl == "jax":
        import jax.numpy as jnp
        from jax import nn

        from alexnet_parity.impls.losses.jax import from_logits, picked, with_gradient

        return [
            ("[loss-summed]", with_gradient(lambda x, y: -picked(nn.log_softmax(x), y).sum())),
            ("[loss-softmax-twice]", with_gradient(lambda x, y: from_logits(nn.softmax(x), y))),
            ("[loss-labels-one-too-high]", with_gradient(lambda x, y: from_logits(x, (y + 1) % x.shape[1]))),
            ("[loss-log10]", with_gradient(lambda x, y: from_logits(x, y) / jnp.log(10.0))),
        ]
    import tensorflow as tf

    from alexnet_parity.impls.losses.tf_nn import sparse, with_gradient

    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
    if impl == "tf_nn":
        return [
            ("[loss-summed]", with_gradient(lambda x, y: tf.reduce_sum(entropy(y, x)))),
            ("[loss-softmax-twice]", with_gradient(lambda x, y: sparse(tf.nn.softmax(x), y))),
            ("[loss-labels-one-too-low]", with_gradient(lambda x, y: sparse(x, (y - 1) % x.shape[1]))),
            ("[loss-log10]", with_gradient(lambda x, y: sparse(x, y) / tf.math.log(10.0))),
        ]
    from keras import losses, ops

    def smoothed(x, y):
        return losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(ops.one_hot(y, x.shape[1]), x)

    sparse_keras = losses.SparseCategoricalCrossentropy
    return [
        ("[loss-summed]", with_gradient(lambda x, y: sparse_keras(from_logits=True, reduction="sum")(y, x))),
        ("smoothed by 0.2", with_gradient(smoothed)),
        ("[loss-softmax-twice]", with_gradient(lambda x, y: sparse_keras(from_logits=True)(y, tf.nn.softmax(x)))),
    ]


def test_mistakes_made_with_the_framework_are_named(impl):
    for named, form in planted(impl):
        subject = SimpleNamespace(losses=SimpleNamespace(FORMS={"form": form}, DEPARTURES={}))
        (finding,) = bad(verified(subject, "paper-thin", ("train-loss",)))
        assert named in finding.hint, (named, finding.line())


def test_keras_ignores_from_logits_where_it_can_find_the_logits(impl):
    """A Keras softmax remembers its logits, even where from_logits=True says that these are logits already: with a warning."""
    if impl != "keras":
        pytest.skip("Keras' own")
    import keras
    import tensorflow as tf

    right = np.array([2])
    z = np.array([[40.0, 0, 0]], np.float32)  # the right label's probability is exp(-40), far below 1e-7

    def loss(from_logits, softmax):
        objective = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        return float(objective(right, softmax(tf.constant(z))))

    def in_a_graph(softmax):
        return float(
            tf.function(lambda x: keras.losses.SparseCategoricalCrossentropy()(right, softmax(x)))(tf.constant(z))
        )

    assert loss(False, keras.layers.Softmax()) == pytest.approx(40, rel=1e-6)
    assert loss(False, tf.nn.softmax) == pytest.approx(math.log(1e7), rel=1e-6)
    assert in_a_graph(tf.nn.softmax) == pytest.approx(40, rel=1e-6)
    with pytest.warns(UserWarning, match="does not represent logits"):
        assert loss(True, keras.layers.Softmax()) == pytest.approx(40, rel=1e-6)
