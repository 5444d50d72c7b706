"""The command's side of `worker.py`: one process for each framework, started when it is first asked."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...impls.foreign.graph import Refused
from ...impls.formats import table
from ...impls.formats.codec import Params
from ...impls.interface import Unsupported
from ...reference.spec import Network
from .. import pipe
from ..child import Child, python
from .scribe import Broken, Here, Scribe, check_file
from .worker import READ, WRITE, request


@dataclass
class Partner:
    """A process that writes and reads. timeout: seconds for one answer. folder: where parameters are handed over."""

    impl: str
    file: str
    folder: Path
    timeout: float = 600.0
    child: Child | None = None

    def write(self, format: str, network: Network, params: Mapping[str, np.ndarray], path: Path) -> None:
        handed = self.folder / "handed.npz"
        np.savez(handed, allow_pickle=False, **params)
        self.asked(request(WRITE, format, network.name, path.absolute(), handed))

    def read(self, format: str, network: Network, path: Path) -> Params:
        check_file(format, path)
        return self.asked(request(READ, format, network.name, path.absolute()))

    def asked(self, line: bytes) -> Params:
        """The arrays of an answer; raises what the other side says."""
        if self.child is None:
            self.child = Child(python("checks.saved.worker"))
            self.child.tell(json.dumps({"impl": self.impl, "file": self.file}).encode())
        child, found = self.child, Params()
        limit = threading.Timer(self.timeout, child.kill)
        limit.start()
        try:
            child.tell(line)
            while (event := pipe.receive(child.output)) is not None:
                match event.kind:
                    case "done":
                        return found
                    case "param":
                        found[event.name] = event.array  # type: ignore[assignment]  # a param event has one
                    case "refused":
                        self.rest(child)
                        raise Refused(event.text)
                    case "unsupported":
                        self.rest(child)
                        raise Unsupported(event.text)
                    case _:
                        self.rest(child)
                        raise Broken(f"{self.impl}: {event.text}")
        finally:
            limit.cancel()
        self.child = None
        raise Broken(f"{self.impl}: {ended(child, self.timeout)}")

    @staticmethod
    def rest(child: Child) -> None:
        """Up to the end of an answer."""
        while (event := pipe.receive(child.output)) is not None and event.kind != "done":
            pass

    def close(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None


def ended(child: Child, timeout: float) -> str:
    said = child.how_it_ended()
    child.close()
    return f"{said} (or it gave no answer for {timeout:g} s)" if "SIGKILL" in said else said


@dataclass
class Scribes:
    """Who writes and reads each format: one for each implementation, the shared layout in this process."""

    timeout: float = 600.0
    there: dict[tuple[str, str], Scribe] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scribes:
        self.folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        for scribe in self.there.values():
            if isinstance(scribe, Partner):
                scribe.close()
        assert self.folder is not None
        with contextlib.suppress(OSError):
            self.folder.cleanup()

    def of(self, format: table.Format, impl: str) -> Scribe:
        key = impl, format.file
        if key not in self.there:
            assert self.folder is not None
            place = Path(self.folder.name)
            self.there[key] = Partner(impl, format.file, place, self.timeout) if impl else Here(impl, format.file)
        return self.there[key]

    def alive(self) -> Iterator[Scribe]:
        yield from self.there.values()
