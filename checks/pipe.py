"""Events over a byte stream: one JSON line each, followed by the array's bytes if there is one. Never pickle."""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np

from .recording import Event


def send(stream: BinaryIO, event: Event) -> None:
    header = {"kind": event.kind, "run": event.run, "name": event.name, "text": event.text}
    body = b""
    if event.array is not None:
        array = np.ascontiguousarray(event.array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        header |= {"dtype": array.dtype.str, "shape": list(array.shape)}  # type: ignore[dict-item]
        body = array.tobytes()
    stream.write(json.dumps(header).encode() + b"\n" + body)
    stream.flush()


def receive(stream: BinaryIO) -> Event | None:
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
