"""A process of our own in which somebody else's code is at work: started, told, listened to, ended with all that it started."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from ..impls.describe import clean, one_line
from . import pipe

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # TensorFlow's start-up messages


def python(module: str) -> tuple[str, ...]:
    """The command of a worker: neither the current folder nor the file's own on the path, a trace where C code crashes."""
    return (sys.executable, "-P", "-X", "faulthandler", "-m", f"alexnet_parity.{module}")


class Child:
    """Its standard output is `output`. With a timeout, seconds without `heard` after which it is ended.

    One that the system does not start (no more processes, no memory, no permission) is as one that ended before its first word.
    """

    def __init__(
        self, command: Sequence[str], timeout: float | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.timeout, self.last_word, self.hung = timeout, time.monotonic(), False
        self.stderr: IO[bytes] = io.BytesIO()
        self.process: subprocess.Popen[bytes] | None = None
        self.output: pipe.Source = io.BytesIO()
        self.not_started = ""
        try:
            self.start(list(command), {**QUIET, **environment})
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
            self.not_started = (
                f"its process could not be started: {getattr(error, 'strerror', None) or one_line(error)}"
            )
            self.kill()

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=environment,
            start_new_session=True,  # whatever it starts can be ended with it
        )
        self.output = pipe.Output(self.process)
        if self.timeout is not None:
            threading.Thread(target=self.end_if_silent, args=(self.process, self.timeout), daemon=True).start()

    def tell(self, line: bytes) -> None:
        """A line on its standard input, which stays open: the worker ends when it closes."""
        if self.process is None:
            return
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended: how it ended will be asked
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def heard(self) -> None:
        """It has given a sign of life."""
        self.last_word = time.monotonic()

    def end_if_silent(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        while process.poll() is None:
            if time.monotonic() - self.last_word > timeout:
                self.hung = True
                break
            time.sleep(min(0.2, timeout / 4))
        self.kill()  # also when it ended by itself: a child it left behind may hold the pipe open

    def how_it_ended(self) -> str:
        """Of a process that is ending or has ended, in words."""
        if self.process is None or self.not_started:
            return self.not_started
        code = self.process.wait()
        if self.hung:
            return f"no sign of life for {self.timeout:g} s, ended (--timeout)"
        try:
            self.stderr.seek(0)
            said = clean(self.stderr.read().decode(errors="replace"))
        except ValueError:  # closed: nobody waits for it any more
            said = ""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        said = f"; it last said: {lines[-1][:200]}" if lines else ""
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was ended by {name_of(-code)}{hint}{said}"
        return f"its process exited with status {code} before it was done{said}"

    def kill(self) -> None:
        """End the process and all that it started."""
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        streams: list[IO[bytes] | None] = [self.stderr]
        if self.process is not None:
            self.process.wait()
            streams += [self.process.stdin, self.process.stdout]
        for stream in streams:
            assert stream is not None
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
