"""Writing without losing: a file is complete or not there, and a failed run never overwrites a good result."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class Unwritable(Exception):
    """An output cannot be written where it was asked for."""


def check_writable(path: Path) -> None:
    """Raise Unwritable now, before hours of work, if `path` could not be written later."""
    if path.is_dir():
        raise Unwritable(f"cannot write {path}: it is a folder; give a file's name")
    if not path.parent.is_dir():
        raise Unwritable(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise Unwritable(f"cannot write {path}: no permission to write in {path.parent}")


def write(path: Path, text: str) -> None:
    """Write to a temporary file beside `path`, then rename it; raises Unwritable with the reason."""
    check_writable(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise Unwritable(f"cannot write {path}: {error.strerror}") from error
