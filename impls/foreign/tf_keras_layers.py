"""Which Keras layer made which operation: layers are watched while their model is traced. For Keras 3 and tf.keras before it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from .graph import numbered

# Arguments that say nothing about what is computed.
SILENT = ("name", "dtype", "trainable", "activity_regularizer", "seed")


def layer_base(kind: type) -> Any:
    """The class Layer that a Keras model's class descends from; None for any other class."""
    for base in kind.__mro__:
        if base.__name__ == "Layer" and "keras" in base.__module__ and "__call__" in vars(base):
            return base
    return None


def layers_of(model: Any) -> list[Any]:
    """Every layer within a model, at any depth, without the model itself."""
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten(include_self=False)) if flatten else list(getattr(model, "layers", ()))


def joined(names: Sequence[str]) -> tuple[str, ...]:
    """One path of nested layers' names, what they repeat of one another said once: a, a/b, b/c is a/b/c."""
    path: list[str] = []
    for name in names:
        parts = name.split("/")
        overlap = next(n for n in range(len(parts), -1, -1) if n == 0 or path[-n:] == parts[:n])
        path += parts[overlap:]
    return tuple(path)


@dataclass(frozen=True)
class Call:
    """One call of a layer; path: names of the layers that it lies in and its own, without the model's."""

    number: int
    layer: Any
    path: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Is it one of Keras' own layers, so that a user knows it by its call?"""
        own = type(self.layer).__module__.split(".")[0] in ("keras", "tf_keras", "tensorflow")
        return own and bool(self.path) and not hasattr(self.layer, "layers")


class Calls:
    """The calls of a model's layers during one trace."""

    def __init__(self, model: Any = None) -> None:
        self.model = model
        self.count = 0
        self.stack: list[Any] = []
        self.makers: dict[int, Call] = {}  # an operation's place in the graph: the innermost call that made it
        self.ran: set[int] = set()
        self.words: dict[int, str] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        if self.model is None:
            yield
            return
        base, graph = layer_base(type(self.model)), tf.compat.v1.get_default_graph()
        original = base.__call__

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            self.ran.add(id(layer))
            if tf.compat.v1.get_default_graph() is not graph:  # within a function that is not inlined
                return original(layer, *args, **kwargs)
            start = len(graph.get_operations())
            self.stack.append(layer)
            try:
                return original(layer, *args, **kwargs)
            finally:
                self.note(start, len(graph.get_operations()))
                self.stack.pop()

        base.__call__ = call
        try:
            yield
        finally:
            base.__call__ = original

    def note(self, start: int, end: int) -> None:
        """Operations that no inner layer made are this call's."""
        path = joined([layer.name for layer in self.stack if layer is not self.model])
        found = Call(self.count, self.stack[-1], path)
        self.count += 1
        for place in range(start, end):
            self.makers.setdefault(place, found)

    def name(self, operation: str, place: int) -> str:
        """The layers' own names and the operation's: "alexnet_1/conv1_1/convolution" is "conv1/convolution"."""
        call = self.makers.get(place)
        if call is None:
            return operation
        return "/".join((*call.path, operation.rpartition("/")[2]))

    def idle(self) -> tuple[str, ...]:
        """Names of layers that exist and were not called; inputs are not called."""
        found: dict[str, None] = {}
        for layer in layers_of(self.model) if self.model is not None else ():
            if id(layer) not in self.ran and type(layer).__name__ != "InputLayer":
                found[numbered(layer.name, found)] = None
        return tuple(found)

    def call(self, place: int) -> str:
        """The layer's call in a user's words, where Keras' own layer made the operation; otherwise an empty string."""
        call = self.makers.get(place)
        if call is None or not call.ours:
            return ""
        if id(call.layer) not in self.words:
            self.words[id(call.layer)] = worded(call.layer)
        return self.words[id(call.layer)]


def worded(layer: Any) -> str:
    """layers.Conv2D(96, 11, strides=4, padding='same'): arguments that differ from their defaults, in order."""
    config, words = layer.get_config(), []
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        if name not in config or name in SILENT or not plain(value := config[name]):
            continue
        if parameter.default is inspect.Parameter.empty:
            words.append(brief(value))
        elif brief(value) != brief(parameter.default) and value not in ("linear", "channels_last"):
            words.append(f"{name}={brief(value)}")
    return f"layers.{type(layer).__name__}({', '.join(words)})"


def plain(value: Any) -> bool:
    """A number, a word, or a tuple of such: not an initialiser or a constraint."""
    if isinstance(value, list | tuple):
        return all(plain(part) for part in value)
    return isinstance(value, bool | int | float | str)


def brief(value: Any) -> str:
    """As a user writes it: (3, 3) and ((3, 3), (3, 3)) as 3, all else as it is."""
    if not isinstance(value, list | tuple):
        return repr(value)
    if len(value) == 2 and value[0] == value[1]:
        return brief(value[0])
    return repr(tuple(tuple(part) if isinstance(part, list) else part for part in value))
