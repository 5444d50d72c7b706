"""Starts an audit in a process of its own, passes its progress on, and says in one line how it ended if it did not finish."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from ...impls.foreign.graph import Refused
from ..child import Child
from .result import Audit

COMMAND = (sys.executable, "-P", "-m", "alexnet_parity.checks.audit.worker")

Watch = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """input_shape: (N, C, H, W), or None for what the model says or takes."""

    target: str
    weights: str = ""
    variant: str = "nearest"
    input_shape: tuple[int, int, int, int] | None = None
    seed: int = 0


def run(job: Job, timeout: float = 600.0, watch: Watch = lambda _: None, command: Sequence[str] = COMMAND) -> Audit:
    """The audit; raises Refused, in one line, for all that keeps it from being one, the death of its process included.

    timeout: seconds of silence after which it is ended. However this is left, the process and all it started are gone.
    """
    child = Child(command, timeout)
    try:
        child.tell(json.dumps(asdict(job)).encode())
        audit = result(child, watch)
        if audit is None:
            raise Refused(f"{job.target}: {child.how_it_ended()}")
        return audit
    finally:
        child.close()


def result(child: Child, watch: Watch) -> Audit | None:
    """The audit; None where the process ended without one. Raises Refused for what it refused or cannot be read."""
    while (line := child.output.readline()).endswith(b"\n"):
        child.heard()
        try:
            event = json.loads(line)
            kind = event["kind"]
            if kind == "result":
                return Audit.from_dict(event["audit"])
            text = str(event["text"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(f"its process sent what cannot be read: {' '.join(str(error).split())[:200]}") from None
        if kind == "refused":
            raise Refused(text)
        watch(text)
    return None
