"""A file to which every finished batch is added, so that a run that was cut off goes on where it was.

JSON lines: the first says which run this is, each further one is a batch, whole once its line is. A line is on the
disk before the next batch is counted. A last line that was cut short is dropped, and its batch is run again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import Unusable, reason

SCHEMA = "alexnet-parity/evaluation-state/1"


def as_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class State:
    """The batches that are done, by their first image; what they hold stays in the file."""

    def __init__(self, path: Path, run: dict[str, Any], plan: dict[int, int]) -> None:
        """Open or begin a state file of `run`; `plan` maps the first image of each batch to its stop.

        Raises Unusable where the file is of another run (the message says what differs), damaged, or in use.
        """
        self.path, self.plan = path, plan
        self.places: dict[int, int] = {}
        try:
            self.file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise Unusable(f"--state {path}: cannot open it ({reason(error)})") from None
        try:
            self.lock()
            self.resume(run)
        except BaseException:
            self.file.close()
            raise

    def lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows; two runs at once on one file are then not noticed
            return
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(
                f"--state {self.path}: another run is writing it; wait for it, or name another file"
            ) from None

    def resume(self, run: dict[str, Any]) -> None:
        end = 0
        header = {"schema": SCHEMA, "run": run}
        for number, line in enumerate(self.file, start=1):
            if not line.endswith(b"\n"):
                if number == 1 and not as_line(header).startswith(line):  # somebody's own file is not emptied
                    raise self.foreign()
                break
            row = self.parsed(line, number)
            if number == 1:
                self.same_run(row, run)
            else:
                self.places.setdefault(self.start_of(row, number), end)
            end += len(line)
        self.file.truncate(end)
        self.file.seek(end)
        if end == 0:
            self.write(header)

    def parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            if number == 1:  # somebody's own file: nothing is said of deleting it
                raise self.foreign()
            raise Unusable(f"--state {self.path}, line {number}: damaged; name another file, or delete this one")
        return row

    def same_run(self, row: dict[str, Any], run: dict[str, Any]) -> None:
        if row.get("schema") != SCHEMA or not isinstance(row.get("run"), dict):
            raise self.foreign()
        for key in [*run, *row["run"]]:
            found, expected = row["run"].get(key), json.loads(json.dumps(run.get(key)))
            if found != expected:
                raise Unusable(
                    f"--state {self.path}: it is of another run: {key} is {found} there, {expected} here; "
                    "name another file, or delete this one"
                )

    def foreign(self) -> Unusable:
        return Unusable(f"--state {self.path}: found another kind of file, expected {SCHEMA}; name another file")

    def start_of(self, row: dict[str, Any], number: int) -> int:
        start = row.get("start")
        whole = isinstance(row.get("images"), list) and isinstance(row.get("unreadable"), list)
        if not isinstance(start, int) or self.plan.get(start) != row.get("stop") or not whole:
            raise Unusable(f"--state {self.path}, line {number}: no batch of this run; delete the file to begin again")
        return start

    def add(self, batch: dict[str, Any]) -> None:
        """A finished batch, on the disk when this returns; one that is there already is not added again."""
        if batch["start"] not in self.places:
            self.places[batch["start"]] = self.write(batch)

    def write(self, row: dict[str, Any]) -> int:
        self.file.seek(0, os.SEEK_END)
        place = self.file.tell()
        try:
            self.file.write(as_line(row))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise Unusable(f"--state {self.path}: cannot write it ({reason(error)})") from None
        return place

    def to_do(self) -> list[tuple[int, int]]:
        """(start, stop) of every batch that is not done, in order."""
        return [(start, stop) for start, stop in self.plan.items() if start not in self.places]

    def batches(self) -> Iterator[dict[str, Any]]:
        """The finished batches in order of their images, one at a time."""
        for _, place in sorted(self.places.items()):
            self.file.seek(place)
            yield json.loads(self.file.readline())

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
