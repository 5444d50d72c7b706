"""The command `differences`: exit status, files, one clear line, silence where nobody watches."""

from __future__ import annotations

import json

import pytest
from harness import NUMPY

from alexnet_parity.checks import effects
from alexnet_parity.checks.deviations import DEVIATIONS
from alexnet_parity.checks.effects import Effect
from alexnet_parity.cli import differences
from alexnet_parity.cli.main import Parser, Usage
from alexnet_parity.cli.progress import Progress
from alexnet_parity.impls import find


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Effects have their own tests; here they are invented."""
    invented = [Effect(d.name, scale, 0.1 * scale, 0.2) for d in DEVIATIONS for scale in (1.0, 30.0)]
    monkeypatch.setattr(effects, "measured", lambda seed: iter(invented))


def run(*arguments) -> int:
    """As main() does it: its own parser, Usage told by the caller."""
    parser = Parser(prog="alexnet-parity")
    differences.add_parser(parser.add_subparsers(dest="command", required=True))
    return differences.run(parser.parse_args(["differences", *map(str, arguments)]))


def test_it_writes_report_figure_and_json_and_passes(tmp_path, capfd):
    report, document = tmp_path / "d.md", tmp_path / "d.json"
    assert run("--impl", NUMPY, "--report", report, "--json", document) == 0
    said = capfd.readouterr()
    assert said.out.splitlines()[-1].startswith("PASS: ")
    assert f"report: {report}" in said.out
    assert not said.err
    assert "**Every pair holds: PASS.**" in report.read_text()
    assert (tmp_path / "figures" / "d-effects.svg").is_file()
    written = json.loads(document.read_text())
    assert written["schema"] == "alexnet-parity/differences/1"
    assert written["environment"]["implementations"][NUMPY]["numpy"]


WRONG = """
import numpy_alexnet
from alexnet_parity.reference.spec import Conv


def build(network, params):
    for layer in network.layers:
        if isinstance(layer, Conv):
            network = network.edit(layer.name, padding=layer.padding[::-1])
    return numpy_alexnet.build(network, params)
"""


def test_a_pair_that_does_not_hold_is_status_1_and_named(tmp_path, capsys):
    (tmp_path / "wrong.py").write_text(WRONG)
    assert run("--impl", tmp_path / "wrong.py", "--report", tmp_path / "d.md") == 1
    out = capsys.readouterr().out
    assert "pair-conv1-227" in out
    assert out.splitlines()[-1].startswith("FAIL: ")
    assert "does not hold: FAIL" in (tmp_path / "d.md").read_text()


def test_an_implementation_that_cannot_be_imported_is_an_error_not_a_traceback(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("raise ValueError('not today')\n")
    assert run("--impl", tmp_path / "broken.py", "--report", tmp_path / "d.md") == 1
    assert "ValueError: not today" in capsys.readouterr().out


def test_without_any_framework_the_oracle_alone_is_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "runnable", list)
    assert run("--report", tmp_path / "d.md") == 0
    assert "none was at hand" in (tmp_path / "d.md").read_text()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--impl", "trch"], "did you mean 'torch'?"),
        (["--impl", "no/such/file.py"], "no file"),
        (["--report", "/no/such/folder/d.md"], "no folder"),
        (["--json", "same", "--report", "./same"], "two outputs into one file"),
        (["--seed", "-1"], "whole number"),
        (["--sed", "1"], "unrecognized arguments"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_told_in_one_line_before_anything_runs(arguments, words, monkeypatch):
    monkeypatch.setattr(effects, "measured", lambda seed: pytest.fail("measured in spite of bad usage"))
    with pytest.raises(Usage, match=words.replace("?", r"\?")) as raised:
        run(*arguments)
    assert len(str(raised.value).splitlines()) == 1


def test_progress_is_for_terminals_only():
    class Terminal(list):
        def isatty(self):
            return True

        def write(self, text):
            self.append(text)

        def flush(self):
            pass

    for shown in (True, False):
        stream = Terminal()
        stream.isatty = lambda shown=shown: shown
        with Progress(stream=stream) as progress:
            assert list(progress.watch("ab", str.upper)) == ["a", "b"]
        assert ("[2] B" in "".join(stream)) is shown
