"""The picture of the traps: a column for each mistake, a row for each comparison, a mark where it notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ..checks.audit.trial import LOOSE
from .plots import plt

if TYPE_CHECKING:
    from .traps import Tried

ROW, COLUMN, GAP = 0.5, 0.078, 1.6  # inches of a row and of a column; columns between two families
LOOSE_COLOUR, AUDIT_COLOUR, UNSEEN = "#e69f00", "#0072b2", "#ececec"
BREADTH, HEIGHT = 0.84, 0.8  # of a mark, as a share of its cell


def matrix(tried: Tried) -> Figure:
    """Within a family, what most comparisons notice comes first; a pale mark is a mistake that went unnoticed."""
    from .traps import AUDIT, families, share_noticed

    rows = (*LOOSE, AUDIT)
    groups = [(family, sorted(ids, key=lambda trap: rank(tried.notices(trap)))) for family, ids in families(tried)]
    width = sum(len(ids) for _, ids in groups) + GAP * max(0, len(groups) - 1)
    figure, axis = plt.subplots(figsize=(max(6.0, width * COLUMN), ROW * len(rows)))
    start = 0.0
    for family, ids in groups:
        for place, trap in enumerate(ids):
            notices = tried.notices(trap)
            for row, who in enumerate(rows):
                draw(axis, start + place, row, colour(who == AUDIT, notices.get(who, False)))
        name_family(axis, start, len(ids), f"{family} ({len(ids)})")
        start += len(ids) + GAP
    for row, who in enumerate(rows):
        noticed, of = share_noticed(tried, who)
        bold = "bold" if who == AUDIT else "normal"
        axis.text(-1.2, row, who, ha="right", va="center", fontsize=11, fontweight=bold)
        text = f"{noticed} of {of}"
        axis.text(width + 1.2, row, text, ha="left", va="center", fontsize=11, fontweight=bold)
    axis.set(xlim=(0, max(width, 1)), ylim=(len(rows) - 0.5, -0.5))
    axis.axis("off")
    return figure


def rank(notices: dict[str, bool]) -> tuple[bool, ...]:
    """Sorts what is noticed by the loosest comparison first."""
    return tuple(not notices.get(who, False) for who in (*LOOSE[1:], LOOSE[0]))


def colour(audit: bool, noticed: bool) -> str:
    return (AUDIT_COLOUR if audit else LOOSE_COLOUR) if noticed else UNSEEN


def draw(axis: Any, column: float, row: int, face: str) -> None:
    left, top = column + (1 - BREADTH) / 2, row - HEIGHT / 2
    axis.add_patch(plt.Rectangle((left, top), BREADTH, HEIGHT, facecolor=face, edgecolor="none"))


def name_family(axis: Any, start: float, count: int, text: str) -> None:
    """A bracket over the family's columns, its name slanted above so that narrow families have room too."""
    axis.plot([start + 0.1, start + count - 0.1], [-0.58, -0.58], color="#555555", linewidth=1, clip_on=False)
    axis.text(start + count / 2, -0.7, text, rotation=38, ha="left", va="bottom", fontsize=9.5, rotation_mode="anchor")
