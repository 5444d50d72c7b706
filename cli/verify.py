"""`verify` and `report`: run, show, write."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..checks import catalogue, departure
from ..checks.finding import Finding, Status
from ..checks.traces import replay
from ..checks.traces.container import BadTrace
from ..checks.traces.trace import Trace
from ..checks.verify import Session, Unavailable
from ..impls.find import Target, name_and_setting
from ..reference import variants
from ..reports import files, findings_file, junit
from ..reports.findings_file import BadFile, Findings
from . import github, outputs, targets
from .main import BAD, GOOD, Usage, say
from .progress import Progress
from .targets import at_least_one

FEW = 4  # checks that cannot be asked; more of them share a line
MANY = 3  # variants; of more, what passes is folded
SHOWN = 20  # lines about what follows from a first departure; the rest is in the JSON


def verify(options: argparse.Namespace) -> int:
    written = [path for path in (options.json, options.report, options.junit) if path]
    outputs.check(written, targets.read(options.impl), options.report)
    session = ask(options)
    names = ", ".join(target.name for target in session.targets)
    with Progress(f"starting {names}") as progress:
        try:
            found = tuple(session.in_order(watched(session, progress)))
        except Unavailable as error:
            raise Usage(str(error)) from None
    if not found:
        names = ", ".join(check.name for check in session.checks)
        raise Usage(
            f"nothing to judge: {names} on {', '.join(session.variants)} with {len(session.targets)} implementation(s); "
            "`together` needs two, `padding` the variant paper-224, `towers` torch_towers"
        )
    environment = findings_file.with_traces(
        findings_file.environment(session.flags, session.seed, session.device, session.truths.digests), session.traces
    )
    return finish(Findings(found, environment), options.json, options.report, options.junit, options.github)


def watched(session: Session, progress: Progress) -> Iterator[Finding]:
    """The findings as they come, with a line: how many recordings are in, what was judged last, how many are wrong."""
    count = 0
    for finding in session.findings():
        count += not finding.good()
        wrong = f", {count} wrong" if count else ""
        where = f"{finding.impl} {finding.variant} {finding.check} {finding.layer}"
        progress.write(f"[{session.done}/{session.steps}{wrong}] {where}")
        yield finding


def ask(options: argparse.Namespace) -> Session:
    """The session that the options describe; every unknown name is told before anything runs."""
    try:
        checks = catalogue.select(options.check)
    except KeyError as error:
        raise Usage(error.args[0]) from None
    targets, held = opened(at_least_one(options.impl, traces=True))
    patterns = options.variant or [trace.variant for trace in held.values()] or ["paper"]
    try:
        meant = [name for pattern in patterns for name in variants.matching(pattern)]
    except KeyError as error:
        raise Usage(error.args[0]) from None
    nets = list(dict.fromkeys(meant))
    seed = common_seed(options.seed, nets, held)
    return Session(targets, nets, checks, seed, options.device, options.timeout, traces=held)


def opened(targets: Sequence[Target]) -> tuple[list[Target], dict[str, Trace]]:
    try:
        return replay.opened(targets)
    except BadTrace as error:
        raise Usage(str(error)) from None


def common_seed(asked: int | None, nets: Sequence[str], held: Mapping[str, Trace]) -> int:
    """The seed to verify with, the traces' own unless another is asked for; raises Usage where they are of something else."""
    for trace in held.values():
        if trace.variant not in nets:
            raise Usage(
                f"{trace.path} was recorded of {trace.variant}, asked for: {', '.join(nets)}; add --variant {trace.variant}"
            )
        asked = trace.seed if asked is None else asked
        if trace.seed != asked:
            raise Usage(
                f"{trace.path} was recorded with seed {trace.seed}, expected {asked}; "
                f"verify it by itself with --seed {trace.seed}, or record it again with --seed {asked}"
            )
    return asked or 0


def report(options: argparse.Namespace) -> int:
    written = [path for path in (options.output, options.json, options.junit) if path]
    outputs.check(written, options.findings, options.output)
    try:
        merged = findings_file.merge(options.findings, [findings_file.read(path) for path in options.findings])
    except BadFile as error:
        raise Usage(str(error)) from None
    return finish(merged, options.json, options.output, options.junit)


def finish(found: Findings, json: Path | None, markdown: Path | None, xml: Path | None, on_github: bool = False) -> int:
    """Write what was asked for, show the outcome, return the exit status."""
    if reason := found.nothing_judged():
        raise Usage(reason)
    conditions = of_conditions(found.findings)
    with outputs.writing():
        if json:
            files.write(json, found.as_json())
        if xml:
            files.write(xml, junit.as_xml(found))
        if markdown:
            from ..reports import arithmetic, parity  # pandas and matplotlib, only where a report is wanted

            (arithmetic if conditions else parity).write(found, markdown)
    if on_github:
        tell_github(found, markdown, xml)
    elif conditions:
        from .conditions import lines as by_condition

        say(by_condition(found.findings))
    else:
        say(lines(found))
    return GOOD if found.good() else BAD


def of_conditions(findings: Sequence[Finding]) -> bool:
    """Were they made by `conditions`? Raises Usage where only some were, or where its runs are not of one kind."""
    own = [finding for finding in findings if finding.check.startswith("condition-")]
    others = {f.check for f in findings} - {f.check for f in own} if own else set()
    if mixed := sorted(name for name in others if not name.startswith("precision-")):
        raise Usage(
            f"found findings of `conditions` and of `verify` ({mixed[0]}), expected one of them: make a report of each"
        )
    plain = sorted({f"{f.variant} on {f.device}" for f in own if not name_and_setting(f.impl)[1]})
    if len(plain) > 1:
        raise Usage(f"found `conditions` of {', '.join(plain)}, expected one: make a report of each")
    return bool(own)


def tell_github(found: Findings, markdown: Path | None, xml: Path | None) -> None:
    from ..reports import github as told

    said = {"verdict": found.summary["verdict"], "first-departure": told.first_departure(found.findings)}
    annotations = told.of_findings(found, github.root())
    say(told.quoted(lines(found)))
    github.tell(annotations, told.summary_of_findings(found), said | {"report": markdown, "junit": xml})


def lines(found: Findings) -> Iterator[str]:
    """What was checked, then everything that is wrong, then the verdict."""
    yield from checked(found.findings)
    wrong, first = departure.in_order(found.findings), departure.first(found.findings)
    rest = [finding for finding in wrong if finding not in first]
    if first:
        yield "First departures:"
        yield from (finding.line() for finding in first)
    if rest:
        yield f"After them ({len(rest)}):"
        yield from (finding.line() for finding in rest[:SHOWN])
    if len(rest) > SHOWN:
        yield f"... and {len(rest) - SHOWN} more (--json FILE has them all)"
    yield (f"{found.summary['verdict']}: " + ", ".join(f"{n} {name}" for name, n in count(found.findings).items()))


def checked(found: Sequence[Finding]) -> Iterator[str]:
    """A line for each implementation, variant and check; of many variants, one for all checks where nothing is wrong."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in found:
        groups[finding.impl, finding.variant].append(finding)
    many = len({variant for _, variant in groups}) > MANY
    for (impl, variant), findings in groups.items():
        checks = [f.check for f in findings]
        fold = many and len(set(checks)) > 1 and all(f.good() for f in findings)
        able = {f.check for f in findings if f.status is not Status.UNSUPPORTED}
        unable = [name for name in dict.fromkeys(checks) if name not in able]
        asked = [name for name in dict.fromkeys(checks) if name in able or len(unable) <= FEW]
        for name in ["all checks"] if fold else asked:
            those = [f for f, check in zip(findings, checks, strict=True) if fold or check == name]
            worst = max((f.error_over_bound for f in those if f.error_over_bound is not None), default=0.0)
            share = f"at most {worst:.1%} of the bound" if 0 < worst <= 1 else ""
            counts = ", ".join(f"{n} {status}" for status, n in count(those).items())
            yield f"{impl:<22} {variant:<18} {name:<24} {counts:<18} {share}".rstrip()
        if not fold and len(unable) > FEW:
            yield f"{impl:<22} {variant:<18} {len(unable)} checks UNSUPPORTED: {', '.join(unable)}"


def count(findings: Iterable[Finding]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for finding in findings:
        counts[finding.status.value] += 1
    return counts
