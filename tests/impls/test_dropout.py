"""Each framework's own dropout and its training under shared masks; mistakes made with the framework are caught and named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from harness import bad, verified

from alexnet_parity.checks.finding import Status
from alexnet_parity.reference import dropout, stimuli, variants

pytestmark = [pytest.mark.once, pytest.mark.offers("dropout")]


def about(module, *checks: str, variant: str = "paper-thin", seed: int = 0):
    return verified(module, variant, checks or ("dropout-own",), seed)


@pytest.mark.parametrize("variant", stimuli.MASKED)
def test_every_check_passes(module, variant):
    found = verified(module, variant, ("dropout",))
    assert not bad(found)
    assert not any(f.status is Status.UNSUPPORTED for f in found)


def test_no_false_alarm(module):
    for seed in range(1, 6):
        assert not bad(about(module, seed=seed)), seed
    assert not bad(about(module, "dropout-shared-inverted", variant="one-weird-trick-thin", seed=1))


@pytest.mark.parametrize("case", dropout.OWN)
def test_what_it_offers_keeps_to_our_layout(module, case):
    rate, shape = dropout.OWN[case]
    x, upstream = dropout.own_numbers(case, 0)
    kept = x.copy(), upstream.copy()
    y, gradient = module.dropout(x, upstream, rate, 5)
    test = module.dropout_at_test(x[0], rate)
    assert [a.shape for a in (y, gradient, test)] == [x.shape, x.shape, shape]
    assert {a.dtype for a in (y, gradient, test)} == {np.dtype(np.float32)}
    assert all(type(a) is np.ndarray for a in (y, gradient, test))
    assert np.array_equal(x, kept[0])
    assert np.array_equal(upstream, kept[1])


def test_inference_knows_no_dropout(module):
    stimulus = stimuli.stimulus(variants.variant("paper-thin"), "dropout-paper", 0)
    found = dict(module.build(stimulus.network, stimulus.params).activations(stimulus.x))
    assert np.array_equal(found["drop6"], found["relu6"])
    assert np.array_equal(found["drop7"], found["relu7"])


# Mistakes that users make with it -------------------------------------------------------------------------------------


def wrong(module, training=None, at_test=None):
    return SimpleNamespace(dropout=training or module.dropout, dropout_at_test=at_test or module.dropout_at_test)


def keep_probability(module):
    """The rate handed on as the probability of being kept, as TensorFlow 1 wanted it."""
    return wrong(module, lambda x, g, rate, seed: module.dropout(x, g, 1 - rate, seed))


def on_at_test(module):
    """A model left in training mode."""
    return wrong(module, at_test=lambda x, rate: module.dropout(x[None], x[None], rate, 9)[0][0])


def halved_at_test(module):
    """The paper's factor at test on top of the framework's scale in training."""
    return wrong(module, at_test=lambda x, rate: module.dropout_at_test(x, rate) * np.float32(1 - rate))


def seeded_each_step(module):
    """The seed set before each step and not once."""

    def training(x, g, rate, seed):
        pairs = [module.dropout(x[i : i + 1], g[i : i + 1], rate, seed) for i in range(len(x))]
        return tuple(np.concatenate(arrays) for arrays in zip(*pairs, strict=True))

    return wrong(module, training)


def drawn_again(module):
    """Recomputation in the backward pass without the state of the generator."""

    def training(x, g, rate, seed):
        return module.dropout(x, g, rate, seed)[0], module.dropout(x, g, rate, seed + 77)[1]

    return wrong(module, training)


def one_mask_for_the_batch(module):
    def training(x, g, rate, seed):
        y, _ = module.dropout(x[:, :1], g[:, :1], rate, seed)
        factors = y / x[:, :1]
        return x * factors, g * factors

    return wrong(module, training)


def straight_through(module):
    return wrong(module, lambda x, g, rate, seed: (module.dropout(x, g, rate, seed)[0], g))


def unscaled(module):
    def training(x, g, rate, seed):
        return tuple(a * np.float32(1 - rate) for a in module.dropout(x, g, rate, seed))

    return wrong(module, training)


MISTAKES = {
    keep_probability: "dropout-rate-is-keep",
    on_at_test: "dropout-on-at-test",
    halved_at_test: "dropout-scaled-twice",
    seeded_each_step: "dropout-mask-of-all-steps",
    drawn_again: "dropout-redrawn",
    one_mask_for_the_batch: "dropout-mask-of-batch",
    straight_through: "dropout-off-backward",
    unscaled: "dropout-unscaled",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_made_with_it_is_caught_and_named(module, mistake):
    failed = bad(about(mistake(module)))
    assert any(f"[{MISTAKES[mistake]}]" in f.hint for f in failed), [f.line() for f in failed]


class Planted:
    """The real model, called with other masks."""

    def __init__(self, module, change):
        self.module, self.change = module, change

    def build(self, network, params):
        model = self.module.build(network, params)

        def backward(x, upstream=None, labels=None, masks=None):
            return model.backward(x, upstream, labels, {name: self.change(mask) for name, mask in masks.items()})

        return SimpleNamespace(backward=backward, params=model.params)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (np.ones_like, "dropout-off"),
        (lambda mask: 2 * mask, "dropout-scaled-twice"),
        (lambda mask: np.repeat(mask[:1], len(mask), axis=0), "dropout-mask-of-batch"),
    ],
    ids=["not applied", "scaled twice", "one image's for the batch"],
)
def test_a_mistake_with_shared_masks_is_caught_and_named(module, change, cause):
    failed = bad(about(Planted(module, change), "dropout-shared-inverted", variant="one-weird-trick-thin"))
    named = {f.hint.rpartition("[")[2] for f in failed if f.hint}
    assert named == {f"{cause}]", f"{cause}-backward]"}
