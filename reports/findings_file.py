"""Findings as JSON: written whole and sealed, read with suspicion, merged only where they speak of the same numbers.

The seal is SHA-256 over the file as it stands, the seal's own digits read as zeros: a file with one bit changed is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks.finding import Finding, Status
from ..checks.provenance import processor, sources
from ..checks.traces.trace import Trace

SCHEMA = "alexnet-parity/findings/2"
KEYS = ("schema", "sha256", "environment", "summary", "findings")
OPENING = f'{{\n "schema": "{SCHEMA}",\n "sha256": "'  # how a file begins: the seal's digits come next
BLANK = "0" * 64
FEW = 3  # reasons in a message
RUN = {
    "sources": str,
    "python": str,
    "system": str,
    "processor": str,
    "seed": int,
    "device": str,
    "implementations": dict,
}


class BadFile(Exception):
    """A findings file that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Findings:
    """What a run found. environment: `runs` (one for each machine or process that measured) and `digests`."""

    findings: tuple[Finding, ...]
    environment: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        return summary(self.findings)

    def good(self) -> bool:
        return self.summary["verdict"] == "PASS"

    def nothing_judged(self) -> str:
        """Why nothing was, and what to do, where no implementation could be asked anything; "" where one was."""
        return nothing_judged(self.findings)

    def as_json(self) -> str:
        document = {
            "schema": SCHEMA,
            "sha256": BLANK,
            "environment": self.environment,
            "summary": self.summary,
            "findings": [finding.as_dict() for finding in self.findings],
        }
        return sealed(json.dumps(document, indent=1, allow_nan=False) + "\n")


def sealed(text: str) -> str:
    """A findings file's text with its seal, whatever stood in the seal's place; text that begins otherwise as it is."""
    start, end = len(OPENING), len(OPENING) + len(BLANK)
    if not text.startswith(OPENING):
        return text
    digits = hashlib.sha256((text[:start] + BLANK + text[end:]).encode(errors="surrogatepass")).hexdigest()
    return text[:start] + digits + text[end:]


def summary(findings: Iterable[Finding]) -> dict[str, Any]:
    """Counts for every status, and PASS if nothing fails and something was judged."""
    findings = list(findings)
    counts = Counter(finding.status for finding in findings)
    judged = bool(findings) and not nothing_judged(findings)
    verdict = "PASS" if judged and all(finding.good() for finding in findings) else "FAIL"
    return {status.value: counts[status] for status in Status} | {"verdict": verdict}


def nothing_judged(findings: Iterable[Finding]) -> str:
    """Why, where implementations were asked and all that is said of them is UNSUPPORTED; "" where there is a verdict on one.

    That one of several can do nothing of what is asked is no fault; that nobody can proves nothing. What is found of the oracle
    alone says nothing of them.
    """
    findings = list(findings)
    theirs = [finding for finding in findings if finding.impl != "oracle"]
    asked = any(finding.status is not Status.UNSUPPORTED for finding in theirs)
    if not theirs or asked or not all(finding.good() for finding in findings):
        return ""
    reasons = list(dict.fromkeys(f"{finding.impl}: {finding.got}" for finding in theirs))
    more = f" (and {len(reasons) - FEW} more reasons)" if len(reasons) > FEW else ""
    said = f"{'; '.join(reasons[:FEW])}{more}"
    return f"nothing was judged: {said}; ask for what it supports (--variant, --check, --condition), or name another with --impl"


def environment(
    implementations: dict[str, dict[str, str]], seed: int, device: str, digests: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """Where and with what this run was made."""
    run = {
        "sources": sources(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "seed": seed,
        "device": device,
        "implementations": implementations,
    }
    return {"runs": [run], "digests": digests}


def with_traces(environment: dict[str, Any], traces: Mapping[str, Trace]) -> dict[str, Any]:
    """A run's environment, what was recorded elsewhere as runs of their own: their machines, judged by the code here."""
    (run,) = environment["runs"]
    live = {name: flags for name, flags in run["implementations"].items() if name not in traces}
    runs = [{**run, "implementations": live}] if live or not traces else []
    for name, held in traces.items():
        machine = {key: held.environment.get(key, "") for key in ("python", "system", "processor")}
        flags = {key: text for key, text in run["implementations"][name].items() if key not in machine}
        runs.append({**run, **machine, "device": held.device, "implementations": {name: flags}})
    return {**environment, "runs": runs}


def read(path: Path) -> Findings:
    """Read a findings file; raises BadFile for anything that is not one, whole and of this schema."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not complete JSON ({error}); was it cut short? make it again with verify") from error
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if found != SCHEMA:
        raise BadFile(f"{path}: found schema {found!r}, expected {SCHEMA!r}; make it again with this version")
    if absent := [key for key in KEYS if key not in document]:
        raise BadFile(f"{path}: {', '.join(absent)} missing; make it again with verify")
    if not text.startswith(OPENING) or sealed(text) != text:
        raise BadFile(
            f"{path} is not as it was written (its SHA-256 differs); copy it again, or make it again with verify"
        )
    findings = Findings(tuple(parse(path, row) for row in rows(path, document)), checked(path, document["environment"]))
    if document["summary"] != findings.summary:
        raise BadFile(
            f"{path}: its summary does not follow from its findings; was it edited? make it again with verify"
        )
    return findings


def rows(path: Path, document: dict[str, Any]) -> list[Any]:
    if not isinstance(document["findings"], list) or not document["findings"]:
        raise BadFile(f"{path}: found no findings, expected a list of them; make it again with verify")
    return document["findings"]


def checked(path: Path, given: Any) -> dict[str, Any]:
    ok = isinstance(given, dict) and isinstance(given.get("runs"), list) and isinstance(given.get("digests"), dict)
    if not ok or not all(map(is_run, given["runs"])) or not all(map(is_digest, given["digests"].values())):
        raise BadFile(f"{path}: environment does not hold whole runs and digests; make it again with verify")
    return given


def is_run(run: Any) -> bool:
    """Has a run all that `environment` writes?"""
    if not isinstance(run, dict) or not all(isinstance(run.get(key), kind) for key, kind in RUN.items()):
        return False
    return all(
        isinstance(flags, dict) and all(map(is_text, flags.values())) for flags in run["implementations"].values()
    )


def is_digest(digest: Any) -> bool:
    return isinstance(digest, dict) and is_text(digest.get("params")) and is_text(digest.get("input"))


def is_text(value: Any) -> bool:
    return isinstance(value, str)


TYPES = {"seed": int, "numbers": dict}


def parse(path: Path, row: Any) -> Finding:
    """One finding, every field of the right type and none unknown."""
    fields = {field.name for field in dataclasses.fields(Finding)}
    if not isinstance(row, dict) or set(row) != fields:
        odd = set(row) ^ fields if isinstance(row, dict) else {type(row).__name__}
        raise BadFile(f"{path}: a finding with the wrong fields ({', '.join(sorted(map(str, odd)))})")
    if not is_text(row["status"]) or row["status"] not in set(Status):
        raise BadFile(f"{path}: unknown status {row['status']!r}; known: {', '.join(Status)}")
    share = row["error_over_bound"]
    if share is not None and (
        isinstance(share, bool) or not isinstance(share, int | float) or not math.isfinite(share)
    ):
        raise BadFile(f"{path}: error_over_bound is {share!r}, expected a finite number or null")
    for name in fields - {"status", "error_over_bound"}:
        if not isinstance(row[name], TYPES.get(name, str)):
            raise BadFile(f"{path}: {name} is {row[name]!r}, expected {TYPES.get(name, str).__name__}")
    for name, value in row["numbers"].items():
        if name in fields or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadFile(f"{path}: the number {name!r} is {value!r}, expected a finite number under a name of its own")
    return Finding(**{**row, "status": Status(row["status"])})


def merge(paths: Sequence[Path], files: Sequence[Findings]) -> Findings:
    """Several runs as one, what they say alike counted once (the oracle's own findings).

    Raises BadFile where two speak of different weights or inputs under one name.
    """
    digests: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for path, file in zip(paths, files, strict=True):
        for name, digest in file.environment["digests"].items():
            if digests.setdefault(name, digest) != digest:
                raise BadFile(
                    f"{path} and {origin[name]} were made with different weights or inputs for {name} "
                    "(their digests differ); use the same seed and version for both"
                )
            origin.setdefault(name, path)
    runs = [run for file in files for run in file.environment["runs"]]
    if len({run["sources"] for run in runs}) > 1:
        raise BadFile("the runs were made by different versions of this project's code; make them again with one")
    alike = {json.dumps(finding.as_dict(), sort_keys=True): finding for file in files for finding in file.findings}
    return Findings(tuple(alike.values()), {"runs": runs, "digests": digests})
