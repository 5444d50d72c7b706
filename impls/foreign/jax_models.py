"""Plain functions of (params, x) in JAX: traced to a jaxpr, then run equation by equation, on the CPU.

What is compiled inside, such as `jax.jit` functions, is taken apart down to JAX's own primitives; only activations that JAX
itself ships as functions (`jax.nn.relu`, `jax.nn.softmax`) stay whole.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax import tree_util
from jax.extend import core

from .graph import Array, Graph, Operation, Refused, Shape, numbered, unlike
from .jax_words import Reader, Value, whole, word

STATISTICS = ("mean", "var", "variance", "running_mean", "running_var", "moving_mean", "moving_variance")
ORDERS = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 1, 2, 3)}  # from N, C, H, W
Function = Callable[[Any, Any], Any]


def subject(pair: tuple[Function, Any]) -> Model:
    """(function, params) as a Subject; raises Refused where params hold no arrays."""
    return Model(*pair)


class Model:
    """A function and its parameters, which are named by their paths: "conv1.weight", "layers.0.w"."""

    trains = False
    input_shape: Shape | None = None
    batch: int | None = None

    def __init__(self, function: Function, params: Any) -> None:
        self.framework = f"jax {jax.__version__}"
        self.function = function
        paths, self.tree = tree_util.tree_flatten_with_path(params)
        self.leaves: list[Any] = [leaf for _, leaf in paths]
        self.places: dict[str, int] = {}
        for place, (path, leaf) in enumerate(paths):
            if is_array(leaf):
                name = tree_util.keystr(path, simple=True, separator=".") or "params"
                self.places[numbered(name, self.places)] = place
        if not self.places:
            raise Refused("params hold no arrays; expected (function, params), params a dictionary of arrays")
        self.frozen = [name for name in self.places if is_statistic(name)]

    @property
    def parameters(self) -> dict[str, Shape]:
        return {name: tuple(self.leaves[place].shape) for name, place in self.places.items()}

    def value(self, name: str) -> Array:
        return in_numpy(self.leaves[self.places[name]])

    def load(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            if name not in self.places:
                raise ValueError(f"there is no parameter {name!r}; there are {', '.join(self.places)}")
            if np.shape(value) != self.leaves[self.places[name]].shape:
                raise unlike(name, np.shape(value), self.leaves[self.places[name]].shape)
        with on_cpu():
            for name, value in values.items():
                place = self.places[name]
                self.leaves[place] = jnp.array(value, self.leaves[place].dtype)

    def apply(self, arrays: Sequence[Any], x: Any) -> Any:
        """The function, its parameters given as the list of their arrays."""
        leaves = list(self.leaves)
        for place, array in zip(self.places.values(), arrays, strict=True):
            leaves[place] = array
        return self.function(tree_util.tree_unflatten(self.tree, leaves), x)

    def record(self, x: Array, training: bool = False) -> Graph:
        with on_cpu():
            arrays = [jnp.asarray(self.leaves[place]) for place in self.places.values()]
            traced, layout = self.traced(arrays, x)
            return Recorder(self, traced, layout).run(arrays, x)

    def traced(self, arrays: Sequence[Any], x: Array) -> tuple[Any, str]:
        """The jaxpr, and the layout of images that the function takes: the one that its shapes admit.

        Where both do, the first convolution decides. Where neither does, what the function raised comes through,
        of two errors the one further down.
        """
        found: dict[str, Any] = {}
        errors: dict[str, Exception] = {}
        for layout, order in ORDERS.items():
            images = jax.ShapeDtypeStruct(x.transpose(order).shape if x.ndim == 4 else x.shape, x.dtype)
            try:
                found[layout] = jax.make_jaxpr(self.apply)(arrays, images)
            except Exception as error:
                errors[layout] = error
        if not found:
            raise max(errors.values(), key=self.reached)
        agreeing = [layout for layout, traced in found.items() if first_layout(traced.jaxpr) == layout]
        layout = next(iter(agreeing or found))
        return found[layout], layout

    def reached(self, error: Exception) -> int:
        """The line of the function itself on which it raised: of two errors, the later one came of the right layout."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        trace, line = error.__traceback__, 0
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code is code else line
            trace = trace.tb_next
        return line


def on_cpu() -> Any:
    return jax.default_device(jax.devices("cpu")[0])


def is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray)) and (
        jnp.issubdtype(leaf.dtype, jnp.floating) or jnp.issubdtype(leaf.dtype, jnp.integer)
    )


def is_statistic(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "batch_stats" or parts[-1] in STATISTICS


def in_numpy(value: Any) -> Array:
    """A copy; bfloat16 and narrower, which NumPy does not know, as float32."""
    if jnp.issubdtype(value.dtype, jnp.floating) and value.dtype.name not in ("float16", "float32", "float64"):
        return np.array(value.astype(np.float32))
    return np.array(value)


# Equations ------------------------------------------------------------------------------------------------------------


def inner(equation: Any) -> Any | None:
    """The jaxpr of an equation that calls one once, such as jit: the equations that it stands for. None for all others."""
    if equation.primitive.name in ("while", "scan", "cond", "custom_linear_solve", "pallas_call", "shard_map"):
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = equation.params.get(key)
        if isinstance(found, core.ClosedJaxpr):
            return found
        if isinstance(found, core.Jaxpr) and not found.constvars:
            return core.ClosedJaxpr(found, [])
    return None


def flat(jaxpr: Any) -> Iterator[Any]:
    """Every equation, those of inner jaxprs in the place of their calls."""
    for equation in jaxpr.eqns:
        body = inner(equation)
        if body is None:
            yield equation
        else:
            yield from flat(body.jaxpr)


def first_layout(jaxpr: Any) -> str:
    """What the first convolution says of its maps, "" where there is none."""
    for equation in flat(jaxpr):
        if equation.primitive.name == "conv_general_dilated" and len(equation.invars[0].aval.shape) == 4:
            return letters(equation.params["dimension_numbers"].lhs_spec)
    return ""


def letters(spec: Sequence[int]) -> str:
    """(0, 3, 1, 2), where N, C, H, W are found -> "NHWC"."""
    return "".join("NCHW"[spec.index(axis)] for axis in range(4))


def plain(jaxpr: Any) -> bool:
    """Only elementwise operations and reductions? Then a function with an activation's name is taken for it."""
    heavy = ("conv_general_dilated", "dot_general", "reduce_window", "reduce_window_max", "reduce_window_sum")
    return not any(equation.primitive.name in heavy for equation in flat(jaxpr))


@dataclass
class Recorder:
    """Runs a jaxpr and turns the run into a Graph."""

    model: Model
    traced: Any
    fed: str

    def __post_init__(self) -> None:
        self.tensors: dict[str, Array] = {}
        self.dtypes: dict[str, str] = {}
        self.operations: list[Operation] = []
        self.names: set[str] = set()
        self.layout = first_layout(self.traced.jaxpr)
        if self.layout not in ORDERS:
            self.layout = self.fed

    def run(self, arrays: Sequence[Any], x: Array) -> Graph:
        params = [Value(f"param:{name}", a, True, name) for name, a in zip(self.model.places, arrays, strict=True)]
        start, images = self.images(x)
        consts = [self.kept(Value(f"const:{i}", value, not_from_x=True)) for i, value in enumerate(self.traced.consts)]
        outputs = self.evaluate(self.traced.jaxpr, consts, [*params, images])
        return Graph(
            turned(self.operations), self.tensors, start, tuple(v.id for v in outputs), self.layout, self.dtypes
        )

    def images(self, x: Array) -> tuple[str, Value]:
        """The batch in the layout of the graph, and as the function takes it; where these differ, an operation between."""
        taken = Value("x", jnp.asarray(x.transpose(ORDERS[self.fed]) if x.ndim == 4 else x))
        self.kept(taken)
        if self.fed == self.layout or x.ndim != 4:
            return "x", taken
        self.tensors["images"] = np.array(x.transpose(ORDERS[self.layout]))
        perm = tuple(self.layout.index(letter) for letter in self.fed)
        call = f"images as the function takes them: {self.fed}"
        self.names.add("turned")
        self.operations.append(Operation("turned", "transpose", call, ("images",), ("x",), {"x": 0}, {"perm": perm}))
        return "images", taken

    def kept(self, value: Value) -> Value:
        """Copy a tensor where NumPy can hold it (keys of random generators it cannot)."""
        dtype = value.array.dtype
        if jnp.issubdtype(dtype, jax.dtypes.extended):
            return value
        if dtype.name not in ("float16", "float32", "float64") and jnp.issubdtype(dtype, jnp.floating):
            self.dtypes[value.id] = dtype.name
        self.tensors[value.id] = in_numpy(value.array)
        return value

    def evaluate(self, jaxpr: Any, consts: Sequence[Value], arguments: Sequence[Value], scope: str = "") -> list[Value]:
        known: dict[Any, Value] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

        def read(variable: Any) -> Value:
            return self.number(variable) if isinstance(variable, core.Literal) else known[variable]

        for equation in jaxpr.eqns:
            inputs = [read(variable) for variable in equation.invars]
            outputs = self.step(equation, inputs, scope)
            known.update(zip(equation.outvars, outputs, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def number(self, literal: Any) -> Value:
        """A number that stands in the equation itself."""
        array = jnp.asarray(literal.val, literal.aval.dtype)
        return self.kept(Value(f"const:{array.dtype.name}:{literal.val}", array, not_from_x=True))

    def step(self, equation: Any, inputs: list[Value], scope: str) -> list[Value]:
        """One equation: the equations inside it, or itself, run and recorded."""
        here = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
        body = inner(equation)
        if body is None:
            return self.operation(equation, equation.primitive.name, inputs, here)
        name = str(equation.params.get("name") or getattr(equation.params.get("jvp_jaxpr_fun"), "__name__", ""))
        function = whole(name or only_name(body.jaxpr), inputs, [v.aval.shape for v in equation.outvars])
        if function is not None and plain(body.jaxpr):
            return self.operation(equation, function, inputs, here)
        consts = [
            self.kept(Value(numbered(f"const:{name or 'inner'}.{i}", self.tensors), value, not_from_x=True))
            for i, value in enumerate(body.consts)
        ]
        return self.evaluate(body.jaxpr, consts, inputs, here)

    def operation(self, equation: Any, called: str, inputs: list[Value], scope: str) -> list[Value]:
        name = numbered(f"{scope}/{called}" if scope else called, self.names)
        self.names.add(name)
        arrays = performed(equation, [value.array for value in inputs])
        fixed = all(value.not_from_x for value in inputs)
        ids = [name if len(arrays) == 1 else f"{name}:{i}" for i in range(len(arrays))]
        read = word(called, equation, Reader(inputs, self.layout))
        spread = read.spread if fixed else ""
        outputs = [self.kept(Value(i, array, fixed, spread)) for i, array in zip(ids, arrays, strict=True)]
        self.operations.append(
            Operation(name, read.kind, read.call, tuple(v.id for v in inputs), tuple(ids), read.roles, read.attributes)
        )
        return outputs


def turned(operations: Sequence[Operation]) -> list[Operation]:
    """W x^T and the transposition that follows it are one dense layer: what vmap makes of `weight @ x`."""
    readers = Counter(tensor for op in operations for tensor in op.inputs)
    found: list[Operation] = []
    for op in operations:
        last = found[-1] if found else op
        back = op.kind == "transpose" and op.attributes["perm"] == (1, 0) and op.inputs == last.outputs
        if back and last.kind == "other" and "weight" in last.roles and readers[op.inputs[0]] == 1:
            found[-1] = replace(last, kind="dense", outputs=op.outputs)
        else:
            found.append(op)
    return found


def performed(equation: Any, arrays: Sequence[Any]) -> list[Any]:
    """What the equation gives, run by JAX itself."""
    body = inner(equation)
    if body is not None:
        return list(core.jaxpr_as_fun(body)(*arrays))
    bound = equation.primitive.get_bind_params(equation.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # before jax 0.10: inner functions apart
    given = equation.primitive.bind(*functions, *arrays, **params)
    return list(given) if equation.primitive.multiple_results else [given]


def only_name(jaxpr: Any) -> str:
    """The name of the one call that a jaxpr is made of: custom derivatives hide the function's own name there."""
    return str(jaxpr.eqns[0].params.get("name", "")) if len(jaxpr.eqns) == 1 else ""
