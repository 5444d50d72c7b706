"""Writes and reads files of one framework's formats in a process of its own: `python -m alexnet_parity.checks.saved.worker`.

Requests come as lines of JSON on standard input, the first one saying which implementation; answers go out on standard output
(`checks/pipe.py`), each ended by a "done". Parameters come in as a .npz file of the shared layout.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...impls.describe import describe
from ...impls.foreign.graph import Refused
from ...impls.interface import Unsupported
from ...reference import variants
from .. import pipe
from ..recording import Event
from .scribe import Here

READ, WRITE = "read", "write"


def main() -> None:
    lines: queue.Queue[str] = queue.Queue()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints must not mix with the answers
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    scribe = Here(**json.loads(lines.get()))
    while True:
        for event in answered(scribe, json.loads(lines.get())):
            pipe.send(out, event)
        pipe.send(out, Event("done"))


def listen(lines: queue.Queue[str]) -> None:
    """The command keeps our standard input open for as long as it lives: its end is ours, whatever is at work here."""
    stdin = os.fdopen(os.dup(0), encoding="utf-8")
    for line in stdin:
        lines.put(line)
    os._exit(0)


def answered(scribe: Here, asked: dict[str, Any]) -> Iterator[Event]:
    try:
        yield from done(scribe, asked)
    except Refused as error:
        yield Event("refused", text=str(error))
    except Unsupported as error:
        yield Event("unsupported", text=str(error))
    except Exception as error:
        yield Event("error", text=describe(error))


def done(scribe: Here, asked: dict[str, Any]) -> Iterator[Event]:
    network, path = variants.variant(asked["variant"]), Path(asked["path"])
    if asked["do"] == READ:
        for name, value in scribe.read(asked["format"], network, path).items():
            yield Event("param", name=name, array=value)
    else:
        with np.load(asked["params"], allow_pickle=False) as params:
            scribe.write(asked["format"], network, {name: params[name] for name in params.files}, path)


def request(do: str, format: str, variant: str, path: Path, params: Path | None = None) -> bytes:
    asked = {"do": do, "format": format, "variant": variant, "path": str(path), "params": str(params or "")}
    return json.dumps(asked).encode()


if __name__ == "__main__":
    main()
