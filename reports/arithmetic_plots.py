"""The picture of the conditions: a row for each, a column for each implementation, coloured by how far the bits move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..checks.conditions.outcome import Outcome
from ..checks.finding import Status
from .plots import plt, short_name

ROW, COLUMN = 0.36, 1.12  # inches
SAME, INSIDE, OVER, WRONG, NOT_RUN = "#f2f2f2", "#0072b2", "#e69f00", "#b00020", "#ffffff"


def grid(outcomes: Mapping[str, Mapping[str, Outcome]], impls: Sequence[str]) -> Figure:
    """outcomes: by condition, then by implementation; what is not there was not asked."""
    names = list(outcomes)
    size = (2.2 + COLUMN * len(impls), 1.2 + ROW * len(names))
    figure, axis = plt.subplots(figsize=size)
    for row, name in enumerate(names):
        for column, impl in enumerate(impls):
            if (outcome := outcomes[name].get(impl)) is not None:
                draw(axis, column, row, outcome)
    axis.set(xlim=(-0.5, len(impls) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axis.set_xticks(range(len(impls)), [short_name(impl) for impl in impls], rotation=30, ha="left", fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    legend(axis)
    return figure


def draw(axis: Any, column: int, row: int, outcome: Outcome) -> None:
    """A cell: its colour says how far, its text how many units in the last place."""
    face, alpha = colour(outcome)
    hatch = "////" if outcome.status is Status.UNSUPPORTED else None
    axis.add_patch(
        plt.Rectangle((column - 0.47, row - 0.43), 0.94, 0.86, facecolor=face, alpha=alpha, edgecolor="none")
    )
    if hatch:
        axis.add_patch(
            plt.Rectangle(
                (column - 0.47, row - 0.43), 0.94, 0.86, fill=False, hatch=hatch, edgecolor="#cccccc", linewidth=0
            )
        )
    dark = alpha > 0.6 and face in (INSIDE, WRONG)
    axis.text(column, row, words(outcome), ha="center", va="center", fontsize=8, color="white" if dark else "black")


def colour(outcome: Outcome) -> tuple[str, float]:
    """Grey for the same bits; blue, darker with the share of the bound; orange beyond it on purpose; red for what fails."""
    if outcome.status is Status.UNSUPPORTED:
        return NOT_RUN, 1.0
    if outcome.status not in (Status.PASS, Status.KNOWN):
        return WRONG, 0.9
    if outcome.share > 1 and outcome.status is Status.KNOWN and outcome.reduced:
        return OVER, 1.0
    return (SAME, 1.0) if outcome.same_bits else (INSIDE, 0.15 + 0.75 * min(1.0, outcome.share))


def words(outcome: Outcome) -> str:
    """What a cell says: the largest distance in ulps, or how many times the bound."""
    if outcome.status is Status.UNSUPPORTED:
        return "not run"
    if not outcome.asked:
        return outcome.status.value
    if outcome.reduced and outcome.share > 1:
        return f"{rounded(outcome.share)} x bound" if math.isfinite(outcome.share) else "overflows"
    return distance(outcome)


def distance(outcome: Outcome) -> str:
    """How far the bits are from the plain run's."""
    if outcome.same_bits:
        return "same bits"
    return f"{rounded(outcome.ulps)} ulp" if math.isfinite(outcome.ulps) else "not finite"


def rounded(value: float) -> str:
    """Two significant digits, thousands as k, millions as M; as they are below."""
    if value < 1000:
        return f"{value:.3g}"
    value = round(value, 1 - math.floor(math.log10(value)))
    return f"{value / 1e3:g}k" if value < 1e6 else f"{value / 1e6:g}M"


def legend(axis: Any) -> None:
    shown = (
        (SAME, 1.0, "the plain run's bits"),
        (INSIDE, 0.3, "others, 20 % of the bound used"),
        (INSIDE, 0.75, "80 % of it"),
        (OVER, 1.0, "over float32's bound, on purpose"),
        (WRONG, 0.9, "fails"),
    )
    for face, alpha, label in shown:
        axis.bar(0, 0, color=face, alpha=alpha, label=label)
    axis.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3)
