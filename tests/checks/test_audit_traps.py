"""The catalogue on trial in NumPy: every mistake is detected, located and named, pairs too, and nothing is where nothing is."""

from __future__ import annotations

import pytest

from alexnet_parity.checks import traps
from alexnet_parity.checks.audit import naming, trial
from alexnet_parity.reference import variants
from tests.support.numpy_subject import Subject

POSED_ELSEWHERE = {"lrn-running-sum"}  # the layer is right and only rounds more: test_running_sum.py
ENTRIES = [trap.id for trap in traps.TRAPS if trap.id not in POSED_ELSEWHERE]
EDITS = [trap.id for trap in traps.TRAPS if trap.layer or trap.network][
    ::5
]  # without hints each takes a second or more
PAIRS, PIECES, SEEDS = 200, 8, 200
THIN = [name for name in variants.names() if name.endswith("-thin")]


def pose(network, tricks, params):
    return Subject(network, params, tricks)


def without_hints(network, tricks, params):
    return Subject(network, params, tricks, hints=False)


@pytest.mark.parametrize("trap", ENTRIES)
def test_each_mistake_is_detected_located_and_named(trap):
    outcome = trial.judge(trial.case_of(trap), "numpy", pose)
    assert outcome.posed
    assert outcome.good, outcome


@pytest.mark.parametrize("trap", EDITS)
def test_each_other_network_is_named_from_its_numbers_alone(trap):
    outcome = trial.judge(trial.case_of(trap), "numpy", without_hints)
    assert outcome.posed
    assert outcome.good, outcome


@pytest.mark.parametrize("part", range(2))
def test_nine_pairs_in_ten_are_named(part):
    """Every fourth one; all of them: `alexnet-parity traps`."""
    cases = trial.pairs(PAIRS)[part::8]
    outcomes = [trial.judge(case, "numpy", pose) for case in cases]
    unnamed = [(one.trap, one.layer, one.said) for one in outcomes if not one.named]
    assert len(unnamed) <= 0.1 * len(cases), unnamed


@pytest.mark.parametrize("piece", range(PIECES))
def test_nothing_is_reported_of_the_paper_at_any_seed(piece):
    found = [trial.alarm("numpy", pose, "paper-thin", seed) for seed in range(piece, SEEDS, PIECES)]
    assert not any(found), found


@pytest.mark.parametrize("variant", THIN)
def test_nothing_is_reported_of_a_variant_against_itself(variant):
    assert trial.alarm("numpy", pose, variant, 0) is None


# What is posed --------------------------------------------------------------------------------------------------------


def test_only_the_running_sum_is_posed_elsewhere():
    assert {trap.id for trap in traps.TRAPS if trap.tolerance} == POSED_ELSEWHERE
    outcome = trial.judge(trial.case_of("lrn-running-sum"), "numpy", pose)
    assert not outcome.posed
    assert "test_running_sum" in outcome.reason


def test_every_entry_has_a_place():
    assert [trap.id for trap in traps.TRAPS if trial.case_of(trap.id) is None] == []


def test_pairs_are_the_same_for_the_same_seed_and_no_pair_comes_twice():
    first, again, other = trial.pairs(40, 3), trial.pairs(40, 3), trial.pairs(40, 4)
    assert first == again != other
    assert len({frozenset(zip(case.ids, case.at, strict=True)) for case in first}) == 40


def test_pairs_are_two_mistakes_and_no_single_one():
    alone = trial.single_signatures("paper-thin")
    for case in trial.pairs(40):
        assert len(set(case.ids)) == 2
        edits = [trap for trap in case.mistakes if trap.layer or trap.network]
        assert len(edits) < 2 or traps.signature(case.network) not in alone


@pytest.mark.parametrize(
    ("ids", "at"),
    [
        (("stride-2", "stride-3"), ("conv1", "conv1")),  # the second takes the first's place
        (("lrn-missing", "lrn-k-1"), ("norm1", "norm1")),  # nothing left to edit
        (("bias-missing", "bias-doubled"), ("conv1", "conv1")),
        (("tf32", "weights-tf32"), ("conv1", "conv1")),
        (("init-zero-bias", "bias-missing"), ("conv2", "conv2")),
        (("init-std-005", "init-he-normal"), ("conv1", "conv1")),
    ],
    ids=str,
)
def test_mistakes_that_undo_or_hide_one_another_are_no_pair(ids, at):
    base = trial.Case("paper-thin", variants.variant("paper-thin"))
    assert trial.composed(base, ids, at) is None


def test_two_that_partly_cancel_are_a_pair():
    base = trial.Case("paper-thin", variants.variant("paper-thin"))
    case = trial.composed(base, ("lrn-n-9", "lrn-alpha-over-n"), ("norm1", "norm1"))
    assert (case.network["norm1"].n, case.network["norm1"].alpha) == (9, pytest.approx(1e-4 / 9))


# First values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "std", "widest"), [("normal", 1.0, 4.4), ("uniform", 1.0, 3**0.5), ("truncated", 0.8796, 2.0)]
)
def test_laws_are_drawn_with_their_spread(law, std, widest):
    numbers = trial.quantiles(law)
    assert numbers.std() == pytest.approx(std, rel=1e-3)
    assert abs(numbers).max() == pytest.approx(widest, rel=0.02)
    assert abs(numbers.mean()) < 1e-6


def test_laws_that_few_numbers_cannot_tell_apart_are_set_where_there_are_more():
    where = trial.entries_of("paper-thin")["init-xavier-normal"]
    assert "conv1" not in where  # 0.0295 there, beside 0.03 of another entry
    assert "conv3" in where


# How loose comparisons fare -------------------------------------------------------------------------------------------


def test_loose_comparisons_notice_what_they_can():
    assert trial.loose(trial.case_of("classes")) == dict.fromkeys(trial.LOOSE, True)
    units = trial.loose(trial.case_of("units-512"))
    assert not units.pop("final shape")
    assert all(units.values())
    for trap in ("init-zero-bias", "dropout-40", "lrn-k-1"):
        assert not any(trial.loose(trial.case_of(trap)).values()), trap
    always = trial.loose(trial.case_of("softmax-missing"))
    assert always["allclose 1e-3"]
    assert not always["parameter count"]


# The trial can fail ---------------------------------------------------------------------------------------------------


def test_an_audit_that_has_lost_an_entry_fails_the_trial(monkeypatch):
    everything = naming.distinct
    monkeypatch.setattr(naming, "distinct", lambda *a: [pair for pair in everything(*a) if pair[0].id != "pad-1"])
    outcome = trial.judge(trial.case_of("pad-1"), "numpy", pose)
    assert (outcome.detected, outcome.named, outcome.good) == (True, False, False)


def test_an_audit_that_sees_nothing_fails_the_trial(monkeypatch):
    monkeypatch.setattr(trial.engine.Judged, "deviations", lambda self: iter(()))
    outcome = trial.judge(trial.case_of("lrn-k-1"), "numpy", pose)
    assert (outcome.detected, outcome.located, outcome.named, outcome.said) == (False, False, False, ())


def test_an_audit_that_breaks_off_fails_the_trial_and_no_more(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("planted")

    monkeypatch.setattr(trial.engine, "audit", broken)
    outcome = trial.judge(trial.case_of("lrn-k-1"), "numpy", pose)
    assert not outcome.good
    assert "planted" in outcome.said[0]
    assert "planted" in trial.alarm("numpy", pose, "paper-thin", 0).said[0]


def test_a_mistake_in_what_should_have_none_is_an_alarm():
    def mistaken(network, tricks, params):
        return Subject(network.edit("norm1", k=1.0), params, tricks)

    assert trial.alarm("numpy", mistaken, "paper-thin", 0).said == ("lrn-k-1 at norm1",)
