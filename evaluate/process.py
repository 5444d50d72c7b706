"""Processes that evaluate: one for each implementation, started when it is first asked, ended when the run is."""

from __future__ import annotations

import base64
import os
import pickle
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ..checks import pipe
from ..checks.child import Child, python
from .batch import Batch, Job
from .errors import Failed, Unusable

# Settings that decide into how many parts a library cuts a sum, and so its last bits.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def threads() -> tuple[tuple[str, str], ...]:
    """This process's settings of threads: what a Job's environment is made of."""
    return tuple((name, os.environ[name]) for name in THREADS if name in os.environ)


@dataclass(frozen=True)
class Answer:
    """A batch, and what the model says of itself."""

    batch: Batch
    flags: dict[str, str] = field(default_factory=dict)


class Process:
    """A worker process of one job; one question at a time."""

    def __init__(self, job: Job) -> None:
        self.job, self.lock = job, threading.Lock()
        rest = {name: value for name, value in os.environ.items() if name not in THREADS}
        self.child = Child(python("evaluate.worker"), environment={**rest, **dict(job.environment)})
        self.child.tell(base64.b64encode(pickle.dumps(job)))

    def ask(self, start: int, stop: int) -> Answer:
        """Images start to stop - 1; raises Unusable or Failed as `evaluate_batch` does, Failed too if the process ends."""
        with self.lock:
            self.child.tell(f"{start} {stop}".encode())
            arrays: dict[str, np.ndarray] = {}
            unreadable, flags = [], {}
            while (event := pipe.receive(self.child.output)) is not None:
                match event.kind:
                    case "array" if event.array is not None:
                        arrays[event.name] = event.array
                    case "unreadable":
                        unreadable.append((int(event.name), event.text))
                    case "flag":
                        flags[event.name] = event.text
                    case "unusable" | "failed":
                        raise (Unusable if event.kind == "unusable" else Failed)(event.text)
                    case "done":
                        return Answer(Batch(**arrays, unreadable=tuple(unreadable)), flags)
            raise Failed(f"{self.job.target.name}: {self.child.how_it_ended()}")


_processes: dict[Job, Process] = {}
_guard = threading.Lock()


def evaluate_in_own_process(job: Job, start: int, stop: int) -> Answer:
    """`evaluate_batch` in the job's own process on this machine, which stays for the next batch."""
    with _guard:
        if job not in _processes:
            _processes[job] = Process(job)
        process = _processes[job]
    try:
        return process.ask(start, stop)
    except (Unusable, Failed):
        close([job])
        raise


def close(jobs: Iterable[Job]) -> None:
    """End the processes of these jobs, here."""
    for job in jobs:
        with _guard:
            process = _processes.pop(job, None)
        if process is not None:
            process.child.close()
