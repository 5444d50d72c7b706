"""The files that a command writes: told before the work if one cannot be written, in one line if it fails."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .main import Usage


def file(text: str) -> Path:
    """An option's file name; `Path('')` would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("found '', expected a file name")
    return Path(text)


def check(paths: Sequence[Path]) -> None:
    """Raise Usage now, before a minute's work, where two are one file or one could not be written."""
    from ..reports import files

    if len({path.resolve() for path in paths}) < len(paths):
        raise Usage(f"two outputs into one file: {', '.join(map(str, paths))}; give each its own")
    with writing():
        for path in paths:
            files.check_writable(path)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """What cannot be written becomes the one line that Usage prints."""
    from ..reports import files

    try:
        yield
    except files.Unwritable as error:
        raise Usage(str(error)) from None
