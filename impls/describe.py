"""What others' code says, in one line that is safe to print: exceptions, names, last words of a process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

# What a terminal obeys: titles and links up to their end, colours and cursors, whole or cut short.
ESCAPES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\x9c]{0,1000}(?:\x07|\x1b\\|\x9c)|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?"
)
# Control characters (of these, white space is left to `split`), what turns a line's direction, halves of surrogate pairs.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FROZEN = "<frozen "  # the file's name of frames of Python's own import


def clean(text: object) -> str:
    """Without what a terminal would obey and what no file format takes; white space stays as it is."""
    return UNPRINTABLE.sub("", ESCAPES.sub("", str(text)))


def one_line(text: object, longest: int = 300) -> str:
    """Cleaned before it is cut: half an escape sequence would be one no more, and stay."""
    return " ".join(clean(text).split())[:longest]


def name_of(given: object, longest: int = 200) -> str:
    """A name that others gave, odd characters spelled out: cleaned it might be another's name."""
    text = str(given)
    return text if text.isprintable() and len(text) <= longest else repr(text)[1:-1][:longest]


def describe(error: BaseException, own: str | None = None) -> str:
    """The exception in one line: type, message, and the file and line that raised it.

    own: the file of the implementation that was at work. Then the place is the innermost in its folder, or none: a line of this
    suite or of a library says nothing to whoever has to mend that file.
    """
    where = place(error, own)
    return f"{type(error).__name__}: {one_line(message(error))}{f' at {where}' if where else ''}"


def message(error: BaseException) -> object:
    """What it says, without the place that `place` says."""
    return error.msg if isinstance(error, SyntaxError) and error.filename else error


def place(error: BaseException, own: str | None = None) -> str:
    """mine.py:12, "" where no frame is anybody's."""
    if isinstance(error, SyntaxError) and error.filename:  # raised by the import: the place is in the file that it read
        return f"{name_of(Path(error.filename).name)}:{error.lineno}"
    theirs = [(file, line) for file, line in frames(error.__traceback__) if own is None or beside(file, own)]
    return f"{name_of(Path(theirs[-1][0]).name)}:{theirs[-1][1]}" if theirs else ""


def frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    """File and line of each, the innermost last, but for Python's own import."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(FROZEN):
            yield file, trace.tb_lineno
        trace = trace.tb_next


def beside(file: str, own: str) -> bool:
    """Is it that file, or a neighbour in its folder?"""
    return bool(own) and Path(file).resolve().parent == Path(own).resolve().parent
