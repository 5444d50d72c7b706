"""The picture of the differences: how far each moves the outputs, by the scale of the activations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from ..checks.deviations import DEVIATIONS, Deviation
from ..checks.effects import Effect
from .plots import COLOURS, plt

GAP = 0.034  # between two labels, as a share of the panel's height
SMALLEST = 5e-7  # shares below this are not drawn: an effect of zero has no place on a logarithmic axis

# Not drawn, because a line that is lies on top of theirs: all uneven paddings do the same, and so do the three edits of
# LRN and the whole of the original code at the layer.
NOT_DRAWN = ("padding 1 + 2", "padding 3 + 0", "original code, LRN of layer 1 and 2")
# One edit of LRN, of another layer, a whole network: line style and width.
LRN, ELSEWHERE, NETWORK = ("-", 1.4), (":", 1.8), ("--", 2.4)


def effects(found: Sequence[Effect]) -> Figure:
    """Both readings side by side, a line for each deviation that has an effect, with its name at the end of the line."""
    figure, axes = plt.subplots(1, 2, figsize=(13.5, 7.5), sharey=True, layout="constrained")
    panels = (
        ("Where it happens, before the next convolution", "at_layer", near_lrn),
        ("At the logits of the whole network", "at_logits", lambda deviation: True),
    )
    for axis, (title, reading, wanted) in zip(axes, panels, strict=True):
        draw(axis, found, reading, [deviation for deviation in drawn() if wanted(deviation)])
        axis.set_title(title, fontsize=11)
    axes[0].set_ylabel("mean absolute difference / mean absolute value")
    return figure


def drawn() -> list[Deviation]:
    return [deviation for deviation in DEVIATIONS if deviation.name not in NOT_DRAWN]


def near_lrn(deviation: Deviation) -> bool:
    """Does its effect at the layer depend on the scale? Paddings and groups do the same at every scale."""
    return deviation.drawn and deviation.at in ("conv1", "conv2")


def look(deviation: Deviation) -> tuple[str, str, float]:
    """Colour, style and width of a line: the same in both panels, and no two the same."""
    style = NETWORK if deviation.combined else LRN if near_lrn(deviation) else ELSEWHERE
    same = [
        other for other in drawn() if (other.combined, near_lrn(other)) == (deviation.combined, near_lrn(deviation))
    ]
    place = same.index(deviation)
    colours = (*COLOURS, "#8c564b", "#17becf")
    return colours[place % len(colours)], *style


def draw(axis: Any, found: Sequence[Effect], reading: str, deviations: Sequence[Deviation]) -> None:
    scales = sorted({effect.scale for effect in found})
    ends: list[tuple[float, str, str]] = []
    for deviation in deviations:
        values = {e.scale: getattr(e, reading) for e in found if e.deviation == deviation.name}
        if not values or max(values.values()) < SMALLEST:
            continue
        colour, style, width = look(deviation)
        points = list(values), list(values.values())
        axis.plot(*points, color=colour, linestyle=style, linewidth=width, marker="o", markersize=3.5)
        ends.append((values[scales[-1]], deviation.name, colour))
    axis.set(xscale="log", yscale="log", ylim=(SMALLEST, 300), xlim=(scales[0] * 0.8, scales[-1] * 1.05))
    axis.set_xlabel("standard deviation of every layer's outputs before ReLU")
    axis.set_xticks(scales, [f"{scale:g}" for scale in scales])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="y", labelleft=True)
    axis.grid(True, which="major", color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    name_lines(axis, ends)


def name_lines(axis: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Each line's name at its end, moved up or down until no two overlap, with a thin line to where it belongs."""
    low, high = (math.log10(limit) for limit in axis.get_ylim())
    wanted = sorted(((math.log10(value) - low) / (high - low), name, colour) for value, name, colour in ends)
    for (height, name, colour), place in zip(wanted, spread([row[0] for row in wanted], GAP), strict=True):
        axis.plot([1.0, 1.07], [height, place], transform=axis.transAxes, color=colour, linewidth=0.8, clip_on=False)
        axis.text(1.08, place, name, transform=axis.transAxes, color=colour, fontsize=9, va="center")


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights (ascending, 0 to 1) moved apart until neighbours are `gap` away, as little as that needs, inside 0 to 1."""
    groups = [[height] for height in heights]
    while True:
        middles = [sum(group) / len(group) for group in groups]
        reach = [gap * (len(group) - 1) / 2 for group in groups]
        middles = [min(max(m, r), 1 - r) for m, r in zip(middles, reach, strict=True)]
        close = [
            n for n in range(len(groups) - 1) if middles[n] + reach[n] + gap > middles[n + 1] - reach[n + 1] + 1e-12
        ]
        if not close:
            return [m - r + gap * n for m, r, g in zip(middles, reach, groups, strict=True) for n in range(len(g))]
        first = close[0]
        groups[first : first + 2] = [groups[first] + groups[first + 1]]


def percent(share: float) -> str:
    return f"{100 * share:,.6f}".rstrip("0").rstrip(".") + " %"
