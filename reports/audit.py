"""The report on an audit: the verdict first, every deviation with its cause, then layer by layer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks.audit.result import ANOTHER, CONVENTION, Audit
from . import claims_sources, files
from .audit_words import Told, causes, counted, few, line, percent, sentence, shape_in_words, told_once
from .markdown import folded, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = 40  # rows of a table that is folded away
CHOSEN = "Not as the paper prints it, and no mistake: others do it so, or it is a choice."


def write(audit: Audit, path: Path) -> None:
    """The report at `path` and its figure in figures/ beside it; nothing is replaced unless both could be made."""
    from . import plots

    drawn = picture(audit)
    name = f"{path.stem}-layers.svg"
    text = document(audit, f"figures/{name}" if drawn is not None else "", path.parent)
    if drawn is not None:
        plots.save(drawn, files.folder(path.parent / "figures") / name)
    files.write(path, text)


def picture(audit: Audit) -> Figure | None:
    """The model's layers beside the variant's; None for what is no AlexNet."""
    from . import audit_plots  # matplotlib, only where a report is wanted

    return None if audit.verdict == ANOTHER or not audit.rows else audit_plots.layers(audit)


def document(audit: Audit, figure: str = "", folder: Path = Path()) -> str:
    return chapter(audit, figure, level=1, folder=folder) + "\n"


def chapter(audit: Audit, figure: str = "", level: int = 2, folder: Path = Path()) -> str:
    """Everything about one audit under a heading of this level, without a line feed at the end.

    figure: the picture's address as the page links to it, "" for none. folder: where the page lies, for links to files.
    """
    deeper = "#" * (level + 1)
    told = told_once(audit.deviations)
    wrong = [one for one in told if one.one.kind != CONVENTION]
    chosen = [one for one in told if one.one.kind == CONVENTION]
    parts = [
        f"{'#' * level} Audit of {code(audit.target)}",
        head(audit),
        f"![The layers of the model beside those of {audit.nearest_variant}: {counted(audit)}]({figure})"
        if figure
        else "",
        f"{deeper} Deviations\n\n{deviations(wrong)}" if wrong else "",
        f"{deeper} What each means\n\n{meanings(wrong, folder)}" if wrong else "",
        f"{deeper} Conventions\n\n{CHOSEN}\n\n{conventions(chosen, folder)}" if chosen else "",
        f"{deeper} Layer by layer\n\n{layers(audit)}" if audit.rows else "",
        f"{deeper} Parameters\n\n{parameters(audit)}" if any(row.parameters for row in audit.rows) else "",
        f"{deeper} Notes\n\n{notes(audit)}" if audit.notes and audit.verdict != ANOTHER else "",
        f"{deeper} Run it again\n\n{again(audit)}",
    ]
    return "\n\n".join(part for part in parts if part)


def summary_table(audits: Sequence[Audit]) -> str:
    """One line for each audit: whose, what it is nearest to, the verdict, what counts."""
    headers = ("target", "framework", "nearest variant", "verdict", "unexplained", "deviations", "conventions")
    return table([summary_row(audit) for audit in audits], headers)


def summary_row(audit: Audit) -> tuple[str, ...]:
    told = told_once(audit.deviations)
    kinds = ("unexplained", "deviation", "convention")
    names = (", ".join(name(one) for one in told if one.one.kind == kind) for kind in kinds)
    nearest = "" if audit.verdict == ANOTHER else f"`{audit.nearest_variant}`"
    return (code(audit.target), escape(audit.framework), nearest, audit.verdict, *names)


def name(told: Told) -> str:
    """A deviation in a summary: its trap and its layers."""
    where = ", ".join(told.layers) or "the whole network"
    return f"{code(told.one.trap) if told.one.trap else 'no name'} ({escape(where)})"


# Its parts --------------------------------------------------------------------------------------------------------------


def head(audit: Audit) -> str:
    """Verdict, and what was audited with what."""
    if audit.verdict == ANOTHER:
        return f"**It is no AlexNet.** {notes(audit)}\n\n{with_what(audit)}"
    return f"**{sentence(audit)}** {capital(counted(audit))}.\n\n{with_what(audit)}"


def with_what(audit: Audit) -> str:
    hidden = ("peak_memory_mb",)
    known = ", ".join(f"{escape(k)} {escape(v)}" for k, v in audit.versions.items() if k not in hidden)
    memory = audit.versions.get("peak_memory_mb", "0")
    took = f" It took {audit.seconds:.1f} s" if audit.seconds else ""
    took += f"{' and' if took else ' It took'} {int(memory):,} MB" if memory.isdecimal() and int(memory) else ""
    images = f"{audit.batch} images of {shape_in_words(audit.input_shape)}" if audit.input_shape else "no image"
    return (
        f"Audited: {code(audit.target)} in {escape(audit.framework)}, {images}, seed {audit.seed}.{took and took + '.'}"
        + (f" With {known}." if known else "")
    )


def deviations(wrong: Sequence[Told]) -> str:
    rows = [
        (
            number,
            told.one.kind,
            escape(told.where),
            code(told.one.trap) if told.one.trap else "",
            escape(few(told.found)),
            escape(few(told.expected)),
            escape(told.effects),
        )
        for number, told in enumerate(wrong, 1)
    ]
    return table(rows, ("", "kind", "layer", "trap", "found", "expected", "effect"))


def meanings(wrong: Sequence[Told], folder: Path) -> str:
    return "\n\n".join("\n".join(meaning(number, told, folder)) for number, told in enumerate(wrong, 1))


def meaning(number: int, told: Told, folder: Path) -> Iterator[str]:
    """Cause, effect and source, a list item each; of many places all that was found."""
    title = told.one.trap or told.one.kind
    yield f"**{number}. {code(title)} at {prose(', '.join(told.layers) or told.where)}**"
    yield ""
    yield from (f"- {prose(cause)}" for cause in causes(told))
    if told.effects:
        yield f"- Effect: {prose(told.effects)}."
    if len(told.found) > 3:
        yield "- Found: " + "; ".join(map(prose, told.found)) + "."
    if told.one.agrees_with:
        yield f"- As in {', '.join(map(code, told.one.agrees_with))}."
    if told.one.source:
        yield f"- Source: {claims_sources.links(line(told.one.source), folder)}."


def conventions(chosen: Sequence[Told], folder: Path) -> str:
    rows = [
        (
            escape(told.where),
            code(told.one.trap) if told.one.trap else "",
            escape(few(told.found)),
            escape(few(told.expected)),
            ", ".join(map(code, told.one.agrees_with)),
            escape(" ".join(causes(told)[:1])),
            escape(told.effects),
            plain_cell(claims_sources.links(line(told.one.source), folder)),
        )
        for told in chosen
    ]
    return table(rows, ("layer", "trap", "found", "expected", "as in", "cause", "effect", "source"))


def layers(audit: Audit) -> str:
    """The model's layers as they were read; those that nothing corresponds to stand alone."""
    marked = {one.at for one in audit.deviations if one.at} | {one.layer for one in audit.deviations if one.layer}
    rows = [
        (
            code(row.at),
            code(row.call) if row.call else "",
            escape(row.read),
            (f"**{escape(row.layer)}**" if row.layer in marked else escape(row.layer)) if row.layer else "none",
            shape_in_words(row.shape),
            percent(row.share),
        )
        for row in audit.rows
    ]
    headers = ("layer", "call", "read as", f"in {audit.nearest_variant}", "gives", "share of the bound")
    lead = "What each layer gave, held against float64 on its own input. Layers that deviate are in bold."
    return f"{lead}\n\n{folded(rows, headers, 'All layers', LONG)}"


def parameters(audit: Audit) -> str:
    rows = [
        (code(parameter), escape(row.layer) if row.layer else "none", code(row.at))
        for row in audit.rows
        for parameter in row.parameters
    ]
    return folded(rows, ("parameter", f"layer of {audit.nearest_variant}", "used by"), "All parameters", LONG)


def notes(audit: Audit) -> str:
    return "\n".join(f"- {prose(note)}" for note in audit.notes) if len(audit.notes) != 1 else prose(audit.notes[0])


def again(audit: Audit) -> str:
    shape = ",".join(map(str, (audit.batch, *audit.input_shape)))
    size = f" --input-shape {shape}" if audit.batch and len(audit.input_shape) == 3 else ""
    seed = f" --seed {audit.seed}" if audit.seed else ""
    return f"    alexnet-parity audit {shlex.quote(line(audit.target))}{size}{seed}"


# Text from strangers ------------------------------------------------------------------------------------------------------


def code(text: str) -> str:
    """As code, whatever it holds: the fence is longer than any run of backticks in it."""
    text = line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else ""


def escape(text: str) -> str:
    """As plain text in a table's cell, whose bars the table itself escapes."""
    return re.sub(r"([\\`*_\[\]<>~&#!$])", r"\\\1", line(text))


def prose(text: str) -> str:
    """As plain text in a paragraph."""
    return escape(text).replace("|", "\\|")


def plain_cell(markdown: str) -> str:
    """Finished Markdown for a cell: its bars are escaped once, by the table."""
    return markdown.replace("\\|", "|")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
