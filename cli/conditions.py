"""`conditions`: what changes an implementation's bits, and by how much. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import outputs, targets
from .evaluate import positive
from .main import BAD, GOOD, Usage, natural, say, seconds
from .progress import Progress

if TYPE_CHECKING:
    from ..checks.conditions.session import Session
    from ..checks.finding import Finding
    from ..impls.find import Target


def add_parser(commands: Any) -> None:
    """Put `conditions` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    parser = commands.add_parser(
        "conditions",
        help="the same bits, forward and back, across runs, threads, batch sizes, alignment, modes? if not, inside the bound?",
        epilog="Exit status: 0 what must keep its bits does and all stays inside the bounds; 1 otherwise; 2 bad usage or input.",
    )
    targets.add_option(parser)
    parser.add_argument(
        "--condition", action="append", default=[], metavar="C", help="this one only; may be repeated; default: all"
    )
    parser.add_argument("--variant", default="paper-thin", metavar="V", help="default: paper-thin")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of the plain run; default: cpu")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of weights and inputs; default: 0")
    parser.add_argument("--at-once", type=positive, metavar="N", help="processes; default: one for each core")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="S",
        help="end an implementation silent for so long; default 600",
    )
    parser.add_argument("--json", type=outputs.file, metavar="FILE", help="the findings as JSON")
    parser.add_argument("--junit", type=outputs.file, metavar="FILE", help="the findings as JUnit XML")
    parser.add_argument("--report", type=outputs.file, metavar="FILE", help="a Markdown report with figures beside it")


def run(options: argparse.Namespace) -> int:
    """Record, judge, write what was asked for, show the outcome; returns the exit status."""
    from ..checks.verify import Unavailable
    from ..reports import findings_file
    from ..reports.findings_file import Findings

    written = [path for path in (options.json, options.junit, options.report) if path]
    outputs.check(written, targets.read(options.impl), options.report)
    session = ask(options)
    with Progress(f"starting {', '.join(target.name for target in session.targets)}") as progress:
        try:
            found = tuple(in_order(list(watched(session, progress)), session))
        except Unavailable as error:
            raise Usage(str(error)) from None
    environment = findings_file.environment(session.flags, session.seed, session.device, session.truths.digests)
    return finish(Findings(found, environment), options)


def ask(options: argparse.Namespace) -> Session:
    """The session that the options describe; every unknown name is told before anything runs."""
    from ..checks.conditions import condition
    from ..checks.conditions.session import Session
    from .main import named_variant

    variant = named_variant(options.variant).name
    those = [plain(target) for target in targets.at_least_one(options.impl)]
    try:
        chosen = condition.select([target.name for target in those], options.device, options.condition)
    except KeyError as error:
        raise Usage(error.args[0]) from None
    limit = {"at_once": options.at_once} if options.at_once else {}
    return Session(those, chosen, variant, seed=options.seed, device=options.device, timeout=options.timeout, **limit)


def plain(target: Target) -> Target:
    """An implementation that can be run again; raises Usage for one under a setting, and for a recording."""
    if target.setting:
        raise Usage(
            f"found --impl {target.name}, expected an implementation: give --impl {target.impl} --condition {target.setting}"
        )
    if target.file and not target.file.endswith(".py"):
        raise Usage(f"found {target.name!r}, a recording, expected an implementation that can be run again")
    return target


def watched(session: Session, progress: Progress) -> Iterator[Finding]:
    """The findings as they come, with a line: how many recordings are in, what was judged last, how many are wrong."""
    count = 0
    for finding in session.findings():
        count += not finding.good()
        wrong = f", {count} wrong" if count else ""
        progress.write(f"[{session.done}/{session.steps}{wrong}] {finding.impl} {finding.stimulus} {finding.layer}")
        yield finding


def in_order(findings: list[Finding], session: Session) -> list[Finding]:
    """By implementation and condition, as they were asked for: the same run gives the same file."""
    places = {name: place for place, name in enumerate(session.asked)}
    return sorted(findings, key=lambda f: (places[f.impl], list(session.stimuli).index(f.stimulus)))


def finish(found: Any, options: argparse.Namespace) -> int:
    """Write, show, and return the exit status."""
    from ..reports import files, junit

    if reason := found.nothing_judged():
        raise Usage(reason)

    with outputs.writing():
        if options.json:
            files.write(options.json, found.as_json())
        if options.junit:
            files.write(options.junit, junit.as_xml(found))
        if options.report:
            from ..reports import arithmetic  # pandas and matplotlib, only where a report is wanted

            arithmetic.write(found, options.report)
    say(lines(found.findings))
    return GOOD if found.good() else BAD


MOST = 20  # lines about what is wrong; the rest is in the JSON


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each implementation under each condition, what is wrong, the verdict."""
    from ..checks.conditions import outcome

    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.impl].append(finding)
    for name, those in groups.items():
        back = [finding for finding in those if outcome.is_back(finding)]
        yield f"{name:<30} {outcome.of([f for f in those if f not in back]).text}"
        if back:
            yield f"{'  gradients':<30} {outcome.of(back, 'gradients').text}"
    wrong = [finding for finding in findings if not finding.good()]
    yield from (finding.line() for finding in wrong[:MOST])
    if len(wrong) > MOST:
        yield f"... and {len(wrong) - MOST} more (--json FILE has them all)"
    runs = f"{len(groups)} run{'s' * (len(groups) != 1)}"
    yield f"{'FAIL' if wrong else 'PASS'}: {runs}, {len(findings)} findings, {len(wrong)} wrong"
