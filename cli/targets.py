"""The implementations that a command's --impl options name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .main import Usage

if TYPE_CHECKING:
    from ..impls.find import Target


def add_option(parser: Any, what: str = "") -> None:
    """--impl, in the same words for every command."""
    parser.add_argument(
        "--impl",
        action="append",
        default=[],
        metavar="NAME|MODULE|FILE",
        help=f"{what}one of ours, a module, or path/to/mine.py; may be repeated; default: ours that can run here",
    )


def chosen(names: list[str], traces: bool = False) -> list[Target]:
    """What the options name, or ours that can run here, which may be none; raises Usage for an unknown name.

    traces: may a recorded one stand for an implementation?
    """
    from ..impls import find

    if recorded := [name for name in names if name.endswith(find.TRACE) and not traces]:
        raise Usage(f"{recorded[0]} is a trace, expected an implementation that runs; `verify` and `diff` take traces")
    try:
        return [find.find(name) for name in dict.fromkeys(names or find.runnable())]
    except find.Unknown as error:
        raise Usage(str(error)) from None


def read(names: Iterable[str]) -> list[Path]:
    """The files that --impl options would be read from, for `outputs.check`; a module's wherever it may lie."""
    return [path for name in names for path in read_of(name)]


def read_of(name: str) -> list[Path]:
    from ..impls import find

    plain = name if name.endswith(find.TRACE) else find.name_and_setting(name)[0]
    if plain in find.own():
        return [find.own()[plain]]
    if plain.endswith((".py", find.TRACE)) or "/" in plain:
        return [Path(plain)]
    *folders, module = plain.split(".")
    return [Path(place, *folders, f"{module}.py") for place in (".", *sys.path)]


def at_least_one(names: list[str], traces: bool = False) -> list[Target]:
    """The same; raises Usage where there is none."""
    if found := chosen(names, traces):
        return found
    raise Usage("no framework is installed here; pip install -e '.[all]', or name an implementation with --impl")
