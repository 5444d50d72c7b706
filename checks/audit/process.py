"""Starts an audit in a process of its own, passes its progress on, and says in one line how it ended if it did not finish."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from ...impls.foreign.graph import Refused
from .. import pipe
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
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
            start_new_session=True,  # whatever it starts can be ended with it
        )
        listener = Listener(process, timeout)
        try:
            listener.tell(job)
            audit = listener.listen(watch)
            if audit is None:
                raise Refused(f"{job.target}: {listener.how_it_ended(stderr)}")
            return audit
        finally:
            listener.stop()


@dataclass
class Listener:
    process: subprocess.Popen[bytes]
    timeout: float
    last_word: float = field(default_factory=time.monotonic)
    hung: bool = False

    def __post_init__(self) -> None:
        self.output = pipe.Output(self.process)
        threading.Thread(target=self.end_if_silent, daemon=True).start()

    def tell(self, job: Job) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # kept open: the worker ends when it closes
            self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            self.process.stdin.flush()

    def listen(self, watch: Watch) -> Audit | None:
        """The result; None where the process ended without one. Raises Refused for what it refused or cannot be read."""
        while (line := self.output.readline()).endswith(b"\n"):
            self.last_word = time.monotonic()
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

    def end_if_silent(self) -> None:
        while self.process.poll() is None:
            if time.monotonic() - self.last_word > self.timeout:
                self.hung = True
                break
            time.sleep(min(0.2, self.timeout / 4))
        self.kill()  # also when it ended by itself: a child it left behind may hold the pipe open

    def how_it_ended(self, stderr) -> str:  # type: ignore[no-untyped-def]  # any binary file
        code = self.process.wait()
        if self.hung:
            return f"no sign of life for {self.timeout:g} s, ended (--timeout)"
        stderr.seek(0)
        last = [line.strip() for line in stderr.read().decode(errors="replace").splitlines() if line.strip()]
        said = f"; it last said: {last[-1][:200]}" if last else ""
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was ended by {name_of(-code)}{hint}{said}"
        return f"its process exited with status {code} before it was done{said}"

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
