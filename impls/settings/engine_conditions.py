"""Conditions of engines whose sessions take their threads when they are made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .options import built_with

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    f"threads-{count}": partial(built_with, threads=count) for count in (1, 2, 3)
}
