"""Whose arithmetic it is: which of our implementations, or the framework behind somebody else's module."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

from ...impls import find

OURS = find.__name__.rpartition(".")[0]
ENGINES = ("torch", "tensorflow", "jax", "onnxruntime", "openvino")


def whose(module: Any) -> str:
    """One of ours by its name; else the framework that the module imports ("" if it imports none that we know)."""
    package, _, name = str(getattr(module, "__name__", "")).rpartition(".")
    if package == OURS:
        return name
    imported = [value.__name__ for value in getattr(module, "__dict__", {}).values() if isinstance(value, ModuleType)]
    wrapped = [path.rpartition(".")[2] for path in imported if path.rpartition(".")[0] == OURS]
    if ours := [name for name in wrapped if name in find.own()]:
        return ours[0]
    roots = [path.partition(".")[0] for path in imported]
    if "keras" in roots:
        roots.append(str(sys.modules["keras"].backend.backend()))
    return next((engine for engine in ENGINES if engine in roots), "")


@cache
def engine(ours: str) -> str:
    """The framework that computes for one of our implementations: the last that it requires."""
    return next((name for name in reversed(find.requires(find.own()[ours])) if name in ENGINES), "")


def concerns(pattern: str, who: str) -> bool:
    """Is what is said of one of ours also said of `who`: the same implementation, or a module on the same framework?"""
    return pattern in ("*", who) or (who in ENGINES and who not in find.own() and engine(pattern) == who)
