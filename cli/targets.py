"""The implementations that a command's --impl options name."""

from __future__ import annotations

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


def at_least_one(names: list[str], traces: bool = False) -> list[Target]:
    """The same; raises Usage where there is none."""
    if found := chosen(names, traces):
        return found
    raise Usage("no framework is installed here; pip install -e '.[all]', or name an implementation with --impl")
