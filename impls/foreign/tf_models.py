"""Foreign models of TensorFlow: Keras models, modules and functions, TF1-style graphs, saved .keras files.

All of them are recorded one way. The model is traced into a graph, TensorFlow's rewriting of graphs is switched off so that
what runs is what was written, and every intermediate tensor is fetched in one run. Weights stay variables.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .graph import Array, Graph, Refused, Shape
from .keras_file import saved_model
from .tf_frozen import frozen_graph
from .tf_graph import Plan, as_array
from .tf_keras_layers import Calls, layer_base, layers_of
from .tf_shared import Parameters, arranged, check_rank, flattened, images, layout_for

__all__ = ["frozen_graph", "saved", "subject"]

TRAINING = ("training", "is_training", "train")  # what functions call their switch


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Grappler off: no folding, fusing or pruning of what the model's author wrote."""
    name = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})


@contextlib.contextmanager
def inlined() -> Iterator[None]:
    """Functions within the model are traced as part of it; Keras' own stay (its grouped convolutions need XLA on a CPU)."""
    kind = type(tf.function(lambda: None))
    original = kind.__call__

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        inside = function.python_function
        own = str(inside.__module__).split(".")[0] in ("keras", "tensorflow")
        return original(function, *args, **kwargs) if own else inside(*args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


@contextlib.contextmanager
def repeatable(variables: Sequence[Any], run: int) -> Iterator[None]:
    """The chance that belongs to the run of that number, whatever was drawn before; random states and counters come back."""
    states = [actual for actual in map(tensorflow_variable, variables) if not actual.dtype.is_floating]
    before = [state.numpy() for state in states]
    for place, state in enumerate(states):
        if is_random_state(state):
            words = np.random.SeedSequence((run, place)).generate_state(state.shape[0])  # of 32 bits
            state.assign(words.astype(state.dtype.as_numpy_dtype))
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)


def is_random_state(variable: Any) -> bool:
    """What keras.random.SeedGenerator (a seed and a counter) and tf.random.Generator (Philox) remember?"""
    return variable.dtype.is_integer and tuple(variable.shape) in ((2,), (3,)) and "state" in variable.name.lower()


# Eager models ---------------------------------------------------------------------------------------------------------


class Traced:
    """A model that is Python code: traced once for each shape and mode, then run as often as wanted."""

    framework = f"tensorflow {tf.__version__}"

    def __init__(self) -> None:
        self.held = Parameters()
        self.handles: dict[int, str] = {}  # a variable's handle, by id: its parameter
        self.ignored: set[int] = set()  # handles of seeds and counters
        self.arguments: dict[str, tf.Tensor] = {}  # parameters that the function takes and that are no variables
        self.input_shape: Shape | None = None
        self.batch: int | None = None
        self.trains = False
        self.shape: Sequence[int | None] | None = None  # as the model says it
        self.dtype = tf.float32
        self.read: dict[int, Any] = {}  # variables met while tracing
        self.traces: dict[tuple[Shape, bool], tuple[Any, Plan]] = {}
        self.runs = 0

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return self.held.shapes

    @property
    def frozen(self) -> Sequence[str]:
        return tuple(self.held.frozen)

    def value(self, name: str) -> Array:
        return self.held.value(name)

    def load(self, values: Mapping[str, Array]) -> None:
        self.held.load(values)

    # Each kind of model says these three

    def run(self, x: tf.Tensor, training: bool, arguments: Mapping[str, tf.Tensor]) -> Any:
        raise NotImplementedError

    def variables(self) -> Iterator[tuple[str, Any, bool]]:
        """(name, variable, is it learned?)"""
        raise NotImplementedError

    def layout(self, channels: int) -> str:
        return layout_for(self.shape, channels)

    def calls(self) -> Calls:
        return Calls()

    # Recording

    def collect(self) -> None:
        """Take note of variables that are new: layers make theirs when they are first called."""
        met = [(variable.name.split(":")[0], variable, variable.trainable) for variable in self.read.values()]
        for name, variable, learned in (*self.variables(), *met):
            actual = tensorflow_variable(variable)
            if id(actual.handle) in self.handles or id(actual.handle) in self.ignored:
                continue
            if not actual.dtype.is_floating:
                self.ignored.add(id(actual.handle))
                continue
            added = self.held.add(name, tuple(actual.shape), actual.numpy, writer(actual), learned)
            self.handles[id(actual.handle)] = added

    def record(self, x: Array, training: bool = False) -> Graph:
        check_rank(self.shape, x)
        self.runs += 1
        layout = self.layout(x.shape[1])
        images = arranged(x, layout)
        with self.held.kept(), as_written():
            function, plan = self.traced(images.shape, training)
            fed = tf.cast(tf.constant(images), self.dtype)
            with repeatable(function.variables, self.runs):
                values = [as_array(value) for value in function(fed, dict(self.arguments))]
        return plan.graph(values, layout, as_array(fed)[0])

    def traced(self, shape: Shape, training: bool) -> tuple[Any, Plan]:
        key = (shape, training)
        if key not in self.traces:
            found = self.trace(shape, training)
            if self.met(found[0].variables):
                found = self.trace(shape, training)
            if found[1].opaque:
                found = self.opened(found, shape, training)
            self.traces[key] = found
        return self.traces[key]

    def opened(self, found: tuple[Any, Plan], shape: Shape, training: bool) -> tuple[Any, Plan]:
        """The trace with functions within the model inlined, if that can be and computes the same.

        It need not: a layer's call that Keras traced while it built the layer goes on with the initial weights.
        """
        with contextlib.suppress(Exception), inlined():
            inside = self.trace(shape, training)
            if training or self.agree(found, inside, shape):
                return inside
        return found

    def agree(self, one: tuple[Any, Plan], other: tuple[Any, Plan], shape: Shape) -> bool:
        x = tf.cast(tf.constant(np.random.default_rng(0).normal(0, 50, shape)), self.dtype)
        outputs = []
        for function, plan in (one, other):
            values = [as_array(value) for value in function(x, dict(self.arguments))]
            outputs.append([plan.tensor(name, values) for name in plan.outputs])
        return all(
            a is None or b is None or np.allclose(a, b, rtol=1e-2, atol=1e-3 * float(np.abs(a).max()))
            for a, b in zip(*outputs, strict=True)
        )

    def met(self, variables: Sequence[Any]) -> bool:
        """Take note of variables that a trace has read; were there unknown ones?"""
        count = len(self.handles)
        self.read |= {id(variable): variable for variable in variables}
        self.collect()
        return len(self.handles) > count

    def trace(self, shape: Shape, training: bool) -> tuple[Any, Plan]:
        plans = []

        def fetch(x: tf.Tensor, arguments: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            tf.random.set_seed(0)  # of this graph alone: what tf.nn.dropout draws is the same in each process
            calls = self.calls()
            with calls.watched():
                outputs = flattened(self.run(x, training, arguments))
            graph = tf.compat.v1.get_default_graph()
            self.collect()
            plans.append(Plan.of(graph, x, outputs, self.captured(graph, arguments), calls, self.parameters))
            return plans[-1].fetches

        specs = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in self.arguments.items()}
        function = tf.function(fetch, autograph=False)
        concrete = function.get_concrete_function(tf.TensorSpec(shape, self.dtype), specs)
        return concrete, plans[-1]  # a trace that makes variables is done twice

    def captured(self, graph: Any, arguments: Mapping[str, tf.Tensor]) -> dict[str, str]:
        """The parameter behind each of the graph's own tensors, by the tensor's name."""
        found = {tensor.name: name for name, tensor in arguments.items()}
        for outside, inside in graph.captures:
            if id(outside) in self.handles:
                found[inside.name] = self.handles[id(outside)]
        return found


def tensorflow_variable(variable: Any) -> Any:
    """The tf.Variable in a Keras 3 variable, or the variable itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def writer(variable: Any) -> Callable[[Array], Any]:
    return lambda value: variable.assign(tf.cast(tf.convert_to_tensor(np.asarray(value)), variable.dtype))


class KerasModel(Traced):
    """Functional, Sequential or subclassed."""

    def __init__(self, model: Any, input_shape: Shape | None) -> None:
        super().__init__()
        self.model = model
        self.framework = f"{keras_version(model)} on tensorflow {tf.__version__}"
        self.trains = True
        self.shape = declared(model)
        self.fallback = "NCHW" if image_data_format() == "channels_first" else "NHWC"
        self.input_shape, self.batch = images(self.shape, self.fallback)
        self.dtype = input_dtype(model)
        if self.input_shape is None and input_shape is not None:
            self.input_shape = tuple(input_shape)
        if not model.variables and self.input_shape and all(self.input_shape):
            zeros = np.zeros((self.batch or 1, *self.input_shape), dtype=np.float32)
            model(tf.constant(arranged(zeros, self.layout(self.input_shape[0]))), training=False)
        self.collect()

    def layout(self, channels: int) -> str:
        return layout_for(self.shape, channels, self.fallback)

    def run(self, x: tf.Tensor, training: bool, arguments: Mapping[str, tf.Tensor]) -> Any:
        return self.model(fed(self.model, x), training=training)

    def variables(self) -> Iterator[tuple[str, Any, bool]]:
        kept = {
            id(v) for layer in layers_of(self.model) for v in getattr(layer, "_non_trainable_variables", ())
        }  # a layer that its user froze (trainable = False) still has weights
        for variable in self.model.variables:
            name = str(getattr(variable, "path", variable.name)).split(":")[0]
            yield name.removeprefix(f"{self.model.name}/"), variable, id(variable) not in kept

    def calls(self) -> Calls:
        return Calls(self.model)


def keras_version(model: Any) -> str:
    package = layer_base(type(model)).__module__.split(".")[0]
    return f"{package} {__import__(package).__version__}"


def image_data_format() -> str:
    import keras

    return keras.config.image_data_format()


def declared(model: Any) -> tuple[int | None, ...] | None:
    """The input shape that a Keras model says; raises Refused for several inputs that it needs."""
    try:
        shape = model.input_shape
    except (AttributeError, RuntimeError, ValueError):  # subclassed, or not yet called
        return None
    if named := named_inputs(model):
        shape = [given.shape for given in named.values() if not optional(given)] or shape
    if isinstance(shape, Mapping):
        shape = list(shape.values())
    if isinstance(shape, list):
        if len(shape) > 1:
            raise Refused(
                f"found a model with {len(shape)} inputs, expected one batch of images; wrap it in one that has"
            )
        shape = shape[0]
    return tuple(shape) if shape is not None else None


def input_dtype(model: Any) -> tf.DType:
    try:
        return tf.as_dtype(flattened_specs(model.inputs)[0].dtype)
    except (AttributeError, IndexError, TypeError, ValueError):
        return tf.float32


def fed(model: Any, x: tf.Tensor) -> Any:
    """What a Keras model is called with: the images; of one whose inputs have names, none for those that it can do without."""
    inputs = named_inputs(model)
    return {name: None if optional(given) else x for name, given in inputs.items()} if inputs else x


def named_inputs(model: Any) -> Mapping[str, Any]:
    """A functional model's inputs by name; nothing where they have none."""
    try:
        inputs = model.input
    except (AttributeError, ValueError):  # not functional, or not called yet
        return {}
    return inputs if isinstance(inputs, Mapping) else {}


def optional(given: Any) -> bool:
    """keras.Input(optional=True)?"""
    return bool(getattr(given._keras_history.operation, "optional", False))


def flattened_specs(inputs: Any) -> list[Any]:
    return list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)


class Module(Traced):
    """A tf.Module, or any object that is called with a batch and has (or reads) variables."""

    def __init__(self, target: Callable[..., Any], input_shape: Shape | None) -> None:
        super().__init__()
        self.target = target
        self.switch = training_switch(target)
        self.trains = self.switch is not None
        self.input_shape = tuple(input_shape) if input_shape else None
        self.collect()
        if not self.parameters and self.input_shape and all(self.input_shape):
            self.traced((1, *self.input_shape[1:], self.input_shape[0]), False)

    def run(self, x: tf.Tensor, training: bool, arguments: Mapping[str, tf.Tensor]) -> Any:
        return self.target(x, **({self.switch: training} if self.switch else {}))

    def variables(self) -> Iterator[tuple[str, Any, bool]]:
        named = dict(attributes(self.target, ""))
        found = [*getattr(self.target, "variables", ()), *self.read.values()]  # the latter for a plain function's
        paths = {id(variable): path for path, variable in named.items()}
        for variable in {id(variable): variable for variable in found}.values():
            name = variable.name.split(":")[0]
            if re.fullmatch(r"Variable(_\d+)?", name):  # never named: called after the attribute that holds it
                name = paths.get(id(variable), name)
            yield name, variable, variable.trainable


def attributes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Variables by the attributes, keys and places that lead to them."""
    if isinstance(value, tf.Variable):
        yield path, value
        return
    if isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items()}
    elif isinstance(value, list | tuple):
        parts = {str(place): part for place, part in enumerate(value)}
    elif isinstance(value, tf.Module):
        parts = {key: part for key, part in vars(value).items() if not key.startswith("_")}
    else:
        return
    for key, part in parts.items():
        yield from attributes(part, f"{path}/{key}" if path else key)


def training_switch(function: Callable[..., Any]) -> str | None:
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    return next((name for name in TRAINING if name in known), None)


class Function(Traced):
    """A plain function of (params, x). What is a number or a string in params is left as it is."""

    def __init__(self, function: Callable[..., Any], params: Any, input_shape: Shape | None) -> None:
        super().__init__()
        self.function, self.params = function, params
        self.switch = training_switch(function)
        self.trains = self.switch is not None
        self.input_shape = tuple(input_shape) if input_shape else None
        for name, leaf in leaves(params, ""):
            if not isinstance(leaf, np.ndarray) and not tf.is_tensor(leaf):
                continue
            if not isinstance(leaf, tf.Variable):
                self.arguments[name] = tf.convert_to_tensor(leaf)
                self.held.add(name, tuple(leaf.shape), self.reader(name), self.writer(name))
        self.collect()

    def reader(self, name: str) -> Callable[[], Any]:
        def read() -> Any:
            return self.arguments[name]

        return read

    def writer(self, name: str) -> Callable[[Array], Any]:
        def write(value: Array) -> None:
            self.arguments[name] = tf.cast(tf.convert_to_tensor(np.array(value)), self.arguments[name].dtype)

        return write

    def variables(self) -> Iterator[tuple[str, Any, bool]]:
        for name, leaf in leaves(self.params, ""):
            if isinstance(leaf, tf.Variable):
                yield name, leaf, leaf.trainable

    def run(self, x: tf.Tensor, training: bool, arguments: Mapping[str, tf.Tensor]) -> Any:
        params = rebuilt(self.params, "", arguments)
        return self.function(params, x, **({self.switch: training} if self.switch else {}))


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)  # type: ignore[assignment]
    else:
        yield path, value
        return
    for key, part in parts:
        yield from leaves(part, f"{path}/{key}" if path else str(key))


def rebuilt(value: Any, path: str, arguments: Mapping[str, tf.Tensor]) -> Any:
    """The same nest with the traced arguments in the places of the leaves that they stand for."""
    if isinstance(value, Mapping):
        return {key: rebuilt(part, f"{path}/{key}" if path else str(key), arguments) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [
            rebuilt(part, f"{path}/{place}" if path else str(place), arguments) for place, part in enumerate(value)
        ]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return arguments.get(path, value)


def subject(target: Any, input_shape: Shape | None = None) -> Traced:
    """A Subject for a Keras model, a tf.Module or other callable, or a pair (function, params).

    input_shape (C, H, W) lets a model that makes its variables when first called be called once; where neither it nor the
    model tells, `parameters` is complete after the first `record`. Raises Refused for anything else.
    """
    if isinstance(target, tuple) and len(target) == 2 and callable(target[0]):
        return Function(*target, input_shape)
    if layer_base(type(target)) is not None:
        return KerasModel(target, input_shape)
    if callable(target):
        return Module(target, input_shape)
    raise Refused(
        f"found {type(target).__name__}, expected a Keras model, a tf.Module, a function or (function, params)"
    )


def saved(path: str | PathLike[str], input_shape: Shape | None = None) -> Traced:
    """A Subject for a .keras file; raises Refused, in one line, for one that is malformed, unsafe or too large."""
    return subject(saved_model(Path(path)), input_shape)
