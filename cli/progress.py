"""A line that a person can watch, on a terminal only, and silence for the libraries that would write over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")


class Progress:
    """Rewrites one line on standard error; writes nothing where standard error is no terminal."""

    def __init__(self, first: str = "starting", stream: TextIO | None = None) -> None:
        self.first = first
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream is not None and self.stream.isatty()  # None: it was closed

    def __enter__(self) -> Progress:
        self.write(self.first)
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def watch(self, items: Iterable[T], describe: Callable[[T], str], total: int | None = None) -> Iterator[T]:
        """The items as they come, each counted and described."""
        for number, item in enumerate(items, 1):
            of = f"/{total}" if total else ""
            self.write(f"[{number}{of}] {describe(item)}")
            yield item

    def write(self, text: str) -> None:
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            try:
                self.stream.write(f"\r\x1b[2K{text[:width]}")
                self.stream.flush()
            except OSError:  # the terminal was closed; the work goes on
                self.shown = False


@contextlib.contextmanager
def libraries_silenced() -> Iterator[TextIO]:
    """Standard error for us alone: TensorFlow's start-up messages go past Python, straight to the file descriptor.

    A library's failure is not lost by that: a check that breaks off is reported with its exception.
    """
    try:
        ours = os.dup(2)
    except OSError:  # there is no standard error
        with open(os.devnull, "w", encoding="utf-8") as stream:
            yield stream
        return
    flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with os.fdopen(os.dup(ours), "w", encoding="utf-8") as stream:
            yield stream
    finally:
        flush()
        os.dup2(ours, 2)
        os.close(ours)
        os.close(nowhere)


def flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
