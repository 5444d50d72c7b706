"""TF1-style graphs, made with tf.compat.v1: a graph, the placeholder for the batch, and the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .graph import Array, Graph, Refused, Shape
from .tf_graph import SAME_TENSOR, Plan, as_array, is_random
from .tf_keras_layers import Calls
from .tf_shared import Parameters, arranged, check_rank, flattened, images, layout_for

VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
ASSIGNMENTS = ("Assign", "AssignVariableOp")
TAKE_WEIGHTS = {
    *("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMul", "BatchMatMulV2", "BiasAdd", "Einsum"),
    *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
}
ADDS = ("Add", "AddV2")  # a constant vector added to a product is a bias
PRODUCTS = ("Conv2D", "MatMul", "BatchMatMul", "BatchMatMulV2", "ConcatV2")
MOVES = (
    "Reshape",
    "Transpose",
    "Split",
    "SplitV",
    "ReverseV2",
    "Cast",
    "Squeeze",
    "ExpandDims",
    "StridedSlice",
    "Slice",
)
RATE = 0.5  # the paper's dropout, for graphs that leave it to the caller


def frozen_graph(graph: Any, input: Any, output: Any, session: Any = None) -> FrozenGraph:
    """A Subject for a TF1-style graph. input and output are tensors or their names; output may be a list or a dictionary.

    Variables are initialised, unless a `session` that holds them is given. Weights may be constants in the graph. Raises
    Refused where a placeholder other than the input would have to be fed and it cannot be told with what.
    """
    return FrozenGraph(graph, input, output, session)


class FrozenGraph:
    framework = f"tensorflow {tf.__version__} (compat.v1 graph)"

    def __init__(self, graph: Any, input: Any, output: Any, session: Any) -> None:
        self.graph = graph
        self.x = self.tensor(input)
        self.outputs = [self.tensor(output)] if isinstance(output, str) else flattened(output)
        self.operations = ancestors(self.outputs, self.x)
        self.session = session or tf.compat.v1.Session(graph=graph, config=as_written())
        self.held = Parameters()
        self.tensors: dict[str, str] = {}  # a tensor, or a variable's handle: its parameter
        self.constants: dict[str, Array] = {}  # loaded in the places of constants, by tensor
        self.find_variables()
        self.find_constants()
        if session is None:
            self.initialise()
        self.shape = self.x.shape.as_list() if self.x.shape.rank is not None else None
        self.input_shape, self.batch = images(self.shape)
        self.feeds = {mode: self.fed(mode) for mode in (False, True)}
        self.trains = self.feeds[True] != self.feeds[False] or any(is_random(op.type) for op in self.operations)
        self.plan: Plan | None = None

    def tensor(self, given: Any) -> Any:
        name = given if isinstance(given, str) else given.name
        try:
            return self.graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
        except (KeyError, ValueError):
            known = [op.name for op in self.graph.get_operations() if op.type == "Placeholder"]
            raise Refused(f"found no tensor {name!r} in the graph; its placeholders are {', '.join(known)}") from None

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

    def record(self, x: Array, training: bool = False) -> Graph:
        check_rank(self.shape, x)
        layout = layout_for(self.shape, x.shape[1])
        fed = arranged(x, layout).astype(self.x.dtype.as_numpy_dtype)
        if self.plan is None:
            self.plan = Plan.of(
                self.graph, self.x, self.outputs, self.tensors, Calls(), self.parameters, self.operations
            )
        feeds = {self.x.name: fed, **self.constants, **self.feeds[training]}
        with self.held.kept():
            values = self.session.run(self.plan.fetches, feeds)
        return self.plan.graph([as_array(value) for value in values], layout, as_array(fed)[0])

    # Parameters

    def find_variables(self) -> None:
        """Those that the output depends on: no optimiser's moments, no step counters."""
        learned = {v.op.name for v in self.graph.get_collection("trainable_variables")}
        for operation in self.operations:
            if operation.type not in VARIABLES:
                continue
            dtype, shape = self.variable_type(operation)
            if not dtype.is_floating:
                continue
            name = self.held.add(
                operation.name,
                shape,
                self.reader(operation),
                self.writer(operation),
                not learned or operation.name in learned,
            )
            self.tensors[operation.outputs[0].name] = name

    @staticmethod
    def variable_type(operation: Any) -> tuple[tf.DType, Shape]:
        return operation.get_attr("dtype"), tuple(dim.size for dim in operation.get_attr("shape").dim)

    def assignments(self, variable: Any) -> list[Any]:
        found = [op for op in variable.outputs[0].consumers() if op.type in ASSIGNMENTS]
        return sorted(found, key=lambda op: op.name != f"{variable.name}/Assign")

    def reader(self, variable: Any) -> Callable[[], Any]:
        if variable.type != "VarHandleOp":
            return lambda: self.session.run(variable.outputs[0])
        reads = [op for op in variable.outputs[0].consumers() if op.type == "ReadVariableOp"]
        return lambda: self.session.run(reads[0].outputs[0])

    def writer(self, variable: Any) -> Callable[[Array], Any]:
        def write(value: Array) -> None:
            found = self.assignments(variable)
            if not found:
                raise Refused(f"found no assignment to the variable {variable.name} in the graph; give one that has it")
            target = found[0].inputs[1]
            self.session.run(found[0], {target: np.asarray(value, dtype=target.dtype.as_numpy_dtype)})

        return write

    def initialise(self) -> None:
        variables = [operation for operation in self.operations if operation.type in VARIABLES]
        waiting = []
        for variable in variables:
            found = self.assignments(variable)
            if not found:
                raise Refused(
                    f"found no initial value of the variable {variable.name} in the graph; give its session too"
                )
            waiting.append(found[0])
        self.session.run(waiting)

    def find_constants(self) -> None:
        """Weights frozen into the graph: constants, moved about at most, that a product or a bias takes."""
        wanted = [
            tensor
            for operation in self.operations
            for tensor in operation.inputs
            if operation.type in TAKE_WEIGHTS or (operation.type in ADDS and follows_product(operation))
        ]
        for tensor in wanted:
            root = constant_behind(tensor)
            if root is None or root.name in self.tensors or not root.dtype.is_floating or root.shape.num_elements() < 2:
                continue
            name = self.held.add(root.op.name, tuple(root.shape), self.constant(root), self.override(root))
            self.tensors[root.name] = name

    def constant(self, root: Any) -> Callable[[], Any]:
        return lambda: self.constants[root.name] if root.name in self.constants else self.session.run(root)

    def override(self, root: Any) -> Callable[[Array], Any]:
        def write(value: Array) -> None:
            self.constants[root.name] = np.array(value, dtype=root.dtype.as_numpy_dtype)

        return write

    # Placeholders

    def fed(self, training: bool) -> dict[str, Any]:
        """What the placeholders other than the input are fed in a mode."""
        found = {}
        for operation in self.operations:
            if operation.type not in ("Placeholder", "PlaceholderWithDefault") or operation is self.x.op:
                continue
            tensor = operation.outputs[0]
            default = operation.type == "PlaceholderWithDefault"
            if default and not training:
                continue
            value = switch(tensor, training)
            if value is not None:
                found[tensor.name] = value
            elif not default:
                raise Refused(
                    f"found a placeholder {operation.name!r} that must be fed; give it a default in the graph"
                )
        return found


def switch(tensor: Any, training: bool) -> bool | float | None:
    """What dropout's and batch normalisation's usual switches are set to, by type and name; None for anything else."""
    name, dtype = tensor.op.name.lower(), tensor.dtype
    if tensor.shape.rank not in (None, 0):
        return None
    if dtype.is_bool and any(word in name for word in ("train", "phase", "dropout")):
        return training
    if dtype.is_floating and "keep" in name:
        return RATE if training else 1.0
    if dtype.is_floating and ("drop" in name or "rate" in name):
        return RATE if training else 0.0
    return None


def ancestors(outputs: Iterable[Any], x: Any) -> list[Any]:
    """The operations that the outputs depend on, in the graph's order; what lies before the input is not needed."""
    found, waiting = set(), [tensor.op for tensor in outputs]
    while waiting:
        operation = waiting.pop()
        if operation in found:
            continue
        found.add(operation)
        if operation is not x.op:
            waiting += [tensor.op for tensor in operation.inputs]
    if x.op not in found:
        raise Refused(f"found an output that does not depend on {x.op.name!r}; give the tensors of one model")
    return [operation for operation in x.graph.get_operations() if operation in found]


def constant_behind(tensor: Any) -> Any:
    """The constant that a tensor is, or is a rearrangement of; None where it is anything else."""
    while tensor.op.type in SAME_TENSOR or tensor.op.type in MOVES:
        place = 1 if tensor.op.type == "Split" else 0
        tensor = tensor.op.inputs[place]
    return tensor if tensor.op.type == "Const" else None


def follows_product(operation: Any) -> bool:
    return any(tensor.op.type in PRODUCTS for tensor in operation.inputs)


def as_written() -> Any:
    """Grappler, folding and elimination off: what runs is what was written."""
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

    optimizer = config_pb2.OptimizerOptions(opt_level=config_pb2.OptimizerOptions.L0)
    rewriting = rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True)
    options = config_pb2.GraphOptions(optimizer_options=optimizer, rewrite_options=rewriting)
    return config_pb2.ConfigProto(graph_options=options)
