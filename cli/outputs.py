"""The files that a command writes: told before the work if one cannot be written, in one line if it fails."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .main import Usage

WRITTEN: list[Path] = []  # by this command, so far


def file(text: str) -> Path:
    """An option's file name; `Path('')` would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("found '', expected a file name")
    return Path(text)


def check(paths: Sequence[Path], inputs: Iterable[str | Path | None] = (), report: Path | None = None) -> None:
    """Raise Usage now, before a minute's work, where two are one file, one is also read, or one could not be written.

    inputs: files and folders that the command reads; None and "" are none. report: the one of them with figures beside it.
    """
    from ..reports import files

    if len({real(path) for path in paths}) < len(paths):
        raise Usage(f"two outputs into one file: {', '.join(map(str, paths))}; give each its own")
    read = [Path(given) for given in inputs if given]
    for path in paths:
        keep(path, read)
        keep_stream(path)
    try:
        for path in paths:
            files.check_writable(path)
        if report:
            files.check_figures(report)
    except files.Unwritable as error:
        raise Usage(str(error)) from None


def real(path: Path) -> Path:
    """Where a path leads; unlike Path.resolve it has an answer for links in a circle."""
    return Path(os.path.realpath(path))


def keep(path: Path, inputs: Sequence[Path]) -> None:
    """Raise Usage where an output would replace what the command reads, or a file in a folder that it reads."""
    place = real(path)
    for given in inputs:
        held = real(given)
        if place == held:
            raise Usage(f"{path} is an input of this command; give the output another name")
        if place.is_relative_to(held) and place.exists():
            raise Usage(f"{path} is a file of {given}, an input of this command; give the output another name")


def keep_stream(path: Path) -> None:
    """Raise Usage for `--json FILE > FILE`: renamed onto it, one would be the end of the other."""
    for number, name in ((1, "standard output"), (2, "standard error")):
        with contextlib.suppress(OSError):
            if path.is_file() and os.path.samestat(os.fstat(number), path.stat()):
                raise Usage(f"cannot write {path}: {name} goes there; give a file of its own")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """All that is written in here, or nothing; what cannot be written becomes the one line that Usage prints."""
    from ..reports import files

    try:
        with files.together(WRITTEN):
            yield
    except files.Unwritable as error:
        raise Usage(f"{error}{told('; ')}") from None


def told(before: str = "", otherwise: str = "") -> str:
    """What this command has written, in words."""
    return f"{before}already written: {', '.join(map(str, WRITTEN))}" if WRITTEN else otherwise
