"""Writing without losing: a file is whole or not there, and a run that breaks off replaces nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import whole


class Unwritable(Exception):
    """An output cannot be written where it was asked for."""


# Before the work ------------------------------------------------------------------------------------------------------


def check_writable(path: Path) -> None:
    """Raise Unwritable now, before minutes of work, if `path` could not be written later."""
    try:
        if is_open_stream(path):
            raise Unwritable(f"cannot write {path}: it is a stream or a device; give the name of a file")
        place = path.resolve() if path.is_symlink() else path
        if place.is_dir():
            raise Unwritable(f"cannot write {path}: it is a folder; give a file's name")
        if not place.parent.is_dir():
            raise Unwritable(f"cannot write {path}: there is no folder {place.parent}; create it first")
        if place.exists() and not place.is_file():
            raise Unwritable(f"cannot write {path}: it is no ordinary file")
        check_room(place)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise Unwritable(f"cannot write {path}: {reason(error)}") from None


def check_figures(report: Path) -> None:
    """The same of the folder beside a report into which its figures go; `folder` makes it if it is not there."""
    figures = report.parent / FIGURES
    if figures.is_dir():
        try:
            check_room(figures / report.name)
        except (OSError, ValueError) as error:
            raise Unwritable(f"cannot write the figures of {report} into {figures}: {reason(error)}") from None
    elif os.path.lexists(figures):
        raise Unwritable(f"cannot write the figures of {report}: {figures} is no folder; move it away")


FIGURES = "figures"


def check_room(place: Path) -> None:
    """Raise Unwritable or OSError unless a new file can be made beside `place`."""
    if not os.access(place.parent, os.W_OK):
        raise Unwritable(f"cannot write {place}: no permission to write in {place.parent}")
    with whole.part(place):
        pass


def is_open_stream(path: Path) -> bool:
    """Is it, or does it lead to, /dev/stdout or another name of something open already (/dev/fd/3, /proc/self/fd/3)?

    What lies behind it may be a file, but to rename another onto that loses what is still written to the stream.
    """
    for _ in range(40):  # as many links as Linux follows
        folder = path.parent.resolve()
        if folder in (Path("/dev"), Path("/dev/fd")) or folder.is_relative_to("/proc"):
            return path.exists()
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def folder(path: Path) -> Path:
    """Make a folder if it is not there; raises Unwritable with the reason."""
    try:
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            if waiting := TOGETHER.get():
                waiting.made.callback(remove_empty, path)
    except OSError as error:
        raise Unwritable(f"cannot make the folder {path}: {reason(error)}") from None
    return path


def remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):  # something lies in it
        path.rmdir()


# Several files, or none -----------------------------------------------------------------------------------------------


@dataclass
class Waiting:
    """Files that are made and not yet in their places: each as it was named, where it was made, and its place."""

    files: list[tuple[Path, Path, Path]] = field(default_factory=list)
    made: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


TOGETHER: ContextVar[Waiting | None] = ContextVar("together", default=None)


@contextlib.contextmanager
def together(placed: list[Path]) -> Iterator[None]:
    """All that is written in here, or nothing of it: the files wait beside their places until the last of them is made.

    `placed` is given the name of each as it comes into its place: so who is interrupted can still say what was written.
    """
    waiting = Waiting()
    with waiting.made:
        token = TOGETHER.set(waiting)
        try:
            yield
        finally:
            TOGETHER.reset(token)
        for path, part, place in waiting.files:
            try:
                whole.put(part, place)
            except OSError as error:
                raise Unwritable(f"cannot write {path}: {reason(error)}") from error
            placed.append(path)


def write(path: Path, text: str | Iterable[str]) -> None:
    """Write to a temporary file beside `path` (beside what it links to), then rename it, at once or, `together`, at the end.

    Raises Unwritable. `text` may come in pieces, for what is too long to be held.
    """
    pieces = [text] if isinstance(text, str) else text
    waiting = TOGETHER.get()
    try:
        place = path.resolve()
        with contextlib.ExitStack() as alone:
            part = (waiting.made if waiting else alone).enter_context(whole.part(place))
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                stream.writelines(pieces)
            if waiting:
                waiting.files.append((path, part, place))
            else:
                whole.put(part, place)
    except (OSError, ValueError) as error:
        raise Unwritable(f"cannot write {path}: {reason(error)}") from error


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
