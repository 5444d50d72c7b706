"""`alexnet-parity conditions` as a person meets it."""

from __future__ import annotations

import json

import pytest
from harness import NUMPY, SUPPORT, findings_of, run

from alexnet_parity.reports import findings_file

FAST = ("--variant", "cifar-18pct-thin")
MOODY = str(SUPPORT / "moody.py")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--impl", NUMPY, "--condition", "proces"], "did you mean 'process'?"),
        (["--impl", NUMPY, "--condition", "compile"], "unknown condition 'compile'"),
        (["--impl", f"{NUMPY}@unaligned"], "--condition unaligned"),
        (["--impl", NUMPY, "--variant", "papr"], "did you mean 'paper'?"),
        (["--impl", "trch"], "did you mean 'torch'?"),
        (["--impl", NUMPY, "--device", "cuda"], "takes no device"),
        (["--impl", NUMPY, "--device", "auto"], "invalid choice"),
        (["--impl", NUMPY, "--at-once", "-1"], "whole number"),
        (["--impl", NUMPY, "--at-once", "0"], "found 0, expected a whole number above 0"),
        (["--impl", NUMPY, "--json", "same.txt", "--report", "./same.txt"], "two outputs into one file"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line_and_status_2(arguments, words, capsys):
    assert run("conditions", *arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not said.out


def test_it_writes_what_is_asked_and_says_pass(tmp_path, capsys):
    json_file, report, junit = (tmp_path / name for name in ("c.json", "arithmetic.md", "c.xml"))
    named = ("--condition", "again", "--condition", "batch-3")
    outputs = ("--json", json_file, "--report", report, "--junit", junit)
    assert run("conditions", "--impl", NUMPY, *FAST, *named, *outputs) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.strip().splitlines()
    assert [line.split()[0] for line in lines] == [
        NUMPY,
        "gradients",
        f"{NUMPY}@again",
        "gradients",
        f"{NUMPY}@batch-3",
        "PASS:",
    ]
    assert "same bits" in lines[2]
    checks = {f.check for f in findings_of(json_file)}
    assert checks >= {f"condition-{name}" for name in ("large", "exact", "gradient-large", "gradient-exact")}
    assert findings_file.merge([json_file], [findings_file.read(json_file)]).good()
    assert "**Verdict: PASS.**" in report.read_text()
    for name in ("conditions", "gradients"):
        assert (tmp_path / "figures" / f"arithmetic-{name}.svg").read_text().rstrip().endswith("</svg>")
    assert "<testsuite" in junit.read_text()


def test_where_nothing_can_be_asked_nothing_passes(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(
        f"import sys\nsys.path.append({str(SUPPORT)!r})\nfrom numpy_alexnet import build\nvariant = 'paper'\n"
    )
    assert run("conditions", "--impl", mine, *FAST, "--condition", "again") == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith(f"alexnet-parity: nothing was judged: {mine}: ")
    assert said.err.count("\n") == 1


def test_findings_from_another_machine_become_the_same_report_here(tmp_path, capsys):
    made, findings = tmp_path / "made.md", tmp_path / "c.json"
    asked = ("conditions", "--impl", NUMPY, *FAST, "--condition", "again", "--json", findings, "--report", made)
    assert run(*asked) == 0
    said = capsys.readouterr().out
    here = tmp_path / "here" / "made.md"
    here.parent.mkdir()
    assert run("report", findings, "-o", here) == 0
    assert capsys.readouterr().out == said
    assert here.read_text() == made.read_text()
    assert (here.parent / "figures" / "made-conditions.svg").is_file()


@pytest.mark.parametrize(
    "other, words",
    [
        (("verify", "--impl", NUMPY, *FAST, "--check", "exact-chain"), "of `verify` (exact-chain)"),
        (("conditions", "--impl", NUMPY, "--condition", "again"), "cifar-18pct-thin on cpu, paper-thin on cpu"),
    ],
)
def test_findings_of_two_kinds_make_no_report(other, words, tmp_path, capsys):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert run("conditions", "--impl", NUMPY, *FAST, "--condition", "again", "--json", one) == 0
    assert run(*other, "--json", two) == 0
    capsys.readouterr()
    assert run("report", one, two, "-o", tmp_path / "r.md") == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "r.md").exists()


def test_what_does_not_keep_its_bits_fails_and_the_replay_shows_it_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ALEXNET_MOODY", "second call")
    monkeypatch.setenv("ALEXNET_MOODY_AT", "fc10")
    json_file = tmp_path / "c.json"
    assert run("conditions", "--impl", MOODY, *FAST, "--condition", "again", "--json", json_file) == 1
    out = capsys.readouterr().out
    assert out.strip().splitlines()[-1].startswith("FAIL: ")
    assert (
        f"FAIL        {MOODY}@again cifar-18pct-thin condition-large large fc10: expected the plain run's bits" in out
    )
    first = next(f for f in findings_of(json_file) if f.status == "FAIL" and f.impl.endswith("@again"))
    assert run(*first.replay.split()[1:]) == 1
    assert json.loads(json_file.read_text())["summary"]["verdict"] == "FAIL"
