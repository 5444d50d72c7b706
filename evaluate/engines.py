"""Where batches are evaluated: on this machine, or on a Dask cluster. Both call the same function."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from .batch import Job
from .errors import Failed, Unusable, reason
from .process import Answer, close, evaluate_in_own_process

SECONDS = 15  # to reach a scheduler, and for its first worker to be there
ALONE = 60  # seconds that a cluster may be without workers before the run is given up


class Engine(Protocol):
    """A context in which batches can be submitted; `ahead` batches keep it busy."""

    ahead: int

    def submit(self, job: Job, start: int, stop: int) -> Future[Answer]: ...

    def answer(self, future: Future[Answer]) -> Answer:
        """A finished future's answer; raises Unusable or Failed, also for what goes wrong on its way."""
        ...

    def wait(self, futures: Sequence[Future[Answer]]) -> None:
        """Return when one of them is finished; raises Failed if none will ever be."""
        ...

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

    def answer(self, future: Future[Answer]) -> Answer:
        try:
            return future.result()
        except (Unusable, Failed):
            raise
        except Exception as error:
            raise unanswered(error) from None

    def wait(self, futures: Sequence[Future[Answer]]) -> None:
        wait(futures, return_when=FIRST_COMPLETED)  # a process that ends is an answer too

    def __exit__(self, *_: object) -> None:
        for pool in self.threads.values():
            pool.shutdown(wait=False, cancel_futures=True)
        close(self.jobs)
        for pool in self.threads.values():
            pool.shutdown()
        close(self.jobs)  # one that a thread started meanwhile


def unanswered(error: BaseException) -> Failed:
    """What kept a worker from answering, with a hint where a module was not found there."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    missing = next((cause for cause in causes if isinstance(cause, ImportError)), None)
    hint = "; is this project installed where it runs?" if missing else ""
    told = missing or error
    return Failed(f"a worker could not answer ({type(told).__name__}: {reason(told)}){hint}")


class Dask:
    """An existing cluster, by its scheduler's address, or one of `workers` processes on this machine.

    Frameworks are not imported into Dask's workers: each starts the implementations' own processes beside it. Files
    must have the same paths on every machine, and this project must be installed there.
    """

    def __init__(self, jobs: Sequence[Job], scheduler: str = "", workers: int = 1) -> None:
        self.jobs, self.scheduler, self.workers = jobs, scheduler, workers

    def __enter__(self) -> Dask:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError:
            raise Unusable("--engine dask needs Dask, not installed here: pip install -e '.[dask]'") from None
        with contextlib.ExitStack() as held:
            held.enter_context(silenced())
            address: Any = self.scheduler
            if not address:
                scratch = held.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
                held.enter_context(dask.config.set({"temporary-directory": scratch}))
                address = held.enter_context(
                    LocalCluster(self.workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50)
                )
            try:
                self.client = held.enter_context(Client(address, timeout=SECONDS))
            except (OSError, ValueError, TimeoutError) as error:
                raise Unusable(
                    f"no Dask scheduler at {address} ({reason(error)}); start one, or leave it out"
                ) from None
            self.address = self.client.scheduler.address
            try:
                self.client.wait_for_workers(1, timeout=SECONDS)
            except TimeoutError:
                raise Unusable(f"no workers at {self.address}; start `dask worker {self.address}`") from None
            except OSError:
                raise Unusable(self.lost()) from None
            self.ahead = 2 * max(1, sum(self.client.nthreads().values()))
            self.executor = self.client.get_executor(pure=False, retries=0)
            self.held = held.pop_all()
        return self

    def submit(self, job: Job, start: int, stop: int) -> Future[Answer]:
        future: Future[Answer] = self.executor.submit(evaluate_in_own_process, job, start, stop)
        return future

    def answer(self, future: Future[Answer]) -> Answer:
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except (Unusable, Failed):
            raise
        except (CancelledError, CommClosedError):
            raise Failed(self.lost()) from None
        except Exception as error:
            raise unanswered(error) from None

    def wait(self, futures: Sequence[Future[Answer]]) -> None:
        alone_since = None
        while not wait(futures, timeout=min(1.0, ALONE / 2), return_when=FIRST_COMPLETED).done:
            if self.has_workers():
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since >= ALONE:
                raise Failed(f"the cluster has no workers left; start `dask worker {self.address}`")

    def has_workers(self) -> bool:
        """Raises Failed where there is no scheduler either."""
        if self.client.status != "running":  # Dask may yet reconnect, but has dropped what it was asked for
            raise Failed(self.lost())
        try:
            return bool(self.client.nthreads())
        except OSError:
            raise Failed(self.lost()) from None

    def lost(self) -> str:
        return f"the connection to the Dask scheduler at {self.address} was lost"

    def __exit__(self, *_: object) -> None:
        with self.held:
            self.executor.shutdown(wait=False)
            if self.client.status == "running":  # else nobody is left to be told, and asking would wait
                with contextlib.suppress(Exception):
                    self.client.run(close, self.jobs)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing from Dask's loggers and Tornado's: what matters of it is told by an exception, in one line."""
    families = ("distributed", "tornado")
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in families]
    before = {name: logging.getLogger(name).level for name in {*known, *families}}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
