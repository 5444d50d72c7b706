"""`diff`: two findings files, or two traces, against one another."""

from __future__ import annotations

import argparse
import json
from typing import Any

from . import outputs
from .main import BAD, GOOD, Usage, say


def add_parser(commands: Any) -> None:
    diff = commands.add_parser(
        "diff",
        help="what changed and what drifted between two runs",
        epilog="Exit status: 0 nothing got worse (of traces: the same bits); 1 something did: what held deviates, fails or is "
        "no longer asked; 2 a file that cannot be read.",
    )
    what = "findings (verify --json) or a trace (record -o)"
    diff.add_argument("a", type=outputs.file, metavar="RUN_A", help=what)
    diff.add_argument("b", type=outputs.file, metavar="RUN_B", help="another of the same kind")
    diff.add_argument("--json", type=outputs.file, metavar="FILE", help="all of it as JSON")
    diff.add_argument("--report", type=outputs.file, metavar="FILE", help="all of it as Markdown")


def run(options: argparse.Namespace) -> int:
    outputs.check([path for path in (options.json, options.report) if path], (options.a, options.b))
    kinds = [path.suffix == ".safetensors" for path in (options.a, options.b)]
    if any(kinds) and not all(kinds):
        raise Usage(f"{options.a} and {options.b} are of different kinds; expected two findings files or two traces")
    return of_traces(options) if all(kinds) else of_findings(options)


def of_findings(options: argparse.Namespace) -> int:
    from ..reports import changes, findings_file

    try:
        a, b = (findings_file.read(path) for path in (options.a, options.b))
    except findings_file.BadFile as error:
        raise Usage(str(error)) from None
    found = changes.between(a, b)
    write(options, found.as_json(), lambda: changes.document(found, str(options.a), str(options.b)))
    say(changes.lines(found))
    return BAD if found.worse() else GOOD


def of_traces(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..checks.traces import differ, trace
    from ..checks.traces.container import BadTrace
    from ..reports import changes

    try:
        a, b = (trace.read(path) for path in (options.a, options.b))
    except BadTrace as error:
        raise Usage(str(error)) from None
    found, around = (
        list(differ.between(a, b)),
        list(changes.unequal(changes.said_of_trace(a), changes.said_of_trace(b))),
    )
    same = all(difference.same() for difference in found)
    rows = [*map(differ.line, found), *changes.words(around)]
    document = {"schema": differ.SCHEMA, "same": same, "runs": [asdict(f) for f in found], "environment": around}
    text = f"# From {options.a} to {options.b}\n\n" + "".join(f"- {row.strip()}\n" for row in rows)
    write(options, json.dumps(document, indent=1, allow_nan=False) + "\n", lambda: text)
    say([*rows, "the same bits" if same else "different bits"])
    return GOOD if same else BAD


def write(options: argparse.Namespace, as_json: str, as_markdown: Any) -> None:
    from ..reports import files

    with outputs.writing():
        if options.json:
            files.write(options.json, as_json)
        if options.report:
            files.write(options.report, as_markdown())
