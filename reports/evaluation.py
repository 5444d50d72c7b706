"""The report of an evaluation: what was run, accuracy, agreement, and the images on which implementations part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..evaluate.result import SHOWN, Outcome
from . import files
from .markdown import short, table


def write(outcome: Outcome, path: Path) -> None:
    """The Markdown report; raises files.Unwritable."""
    files.write(path, document(outcome))


def document(outcome: Outcome) -> str:
    found = outcome.summary
    parts = [
        "# AlexNet evaluation",
        summary(found),
        "## Accuracy",
        accuracy(found),
        agreement(found),
        disagreements(outcome),
        unreadable(found),
        "## What was run",
        what(found),
        versions(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(found: dict[str, Any]) -> str:
    run, count = found["run"], found["images_evaluated"]
    several = len(found["accuracy"]) > 1
    same = f" All implementations agree in top-1 on **{share(found['agreement']['top1'], count)}**." if several else ""
    lost = (
        f" {len(found['unreadable']):,} images could not be decoded and are not counted." if found["unreadable"] else ""
    )
    return f"`{run['variant']}` on {count:,} images: {run['data']['format']}.{same}{lost}"


def share(part: float, whole: int) -> str:
    """A percentage that says 100 only of all, and of how many."""
    percent = f"{100 * part / whole:.2f}"
    if percent == "100.00" and part < whole:
        percent = "99.99"
    return f"{percent} % ({part:,g} of {whole:,})"


def accuracy(found: dict[str, Any]) -> str:
    count = found["images_evaluated"]
    rows = [
        (
            f"`{impl}`",
            share(counts["top1"]["right"], count),
            share(counts["top5"]["right"], count),
            f"{counts['tied']:,}",
        )
        for impl, counts in found["accuracy"].items()
    ]
    views = found["run"]["views"]
    seen = "the centre of each image" if views == 1 else f"the mean of the softmax over {views} views of each image"
    text = f"From {seen}. Ties, `{found['ties']['rule']}`: {found['ties']['definition']}."
    return "\n\n".join(
        [table(rows, ("implementation", "top-1 right", "top-5 right", "images whose label is tied")), text]
    )


def agreement(found: dict[str, Any]) -> str:
    if len(found["accuracy"]) < 2:
        return ""
    same, count = found["agreement"], found["images_evaluated"]
    largest = same["largest_difference"]
    rows = [
        ("same top-1 class", share(same["top1"], count)),
        ("same five classes in top-5", share(same["top5"], count)),
        ("largest difference of a probability", f"{largest['difference']:.3g} ({largest['name']})"),
    ]
    return "## Agreement\n\n" + table(rows, ("all implementations", "images"))


def disagreements(outcome: Outcome) -> str:
    """The first images with another top-1 class or other five classes; the margins say how close the call was."""
    found = outcome.summary
    if not outcome.shown or len(found["accuracy"]) < 2:
        return ""
    impls, names = list(found["accuracy"]), found["run"]["data"]["classes"]
    rows = []
    for image in outcome.shown:
        said = image["implementations"]
        where = " and ".join(k for k in ("top-1", "top-5") if not image[f"{k.replace('-', '')}_agrees"])
        calls = [call(said[impl], names) for impl in impls]
        rows.append((image["name"], label(image["label"], names), where, f"{image['difference']:.3g}", *calls))
    left = outcome.parted - len(rows)
    rest = f"\n\n... and {left:,} more (the JSON has them all)" if left else ""
    about = (
        "Each implementation's first class, its margin over the second class and, for top-5, that of the fifth class "
        "over the sixth. A margin below the difference of probabilities is a tie that rounding decides."
    )
    headers = ("image", "label", "differ in", "difference", *(f"`{impl}`" for impl in impls))
    return f"## Where they differ\n\n{about}\n\n{table(rows, headers)}{rest}"


def call(said: dict[str, Any], names: list[str]) -> str:
    return f"{label(said['top5'][0], names)}, margins {number(said['margin'])}, {number(said['margin5'])}"


def label(index: int, names: list[str]) -> str:
    return f"{index} {names[index]}" if names else str(index)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def unreadable(found: dict[str, Any]) -> str:
    if not found["unreadable"]:
        return ""
    rows = [(image["name"], image["reason"]) for image in found["unreadable"][:SHOWN]]
    left = len(found["unreadable"]) - len(rows)
    rest = f"\n\n... and {left:,} more (the JSON has them all)" if left else ""
    return f"## Images that could not be decoded\n\n{table(rows, ('image', 'why'))}{rest}"


def what(found: dict[str, Any]) -> str:
    run = found["run"]
    data = run["data"]
    rows = [
        ("variant", f"{run['variant']}, layers {short(run['network'])}"),
        ("weights", short(run["weights"])),
        ("data", f"{data['format']}: {data['images']:,} images, {short(data['digest'])}"),
        ("evaluated", f"the first {run['count']:,} images, {run['batch']} at a time, {run['views']} view(s)"),
        ("mean subtracted", f"{run['mean']['given']} ({run['mean_rule']})"),
        ("divided by", ", ".join(f"{value:g}" for value in run["std"])),
        ("device", run["device"]),
        *((f"`{impl}`", short(digest) if digest else "by name") for impl, digest in run["implementations"].items()),
    ]
    return table(rows, ("what", "SHA-256 or value"))


def versions(found: dict[str, Any]) -> str:
    rows = [(f"`{impl}`", ", ".join(f"{k} {v}" for k, v in said.items())) for impl, said in found["flags"].items()]
    return table(rows, ("implementation", "versions and settings"))
