"""The pictures about training in the parity report."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from . import plots

WIDEST = 96  # characters of a set-up that fit beside its bar


def gradients(rows: pd.DataFrame, layers: list[str], variant: str) -> Figure:
    """Each layer's largest gradient error as a share of its bound, alone and end to end, from the logits back."""
    figure, axes = plt.subplots(2, 1, figsize=(11, 7), sharex=True, layout="constrained")
    titles = {
        "gradient-local-large": "Each layer alone, from its own input and the gradient that came to it",
        "gradient-chain-large": "End to end, from the logits back to the pixels",
    }
    both = rows[rows.check.isin(titles) & (rows.variant == variant) & ~rows.impl.str.contains("~")]
    impls = sorted(both[both.share > 0].impl.unique())
    backwards = [*reversed(layers), "input"]
    for axis, (check, title) in zip(axes, titles.items(), strict=True):
        mine = rows[(rows.check == check) & (rows.variant == variant) & (rows.share > 0)]
        worst = mine.groupby(["impl", "layer", "stimulus"], as_index=False).agg({"share": "max"})
        shown = [layer for layer in backwards if layer in set(both.layer)]
        plots.scatter(axis, worst, shown, "share", impls)
        axis.axhspan(1, 20, color="#b00020", alpha=0.08)
        axis.axhline(1, color="#b00020", linewidth=1.5)
        axis.text(-0.4, 1.25, "over the bound", color="#b00020", fontsize=9)
        axis.set(yscale="log", ylim=(5e-4, 20), ylabel="error / bound", title=title)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.4%}".rstrip("0%").rstrip(".") + " %")
    handles, labels = axes[0].get_legend_handles_labels()
    kept = [(h, label.partition(",")[0]) for h, label in zip(handles, labels, strict=True) if "photograph" not in label]
    axes[0].legend(*zip(*kept, strict=True), ncols=5, fontsize=8, frameon=False, loc="lower right")
    return figure


def updates(found: pd.DataFrame) -> Figure:
    """How far each set-up ends from the paper's weights after 50 steps, as a share of the way that they went."""
    found = found.drop_duplicates("layer").copy()
    found["off"] = found.share_of_way.fillna(0.0) if "share_of_way" in found else 0.0
    found = found.sort_values("off", kind="stable")
    figure, axis = plt.subplots(figsize=(11, 0.27 * len(found) + 1.2), layout="constrained")
    least = 1e-4
    colours = ["#009e73" if status == "PASS" else "#d55e00" for status in found.status]
    axis.barh(range(len(found)), found.off.clip(lower=least * 1.15), left=0, color=colours, height=0.7)
    for place, (off, status) in enumerate(zip(found.off, found.status, strict=True)):
        text = "equal, within rounding" if status == "PASS" else f"{100 * off:.2g} %"
        axis.text(max(off, least) * 1.2, place, text, va="center", fontsize=8)
    names = [label(expected) for expected in found.expected]
    axis.set_yticks(range(len(found)), names, fontsize=7.5, family="DejaVu Sans")
    axis.set(
        xscale="log",
        xlim=(least, 4),
        ylim=(-0.6, len(found) - 0.4),
        xlabel="distance from the paper's weights after 50 steps / way that they went",
    )
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def label(expected: str) -> str:
    text = expected.partition(" by ")[2]
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
