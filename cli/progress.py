"""A line that a person can watch, on a terminal only."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from ..checks.finding import Finding
from ..checks.verify import Session


class Progress:
    """Rewrites one line on standard error: how many recordings are in, what was judged last, what has failed."""

    def __init__(self, session: Session, stream: TextIO | None = None) -> None:
        self.session = session
        self.stream = stream or sys.stderr
        self.shown = self.stream.isatty()
        self.wrong = 0

    def __enter__(self) -> Progress:
        names = ", ".join(target.name for target in self.session.targets)
        self.write(f"starting {names}")
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def watch(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        for finding in findings:
            self.wrong += not finding.good()
            wrong = f", {self.wrong} wrong" if self.wrong else ""
            where = f"{finding.impl} {finding.variant} {finding.check} {finding.layer}"
            self.write(f"[{self.session.done}/{self.session.steps}{wrong}] {where}")
            yield finding

    def write(self, text: str) -> None:
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\x1b[2K{text[:width]}")
            self.stream.flush()
