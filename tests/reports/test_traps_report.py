"""The report on the trial: what it counts, what it tells of failures, what it draws."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from alexnet_parity.checks.audit.trial import LOOSE, Alarm, Outcome

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

from alexnet_parity.reports import trap_plots, traps

GOOD = Outcome("pad-1", "torch", "paper-thin", "conv1", True, True, True, ("pad-1 at conv1",), ("deviation",))
UNNAMED = replace(GOOD, trap="tanh", layer="relu1", named=False, said=("a|b at relu1", "unexplained at <norm1>"))
ABSENT = Outcome("dropout-40", "torch", "paper-thin", "drop6", posed=False, reason="training only")
LOOSELY = {
    "pad-1": dict(zip(LOOSE, (False, False, True, True), strict=True)),
    "tanh": dict(zip(LOOSE, (False, False, False, True), strict=True)),
    "dropout-40": dict.fromkeys(LOOSE, False),
}


def tried(**changes):
    return replace(traps.Tried(("torch",), (GOOD, UNNAMED, ABSENT), loose=LOOSELY), **changes)


def test_it_passes_only_if_everything_posed_is_named_pairs_too_and_nothing_else_is_said():
    assert not tried().good()
    assert tried(singles=(GOOD, ABSENT)).good()
    assert not tried(singles=(ABSENT,)).good()
    assert not tried(singles=(GOOD,), alarms=(Alarm("torch", "paper-thin", 3, ("tanh at relu1",)),)).good()
    pair = replace(GOOD, trap="pad-1 + tanh", layer="conv1 + relu1")
    unnamed = replace(pair, layer="conv2 + relu1", named=False)
    assert tried(singles=(GOOD,), pairs=(*[pair] * 9, unnamed)).good()
    assert not tried(singles=(GOOD,), pairs=(*[pair] * 8, unnamed)).good()


@pytest.mark.parametrize("missing", ["detected", "located", "named"])
def test_each_of_the_three_can_fail_it(missing):
    assert not tried(singles=(replace(GOOD, **{missing: False}),)).good()


def test_what_was_not_posed_is_in_no_count():
    assert traps.count_row(tried(), "torch") == ("PyTorch", 2, 2, 2, 1, "", "")
    assert traps.share_noticed(tried(), "allclose 1e-5") == (2, 2)
    assert traps.share_noticed(tried(), "allclose 1e-3") == (1, 2)
    assert traps.share_noticed(tried(), traps.AUDIT) == (2, 2)


def test_failures_are_told_with_what_was_said_instead_and_cannot_break_the_table():
    text = traps.document(tried(), "figure.svg")
    row = next(
        line for line in text.splitlines() if "`tanh`" in line and "paper-thin, relu1" in line and "named" in line
    )
    assert row.replace("\\|", "").count("|") == 6
    assert "<norm1>" not in text
    assert "not all were detected" in text


def test_pairs_and_false_alarms_are_told():
    pair = Outcome("pad-1 + tanh", "torch", "paper-thin", "conv1 + relu1", True, True, False, ("pad-1 at conv1",))
    alarm = Alarm("torch", "caffe-thin", 0, ("tanh at relu3",))
    text = traps.document(tried(pairs=(pair,), alarms=(alarm,), clean=17), "figure.svg")
    assert "`pad-1` and `tanh`" in text
    assert "17 audits of networks without a mistake" in text
    assert "tanh at relu3" in text
    assert "0 (0 %)" in text


def test_json_has_every_entry_by_framework():
    other = replace(GOOD, framework="keras", located=False)
    content = json.loads(tried(frameworks=("torch", "keras"), singles=(GOOD, other, ABSENT)).as_json())
    first, absent = content["traps"]
    assert first["located"] == {"torch": True, "keras": False}
    assert first["family"] == "geometry"
    assert absent["detected"] == {}
    assert absent["not_posed"] == {"torch": "training only"}
    assert content["verdict"] == "FAIL"


def test_the_figure_marks_who_notices_what(tmp_path):
    from alexnet_parity.reports import plots

    figure = trap_plots.matrix(tried())
    colours = [patch.get_facecolor()[:3] for axis in figure.axes for patch in axis.patches]
    assert len(colours) == 2 * (len(LOOSE) + 1)
    audit = plots.plt.matplotlib.colors.to_rgb(trap_plots.AUDIT_COLOUR)
    unseen = plots.plt.matplotlib.colors.to_rgb(trap_plots.UNSEEN)
    assert (colours.count(audit), colours.count(unseen)) == (2, 5)
    plots.save(figure, tmp_path / "one.svg")
    plots.save(trap_plots.matrix(tried()), tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
