"""`differences`: four AlexNets side by side. `add_parser` and `run` are what main.py needs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import outputs, targets
from .main import BAD, GOOD, natural, say
from .progress import Progress, libraries_silenced

if TYPE_CHECKING:
    from ..checks.finding import Finding
    from ..impls.find import Target
    from ..reports.differences import Differences

DEFAULT_REPORT = Path("reports/differences.md")


def add_parser(commands: Any) -> None:
    """Put `differences` among the subcommands (what ArgumentParser.add_subparsers returned)."""
    differences = commands.add_parser(
        "differences",
        help="paper, original code, Caffe and torchvision side by side, and how much each difference does",
    )
    targets.add_option(differences, "prove the equal pairs on ")
    differences.add_argument("--seed", type=natural, default=0, metavar="N", help="of weights and inputs; default: 0")
    differences.add_argument("--json", type=outputs.file, metavar="FILE", help="aspects, effects and pairs as JSON")
    differences.add_argument(
        "-o",
        "--report",
        type=outputs.file,
        default=DEFAULT_REPORT,
        metavar="FILE",
        help=f"a Markdown report with a figure beside it; default: {DEFAULT_REPORT}",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, write, show the outcome; returns the exit status."""
    written = [path for path in (options.json, options.report) if path]
    outputs.check(written, targets.read(options.impl), options.report)
    chosen = targets.chosen(options.impl)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before an implementation imports it
    with libraries_silenced() as stream, Progress(stream=stream) as progress:
        found = measure(chosen, options.seed, progress)
    return finish(found, options.json, options.report)


def measure(chosen: Iterable[Target], seed: int, progress: Progress) -> Differences:
    """Effects by the oracle, then the pairs on the oracle and on each implementation."""
    from ..checks import effects
    from ..reports import findings_file
    from ..reports.differences import Differences

    found = tuple(progress.watch(effects.measured(seed), lambda effect: f"{effect.deviation}, scale {effect.scale:g}"))
    flags: dict[str, dict[str, str]] = {}
    pairs = tuple(progress.watch(findings(chosen, seed, flags), lambda finding: f"{finding.impl} {finding.check}"))
    environment = findings_file.environment(flags, seed, "cpu", {})["runs"][0]
    return Differences(found, pairs, environment, effects.untrained_scale(seed))


def findings(chosen: Iterable[Target], seed: int, flags: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """The pairs' findings; an implementation that cannot be imported is one of them."""
    from ..checks import equal_pairs
    from ..checks.finding import Finding, Status
    from ..impls import find
    from ..impls.describe import describe

    yield from equal_pairs.of_oracle(seed)
    for target in chosen:
        try:
            module = find.load(target)
        except Exception as error:
            yield Finding(
                Status.ERROR,
                expected="an importable implementation",
                got=describe(error),
                check="pair",
                impl=target.name,
            )
            continue
        flags[target.name] = find.versions(("numpy", *getattr(module, "requires", ())))
        yield from equal_pairs.of_implementation(module, target.name, seed, flags[target.name])


def finish(found: Differences, json: Path | None, report: Path) -> int:
    from ..reports import differences, files

    with outputs.writing():
        if json:
            files.write(json, found.as_json())
        differences.write(found, report)
    say(lines(found, report))
    return GOOD if found.good() else BAD


def lines(found: Differences, report: Path) -> Iterator[str]:
    """How often each differs, a line for each implementation, what is wrong, where the report is, and the verdict."""
    from ..reference.differences import COLUMNS, Stance, aspects
    from ..reports.findings_file import summary

    rows = aspects()
    for column in COLUMNS[1:]:
        count = sum(row.cells[column].stance is Stance.DIFFERS for row in rows)
        yield f"{column:<12} departs from the paper in {count} of {len(rows)} aspects"
    impls = dict.fromkeys(finding.impl for finding in found.findings)
    for impl in impls:
        mine = [finding for finding in found.findings if finding.impl == impl]
        yield f"{impl:<22} {sum(f.good() for f in mine)} of {len(mine)} findings on the pairs hold"
    yield from (finding.line() for finding in found.findings if not finding.good())
    yield f"report: {report}"
    counts = {name: n for name, n in summary(found.findings).items() if n and name != "verdict"}
    yield f"{'PASS' if found.good() else 'FAIL'}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
