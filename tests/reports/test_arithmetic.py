"""The report on conditions: its summary, its tables, what it never leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alexnet_parity.checks.conditions import outcome
from alexnet_parity.checks.conditions.condition import PLAIN
from alexnet_parity.checks.conditions.outcome import Outcome
from alexnet_parity.checks.finding import Finding, Status

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

from alexnet_parity.reports import arithmetic, arithmetic_plots, findings_file
from alexnet_parity.reports.findings_file import Findings


def layer(impl, name, moved=0.0, ulps=0.0, share=0.125, status=Status.PASS, **more):
    numbers = {"moved": moved, "ulps": ulps, "end_to_end": share}
    found = Finding(status, name, "numbers within their bound", "a", share, numbers=numbers, impl=impl, **more)
    return found.filled(check="condition-large", variant="paper-thin", stimulus="large", device="cpu", replay="again")


def exact(impl, status=Status.PASS):
    return replace(layer(impl, "conv1", status=status), check="condition-exact", stimulus="exact", numbers={})


def gradient(impl, name, moved=0.0, ulps=0.0, share=0.125, status=Status.PASS, **more):
    return replace(layer(impl, name, moved, ulps, share, status, **more), check="condition-gradient-large")


INFERS = Finding(Status.UNSUPPORTED, got="no gradients()", impl="jax", check="condition-gradient-large")
BACK = (
    gradient("torch", "fc8.weight"),
    gradient("torch@process", "fc8.weight"),
    gradient("torch@threads-1", "conv1.weight", moved=0.5, ulps=8266, share=0.4),
    replace(exact("torch"), check="condition-gradient-exact", layer="conv2"),
    INFERS,
)
GONE = Finding(Status.UNSUPPORTED, got="not run here: torch sees no CUDA device here", impl="torch@cuda")
GONE = GONE.filled(check="condition-large", variant="paper-thin", stimulus="large", device="cuda", replay="again")
FEWER = {"hint": f"{outcome.REDUCED}bfloat16, as it was set to"}
WHY = "sums in another order (https://example.org)"
ALL = (
    layer("torch", "conv1"),
    layer("torch", "fc6"),
    exact("torch"),
    layer("torch@process", "conv1"),
    layer("torch@process", "fc6"),
    layer("torch@onednn-off", "conv1"),
    layer("torch@onednn-off", "fc6", moved=0.25, ulps=63552, share=0.14, hint=WHY),
    exact("torch@onednn-off"),
    layer("torch@autocast-bfloat16", "fc6", moved=0.99, ulps=9e6, share=4321.0, status=Status.KNOWN, **FEWER),
    GONE,
    replace(GONE, impl="torch@tf32-on"),
    layer("jax", "conv1"),
    layer("jax@threads-1", "conv1", moved=0.5, ulps=1, share=0.3),
)


def found(*findings):
    flags = {
        "torch": {"torch": "2.13.0", "device": "cpu"},
        "torch@process": {"torch": "2.13.0"},
        "jax": {"jax": "0.10"},
    }
    digests = {"paper-thin/large": {"params": "ab" * 32, "input": "cd" * 32}}
    return Findings(tuple(findings), findings_file.environment(flags, 0, "cpu", digests))


def document(*findings):
    given = found(*findings)
    return arithmetic.document(given, "figures/a.svg", "figures/b.svg")


def row(text, *words):
    return next(line for line in text.splitlines() if line.startswith("|") and all(word in line for word in words))


def test_the_summary_comes_first_and_counts():
    text = document(*ALL)
    head = text.partition("![")[0]
    assert "**Verdict: PASS.** `torch`, `jax`" in head
    assert "2 of 2 layers' outputs" in head
    assert "must not change a bit: 1 of 1 runs" in head
    assert "uses at most **30 %** of the bound; the plain runs use 12 %" in head
    assert "leave float32's bound by far: 4,321 to 4,321 times. " in head
    assert "On a GPU nothing was run here" in head


def test_a_row_for_each_condition_and_a_column_for_each_implementation():
    text = document(*ALL)
    assert row(text, "condition", "what it is", "torch", "jax").index("torch") < row(text, "what it is", "jax").index(
        "jax"
    )
    assert "same bits, 12 %" in row(text, "`process`", "**another process**")
    assert "64k ulp, 14 %" in row(text, "`onednn-off`", "without oneDNN")
    assert "1 ulp, 30 %" in row(text, "`threads-1`", "one thread")


def test_where_bits_part_and_why_or_that_it_is_not_known():
    text = document(*ALL)
    line = row(text, "`torch`", "`onednn-off`", "63,552")
    assert "fc6" in line
    assert "1 of 2" in line
    assert "sums in another order ([source](https://example.org))" in line
    assert "not explained" in row(text, "`jax`", "`threads-1`", "1 of 1")


def test_gradients_have_a_chapter_of_their_own_and_what_only_infers_no_column():
    text = document(*ALL, *BACK)
    head = text.partition("![")[0]
    assert "2 of 2 layers' outputs and 1 of 1 gradients under a condition are the oracle's" in head
    assert "must not change a bit, forward and back: 2 of 2 runs" in head
    assert "uses at most **40 %** of the bound" in head
    chapter = text.partition("## What changes gradients' bits")[2].partition("\n## ")[0]
    assert "![What each condition does to gradients' bits](figures/b.svg)" in chapter
    assert "jax" not in row(chapter, "condition", "what it is")
    assert "8.3k ulp, 40 %" in row(chapter, "`threads-1`")
    line = row(chapter, "`torch`", "conv1.weight", "1 of 1", "8,266")
    assert "not explained" in line
    assert "gradients that move" in row(chapter, "parts first at")
    assert "What changes gradients" not in document(*ALL)
    assert "What changes gradients" not in document(*ALL, INFERS)


def test_a_gpu_that_was_not_there_is_told_for_each_row():
    text = document(*ALL)
    assert "not run here: torch sees no CUDA device here" in row(text, "`cuda`", "`torch`")
    assert "not run here" in row(text, "`tf32-on`", "`torch`")


def test_fewer_bits_have_a_chapter_of_their_own():
    text = document(*ALL)
    assert "4,321" in row(text, "`autocast-bfloat16`", "bfloat16")
    assert "`autocast-bfloat16`" not in text.partition("## What changes bits")[2].partition("##")[0]


def test_a_run_on_a_gpu_says_on_which():
    flags = {"torch": {"device": "cuda NVIDIA H100"}, "torch@threads-1": {"device": "cuda NVIDIA A100"}}
    given = Findings(ALL[:3], findings_file.environment(flags, 0, "cuda", {}))
    assert ", on NVIDIA H100." in arithmetic.document(given, "figures/a.svg")
    assert "NVIDIA" not in document(*ALL)


def test_a_mode_is_listed_with_the_arithmetic_that_it_had():
    mode = layer("jax@matmul-bfloat16", "fc6", moved=0.9, ulps=9e6, share=131.0, status=Status.KNOWN)
    on_gpu = replace(mode, hint=f"{outcome.REDUCED}tf32, as it was set to")
    assert "tf32" in row(document(layer("jax", "fc6"), on_gpu), "`matmul-bfloat16`", "131")


def test_what_is_wrong_is_told_on_top_and_cannot_break_a_table():
    bad = replace(layer("torch@process", "fc6", moved=0.1, ulps=3, status=Status.FAIL), got="3 of 7 | differ")
    text = document(*ALL[:3], bad)
    assert "**Verdict: FAIL.**" in text
    assert "3 of 7 \\| differ" in text.partition("## What changes bits")[0]
    assert "**FAIL** 3 ulp" in row(text, "`process`")


def test_only_plain_runs_are_in_the_table_of_versions():
    text = document(*ALL).partition("## Environment")[2]
    assert "torch 2.13.0" in text
    assert "@process" not in text


def test_the_figure_is_the_same_for_the_same_findings(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        arithmetic.write(found(*ALL), tmp_path / name / "arithmetic.md")
    one, two = (tmp_path / n / "figures" / "arithmetic-conditions.svg" for n in ("one", "two"))
    assert one.read_text() == two.read_text()
    assert not (tmp_path / "one" / "figures" / "arithmetic-gradients.svg").exists()
    arithmetic.write(found(*ALL, *BACK), tmp_path / "one" / "arithmetic.md")
    assert "8.3k ulp" in (tmp_path / "one" / "figures" / "arithmetic-gradients.svg").read_text()
    assert "64k ulp" in one.read_text()


@pytest.mark.parametrize(
    "summed, colour, words",
    [
        (Outcome(Status.PASS, asked=2), arithmetic_plots.SAME, "same bits"),
        (Outcome(Status.PASS, ulps=1234, layers=1, asked=2), arithmetic_plots.INSIDE, "1.2k ulp"),
        (
            Outcome(Status.KNOWN, share=52.3, layers=1, asked=2, arithmetic="bfloat16"),
            arithmetic_plots.OVER,
            "52.3 x bound",
        ),
        (Outcome(Status.FAIL, ulps=3, layers=1, asked=2), arithmetic_plots.WRONG, "3 ulp"),
        (Outcome(Status.ERROR), arithmetic_plots.WRONG, "ERROR"),
        (Outcome(Status.UNSUPPORTED), arithmetic_plots.NOT_RUN, "not run"),
    ],
    ids=lambda value: value.status.value if isinstance(value, Outcome) else "",
)
def test_a_cell_says_and_shows_what_was_found(summed, colour, words):
    assert arithmetic_plots.colour(summed)[0] == colour
    assert arithmetic_plots.words(summed) == words


def test_large_distances_are_short():
    wanted = {3: "3", 999: "999", 1234: "1.2k", 999_999: "1M", 63552: "64k", 135_610_813: "140M"}
    assert {value: arithmetic_plots.rounded(value) for value in wanted} == wanted


@pytest.mark.parametrize(
    "name, parts",
    [
        ("torch@threads-1", ("torch", "threads-1")),
        ("torch", ("torch", PLAIN)),
        ("my@dir/mine.py", ("my@dir/mine.py", PLAIN)),
        ("my@dir/mine.py@threads-1", ("my@dir/mine.py", "threads-1")),
    ],
)
def test_an_at_within_a_path_is_no_condition(name, parts):
    assert arithmetic.parted(name) == parts
