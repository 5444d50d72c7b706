"""Where batches are evaluated: on this machine, or on a Dask cluster. Both call the same function."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from .batch import Job
from .errors import Unusable, reason
from .process import Answer, close, evaluate_in_own_process

SECONDS = 15  # to reach a scheduler


class Engine(Protocol):
    """A context in which batches can be submitted; `ahead` batches keep it busy."""

    ahead: int

    def submit(self, job: Job, start: int, stop: int) -> Future[Answer]: ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...


class Local:
    """A thread for each implementation, which waits for that implementation's process."""

    ahead = 2

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs

    def __enter__(self) -> Local:
        self.threads = {job: ThreadPoolExecutor(1) for job in self.jobs}
        return self

    def submit(self, job: Job, start: int, stop: int) -> Future[Answer]:
        return self.threads[job].submit(evaluate_in_own_process, job, start, stop)

    def __exit__(self, *_: object) -> None:
        for pool in self.threads.values():
            pool.shutdown(wait=False, cancel_futures=True)
        close(self.jobs)
        for pool in self.threads.values():
            pool.shutdown()
        close(self.jobs)  # one that a thread started meanwhile


class Dask:
    """An existing cluster, by its scheduler's address, or one of `workers` processes on this machine.

    Frameworks are not imported into Dask's workers: each starts the implementations' own processes beside it. Files
    must have the same paths on every machine, and this project must be installed there.
    """

    def __init__(self, jobs: Sequence[Job], scheduler: str = "", workers: int = 1) -> None:
        self.jobs, self.scheduler, self.workers = jobs, scheduler, workers

    def __enter__(self) -> Dask:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise Unusable("--engine dask needs Dask, not installed here: pip install -e '.[dask]'") from None
        self.held = contextlib.ExitStack()
        with contextlib.ExitStack() as held:
            address: Any = self.scheduler
            if not address:
                address = held.enter_context(
                    LocalCluster(self.workers, threads_per_worker=1, dashboard_address=None, silence_logs=50)
                )
            try:
                self.client = held.enter_context(Client(address, timeout=SECONDS))
            except (OSError, ValueError, TimeoutError) as error:
                raise Unusable(
                    f"no Dask scheduler at {address} ({reason(error)}); start one, or leave it out"
                ) from None
            self.held = held.pop_all()
        self.ahead = 2 * max(1, sum(self.client.nthreads().values()))
        self.executor = self.client.get_executor(pure=False, retries=0)
        return self

    def submit(self, job: Job, start: int, stop: int) -> Future[Answer]:
        future: Future[Answer] = self.executor.submit(evaluate_in_own_process, job, start, stop)
        return future

    def __exit__(self, *_: object) -> None:
        with self.held:
            self.executor.shutdown(wait=False)
            with contextlib.suppress(Exception):  # a cluster that has gone has nothing left to end
                self.client.run(close, self.jobs)
