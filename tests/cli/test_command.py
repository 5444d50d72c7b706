"""The command as a person meets it: exit status, one clear line, nothing lost."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from harness import NUMPY, SUPPORT, findings_of, run

from alexnet_parity.impls import find

THIN = ("--impl", NUMPY, "--variant", "paper-thin")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["verify", "--impl", "trch"], "did you mean 'torch'?"),
        (["verify", "--impl", "no/such/file.py"], "no file"),
        (["verify", "--impl", "./mine.sh"], "no Python file"),
        (["verify", "--impl", "no.such.module"], "no implementation, module or file"),
        (["verify", *THIN, "--check", "exact-chian"], "did you mean 'exact-chain'?"),
        (["verify", *THIN, "--check", "loacl"], "did you mean 'local'?"),
        (["verify", "--impl", NUMPY, "--variant", "papr"], "did you mean 'paper'?"),
        (["spec", "--variant", "single_tower"], "did you mean 'single-tower'?"),
        (["verify", *THIN, "--seed", "-1"], "whole number"),
        (["verify", *THIN, "--seed", "1.5"], "whole number"),
        (["verify", *THIN, "--timeout", "0"], "above 0"),
        (["verify", *THIN, "--timeout", "nan"], "above 0"),
        (["verify", *THIN, "--device", "tpu"], "invalid choice"),
        (["verify", *THIN, "--device", "cuda"], "takes no device"),
        (["verify", *THIN, "--check", "together"], "nothing to judge"),
        (["verify", *THIN, "--check", "padding"], "nothing to judge"),
        (["verify", *THIN, "--json", "/no/such/folder/f.json"], "no folder"),
        (["verify", *THIN, "--json", "/"], "it is a folder"),
        (["verify", *THIN, "--json", "same.txt", "--junit", "./same.txt"], "two outputs into one file"),
        (["report", "none.json"], "No such file"),
        (["verfy"], "invalid choice"),
        ([], "COMMAND"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line_and_status_2(arguments, words, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err
    assert not said.out


def test_verify_writes_all_that_is_asked_and_says_pass(tmp_path, capsys):
    outputs = {name: tmp_path / name for name in ("f.json", "parity.md", "j.xml")}
    flags = ("--json", outputs["f.json"], "--report", outputs["parity.md"], "--junit", outputs["j.xml"])
    assert run("verify", *THIN, *flags) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("PASS: ")
    assert json.loads(outputs["f.json"].read_text())["summary"]["verdict"] == "PASS"
    assert ElementTree.parse(outputs["j.xml"]).getroot().find(".//failure") is None
    text = outputs["parity.md"].read_text()
    assert "**Verdict: PASS.**" in text
    assert "not run here" in text
    for picture in ("parity-error-share.svg", "parity-input-size.svg", "parity-rmse.svg"):
        assert f"figures/{picture}" in text
        assert (tmp_path / "figures" / picture).read_text().rstrip().endswith("</svg>")


def test_the_replay_of_a_finding_runs_that_check_again(tmp_path):
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    run("verify", *THIN, "--check", "local-large", "--seed", "3", "--json", first)
    replay = findings_of(first)[0].replay.split()
    assert replay[0] == "alexnet-parity"
    assert run(*replay[1:], "--json", again) == 0
    assert findings_of(again) == findings_of(first)


def test_a_missing_framework_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(find, "missing", lambda name: ["tensorflow"])
    assert run("verify", "--impl", "tf_nn") == 2
    assert "tf_nn needs tensorflow, not installed here: pip install -e '.[tf_nn]'" in capsys.readouterr().err
    assert run("verify") == 2
    assert "no framework is installed here" in capsys.readouterr().err


@pytest.mark.parametrize("check", ["structure", "exact-dense", "decision", "sensitivity", "batch-large"])
def test_a_report_of_some_checks_only_is_whole(check, tmp_path):
    assert run("verify", *THIN, "--check", check, "--report", tmp_path / "r.md") == 0
    assert "## 224 or 227" in (tmp_path / "r.md").read_text()


def test_check_selects_a_family(tmp_path):
    run("verify", *THIN, "--check", "exact", "--json", tmp_path / "f.json")
    assert {f.check.partition("-")[0] for f in findings_of(tmp_path / "f.json")} == {"exact"}


def test_the_oracle_alone_needs_no_implementation_to_run(tmp_path):
    run("verify", *THIN, "--check", "sensitivity", "--json", tmp_path / "f.json")
    assert {f.impl for f in findings_of(tmp_path / "f.json")} == {"oracle"}


def test_an_implementation_is_found_as_a_module_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("from numpy_alexnet import build\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(NUMPY))
    assert run("verify", "--impl", "theirs", "--variant", "paper-thin", "--check", "exact-chain") == 0


def test_separate_runs_merge_into_one_report(tmp_path):
    copy = tmp_path / "other.py"
    copy.write_text(Path(NUMPY).read_text())
    files = []
    for number, impl in enumerate((NUMPY, copy)):
        files.append(tmp_path / f"{number}.json")
        assert run("verify", "--impl", impl, "--variant", "paper-224-thin", "--json", files[-1]) == 0
    assert run("report", *files, "-o", tmp_path / "merged.md", "--json", tmp_path / "merged.json") == 0
    assert len({f.impl for f in findings_of(tmp_path / "merged.json")}) == 3  # both, and the oracle once
    assert "These findings come from separate runs" in (tmp_path / "merged.md").read_text()


def test_runs_with_different_seeds_do_not_merge(tmp_path, capsys):
    for seed in ("0", "1"):
        run("verify", *THIN, "--check", "exact-chain", "--seed", seed, "--json", tmp_path / f"{seed}.json")
    capsys.readouterr()
    assert run("report", tmp_path / "0.json", tmp_path / "1.json", "-o", tmp_path / "out.md") == 2
    assert "digests differ" in capsys.readouterr().err
    assert not (tmp_path / "out.md").exists()


def test_a_file_cut_short_loses_no_existing_report(tmp_path, capsys):
    report, good = tmp_path / "parity.md", tmp_path / "f.json"
    run("verify", *THIN, "--check", "exact-chain", "--json", good, "--report", report)
    before = report.read_text()
    good.write_text(good.read_text()[:-500])
    capsys.readouterr()
    assert run("report", good, "-o", report) == 2
    assert "cut short" in capsys.readouterr().err
    assert report.read_text() == before


WRONG = """
import numpy as np
import numpy_alexnet

class Model(numpy_alexnet.Model):
    def activations(self, x):
        for name, array in super().activations(x).items():
            yield name, array * np.float32(1.001) if name == "norm2" else array

def build(network, params):
    return Model(network, params)
"""


def test_a_wrong_implementation_fails_and_the_report_names_the_layer_first(tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(NUMPY))
    report = tmp_path / "parity.md"
    flags = ("--report", report, "--junit", tmp_path / "j.xml")
    assert run("verify", "--impl", mine, "--variant", "paper-thin", *flags) == 1
    said = capsys.readouterr().out.strip().splitlines()
    assert "FAIL: " in said[-1]
    assert " norm2: " in said[said.index("First departures:") + 1]
    text = report.read_text()
    assert "**Verdict: FAIL.**" in text
    first = text.partition("### First departure of each implementation")[2].strip().splitlines()[2]
    assert "norm2" in first
    assert "alexnet-parity verify" in first
    assert ElementTree.parse(tmp_path / "j.xml").getroot().find(".//failure") is not None


def test_spec_json_is_complete(capsys):
    assert run("spec", "--variant", "paper-224", "--json") == 0
    spec = json.loads(capsys.readouterr().out)
    assert spec["totals"] == {"parameters": 60_965_224, "multiply_adds": 724_406_816, "neurons": 659_272}
    assert spec["layers"][0]["padding"] == [0, 3]
    assert sum(layer["parameters"] for layer in spec["layers"]) == 60_965_224
    assert all(layer["source"] for layer in spec["layers"])


def test_list_names_everything(capsys):
    assert run("list") == 0
    said = capsys.readouterr().out
    for name in (
        "keras_ops",
        "tf_nn",
        "torch",
        "single-tower",
        "paper-224-thin",
        "exact-one-tap",
        "sensitivity-fields",
    ):
        assert name in said


COMMAND = [sys.executable, "-m", "alexnet_parity.cli", "verify", *THIN, "--check", "exact-chain"]


def test_progress_is_silent_in_a_pipe():
    done = subprocess.run(COMMAND, capture_output=True, check=True)
    assert done.stderr == b""


def test_progress_shows_on_a_terminal():
    ours, theirs = pty.openpty()
    done = subprocess.run(COMMAND, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
    os.close(theirs)
    said = b""
    while b"exact-chain" not in said:
        said += os.read(ours, 4096)
    assert done.returncode == 0
    assert b"\r" in said


def test_a_reader_that_goes_away_is_no_traceback():
    gone = subprocess.run(
        f"{sys.executable} -m alexnet_parity.cli spec --json | true", shell=True, capture_output=True, check=True
    )
    assert gone.stderr == b""


def test_a_reader_that_goes_away_does_not_turn_a_failure_green(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def build(network, params):\n    raise RuntimeError\n")
    command = f"{sys.executable} -m alexnet_parity.cli verify --impl {mine} --variant paper-thin --check exact-chain"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, check=False)
    assert done.returncode == 1


def test_together_does_not_pass_over_one_that_crashed(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text("def build(network, params):\n    raise RuntimeError('no luck')\n")
    assert run("verify", *THIN, "--impl", mine, "--check", "together") == 1
    assert "no luck" in capsys.readouterr().out


def test_the_replay_of_a_pair_names_these_two_only(tmp_path):
    names = [tmp_path / name for name in ("net.py", "net.py.copy.py", "other one.py")]  # one name within another
    for name in names:
        name.write_text(Path(NUMPY).read_text())
    impls = [word for name in names for word in ("--impl", name)]
    run("verify", *impls, "--variant", "paper-thin", "--check", "together-exact", "--json", tmp_path / "f.json")
    pair = next(f for f in findings_of(tmp_path / "f.json") if f.impl == f"{names[1]} ~ {names[2]}")
    words = shlex.split(pair.replay)
    assert [words[i + 1] for i, word in enumerate(words) if word == "--impl"] == [str(names[1]), str(names[2])]


def test_a_file_named_as_a_framework_does_not_stand_in_for_it(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not the real one')")
    (tmp_path / "mine.py").write_text(Path(NUMPY).read_text())
    monkeypatch.chdir(tmp_path)
    assert run("verify", "--impl", "mine.py", "--variant", "paper-thin", "--check", "exact-chain") == 0


def test_an_ended_command_leaves_no_worker_behind(tmp_path, monkeypatch):
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("ALEXNET_MISBEHAVES", "hangs at fc6")
    monkeypatch.setenv("ALEXNET_PID_FILE", str(pid_file))
    hangs = str(Path(NUMPY).with_name("misbehaving.py"))
    command = [sys.executable, "-m", "alexnet_parity.cli", "verify", "--impl", hangs, "--variant", "paper-thin"]
    for end in (signal.SIGTERM, signal.SIGKILL):
        pid_file.unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.05)
        process.send_signal(end)
        process.wait()
        while alive(int(pid_file.read_text())):  # a worker left behind hangs this test
            time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    "arguments",
    [("verify", "--json="), ("report", "a.json", "-o", ""), ("claims", "--report="), ("differences", "-o", "")],
    ids=str,
)
def test_an_empty_file_name_is_told_as_such(arguments, capsys):
    assert run(*arguments) == 2
    assert "found '', expected a file name" in capsys.readouterr().err


FORWARD_ONLY = """
import sys
sys.path.append({support!r})
import numpy_alexnet

class Model:
    def __init__(self, whole):
        self.activations, self.params = whole.activations, whole.params

def build(network, params):
    return Model(numpy_alexnet.build(network, params))
"""


FIXED = FORWARD_ONLY + 'variant = "paper"\n'


@pytest.mark.parametrize(
    "text, more, words",
    [
        (FIXED, (), "fixed to the network 'paper'; this needs 'paper-thin'"),
        (FIXED, ("--check", "sensitivity", "--check", "structure"), "fixed to the network"),
        (FORWARD_ONLY, ("--check", "gradient-exact-chain"), "no backward(): "),
    ],
)
def test_where_nothing_can_be_asked_nothing_passes(text, more, words, tmp_path, capsys):
    mine, json_file = tmp_path / "mine.py", tmp_path / "f.json"
    mine.write_text(text.format(support=str(SUPPORT)))
    assert run("verify", "--impl", mine, "--variant", "paper-thin", *more, "--json", json_file) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"alexnet-parity: nothing was judged: {mine}: ")
    assert words in said.err
    assert "--variant" in said.err
    assert not json_file.exists()


def test_one_that_can_be_asked_nothing_beside_another_does_not_fail(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(FIXED.format(support=str(SUPPORT)))
    asked = ("--variant", "paper-thin", "--check", "structure")
    assert run("verify", "--impl", mine, "--impl", NUMPY, *asked) == 0
    assert "UNSUPPORTED" in capsys.readouterr().out


def test_checks_that_cannot_be_asked_share_a_line_and_do_not_fail(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(FORWARD_ONLY.format(support=str(SUPPORT)))
    asked = [word for family in ("structure", "gradient", "update", "towers") for word in ("--check", family)]
    assert run("verify", "--impl", mine, "--variant", "paper-thin", *asked) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "UNSUPPORTED:" in line]
    assert len(said) == 1
    assert "9 checks UNSUPPORTED: gradient-exact-chain, " in said[0]
    assert said[0].endswith("update-rule, update-step")
