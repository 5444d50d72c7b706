"""Sections 6 and 7 on trial: each verdict, the numbers in its evidence, and that it turns when the fact under it does."""

import dataclasses

import pytest

from alexnet_parity.checks.claims import ensembles, results  # (binds the checks)
from alexnet_parity.checks.claims.verdict import CHECKS, Facts, Verdict
from alexnet_parity.reference.claims import published, published_results
from alexnet_parity.reference.claims.results import CLAIMS

HOLDS, AGAINST = Verdict.HOLDS, Verdict.CONTRADICTED
UNDER, NOT = Verdict.UNDERSPECIFIED, Verdict.NOT_CHECKABLE

# id: verdict, numbers that its evidence must have. Of the two first records in Table 1 one half each is published where
# it can be read (an abstract); it agrees, which is part of the evidence and not all of it.
EXPECTED = {
    "res-2010-centre-patch": (HOLDS, ["39.02%", "18.30%"]),
    "res-2010-sparse-coding": (UNDER, ["74.3%", "2.5", "28.2%"]),
    "res-2010-fisher": (UNDER, ["74.3%", "25.7%"]),
    "res-2012-1cnn": (HOLDS, ["40.66%", "18.21%", "135", "40.25%"]),
    "res-2012-5cnn-test": (HOLDS, ["0.16422", "16.4%", "5 nets"]),
    "res-2012-5cnn-val": (NOT, ["18.21%", "18.57%", "16.42%"]),
    "res-2012-5cnn-similar": (UNDER, ["60,870,376", "60,965,224", "64 instead of 96"]),
    "res-2012-1cnn-star": (HOLDS, ["38.99%", "16.62%"]),
    "res-star-pretraining-path": (UNDER, ["Fall 2009", "21,843", "batch 11,295", "1024 + 1024"]),
    "res-sixth-conv": (HOLDS, ["128", "3 x 3", "pool3a, pool3b"]),
    "res-2012-7cnn-test": (HOLDS, ["0.15315", "15.3%", "7 nets"]),
    "res-2012-7cnn-val": (NOT, ["16.62%", "15.3"]),
    "res-7cnn-composition": (AGAINST, ["141", "146.2009", "146.2011", "lacks 135"]),
    "res-val-test-within-0p1": (UNDER, ["0.1", "0.18", "0.02"]),
    "res-second-method": (HOLDS, ["0.26172", "SIFT", "CSIFT"]),
    "res-2009-10184": (HOLDS, ["10,184"]),
    "res-2009-8p9m": (NOT, ["8800", "9.01"]),
    "res-2009-half-split": (UNDER, ["4346", "3718", "6491"]),
    "res-2009-67p4-40p9": (NOT, ["69.42%", "43.65%", "2.0"]),
    "res-2009-best-published": (NOT, ["83.3%", "5.2"]),
    "qual-fig3-96-kernels": (HOLDS, ["48 of 11 x 11 x 3"]),
    "qual-colour-specialisation": (NOT, []),
    "qual-fig4-top5": (NOT, []),
    "qual-fig4-distance": (HOLDS, ["4096", "200 of 200"]),
    "qual-pixel-l2": (NOT, []),
    "disc-middle-layer-2pct": (NOT, ["145 (5)", "146-2012-2011 (6)"]),
    "disc-no-unsupervised": (HOLDS, ["0 of the 15", "16"]),
    "disc-larger-longer-better": (UNDER, ["135", "0.41", "1.70", "114", "130"]),
}
BY_ID = {claim.id: claim for claim in CLAIMS}


@pytest.fixture(scope="module")
def facts():
    return Facts()


def verdict(claim, facts):
    return CHECKS[claim](facts).verdict


def test_claims_are_these_once_each():
    assert [claim.id for claim in CLAIMS] == list(dict.fromkeys(claim.id for claim in CLAIMS))
    assert sorted(BY_ID) == sorted(EXPECTED)
    assert set(BY_ID) <= set(CHECKS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_says_where_and_how(claim):
    assert claim.section
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


# What turns a verdict when the notes, a configuration or a recorded fact changes -----------------------------------------


def original(edit):
    return lambda facts: dataclasses.replace(facts, original=edit(facts.original))


def notes(name, line, **fields):
    return original(lambda code: code.edit_notes(name, line, **fields))


def layers(net, prefix, **fields):
    return original(lambda code: code.edit_all(net, prefix, **fields))


def fact(name, value):
    return original(lambda code: code.edit_fact(name, value))


def five_alike(code):
    """137 as 145 is."""
    return code.with_net(dataclasses.replace(code.net("145"), name="137"))


TURNS = {
    "centre patch": ("res-2010-centre-patch", notes("145-2010", 180, top5=0.19), AGAINST),
    "one net": ("res-2012-1cnn", notes("145", 182, top1=0.4076), AGAINST),
    "pre-trained net": ("res-2012-1cnn-star", notes("146-2012-2011", 195, top5=0.1671), AGAINST),
    "similar": ("res-2012-5cnn-similar", original(five_alike), HOLDS),
    "sixth over one half": ("res-sixth-conv", layers("146-2012-2011", "conv6", inputs=("pool3a",)), AGAINST),
    "sixth gone": ("res-sixth-conv", layers("146-2012-2011", "conv6", name="conv5c"), AGAINST),
    "sets agree": ("res-val-test-within-0p1", notes("137", 181, top1=0.3765), HOLDS),
    "categories": ("res-2009-10184", fact("outputs-146-2009", 10000), AGAINST),
    "fewer files": ("res-2009-8p9m", fact("largest-batch-2009", 8000), AGAINST),
    "both halves": ("res-2009-half-split", fact("largest-batch-146-2009", 4000), HOLDS),
    "no half": ("res-2009-half-split", fact("largest-batch-141-2009-half", 5000), AGAINST),
    "kernels": ("qual-fig3-96-kernels", layers("145", "conv1a", filters=64), AGAINST),
    "one GPU": ("qual-fig3-96-kernels", layers("145", "conv1", gpu=0), AGAINST),
    "city blocks": ("qual-fig4-distance", fact("similarity", "sum of absolute differences of 4096 features"), AGAINST),
    "features": ("qual-fig4-distance", fact("similarity", "squared Euclidean distance of 1000 features"), AGAINST),
    "weights taken over": ("disc-no-unsupervised", layers("145", "conv1", other={"initWFunc": "x"}), AGAINST),
}


@pytest.mark.parametrize("what", TURNS)
def test_verdict_turns_with_the_fact(what, facts):
    claim, change, expected = TURNS[what]
    assert verdict(claim, facts) is not expected
    assert verdict(claim, change(facts)) is expected


# What turns a verdict when a published figure changes --------------------------------------------------------------------


def page(monkeypatch, index, **fields):
    entries = list(published.ENTRIES_2012)
    entries[index] = dataclasses.replace(entries[index], **fields)
    monkeypatch.setattr(published, "ENTRIES_2012", tuple(entries))


@pytest.mark.parametrize(
    ("index", "fields", "claim", "expected"),
    [
        (0, {"error": 0.1541}, "res-2012-7cnn-test", AGAINST),
        (0, {"file": "test-preds-141-131"}, "res-2012-7cnn-test", AGAINST),
        (1, {"error": 0.1651}, "res-2012-5cnn-test", AGAINST),
        (0, {"file": "test-preds-131-137-145-135-145f-146.2011-147.2011"}, "res-7cnn-composition", HOLDS),
        (2, {"about": "Fisher vectors of SIFT"}, "res-second-method", AGAINST),
    ],
)
def test_verdict_turns_with_the_contest_page(index, fields, claim, expected, facts, monkeypatch):
    assert verdict(claim, facts) is not expected
    page(monkeypatch, index, **fields)
    monkeypatch.setitem(published_results.PRETRAINED, "147.2011", "Fall 2011")
    assert verdict(claim, facts) is expected


def test_verdict_turns_with_the_abstract(facts, monkeypatch):
    monkeypatch.setattr(published_results, "SIGNATURES_TOP5", 0.75)
    assert verdict("res-2010-fisher", facts) is AGAINST
    assert verdict("res-2010-sparse-coding", facts) is AGAINST


def test_verdict_turns_with_the_pretraining_path(facts, monkeypatch):
    monkeypatch.setattr(published_results, "PRETRAINING", ("Fall 2011", "ILSVRC-2012"))
    assert verdict("res-star-pretraining-path", facts) is HOLDS


def test_a_table_with_a_difference_of_its_own_is_against_the_claim(facts, monkeypatch):
    monkeypatch.setitem(results.TABLE_2, "7 CNNs*", (15.4, 15.2))
    assert verdict("res-val-test-within-0p1", facts) is AGAINST


def test_verdict_turns_if_larger_nets_did_better(facts, monkeypatch):
    better = tuple(dataclasses.replace(net, better=True) for net in published_results.LARGER)
    monkeypatch.setattr(published_results, "LARGER", better)
    assert verdict("disc-larger-longer-better", facts) is HOLDS
    worse = notes("145", 203, top1=0.42)(facts)
    assert verdict("disc-larger-longer-better", worse) is AGAINST


def test_parts_of_an_entry():
    assert ensembles.parts(published.Entry("us", "test-preds-7-8.2009-9f", 0.5, "")) == ["7", "8.2009", "9f"]


@pytest.mark.parametrize(("share", "printed"), [(0.390247, 39.0), (0.40664, 40.7), (0.16422, 16.4), (0.1821, 18.2)])
def test_percent_as_printed(share, printed):
    assert ensembles.percent(share) == printed
