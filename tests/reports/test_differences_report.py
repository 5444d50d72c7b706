"""The report of the differences: whole, linked, marked, and honest about a pair that fails."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import pytest

from alexnet_parity.checks import equal_pairs
from alexnet_parity.checks.deviations import DEVIATIONS
from alexnet_parity.checks.effects import SCALES, Effect
from alexnet_parity.checks.finding import Status
from alexnet_parity.reference.differences import COLUMNS, Stance, aspects
from alexnet_parity.reports import difference_plots, differences, findings_file
from alexnet_parity.reports.differences import Differences

STILL = ("pooling rounded up", "last ReLU after pool5", "dropout before fc6 and fc7")


def invented():
    """Effects of a plausible size, without the minutes that measuring them takes."""
    for number, deviation in enumerate(DEVIATIONS):
        for scale in SCALES:
            size = 0.0 if deviation.name in STILL else (number + 1) * scale * 1e-4
            yield Effect(deviation.name, scale, size, 2 * size)


@pytest.fixture(scope="module")
def found():
    environment = findings_file.environment({"torch": {"torch": "2.13.0"}}, 0, "cpu", {})["runs"][0]
    oracle = tuple(equal_pairs.of_oracle(0))
    torch = tuple(
        dataclasses.replace(finding, impl="torch") for finding in oracle if "dropout-training" not in finding.check
    )
    return Differences(tuple(invented()), (*oracle, *torch), environment, 14.0)


@pytest.fixture(scope="module")
def text(found):
    return differences.document(found, "figures/d.svg")


def test_every_aspect_is_a_row_with_its_sources_as_links(text):
    rows = {}
    for line in text.split("## What LRN")[0].splitlines():
        if match := re.match(r"\| (\d+)°? +\|", line):
            rows[int(match[1])] = line
    assert sorted(rows) == list(range(1, 50))
    for aspect in aspects():
        for source in aspect.sources:
            assert source.label in rows[aspect.number]
            assert source.address in rows[aspect.number]
        for column in COLUMNS:
            cell = aspect.cells[column]
            assert (f"**{cell.text}**" in rows[aspect.number]) >= (cell.stance is Stance.DIFFERS)


def test_nothing_in_it_is_empty_or_a_python_object(text):
    assert not re.search(r"\bnan\b|None|<[A-Z]\w+\.|object at|\{[a-z]", text)
    for title in (
        "Aspect by aspect",
        "What LRN",
        "How far each",
        "Different in writing",
        "The ablations",
        "How this was",
    ):
        assert f"## {title}" in text


def test_every_table_has_rows_of_one_length(text):
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
        assert len(block.splitlines()) > 2


def test_passing_pairs_say_so_for_each_implementation(text):
    assert "**Every pair holds: PASS.** On the oracle and `torch`" in text
    pairs = text.split("## Different in writing")[1].split("## The ablations")[0]
    assert pairs.count("PASS") == 2 * len(equal_pairs.pairs(0)) + 1


def test_one_failing_finding_turns_the_report_and_stands_on_top(found):
    *rest, last = found.findings
    failed = dataclasses.replace(last, status=Status.FAIL, got="1 of 58 differ")
    broken = dataclasses.replace(found, findings=(*rest, failed))
    text = differences.document(broken, "figures/d.svg")
    assert not broken.good()
    assert "FAIL" in text.splitlines()[2]
    assert "1 of 58 differ" in text.split("## ")[0]
    assert "| FAIL" in text.split("## Different in writing")[1]
    assert json.loads(broken.as_json())["summary"]["verdict"] == "FAIL"


def test_without_an_implementation_it_says_that_none_was_at_hand(found):
    alone = dataclasses.replace(found, findings=tuple(f for f in found.findings if f.impl == "oracle"))
    assert "none was at hand" in differences.document(alone, "figures/d.svg")
    assert alone.good()


def test_no_findings_are_no_proof(found):
    assert not dataclasses.replace(found, findings=()).good()


def test_json_has_the_schema_and_all_parts(found):
    document = json.loads(found.as_json())
    assert document["schema"] == "alexnet-parity/differences/1"
    assert [aspect["number"] for aspect in document["aspects"]] == list(range(1, 50))
    assert len(document["effects"]) == len(DEVIATIONS) * len(SCALES)
    assert len(document["pairs"]) == len(found.findings)
    assert document["environment"]["seed"] == 0
    assert {"conventions", "ablations", "summary"} < set(document)
    assert document["aspects"][14]["cells"]["caffe"]["stance"] == "differs"


def test_writing_makes_the_report_and_its_figure_the_same_each_time(found, tmp_path):
    differences.write(found, tmp_path / "d.md")
    first = (tmp_path / "figures" / "d-effects.svg").read_text()
    assert "figures/d-effects.svg" in (tmp_path / "d.md").read_text()
    assert first.rstrip().endswith("</svg>")
    differences.write(found, tmp_path / "d.md")
    assert (tmp_path / "figures" / "d-effects.svg").read_text() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.md", "figures"]


# The figure ---------------------------------------------------------------------------------------------------------


def test_every_deviation_with_an_effect_is_named_in_the_figure_or_left_out_on_purpose(found):
    figure = difference_plots.effects(found.effects)
    named = {text.get_text() for text in figure.axes[1].texts}
    assert named == {d.name for d in DEVIATIONS} - set(difference_plots.NOT_DRAWN) - set(STILL)
    assert set(difference_plots.NOT_DRAWN) < {d.name for d in DEVIATIONS}
    difference_plots.plt.close(figure)


def test_no_two_lines_look_alike():
    looks = [difference_plots.look(deviation) for deviation in difference_plots.drawn()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize(
    "heights",
    [[0.5], [0.1, 0.9], [0.5, 0.5, 0.5], [0.0, 0.0, 0.01], [0.97, 0.99, 1.2], [-0.5, 0.3, 0.31, 0.33, 0.7], []],
    ids=str,
)
def test_labels_are_moved_apart_and_stay_in_order_and_inside(heights):
    places = difference_plots.spread(heights, 0.05)
    assert len(places) == len(heights)
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_labels_that_are_far_apart_stay_where_they_belong():
    assert difference_plots.spread([0.2, 0.4, 0.8], 0.05) == pytest.approx([0.2, 0.4, 0.8])
