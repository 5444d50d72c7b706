"""`traps`: the catalogue of mistakes on trial. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import outputs
from .main import BAD, GOOD, Usage, natural, say
from .progress import Progress, libraries_silenced


def add_parser(commands: Any) -> None:
    """Put `traps` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    traps = commands.add_parser(
        "traps",
        help="known mistakes, set on purpose: is each detected, located and named by an audit?",
        epilog="Exit status: 0 all are, at least 90 %% of pairs are named and there is no false alarm; 1 otherwise; 2 bad usage.",
    )
    traps.add_argument(
        "--framework", action="append", default=[], metavar="F", help="may be repeated; default: all that are installed"
    )
    traps.add_argument("--trap", action="append", default=[], metavar="ID", help="this one only; may be repeated")
    dealt = "and N pairs of mistakes, dealt to the frameworks in turn; default: 0"
    traps.add_argument("--pairs", type=natural, default=0, metavar="N", help=dealt)
    traps.add_argument(
        "--clean",
        type=natural,
        default=0,
        metavar="N",
        help="and networks without a mistake: N seeds, and every thin variant once; default: 0",
    )
    traps.add_argument("--seed", type=natural, default=0, metavar="N", help="of pairs, weights and inputs; default: 0")
    traps.add_argument("--json", type=outputs.file, metavar="FILE", help="every outcome as JSON")
    traps.add_argument(
        "-o", "--report", type=outputs.file, metavar="FILE", help="a Markdown report with a figure beside it"
    )


def run(options: argparse.Namespace) -> int:
    """Try, write what was asked for, show the outcome; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    frameworks, ids = chosen_frameworks(options.framework), chosen_traps(options.trap)
    outputs.check([path for path in (options.json, options.report) if path], report=options.report)
    with libraries_silenced() as stream, Progress(stream=stream) as progress:
        tried = tries(frameworks, ids, options, progress)
    return finish(tried, options.json, options.report)


def chosen_frameworks(names: list[str]) -> tuple[str, ...]:
    """Those asked for, or all that are installed; raises Usage for an unknown one, one that is missing, or none."""
    from ..impls.foreign import poses
    from ..reference.spec import nearest

    for name in names:
        if name not in poses.FRAMEWORKS:
            known = list(poses.FRAMEWORKS)
            raise Usage(f"unknown framework {name!r}{nearest(name, known)} Known: {', '.join(known)}")
        if absent := poses.missing(name):
            raise Usage(f"{name} needs {' and '.join(absent)}, not installed here")
    found = tuple(dict.fromkeys(names or poses.runnable()))
    if not found:
        raise Usage("no framework is installed here; pip install -e '.[all]'")
    return found


def chosen_traps(ids: list[str]) -> list[str]:
    """Those asked for, or all; raises Usage for an unknown one."""
    from ..checks.traps import BY_ID
    from ..reference.spec import nearest

    for trap in ids:
        if trap not in BY_ID:
            raise Usage(
                f"unknown trap {trap!r}{nearest(trap, list(BY_ID))} `alexnet-parity traps --json FILE` lists all"
            )
    return list(dict.fromkeys(ids)) or list(BY_ID)


def tries(frameworks: tuple[str, ...], ids: list[str], options: argparse.Namespace, progress: Progress) -> Any:
    from ..checks.audit import trial
    from ..impls.foreign import poses
    from ..reports.traps import Tried

    cases = trial.pairs(options.pairs, options.seed)
    singles: list[Any] = []
    pairs: list[Any] = []
    alarms: list[Any] = []
    clean = 0
    for turn, framework in enumerate(frameworks):
        pose = partial(poses.posed, framework)
        told = progress.watch(
            trial.singles(framework, pose, ids, options.seed), lambda one: f"{one.framework}: {one.trap}", len(ids)
        )
        singles += told
        own = cases[turn :: len(frameworks)]  # dealt in turn
        judged = (trial.judge(case, framework, pose, options.seed) for case in own)
        pairs += progress.watch(judged, lambda one: f"{one.framework}: {one.trap}", len(own))
        if options.clean:
            total = len(trial.grounds(options.clean))
            audits = progress.watch(
                trial.clean(framework, pose, options.clean), lambda one: f"no mistake: {one[0]}, seed {one[1]}", total
            )
            alarms += [alarm for _, _, alarm in audits if alarm]
            clean += total
    progress.write("loose comparisons")
    loose = {trap: trial.loose(case, options.seed) for trap in ids if (case := trial.case_of(trap))}
    return Tried(frameworks, tuple(singles), tuple(pairs), tuple(alarms), clean, loose, options.seed)


def finish(tried: Any, json: Path | None, report: Path | None) -> int:
    """Write, show, and return the exit status."""
    from ..reports import files, traps

    with outputs.writing():
        if json:
            files.write(json, tried.as_json())
        if report:
            traps.write(tried, report)
    say(lines(tried, report))
    return GOOD if tried.good() else BAD


def lines(tried: Any, report: Path | None) -> Iterator[str]:
    """A table by framework; each mistake that got away, with what was said instead; pairs and false alarms; the verdict."""
    from tabulate import tabulate

    from ..reports import traps

    headers = ("framework", "posed", "detected", "located", "named", "pairs", "pairs named")
    rows = [traps.count_row(tried, framework) for framework in tried.frameworks]
    yield from (line.rstrip() for line in tabulate(rows, headers, tablefmt="simple").splitlines())
    if failed := tried.failed():
        yield f"Not detected, located or named ({len(failed)}):"
        yield from (failure(one, f"not {traps.what(one)}") for one in failed)
    if unnamed := tried.unnamed_pairs():
        yield f"Pairs not named ({len(unnamed)}):"
        yield from (failure(one, "") for one in unnamed)
    if tried.clean:
        yield f"False alarms: {len(tried.alarms)} in {tried.clean} audits of networks without a mistake"
        yield from (f"  {a.framework}, {a.variant}, seed {a.seed}: {'; '.join(a.said)}" for a in tried.alarms)
    left_out = sorted({one.trap for one in tried.singles} - set(tried.shown()))
    if left_out:
        yield f"posed nowhere: {', '.join(left_out)}"
    if report:
        yield f"report: {report}"
    yield f"{'PASS' if tried.good() else 'FAIL'}: {len(tried.shown())} mistakes, {', '.join(tried.frameworks)}"


def failure(one: Any, missing: str) -> str:
    said = "; ".join(one.said) or "nothing"
    return f"  {one.framework:<6} {one.trap} at {one.layer} ({one.variant}): {missing + '; ' if missing else ''}said {said}"
