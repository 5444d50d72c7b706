"""Traces in the place of implementations: targets whose file is a trace, and recordings out of it instead of a process."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...impls.find import Target
from ..recording import Feed, Recording
from . import container, trace
from .trace import Trace

LABEL = re.compile(
    r" \([^(),]*(, .*?)?\)(?= ~ |$)"
)  # what `labelled` puts behind a name; a file's may have brackets too


def is_trace(target: Target) -> bool:
    return target.file.endswith(container.SUFFIX)


def opened(targets: Iterable[Target]) -> tuple[list[Target], dict[str, Trace]]:
    """The targets, those that are traces named after what they hold, and the traces by that name.

    Raises BadTrace for one that cannot be used.
    """
    named: list[Target] = []
    traces: dict[str, Trace] = {}
    for target in targets:
        if is_trace(target):
            held = trace.read(Path(target.file))
            held.check_network()
            name = labelled(held, {*(other.name for other in named)})
            named.append(replace(target, name=name))
            traces[name] = held
        else:
            named.append(target)
    return named, traces


def labelled(held: Trace, taken: set[str]) -> str:
    """torch (cuda); of several alike, with the file's name, or its place."""
    names = (f"{held.impl} ({where})" for where in (held.device, f"{held.device}, {held.path.name}"))
    return next((name for name in names if name not in taken), f"{held.impl} ({held.device}, {held.path})")


def called(impl: str) -> str:
    """The implementation's own name, wherever it was recorded: torch (cuda) is torch."""
    return LABEL.sub("", impl)


@dataclass
class Player:
    """In the place of a `runner.Worker`: every feed as the trace has it."""

    target: Target
    held: Trace
    feeds: Sequence[Feed]
    out: queue.Queue[Recording]

    def start(self) -> None:
        for feed in self.feeds:
            self.out.put(self.held.recording(feed, self.target.name))

    def kill(self) -> None:
        """There is no process."""
