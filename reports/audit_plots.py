"""The picture of an audit: the model's layers from top to bottom beside the variant's, and what differs next to each.

What agrees is quiet; a layer that deviates has its kind's colour and the trap's name; what is missing is dashed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.patches import FancyBboxPatch

from ..checks.audit.result import CONVENTION, DEVIATION, UNEXPLAINED, Audit, Deviation, Row
from ..reference import variants
from .audit_words import line, percent, shape_in_words
from .plots import Figure, plt, short_name

# Inches: left edge and width of each column.
EXPECTED, MODEL, SHARE, DIFFERS = (0.0, 1.0), (1.35, 6.75), (8.1, 0.75), (9.05, 4.15)
NAME, SHAPE = 1.95, 1.0  # widths of the model's own name and of the shape, inside its box
WIDTH = DIFFERS[0] + DIFFERS[1]
ROW, GAP, CHIP, HEAD, FOOT = 0.29, 0.07, 0.46, 0.5, 0.45  # heights
LARGE, SMALL = 8.5, 7.5  # points
SPARE = 1.08  # fonts that stand in for ours are wider
MANY = 60  # rows; of more, those that agree are folded

FILL = {DEVIATION: "#d55e00", CONVENTION: "#56b4e9", UNEXPLAINED: "#cc79a7"}
TINT = {DEVIATION: "#fbe3d3", CONVENTION: "#e0f1fb", UNEXPLAINED: "#f6e5ee"}
INK = {DEVIATION: "white", CONVENTION: "black", UNEXPLAINED: "black"}
QUIET, EDGE, GREY, DARK = "#f5f5f5", "#c8c8c8", "#666666", "#222222"
WORST = (UNEXPLAINED, DEVIATION, CONVENTION)


@dataclass(frozen=True)
class Chip:
    """What differs in one place, by trap."""

    kind: str
    title: str
    found: str
    expected: str


@dataclass(frozen=True)
class Entry:
    """One line of the picture: a layer of the variant, of the model, or both.

    elsewhere: where the model has it instead. folded: how many lines it stands for. paper: a layer that the paper alone has.
    """

    expected: str
    row: Row | None
    deviations: tuple[Deviation, ...] = ()
    elsewhere: str = ""
    folded: int = 0
    paper: str = ""

    @property
    def kind(self) -> str:
        """The worst of its deviations' kinds; "" where there are none."""
        kinds = {one.kind for one in self.deviations}
        return next((kind for kind in WORST if kind in kinds), "")

    @property
    def chips(self) -> list[Chip]:
        titles = dict.fromkeys((one.kind, one.trap) for one in self.deviations)
        return [self.chip(kind, trap) for kind, trap in titles]

    def chip(self, kind: str, trap: str) -> Chip:
        those = [one for one in self.deviations if (one.kind, one.trap) == (kind, trap)]
        found = dict.fromkeys(line(one.found) for one in those)
        expected = dict.fromkeys(line(one.expected) for one in those)
        return Chip(kind, line(trap) or kind, "; ".join(found), "; ".join(expected))

    @property
    def height(self) -> float:
        return max(ROW, CHIP * len(self.chips) - GAP) + GAP


def layers(audit: Audit) -> Figure:
    """One line for each layer of the model and for each that it lacks."""
    entries = shown(entries_of(audit))
    height = HEAD + sum(entry.height for entry in entries) + FOOT
    figure = plt.figure(figsize=(WIDTH + 0.2, height + 0.2))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-0.1, WIDTH + 0.1), ylim=(height + 0.1, -0.1))
    axis.axis("off")
    heads(axis, audit)
    y = HEAD
    for number, entry in enumerate(entries):
        draw(axis, entry, y, last=number == len(entries) - 1)
        y += entry.height
    legend(axis, entries, y + 0.22)
    return figure


# What is shown ------------------------------------------------------------------------------------------------------------


def entries_of(audit: Audit) -> list[Entry]:
    """The model's layers in order; what the variant has and the model lacks where it would stand; the rest on top."""
    own = {row.at for row in audit.rows}
    by_row: dict[str, list[Deviation]] = {}
    by_layer: dict[str, list[Deviation]] = {}
    layer_at = {row.layer: row.at for row in audit.rows if row.layer}
    for one in audit.deviations:
        if one.at in own:
            by_row.setdefault(one.at, []).append(one)
        elif one.layer in layer_at:
            by_row.setdefault(layer_at[one.layer], []).append(one)
        else:
            by_layer.setdefault(one.layer, []).append(one)
    moved = {one.layer: one.at for one in audit.deviations if one.at in own and one.layer not in layer_at}
    found = []
    for expected, row in aligned(audit):
        if row is not None:
            found.append(Entry(expected, row, tuple(by_row.pop(row.at, ()))))
        else:
            found.append(Entry(expected, None, tuple(by_layer.pop(expected, ())), moved.get(expected, "")))
    for name in (name for name in names_of("paper") if name in by_layer):
        found.insert(place_in(found, name), Entry("", None, tuple(by_layer.pop(name)), paper=name))
    rest = tuple(one for those in by_layer.values() for one in those)
    return [*([Entry("", None, rest)] if rest else []), *found]


def place_in(entries: Sequence[Entry], name: str) -> int:
    """Where a layer of the paper that is in neither would stand: behind the last one before it that is there."""
    names = names_of("paper")
    before = names[: names.index(name)]
    return max((i + 1 for i, entry in enumerate(entries) if (entry.expected or entry.paper) in before), default=0)


def aligned(audit: Audit) -> Iterator[tuple[str, Row | None]]:
    """(layer of the variant or "", row or None), in the model's order."""
    names, done = names_of(audit.nearest_variant), 0
    later = {row.layer for row in audit.rows}
    for row in audit.rows:
        place = names.index(row.layer) if row.layer in names else -1
        if place >= done:
            yield from ((name, None) for name in names[done:place] if name not in later)
            done = place + 1
        yield row.layer, row
    yield from ((name, None) for name in names[done:] if name not in later)


def names_of(variant: str) -> list[str]:
    """The layers of a variant; of one that this version does not know, none."""
    try:
        return list(variants.variant(variant).names())
    except KeyError:
        return []


def shown(entries: Sequence[Entry]) -> list[Entry]:
    """All of them; of very many, runs of those that agree as one line."""
    if len(entries) <= MANY:
        return list(entries)
    found: list[Entry] = []
    for entry in entries:
        quiet = not entry.kind and entry.row is not None and bool(entry.expected)
        if quiet and found and found[-1].folded:
            found[-1] = replace(found[-1], folded=found[-1].folded + 1)
        else:
            found.append(replace(entry, folded=1) if quiet else entry)
    return found


# Drawing ------------------------------------------------------------------------------------------------------------------


def heads(axis: Any, audit: Audit) -> None:
    """The columns' titles."""
    variant = fitted(audit.nearest_variant, 3.0, LARGE, bold=True)
    model = max(MODEL[0], measure(variant, LARGE, True) * SPARE + 0.2)
    target = fitted(short_target(audit.target), MODEL[0] + MODEL[1] - model, LARGE, bold=True)
    titles = (
        (EXPECTED[0], "variant", variant),
        (model, "the model", target),
        (DIFFERS[0], "what differs", "" if audit.deviations else "nothing"),
    )
    for left, title, below in titles:
        axis.text(left, 0.06, title, fontsize=LARGE, color=GREY, va="center")
        axis.text(left, 0.25, below, fontsize=LARGE, color=DARK, va="center", weight="bold")
    right = SHARE[0] + SHARE[1]
    axis.text(right, 0.06, "share of", fontsize=LARGE, color=GREY, va="center", ha="right")
    axis.text(right, 0.25, "the bound", fontsize=LARGE, color=GREY, va="center", ha="right")


def short_target(target: str) -> str:
    """A file by its last part, with the factory's name."""
    place, colon, factory = line(target).partition(":")
    return short_name(place) + colon + factory if "/" in place else line(target)


def draw(axis: Any, entry: Entry, y: float, last: bool) -> None:
    middle = y + ROW / 2
    if not last:
        for left in (EXPECTED[0], MODEL[0]):
            axis.plot([left + 0.18] * 2, [middle, y + entry.height + ROW / 2], color=EDGE, linewidth=1, zorder=1)
    if entry.folded > 1:
        axis.text(MODEL[0] + 0.3, middle, f"{entry.folded} layers that agree", fontsize=LARGE, color=GREY, va="center")
        return
    draw_expected(axis, entry, y)
    draw_model(axis, entry, y)
    for number, chip in enumerate(entry.chips):
        draw_chip(axis, chip, y + number * CHIP)
    if entry.kind:
        axis.plot([MODEL[0] + MODEL[1], SHARE[0]], [middle] * 2, color=FILL[entry.kind], linewidth=1.2, zorder=1)
        axis.plot(
            [SHARE[0] + SHARE[1] + 0.06, DIFFERS[0]], [middle] * 2, color=FILL[entry.kind], linewidth=1.2, zorder=1
        )


def draw_expected(axis: Any, entry: Entry, y: float) -> None:
    left, width = EXPECTED
    if not entry.expected:
        return
    box(axis, left, y, width, "white" if entry.row is None else QUIET, EDGE)
    axis.text(
        left + width / 2, y + ROW / 2, fitted(entry.expected, width - 0.1, LARGE), **TEXT, ha="center", color=DARK
    )
    if entry.row is not None:
        color = FILL.get(entry.kind, EDGE)
        axis.plot([left + width, MODEL[0]], [y + ROW / 2] * 2, color=color, linewidth=1.2, zorder=1)


TEXT: dict[str, Any] = {"fontsize": LARGE, "va": "center_baseline"}


def draw_model(axis: Any, entry: Entry, y: float) -> None:
    left, width = MODEL
    middle, row = y + ROW / 2, entry.row
    if row is None:
        draw_absent(axis, entry, y)
        return
    box(axis, left, y, width, TINT.get(entry.kind, QUIET), FILL.get(entry.kind, EDGE))
    ink = DARK if entry.kind else GREY
    shape = fitted(shape_in_words(row.shape), SHAPE, SMALL)
    room = width - NAME - SHAPE - 0.3
    size = LARGE if measure(line(row.read), LARGE) * SPARE <= room else SMALL
    read = fitted(line(row.read), room, size, head=0.75)
    axis.text(left + 0.1, middle, fitted(line(row.at), NAME - 0.15, LARGE), **TEXT, color=DARK)
    axis.text(left + 0.1 + NAME, middle, read, **(TEXT | {"fontsize": size, "color": ink}))
    axis.text(left + width - 0.08, middle, shape, fontsize=SMALL, va="center_baseline", ha="right", color=GREY)
    axis.text(SHARE[0] + SHARE[1], middle, percent(row.share), **TEXT, ha="right", color=ink)


def draw_absent(axis: Any, entry: Entry, y: float) -> None:
    left, width = MODEL
    if entry.paper:
        says = f"{entry.paper} of the paper: missing in both"
    elif not entry.expected:
        says = "the whole network"
    elif entry.elsewhere:
        says = f"not here: at {line(entry.elsewhere)}"
    else:
        says = "missing"
    box(axis, left, y, width, "white", FILL.get(entry.kind, GREY), dashed=True)
    axis.text(left + 0.1, y + ROW / 2, fitted(says, width - 0.2, LARGE), **TEXT, color=GREY, style="italic")


def draw_chip(axis: Any, chip: Chip, y: float) -> None:
    """The trap's name in its kind's colour, and below it what was found."""
    left, width = DIFFERS
    title = fitted(chip.title, width - 0.25, LARGE, bold=True)
    colour, ink = FILL.get(chip.kind, GREY), INK.get(chip.kind, "white")
    box(axis, left, y + 0.02, measure(title, LARGE, True) * SPARE + 0.16, colour, colour, height=0.2)
    axis.text(left + 0.08, y + 0.12, title, **(TEXT | {"weight": "bold", "color": ink, "zorder": 4}))
    axis.text(left + 0.08, y + 0.31, said(chip, width - 0.1), **(TEXT | {"fontsize": SMALL, "color": DARK}))


def said(chip: Chip, width: float) -> str:
    """What was found and what was expected; where there is no room for both, the beginning and end of each."""
    whole = f"{chip.found}, expected {chip.expected}"
    if measure(whole, SMALL) * SPARE <= width:
        return fitted(whole, width, SMALL)
    half = (width - measure(", expected ", SMALL) * SPARE) / 2
    return f"{fitted(chip.found, half, SMALL, head=0.6)}, expected {fitted(chip.expected, half, SMALL, head=0.6)}"


def box(
    axis: Any, x: float, y: float, width: float, fill: str, edge: str, dashed: bool = False, height: float = ROW
) -> None:
    """A box with round corners, over the lines that lead to it."""
    style: dict[str, Any] = {"linestyle": (0, (4, 2.5))} if dashed else {}
    shape = FancyBboxPatch(
        (x + 0.05, y + 0.05),
        width - 0.1,
        height - 0.1,
        boxstyle="round,pad=0.05,rounding_size=0.06",
        facecolor=fill,
        edgecolor=edge,
        linewidth=1.2,
        zorder=2,
        **style,
    )
    axis.add_patch(shape)


def legend(axis: Any, entries: Sequence[Entry], y: float) -> None:
    """The kinds that are in the picture, and the dashes."""
    kinds = [kind for kind in WORST if any(one.kind == kind for entry in entries for one in entry.deviations)]
    x = MODEL[0]
    for says, fill, edge, dashed in (
        ("agrees with the variant", QUIET, EDGE, False),
        *((LEGEND[kind], TINT[kind], FILL[kind], False) for kind in kinds),
        *([("not there", "white", GREY, True)] if any(e.row is None for e in entries) else []),
    ):
        box(axis, x, y - 0.07, 0.26, fill, edge, dashed, height=0.16)
        axis.text(x + 0.34, y + 0.01, says, fontsize=SMALL, va="center_baseline", color=GREY)
        x += 0.34 + measure(says, SMALL) * SPARE + 0.3


LEGEND = {
    DEVIATION: "deviates",
    CONVENTION: "a convention or a choice, no mistake",
    UNEXPLAINED: "unexplained",
}


# Text that fits -----------------------------------------------------------------------------------------------------------


def measure(text: str, size: float, bold: bool = False) -> float:
    """Inches that a text takes in our font."""
    return sum(advance(sign, bold) for sign in text) * size / 72


@lru_cache(maxsize=4096)
def advance(sign: str, bold: bool) -> float:
    """The width of a character, as a share of the font's size."""
    return float(font(bold).load_char(ord(sign)).linearHoriAdvance) / 65536 / 100


@lru_cache(maxsize=2)
def font(bold: bool) -> FT2Font:
    """Our font at 100 points to an inch of 72."""
    found = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")))
    found.set_size(100, 72)
    return found


def fitted(text: str, width: float, size: float, head: float = 0.35, bold: bool = False) -> str:
    """The text, or as much of it as has room: `head` of that from its beginning, the rest from its end."""
    text = "".join(sign if ord(sign) in signs() else "?" for sign in text)
    low, high = 0, min(len(text), 400)
    while low < high:
        middle = (low + high + 1) // 2
        fits = measure(cut(text, middle, head), size, bold) * SPARE <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return cut(text, low, head).replace("$", r"\$")  # a dollar sign would begin a formula


def cut(text: str, keep: int, head: float) -> str:
    """`keep` characters of the text, with a sign where the others were."""
    first = round(keep * head)
    return (
        f"{text[:first].rstrip(' .')}…{text[len(text) - (keep - first) :].lstrip(' .')}" if keep < len(text) else text
    )


@lru_cache(maxsize=1)
def signs() -> frozenset[int]:
    """The characters that our font can show."""
    return frozenset(font(False).get_charmap())
