"""Findings files are written whole and read with suspicion."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.reports import files, findings_file, github, junit, parity
from alexnet_parity.reports.findings_file import BadFile, Findings

DIGESTS = {"paper/exact": {"params": "a" * 64, "input": "b" * 64}}


def finding(status=Status.PASS, **fields):
    given = {"layer": "conv1", "impl": "torch", "variant": "paper", "check": "exact-chain", "replay": "alexnet-parity"}
    return Finding(status, **{**given, "expected": "bits", "got": "bits", **fields})


def findings(*rows, digests=DIGESTS):
    environment = findings_file.environment({"torch": {"torch": "2"}}, 0, "cpu", digests)
    return Findings(
        rows or (finding(), finding(layer="conv2", error_over_bound=0.5, numbers={"rmse": 1e-7})), environment
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "findings.json"
    files.write(path, findings().as_json())
    return path


def test_what_is_written_is_read(path):
    assert findings_file.read(path) == findings()


def test_json_has_the_documented_keys(path):
    document = json.loads(path.read_text())
    assert set(document) == {"schema", "sha256", "environment", "summary", "findings"}
    assert document["summary"] == {
        "PASS": 2, "FAIL": 0, "KNOWN": 0, "UNSUPPORTED": 0, "BLIND": 0, "ERROR": 0, "verdict": "PASS",
    }  # fmt: skip
    keys = {
        "check",
        "impl",
        "variant",
        "layer",
        "status",
        "expected",
        "got",
        "error_over_bound",
        "source",
        "hint",
        "replay",
    }
    assert keys <= set(document["findings"][0])


@pytest.mark.parametrize("status", ["FAIL", "ERROR", "BLIND"])
def test_one_bad_finding_makes_the_verdict_fail(status):
    assert findings(finding(), finding(Status(status))).summary["verdict"] == "FAIL"


@pytest.mark.parametrize("status", ["KNOWN", "UNSUPPORTED"])
def test_known_and_unsupported_do_not(status):
    assert findings(finding(), finding(Status(status))).summary["verdict"] == "PASS"


def test_no_findings_are_no_pass():
    assert findings_file.summary(())["verdict"] == "FAIL"


def outcome(path, content: bytes):
    """What a file of this content is read as, and why it is refused."""
    path.write_bytes(content)
    try:
        return findings_file.read(path), ""
    except BadFile as error:
        return None, str(error)


def refused(path, content: bytes) -> bool:
    """Is it, in one line with the file's name?"""
    found, words = outcome(path, content)
    return found is None and str(path) in words and len(words.splitlines()) == 1


def test_a_file_cut_short_anywhere_is_refused_or_read_right(path):
    whole, right = path.read_bytes(), findings_file.read(path)
    assert all(refused(path, whole[: len(whole) * percent // 100]) for percent in range(100))
    assert outcome(path, whole) == (right, "")


def test_a_file_with_any_bit_of_its_head_flipped_is_refused(path):
    whole = path.read_bytes()
    head = whole.index(b'"findings": [')
    for place in range(8 * head):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        assert refused(path, bytes(changed)), f"bit {place % 8} of byte {place // 8}: {whole[place // 8 :][:20]}"


def test_a_digit_of_a_finding_that_was_changed_is_seen(path):
    assert b"1e-07" in (whole := path.read_bytes())
    assert refused(path, whole.replace(b"1e-07", b"2e-07"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n",
        lambda text: json.dumps(json.loads(text)),
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"sha256": "', '"sha256": "A', 1),
    ],
    ids=["other line ends", "a line more", "laid out anew", "a byte order mark", "another digest"],
)
def test_text_that_is_not_as_it_was_written_is_refused(path, change):
    assert refused(path, change(path.read_text()).encode())


def test_the_seal_covers_everything_but_its_own_digits(path):
    text = path.read_text()
    assert findings_file.sealed(text) == text
    assert findings_file.sealed(text.replace(json.loads(text)["sha256"], "f" * 64)) == text
    assert findings_file.sealed(text.replace("conv1", "conv9")) != text.replace("conv1", "conv9")


def edited(path, change):
    """The file changed by somebody who seals it again."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(findings_file.sealed(json.dumps(document, indent=1)))


EDITS = {
    "another schema": (lambda d: d.update(schema="alexnet-parity/findings/0"), "schema"),
    "a key missing": (lambda d: d.pop("summary"), "summary missing"),
    "a verdict turned": (lambda d: d["summary"].update(verdict="FAIL"), "does not follow"),
    "a status turned": (lambda d: d["findings"][0].update(status="FAIL"), "does not follow"),
    "an unknown status": (lambda d: d["findings"][0].update(status="GREEN"), "GREEN"),
    "a field missing": (lambda d: d["findings"][0].pop("got"), "got"),
    "a field too many": (lambda d: d["findings"][0].update(extra=1), "extra"),
    "a number for a name": (lambda d: d["findings"][0].update(layer=7), "layer"),
    "a share that is no number": (lambda d: d["findings"][0].update(error_over_bound="small"), "error_over_bound"),
    "no findings": (lambda d: d.update(findings=[]), "no findings"),
    "findings of another kind": (lambda d: d.update(findings={"a": 1}), "no findings"),
    "a finding of another kind": (lambda d: d["findings"].append("PASS"), "wrong fields"),
    "a list for a status": (lambda d: d["findings"][0].update(status=[]), "unknown status"),
    "a text for a measurement": (lambda d: d["findings"][1].update(numbers={"rmse": "abc"}), "rmse"),
    "a measurement under a field's name": (lambda d: d["findings"][1].update(numbers={"layer": 3}), "layer"),
    "an empty run": (lambda d: d["environment"].update(runs=[{}]), "whole runs"),
    "a run that is a number": (lambda d: d["environment"].update(runs=[1]), "whole runs"),
    "a digest without weights": (lambda d: d["environment"].update(digests={"x": {}}), "whole runs"),
    "no environment": (lambda d: d.update(environment=None), "environment"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_is_refused_with_the_reason(path, edit):
    change, words = EDITS[edit]
    edited(path, change)
    with pytest.raises(BadFile, match=words):
        findings_file.read(path)


@pytest.mark.parametrize("text", ["9" * 5000, "", "null", "[]", "7", '"text"', "{}", "[" * 100_000, "\0"])
def test_text_that_is_no_findings_file_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(BadFile):
        findings_file.read(path)


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="UTF-8"):
        findings_file.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadFile, match="No such file"):
        findings_file.read(tmp_path / "none.json")


def test_merging_keeps_everything_and_counts_the_oracle_once():
    oracle = finding(impl="oracle", check="sensitivity-fields")
    one, two = findings(finding(impl="torch"), oracle), findings(finding(impl="keras"), oracle)
    merged = findings_file.merge([Path("a"), Path("b")], [one, two])
    assert [f.impl for f in merged.findings] == ["torch", "oracle", "keras"]
    assert len(merged.environment["runs"]) == 2


def test_merging_different_weights_under_one_name_is_refused():
    other = {"paper/exact": {"params": "c" * 64, "input": "b" * 64}}
    with pytest.raises(BadFile, match="digests differ"):
        findings_file.merge([Path("a"), Path("b")], [findings(), findings(digests=other)])


def test_merging_runs_of_different_code_is_refused(monkeypatch):
    one = findings()
    monkeypatch.setattr(findings_file, "sources", lambda: "other code")
    with pytest.raises(BadFile, match="different versions"):
        findings_file.merge([Path("a"), Path("b")], [one, findings()])


def test_one_implementation_on_two_devices_is_judged_apart():
    merged = findings(finding(device="cpu"), finding(Status.FAIL, device="cuda"), finding(impl="keras", device="cpu"))
    rows = parity.frame(merged)
    assert set(rows.impl) == {"torch (cpu)", "torch (cuda)", "keras"}


NO = Status.UNSUPPORTED


@pytest.mark.parametrize(
    "rows, verdict",
    [
        ([finding(NO)], "FAIL"),
        ([finding(NO), finding(NO, impl="keras")], "FAIL"),
        ([finding(NO), finding(impl="oracle")], "FAIL"),
        ([finding(NO), finding(impl="keras")], "PASS"),
        ([finding(NO), finding(Status.KNOWN, layer="conv2")], "PASS"),
        ([finding(impl="oracle")], "PASS"),
    ],
)
def test_a_run_in_which_nothing_was_judged_passes_nowhere(rows, verdict, tmp_path):
    found = findings(*rows)
    assert found.summary["verdict"] == verdict
    assert found.good() == (verdict == "PASS") == (not found.nothing_judged())
    files.write(tmp_path / "f.json", found.as_json())
    assert findings_file.read(tmp_path / "f.json").good() == found.good()
    assert f"verify: {verdict}" in github.summary_of_findings(found)
    assert f"**Verdict: {verdict}.**" in parity.document(found, parity.frame(found), "parity", [], "paper")


def test_why_nothing_was_judged_is_said_with_the_next_step():
    rows = [finding(NO, impl=name, got="no backward()") for name in ("a", "b", "c", "d", "e")]
    said = findings(*rows, finding(NO, impl="a", got="no backward()", layer="conv2")).nothing_judged()
    assert said.startswith(
        "nothing was judged: a: no backward(); b: no backward(); c: no backward() (and 2 more reasons); "
    )
    assert "--variant" in said
    assert "--check" in said


def test_what_failed_is_told_even_if_nothing_else_was_judged():
    found = findings(finding(NO), finding(Status.FAIL, impl="oracle"))
    assert not found.good()
    assert not found.nothing_judged()


def test_a_report_claims_nothing_about_what_was_unsupported():
    judged = finding(Status.PASS, impl="keras", check="structure-shapes")
    text = parity.document(
        one := findings(finding(Status.UNSUPPORTED), judged), parity.frame(one), "parity", [], "paper"
    )
    assert "**Nothing was proved about** `torch`" in text
    assert "bit for bit**" not in text
    assert "****" not in text


@pytest.mark.parametrize("name", ["x" * 250, "x" * 300, "nul\0"], ids=["long", "too long", "with a NUL"])
def test_a_name_that_cannot_be_written_is_told_before_the_work(tmp_path, name):
    with pytest.raises(files.Unwritable):
        files.check_writable(tmp_path / name)


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(files.Unwritable, match="no ordinary file"):
        files.check_writable(tmp_path / "pipe")


def test_what_a_link_points_to_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    files.write(tmp_path / "link", "text with \udce9")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text with \\udce9"


def test_a_text_may_come_in_pieces(path):
    files.write(path, (piece for piece in ("one, ", "two, ", "é")))
    assert path.read_text(encoding="utf-8") == "one, two, é"


def test_pieces_that_break_off_replace_nothing(path):
    before = path.read_text()

    def pieces():
        yield "new " * 100_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write(path, pieces())
    assert path.read_text() == before
    assert [p.name for p in path.parent.iterdir()] == ["findings.json"]


def test_merging_a_failure_fails():
    merged = findings_file.merge([Path("a"), Path("b")], [findings(), findings(finding(Status.FAIL))])
    assert not merged.good()


def test_writing_replaces_whole_or_not_at_all(path, monkeypatch):
    before = path.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(files.Unwritable, match="No space left"):
        files.write(path, "new")
    assert path.read_text() == before
    assert [p.name for p in path.parent.iterdir()] == ["findings.json"]


def test_junit_counts_and_explains():
    rows = [finding(), finding(Status.FAIL, got="a < b & \x00c"), finding(Status.ERROR), finding(Status.UNSUPPORTED)]
    rows += [finding(Status.BLIND), finding(impl="keras")]
    root = ElementTree.fromstring(junit.as_xml(findings(*rows)))
    suites = {suite.get("name"): suite for suite in root}
    torch = suites["torch paper"]
    assert {k: torch.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert suites["keras paper"].get("tests") == "1"
    assert torch.find(".//failure").get("message") == "a < b & ?c"
