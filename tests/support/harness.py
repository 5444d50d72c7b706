"""Verification inside the test's own process, and the command as a person would call it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alexnet_parity.checks import known
from alexnet_parity.checks.catalogue import select
from alexnet_parity.checks.finding import Finding
from alexnet_parity.checks.running import record
from alexnet_parity.checks.verify import Session
from alexnet_parity.cli import main as command
from alexnet_parity.impls.find import Target
from alexnet_parity.reference import stimuli, variants

SUPPORT = Path(__file__).parent
NUMPY = str(SUPPORT / "numpy_alexnet.py")


def verified(module: Any, variant: str = "paper-thin", checks: tuple[str, ...] = (), seed: int = 0) -> list[Finding]:
    """All findings about a module (anything with `build`), recorded and judged in this process."""
    name = named(module)
    session = Session([Target(name)], [variant], select(checks), seed)
    network = variants.variant(variant)
    incoming = (record(module, stimuli.stimulus(network, feed.stimulus, seed), feed, name) for feed in session.feeds)
    return list(known.applied(session.judged(incoming)))


def named(module: Any) -> str:
    """Ours by its name, with a fault around it or not, so that what is known of it applies; anything else is "subject"."""
    path = getattr(getattr(module, "module", module), "__name__", "")
    return path.rpartition(".")[2] if path.startswith("alexnet_parity.impls.") else "subject"


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.good()]


def hears_ctrl_c() -> None:
    """For a preexec_fn: a shell that runs the tests in the background has them ignore SIGINT, and so would a command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*arguments: str) -> int:
    """The command in this process; its exit status. Implementations still run in processes of their own."""
    return command.main([str(argument) for argument in arguments])


def findings_of(path: Path) -> list[SimpleNamespace]:
    """The findings in a JSON file, as objects."""
    return [SimpleNamespace(**row) for row in json.loads(path.read_text())["findings"]]
