"""`alexnet-parity traps`, with NumPy in the place of a framework."""

from __future__ import annotations

import json

import pytest

from alexnet_parity.checks.audit import naming, trial
from alexnet_parity.cli.main import main
from alexnet_parity.impls.foreign import poses
from tests.support.numpy_subject import Subject


@pytest.fixture(autouse=True)
def numpy_alone(monkeypatch):
    monkeypatch.setattr(poses, "PACKAGES", {"numpy": ("numpy",), "absent": ("no_such_package_anywhere",)})
    monkeypatch.setattr(poses, "FRAMEWORKS", ("numpy", "absent"))
    monkeypatch.setattr(poses, "POSERS", {"numpy": lambda network, tricks, params: Subject(network, params, tricks)})


def run(*arguments):
    return main(["traps", *map(str, arguments)])


def test_mistakes_that_are_all_named_pass(capsys, tmp_path):
    out = tmp_path / "traps.json"
    assert run("--trap", "pad-1", "--trap", "dropout-40", "--pairs", 2, "--json", out) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "PASS: 2 mistakes, numpy" in said.out
    content = json.loads(out.read_text())
    assert content["schema"] == "alexnet-parity/traps/1"
    assert content["verdict"] == "PASS"
    first = content["traps"][0]
    assert (first["id"], first["family"], first["variant"], first["layer"]) == (
        "pad-1",
        "geometry",
        "paper-thin",
        "conv1",
    )
    assert first["detected"] == first["located"] == first["named"] == {"numpy": True}
    assert set(first["loose"]) == set(trial.LOOSE)
    assert "ends in" not in first["says"]
    assert len(content["pairs"]) == 2
    assert all(len(pair["traps"]) == 2 for pair in content["pairs"])
    assert content["versions"]["numpy"]


def test_an_audit_that_has_lost_an_entry_fails_and_is_told(monkeypatch, capsys):
    everything = naming.distinct
    monkeypatch.setattr(naming, "distinct", lambda *a: [pair for pair in everything(*a) if pair[0].id != "pad-1"])
    assert run("--trap", "pad-1", "--trap", "lrn-k-1") == 1
    out = capsys.readouterr().out
    assert "Not detected, located or named (1):" in out
    assert "pad-1 at conv1 (paper-thin): not named; said" in out
    assert "FAIL" in out


def test_pairs_that_are_not_named_fail_and_are_told(monkeypatch, capsys):
    monkeypatch.setattr(trial.engine.Judged, "quirks", lambda self: iter(()))
    monkeypatch.setattr(trial.engine.Judged, "first", lambda self: iter(()))
    monkeypatch.setattr(trial.engine, "layers_of", lambda tape: [])
    assert run("--trap", "lrn-running-sum", "--pairs", 2) == 1
    out = capsys.readouterr().out
    assert "Pairs not named (2):" in out


def test_a_false_alarm_fails(monkeypatch, capsys):
    monkeypatch.setattr(trial, "grounds", lambda seeds: [("paper-thin", 0)])
    poser = {"numpy": lambda network, tricks, params: Subject(network.edit("norm1", k=1.0), params, tricks)}
    monkeypatch.setattr(poses, "POSERS", poser)
    assert run("--trap", "lrn-running-sum", "--clean", 1) == 1
    assert "False alarms: 1 in 1 audits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trap", "pad-11"], "unknown trap 'pad-11'; did you mean 'pad-1'?"),
        (["--framework", "numpi"], "unknown framework 'numpi'; did you mean 'numpy'?"),
        (["--framework", "absent"], "absent needs no_such_package_anywhere, not installed here"),
        (["--json", "nowhere/traps.json"], "there is no folder nowhere"),
        (["--pairs", "some"], "found 'some', expected a whole number"),
    ],
    ids=str,
)
def test_bad_usage_is_one_line(capsys, arguments, said):
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_no_framework_at_all_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(poses, "FRAMEWORKS", ("absent",))
    assert run() == 2
    assert "no framework is installed here" in capsys.readouterr().err


def test_what_applies_or_can_be_posed_nowhere_passes_no_trial(capsys):
    assert run("--trap", "lrn-running-sum") == 1
    assert "posed nowhere: lrn-running-sum" in capsys.readouterr().out


def test_the_report_is_written_with_its_figure(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    report = tmp_path / "traps.md"
    assert run("--trap", "pad-1", "--report", report) == 0
    assert "# The traps" in report.read_text()
    assert (tmp_path / "figures" / "traps-noticed.svg").read_text().lstrip().startswith("<?xml")
    assert f"report: {report}" in capsys.readouterr().out
