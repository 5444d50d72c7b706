"""Findings and audits as GitHub Actions shows them: annotations on lines of the repository, a job summary in Markdown.

Workflow commands, and how text in them is escaped: docs.github.com, "Workflow commands for GitHub Actions"; of one step,
GitHub keeps ten annotations of a kind and a summary of 1 MiB.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checks import departure
from ..checks.audit.result import ANOTHER, CONVENTION, DEVIATION, UNEXPLAINED, Audit
from ..checks.finding import Finding, Status
from . import audit_words, places
from .audit_words import line
from .findings_file import Findings

ERROR, WARNING, NOTICE = "error", "warning", "notice"
MOST = 10  # annotations of a kind
LARGEST = 2**20  # bytes of a summary
SHOWN = 100  # rows of a table in a summary


@dataclass(frozen=True)
class Annotation:
    """level: "error", "warning" or "notice". file: relative to the repository's root, "" for none."""

    level: str
    title: str
    message: str
    file: str = ""
    line: int = 1

    def command(self) -> str:
        """The workflow command, one line whatever the texts hold."""
        where = {"file": self.file, "line": str(self.line)} if self.file else {}
        properties = ",".join(f"{key}={of_property(value)}" for key, value in {**where, "title": self.title}.items())
        return f"::{self.level} {properties}::{of_data(self.message)}"


def of_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def of_property(text: str) -> str:
    return of_data(text).replace(":", "%3A").replace(",", "%2C")


def quoted(lines: Iterable[str]) -> Iterator[str]:
    """Lines in which nothing is taken for a command, whatever somebody's model made us print."""
    token = secrets.token_hex(16)  # not to be guessed: it ends the quotation
    yield f"::stop-commands::{token}"
    yield from lines
    yield f"::{token}::"


def first_of(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Ten of each kind, all that GitHub keeps; the tenth says how many are not shown."""
    kept: list[Annotation] = []
    for level in (ERROR, WARNING, NOTICE):
        those = [one for one in annotations if one.level == level]
        kept += those if len(those) <= MOST else those[: MOST - 1]
        if (more := len(those) - MOST + 1) > 1:
            kept.append(Annotation(level, f"and {more} more", "The job summary and the JUnit file have them."))
    return kept


# Findings of verify -----------------------------------------------------------------------------------------------------


def of_findings(found: Findings, root: Path) -> list[Annotation]:
    """An error for each layer that is wrong, first departures first; a notice for what deviates as recorded.

    root: the repository's, from which GitHub reads file names.
    """
    worst: dict[tuple[str, str, str], Finding] = {}
    for finding in (*departure.first(found.findings), *departure.in_order(found.findings)):
        worst.setdefault((finding.impl, finding.variant, finding.layer), finding)
    wrong = [wrong_at(finding, root) for finding in worst.values()]
    return first_of([*wrong, *known(found.findings, root)])


def wrong_at(finding: Finding, root: Path) -> Annotation:
    name = finding.impl.partition(" ~ ")[0]
    parts = [f"expected {finding.expected}, got {finding.got}", finding.hint, f"again: {finding.replay}"]
    title = " ".join(filter(None, (f"{finding.status}:", finding.check, finding.layer, f"({finding.variant})")))
    return annotation(ERROR, title, "\n".join(line(part) for part in parts if part), name, root)


def known(findings: Iterable[Finding], root: Path) -> Iterator[Annotation]:
    """One for all that a check found of one implementation to deviate as recorded."""
    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.status is Status.KNOWN and finding.impl != "oracle":
            groups[finding.impl, finding.variant, finding.check].append(finding)
    for (impl, variant, check), those in groups.items():
        layers = ", ".join(dict.fromkeys(one.layer for one in those if one.layer))
        reasons = dict.fromkeys(line(one.hint or one.got) for one in those)
        title = f"KNOWN: {check} {layers} ({variant})"
        yield annotation(NOTICE, title, "\n".join(reasons), impl.partition(" ~ ")[0], root)


def annotation(level: str, title: str, message: str, target: str, root: Path) -> Annotation:
    place = places.place(target)
    return Annotation(level, line(title), message, place.below(root), place.line)


def first_departure(findings: Sequence[Finding]) -> str:
    """ "norm1 (local-large, paper): agrees if alpha is divided by n", "" where nothing is wrong."""
    for finding in departure.first(findings):
        said = finding.hint or f"expected {finding.expected}, got {finding.got}"
        return line(f"{finding.layer or 'the network'} ({finding.check}, {finding.variant}): {said}")
    return ""


def summary_of_findings(found: Findings) -> str:
    """The job summary: verdict, first departures with their causes, then what was checked."""
    from .audit import code  # pandas, only where Markdown is wanted

    counts = ", ".join(f"{found.summary[status]} {status}" for status in Status if found.summary[status])
    wrong = departure.in_order(found.findings)
    first = departure.first(found.findings)
    parts = [
        f"## alexnet-parity verify: {found.summary['verdict']}",
        f"{counts}.",
        f"### First departures\n\n{rows_of(first)}" if first else "",
        "Run again: " + "; ".join(code(finding.replay) for finding in first[:MOST]) if first else "",
        details("All that is wrong", wrong) if len(wrong) > len(first) else "",
        f"### What was checked\n\n{checked(found.findings)}",
        details("Deviates as recorded", [f for f in found.findings if f.status is Status.KNOWN and f.impl != "oracle"]),
        details("Cannot be asked", [f for f in found.findings if f.status is Status.UNSUPPORTED]),
    ]
    return fitting([part for part in parts if part])


def rows_of(findings: Sequence[Finding]) -> str:
    from .audit import code, escape
    from .markdown import table

    rows = [
        (f.status, code(f.impl), f.variant, f.check, *map(escape, (f.layer, f.expected, f.got, f.hint)))
        for f in findings[:SHOWN]
    ]
    more = f"\n\n... and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
    return table(rows, ("", "implementation", "variant", "check", "layer", "expected", "found", "hint")) + more


def details(title: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    return f"<details><summary>{title} ({len(findings)})</summary>\n\n{rows_of(findings)}\n\n</details>"


def checked(findings: Iterable[Finding]) -> str:
    """A line for each implementation, variant and family of checks."""
    from .audit import code
    from .markdown import percent, table

    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.impl, finding.variant, finding.check.partition("-")[0]].append(finding)
    rows = []
    for (impl, variant, family), those in groups.items():
        good = sum(finding.good() for finding in those)
        share = max((f.error_over_bound for f in those if f.error_over_bound is not None), default=None)
        used = "" if share is None else percent(share) if share <= 1 else "over"
        rows.append((code(impl), variant, family, f"{good} / {len(those)}", used))
    return table(rows[:SHOWN], ("implementation", "variant", "checks", "good", "of the bound"))


def fitting(parts: Sequence[str]) -> str:
    """The parts that GitHub takes: the last are left out where they would be too long."""
    kept, left = [], LARGEST - 200
    for part in parts:
        left -= len(part.encode()) + 2
        if left < 0:
            kept.append("... the rest is too long for a job summary; `report` and `junit` have it.")
            break
        kept.append(part)
    return "\n\n".join(kept) + "\n"


# Audits -----------------------------------------------------------------------------------------------------------------


def of_audit(audit: Audit, fail_on: str, root: Path) -> list[Annotation]:
    """An error for each deviation that counts, a warning for one that does not, a notice for a convention."""
    if audit.verdict == ANOTHER:
        return [annotation(ERROR, "no AlexNet", audit_words.verdict_line(audit), audit.target, root)]
    told = audit_words.told_once(audit.deviations)
    return first_of([of_told(one, fail_on, audit.target, root) for one in told])


def of_told(told: audit_words.Told, fail_on: str, target: str, root: Path) -> Annotation:
    counts = told.one.kind == UNEXPLAINED or (told.one.kind == DEVIATION and fail_on == DEVIATION)
    level = ERROR if counts else NOTICE if told.one.kind == CONVENTION else WARNING
    title = f"{told.one.kind}: {told.where}{f' [{told.one.trap}]' if told.one.trap else ''}"
    parts = [f"found {audit_words.few(told.found)}, expected {audit_words.few(told.expected)}", told.effects]
    parts += [f"as in {', '.join(told.one.agrees_with)}"] if told.one.agrees_with else []
    parts += [*audit_words.causes(told), f"source: {told.one.source}" if told.one.source else ""]
    return annotation(level, title, "\n".join(line(part) for part in parts if part), target, root)


def first_deviation(audit: Audit) -> str:
    """ "norm1 (f.2) [lrn-alpha-over-n]: found alpha = 2e-05, expected alpha = 0.0001"; conventions are none."""
    if audit.verdict == ANOTHER:
        return audit_words.verdict_line(audit)
    order = {row.layer: place for place, row in enumerate(audit.rows)}
    wrong = [one for one in audit.deviations if one.kind != CONVENTION]
    for one in sorted(wrong, key=lambda one: order.get(one.layer, len(order))):
        told = audit_words.Told((one,))
        trap = f" [{one.trap}]" if one.trap else ""
        return line(f"{told.where}{trap}: found {one.found}, expected {one.expected}")
    return ""


def summary_of_audit(audit: Audit, fail_on: str) -> str:
    """The report on the audit as a job summary, its outcome in the heading."""
    from . import audit as report

    outcome = "FAIL" if audit.fails(fail_on) else "PASS"
    chapter = report.chapter(audit, level=3)
    return fitting([f"## alexnet-parity audit: {outcome}", *chapter.split("\n\n")])
