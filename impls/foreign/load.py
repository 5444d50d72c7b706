"""From a target as a person writes it to a `Subject`: the one place that knows which adapter takes what.

It imports no framework: the object's own class says whose it is.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...reference.spec import Network, Shape, nearest
from .. import find
from ..describe import describe
from . import target as targets
from . import weights as weight_files
from .graph import Refused, Subject
from .target import Address, builds, framework, kind_of, need, root

FILES = {".onnx": "onnx", ".keras": "keras", ".pt2": "torch"}  # and the package that reads them
EXPECTED = (
    "a torch.nn.Module, a keras.Model, a tf.Module, (graph, input, output) of a TensorFlow graph, or (function, params) "
    "of a function of (params, x)"
)


def load(target: str, weights: str = "", input_shape: Shape | None = None, variant: str = "") -> Subject:
    """The model that a target leads to, weights from a file put in; input_shape is (C, H, W), for models that want one.

    variant: the network that an implementation with build(network, params) is to build; else the paper's, or its own.
    Raises Refused, in one line, for everything that is not there or cannot be audited.
    """
    address = targets.parse(target)
    if Path(address.place).suffix in FILES:
        if address.name:
            raise Refused(f"{target}: nothing can be named inside a {Path(address.place).suffix} file")
        return filled(saved(Path(address.place), input_shape), weights)
    model = model_of(address, variant)
    if is_keras(model):
        weights = weight_files.keras(model, weights)  # before the model is recorded: Keras reads its own files
    return filled(adapted(model, target, input_shape), weights)


def filled(subject: Subject, weights: str) -> Subject:
    if weights:
        weight_files.put(subject, weights)
    return subject


def model_of(address: Address, variant: str = "") -> Any:
    """The model, or one of the other things that `adapted` knows."""
    if address.place in find.own() and not address.name:
        return ours_by_default(address.place, None, variant)
    module = targets.imported(address)
    if not address.name:
        name = targets.only(module, address.place)
        address = Address(address.place, name, None, address.text)
    thing = targets.attribute(module, address)
    if builds(address.name, thing):
        return ours_by_default(address.place, module, variant)
    return targets.made(thing, address)


def framework_of(target: str) -> str:
    """Whose model a target seems to be, told without importing it: "torch", "keras", ..., or "" where nothing says."""
    place = targets.parse(target).place
    if suffix := FILES.get(Path(place).suffix):
        return suffix
    if place in find.own() and targets.parse(target).name == "":
        return find.requires(find.own()[place])[0]
    return mentioned(Path(place)) if place.endswith(".py") and Path(place).is_file() else ""


def mentioned(file: Path) -> str:
    """The first framework that a Python file imports."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            if (package := name.partition(".")[0]) in ("torch", "keras", "tensorflow", "jax"):
                return package
    return ""


# Adapters -------------------------------------------------------------------------------------------------------------


def saved(file: Path, input_shape: Shape | None = None) -> Subject:
    """A model file."""
    if file.is_dir():
        raise Refused(f"{str(file)!r} is a folder, expected a file")
    if not file.is_file():
        near = nearest(file.name, [path.name for path in file.parent.glob(f"*{file.suffix}")])
        raise Refused(f"no file {str(file)!r} here (looked in {file.parent.resolve()}){near}")
    need(FILES[file.suffix], f"{file.name}")
    if file.suffix == ".onnx":
        from . import onnx_models

        return onnx_models.subject(file)
    if file.suffix == ".keras":
        from . import tf_models

        return tf_models.saved(file, input_shape)
    from . import torch_models

    return torch_models.exported(file)


def refuse_other_backends(target: str) -> None:
    """Raises Refused where Keras runs on another backend than TensorFlow, whose graphs are what is recorded."""
    backend = getattr(getattr(sys.modules.get("keras"), "config", None), "backend", lambda: "tensorflow")()
    if backend != "tensorflow":
        raise Refused(
            f"{target} is a Keras model on {backend}; audits record Keras models on TensorFlow: set KERAS_BACKEND=tensorflow, "
            "or use `alexnet-parity verify`"
        )


def adapted(model: Any, target: str, input_shape: Shape | None = None) -> Subject:
    """The subject that a model in memory makes."""
    match framework(type(model)):
        case "torch":
            from . import torch_models

            return torch_models.subject(model, input_shape)
        case "tensorflow":
            refuse_other_backends(target)
            from . import tf_models

            steps = inspect.isgeneratorfunction(type(model).__call__)
            return tf_models.subject(Last(model) if steps else model, input_shape)
    if is_graph(model):
        from . import tf_frozen

        return tf_frozen.frozen_graph(*model)
    if is_pair(model):
        return adapted_pair(model, target, input_shape)
    raise Refused(f"{target} gives {found(model)}; expected {EXPECTED}")


class Last:
    """A model that gives (name, value) pairs one by one, as ours in plain TensorFlow does, as one that gives the last value."""

    def __init__(self, model: Any) -> None:
        self.model, self.variables = model, model.variables

    def __call__(self, x: Any) -> Any:
        *_, (_, value) = self.model(x)
        return value


def found(model: Any) -> str:
    """What came in the place of a model, in words."""
    if isinstance(model, (tuple, list)):
        return f"a {type(model).__name__} of ({', '.join(map(kind_of, model[:4]))}{', ...' if len(model) > 4 else ''})"
    if root(type(model)) == "flax" or any(root(base) == "flax" for base in type(model).__mro__):
        return f"a Flax module ({kind_of(model)}): return (model.apply, variables) in its place"
    if inspect.isclass(model):
        return f"the class {model.__qualname__} itself and no instance"
    return "None" if model is None else f"a {kind_of(model)}"


def is_keras(model: Any) -> bool:
    return any(root(base) == "keras" and base.__name__ == "Model" for base in type(model).__mro__)


def is_graph(model: Any) -> bool:
    """(graph, input, output) of TensorFlow 1 style?"""
    if not isinstance(model, (tuple, list)) or len(model) != 3:
        return False
    return any(root(base) == "tensorflow" and base.__name__ == "Graph" for base in type(model[0]).__mro__)


def is_pair(model: Any) -> bool:
    """(function, params)? A model of a framework that is returned along with something is none."""
    if not isinstance(model, (tuple, list)) or len(model) != 2:
        return False
    function, params = model
    return callable(function) and not framework(type(function)) and isinstance(params, (Mapping, list, tuple))


def adapted_pair(pair: tuple[Callable[..., Any], Any], target: str, input_shape: Shape | None) -> Subject:
    """A function of (params, x): its parameters say whose arrays it computes with, or else what its file imports."""
    function, params = pair
    match package_of(params) or used_by(function):
        case "jax":
            from . import jax_models

            return jax_models.subject((function, params))
        case "torch":
            from . import torch_models

            return torch_models.subject((function, params))
        case "tensorflow":
            from . import tf_models

            return tf_models.subject((function, params), input_shape)
    raise Refused(
        f"{target} is a function over NumPy arrays, whose inside cannot be recorded: give it as build(network, params) "
        "that returns its activations, and use `alexnet-parity verify`"
    )


PACKAGES = {"jax": "jax", "jaxlib": "jax", "torch": "torch", "tensorflow": "tensorflow", "keras": "tensorflow"}


def package_of(params: Any) -> str:
    """Whose arrays the leaves are; "" for NumPy's."""
    for leaf in targets.leaves(params):
        for base in type(leaf).__mro__:
            if package := PACKAGES.get(root(base)):
                return package
    return ""


def used_by(function: Any) -> str:
    """The framework that a function can see: in its module, in what encloses it, or imported inside it."""
    function = inspect.unwrap(getattr(function, "func", function))
    seen = {PACKAGES.get(root(function), "")}
    code = getattr(function, "__code__", None)
    for value in (*getattr(function, "__globals__", {}).values(), *enclosed(function)):
        name = value.__name__ if isinstance(value, ModuleType) else root(value) if callable(value) else ""
        seen.add(PACKAGES.get(str(name).partition(".")[0], ""))
    for name in code.co_names if code else ():
        seen.add(PACKAGES.get(name.partition(".")[0], "") if function.__globals__.get(name) is None else "")
    return next((package for package in ("jax", "torch", "tensorflow") if package in seen), "")


def enclosed(function: Any) -> list[Any]:
    """The variables that a function takes from the one around it."""
    values = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return values


# Implementations such as ours: build(network, params) -----------------------------------------------------------------


def ours(name: str, network: Network, params: Mapping[str, np.ndarray], module: ModuleType | None = None) -> Subject:
    """An implementation with build(network, params), ours or anybody's, audited as if it were foreign: its model's `.net`.

    What build() raises comes through (Unsupported for a network that it cannot express).
    """
    return adapted(net_of(name, network, params, module), name, network.input_shape)


def net_of(name: str, network: Network, params: Mapping[str, np.ndarray], module: ModuleType | None = None) -> Any:
    if module is None:
        module = our_module(name)
    net = getattr(module.build(network, params), "net", None)
    if framework(type(net)) or callable(net):
        return net
    raise Refused(
        f"{name} builds a model without a `net` that is a torch.nn.Module, keras.Model or callable: "
        "its inside cannot be recorded; use `alexnet-parity verify`"
    )


def our_module(name: str) -> ModuleType:
    try:
        return find.load(find.find(name))
    except find.Unknown as error:
        raise Refused(str(error)) from None


def ours_by_default(name: str, module: ModuleType | None = None, variant: str = "") -> Any:
    """The network asked for, the one that the module is fixed to, or the paper's; its first values drawn as the paper does."""
    from ...reference import stimuli, variants

    if module is None:
        module = our_module(name)
    network = variants.variant(getattr(module, "variant", None) or variant or "paper")
    try:
        return net_of(name, network, stimuli.paper_init(network, 0), module)
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        raise Refused(f"{name}: build() raised {describe(error)}") from None
