"""Annotations and job summaries: escaped, few enough, at the caller's line."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from alexnet_parity.checks.audit.result import ANOTHER, Audit, Deviation, Row, verdict_of
from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.reports import github, junit, places
from alexnet_parity.reports.findings_file import Findings
from alexnet_parity.reports.github import MOST, Annotation


def finding(status=Status.FAIL, layer="conv1", **fields):
    given = {"impl": "mine.py", "variant": "paper", "check": "local-large", "expected": "bits", "got": "others"}
    return Finding(status, layer, **(given | fields))


def found(*rows):
    return Findings(rows, {"runs": [], "digests": {}})


def test_a_command_is_one_line_whatever_it_says():
    told = Annotation("error", "50%: a,b\nc", "100 %\r\n::warning::stolen", "a,b:c.py", 7).command()
    assert told == ("::error file=a%2Cb%3Ac.py,line=7,title=50%25%3A a%2Cb%0Ac::100 %25%0D%0A::warning::stolen")
    assert Annotation("notice", "t", "m").command() == "::notice title=t::m"


def test_what_is_quoted_holds_no_command():
    quoted = list(github.quoted(["::error::stolen", "fine"]))
    token = quoted[0].removeprefix("::stop-commands::")
    assert len(token) == 32
    assert quoted[1:] == ["::error::stolen", "fine", f"::{token}::"]
    assert next(github.quoted([])) != quoted[0]


def test_a_layer_is_told_once_the_first_departure_first(tmp_path):
    rows = [finding(layer="conv3"), finding(layer="conv2", check="chain-large"), finding(layer="conv2", hint="a hint")]
    told = github.of_findings(found(*rows), tmp_path)
    assert [one.title for one in told] == ["FAIL: local-large conv2 (paper)", "FAIL: local-large conv3 (paper)"]
    assert "a hint" in told[0].message


def test_no_more_than_github_keeps(tmp_path):
    rows = [finding(layer=f"layer{n}") for n in range(MOST + 3)]
    told = github.of_findings(found(*rows), tmp_path)
    assert len(told) == MOST
    assert told[-1].title == "and 4 more"
    assert len(github.of_findings(found(*rows[:MOST]), tmp_path)) == MOST


def test_what_deviates_as_recorded_is_a_notice_and_of_the_oracle_none(tmp_path):
    rows = [finding(Status.KNOWN, layer, hint="a reason") for layer in ("norm1", "norm2")]
    told = github.of_findings(found(*rows, finding(Status.KNOWN, impl="oracle"), finding(Status.PASS)), tmp_path)
    assert [(one.level, one.title, one.message) for one in told] == [
        ("notice", "KNOWN: local-large norm1, norm2 (paper)", "a reason")
    ]


def test_a_summary_fits_and_says_that_something_is_left_out():
    rows = [finding(layer=f"layer{n}", got="x" * 20_000) for n in range(100)]
    text = github.summary_of_findings(found(*rows))
    assert len(text.encode()) <= github.LARGEST
    assert text.startswith("## alexnet-parity verify: FAIL\n")
    assert "too long for a job summary" in text


def test_text_of_a_stranger_is_no_markup_in_a_summary():
    text = github.summary_of_findings(found(finding(got="<script>|`x`|\n# head", hint="[a](b)")))
    assert "<script>" not in text
    assert "\n# head" not in text
    assert "[a](b)" not in text


SOURCE = """import torch

alexnet = object()


class Net:
    pass


def build(network, params):
    pass
"""


@pytest.mark.parametrize(
    "target, line",
    [
        ("mine.py", 10),
        ("mine.py:Net", 6),
        ("mine.py:Net.inner(num_classes=17)", 6),
        ("mine.py:alexnet", 3),
        ("mine.py:none", 1),
        ("mine", 10),
        ("pack.inner", 10),
        ("mine.py@unaligned", 10),
    ],
)
def test_a_place_is_found_without_importing(target, line, tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    for name in ("mine.py", "pack/inner.py"):
        (tmp_path / name).write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    place = places.place(target)
    assert place.line == line
    assert place.below(tmp_path) == ("pack/inner.py" if target == "pack.inner" else "mine.py")
    assert place.below(tmp_path / "pack") == ("inner.py" if target == "pack.inner" else "")


@pytest.mark.parametrize("target", ["no.such.module", "none.py", "broken.py", ""])
def test_what_has_no_place_has_none(target, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def build(:\n")
    monkeypatch.chdir(tmp_path)
    assert places.place(target).line == 1


@pytest.mark.parametrize(
    "target, model",
    [("mine.py", False), ("mine.py:Net", True), ("a.b:c", True), ("torch", False), ("n.onnx", True), ("t.pt2", True)],
)
def test_models_are_told_from_implementations(target, model):
    assert places.is_model(target) is model


# Audits -----------------------------------------------------------------------------------------------------------------

LRN = Deviation("norm1", "lrn-k", "deviation", "k = 1", "k = 2", "moves", "k=2 is the paper's", "Section 3.3", "f.2")
CEIL = Deviation("pool1", "pool-ceil", "convention", "28", "27", "", "ceil_mode", "", agrees_with=("caffe",))
ODD = Deviation("conv1", "", "unexplained", "times 1.5", "conv1", "all moves", "no entry explains it", "")
ROWS = tuple(Row(f"f.{n}", "", f"a {name}", name, (3, 5, 4), 0.1) for n, name in enumerate(("conv1", "relu1", "norm1")))


def audit_of(*deviations, verdict=""):
    said = verdict or verdict_of(deviations)
    return Audit("mine.py:net", "torch", "paper", said, deviations, ROWS, ("a note",), (3, 9, 8), 2)


@pytest.mark.parametrize(
    "fail_on, levels",
    [("deviation", ["error", "error", "notice"]), ("unexplained", ["error", "warning", "notice"])],
)
def test_deviations_are_errors_where_they_count(fail_on, levels, tmp_path):
    audit = audit_of(LRN, CEIL, ODD)
    told = github.of_audit(audit, fail_on, tmp_path)
    assert [one.level for one in told] == levels
    assert [one.title.partition(":")[0] for one in told] == ["unexplained", "deviation", "convention"]
    assert told[2].message == "found 28, expected 27\nas in caffe\nceil_mode"
    assert github.first_deviation(audit) == "conv1: found times 1.5, expected conv1"
    cases = ElementTree.fromstring(junit.of_audit(audit, fail_on).partition("\n")[2]).findall(".//testcase")
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    assert failed == ["conv1"] + (["norm1 (f.2) [lrn-k]"] if fail_on == "deviation" else [])
    assert [case.get("name") for case in cases] == [
        "relu1: a relu1",
        "conv1",
        "norm1 (f.2) [lrn-k]",
        "pool1 [pool-ceil]",
    ]


def test_what_is_no_alexnet_is_one_error_and_one_failure(tmp_path):
    audit = audit_of(verdict=ANOTHER)
    assert [one.title for one in github.of_audit(audit, "unexplained", tmp_path)] == ["no AlexNet"]
    assert github.first_deviation(audit).startswith("NO ALEXNET")
    suite = ElementTree.fromstring(junit.of_audit(audit).partition("\n")[2]).find("testsuite")
    assert suite.get("failures") == "1"


def test_an_audit_without_deviations_is_told_as_good():
    audit = audit_of()
    assert github.first_deviation(audit) == ""
    assert github.summary_of_audit(audit, "deviation").startswith("## alexnet-parity audit: PASS\n")
    assert 'failures="0"' in junit.of_audit(audit)
