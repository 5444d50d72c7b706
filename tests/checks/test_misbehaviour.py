"""Strangers' implementations go wrong in many ways: each is one clear finding, and nobody else's result is lost."""

from __future__ import annotations

import re
import threading

import pytest
from harness import NUMPY, SUPPORT, findings_of, run

MISBEHAVING = str(SUPPORT / "misbehaving.py")
CHECKS = ("--check", "structure", "--check", "exact", "--check", "local")


def outcome(way, monkeypatch, tmp_path, *more):
    """(exit status, findings about the misbehaving one, findings about a good one beside it)."""
    monkeypatch.setenv("ALEXNET_MISBEHAVES", way)
    file = tmp_path / "findings.json"
    names = ("--impl", MISBEHAVING, "--impl", NUMPY, "--variant", "paper-thin")
    status = run("verify", *names, *CHECKS, "--json", file, *more)
    found = findings_of(file) if file.exists() else []
    return status, [f for f in found if f.impl == MISBEHAVING], [f for f in found if f.impl == NUMPY]


def wrong(findings):
    return [f for f in findings if f.status not in ("PASS", "KNOWN", "UNSUPPORTED")]


# way: (check, layer, status, words in `got`)
WAYS = {
    "conv3 is missing": ("structure-shapes", "conv3", "ERROR", "none"),
    "conv3 is misnamed": ("structure-shapes", "conv3", "ERROR", "did you mean 'conv_3'"),
    "conv3 is channels last": ("structure-shapes", "conv3", "FAIL", "shape"),
    "conv3 is float64": ("structure-shapes", "conv3", "FAIL", "dtype float64"),
    "conv3 is NaN": ("local-large", "conv3", "FAIL", "not finite, first at [0, 1, 2, 3]: nan"),
    "conv3 is infinite": ("exact-local", "conv3", "FAIL", "inf"),
    "conv3 is a list": ("structure-shapes", "conv3", "ERROR", "expected a numpy.ndarray"),
    "conv3 is complex": ("structure-shapes", "conv3", "ERROR", "complex64"),
    "conv3 is empty": ("structure-shapes", "conv3", "FAIL", "shape"),
    "conv3 has one image": ("structure-shapes", "conv3", "FAIL", "shape"),
    "a parameter is missing": ("structure-readback", "fc7", "ERROR", "not in params()"),
    "a parameter too many": ("structure-readback", "norm1", "ERROR", "norm1.gamma"),
    "a parameter is no array": ("structure-readback", "fc7", "ERROR", "str"),
    "params raises": ("structure-readback", "conv1", "ERROR", "no weights for you"),
    "returns nothing": ("structure-shapes", "conv1", "ERROR", "activations() raised"),
    "returns a list of arrays": ("structure-shapes", "conv1", "ERROR", "expected a mapping or (name, array) pairs"),
    "conv3 is given twice": ("structure-shapes", "relu3", "ERROR", "'conv3' was given twice"),
    "activations never end": ("structure-shapes", "conv3", "ERROR", "more than 1000 activations"),
    "leaves a child that holds the pipe": ("exact-chain", "fc6", "ERROR", "exited with status 1"),
    "leaves a child in a session of its own": ("exact-chain", "fc6", "ERROR", "exited with status 1"),
    "is fixed to an unknown variant": ("exact-chain", "conv1", "ERROR", "unknown variant 'alexnet'"),
    "writes to every file": ("exact-chain", "fc6", "ERROR", "cannot be read"),
    "build raises": ("exact-chain", "conv1", "ERROR", "build() raised RuntimeError: out of luck at misbehaving.py:"),
    "ends on import": ("exact-chain", "conv1", "ERROR", "exited with status 3"),
    "raises at fc6": ("exact-chain", "fc6", "ERROR", "RuntimeError: matrix sizes do not match at misbehaving.py:"),
    "raises in a library": (
        "exact-chain",
        "fc6",
        "ERROR",
        "ValueError: cannot reshape array of size 3 into shape (2,) at misb",
    ),
    "says what terminals obey": (
        "exact-chain",
        "fc6",
        "ERROR",
        "activations() raised RuntimeError: all is well at misb",
    ),
    "conv3 is named in colours": ("structure-shapes", "\\x1b[32mconv3\\x1b[0m", "ERROR", "'"),
    "exits at fc6": ("exact-chain", "fc6", "ERROR", "exited with status 0"),
    "crashes at fc6": ("exact-chain", "fc6", "ERROR", "SIGSEGV"),
    "is killed at fc6": ("exact-chain", "fc6", "ERROR", "SIGKILL (out of memory?)"),
    "overwrites its input": ("local-large", "conv1", "FAIL", ""),
    "build changes the given weights": ("structure-readback", "conv1", "FAIL", "differ"),
}


@pytest.mark.parametrize("way", WAYS)
def test_misbehaviour_is_one_clear_finding_and_the_others_survive(way, monkeypatch, tmp_path):
    check, layer, expected, words = WAYS[way]
    status, theirs, good = outcome(way, monkeypatch, tmp_path)
    assert status == 1
    matching = [f for f in wrong(theirs) if (f.check, f.layer, f.status) == (check, layer, expected)]
    assert matching, [(f.check, f.layer, f.status, f.got) for f in wrong(theirs)]
    assert words in matching[0].got
    assert not [f.expected for f in wrong(theirs) if f.expected.endswith(".") or f.got.endswith(".")]
    assert all(text.isprintable() for f in theirs for text in (f.layer, f.expected, f.got, f.hint))
    assert not re.search(r" at (passes|running|__init__)\.py", matching[0].got)
    assert good
    assert not wrong(good)


@pytest.mark.parametrize("way", ["raises at fc6", "exits at fc6", "crashes at fc6", "is killed at fc6"])
def test_what_came_before_a_crash_is_judged(way, monkeypatch, tmp_path):
    _, theirs, _ = outcome(way, monkeypatch, tmp_path)
    passed = {f.layer for f in theirs if f.check == "exact-chain" and f.status == "PASS"}
    assert {"conv1", "norm2", "conv5", "flatten"} <= passed
    assert "fc6" not in passed


def test_layers_fed_with_nan_are_not_judged_alone(monkeypatch, tmp_path):
    _, theirs, _ = outcome("conv3 is NaN", monkeypatch, tmp_path)
    assert {f.layer for f in wrong(theirs) if f.check == "local-large"} == {"conv3"}
    assert "relu3" not in {f.layer for f in theirs if f.check == "local-large"}


@pytest.mark.parametrize("way", ["conv3 is NaN", "conv3 is infinite", "conv3 is channels last", "conv3 is empty"])
def test_every_check_copes_with_numbers_that_are_none(way, monkeypatch, tmp_path):
    monkeypatch.setenv("ALEXNET_MISBEHAVES", way)
    file, report = tmp_path / "f.json", tmp_path / "r.md"
    names = ("--impl", MISBEHAVING, "--impl", NUMPY, "--variant", "paper-224-thin")
    assert run("verify", *names, "--json", file, "--report", report) == 1
    assert not [f for f in findings_of(file) if "the check itself raised" in f.got]
    assert "**Verdict: FAIL.**" in report.read_text()


def test_hung_implementation_is_ended_as_error(monkeypatch, tmp_path):
    status, theirs, good = outcome("hangs at fc6", monkeypatch, tmp_path, "--timeout", "4")
    assert status == 1
    assert any("no sign of life for 4 s" in f.got and f.layer == "fc6" for f in theirs)
    assert any(f.layer == "conv5" and f.status == "PASS" for f in theirs)
    assert good
    assert not wrong(good)


def test_prints_do_not_disturb(monkeypatch, tmp_path):
    status, theirs, _ = outcome("prints", monkeypatch, tmp_path)
    assert status == 0
    assert not wrong(theirs)


def test_unsupported_is_no_failure_and_says_why(monkeypatch, tmp_path):
    status, theirs, _ = outcome("build is unsupported", monkeypatch, tmp_path)
    assert status == 0
    assert {f.status for f in theirs} == {"UNSUPPORTED"}
    assert "no LRN" in theirs[0].got


def refused(capsys, *arguments) -> str:
    """The one line of exit status 2."""
    assert run("verify", *arguments, "--variant", "paper-thin", *CHECKS) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert said.err.strip().isprintable()
    return said.err.strip()


@pytest.mark.parametrize(
    "way, words",
    [
        ("imports what is missing", "No module named 'a_framework_that_nobody_has' at misbehaving.py:"),
        ("has a wrong import", "its import failed: ImportError: cannot import name 'nonesuch' from 'numpy'"),
        ("raises on import", "its import raised ValueError: no luck today at misbehaving.py:"),
        ("exits on import", "its import raised SystemExit: 3 at misbehaving.py:"),
    ],
)
def test_what_cannot_be_imported_ends_with_status_2_and_one_line(way, words, monkeypatch, capsys):
    monkeypatch.setenv("ALEXNET_MISBEHAVES", way)
    assert words in refused(capsys, "--impl", MISBEHAVING, "--impl", NUMPY)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "found no build() in mine.py, expected one: write build(network, params)"),
        ("build = 3", "found build = 3 in mine.py, expected a function"),
        (
            "\ndef build(a, b, c):\n    return 1",
            "found build(a, b, c) at mine.py:2, expected build(network, params): missing",
        ),
        ("x = 1\ndef build(:", "its import raised SyntaxError: invalid syntax at mine.py:2"),
        ("import neighbour", "its import raised SyntaxError: invalid syntax at neighbour.py:1"),
        ("raise RuntimeError('\\x1b]0;owned\\x07\\x00boo')", "its import raised RuntimeError: boo at mine.py:1"),
    ],
)
def test_a_module_that_cannot_be_built_from_is_told_once_and_where(text, words, tmp_path, capsys):
    (tmp_path / "neighbour.py").write_text("def (")
    (tmp_path / "mine.py").write_text(text)
    assert words in refused(capsys, "--impl", tmp_path / "mine.py")


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), BlockingIOError(11, "Resource temporarily unavailable")]
)
def test_a_process_that_is_not_started_is_an_error_in_one_line(error, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("subprocess.Popen", refuse)
    file = tmp_path / "findings.json"
    assert run("verify", "--impl", NUMPY, "--variant", "paper-thin", *CHECKS, "--json", file) == 1
    found = [f for f in findings_of(file) if f.impl == NUMPY]
    assert {f.status for f in found} == {"ERROR"}
    assert {f.got for f in found if f.check == "structure-parameters"} == {
        f"its process could not be started: {error.strerror}"
    }


@pytest.mark.parametrize("failing", [1, 2])
def test_a_thread_that_is_not_started_is_an_error_in_one_line(failing, monkeypatch, tmp_path):
    start, started = threading.Thread.start, []

    def refuse(thread):
        if (ours := "listen" in repr(thread._target) or "silent" in repr(thread._target)) and len(
            started
        ) == failing - 1:
            raise RuntimeError("can't start new thread")
        started.extend([thread] * ours)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    file = tmp_path / "findings.json"
    assert run("verify", "--impl", NUMPY, "--variant", "paper-thin", *CHECKS, "--json", file) == 1
    found = [f for f in findings_of(file) if f.impl == NUMPY]
    assert {f.status for f in found} == {"ERROR"}
    assert all("can't start new thread" in f.got for f in found if f.check == "structure-parameters")
