"""Sections 4 and 5 on trial: each verdict, the numbers in its evidence, and that it turns when the fact under it does."""

import dataclasses

import numpy as np
import pytest

from alexnet_parity.checks.claims import dropout, learning  # noqa: F401  (binds the checks)
from alexnet_parity.checks.claims.verdict import CHECKS, Facts, Verdict
from alexnet_parity.reference import augmentation, preprocessing, update_rules
from alexnet_parity.reference.claims import published_results
from alexnet_parity.reference.claims.learning import CLAIMS

HOLDS, AGAINST = Verdict.HOLDS, Verdict.CONTRADICTED
UNDER, NOT = Verdict.UNDERSPECIFIED, Verdict.NOT_CHECKABLE

# id: verdict, numbers that its evidence must have
EXPECTED = {
    "over-10-bits": (HOLDS, ["1000", "9.966"]),
    "aug-cpu-python-parallel": (HOLDS, []),
    "aug-patches-flips": (HOLDS, ["224", "256", "rows 0 to 32", "columns 0 to 32"]),
    "aug-independent-per-image": (UNDER, ["32", "128", " 4 "]),
    "aug-factor-2048": (AGAINST, ["33", "2178", "2048"]),
    "aug-without-overfits": (NOT, ["12 million", "61 million"]),
    "aug-ten-patches": (HOLDS, ["10", "(0, 0)", "(16, 16)", "(32, 32)"]),
    "aug-average-softmax": (HOLDS, ["0.31"]),
    "aug-pca-3x3": (HOLDS, ["3 x 3"]),
    "aug-pca-eigenvalue": (AGAINST, ["121.78", "12.2", "1483", "74"]),
    "aug-pca-sigma-0p1": (HOLDS, ["0.1"]),
    "aug-pca-once-per-image": (HOLDS, ["5 images"]),
    "aug-pca-always-on": (AGAINST, ["68 of 93", "67 of 91"]),
    "aug-pca-gain-1pct": (NOT, ["67"]),
    "drop-p-half": (HOLDS, ["0.5", "50.0%"]),
    "drop-no-backprop": (HOLDS, ["output: 0;"]),
    "drop-mask-per-input": (HOLDS, ["128"]),
    "drop-test-halve": (HOLDS, ["0.5", "1024"]),
    "drop-geometric-mean": (HOLDS, ["256", "0.17"]),
    "drop-first-two-fc": (HOLDS, ["fc2048a", "fc2048bb", "fc6, fc7"]),
    "drop-without-overfits": (NOT, ["26", "27"]),
    "drop-doubles-iterations": (NOT, ["91"]),
    "sgd-batch-128": (HOLDS, ["128"]),
    "sgd-momentum-0p9": (HOLDS, ["0.9", "15"]),
    "sgd-weight-decay": (HOLDS, ["0.0005"]),
    "sgd-wd-lowers-train-error": (NOT, ["60,954,656"]),
    "sgd-update-rule": (HOLDS, ["50", "0.30"]),
    "sgd-batch-average": (HOLDS, ["1 / cases"]),
    "init-weights-0p01": (AGAINST, ["0.03", "6 of 15", "conv3a", "conv5b"]),
    "init-bias-one": (HOLDS, ["conv2a 1", "fc2048bb 1"]),
    "init-bias-zero": (HOLDS, ["conv1a 0", "conv3b 0", "fc1000 0"]),
    "init-bias-speeds-start": (NOT, ["1200", "0.35", "99.8%"]),
    "lr-equal-all-layers": (AGAINST, ["68", "72 of 93", "72 of 91", "2000 times", "2 times"]),
    "lr-manual-div-10": (UNDER, ["10, 10, 10"]),
    "lr-start-0p01": (HOLDS, ["0.01"]),
    "lr-three-reductions": (HOLDS, ["23, 51, 78", "25, 51, 79", "22, 44, 86", "20, 48"]),
    "epochs-90": (HOLDS, ["93", "91"]),
}
BY_ID = {claim.id: claim for claim in CLAIMS}


@pytest.fixture(scope="module")
def facts():
    return Facts()


def changed(facts, **fields):
    return dataclasses.replace(facts, **fields)


def verdict(claim, facts):
    return CHECKS[claim](facts).verdict


def test_claims_are_these_once_each():
    assert [claim.id for claim in CLAIMS] == list(dict.fromkeys(claim.id for claim in CLAIMS))
    assert sorted(BY_ID) == sorted(EXPECTED)
    assert set(BY_ID) <= set(CHECKS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_says_where_and_how(claim):
    assert claim.section[0] in "45"
    assert claim.says
    assert claim.how
    assert claim.source


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict_and_evidence(name, facts):
    expected, numbers = EXPECTED[name]
    outcome = CHECKS[name](facts)
    assert outcome.verdict is expected, outcome.evidence
    assert [number for number in numbers if number not in outcome.evidence] == [], outcome.evidence
    assert outcome.evidence.endswith(".")
    assert expected is not NOT or BY_ID[name].needs


# What turns a verdict when a recorded fact, a configuration or the spec changes ------------------------------------------


def fact(name, value):
    return lambda facts: changed(facts, original=facts.original.edit_fact(name, value))


def layers(prefix, **fields):
    return lambda facts: changed(facts, original=facts.original.edit_all("145", prefix, **fields))


def notes(name, line, **fields):
    return lambda facts: changed(facts, original=facts.original.edit_notes(name, line, **fields))


def paper(layer, **fields):
    return lambda facts: changed(facts, paper=facts.paper.edit(layer, **fields))


def side(size):
    return lambda facts: changed(facts, paper=dataclasses.replace(facts.paper, input_shape=(3, size, size)))


def always(facts):
    """Notes in which the colour noise was never switched off."""
    original = facts.original.edit_notes("145", 178, to=0.1).edit_notes("145-2010", 173, to=0.1)
    return changed(facts, original=original)


def initialised(facts):
    """Every weight at 0.01."""
    net = facts.original.net("145")
    for layer in net.learned():
        net = net.edit(layer.name, initW=(0.01,) * len(layer.initW))
    return changed(facts, original=facts.original.with_net(net))


def one_rate(facts):
    """No layer ever has a rate of its own, nor do biases."""
    net = facts.original.net("145")
    for layer in net.learned():
        net = net.edit(layer.name, epsB=max(layer.epsW))
    original = facts.original.with_net(net)
    for name, lines in (("145", (177, 179)), ("145-2010", (172, 174))):
        for line in lines:
            original = original.edit_notes(name, line, where=())
    return changed(facts, original=original)


def no_dropout_after_fc7(facts):
    return changed(facts, paper=facts.paper.swap("drop7"))


TURNS = {
    "classes": ("over-10-bits", paper("fc8", units=100), AGAINST),
    "border": ("aug-patches-flips", fact("crop-border", 14), AGAINST),
    "no chunk": ("aug-independent-per-image", fact("crop-and-flip-shared-by", 1), HOLDS),
    "patch of 225": ("aug-factor-2048", side(225), HOLDS),
    "border of views": ("aug-ten-patches", fact("crop-border", 15), AGAINST),
    "number of views": ("aug-ten-patches", fact("test-patches", 5), AGAINST),
    "scores averaged": ("aug-average-softmax", fact("views-averaged", "scores"), AGAINST),
    "one grey value": ("aug-pca-3x3", fact("colour-pca-values", [121.78]), AGAINST),
    "eigenvalues": ("aug-pca-eigenvalue", fact("colour-noise-multiplies", "eigenvalues"), HOLDS),
    "eigenvalues recorded": ("aug-pca-eigenvalue", fact("colour-pca-values", [389, 1376, 14830]), HOLDS),
    "noise of 0.2": ("aug-pca-sigma-0p1", notes("145", 178, was=0.2), AGAINST),
    "noise to the end": ("aug-pca-always-on", always, HOLDS),
    "keep": ("drop-p-half", layers("hs", keep=0.8), AGAINST),
    "keep at test": ("drop-test-halve", layers("hs1", keep=0.8), AGAINST),
    "no factor at test": ("drop-test-halve", fact("dropout-test-scale", 1.0), AGAINST),
    "doubled in training": ("drop-test-halve", fact("dropout-training-scale", 2.0), AGAINST),
    "one mask a batch": ("drop-mask-per-input", fact("dropout-mask-shape", "units"), AGAINST),
    "dropout on the inputs": ("drop-first-two-fc", layers("hs1a", inputs=("pool3a",)), AGAINST),
    "no dropout on fc7": ("drop-first-two-fc", no_dropout_after_fc7, AGAINST),
    "batch": ("sgd-batch-128", fact("minibatch", 256), AGAINST),
    "momentum of biases": ("sgd-momentum-0p9", layers("conv3b", momB=0.5), AGAINST),
    "decay": ("sgd-weight-decay", layers("fc1000", wc=(0.0, 0.0)), AGAINST),
    "summed gradient": ("sgd-batch-average", fact("gradient-scale", "1"), AGAINST),
    "deviations": ("init-weights-0p01", initialised, HOLDS),
    "biases of Caffe": ("init-bias-one", layers("fc2048", initB=0.1), AGAINST),
    "bias of conv3": ("init-bias-zero", layers("conv3", initB=1.0), AGAINST),
    "one rate": ("lr-equal-all-layers", one_rate, HOLDS),
    "halved": ("lr-manual-div-10", notes("145-2010", 171, to=0.0005), AGAINST),
    "first rate": ("lr-start-0p01", notes("145", 169, was=0.02), AGAINST),
    "two reductions": ("lr-three-reductions", notes("145-2010", 175, where=("conv2",)), AGAINST),
    "longer": ("epochs-90", notes("145", 181, epoch=120.0), AGAINST),
}


@pytest.mark.parametrize("what", TURNS)
def test_verdict_turns_with_the_fact(what, facts):
    claim, change, expected = TURNS[what]
    assert verdict(claim, facts) is not expected
    assert verdict(claim, change(facts)) is expected


# What turns a verdict when what is executed is wrong ---------------------------------------------------------------------


def test_an_early_wait_is_not_parallel(facts, monkeypatch):
    start, prepare, wait = published_results.STEPS_OF_A_BATCH
    monkeypatch.setattr(published_results, "STEPS_OF_A_BATCH", (start, wait, prepare))
    assert verdict("aug-cpu-python-parallel", facts) is AGAINST


def test_noise_for_every_pixel_is_seen(facts, monkeypatch):
    def for_every_pixel(images, noise):
        return images + noise[:, :, None, None] * np.arange(images[0, 0].size).reshape(images.shape[2:])

    monkeypatch.setattr(augmentation, "add_noise", for_every_pixel)
    assert verdict("aug-pca-once-per-image", facts) is AGAINST


def test_one_shift_for_the_whole_batch_is_seen(facts, monkeypatch):
    monkeypatch.setattr(augmentation, "add_noise", lambda images, noise: images + noise[:1, :, None, None])
    assert verdict("aug-pca-once-per-image", facts) is AGAINST


def test_no_flip_is_seen(facts, monkeypatch):
    draw = augmentation.draw_places

    def never_flipped(*args, **more):
        return dataclasses.replace(draw(*args, **more), flipped=np.zeros(args[2], bool))

    monkeypatch.setattr(augmentation, "draw_places", never_flipped)
    assert verdict("aug-patches-flips", facts) is AGAINST


def test_views_that_are_not_reflected_are_seen(facts, monkeypatch):
    monkeypatch.setattr(preprocessing, "reflect", lambda pixels: pixels)
    assert verdict("aug-ten-patches", facts) is AGAINST


def test_a_gradient_through_dropped_units_is_seen(facts, monkeypatch):
    monkeypatch.setattr(dropout, "backward", lambda mask, gradient: gradient)
    assert verdict("drop-no-backprop", facts) is AGAINST


def test_a_mask_that_keeps_too_much_is_seen(facts, monkeypatch):
    monkeypatch.setattr(dropout, "kept_units", lambda uniform, keep: (uniform < keep + 0.1).astype(float))
    assert verdict("drop-p-half", facts) is AGAINST


def test_outputs_that_are_not_halved_are_not_the_geometric_mean(facts, monkeypatch):
    reference = dropout.dropout
    monkeypatch.setattr(
        reference, "masks", lambda units: (np.arange(2**units)[:, None] >> np.arange(units) & 1) * 0.5 + 0.5
    )
    assert verdict("drop-geometric-mean", facts) is AGAINST


def test_the_rate_outside_the_velocity_is_another_rule(facts, monkeypatch):
    monkeypatch.setattr(update_rules, "cuda_convnet", update_rules.torch)
    assert verdict("sgd-update-rule", facts) is AGAINST
