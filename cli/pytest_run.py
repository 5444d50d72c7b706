"""Everything that the tests of pytest_gate.py ask for, run once: in a session, and by one of the workers of pytest-xdist."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..checks.audit import process
from ..checks.audit.result import Audit
from ..checks.catalogue import Check
from ..checks.finding import Finding, Status
from ..checks.verify import Session, Unavailable
from ..impls.describe import describe
from ..impls.find import Target
from ..impls.foreign.graph import Refused
from ..reports import files

POLL = 0.1  # seconds between looks at what another worker has found


@dataclass(frozen=True)
class Asked:
    """What the options say. path: folders that pytest's `pythonpath` adds, for the processes that implementations run in."""

    targets: tuple[Target, ...]
    models: tuple[str, ...]
    variants: tuple[str, ...]
    checks: tuple[Check, ...]
    model_variant: str
    device: str
    timeout: float
    path: tuple[str, ...] = ()


@dataclass
class Run:
    """Findings and audits, made when the first is asked for. shared: a folder for all workers of pytest-xdist, or None."""

    asked: Asked
    shared: Path | None = None
    checks: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict)

    def findings_for(self, check: str, variant: str, concerns: Callable[[Finding], bool]) -> list[Finding]:
        """The findings of one check; fails the test where nothing could be judged."""
        outcome = self.once("verify", self.verify)
        if "refused" in outcome:
            pytest.fail(outcome["refused"], pytrace=False)
        return [f for f in outcome["findings"] if (f.check, f.variant) == (check, variant) and concerns(f)]

    def audit_of(self, model: str) -> Audit:
        """The audit of one model; fails the test where it cannot be audited."""
        outcome = self.once(f"audit-{self.asked.models.index(model)}", lambda: self.audit(model))
        if "refused" in outcome:
            pytest.fail(outcome["refused"], pytrace=False)
        audit: Audit = outcome["audit"]
        return audit

    def verify(self) -> dict[str, Any]:
        asked = self.asked
        checks = [check for check in asked.checks if check.name in self.checks]
        with import_path(asked.path):
            session = Session(asked.targets, self.variants, checks, device=asked.device, timeout=asked.timeout)
            try:
                return {"findings": [finding.as_dict() for finding in session.findings()]}
            except Unavailable as error:
                return {"refused": str(error)}

    def audit(self, model: str) -> dict[str, Any]:
        job = process.Job(model, variant=self.asked.model_variant)
        with import_path(self.asked.path):
            try:
                return {"audit": json.loads(process.run(job, self.asked.timeout).as_json())}
            except Refused as refusal:
                return {"refused": str(refusal)}

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives, made by whoever comes first."""
        if name not in self.kept:
            self.kept[name] = read(whole(make) if self.shared is None else shared(self.shared / name, make))
        found: dict[str, Any] = self.kept[name]
        return found


def whole(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gives; a run that broke off is not begun again for every test."""
    try:
        return make()
    except Exception as error:
        return {"refused": f"the run broke off: {describe(error)}"}


def read(outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome with its findings and audit as what they are."""
    read = dict(outcome)
    if "findings" in outcome:
        read["findings"] = [Finding(**{**row, "status": Status(row["status"])}) for row in outcome["findings"]]
    if "audit" in outcome:
        read["audit"] = Audit.from_dict(outcome["audit"])
    return read


def shared(place: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outcome in a file, written by the first process that claims it; the others wait, and take over if that one dies."""
    done, claim = place.with_suffix(".json"), place.with_suffix(".claim")
    while not done.exists():
        if claimed(claim):
            try:
                if not done.exists():  # another may have finished since, and its claim be gone for that
                    files.write(done, json.dumps(whole(make)))
            finally:
                claim.unlink(missing_ok=True)  # interrupted: another may take over
        elif not alive(claim):
            claim.unlink(missing_ok=True)
        else:
            time.sleep(POLL)
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return found


def claimed(claim: Path) -> bool:
    """Is the work ours from now on?"""
    part = claim.with_suffix(f".{os.getpid()}")
    part.write_text(str(os.getpid()))
    try:
        os.link(part, claim)  # whole at once, and only if nobody was faster
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def alive(claim: Path) -> bool:
    """Does the process that claimed the work still live? True as well where that cannot be told."""
    try:
        os.kill(int(claim.read_text()), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return claim.exists()
    return True


@contextlib.contextmanager
def import_path(folders: tuple[str, ...]) -> Iterator[None]:
    """PYTHONPATH with these folders first, for the processes started meanwhile: pytest's `pythonpath` is its own only."""
    before = os.environ.get("PYTHONPATH")
    if folders:
        os.environ["PYTHONPATH"] = os.pathsep.join((*folders, *([before] if before else [])))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before
