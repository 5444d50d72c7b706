"""Runs implementations, each in a process of its own, and hands over their recordings as they come in."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from ..impls.describe import describe, one_line
from ..impls.find import Target
from . import pipe
from .child import Child, python
from .recording import Event, Feed, Recording
from .traces.replay import Player
from .traces.trace import Trace


@dataclass
class Worker:
    """A process and a thread that listens to it. Every feed ends as a recording, whatever becomes of the process."""

    target: Target
    feeds: Sequence[Feed]
    seed: int
    device: str
    timeout: float
    out: queue.Queue[Recording]
    child: Child | None = None
    flags: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.child = Child(python("checks.worker"), self.timeout, {**os.environ, **self.target.environment})
        try:
            threading.Thread(target=self.listen, args=(self.child,), daemon=True).start()
        except RuntimeError as error:  # the system has no thread left for it
            self.child.close()
            self.give_up(f"its process could not be listened to: {one_line(error)}")

    def give_up(self, reason: str) -> None:
        """Every feed ends as a recording, here too."""
        for feed in self.feeds:
            self.out.put(Recording(self.target.name, feed.variant, feed.stimulus, errors={"build": reason}))

    def job(self) -> bytes:
        asked = {"target": asdict(self.target), "feeds": [asdict(feed) for feed in self.feeds]}
        return json.dumps({**asked, "seed": self.seed, "device": self.device}).encode()

    def listen(self, child: Child) -> None:
        child.tell(self.job())
        lost = Event("error", "build", text="")
        for feed in self.feeds:
            recording = Recording(self.target.name, feed.variant, feed.stimulus)
            if not lost.text and (broken := self.fill_safely(child, recording)):
                lost = broken
                recording.take(Event(lost.kind, current_run(recording, feed), text=lost.text))
            elif lost.text:
                recording.take(lost)
            recording.flags = dict(self.flags)
            self.out.put(recording)
        child.close()

    def fill_safely(self, child: Child, recording: Recording) -> Event | None:
        """As `fill`; what cannot be understood ends the process, never this thread."""
        try:
            return self.fill(child, recording)
        except Exception as error:
            child.kill()
            return Event("error", "build", text=f"its process sent what cannot be read: {describe(error)}")

    def fill(self, child: Child, recording: Recording) -> Event | None:
        """Take events until the feed is done; otherwise what went wrong, for this feed and all after it."""
        while (event := pipe.receive(child.output)) is not None:
            child.heard()
            if event.kind == "done":
                self.flags |= recording.flags
                return None
            recording.take(event)
            if event.kind == "unavailable":
                return event
        return Event("error", "build", text=recording.errors.get("build") or child.how_it_ended())

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()


def current_run(recording: Recording, feed: Feed) -> str:
    """The run that a dead process was in: the last one begun, or the building before the first."""
    begun = [run for run in feed.runs if run in recording.runs]
    return begun[-1] if begun else "build"


class Workers:
    """One worker for each target, started at once; iterate for their recordings, in the order in which they are done.

    `traces` stand in for the implementations of their names.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        feeds: Sequence[Feed],
        seed: int,
        device: str,
        timeout: float,
        traces: Mapping[str, Trace] = MappingProxyType({}),
    ) -> None:
        self.expected = len(targets) * len(feeds)
        self.out: queue.Queue[Recording] = queue.Queue()
        self.workers: list[Worker | Player] = [
            Player(target, traces[target.name], feeds, self.out)
            if target.name in traces
            else Worker(target, feeds, seed, device, timeout, self.out)
            for target in targets
            if feeds
        ]

    def __enter__(self) -> Workers:
        for worker in self.workers:
            worker.start()
        return self

    def __iter__(self) -> Iterator[Recording]:
        for _ in range(self.expected):
            yield self.out.get()

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
