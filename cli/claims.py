"""`claims`: the paper's claims on trial. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import outputs
from .main import BAD, GOOD, Usage, say
from .progress import Progress, libraries_silenced

DEFAULT_REPORT = Path("reports/claims.md")
FEW = 12  # claims that are told in full on the terminal


def add_parser(commands: Any) -> None:
    """Put `claims` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    claims = commands.add_parser("claims", help="the paper's claims, each with a verdict and its evidence")
    claims.add_argument("--id", action="append", default=[], metavar="ID", help="this claim only; may be repeated")
    claims.add_argument("--json", type=outputs.file, metavar="FILE", help="claims, verdicts and evidence as JSON")
    claims.add_argument(
        "-o",
        "--report",
        type=outputs.file,
        metavar="FILE",
        help=f"a Markdown report with a figure beside it; default {DEFAULT_REPORT}, none with --id",
    )
    claims.add_argument(
        "--original-code",
        type=outputs.file,
        metavar="DIR",
        help="parse the authors' configurations in a clone of computerhistory/AlexNet-Source-Code; default: as recorded",
    )


def run(options: argparse.Namespace) -> int:
    """Judge, write what was asked for, show the outcome; returns the exit status."""
    from ..checks.claims import trial as checks
    from ..checks.claims.verdict import Facts
    from ..impls import find
    from ..reports.claims import Trial

    report = options.report or (None if options.id else DEFAULT_REPORT)
    outputs.check([path for path in (options.json, report) if path], [options.original_code], report)
    try:
        claims = checks.chosen(options.id or None)
    except KeyError as error:
        raise Usage(error.args[0]) from None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before a check imports it
    facts = Facts(original=original_code(options.original_code), impls=tuple(find.runnable()))
    with libraries_silenced() as stream, Progress(stream=stream) as progress:
        told = progress.watch(checks.judge(facts, claims), lambda one: f"{one.claim.id}: {one.verdict}", len(claims))
        judged = tuple(told)
    orphans = () if options.id else tuple(checks.orphans())
    trial = Trial(judged, facts.original.parsed, facts.impls, orphans)
    return finish(trial, options.json, report)


def original_code(directory: Path | None) -> Any:
    """What the authors' files say: parsed from a folder, or recorded."""
    from ..reference.original_code.code import BadConfig, OriginalCode

    if directory is None:
        return OriginalCode.recorded()
    try:
        return OriginalCode.read(directory)
    except BadConfig as error:
        raise Usage(str(error)) from None


def finish(trial: Any, json: Path | None, report: Path | None) -> int:
    """Write, show, and return the exit status."""
    from ..reports import claims, files

    with outputs.writing():
        if json:
            files.write(json, trial.as_json())
        if report:
            claims.write(trial, report)
    say(lines(trial, report))
    return GOOD if trial.good() else BAD


def lines(trial: Any, report: Path | None) -> Iterator[str]:
    """Few claims in full; many by section, with those contradicted; then errors and the verdict on the whole."""
    from ..reports import claims

    if len(trial.judged) <= FEW:
        yield from in_full(trial.judged)
    else:
        yield from by_section(claims.sections(trial))
        wrong = [(one.claim.id, one.claim.says) for one in trial.judged if one.verdict == "contradicted"]
        yield from named(f"Contradicted ({len(wrong)}):", wrong)
    if trial.errors():
        yield from named(f"Without a verdict ({len(trial.errors())}):", trial.errors())
    if report:
        yield f"report: {report}"
    parsed = ", ".join(sorted(trial.parsed))
    yield f"original code: {f'parsed {parsed}; the rest' if parsed else 'all'} as recorded"
    yield f"{trial.summary['verdict']}: {claims.in_words(trial)}"


def named(head: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    """A heading and a line for each (id, text), the texts one below another."""
    width = max((len(name) for name, _ in rows), default=0)
    yield head
    yield from (f"  {name:<{width}}  {text}" for name, text in rows)


def in_full(judged: Iterable[Any]) -> Iterator[str]:
    """A line for the verdict on each, then what it rests on."""
    for one in judged:
        yield f"{one.verdict:<18} {one.claim.id} ({one.claim.section}): {one.claim.says}"
        if one.good:
            yield f"{'':<18} {one.evidence}"
        if one.claim.needs:
            yield f"{'':<18} needs: {one.claim.needs}"
        yield f"{'':<18} source: {one.claim.source}"


def by_section(sections: dict[str, list[Any]]) -> Iterator[str]:
    """A table: how many claims of each section have which verdict."""
    from tabulate import tabulate

    from ..reports.claims import ERROR, VERDICTS

    names = [*VERDICTS, *([ERROR] if any(not one.good for judged in sections.values() for one in judged) else [])]
    rows = []
    for title, judged in sections.items():
        verdicts = [one.verdict for one in judged]
        rows.append((title, *(verdicts.count(name) or "" for name in names)))
    yield from (line.rstrip() for line in tabulate(rows, ("section", *names), tablefmt="simple").splitlines())
