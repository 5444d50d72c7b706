"""What a person wrote on the command line, and the object that it leads to. Imports the target's file and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ...reference.spec import nearest
from .. import find
from ..describe import describe, one_line
from .graph import Refused

FORMS = (
    "package.module:factory, path/to/file.py:factory (with literal arguments: factory(num_classes=17)), "
    "or a file that ends in .onnx, .keras or .pt2"
)
FACTORIES = ("alexnet", "AlexNet", "build_model", "create_model", "get_model")
EXTRAS = {
    **{"torch": "torch", "torchvision": "torch", "keras": "keras", "tensorflow": "keras"},
    **{"onnx": "onnx", "onnxruntime": "onnx", "jax": "jax", "jaxlib": "jax"},
}


@dataclass(frozen=True)
class Address:
    """place: a file or a module's dotted name. name: an attribute in it, dotted, or "". arguments: None without a call."""

    place: str
    name: str = ""
    arguments: Mapping[str, Any] | None = None
    text: str = field(default="", compare=False)


def parse(target: str) -> Address:
    """Take a target apart; raises Refused for arguments that are not literal."""
    found = re.fullmatch(r"(?P<place>.+?)(:(?P<name>[A-Za-z_][\w.]*)(?P<call>\(.*\))?)?", target.strip(), re.DOTALL)
    if found is None:
        raise Refused(f"no target is given; expected {FORMS}")
    place, name, call = found["place"], found["name"] or "", found["call"]
    if not name and (":" in place or "(" in place):
        raise Refused(f"{one_line(target)!r} is no target; expected {FORMS}")
    return Address(place, name, literal(name, call) if call else None, target)


def literal(name: str, call: str) -> dict[str, Any]:
    """The keyword arguments of "(num_classes=17)", read and never run."""
    try:
        tree = ast.parse(f"f{call}", mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
            raise ValueError("no single call by keyword")
        if any(keyword.arg is None for keyword in tree.keywords):
            raise ValueError("** is no literal")
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        found = one_line(f"{name}{call}")
        raise Refused(f"{found!r}: arguments must be literal and by keyword, as in {name}(num_classes=17)") from None


def need(package: str, what: str) -> None:
    """Refuse where a framework is not installed, with the command that installs it."""
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        raise Refused(f"{what} needs {package}, not installed here: {install(package)}")


def install(package: str) -> str:
    return f"pip install -e '.[{EXTRAS[package]}]'" if package in EXTRAS else f"pip install {package}"


# Importing ------------------------------------------------------------------------------------------------------------


def imported(address: Address) -> ModuleType:
    """The module of an address; raises Refused where there is none or where its import raises."""
    place = address.place
    if place in find.own():  # followed by a name, "keras" is the framework and not our file
        where = (
            find.Target(place, module=place) if address.name else find.Target(place, f"alexnet_parity.impls.{place}")
        )
    else:
        where = located(place)
    try:
        return find.load(where)
    except ImportError as error:
        raise Refused(absent(place, error)) from None
    except (Exception, SystemExit) as error:
        raise Refused(f"{place}: its import raised {describe(error)}") from None


def located(place: str) -> find.Target:
    file = Path(place)
    if file.suffix == ".py" and not file.is_file() and file.parent.is_dir():
        near = nearest(file.name, sorted(path.name for path in file.parent.glob("*.py")))
        raise Refused(f"no file {place!r} here (looked in {file.parent.resolve()}){near}")
    if not place.endswith(".py") and (file.is_file() or file.is_dir() or os.sep in place):
        raise Refused(f"{place!r}: {ending(file)}; expected {FORMS}")
    try:
        found = find.find(place)
    except find.Unknown as error:
        raise Refused(str(error)) from None
    except ImportError as error:
        raise Refused(f"{place}: {describe(error)}") from None
    return found


def ending(file: Path) -> str:
    """Why a file or a folder is no target."""
    if file.suffix in (".pt", ".pth", ".h5", ".npz", ".safetensors", ".ckpt"):
        return (
            f"{file.suffix} files hold weights and no operations: name the model's factory, and this file as --weights"
        )
    if file.is_dir():
        return "a folder; save the model as a .keras file, or give the factory that builds it"
    if not file.exists():
        return f"no such file here (looked in {Path.cwd()})"
    return f"files that end in {file.suffix!r} are not known" if file.suffix else "a file without an ending"


def absent(place: str, error: ImportError) -> str:
    """An import that failed: the target itself is not there, a package is not installed, or a mistake in the file."""
    name = error.name or ""
    if find.lacks(error):
        root = name.partition(".")[0]
        return f"{place} needs {root}, not installed here: {install(root)}"
    if isinstance(error, ModuleNotFoundError) and (place == name or place.startswith(f"{name}.")):
        parent = sys.modules.get(name.rpartition(".")[0])
        near = [module.name for module in pkgutil.iter_modules(getattr(parent, "__path__", []))]
        return f"no module {name!r}{nearest(name.rpartition('.')[2], near)}"
    return f"{place}: its import raised {describe(error)}"


# Finding the factory --------------------------------------------------------------------------------------------------


def attribute(module: ModuleType, address: Address) -> Any:
    """The thing that the address names in its module; raises Refused with the nearest name."""
    found: Any = module
    for part in address.name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [name for name in dir(found) if not name.startswith("_")]
            raise Refused(f"{address.place} has no {address.name!r}{nearest(part, names)}") from None
        except Exception as error:
            raise Refused(f"{address.place}: reading {address.name!r} raised {describe(error)}") from None
    return found


def candidates(module: ModuleType) -> dict[str, Any]:
    """What in a module looks like a model or like what makes one."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            (is_model(value) and not inspect.isclass(value))
            or (inspect.isclass(value) and value.__module__ == module.__name__ and is_model_class(value))
            or (inspect.isfunction(value) and name in FACTORIES)
            or builds(name, value)
        )
    }


def only(module: ModuleType, place: str) -> str:
    """The name of the one candidate; of several, the one that is called AlexNet. Raises Refused with all of them."""
    found = candidates(module)
    called = [name for name in found if name.lower() == "alexnet"]
    for names in (list(found), called):
        if len(names) == 1:
            return names[0]
    if found:
        raise Refused(f"{place} has several models: {', '.join(found)}; name one, as in {place}:{next(iter(found))}")
    public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    known = f"; it has {', '.join(public[:8])}" if public else ""
    raise Refused(f"{place} has nothing that looks like a model{known}; name its factory, as in {place}:factory")


def builds(name: str, value: Any) -> bool:
    """Is it `build(network, params)` of an implementation such as ours?"""
    return (
        name == "build" and inspect.isfunction(value) and list(inspect.signature(value).parameters)[:1] == ["network"]
    )


# Classes are told by their names, so that no framework is imported to ask.
MODELS = {
    ("torch", "Module"): "torch",
    ("keras", "Layer"): "tensorflow",
    ("tensorflow", "Module"): "tensorflow",
    ("torch", "ExportedProgram"): "torch",
}


def is_model_class(kind: type) -> bool:
    return framework(kind) != ""


def is_model(value: Any) -> bool:
    return framework(type(value)) != ""


def framework(kind: type) -> str:
    """The package whose model class this is: "torch", "tensorflow", or ""."""
    for base in kind.__mro__:
        if found := MODELS.get((root(base), base.__name__)):
            return found
    return ""


def root(kind: Any) -> str:
    """The package that a class or a function comes from."""
    return str(getattr(kind, "__module__", "") or "").partition(".")[0]


# Calling it -----------------------------------------------------------------------------------------------------------


def made(thing: Any, address: Address) -> Any:
    """The model: the thing itself, or what it gives when called with the written arguments."""
    name = address.name
    ready = not inspect.isclass(thing) and (is_model(thing) or not callable(thing))
    if ready and address.arguments is not None:
        raise Refused(f"{name} is a {kind_of(thing)} already and takes no arguments; write {address.place}:{name}")
    if ready:
        return thing
    arguments = dict(address.arguments or {})
    check_arguments(thing, arguments, address)
    try:
        return thing(**arguments)
    except ImportError as error:
        raise Refused(absent(f"{name}()", error)) from None
    except (Exception, SystemExit) as error:
        raise Refused(f"{address.place}: {name}() raised {describe(error)}") from None


def check_arguments(thing: Callable[..., Any], arguments: Mapping[str, Any], address: Address) -> None:
    """Refuse arguments that the factory does not know, and the lack of those that it needs."""
    taken = parameters_of(thing)
    if taken is None:
        return
    names = [p.name for p in taken]
    if [name.lower() for name in names[:2]] in (["params", "x"], ["params", "inputs"], ["parameters", "x"]):
        raise Refused(
            f"{address.name}({', '.join(names)}) is the model's function and not its factory; "
            f"give a factory that takes nothing and returns ({address.name}, {names[0]})"
        )
    if not any(p.kind is p.VAR_KEYWORD for p in taken):
        for name in arguments:
            if name not in names:
                raise Refused(f"{address.name}() has no argument {name!r}{nearest(name, names)}{listed(names)}")
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in taken if p.default is p.empty and p.kind not in fixed and p.name not in arguments]
    if needed:
        example = f"{address.place}:{address.name}({', '.join(f'{name}=...' for name in needed)})"
        raise Refused(f"{address.name}() needs {' and '.join(needed)}; write them as literals: {example}")


def listed(names: list[str]) -> str:
    return f" It has: {' '.join(names)}" if names else " It takes none"


def parameters_of(thing: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Its parameters, without self; None where Python cannot say."""
    own = inspect.isclass(thing) and inspect.isfunction(thing.__init__)
    try:
        found = list(inspect.signature(thing.__init__ if own else thing).parameters.values())
    except (TypeError, ValueError):
        return None
    return found[1:] if own else found


def kind_of(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def leaves(tree: Any) -> Iterator[Any]:
    """What dictionaries, lists and tuples hold, however deep."""
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else None
    if parts is None:
        yield tree
        return
    for part in parts:
        yield from leaves(part)
