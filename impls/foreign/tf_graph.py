"""From a TensorFlow graph to a recording: which tensors to fetch, and what to make of them.

Every operation is judged by what it depends on. What depends on the batch, on parameters or on chance is recorded; what
depends on neither (shapes, axes, paddings) is a constant, whose value becomes an attribute of the operation that takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np
import tensorflow as tf

from . import tf_operations
from .graph import Array, Graph, Operation, Shape, numbered
from .tf_keras_layers import Calls
from .tf_operations import Node

BATCH, PARAMETER, CHANCE, DEAD = 1, 2, 4, 8  # what a tensor depends on; DEAD: a branch that may not run

SAME_TENSOR = {
    *("Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot", "EnsureShape", "CheckNumerics"),
    *("ReadVariableOp", "RefIdentity"),
}
OF_SHAPES = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # of what they take, they only read the shape
RESHAPES = {"Reshape", "Squeeze", "ExpandDims"}
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
INPUT = "input"


def is_random(kind: str) -> bool:
    return "Random" in kind or kind in ("Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal")


def fetchable(dtype: tf.DType) -> bool:
    return dtype.is_floating or dtype.is_integer or dtype.is_bool


def as_array(value: Any) -> tuple[Array, str]:
    """(array, dtype): a tensor's value as NumPy has it; bfloat16 comes as float32 and is named."""
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32), "bfloat16"
    return array, array.dtype.name


@dataclass(frozen=True)
class Operand:
    """What an operation takes: recorded tensors, or a constant to be fetched."""

    sources: tuple[str, ...]  # ids; more than one where what lies between was not recorded
    constant: int | None  # place among the fetched tensors
    shape: Shape | None  # as the graph knows it
    floating: bool
    weight: bool  # depends on parameters, not on the batch


@dataclass(frozen=True)
class Step:
    """An operation to be recorded."""

    name: str
    type: str
    attr: Mapping[str, Any]
    operands: tuple[Operand, ...]
    outputs: tuple[tuple[str, int], ...]  # id, place among the fetched tensors
    call: str  # in the words of the layer that made it, if one did
    layer: str
    dropout: float | None  # its rate, where this is the last operation of such a layer


@dataclass
class Plan:
    """What to fetch from a graph, and how to read it."""

    fetches: list[Any] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    constants: dict[int, str] = field(default_factory=dict)  # place among the fetched: id
    shapes: dict[str, Shape] = field(default_factory=dict)  # of parameters
    idle: tuple[str, ...] = ()
    opaque: bool = False  # is there a call of a function whose inside is not seen?

    @classmethod
    def of(
        cls,
        graph: Any,
        x: Any,
        outputs: Sequence[Any],
        parameters: Mapping[str, str],
        calls: Calls,
        shapes: Mapping[str, Shape],
        operations: Sequence[Any] | None = None,
    ) -> Plan:
        """parameters: parameter behind a tensor (or a variable's handle), by the tensor's name. operations: all by default."""
        reader = _Reader(graph, x, parameters, calls, shapes)
        for place, operation in enumerate(graph.get_operations() if operations is None else operations):
            reader.take(place, operation)
        plan = reader.plan
        plan.outputs = tuple(reader.sources(tensor)[0] for tensor in outputs)
        plan.steps = used(plan.steps, plan.outputs)
        plan.idle = calls.idle()
        return plan

    def tensor(self, name: str, values: Sequence[tuple[Array, str]]) -> Array | None:
        """What an operation gave, among the fetched values; None for the batch or a parameter itself."""
        places = {given: place for step in self.steps for given, place in step.outputs}
        return values[places[name]][0] if name in places else None

    def graph(self, values: Sequence[tuple[Array, str]], layout: str, x: Array) -> Graph:
        """The recording, from the fetched values (with their dtypes) and the batch as it was fed."""
        tensors, dtypes = {INPUT: x}, {}
        for place, name in self.constants.items():
            tensors[name] = values[place][0]
        for step in self.steps:
            for name, place in step.outputs:
                tensors[name] = values[place][0]
                if values[place][1] == "bfloat16":
                    dtypes[name] = "bfloat16"
        operations = [self.operation(step, values, tensors) for step in self.steps]
        used = {name for operation in operations for name in operation.inputs} | set(self.outputs)
        for name in set(self.constants.values()) - used:
            del tensors[name]
        return Graph(operations, tensors, INPUT, self.outputs, layout, dtypes, self.idle)

    def operation(self, step: Step, values: Sequence[tuple[Array, str]], tensors: Mapping[str, Array]) -> Operation:
        node = Node(
            step.type,
            step.attr,
            [self.shape(operand, tensors, values) for operand in step.operands],
            [values[place][0].shape for _, place in step.outputs],
            [None if operand.constant is None else values[operand.constant][0] for operand in step.operands],
            [operand.weight for operand in step.operands],
        )
        reading = tf_operations.read(node)
        inputs: list[str] = []
        roles: dict[str, int] = {}
        for place, operand in enumerate(step.operands):
            if operand.constant is not None and (place in reading.hidden or not operand.floating):
                continue
            roles |= {role: len(inputs) for role, at in reading.roles.items() if at == place}
            inputs += operand.sources
        kind, attributes = reading.kind, dict(reading.attributes)
        if step.dropout is not None:
            kind, attributes = "dropout", {"rate": step.dropout, "training": True}
            roles = {}
        if step.layer:
            attributes["layer"] = step.layer
        names = tuple(name for name, _ in step.outputs)
        return Operation(step.name, kind, step.call or reading.call, tuple(inputs), names, roles, attributes)

    def shape(self, operand: Operand, tensors: Mapping[str, Array], values: Sequence[tuple[Array, str]]) -> Shape:
        if operand.constant is not None:
            return values[operand.constant][0].shape
        source = operand.sources[0] if operand.sources else ""
        if source in tensors:
            return tensors[source].shape
        return self.shapes.get(source.removeprefix("param:"), operand.shape or ())


def used(steps: Sequence[Step], outputs: Sequence[str]) -> list[Step]:
    """Without what was made of parameters alone and then taken by nothing."""
    kept: list[Step] = []
    wanted = set(outputs)
    for step in reversed(steps):
        of_weights = bool(step.operands) and all(
            operand.weight or operand.constant is not None for operand in step.operands
        )
        if not of_weights or any(name in wanted for name, _ in step.outputs):
            kept.append(step)
            wanted |= {source for operand in step.operands for source in operand.sources}
    return kept[::-1]


class _Reader:
    """Goes through a graph's operations in their order and fills a plan."""

    def __init__(
        self, graph: Any, x: Any, parameters: Mapping[str, str], calls: Calls, shapes: Mapping[str, Shape]
    ) -> None:
        self.plan = Plan(shapes=dict(shapes))
        self.calls = calls
        self.needs: dict[str, int] = {x.name: BATCH}
        self.ids: dict[str, tuple[str, ...]] = {x.name: (INPUT,)}
        self.given = {x.name, *parameters}
        for tensor, name in parameters.items():
            self.needs[tensor], self.ids[tensor] = PARAMETER, (f"param:{name}",)
        self.reshaped: dict[str, str] = {}  # reshaped tensors: what they were before
        self.roots: dict[str, Any] = {}  # constants behind identities
        self.places: dict[str, int] = {}  # of fetched tensors
        self.names: set[str] = {INPUT}
        self.last: dict[int, int] = {}  # last step of each call of a dropout layer
        self.bodies = _Bodies(graph)

    def take(self, place: int, operation: Any) -> None:
        kind, inputs, outputs = operation.type, list(operation.inputs), operation.outputs
        if not outputs or outputs[0].name in self.given:
            return
        if kind in SAME_TENSOR or (kind == "Cast" and inputs[0].dtype.base_dtype == outputs[0].dtype):
            for source, output in zip(inputs, outputs, strict=False):
                self.alias(output, source)
            return
        if kind in RESHAPES and self.restored(inputs[0], outputs[0]):
            return
        needs = self.needs_of(inputs)
        needs = needs & DEAD if kind in OF_SHAPES else needs
        needs |= CHANCE if is_random(kind) else 0
        for before in operation.control_inputs:
            needs |= self.needs_of(before.outputs) & DEAD
        if kind in ("Switch", "RefSwitch"):
            needs |= DEAD
        elif kind == "Merge":
            needs &= ~DEAD
        for output in outputs:
            self.needs[output.name] = needs
        if not needs:
            return
        recorded = [output for output in outputs if fetchable(output.dtype)]
        if needs & DEAD or not recorded:
            for output in outputs:
                self.ids[output.name] = tuple(dict.fromkeys(i for t in inputs for i in self.ids.get(t.name, ())))
            return
        if kind in NORMS:
            recorded = [output for output in outputs if output is outputs[0] or output.consumers()]
        self.record(place, operation, inputs, recorded)

    def needs_of(self, tensors: Sequence[Any]) -> int:
        found = 0
        for tensor in tensors:
            found |= self.needs.get(tensor.name, 0)
        return found

    def alias(self, output: Any, source: Any) -> None:
        self.needs[output.name] = self.needs.get(source.name, 0)
        if source.name in self.ids:
            self.ids[output.name] = self.ids[source.name]
        elif source.dtype != tf.resource:
            self.roots[output.name] = self.roots.get(source.name, source)

    def restored(self, source: Any, output: Any) -> bool:
        """Is it a parameter's own shape again (Keras reshapes a bias to four axes and back)? Then it is the parameter."""
        self.reshaped[output.name] = root = self.reshaped.get(source.name, source.name)
        ids = self.ids.get(root, ())
        if len(ids) != 1 or not ids[0].startswith("param:") or output.shape.rank is None:
            return False
        if tuple(output.shape) != tuple(self.plan.shapes[ids[0].removeprefix("param:")]):
            return False
        self.needs[output.name], self.ids[output.name] = PARAMETER, ids
        return True

    def record(self, place: int, operation: Any, inputs: list[Any], recorded: list[Any]) -> None:
        kind, attr = operation.type, operation.node_def.attr
        if kind in CALLS:
            if body := self.bodies.single(attr["f"].func.name):
                kind, attr, order = body
                inputs = [inputs[i] for i in order]
            else:
                self.plan.opaque = True
        name = numbered(self.calls.name(operation.name, place), self.names)
        self.names.add(name)
        operands = tuple(self.operand(tensor, kind) for tensor in inputs if tensor.dtype != tf.variant)
        ids = []
        for output in recorded:
            index = output.value_index
            self.ids[output.name] = (f"{name}:{index}" if index else name,)
            ids.append((self.ids[output.name][0], self.fetch(output)))
        call = self.calls.makers.get(place)
        layer = type(call.layer).__name__ if call is not None and call.ours else ""
        rate = self.dropout(call)
        step = Step(name, kind, attr, operands, tuple(ids), self.calls.call(place), layer, rate)
        self.plan.steps.append(step)

    def dropout(self, call: Any) -> float | None:
        """The rate for the last operation of a dropout layer's call; earlier ones lose the hint."""
        if call is None or not type(call.layer).__name__.endswith(("Dropout", "Dropout2D")):
            return None
        if (earlier := self.last.get(call.number)) is not None:
            self.plan.steps[earlier] = replace(self.plan.steps[earlier], dropout=None)
        self.last[call.number] = len(self.plan.steps)
        return float(getattr(call.layer, "rate", 0.5))

    def operand(self, tensor: Any, kind: str) -> Operand:
        needs = self.needs.get(tensor.name, 0)
        shape = tuple(size or 0 for size in tensor.shape) if tensor.shape.rank is not None else None
        weight = bool(needs & PARAMETER) and not needs & BATCH
        floating = tensor.dtype.is_floating
        if needs or not fetchable(tensor.dtype.base_dtype) or kind == "Merge":  # a Merge's constants may not have run
            return Operand(self.ids.get(tensor.name, ()), None, shape, floating, weight)
        root = self.roots.get(tensor.name, tensor)
        return Operand((self.constant(root),), self.fetch(root), shape, floating, False)

    def constant(self, root: Any) -> str:
        name = f"const:{root.name.removesuffix(':0')}"
        self.plan.constants[self.fetch(root)] = name
        return name

    def fetch(self, tensor: Any) -> int:
        if tensor.name not in self.places:
            self.places[tensor.name] = len(self.plan.fetches)
            self.plan.fetches.append(tensor)
        return self.places[tensor.name]

    def sources(self, tensor: Any) -> tuple[str, ...]:
        """Ids of a tensor that the model returned; a constant is one too."""
        return self.ids.get(tensor.name) or (self.constant(self.roots.get(tensor.name, tensor)),)


class _Bodies:
    """Functions that a graph calls: Keras compiles a grouped convolution by itself, as a function of one operation."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.functions: dict[str, Any] | None = None

    def single(self, name: str) -> tuple[str, Any, list[int]] | None:
        """(type, attributes, which argument is which operand) of the one operation in a function; None if there are more."""
        if self.functions is None:
            bodies = attrgetter("library.function")(self.graph.as_graph_def())
            self.functions = {function.signature.name: function for function in bodies}
        function = self.functions.get(name)
        if function is None:
            return None
        arguments = {argument.name: place for place, argument in enumerate(function.signature.input_arg)}
        real = []
        for node in function.node_def:
            if node.op in SAME_TENSOR and node.input[0].split(":")[0] in arguments:
                arguments.setdefault(node.name, arguments[node.input[0].split(":")[0]])
            elif node.op not in SAME_TENSOR and node.op != "NoOp":
                real.append(node)
        if len(real) != 1:
            return None
        operands = [source.split(":")[0] for source in real[0].input if not source.startswith("^")]
        if not all(operand in arguments for operand in operands):
            return None
        return real[0].op, real[0].attr, [arguments[operand] for operand in operands]
