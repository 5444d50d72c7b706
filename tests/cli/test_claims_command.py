"""`claims` as a person meets it: exit status, one clear line, files whole, silence in a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from alexnet_parity.checks.claims import trial as checks
from alexnet_parity.checks.claims.verdict import Outcome, Verdict
from alexnet_parity.cli import claims as command
from alexnet_parity.cli.main import Parser, Usage
from alexnet_parity.impls import find
from alexnet_parity.reference.claims import ledger


@pytest.fixture(autouse=True)
def _no_frameworks(monkeypatch):
    monkeypatch.setattr(find, "runnable", list)


@pytest.fixture
def every_check(monkeypatch):
    """Stand-ins for all checks, so that the command alone is judged: {claim: check}."""
    stand_ins = {name: lambda facts: Outcome(Verdict.HOLDS, "seen") for name in ledger.ids()}
    monkeypatch.setattr(checks, "bound", lambda: stand_ins)
    return stand_ins


def run(*arguments: object) -> int:
    parser = Parser(prog="alexnet-parity")
    command.add_parser(parser.add_subparsers(dest="command"))
    return command.run(parser.parse_args(["claims", *map(str, arguments)]))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--id", "abs-60m-parms"], "did you mean 'abs-60m-params'?"),
        (["--id", "abs-60m-params", "--json", "/no/such/folder/c.json"], "no folder"),
        (["--id", "abs-60m-params", "-o", "/"], "it is a folder"),
        (["-o", "same.md", "--json", "./same.md"], "two outputs into one file"),
        (["--id", "abs-60m-params", "--original-code", "/no/such/folder"], "found no folder"),
        (["--id", "abs-60m-params", "--original-code", "."], "none of the files"),
        (["--idd", "x"], "unrecognized arguments"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((Usage, SystemExit)) as error:
        run(*arguments)
    if isinstance(error.value, Usage):
        assert words in str(error.value)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_default_report_needs_its_folder(tmp_path, monkeypatch, every_check):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Usage, match="no folder reports"):
        run()
    (tmp_path / "reports").mkdir()
    assert run() == 0
    assert (tmp_path / "reports" / "claims.md").is_file()
    assert (tmp_path / "reports" / "figures" / "claims-verdicts.svg").is_file()


def test_one_claim_is_told_in_full_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("--id", "abs-60m-params") == 0
    said = capsys.readouterr()
    assert said.out.startswith("holds")
    assert "60,965,224" in said.out
    assert "source: " in said.out
    assert said.out.strip().splitlines()[-1].startswith("PASS: 1 holds")
    assert not said.err
    assert not list(tmp_path.iterdir())


def test_claims_named_twice_or_out_of_order_come_once_in_the_papers_order(tmp_path, every_check):
    path = tmp_path / "c.json"
    names = ledger.ids()[5], ledger.ids()[2], ledger.ids()[5]
    assert run(*(part for name in names for part in ("--id", name)), "--json", path) == 0
    assert [row["id"] for row in json.loads(path.read_text())["claims"]] == [ledger.ids()[2], ledger.ids()[5]]


def test_all_claims_are_counted_by_section_and_the_contradicted_named(tmp_path, capsys, every_check):
    wrong = ledger.ids()[7]
    every_check[wrong] = lambda facts: Outcome(Verdict.CONTRADICTED, "not so")
    assert run("-o", tmp_path / "c.md", "--json", tmp_path / "c.json") == 0
    said = capsys.readouterr().out
    assert "3.3 Local Response Normalization" in said
    assert "Contradicted (1):" in said
    assert wrong in said
    assert json.loads((tmp_path / "c.json").read_text())["summary"]["contradicted"] == 1
    assert wrong in (tmp_path / "c.md").read_text()


@pytest.mark.parametrize("fault", ["absent", "raises", "no evidence", "orphan"])
def test_a_claim_in_error_fails_the_command_and_is_in_both_files(fault, tmp_path, capsys, every_check):
    name = ledger.ids()[3]
    if fault == "absent":
        del every_check[name]
    elif fault == "orphan":
        name = "no-such-claim"
        every_check[name] = lambda facts: Outcome(Verdict.HOLDS, "seen")
    else:
        every_check[name] = {"raises": lambda facts: 1 // 0, "no evidence": lambda facts: Outcome(Verdict.HOLDS, "")}[
            fault
        ]
    assert run("-o", tmp_path / "c.md", "--json", tmp_path / "c.json") == 1
    said = capsys.readouterr().out
    assert "Without a verdict (1):" in said
    assert said.strip().splitlines()[-1].startswith("FAIL: ")
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["errors"].keys() == {name}
    assert document["summary"]["verdict"] == "FAIL"
    assert "## Without a verdict" in (tmp_path / "c.md").read_text()


def test_an_interrupted_trial_writes_nothing(tmp_path, every_check):
    def interrupted(facts):
        raise KeyboardInterrupt

    every_check[ledger.ids()[9]] = interrupted
    with pytest.raises(KeyboardInterrupt):
        run("-o", tmp_path / "c.md", "--json", tmp_path / "c.json")
    assert not list(tmp_path.iterdir())


SCRIPT = """
import os, sys
from alexnet_parity.checks.claims import trial
from alexnet_parity.checks.claims.verdict import Outcome, Verdict
from alexnet_parity.cli import claims
from alexnet_parity.cli.main import Parser
from alexnet_parity.impls import find
def noisy(facts):
    os.write(2, b"a library's message")
    return Outcome(Verdict.HOLDS, "seen")
find.runnable = list
trial.bound = lambda: {"abs-60m-params": noisy}
parser = Parser()
claims.add_parser(parser.add_subparsers())
sys.exit(claims.run(parser.parse_args(["claims", "--id", "abs-60m-params"])))
"""


def test_a_pipe_hears_nothing_and_a_terminal_sees_progress():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("holds")
    assert not done.stderr
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.DEVNULL, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "[1/1] abs-60m-params: holds" in shown
    assert "a library's message" not in shown
