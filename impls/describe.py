"""What was raised, in one line."""

from __future__ import annotations

from pathlib import Path


def one_line(text: object, longest: int = 300) -> str:
    return " ".join(str(text).split())[:longest]


def describe(error: BaseException) -> str:
    """The exception in one line: type, message, and the file and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}: {one_line(error)}{place}"
