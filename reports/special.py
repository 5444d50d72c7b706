"""The chapter on special values: who does what with NaN, infinities, signed zeros, denormals and overflow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..checks.finding import Finding, Status
from ..reference.special_answers import ANOTHER, ANSWERS, FLUSHED, LOST, SORTS, SPREAD
from ..reference.special_values import KINDS, THEMES, Case, kind
from .markdown import folded, table
from .plots import plt, short_name

RIGHT, WRONG, NOT_ASKED = "as float32, step by step", "FAIL", "not asked"
COLOURS = {
    RIGHT: "#dbe9f3",
    FLUSHED: "#e69f00",
    LOST: "#cc79a7",
    SPREAD: "#d55e00",
    ANOTHER: "#56b4e9",
    WRONG: "#b00020",
    NOT_ASKED: "#ffffff",
}
Asked = tuple[str, str]  # kind, case
Grid = dict[str, dict[Asked, Finding]]  # by implementation


@dataclass(frozen=True)
class Otherwise:
    """What is known of some: the answer's name, and the reason with its source."""

    answer: str
    why: str


def grid(findings: Iterable[Finding]) -> Grid:
    """The finding of each implementation and case; of several variants, which are asked the same, the first that fails."""
    found: Grid = {}
    for finding in (f for f in findings if f.check.startswith("special-") and f.status is not Status.UNSUPPORTED):
        cells = found.setdefault(finding.impl, {})
        name, _, case = finding.layer.partition(": ")
        asked = name, case
        if asked not in cells or cells[asked].good():
            cells[asked] = finding
    return found


def cases() -> list[tuple[str, Case]]:
    return [(name, case) for name in KINDS for case in kind(name).cases]


def answer_of(finding: Finding) -> str:
    """The known answer that a finding names at the end of its hint; "" if it names none."""
    named = re.search(r"\[([a-z-]+)\]$", finding.hint)
    return named[1] if named else ""


def sort_of(finding: Finding | None) -> str:
    """What to colour it by."""
    if finding is None:
        return NOT_ASKED
    if not finding.good():
        return WRONG
    if finding.status is Status.PASS:
        return RIGHT
    return ANSWERS[answer].sort if (answer := answer_of(finding)) in ANSWERS else ANOTHER


# Words ----------------------------------------------------------------------------------------------------------------


def chapter(findings: Iterable[Finding], picture: str = "") -> Iterator[str]:
    """Markdown, part by part, with the figure at the address `picture`; nothing where nothing was asked."""
    found = grid(findings)
    if not found:
        return
    yield "## NaN, infinities, zeros, denormals, overflow"
    yield introduction(found)
    if picture:
        yield f"![Who departs from IEEE 754 with special values, by kind of layer]({picture})"
    if rows := reasons(found):
        yield "Who gives something else, and why:"
        yield table(rows, ("what", "where", "who", "why, and its source"))
    yield folded(full(found), ("layer", "case", "float32", "exactly", *found), "Every case", most=0)


def introduction(found: Grid) -> str:
    asked = len(cases())
    counts = "; ".join(f"`{impl}` {counted(cells, asked)}" for impl, cells in found.items())
    return (
        "The paper is silent on all of this, but a layer's definition is not. Each kind of layer alone, some number of its "
        f"input or its weights special, {asked} cases: what does IEEE 754 single precision give, step by step? And what "
        "exactly, where something on the way leaves float32's range (a square of 1e20) though the result does not? NaN is NaN "
        "whatever its payload. Where float32 has two answers, as the order of a sum or the choice between two zeros falls, "
        f"both are right. As float32 gives it: {counts}."
    )


def counted(cells: dict[Asked, Finding], asked: int) -> str:
    right = sum(finding.status is Status.PASS for finding in cells.values())
    wrong = sum(not finding.good() for finding in cells.values())
    return f"{right} of {asked}" + (f" (**{wrong} not explained**)" if wrong else "")


def reasons(found: Grid) -> list[tuple[str, str, str, str]]:
    """A row for each answer and reason, with the layers and implementations that it is met in; the most frequent first."""
    met: dict[Otherwise, list[tuple[str, Asked]]] = {}
    for impl, cells in found.items():
        for asked, finding in cells.items():
            if finding.status is Status.KNOWN:
                why = finding.hint.rpartition(" [")[0]
                met.setdefault(Otherwise(answer_of(finding), why), []).append((impl, asked))
    ordered = sorted(met.items(), key=lambda item: -len(item[1]))
    return [(words(otherwise), where(places), who(places), otherwise.why) for otherwise, places in ordered]


def words(otherwise: Otherwise) -> str:
    known = ANSWERS.get(otherwise.answer)
    return known.about if known else "what exact arithmetic gives"


def where(places: list[tuple[str, Asked]]) -> str:
    """Layers with their cases, or how many of them there are."""
    by_kind: dict[str, list[str]] = {}
    for _, (name, case) in places:
        by_kind.setdefault(name, [])
        if case not in by_kind[name]:
            by_kind[name].append(case)
    return "; ".join(
        f"{name}: {', '.join(met) if len(met) <= 2 else f'{len(met)} cases'}" for name, met in by_kind.items()
    )


def who(places: list[tuple[str, Asked]]) -> str:
    return ", ".join(f"`{impl}`" for impl in dict.fromkeys(impl for impl, _ in places))


def full(found: Grid) -> list[tuple[str, ...]]:
    """A row for each case: both right answers, and what each implementation gave, in a word."""
    return [
        (name, case.name, case.float32, case.exact, *(cell(cells.get((name, case.name))) for cells in found.values()))
        for name, case in cases()
    ]


def cell(finding: Finding | None) -> str:
    if finding is None:
        return ""
    if not finding.good():
        return f"**{finding.status}**"
    gave = finding.got.partition(":")[0]
    return gave if finding.status is Status.PASS else f"*{gave}*"


# Picture --------------------------------------------------------------------------------------------------------------

TITLES = {
    "nan": "NaN",
    "infinity": "infinities",
    "zero-sign": "signed zeros",
    "denormals": "denormals",
    "overflow": "overflow",
}


def figure(findings: Iterable[Finding]) -> Figure:
    """A grid for each theme, implementations by kinds of layer: coloured by what is done otherwise, and in how many cases."""
    found = grid(findings)
    height = 0.26 * len(found) + 1.5
    panels, all_axes = plt.subplots(3, 2, figsize=(11, 3 * height), sharey=True, layout="constrained")
    for axis, theme in zip(all_axes.flat, THEMES, strict=False):
        panel(axis, theme, found)
    legend = all_axes.flat[len(THEMES)]
    legend.axis("off")
    marks = [Patch(facecolor=COLOURS[sort], edgecolor="#888888", label=sort) for sort in (RIGHT, *SORTS, WRONG)]
    legend.legend(handles=marks, loc="center", frameon=False, fontsize=9, title="a number: how many cases")
    return panels


def panel(axis: Axes, theme: str, found: Grid) -> None:
    kinds = [name for name in KINDS if any(case.theme == theme for case in kind(name).cases)]
    for row, cells in enumerate(found.values()):
        for column, name in enumerate(kinds):
            of_kind = [cells.get((name, case.name)) for case in kind(name).cases if case.theme == theme]
            square(axis, row, column, of_kind)
    axis.set(xlim=(0, len(kinds)), ylim=(len(found), 0), title=TITLES[theme])
    axis.set_xticks([x + 0.5 for x in range(len(kinds))], kinds, rotation=60, ha="right", fontsize=8)
    axis.set_yticks([y + 0.5 for y in range(len(found))], [short_name(impl) for impl in found], fontsize=8)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def square(axis: Axes, row: int, column: int, of_kind: list[Finding | None]) -> None:
    """One implementation and kind of layer: the colour of the worst of its cases, and how many are not right."""
    order = [WRONG, SPREAD, LOST, FLUSHED, ANOTHER, NOT_ASKED, RIGHT]
    sorts = [sort_of(finding) for finding in of_kind]
    worst = min(sorts, key=order.index)
    axis.add_patch(
        plt.Rectangle(
            (column + 0.05, row + 0.08), 0.9, 0.84, facecolor=COLOURS[worst], edgecolor="#bbbbbb", linewidth=0.4
        )
    )
    if other := sum(sort not in (RIGHT, NOT_ASKED) for sort in sorts):
        colour = "white" if worst in (WRONG, SPREAD) else "black"
        axis.text(column + 0.5, row + 0.54, str(other), ha="center", va="center", fontsize=7, color=colour)
