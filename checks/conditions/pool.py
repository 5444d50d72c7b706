"""Many workers, a few at a time: a process of TensorFlow's takes a second core and 600 MB before it does anything."""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ...impls.find import Target
from ..recording import Feed, Recording
from ..runner import Worker


@dataclass(frozen=True)
class Job:
    """What one process is to do; `target.name` is unique among the jobs of a pool."""

    target: Target
    feeds: Sequence[Feed]
    device: str


def recordings(jobs: Sequence[Job], seed: int, timeout: float, at_once: int) -> Generator[Recording, None, None]:
    """Every recording of every job as it comes in, at most `at_once` processes running; jobs start in their order.

    Closing the iterator ends the processes.
    """
    out: queue.Queue[Recording] = queue.Queue()
    waiting = deque(Worker(job.target, job.feeds, seed, job.device, timeout, out) for job in jobs)
    running: dict[str, Worker] = {}
    seen: Counter[str] = Counter()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                worker = waiting.popleft()
                running[worker.target.name] = worker
                worker.start()
            recording = out.get()
            seen[recording.impl] += 1
            if seen[recording.impl] == len(running[recording.impl].feeds):
                running.pop(recording.impl)
            yield recording
    finally:
        for worker in running.values():
            worker.kill()
