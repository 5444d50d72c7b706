"""Runs implementations, each in a process of its own, and hands over their recordings as they come in."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from ..impls.find import Target
from . import pipe
from .recording import Event, Feed, Recording, describe


@dataclass
class Worker:
    """A process and a thread that listens to it. Every feed ends as a recording, whatever becomes of the process."""

    target: Target
    feeds: Sequence[Feed]
    seed: int
    device: str
    timeout: float
    out: queue.Queue[Recording]
    last_word: float = field(default_factory=time.monotonic)
    hung: bool = False
    flags: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-m", "alexnet_parity.checks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
            start_new_session=True,  # whatever it starts can be ended with it
        )
        self.output = pipe.Output(self.process)
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.watch, daemon=True).start()

    def tell(self) -> None:
        job = {
            "target": asdict(self.target),
            "feeds": [asdict(feed) for feed in self.feeds],
            "seed": self.seed,
            "device": self.device,
        }
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # kept open: the worker ends when it closes
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def listen(self) -> None:
        self.tell()
        lost = Event("error", "build", text="")
        for feed in self.feeds:
            recording = Recording(self.target.name, feed.variant, feed.stimulus)
            if not lost.text and (broken := self.fill_safely(recording)):
                lost = broken
                recording.take(Event(lost.kind, current_run(recording, feed), text=lost.text))
            elif lost.text:
                recording.take(lost)
            recording.flags = dict(self.flags)
            self.out.put(recording)
        self.stop()

    def fill_safely(self, recording: Recording) -> Event | None:
        """As `fill`; what cannot be understood ends the process, never this thread."""
        try:
            return self.fill(recording)
        except Exception as error:
            self.kill()
            return Event("error", "build", text=f"its process sent what cannot be read: {describe(error)}")

    def fill(self, recording: Recording) -> Event | None:
        """Take events until the feed is done; otherwise what went wrong, for this feed and all after it."""
        while (event := pipe.receive(self.output)) is not None:
            self.last_word = time.monotonic()
            if event.kind == "done":
                self.flags |= recording.flags
                return None
            recording.take(event)
            if event.kind == "unavailable":
                return event
        return Event("error", "build", text=recording.errors.get("build") or self.how_it_ended())

    def how_it_ended(self) -> str:
        code = self.process.wait()
        if self.hung:
            return f"no sign of life for {self.timeout:g} s, ended (--timeout)"
        self.stderr.seek(0)
        last = [line.strip() for line in self.stderr.read().decode(errors="replace").splitlines() if line.strip()]
        said = f"; it last said: {last[-1][:200]}" if last else ""
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-code).name}{hint}{said}"
        return f"its process exited with status {code} before it was done{said}"

    def watch(self) -> None:
        while self.process.poll() is None:
            if time.monotonic() - self.last_word > self.timeout:
                self.hung = True
                break
            time.sleep(min(0.2, self.timeout / 4))
        self.kill()  # also when it ended by itself: a child it left behind may hold the pipe open

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        self.stderr.close()


def current_run(recording: Recording, feed: Feed) -> str:
    """The run that a dead process was in: the last one begun, or the building before the first."""
    begun = [run for run in feed.runs if run in recording.runs]
    return begun[-1] if begun else "build"


class Workers:
    """One worker for each target, started at once; iterate for their recordings, in the order in which they are done."""

    def __init__(
        self, targets: Sequence[Target], feeds: Sequence[Feed], seed: int, device: str, timeout: float
    ) -> None:
        self.expected = len(targets) * len(feeds)
        self.out: queue.Queue[Recording] = queue.Queue()
        self.workers = [Worker(target, feeds, seed, device, timeout, self.out) for target in targets if feeds]

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
