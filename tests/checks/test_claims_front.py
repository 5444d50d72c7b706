"""The abstract, the introduction and Section 2 on trial: each verdict, its numbers, and that it turns with its facts."""

import dataclasses

import numpy as np
import pytest
from harness import NUMPY

from alexnet_parity.checks.claims import data, front, logged  # noqa: F401  (front binds its checks)
from alexnet_parity.checks.claims.verdict import CHECKS, Facts, Outcome, Verdict
from alexnet_parity.reference import preprocessing, variants
from alexnet_parity.reference.claims import published
from alexnet_parity.reference.claims.front import CLAIMS
from alexnet_parity.reference.original_code.code import OriginalCode

HOLDS, AGAINST = Verdict.HOLDS, Verdict.CONTRADICTED
UNDER, NOT = Verdict.UNDERSPECIFIED, Verdict.NOT_CHECKABLE

# id: verdict, numbers that its evidence must have
EXPECTED = {
    "abs-train-1p2m": (HOLDS, ["1,200,000", "1000", "9,375"]),
    "abs-2010-test-errors": (HOLDS, ["0.374727", "0.169987", "37.5%", "17.0%", "56,209", "25,498"]),
    "abs-60m-params": (HOLDS, ["60,965,224", "+1.6%", "62,378,344", "+4.0%"]),
    "abs-650k-neurons": (HOLDS, ["659,272", "+1.4%"]),
    "abs-layer-inventory": (HOLDS, ["5 conv", "3 fc", "3 pool", "1000-way"]),
    "abs-2012-15p3": (HOLDS, ["0.15315", "0.16422", "0.26172"]),
    "abs-2012-second-26p2": (HOLDS, ["0.26172"]),
    "intro-conv-max-1pct": (AGAINST, ["1.45%", "1.09%", "0.06%", "2.13%"]),
    "intro-remove-conv-hurts": (NOT, ["5 to 6"]),
    "intro-public-code": (UNDER, ["dropout", "fixed at 1", "one GPU"]),
    "time-5-6-days": (NOT, ["724,406,816", "1.09 to 0.91", "34 to 29%", "3.16"]),
    "gpu-memory-limit": (NOT, ["732 MB", "3.22 GB"]),
    "data-imagenet-15m-22k": (UNDER, ["21,843", "11,566,080"]),
    "data-ilsvrc-pascal": (HOLDS, ["2010", "PASCAL"]),
    "data-1000-per-class": (HOLDS, ["1,200", "20%"]),
    "data-split-sizes": (HOLDS, ["1,200,000", "50,000", "150,000", "6 of 6", "10 of 10", "147"]),
    "data-most-on-2010": (UNDER, ["headline, one GPU", "no normalisation, pooling"]),
    "data-top5-definition": (HOLDS, ["0.5 each", "0 in Caffe", "1 and 0 by index"]),
    "data-256-short-side": (HOLDS, ["256 x 256", "2.0 across and 2.0 down", "bit for bit"]),
    "data-mean-subtraction": (UNDER, ["centre", "2.2", "3.5"]),
    "data-no-other-preprocessing": (AGAINST, ["1.1", "68 of 93", "10%"]),
    "data-raw-rgb": (HOLDS, ["0 to 255", "-116"]),
}


@pytest.fixture(scope="module")
def recorded():
    return OriginalCode.recorded()


def outcome(name: str, **facts: object) -> Outcome:
    return CHECKS[name](Facts(**facts))


def test_each_claim_is_there_once_and_has_words_and_a_source():
    assert [claim.id for claim in CLAIMS] == list(EXPECTED)
    assert all(claim.says and claim.source and claim.how and claim.section for claim in CLAIMS)


def test_what_cannot_be_checked_says_what_it_would_take():
    needs = {claim.id for claim in CLAIMS if claim.needs}
    assert needs == {name for name, (verdict, _) in EXPECTED.items() if verdict is NOT}


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict_and_the_numbers_in_its_evidence(name):
    verdict, numbers = EXPECTED[name]
    found = outcome(name)
    assert found.verdict is verdict, found.evidence
    assert not [number for number in numbers if number not in found.evidence], found.evidence


def test_an_implementation_of_numpy_agrees():
    found = outcome("data-top5-definition", impls=(NUMPY,))
    assert found.verdict is HOLDS
    assert NUMPY in found.evidence


# The network as specified ---------------------------------------------------------------------------------------------

PAPERS = {
    "abs-60m-params": (lambda p: p.edit("fc6", units=8192), AGAINST),
    "abs-650k-neurons": (lambda p: p.edit("conv1", channels=128, stride=4), AGAINST),
    "abs-layer-inventory": (lambda p: p.edit("fc8", units=21843), AGAINST),
    "intro-conv-max-1pct": (lambda p: p.edit("fc6", units=8192), HOLDS),
    "time-5-6-days": (lambda p: p.edit("conv3", channels=5000).edit("conv4", channels=5000), AGAINST),
    "gpu-memory-limit": (lambda p: p.edit("fc6", units=25000), HOLDS),
}


@pytest.mark.parametrize("name", PAPERS)
def test_turns_with_the_network(name):
    edit, verdict = PAPERS[name]
    found = outcome(name, paper=edit(variants.variant("paper-224")))
    assert found.verdict is verdict, found.evidence


# The authors' files ---------------------------------------------------------------------------------------------------

ORIGINALS = {
    "a percent more errors": ("abs-2010-test-errors", lambda o: o.edit_notes("145-2010", 178, top1=0.384727), AGAINST),
    "no whole number of errors": (
        "abs-2010-test-errors",
        lambda o: o.edit_notes("145-2010", 178, top1=0.37473),
        AGAINST,
    ),
    "wider dense layers": ("abs-60m-params", lambda o: o.edit_all("145", "fc2048", outputs=4096), AGAINST),
    "22,843 categories": ("data-imagenet-15m-22k", lambda o: o.edit_fact("outputs-146-2011", [11422, 11421]), AGAINST),
    "22,100 categories": ("data-imagenet-15m-22k", lambda o: o.edit_fact("outputs-146-2011", [11050, 11050]), HOLDS),
    "test files of 2012": ("data-split-sizes", lambda o: o.edit_fact("test-batches-2010", [3000, 3097]), AGAINST),
    "a rate of other images": ("data-split-sizes", lambda o: o.edit_notes("147", 174, top1=0.410571), AGAINST),
    "top 1": ("data-top5-definition", lambda o: o.edit("145", "logprob", topk=1), AGAINST),
    "images of 288": ("data-256-short-side", lambda o: o.edit_fact("image-side", 288), AGAINST),
    "the mean aligned": ("data-mean-subtraction", lambda o: o.edit_fact("mean-crop", "aligned"), HOLDS),
    "no division": ("data-no-other-preprocessing", lambda o: o.edit_fact("noisy-input-divisor", 1.0), HOLDS),
    "never any noise": ("data-no-other-preprocessing", lambda o: o.edit_notes("145-2010", 173, was=0.0), HOLDS),
    "both ablations on the test set": (
        "data-most-on-2010",
        lambda o: o.edit_notes("147", 174, split="test").edit_notes("148", 148, split="test"),
        HOLDS,
    ),
}


@pytest.mark.parametrize("change", ORIGINALS)
def test_turns_with_the_original_code(recorded, change):
    name, edit, verdict = ORIGINALS[change]
    found = outcome(name, original=edit(recorded))
    assert found.verdict is verdict, found.evidence


def test_public_code_that_has_it_all_would_do(recorded, monkeypatch):
    monkeypatch.setattr(published, "CUDA_CONVNET_TYPES", published.CUDA_CONVNET_TYPES | {"hs"})
    limits = {"dropout": True, "several_gpus": True, "lrn_offset": 2}
    assert outcome("intro-public-code").verdict is UNDER
    assert outcome("intro-public-code", original=recorded.edit_fact("public-2012-layers", limits)).verdict is HOLDS


# Published pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, change",
    [
        ("abs-train-1p2m", {"training": 1_300_000}),
        ("data-ilsvrc-pascal", {"held_with": "nothing else"}),
        ("data-1000-per-class", {"categories": 10_184}),
        ("data-split-sizes", {"validation": 100_000}),
    ],
)
def test_turns_with_the_contest(monkeypatch, name, change):
    monkeypatch.setattr(published, "CONTEST_2010", dataclasses.replace(published.CONTEST_2010, **change))
    assert outcome(name).verdict is AGAINST


@pytest.mark.parametrize("name, without", [("abs-2012-15p3", 0), ("abs-2012-second-26p2", 2)])
def test_turns_with_the_results_of_2012(monkeypatch, name, without):
    entries = published.ENTRIES_2012
    monkeypatch.setattr(published, "ENTRIES_2012", entries[:without] + entries[without + 1 :])
    assert outcome(name).verdict is AGAINST


# What is executed -----------------------------------------------------------------------------------------------------


def squashed(image, size=256):
    """The whole image made square, as many a tutorial does."""
    return np.asarray(image.convert("RGB").resize((size, size)), np.float32).transpose(2, 0, 1)


def test_squashing_is_no_cropping(monkeypatch):
    monkeypatch.setattr(preprocessing, "shorter_side", squashed)
    found = outcome("data-256-short-side")
    assert found.verdict is AGAINST
    assert "0.3 across and 2.0 down" in found.evidence


def test_blue_first_is_no_raw_rgb(monkeypatch):
    real = preprocessing.shorter_side
    monkeypatch.setattr(preprocessing, "shorter_side", lambda image: real(image)[::-1])
    assert outcome("data-raw-rgb").verdict is AGAINST


def test_pixels_from_0_to_1_are_no_raw_rgb(monkeypatch):
    real = preprocessing.shorter_side
    monkeypatch.setattr(preprocessing, "shorter_side", lambda image: real(image) / 255)
    assert outcome("data-raw-rgb").verdict is AGAINST


def test_credit_for_the_fifth_place_and_its_ties():
    scores = np.array([1.0, 7, 6, 5, 4, 3, 3, 3, 0])
    assert [data.credit(scores, label, "shared") for label in (1, 5, 0)] == [1, 1 / 3, 0]
    assert [data.credit(scores, label, "against") for label in (4, 5)] == [1, 0]
    assert [data.credit(scores, label, "index") for label in (5, 6, 7)] == [1, 0, 0]


def test_twins_are_counted_once(recorded):
    assert logged.levels(recorded.net("145").of_type("fc")) == ["fc2048", "fc2048b", "fc1000"]
