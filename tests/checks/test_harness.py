"""The checks of the checks: verdicts that are not PASS come about when they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy_alexnet
import pytest

from alexnet_parity.checks import catalogue, decision, exact, known, sensitivity
from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.recording import Feed
from alexnet_parity.checks.running import record
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import stimuli, variants
from alexnet_parity.reference.spec import Network, Pool
from alexnet_parity.reference.stimuli import Stimulus

THIN = variants.variant("paper-thin")


def recorded(stimulus):
    return record(numpy_alexnet, stimulus, Feed("paper-thin", stimulus.name))


def test_exact_check_is_blind_where_a_sum_may_round():
    small = stimuli.stimulus(THIN, "exact", 0)
    big = Stimulus("exact", small.network, small.params, small.x * 2**18)
    found = list(exact.chain(recorded(big), Truth(big)))
    assert {f.layer for f in found if f.status is Status.BLIND} >= {"conv2", "fc8"}
    assert not [f for f in found if f.layer == "fc8" and f.status is Status.PASS]


def test_exact_check_is_blind_where_numbers_are_not_whole():
    given = stimuli.stimulus(THIN, "exact", 0)
    fractions = Stimulus("exact", given.network, given.params, given.x + np.float32(0.1))
    assert {f.status for f in exact.chain(recorded(fractions), Truth(fractions))} == {Status.BLIND}


def test_sensitivity_is_blind_at_small_activations():
    large = stimuli.stimulus(THIN, "large", 0)
    weak = Stimulus("large", large.network, large.params, large.x * np.float32(1e-4))
    for name in weak.params:
        if name.endswith("bias"):
            weak.params[name] = weak.params[name] * 0
    blind = {(f.layer, f.expected.split(":")[0]) for f in sensitivity.fields(Truth(weak)) if f.status is Status.BLIND}
    assert ("norm1", "alpha") in blind
    assert ("norm1", "n") in blind


@pytest.mark.parametrize("variant", variants.names())
def test_sensitivity_sees_every_edit_at_large_activations(variant):
    found = list(sensitivity.fields(Truth(stimuli.stimulus(variants.variant(variant), "large", 0))))
    assert {f.status for f in found} <= {Status.PASS, Status.KNOWN}
    assert len([f for f in found if f.status is Status.PASS]) >= (35 if variant.startswith("cifar") else 50)


def test_an_edit_believed_to_change_nothing_that_changes_something_fails():
    edit = next(e for e in sensitivity.EDITS if e.field == "ceil")
    truth = Truth(stimuli.stimulus(THIN, "large", 0))
    believed = replace(edit, same=lambda layer, shape: "believed to be the same")
    layer, inputs, _ = next(row for row in THIN.walk() if row[0].name == "pool1")
    assert sensitivity.judged(believed, layer, inputs, truth).status is Status.FAIL


UNDECIDED = {  # a mean whose sums may round although every number is whole: nine times as much as a float32 holds
    "sums of two to the 24 and more": (2**19, Status.BLIND),
    "smaller sums": (2**15, Status.PASS),
}


@pytest.mark.parametrize(("most", "status"), UNDECIDED.values(), ids=UNDECIDED)
@pytest.mark.parametrize("judge", [exact.chain, exact.local], ids=["chain", "local"])
def test_a_mean_is_judged_exactly_only_where_its_sums_are_exact(judge, most, status):
    network = Network("odd", (3, 9, 15), (Pool("mean", 3, 3, average=True),))
    x = (9 * np.random.default_rng(1).integers(most // 2, most, (2, 3, 9, 15))).astype(np.float32)
    stimulus = Stimulus("exact", network, {}, x)
    found = [f.status for f in judge(recorded(stimulus), Truth(stimulus))]
    assert found == [status] or (status is Status.BLIND and found == [])  # alone, it is left out


def check_that(judge):
    return catalogue.Check("planted-check", judge, ("exact",))


def test_a_check_that_raises_is_an_error():
    def judge():
        raise ZeroDivisionError("oops")
        yield

    (finding,) = catalogue.judge(check_that(judge))
    assert finding.status is Status.ERROR
    assert "ZeroDivisionError: oops" in finding.got


def test_a_check_that_yields_nothing_is_an_error():
    (finding,) = catalogue.judge(check_that(lambda: iter(())))
    assert finding.status is Status.ERROR


def test_what_a_check_found_before_it_raised_is_kept():
    def judge():
        yield Finding(Status.PASS, "conv1")
        raise ZeroDivisionError

    assert [f.status for f in catalogue.judge(check_that(judge))] == [Status.PASS, Status.ERROR]


ENTRY = known.Known("tf_*", "repeat-large", "fc?", "sums in threads", "https://example.org/1")


def finding(status, layer="fc6"):
    return Finding(status, layer, impl="tf_nn", check="repeat-large", variant="paper")


def test_known_deviation_becomes_known_with_its_reason():
    (result,) = known.applied([finding(Status.FAIL)], [ENTRY])
    assert result.status is Status.KNOWN
    assert result.hint == "sums in threads (https://example.org/1)"


def test_known_deviation_that_stopped_deviating_fails():
    (result,) = known.applied([finding(Status.PASS)], [ENTRY])
    assert result.status is Status.FAIL
    assert "no longer deviates" in result.hint


CAUSED = replace(ENTRY, cause="lrn-running-sum")


@pytest.mark.parametrize(
    ("hint", "status"),
    [
        ("agrees if it is so [lrn-running-sum]", Status.KNOWN),
        ("agrees if k is 1 [lrn-k-1]", Status.FAIL),
        ("", Status.FAIL),
    ],
)
def test_a_known_cause_excuses_only_what_it_alone_explains(hint, status):
    failed = replace(finding(Status.FAIL), hint=hint)
    (result,) = known.applied([failed], [CAUSED])
    assert result.status is status


def test_a_known_cause_need_not_show_everywhere():
    (result,) = known.applied([finding(Status.PASS)], [CAUSED])
    assert result.status is Status.PASS


def test_an_entry_that_matches_nothing_is_an_error():
    renamed = replace(ENTRY, layer="dense*")
    *_, last = known.applied([finding(Status.PASS)], [renamed])
    assert last.status is Status.ERROR
    assert "nothing matches" in last.hint


def test_an_entry_for_what_was_not_run_is_no_error():
    assert len(list(known.applied([finding(Status.PASS)], [replace(ENTRY, impl="keras")]))) == 1


def top5_of(change):
    stimulus = stimuli.stimulus(THIN, "photograph", 0)
    recording = recorded(stimulus)
    p = recording.run()["prob"]
    order = np.argsort(-p[0])
    change(p[0], order)
    (found,) = decision.top5(recording, Truth(stimulus))
    return found.status


def exchange(first, second):
    def change(p, order):
        p[order[[first, second]]] = p[order[[second, first]]]

    return change


def test_top5_passes_untouched():
    assert top5_of(lambda p, order: None) is Status.PASS


@pytest.mark.parametrize("pair", [(0, 1), (3, 4), (4, 5), (0, 9)], ids=str)
def test_top5_sees_two_classes_exchanged(pair):
    assert top5_of(exchange(*pair)) is Status.FAIL


def test_top5_sees_nan():
    assert top5_of(lambda p, order: p.__setitem__(order[2], np.nan)) is Status.FAIL


def test_top5_is_blind_where_fifth_and_sixth_are_closer_than_the_bound():
    stimulus = stimuli.stimulus(THIN, "photograph", 0)
    truth = Truth(stimulus)
    truth.tolerances["prob"] = truth.tolerances["prob"] * 1e6
    (found,) = decision.top5(recorded(stimulus), truth)
    assert found.status is Status.BLIND


def test_other_findings_are_left_alone():
    given = [finding(Status.FAIL, "conv1"), finding(Status.ERROR)]
    assert list(known.applied(given, [ENTRY])) == given


def test_every_check_has_a_family_and_says_what_it_does():
    for check in catalogue.CHECKS:
        assert "-" in check.name
        assert check.about
    assert len(set(catalogue.NAMES)) == len(catalogue.NAMES)


@pytest.mark.parametrize("status", list(Status))
def test_only_pass_known_and_unsupported_are_good(status):
    assert Finding(status).good() == (status in ("PASS", "KNOWN", "UNSUPPORTED"))
