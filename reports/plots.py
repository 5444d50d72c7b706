"""The pictures in the reports, as SVG that is the same for the same findings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from ..reference.input_size import HYPOTHESES, STRIDE, Hypothesis
from . import files

matplotlib.rcParams["svg.hashsalt"] = "alexnet-parity"
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["font.family"] = "sans-serif"
matplotlib.rcParams["font.sans-serif"] = ["DejaVu Sans"]
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#555555",
)  # told apart by colour-blind eyes
MARKERS = "osD^vPX<>*hp"  # more than colours, and no multiple of them: no two of the first 84 are drawn alike
STYLES = {"large": "full", "photograph": "none"}


def save(figure: Figure, path: Path) -> None:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    files.write(path, "\n".join(lines) + "\n")


def error_share(table: pd.DataFrame, layers: list[str], variant: str) -> Figure:
    """Each layer's largest error as a share of its bound, alone and end to end; the bound is the line at 100 %."""
    figure, axes = plt.subplots(2, 1, figsize=(11, 7.5), sharex=True, layout="constrained")
    titles = {"local": "Each layer alone, fed what the implementation itself fed to it", "chain": "End to end"}
    for axis, (family, title) in zip(axes, titles.items(), strict=True):
        rows = table[table.check.str.startswith(f"{family}-") & (table.variant == variant) & (table.share > 0)]
        scatter(axis, rows, layers, "share")
        axis.axhspan(1, 20, color="#b00020", alpha=0.08)
        axis.axhline(1, color="#b00020", linewidth=1.5)
        axis.text(-0.4, 1.25, "over the bound", color="#b00020", fontsize=9)
        axis.set(yscale="log", ylim=(5e-4, 20), ylabel="error / bound", title=title)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.4%}".rstrip("0%").rstrip(".") + " %")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=5, fontsize=8, loc="outside upper center", frameon=False)
    axes[0].text(
        0.99,
        0.03,
        "layers without a mark are equal to the last bit",
        transform=axes[0].transAxes,
        ha="right",
        fontsize=8,
        color="#555555",
    )
    return figure


def scatter(axis: Any, rows: pd.DataFrame, layers: list[str], value: str, impls: Sequence[str] | None = None) -> None:
    """A mark for each implementation (colour, shape) and stimulus (filled or open) at every layer.

    `impls`: all that the picture shows, where this axis may lack some: each keeps its colour.
    """
    rows = rows[rows.layer.isin(layers)]
    impls = impls or sorted(rows.impl.unique())
    step = min(0.17, 0.85 / len(impls)) if impls else 0.0  # side by side, within the layer's column
    for number, impl in enumerate(impls):
        for stimulus, fill in STYLES.items():
            mine = rows[(rows.impl == impl) & (rows.stimulus == stimulus)]
            x = [layers.index(layer) + (number - (len(impls) - 1) / 2) * step for layer in mine.layer]
            axis.plot(
                x,
                mine[value],
                MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                fillstyle=fill,
                markersize=5,
                label=f"{short_name(impl)}, {stimulus}",
            )
    axis.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=9)
    axis.set_xlim(-0.7, len(layers) - 0.3)
    axis.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def short_name(impl: str) -> str:
    """A file by its last part: paths do not fit into a legend."""
    name = Path(impl).name
    return name if len(name) <= 24 else f"{name[:23]}..."


def rmse(table: pd.DataFrame, layers: list[str], variant: str) -> Figure:
    """Each implementation's RMSE against float64 beside NumPy float32's own, relative to the layer's RMS."""
    figure, axis = plt.subplots(figsize=(11, 4), layout="constrained")
    rows = table[(table.check == "chain-large") & (table.variant == variant) & table.rmse.notna()].copy()
    rows["relative"] = rows.rmse / rows.rms
    scatter(axis, rows, layers, "relative")
    one = rows[(rows.impl == rows.impl.min()) & rows.layer.isin(layers)]
    axis.plot(
        [layers.index(layer) for layer in one.layer],
        one.rmse_numpy_float32 / one.rms,
        "_",
        color="black",
        markersize=22,
        markeredgewidth=1.6,
        label="NumPy in float32",
    )
    axis.set(yscale="log", ylabel="RMSE / RMS of the layer")
    handles, labels = axis.get_legend_handles_labels()
    kept = [(h, label) for h, label in zip(handles, labels, strict=True) if "photograph" not in label]
    axis.legend(*zip(*kept, strict=True), ncols=5, fontsize=8, frameon=False, loc="lower right")
    return figure


SHOWN = ("A", "B", "C", "D", "E", "G", "N")


def input_size() -> Figure:
    """Both ends of an input row under each reading: real pixels, zeros read, pixels never read, first and last window."""
    readings = [h for h in HYPOTHESES if h.id in SHOWN]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, (low, high), title in zip(
        axes, ((-6, 14), (207, 231)), ("first window (left and top)", "last window (right and bottom)"), strict=True
    ):
        for row, reading in enumerate(readings):
            draw_reading(axis, row, reading, range(low, high), last=low > 0)
        axis.set(xlim=(low, high), ylim=(len(readings) - 0.35, -0.65), xlabel="pixel", title=title)
        axis.set_yticks(range(len(readings)), [f"{r.id}: {r.says}\n{r.conv1} x {r.conv1} at conv1" for r in readings])
        axis.tick_params(axis="y", length=0, labelsize=8)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    for colour, label in (("#9ecae1", "pixel of the image"), ("#f4a582", "zero"), ("#eeeeee", "pixel never read")):
        axes[1].bar(0, 0, color=colour, edgecolor="#888888", label=label)
    axes[1].plot([], [], color="black", linewidth=2, label="11-wide window")
    axes[1].legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.0, -0.14), ncols=4, frameon=False)
    return figure


def draw_reading(axis: Any, row: int, reading: Hypothesis, shown: range, last: bool) -> None:
    before, after = reading.zeros
    for pixel in (p for p in shown if -before <= p < reading.input + max(0, after)):
        inside = 0 <= pixel < reading.input
        unread = pixel >= reading.input + min(0, after)
        colour = "#9ecae1" if inside and not unread else "#eeeeee" if inside else "#f4a582"
        axis.add_patch(plt.Rectangle((pixel, row - 0.2), 1, 0.4, facecolor=colour, edgecolor="#888888", linewidth=0.4))
    start = -before + ((reading.conv1 - 1) * STRIDE if last else 0)
    axis.plot([start, start, start + 11, start + 11], [row - 0.28, row - 0.36, row - 0.36, row - 0.28], color="black")
