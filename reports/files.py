"""Writing without losing: a file is whole or not there, and a run that breaks off replaces nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


class Unwritable(Exception):
    """An output cannot be written where it was asked for."""


def check_writable(path: Path) -> None:
    """Raise Unwritable now, before minutes of work, if `path` could not be written later."""
    try:
        if path.is_dir():
            raise Unwritable(f"cannot write {path}: it is a folder; give a file's name")
        if not path.parent.is_dir():
            raise Unwritable(f"cannot write {path}: there is no folder {path.parent}; create it first")
        if path.exists() and not path.is_file():
            raise Unwritable(f"cannot write {path}: it is no ordinary file")
        if not os.access(path.parent, os.W_OK):
            raise Unwritable(f"cannot write {path}: no permission to write in {path.parent}")
        with temporary(path):
            pass
    except (OSError, ValueError) as error:
        raise Unwritable(f"cannot write {path}: {reason(error)}") from None


def folder(path: Path) -> Path:
    """Make a folder if it is not there; raises Unwritable with the reason."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise Unwritable(f"cannot make the folder {path}: {reason(error)}") from None
    return path


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def write(path: Path, text: str | Iterable[str]) -> None:
    """Write to a temporary file beside `path` (beside what it links to), then rename it; raises Unwritable.

    `text` may come in pieces, for what is too long to be held.
    """
    pieces = [text] if isinstance(text, str) else text
    try:
        path = path.resolve()
        with temporary(path) as part:
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                stream.writelines(pieces)
            part.chmod(0o644)
            os.replace(part, path)
    except (OSError, ValueError) as error:
        raise Unwritable(f"cannot write {path}: {reason(error)}") from error


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
