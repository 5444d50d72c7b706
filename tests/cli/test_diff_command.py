"""`diff`: what changed, what drifted and by how much, and an exit status that a gate can trust."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harness import NUMPY, run

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.recording import BATCH, Recording
from alexnet_parity.checks.traces import differ, trace
from alexnet_parity.reports import changes, files, findings_file
from alexnet_parity.reports.findings_file import Findings

PASS, FAIL = Status.PASS, Status.FAIL
DIGESTS = {"paper/exact": {"params": "a" * 64, "input": "b" * 64}}


def finding(layer="conv1", status=PASS, share=None, impl="torch", device="cpu", **fields):
    given = {"variant": "paper", "check": "local-large", "stimulus": "large", "expected": "bits", "got": "bits"}
    return Finding(status, layer, **{**given, "error_over_bound": share, "impl": impl, "device": device, **fields})


def findings(*rows, seed=0, torch="2", digests=DIGESTS) -> Findings:
    environment = findings_file.environment({"torch": {"torch": torch, "peak_memory_mb": "7"}}, seed, "cpu", digests)
    return Findings(rows, environment)


def file(path: Path, found: Findings) -> Path:
    files.write(path, found.as_json())
    return path


TURNS = {
    ("PASS", "FAIL"): True,
    ("PASS", "ERROR"): True,
    ("PASS", "BLIND"): True,
    ("PASS", "KNOWN"): True,
    ("PASS", "UNSUPPORTED"): True,
    ("KNOWN", "UNSUPPORTED"): True,
    ("KNOWN", "FAIL"): True,
    ("FAIL", "ERROR"): False,
    ("FAIL", "PASS"): False,
    ("KNOWN", "PASS"): False,
    ("UNSUPPORTED", "PASS"): False,
    ("UNSUPPORTED", "FAIL"): True,
    ("PASS", ""): True,
    ("KNOWN", ""): True,
    ("FAIL", ""): False,
    ("UNSUPPORTED", ""): False,
    ("", "PASS"): False,
    ("", "FAIL"): True,
}


@pytest.mark.parametrize("before, after", TURNS)
def test_the_exit_status_says_whether_something_got_worse(before, after, tmp_path):
    kept = finding("fc8")
    a, b = ([kept, *([finding(status=Status(status))] if status else [])] for status in (before, after))
    paths = file(tmp_path / "a.json", findings(*a)), file(tmp_path / "b.json", findings(*b))
    assert run("diff", *paths) == int(TURNS[before, after])
    (turned,) = changes.between(findings(*a), findings(*b)).changes
    assert (turned.before, turned.after, turned.layer) == (before, after, "conv1")


def test_a_run_is_like_itself(tmp_path, capsys):
    path = file(tmp_path / "a.json", findings(finding(share=0.5), finding("fc8", FAIL)))
    assert run("diff", path, path) == 0
    assert capsys.readouterr().out == "nothing is worse; 0 changed otherwise, 0 drifted, 2 alike\n"


def test_what_drifted_is_told_by_how_much_the_largest_first():
    a = findings(*(finding(f"conv{n}", share=0.1 * n, numbers={"ulps": 2.0, "rmse": 1e-6}) for n in (1, 2, 3)))
    moved = {"conv1": 0.15, "conv2": 0.1, "conv3": 0.3}
    b = findings(*(finding(n, share=s, numbers={"ulps": 2.0 + 10 * s, "rmse": 1e-6}) for n, s in moved.items()))
    found = changes.between(a, b).drifts
    shares = [(d.layer, round(d.amount, 6)) for d in found if d.what == changes.SHARE]
    assert shares[:2] == [("conv2", 0.1), ("conv1", 0.05)]
    assert [(d.layer, d.amount) for d in found if d.what == "ulps"] == [("conv3", 3.0), ("conv1", 1.5), ("conv2", 1.0)]
    assert not [d for d in found if d.what == "rmse"]
    assert not changes.between(a, b).changes


def test_other_measurements_drift_relative_to_the_larger():
    a, b = (findings(finding(numbers={"rmse": value})) for value in (1e-7, 4e-7))
    (there,), (back,) = changes.between(a, b).drifts, changes.between(b, a).drifts
    assert there.amount == back.amount == pytest.approx(0.75)
    assert changes.shown(there) == "1e-07 -> 4e-07 (+75.00%)"
    assert changes.shown(back) == "4e-07 -> 1e-07 (-75.00%)"


def test_one_implementation_recorded_on_a_gpu_is_held_against_the_live_one():
    a, b = findings(finding(impl="torch")), findings(finding(status=FAIL, impl="torch (cuda)", device="cuda"))
    assert [(c.before, c.after) for c in changes.between(a, b).changes] == [("PASS", "FAIL")]


def test_one_implementation_twice_in_a_run_is_told_apart():
    both = [finding(impl="torch"), finding(status=FAIL, impl="torch (cuda)", device="cuda")]
    assert not changes.between(findings(*both), findings(*both[::-1])).changes
    assert len(changes.between(findings(*both), findings(both[0])).changes) == 1
    live = [finding(), finding(status=FAIL, device="cuda")]
    assert not changes.between(findings(*live), findings(*live[::-1])).changes


def test_several_findings_on_one_layer_are_told_apart_by_their_order():
    rows = [finding(share=0.1), finding(share=0.2)]
    assert not changes.between(findings(*rows), findings(*rows)).drifts
    assert len(changes.between(findings(*rows), findings(rows[0])).changes) == 1


def test_what_is_different_around_them_is_told():
    other = {
        "paper/exact": {"params": "c" * 64, "input": "b" * 64},
        "paper/large": {"params": "d" * 64, "input": "e" * 64},
    }
    found = changes.between(findings(finding()), findings(finding(), seed=3, torch="3", digests=other)).around
    assert found == (
        ("seed", "0", "3"),
        ("torch: torch", "2", "3"),
        ("params of paper/exact", "a" * 64, "c" * 64),
    )


def test_an_implementation_that_one_side_did_not_run_has_nothing_to_say_there():
    one, other = findings(finding()), findings(finding())
    other.environment["runs"][0]["implementations"] = {"keras": {"keras": "3", "device": "cpu"}}
    assert changes.between(one, other).around == (("torch", "run", "not run"), ("keras", "not run", "run"))
    assert not changes.between(one, one).around


def test_the_report_and_the_json_have_all_of_it(tmp_path):
    a = [finding(f"layer{n}", share=n / 100) for n in range(1, 41)]
    b = [replace(row, error_over_bound=row.error_over_bound * 2) for row in a[:-1]] + [replace(a[-1], status=FAIL)]
    paths = file(tmp_path / "a.json", findings(*a)), file(tmp_path / "b.json", findings(*b, seed=1))
    assert run("diff", *paths, "--json", tmp_path / "d.json", "--report", tmp_path / "d.md") == 1
    document = json.loads((tmp_path / "d.json").read_text())
    assert document["schema"] == changes.SCHEMA
    assert (document["worse"], len(document["drifts"]), document["alike"]) == (1, 39, 0)
    assert document["environment"] == [{"what": "seed", "before": "0", "after": "1"}]
    text = (tmp_path / "d.md").read_text()
    assert all(f"layer{n} " in text for n in range(1, 41))
    assert "1 worse" in text.lower()


def test_the_terminal_has_the_most_important_and_says_what_it_leaves_out(tmp_path, capsys):
    a = [finding(f"layer{n}", share=n / 100) for n in range(1, 41)]
    b = [replace(row, error_over_bound=row.error_over_bound * 2) for row in a]
    assert run("diff", file(tmp_path / "a.json", findings(*a)), file(tmp_path / "b.json", findings(*b))) == 0
    said = capsys.readouterr().out
    assert "40.000% -> 80.000% (+40.000%)" in said.splitlines()[1]
    assert "... and 20 more" in said


def test_a_whole_check_that_is_not_asked_any_more_shares_a_line(tmp_path, capsys):
    a = [finding(f"layer{n}") for n in range(40)] + [finding(check="chain-large")]
    assert run("diff", file(tmp_path / "a.json", findings(*a)), file(tmp_path / "b.json", findings(a[-1]))) == 1
    assert "  PASS -> not asked: torch paper local-large: 40 findings: bits\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names, words",
    [
        (("a.json", "none.json"), "No such file"),
        (("cut.json", "a.json"), "is not complete JSON"),
        (("a.json", "t.safetensors"), "different kinds"),
        (("bad.safetensors", "bad.safetensors"), "too few"),
        (("a.json", "a.json", "--json", "no/such/folder/f.json"), "no folder"),
        (("a.json",), "RUN_B"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(names, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = file(tmp_path / "a.json", findings(finding())).read_text()
    (tmp_path / "cut.json").write_text(text[:-20])
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    assert run("diff", *names) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1


# Traces ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("taken") / "t.safetensors"
    assert run("record", "--impl", NUMPY, "--variant", "paper-thin", "-o", path, "--pass", "exact") == 0
    return path


def changed(taken: Path, path: Path, change) -> Path:
    held = trace.read(taken)
    recording = held.recordings["exact"]
    outputs = {name: array.copy() for name, array in recording.run().items()}
    change(outputs)
    one = replace(recording, runs={BATCH: outputs})
    trace.write(path, replace(held, recordings={"exact": one}, flags={**held.flags, "numpy": "9"}))
    return path


def test_the_first_layer_whose_bits_differ_is_named_with_its_distance_in_ulps(taken, tmp_path, capsys):
    def change(outputs):
        outputs["conv2"].flat[11] = np.nextafter(outputs["conv2"].flat[11], np.float32(np.inf))
        outputs["fc7"].flat[5] = np.float32(outputs["fc7"].flat[5] + 8 * np.spacing(outputs["fc7"].flat[5]))

    other = changed(taken, tmp_path / "u.safetensors", change)
    assert run("diff", taken, other, "--json", tmp_path / "d.json", "--report", tmp_path / "d.md") == 1
    said = capsys.readouterr().out
    assert "exact batch: 2 of 24 layers differ, first conv2: 1 of" in said
    assert "at most 8 ulp, at fc7" in said
    assert "numpy: " in said
    (row,) = json.loads((tmp_path / "d.json").read_text())["runs"]
    assert (row["first"], row["ulps"], row["worst"]) == ("conv2", 8, "fc7")
    assert "first conv2" in (tmp_path / "d.md").read_text()


def test_traces_of_the_same_bits_are_alike(taken, tmp_path, capsys):
    assert run("diff", taken, changed(taken, tmp_path / "u.safetensors", lambda outputs: None)) == 0
    assert "exact batch: the same bits in all 24 layers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: np.full_like(a, np.nan), "not finite|nan"),
        (lambda a: a[:1], "shape"),
        (lambda a: a.astype(np.float64), "dtype float64"),
        (lambda a: np.where(a == 0, np.float32(-0.0), a), "the sign of zero"),
    ],
    ids=["NaN", "another shape", "another dtype", "the sign of zero"],
)
def test_any_other_array_differs(change, words):
    one = {"conv1": np.array([[0, 1.5], [2, -3]], np.float32)}
    found = differ.of_run("exact", BATCH, one, {"conv1": change(one["conv1"])})
    assert not found.same()
    assert re.search(words, found.how)


def test_the_same_nan_is_the_same_and_a_missing_layer_is_not():
    one = {"conv1": np.array([np.nan], np.float32), "fc8": np.ones(2, np.float32)}
    assert differ.of_run("exact", BATCH, one, dict(one)).same()
    found = differ.of_run("exact", BATCH, one, {"conv1": one["conv1"]})
    assert found.missing == ("fc8",)
    assert "1 layers in one of them only: fc8" in differ.line(found)


def test_a_stimulus_that_one_trace_has_not_is_missing(taken):
    held = trace.read(taken)
    less = replace(held, recordings={"exact": Recording("numpy", "paper-thin", "exact")})
    (found,) = differ.between(held, less)
    assert len(found.missing) == 24
