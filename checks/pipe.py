"""Events over a byte stream: one JSON line each, followed by the array's bytes if there is one. Never pickle."""

from __future__ import annotations

import json
import os
import select
import subprocess
from typing import BinaryIO, Protocol

import numpy as np

from .recording import Event


class Source(Protocol):
    def readline(self) -> bytes: ...

    def read(self, size: int) -> bytes: ...


class Output:
    """The standard output of a process, which ends with the process.

    An ordinary pipe ends when the last process that holds it does: a child left behind by a dead worker could keep
    its reader waiting for ever. Here a dead process that has been silent for GRACE seconds has ended.
    """

    GRACE = 1.0

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.process, self.file, self.held = process, process.stdout.fileno(), bytearray()

    def more(self) -> bool:
        """Wait for more; False at the end."""
        while not select.select([self.file], [], [], self.GRACE)[0]:
            if self.process.poll() is not None:
                return False
        got = os.read(self.file, 1 << 20)
        self.held += got
        return bool(got)

    def readline(self) -> bytes:
        """Up to and with the next line feed, or whatever there is at the end."""
        start = 0
        while (end := self.held.find(b"\n", start)) < 0:
            start = len(self.held)
            if not self.more():
                break
        return self.take(end + 1 if end >= 0 else len(self.held))

    def read(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end."""
        while len(self.held) < size and self.more():
            pass
        return self.take(size)

    def take(self, size: int) -> bytes:
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken


def send(stream: BinaryIO, event: Event) -> None:
    header = {"kind": event.kind, "run": event.run, "name": event.name, "text": event.text}
    body = b""
    if event.array is not None:
        array = np.asarray(event.array, order="C")  # ascontiguousarray would give a number a dimension
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        header |= {"dtype": array.dtype.str, "shape": list(array.shape)}  # type: ignore[dict-item]
        body = array.tobytes()
    stream.write(json.dumps(header).encode() + b"\n" + body)
    stream.flush()


def receive(stream: Source) -> Event | None:
    """The next event; None at the end of the stream, also when it ends in the middle of one."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    array = None
    if "dtype" in header:
        dtype, shape = np.dtype(header.pop("dtype")), tuple(header.pop("shape"))
        size = dtype.itemsize * int(np.prod(shape))
        body = stream.read(size)
        if len(body) != size:
            return None
        array = np.frombuffer(body, dtype).reshape(shape)
    return Event(**header, array=array)
