"""The chapter on special values: who does what is told, what is wrong is not smoothed over, nothing is invented."""

from __future__ import annotations

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.reference.special_answers import LOST, SORTS
from alexnet_parity.reports import special

LOWEST = "begins low (core/pool.cc) [from-lowest]"


def finding(case: str, status: Status = Status.PASS, **more: object) -> Finding:
    given = {"check": "special-nan", "impl": "torch", "stimulus": "special.max-pool", "got": "NaN", "variant": "paper"}
    return Finding(status, f"max-pool: {case}", **given | more)  # type: ignore[arg-type]


KEPT = finding("nothing but NaN")
KNOWN = finding("nothing but NaN", Status.KNOWN, impl="tf_nn", got="as if absent: 1 of 60 differ", hint=LOWEST)
FAILED = finding("NaN among inf", Status.FAIL, impl="mine.py", got="1 of 60 differ, first at [1, 2, 1]: inf for nan")


def told(*findings: Finding) -> str:
    return "\n\n".join(special.chapter(findings))


def row(text: str, case: str) -> list[str]:
    line = next(line for line in text.splitlines() if f"| {case} " in line and "max-pool " in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_nothing_is_said_where_nothing_was_asked():
    unsupported = finding("", Status.UNSUPPORTED, got="fixed to the network 'paper'")
    assert told() == told(finding("conv1", check="exact-chain"), unsupported) == ""


def test_a_case_has_both_right_answers_and_what_each_implementation_gave():
    text = told(KEPT, KNOWN, FAILED)
    assert row(text, "nothing but NaN") == ["max-pool", "nothing but NaN", "NaN", "", "NaN", "*as if absent*", ""]
    assert row(text, "NaN among inf") == ["max-pool", "NaN among inf", "NaN", "", "", "", "**FAIL**"]


def test_every_case_has_a_row_whether_asked_or_not():
    assert told(KEPT).count("\n| ") == len(special.cases()) + 1  # and the headers


def test_who_does_otherwise_is_told_with_the_reason_and_where():
    again = finding("NaN among inf", Status.KNOWN, impl="keras", got="as if absent: 1", hint=LOWEST)
    text = told(KEPT, KNOWN, again)
    line = next(line for line in text.splitlines() if "begins low (core/pool.cc)" in line)
    assert "`tf_nn`, `keras`" in line
    assert "max-pool: nothing but NaN, NaN among inf" in line
    assert "begins with the lowest number" in line
    assert "[from-lowest]" not in line


def test_what_is_wrong_is_counted_and_no_known_deviation():
    text = told(KEPT, FAILED)
    assert f"`torch` 1 of {len(special.cases())}" in text
    assert f"`mine.py` 0 of {len(special.cases())} (**1 not explained**)" in text
    assert "Who gives something else" not in text


def test_of_two_variants_the_one_that_fails_is_shown():
    thin = finding("nothing but NaN", Status.FAIL, variant="paper-thin")
    for order in ((KEPT, thin), (thin, KEPT)):
        assert row(told(*order), "nothing but NaN")[-1] == "**FAIL**"


def test_the_picture_is_where_it_is_said_to_be():
    text = "\n\n".join(special.chapter([KEPT], "figures/parity-special.svg"))
    assert "](figures/parity-special.svg)" in text
    assert "](" not in told(KEPT)


def test_colours():
    assert special.sort_of(KEPT) == special.RIGHT
    assert special.sort_of(KNOWN) == LOST
    assert special.sort_of(FAILED) == special.WRONG
    assert special.sort_of(None) == special.NOT_ASKED
    assert special.sort_of(finding("x", Status.KNOWN, hint="wider (there) [exact]")) in SORTS
    assert set(special.COLOURS) == {special.RIGHT, *SORTS, special.WRONG, special.NOT_ASKED}
    assert len(set(special.COLOURS.values())) == len(special.COLOURS)


def test_a_panel_for_each_theme_with_how_many_cases_depart():
    figure = special.figure([KEPT, KNOWN, finding("NaN among inf", Status.KNOWN, impl="tf_nn", hint=LOWEST)])
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == list(special.TITLES.values())
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["torch", "tf_nn"]
    assert [text.get_text() for text in panels[0].texts] == ["2"]
    special.plt.close(figure)
