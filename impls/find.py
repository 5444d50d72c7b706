"""From a name, a module or a file to an implementation. Finding one imports nothing; loading it does."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from ..reference.spec import nearest
from .settings import table

HERE = Path(__file__).parent
TRACE = ".safetensors"
NOT_IMPLEMENTATIONS = ("__init__", "describe", "find", "interface")


class Unknown(Exception):
    """No such implementation, or its framework is missing; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """How a person named it, and what to import: a module's name, or a file. setting: of settings/table.py, "" for none."""

    name: str
    module: str = ""
    file: str = ""
    setting: str = ""

    @property
    def impl(self) -> str:
        """The name without the setting."""
        return self.name.removesuffix(f"@{self.setting}") if self.setting else self.name

    @property
    def environment(self) -> dict[str, str]:
        """What its process has to find in its environment."""
        return dict(table.setting_of(self.impl, self.setting).environment) if self.setting else {}


def own() -> dict[str, Path]:
    """The implementations of this project by file name."""
    return {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem not in NOT_IMPLEMENTATIONS}


def constant(path: Path, name: str) -> Any:
    """What a file assigns to a name at its top (`requires = ("torch",)`), read without running it; None if nothing."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    return None


def requires(path: Path) -> tuple[str, ...]:
    """The packages that a file says it needs."""
    return tuple(constant(path, "requires") or ())


def on_request(name: str) -> bool:
    """Does one of our implementations run only where it is named (`on_request = True`)?"""
    return bool(constant(own()[name], "on_request"))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that are installed here, without importing them."""
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def missing(name: str) -> list[str]:
    """Packages that one of our implementations needs and that are not installed here."""
    return [package for package in requires(own()[name]) if importlib.util.find_spec(package) is None]


def runnable() -> list[str]:
    """Those of our implementations whose frameworks are installed, but for what runs on request only."""
    return [name for name in own() if not missing(name) and not on_request(name)]


def find(name: str) -> Target:
    """Resolve a name of ours, a path to a .py file, or a module's dotted name; raises Unknown with the next step.

    NAME@SETTING is the implementation under one of the settings of settings/table.py. FILE.safetensors is a trace: what
    `record` wrote of an implementation.
    """
    if name.endswith(TRACE):
        return find_trace(name)
    plain, setting = name_and_setting(name)
    if not setting:
        return find_plain(name)
    if plain.endswith(TRACE):
        step = f"record one under it: alexnet-parity record --impl NAME@{setting}"
        raise Unknown(f"{name!r}: a trace takes no setting; {step}")
    target, known = find_plain(plain), [setting.name for setting in table.settings_of(plain)]
    if setting not in known:
        raise Unknown(f"no setting {setting!r} of {plain}{nearest(setting, known)} There are: {', '.join(known)}")
    return replace(target, name=name, setting=setting)


def name_and_setting(name: str) -> tuple[str, str]:
    """What stands before the last @ and behind it: an implementation and its setting or condition, "" for none.

    An @ within a file's path (my@dir/mine.py) is part of the path.
    """
    plain, _, setting = name.rpartition("@")
    return (name, "") if not plain or "/" in setting or setting.endswith(".py") else (plain, setting)


def find_trace(name: str) -> Target:
    """A file that an implementation was recorded in; what it holds is looked at by whoever opens it."""
    path = Path(name)
    if path.is_dir():
        raise Unknown(f"{name!r} is a folder, expected a file; `alexnet-parity record` makes one")
    if not path.is_file():
        raise Unknown(f"no file {name!r} here (looked in {Path.cwd()}); `alexnet-parity record` makes one")
    return Target(name, file=str(path))


def find_plain(name: str) -> Target:
    """The same without settings."""
    if name in own():
        if absent := missing(name):
            raise Unknown(f"{name} needs {' and '.join(absent)}, not installed here: pip install -e '.[{extra(name)}]'")
        return Target(name, module=f"alexnet_parity.impls.{name}")
    if name.endswith(".py") or "/" in name:
        path = Path(name)
        if path.suffix != ".py":
            raise Unknown(f"{name!r} is no Python file; give a path that ends in .py, or a module's name")
        if path.is_dir():
            raise Unknown(f"{name!r} is a folder, expected a Python file; give a file in it, or a module's name")
        if not path.is_file():
            raise Unknown(f"no file {name!r} here (looked in {Path.cwd()})")
        return Target(name, file=str(path.resolve()))
    if importable(name):
        return Target(name, module=name)
    known = list(own())
    raise Unknown(
        f"no implementation, module or file {name!r}{nearest(name, known)} Ours: {', '.join(known)}; "
        "or give a module's name or a path to a .py file"
    )


def extra(name: str) -> str:
    """The optional dependency in pyproject.toml that installs an implementation's framework."""
    named = {"onnxruntime": "onnx", "keras_torch": "keras_torch", "keras_jax": "keras_jax"}
    return named.get(name) or next((known for known in ("keras", "torch") if name.startswith(known)), name)


def importable(name: str) -> bool:
    """Is there a module whose name begins so? Looks for the first part only: looking further would import it."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: a torch.py of theirs must not stand in for the framework
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def lacks(error: ImportError) -> bool:
    """Is the reason that a package is not installed, rather than a mistake in the file?"""
    name = getattr(error, "name", None) or ""
    absent = isinstance(error, ModuleNotFoundError) and importlib.util.find_spec(name.partition(".")[0]) is None
    return bool(name) and absent


def load(target: Target) -> Any:
    """Import an implementation, under its setting; whatever its import raises comes through."""
    if not target.setting:
        return load_plain(target)
    os.environ.update(target.environment)  # a worker's has it already; here it must come before the framework's import
    module, setting = load_plain(target), table.setting_of(target.impl, target.setting)
    if not setting.file:
        return module
    wrappers = importlib.import_module(f"{__package__}.settings.{setting.file}").WRAPPERS
    return wrappers[setting.name](module)


def load_plain(target: Target) -> ModuleType:
    """The same without settings."""
    if not target.file:
        importable(target.module)  # puts the current folder on the path, as `python -m` would
        return importlib.import_module(target.module)
    path = Path(target.file)
    spec = importlib.util.spec_from_file_location(f"implementation_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look a module up by its name
    sys.path.append(str(path.parent))  # the file's own neighbours; last, as above
    spec.loader.exec_module(module)
    return module
