"""A file that is whole or not there: made beside its place, then renamed. The standard library alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def part(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, gone afterwards unless it was renamed.

    Made as open() makes one, so that the umask says who may read it; tempfile's are their owner's alone.
    """
    place = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    place.open("xb").close()
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            place.unlink()


def put(made: Path, path: Path) -> None:
    """Rename onto `path`; the file that was there gives its mode, as if it had been written into."""
    with contextlib.suppress(FileNotFoundError):
        os.chmod(made, stat.S_IMODE(path.stat().st_mode))
    os.replace(made, path)
