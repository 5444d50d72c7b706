"""`claims`: the paper's claims on trial. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from .main import BAD, GOOD, Usage, say

DEFAULT_REPORT = Path("reports/claims.md")
FEW = 12  # claims that are told in full on the terminal


def add_parser(commands: Any) -> None:
    """Put `claims` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    claims = commands.add_parser("claims", help="the paper's claims, each with a verdict and its evidence")
    claims.add_argument("--id", action="append", default=[], metavar="ID", help="this claim only; may be repeated")
    claims.add_argument("--json", type=Path, metavar="FILE", help="claims, verdicts and evidence as JSON")
    claims.add_argument(
        "-o",
        "--report",
        type=Path,
        metavar="FILE",
        help=f"a Markdown report with a figure beside it; default {DEFAULT_REPORT}, none with --id",
    )
    claims.add_argument(
        "--original-code",
        type=Path,
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
    check_outputs([path for path in (options.json, report) if path])
    try:
        claims = checks.chosen(options.id or None)
    except KeyError as error:
        raise Usage(error.args[0]) from None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before a check imports it
    facts = Facts(original=original_code(options.original_code), impls=tuple(find.runnable()))
    with libraries_silenced() as stream, Progress(len(claims), stream) as progress:
        judged = tuple(progress.watch(checks.judge(facts, claims)))
    orphans = () if options.id else tuple(checks.orphans())
    trial = Trial(judged, facts.original.parsed, facts.impls, orphans)
    return finish(trial, options.json, report)


def check_outputs(paths: list[Path]) -> None:
    """Tell now, before a minute's work, if one of them could not be written."""
    from ..reports import files

    if len({path.resolve() for path in paths}) < len(paths):
        raise Usage(f"two outputs into one file: {', '.join(map(str, paths))}; give each its own")
    try:
        for path in paths:
            files.check_writable(path)
    except files.Unwritable as error:
        raise Usage(str(error)) from None


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

    try:
        if json:
            files.write(json, trial.as_json())
        if report:
            claims.write(trial, report)
    except files.Unwritable as error:
        raise Usage(str(error)) from None
    say(lines(trial, report))
    return GOOD if trial.good() else BAD


def lines(trial: Any, report: Path | None) -> Iterator[str]:
    """Few claims in full; many by section, with those contradicted; then errors and the verdict on the whole."""
    from ..reports import claims

    if len(trial.judged) <= FEW:
        yield from in_full(trial.judged)
    else:
        yield from by_section(claims.sections(trial))
        wrong = [one for one in trial.judged if one.verdict == "contradicted"]
        wrong = [(one.claim.id, one.claim.says) for one in trial.judged if one.verdict == "contradicted"]
        yield from named(f"Contradicted ({len(wrong)}):", wrong)
    if trial.errors():
        yield from named(f"Without a verdict ({len(trial.errors())}):", trial.errors())
    if report:
        yield f"report: {report}"
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


@contextlib.contextmanager
def libraries_silenced() -> Iterator[TextIO]:
    """Standard error for us alone: TensorFlow's start-up messages go past Python, straight to the file descriptor.

    A library's failure is not lost by that: a check that breaks off is reported with its exception.
    """
    try:
        ours = os.dup(2)
    except OSError:  # there is no standard error
        with open(os.devnull, "w", encoding="utf-8") as stream:
            yield stream
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with os.fdopen(os.dup(ours), "w", encoding="utf-8") as stream:
            yield stream
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)
        os.close(ours)
        os.close(nowhere)


class Progress:
    """One line on standard error that a person can watch, on a terminal only: how many claims are judged."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.stream = stream
        self.shown = stream.isatty()

    def __enter__(self) -> Progress:
        self.write(f"[0/{self.total}]")
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def watch(self, judged: Iterable[Any]) -> Iterator[Any]:
        for number, one in enumerate(judged, 1):
            self.write(f"[{number}/{self.total}] {one.claim.id}: {one.verdict}")
            yield one

    def write(self, text: str) -> None:
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\x1b[2K{text[:width]}")
            self.stream.flush()
