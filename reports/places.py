"""Where in a person's files a model is defined, for annotations and test reports. Nothing is imported or run."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..impls.find import name_and_setting, own

FACTORIES = ("build", "alexnet", "AlexNet", "build_model", "create_model", "get_model")
ENDINGS = (".onnx", ".keras", ".pt2", ".safetensors")  # a model, or what was recorded of one


@dataclass(frozen=True)
class Place:
    """A file and a line in it, from 1. file: None where there is none to show (a module without a source file)."""

    file: Path | None
    line: int = 1

    def below(self, root: Path) -> str:
        """The file as seen from `root`, the form that GitHub attaches annotations by; "" for a file elsewhere."""
        if self.file is None:
            return ""
        try:
            return self.file.resolve().relative_to(root.resolve()).as_posix()
        except (ValueError, OSError):
            return ""


def is_model(target: str) -> bool:
    """Does a target name a model to audit (`mine.py:AlexNet`, `net.onnx`), rather than an implementation?"""
    place, _, name = target.partition(":")
    return target.endswith((".onnx", ".keras", ".pt2")) or bool(place and name)


def place(target: str) -> Place:
    """Where a target is defined: its file, and the line of what it names, of build() or of the first model class.

    target: as `verify --impl` or `audit` take it: a name of ours, a module, a file, either with `:factory(...)` or `@setting`.
    """
    where, _, factory = target.partition(":")
    where = where if Path(where).is_file() else name_and_setting(where)[0]
    file = Path(where) if where.endswith((".py", *ENDINGS)) or os.sep in where else module_file(where)
    if file is None or not file.is_file():
        return Place(None)
    return Place(file, line(file, factory.partition("(")[0]) if file.suffix == ".py" else 1)


def module_file(name: str) -> Path | None:
    """The source file of a module, looked for as an import would, from the current folder as well; None if there is none."""
    if name in own():
        return own()[name]
    path = Path(*name.split("."))
    if not path.name:
        return None
    for root in (Path(entry or ".") for entry in (*sys.path, str(Path.cwd()))):
        for candidate in (root / path / "__init__.py", root / path.with_name(f"{path.name}.py")):
            if candidate.is_file():
                return candidate
    return None


def line(file: Path, name: str = "") -> int:
    """The line of the function, class or assignment called `name`; without a name, of what builds a model; otherwise 1."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError, RecursionError):
        return 1
    found: dict[str, int] = {}
    for node in body:
        for defined in defines(node):
            found.setdefault(defined, node.lineno)
    wanted = [name.partition(".")[0]] if name else FACTORIES
    return next((found[one] for one in wanted if one in found), 1)


def defines(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a file defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.ImportFrom():
            return [alias.asname or alias.name for alias in node.names]
    return []
