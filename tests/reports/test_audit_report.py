"""The report on an audit and its picture: complete, whatever the model calls itself, and the same for the same audit."""

from __future__ import annotations

import dataclasses
import itertools
import re
from xml.etree import ElementTree

import pytest
from matplotlib import pyplot

from alexnet_parity.checks.audit.result import Audit, Deviation, Row, verdict_of
from alexnet_parity.reference import variants
from alexnet_parity.reports import audit as report
from alexnet_parity.reports import audit_plots, audit_words, files

LRN = Deviation(
    *("norm1", "lrn-alpha-over-n", "deviation", "alpha = 2e-05", "alpha = 0.0001", "its output moves by 66 %"),
    *("torch.nn.LocalResponseNorm divides alpha by size", "Section 3.3", "norm1.own"),
)
AGAIN = dataclasses.replace(LRN, layer="norm2", at="norm2.own", effect="its output moves by 67 %")
CEIL = Deviation(
    *("pool1", "pool-ceil", "convention", "28 x 28", "27 x 27", "another shape", "ceil_mode=True", "Section 3.4"),
    agrees_with=("caffe",),
)
ODD = Deviation("conv3", "", "unexplained", "times 1.5", "conv3", "all moves", "no entry explains it", "Section 3.5")
MISSING = Deviation("prob", "softmax-missing", "deviation", "nothing", "softmax", "", "no softmax", "Section 3.5")
RANGE = Deviation("", "input-range", "deviation", "0 to 1", "0 to 255", "everything", "divided by 255", "Section 2")
ALL = (LRN, AGAIN, CEIL, ODD, MISSING, RANGE)
PAPER = [layer.name for layer in variants.variant("paper").layers]


def rows_for(names: list[str], own: str = "{}.own") -> tuple[Row, ...]:
    return tuple(
        Row(own.format(name), f"nn.Kind(n={i})", f"what {name} does", name, (96, 55, 54), 0.125 * i, (f"{name}.w",))
        for i, name in enumerate(names)
    )


def audit_of(*deviations: Deviation, **more: object) -> Audit:
    given = {
        "rows": rows_for([name for name in PAPER if name != "prob"]),
        "notes": ("defined and never called: aux",),
        "input_shape": (3, 227, 226),
        "batch": 2,
        "versions": {"numpy": "2.0", "peak_memory_mb": "1234"},
        "seconds": 12.5,
    }
    audit = Audit("net.py:net", "torch 2.0", "paper", verdict_of(deviations), deviations, **given)
    return dataclasses.replace(audit, **more)


NOT_ONE = Audit("net.py:net", "torch 2.0", "paper", "no AlexNet", (), notes=("no AlexNet: found 53 convolutions",))


def sections(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


# The page ---------------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_place():
    text = report.document(audit_of(*ALL), "figures/a.svg")
    assert sections(text) == [
        "Audit of `net.py:net`",
        "Deviations",
        "What each means",
        "Conventions",
        "Layer by layer",
        "Parameters",
        "Notes",
        "Run it again",
    ]
    head = text.partition("## Deviations")[0]
    assert "not everything" in head
    assert "3 deviations, 1 convention, 1 unexplained" in head.lower()
    assert "2 images of 3 x 227 x 226, seed 0. It took 12.5 s and 1,234 MB. With numpy 2.0." in head
    assert "](figures/a.svg)" in head
    rows = [line for line in text.partition("## Deviations")[2].splitlines() if re.match(r"\| \d", line)]
    assert [row.split("|")[2].strip() for row in rows] == ["unexplained", "deviation", "deviation", "deviation"]
    for one in ALL:
        assert one.cause.replace("_", r"\_") in text
    assert "norm1 (norm1.own), norm2 (norm2.own)" in text
    assert "at norm1: its output moves by 66 %; at norm2: its output moves by 67 %" in text
    assert "the whole network" in text
    assert "**norm1**" in text
    assert "**relu1**" not in text
    assert "`conv1.w`" in text
    assert "alexnet-parity audit net.py:net --input-shape 2,3,227,226" in text


@pytest.mark.parametrize(
    "audit, words",
    [
        (audit_of(), "nothing differs"),
        (audit_of(CEIL), "no mistake"),
        (audit_of(LRN), "departs from it"),
        (audit_of(ODD, LRN), "could be explained"),
        (NOT_ONE, "no AlexNet"),
    ],
    ids=["equal", "convention", "deviates", "unexplained", "another"],
)
def test_the_verdict_comes_first(audit, words):
    text = report.document(audit)
    assert words in text.split("\n\n")[1]
    assert ("## Deviations" in text) == any(one.kind != "convention" for one in audit.deviations)
    assert ("## Conventions" in text) == any(one.kind == "convention" for one in audit.deviations)
    assert "![" not in text


def test_what_is_no_alexnet_has_no_tables():
    assert sections(report.document(NOT_ONE)) == ["Audit of `net.py:net`", "Run it again"]
    assert "found 53 convolutions" in report.document(NOT_ONE)


NASTY = "a|b`c`<script>*x*_y_[z](http://w) $q$\n# no heading\n- no item\x1b[2J"


def test_text_from_the_model_is_no_markup():
    bad = dataclasses.replace(LRN, **dict.fromkeys(("found", "expected", "effect", "cause", "at"), NASTY))
    rows = (dataclasses.replace(rows_for(["conv1"])[0], at=NASTY, call=NASTY, read=NASTY, parameters=(NASTY,)),)
    chosen = dataclasses.replace(bad, kind="convention", trap="t|`u`")
    text = report.document(audit_of(bad, chosen, target=NASTY, framework=NASTY, rows=rows, notes=(NASTY, NASTY)))
    assert len(sections(text)) == 8
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\[\\`*_\[\]<>~&#!$|]", "", text))
    for markup in ("<script>", "*x*", "_y_", "[z]", "$q$", "`c`"):
        assert markup not in outside.replace("    alexnet-parity audit", "").partition("Run it again")[0], markup
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_code_survives_backticks():
    assert report.code("a`b``c") == "```a`b``c```"
    assert report.code("`a`") == "`` `a` ``"
    assert report.code("") == ""


def test_long_tables_are_folded():
    many = rows_for([f"layer{i}" for i in range(report.LONG + 1)])
    assert report.document(audit_of(rows=many)).count("<details>") == 2
    assert report.document(audit_of(rows=many[:-1])).count("<details>") == 0


def test_a_chapter_fits_into_a_longer_page():
    text = report.chapter(audit_of(*ALL), "figures/x.svg", level=3)
    headings = re.findall(r"^#+", text, re.MULTILINE)
    assert headings[0] == "###"
    assert set(headings[1:]) == {"####"}
    assert not text.endswith("\n")


def test_the_summary_has_a_line_for_each_audit():
    lines = report.summary_table([audit_of(*ALL), audit_of(), NOT_ONE]).splitlines()[2:]
    assert len(lines) == 3
    assert "`lrn-alpha-over-n` (norm1, norm2), `softmax-missing` (prob), `input-range` (the whole network)" in lines[0]
    assert "no name (conv3)" in lines[0]
    assert [line.split("|")[4].strip() for line in lines] == ["unexplained", "equal", "no AlexNet"]
    assert lines[2].split("|")[3].strip() == ""


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 2))))
def test_joining_keeps_every_deviation(order):
    each = [LRN, AGAIN, dataclasses.replace(LRN, layer="norm3", found="alpha = 1")]
    told = audit_words.told_once([each[i] for i in order])
    assert sorted(one.layer for group in told for one in group.each) == ["norm1", "norm2", "norm3"]


def test_one_trap_of_other_effect_or_none_is_not_joined():
    other = dataclasses.replace(LRN, layer="norm2", found="alpha = 1", effect="its output moves by 1 %")
    assert len(audit_words.told_once([LRN, other])) == 2
    nameless = [dataclasses.replace(ODD, layer=f"conv{i}", found=f"times {i}") for i in range(3)]
    assert len(audit_words.told_once(nameless)) == 3


# The file ---------------------------------------------------------------------------------------------------------------


def test_it_is_written_with_its_figure(tmp_path):
    report.write(audit_of(*ALL), tmp_path / "a.md")
    assert "](figures/a-layers.svg)" in (tmp_path / "a.md").read_text()
    svg = (tmp_path / "figures" / "a-layers.svg").read_text()
    ElementTree.fromstring(svg)
    first = svg, (tmp_path / "a.md").read_text()
    report.write(audit_of(*ALL), tmp_path / "a.md")
    assert first == ((tmp_path / "figures" / "a-layers.svg").read_text(), (tmp_path / "a.md").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "figures"]


def test_what_is_no_alexnet_has_no_figure(tmp_path):
    report.write(NOT_ONE, tmp_path / "a.md")
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_nothing_is_written_where_the_figure_cannot_be(tmp_path):
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(files.Unwritable):
        report.write(audit_of(LRN), tmp_path / "a.md")
    assert not (tmp_path / "a.md").exists()


# The picture ------------------------------------------------------------------------------------------------------------


def entry(audit: Audit, name: str) -> audit_plots.Entry:
    (found,) = [one for one in audit_plots.entries_of(audit) if one.expected == name]
    return found


def test_every_layer_and_every_deviation_is_in_the_picture():
    audit = audit_of(*ALL)
    entries = audit_plots.entries_of(audit)
    assert [one.expected for one in entries] == ["", *PAPER]
    drawn = [deviation for one in entries for deviation in one.deviations]
    assert sorted(drawn, key=repr) == sorted(ALL, key=repr)
    assert entry(audit, "norm1").kind == "deviation"
    assert entry(audit, "conv3").kind == "unexplained"
    assert entry(audit, "relu3").kind == ""
    assert entry(audit, "prob").row is None
    assert entries[0].deviations == (RANGE,)


def test_a_layer_that_stands_elsewhere_is_said_to():
    rows = rows_for([n for n in PAPER if n != "drop7"])
    rows = (*rows[:3], dataclasses.replace(rows[3], at="early", layer=""), *rows[3:])
    moved = Deviation("drop7", "dropout-early", "deviation", "behind norm1", "behind relu7", "", "c", "s", "early")
    audit = audit_of(moved, rows=rows)
    assert entry(audit, "drop7").elsewhere == "early"
    assert [one.expected for one in audit_plots.entries_of(audit) if one.deviations == (moved,)] == [""]


def test_a_layer_that_only_the_paper_has_stands_where_it_would():
    rows = rows_for([n for n in PAPER if n not in ("norm1", "norm2")])
    without = [
        dataclasses.replace(LRN, layer=n, at="", kind="convention", trap="lrn-missing") for n in ("norm1", "norm2")
    ]
    audit = audit_of(*without, rows=rows, nearest_variant="one-weird-trick")
    entries = audit_plots.entries_of(audit)
    assert [one.expected or one.paper for one in entries] == PAPER
    assert [one.paper for one in entries if one.kind] == ["norm1", "norm2"]


def test_causes_that_differ_in_their_layers_name_become_one():
    each = [dataclasses.replace(LRN, layer=n, cause=f"pass groups=2 at {n}, not x.{n}") for n in ("conv2", "conv4")]
    told = audit_words.told_once(each)
    assert [audit_words.causes(one) for one in told] == [[each[0].cause, each[1].cause]]
    each = [dataclasses.replace(one, cause=f"pass groups=2 at {one.layer}") for one in each]
    assert [audit_words.causes(one) for one in audit_words.told_once(each)] == [["pass groups=2 at conv2, conv4"]]


def test_layers_in_another_order_come_once():
    rows = rows_for(PAPER)
    rows = (*rows[:1], rows[2], rows[1], *rows[3:])
    assert [one.expected for one in audit_plots.entries_of(audit_of(rows=rows))] == [r.layer for r in rows]


def test_a_variant_of_another_version_is_drawn_without_its_names():
    audit = dataclasses.replace(audit_of(LRN, MISSING), nearest_variant="of-tomorrow")
    assert len(audit_plots.entries_of(audit)) == len(audit.rows) + 1
    pyplot.close(audit_plots.layers(audit))


def test_very_many_layers_are_folded_where_they_agree():
    names = [f"layer{i}" for i in range(200)]
    odd = dataclasses.replace(ODD, layer="layer100", at="layer100.own")
    entries = audit_plots.shown(audit_plots.entries_of(audit_of(odd, rows=rows_for(names), nearest_variant="none")))
    assert [one.folded for one in entries] == [100, 0, 99]


def many_deviations() -> Audit:
    """Twelve at a few layers, with names that no box could hold."""
    long = "a.package.of.many.parts.and.layers." * 6 + "{}.$x$.音\x1b"
    rows = rows_for(PAPER[:-1], long)
    rows = tuple(
        dataclasses.replace(row, read=row.read + " at great length $y$" * 9, shape=(10**9,) * 3) for row in rows
    )
    kinds, traps = ("deviation", "convention", "unexplained"), ("lrn-alpha-over-n", "", "a-trap-without-an-end-" * 6)
    places = (0, 0, 0, 0, 2, 2, 3, 5, 5, 8, 20, 22)
    deviations = [
        Deviation(
            rows[place].layer,
            *(
                f"{traps[i % 3]}{i}" if traps[i % 3] else "",
                kinds[i % 3],
                "found so much | " * 20,
                "expected less " * 20,
            ),
            *("e", "c", "s", rows[place].at),
        )
        for i, place in enumerate(places)
    ]
    return audit_of(*deviations, RANGE, rows=rows, target="a/folder/with_a_name.py:" + "factory" * 30)


@pytest.mark.parametrize(
    "audit",
    [
        audit_of(),
        audit_of(LRN, CEIL, ODD),
        audit_of(*ALL),
        many_deviations(),
        dataclasses.replace(many_deviations(), nearest_variant="original-non-overlapping"),
    ],
    ids=["none", "three", "all", "twelve", "long variant"],
)
def test_no_text_overlaps_another_or_is_cut(audit):
    figure = audit_plots.layers(audit)
    renderer = figure.canvas.get_renderer()
    (axis,) = figure.axes
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in axis.texts if text.get_text().strip()]
    page = figure.bbox
    pyplot.close(figure)
    assert len(boxes) > 2 * len(audit.rows)
    for text, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        apart = first.x1 <= second.x0 or second.x1 <= first.x0 or first.y1 <= second.y0 or second.y1 <= first.y0
        assert apart, f"{a!r} on {b!r}"


def test_text_is_shortened_to_its_room_and_no_further():
    long = "abcdefghij" * 30
    short = audit_plots.fitted(long, 2.0, 9)
    assert "…" in short
    assert 1.8 < audit_plots.measure(short, 9) * audit_plots.SPARE <= 2.0
    assert short.startswith("abc")
    assert short.endswith("hij")
    assert audit_plots.fitted("conv1", 2.0, 9) == "conv1"
    assert audit_plots.fitted("a$b$", 2.0, 9) == r"a\$b\$"
