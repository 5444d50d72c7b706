"""`audit`: somebody else's AlexNet, layer by layer. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import github, outputs, targets
from .main import BAD, GOOD, Usage, natural, say, seconds
from .progress import Progress

MOST_IMAGES, MOST_NUMBERS = 64, 2**26
NAME, READ = 36, 62  # characters of a name and of a description in the table


def add_parser(commands: Any) -> None:
    """Put `audit` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    audit = commands.add_parser(
        "audit",
        help="anybody's AlexNet: where it departs from the paper, and why",
        description="Point it at a model that nobody here wrote; it needs no glue code.",
        epilog="Exit status: 0 nothing counts, 1 something does (--fail-on) or it is no AlexNet, 2 it cannot be audited.",
    )
    audit.add_argument(
        "target",
        metavar="TARGET",
        help="package.module:factory, path/to/file.py:factory (with literal arguments: 'm.py:net(num_classes=17)'), "
        "or an .onnx, .keras or .pt2 file",
    )
    audit.add_argument("--weights", type=outputs.file, metavar="FILE", help="weights to put into it")
    audit.add_argument(
        "--variant", default="nearest", metavar="V", help="hold it against this variant; default: the nearest"
    )
    audit.add_argument(
        "--input-shape", type=shape, metavar="N,C,H,W", help="the batch to feed, where the model does not say"
    )
    audit.add_argument("--seed", type=natural, default=0, metavar="N", help="of weights and inputs; default: 0")
    audit.add_argument(
        "--timeout", type=seconds, default=600.0, metavar="S", help="end a model silent for so long; default 600"
    )
    audit.add_argument("--json", type=outputs.file, metavar="FILE", help="the audit as JSON")
    audit.add_argument("--report", type=outputs.file, metavar="FILE", help="a Markdown report with a figure beside it")
    audit.add_argument("--junit", type=outputs.file, metavar="FILE", help="layers and deviations as JUnit XML")
    github.add_option(audit)
    audit.add_argument(
        "--fail-on",
        default="deviation",
        choices=("deviation", "unexplained"),
        help="what makes the exit status 1: any deviation (default), or only what could not be explained",
    )


def shape(text: str) -> tuple[int, ...]:
    """ "1,3,227,227" as numbers."""
    parts = [part.strip() for part in text.split(",")]
    sizes = tuple(int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < 10)
    if len(parts) != 4 or len(sizes) != 4 or 0 in sizes:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected four numbers above 0, as in 2,3,227,227")
    if sizes[0] > MOST_IMAGES or math.prod(sizes) > MOST_NUMBERS:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected at most {MOST_IMAGES} images and {MOST_NUMBERS:,} numbers in all"
        )
    return sizes


def run(options: argparse.Namespace) -> int:
    """Audit, write what was asked for, show the outcome; returns the exit status."""
    known_variant(options.variant)
    written = [path for path in (options.json, options.report, options.junit) if path]
    outputs.check(written, read(options), options.report)
    from ..checks.audit import process
    from ..impls.foreign.graph import Refused

    weights = str(options.weights) if options.weights else ""
    job = process.Job(options.target, weights, options.variant, options.input_shape, options.seed)
    with Progress(f"starting {options.target}") as progress:
        try:
            audit = process.run(job, options.timeout, lambda text: progress.write(one_line(text)))
        except Refused as refusal:
            raise Usage(one_line(refusal)) from None
    return finish(audit, options.json, options.report, options.fail_on, options.junit, options.github)


def read(options: argparse.Namespace) -> list[Path]:
    """The files that the audit is of, for `outputs.check`."""
    from ..impls.foreign import target
    from ..impls.foreign.graph import Refused

    try:
        place = target.parse(options.target).place
    except Refused as refusal:
        raise Usage(one_line(refusal)) from None
    model = [Path(place)] if Path(place).exists() else targets.read([place])
    return [*model, *([options.weights] if options.weights else [])]


def known_variant(name: str) -> None:
    """Raise Usage, with the nearest right name, before anything is loaded."""
    from ..reference import variants

    known = ["nearest", *variants.names()]
    if name not in known:
        raise Usage(variants.unknown(name) + "; or 'nearest'")


def one_line(error: object) -> str:
    from ..reports.audit_words import line

    return line(error)


def finish(
    audit: Any,
    json: Path | None,
    report: Path | None,
    fail_on: str,
    xml: Path | None = None,
    on_github: bool = False,
) -> int:
    """Write, show, and return the exit status."""
    from ..reports import files

    with outputs.writing():
        if json:
            files.write(json, audit.as_json().rstrip("\n") + "\n")
        if xml:
            from ..reports import junit

            files.write(xml, junit.of_audit(audit, fail_on))
        if report:
            from ..reports import audit as reports  # pandas and matplotlib, only where a report is wanted

            reports.write(audit, report)
    if on_github:
        tell_github(audit, fail_on, report, xml)
    else:
        say(lines(audit))
    return BAD if audit.fails(fail_on) else GOOD


def tell_github(audit: Any, fail_on: str, report: Path | None, xml: Path | None) -> None:
    from ..reports import github as told

    said = {"verdict": "FAIL" if audit.fails(fail_on) else "PASS", "first-departure": told.first_deviation(audit)}
    annotations = told.of_audit(audit, fail_on, github.root())
    summary = told.summary_of_audit(audit, fail_on)
    say(told.quoted(lines(audit)))
    github.tell(annotations, summary, said | {"report": report, "junit": xml})


def lines(audit: Any) -> Iterator[str]:
    """The layers, the notes, every deviation, the verdict; of what is no AlexNet the verdict alone."""
    from ..checks.audit.result import ANOTHER
    from ..reports import audit_words as words

    if audit.verdict != ANOTHER:
        yield f"{words.line(audit.target)} ({words.line(audit.framework)}), images of {words.shape_in_words(audit.input_shape)}"
        yield from layers(audit)
        yield from (f"note: {words.line(note)}" for note in audit.notes)
        for told in words.told_once(audit.deviations):
            yield ""
            yield from in_full(told)
        yield ""
    yield words.verdict_line(audit)


def layers(audit: Any) -> Iterator[str]:
    """A table of the model's layers; long names by their ends."""
    from tabulate import tabulate

    from ..reports.audit_words import line, percent, shortened

    rows = [
        (shortened(line(r.at), NAME), shortened(line(r.read), READ), r.layer or "-", percent(r.share))
        for r in audit.rows
    ]
    headers = ("layer", "read as", audit.nearest_variant, "of the bound")
    table = tabulate(
        rows, headers, tablefmt="simple", disable_numparse=True, colalign=("left", "left", "left", "right")
    )
    yield from (line.rstrip() for line in table.splitlines())


def in_full(told: Any) -> Iterator[str]:
    """One deviation: what it is and where, then what is known of it."""
    from ..reports.audit_words import causes, few, line

    one = told.one
    yield f"{one.kind:<12} {line(told.where)}{f' [{line(one.trap)}]' if one.trap else ''}"
    facts = [("found", few(told.found)), ("expected", few(told.expected)), ("effect", told.effects)]
    facts += [("as in", ", ".join(one.agrees_with))]
    facts += [("cause", cause) for cause in causes(told)] + [("source", one.source)]
    for name, text in facts:
        if text:
            yield f"  {name:<10} {line(text)}"
