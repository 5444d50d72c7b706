"""Models in ONNX files: checked before anything is allocated, run by onnxruntime or by ONNX's own reference evaluator.

Every intermediate tensor is made an output, and graph optimisations are off: what is recorded is what the file says.
Weights are fed as inputs of the graph, so that other values can take their place without writing the model again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto, helper

from ..describe import one_line
from .graph import Array, Graph, Operation, Refused, Shape, numbered, unlike
from .onnx_words import Reader, word

LARGEST = 2**31  # bytes of one tensor, and of a file without its external data: protobuf itself ends there
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
MAKERS = ("Constant", "ConstantOfShape")  # nodes that make a tensor out of nothing that is computed
# Operations that only move or convert numbers: what comes out of them is still the same parameter.
MOVES = (
    *(
        "Identity",
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Concat",
        "Cast",
        "Gather",
    ),
    *("Expand", "Pad", "Clip", "Mul", "Add", "Sub", "Div", "Neg", "DequantizeLinear"),
)
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
HOLDERS = (*LINEAR, "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "PRelu")


def subject(path: str | os.PathLike[str] | onnx.ModelProto) -> Model:
    """A model file (or a model in memory) as a Subject; raises Refused for one that is malformed or cannot be audited."""
    name = "model" if isinstance(path, onnx.ModelProto) else Path(path).name
    try:
        if isinstance(path, onnx.ModelProto):
            return Model(checked(path, name, None), name)
        return Model(checked(opened(Path(path)), name, Path(path).parent), name)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
    ) as error:  # names that are no text, and worse
        raise Refused(f"{name}: malformed ({type(error).__name__}: {one_line(error)}); save it again") from None


# Reading what a stranger wrote ----------------------------------------------------------------------------------------


def opened(file: Path) -> onnx.ModelProto:
    if not file.is_file():
        raise Refused(f"no file {str(file)!r} here (looked in {Path.cwd()})")
    if file.stat().st_size >= LARGEST:
        raise Refused(f"{file.name}: {file.stat().st_size} bytes, more than the 2 GiB of a valid file; is it a model?")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise Refused(f"{file.name}: no whole ONNX file ({one_line(error)}); is it cut short?") from None
    return model


def checked(model: onnx.ModelProto, name: str, folder: Path | None) -> onnx.ModelProto:
    """The model with local functions written out, sizes verified, external data read; raises Refused."""
    if not model.graph.node:
        raise Refused(f"{name}: no operations in it; expected an ONNX model")
    for tensor in tensors_of(model):
        check_size(tensor, name)
        if tensor.data_location == TensorProto.EXTERNAL:
            bring_in(tensor, name, folder)
    if model.graph.sparse_initializer:
        raise Refused(f"{name}: sparse weights cannot be audited; save it with dense ones")
    try:
        onnx.checker.check_model(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise Refused(f"{name}: ONNX's checker refuses it: {one_line(error)}") from None
    for node in model.graph.node:
        if node.op_type in CONTROL_FLOW:
            raise Refused(f"{name}: control flow ({node.op_type} {node.name!r}) cannot be audited; export it unrolled")
    return model


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that the file stores: initializers, and the attributes of nodes, functions included."""
    yield from model.graph.initializer
    pending = [model.graph.node, *(function.node for function in model.functions)]
    while pending:
        for node in pending.pop():
            for attribute in node.attribute:
                yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
                for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    yield from graph.initializer
                    pending.append(graph.node)


def bytes_of(tensor: TensorProto) -> int:
    """How many bytes its shape and type come to."""
    bits = {TensorProto.UINT4: 4, TensorProto.INT4: 4}.get(tensor.data_type)
    size = bits or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return math.ceil(math.prod(tensor.dims) * size / 8)


def check_size(tensor: TensorProto, name: str) -> None:
    """Do shape and data agree? Asked before any array is made."""
    if tensor.data_type == TensorProto.STRING:
        return
    what = f"{name}: tensor {tensor.name!r} of shape {list(tensor.dims)}"
    try:
        wanted = bytes_of(tensor)
    except (KeyError, ValueError, TypeError):
        raise Refused(f"{what} has the unknown data type {tensor.data_type}") from None
    if any(size < 0 for size in tensor.dims) or wanted > LARGEST:
        raise Refused(f"{what} would be {wanted} bytes; expected 0 to {LARGEST}")
    if tensor.data_location == TensorProto.EXTERNAL:
        return  # `bring_in` compares
    if tensor.HasField("raw_data"):
        held, unit = len(tensor.raw_data), "bytes"
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        held, unit, wanted = len(getattr(tensor, field)), "numbers", math.prod(tensor.dims)
        halves = tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
        wanted = 2 * wanted if halves else wanted
        if tensor.data_type in (TensorProto.UINT4, TensorProto.INT4):
            wanted = math.ceil(wanted / 2)
    if held != wanted:
        raise Refused(f"{what} needs {wanted} {unit} and holds {held}")


def bring_in(tensor: TensorProto, name: str, folder: Path | None) -> None:
    """Put external data into the tensor, read from within the model's folder only."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise Refused(f"{name}: tensor {tensor.name!r} lies in another file; give the path of the model")
    file = (folder / location).resolve()
    if not location or not file.is_relative_to(folder.resolve()):
        raise Refused(
            f"{name}: tensor {tensor.name!r} lies in {location!r}, outside the model's folder; move it inside"
        )
    if not file.is_file():
        raise Refused(f"{name}: tensor {tensor.name!r} lies in {location!r}, which is not in {folder.resolve()}")
    wanted = bytes_of(tensor)
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    except ValueError:
        raise Refused(f"{name}: tensor {tensor.name!r} has an offset or length that is no number") from None
    if offset < 0 or length != wanted or offset + wanted > file.stat().st_size:
        raise Refused(
            f"{name}: tensor {tensor.name!r} needs {wanted} bytes; {location} gives {length} at {offset} "
            f"of {file.stat().st_size}"
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(wanted)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


# What is a parameter --------------------------------------------------------------------------------------------------


def stored(model: onnx.ModelProto, name: str) -> dict[str, Array]:
    """Every tensor that is there before the input comes: initializers, and what nodes make out of constants."""
    values = {tensor.name: array_of(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = constant(node)
        elif node.op_type == "ConstantOfShape" and node.input[0] in values:
            values[node.output[0]] = filled(node, values[node.input[0]], name)
    return values


def array_of(tensor: TensorProto) -> Array:
    return np.asarray(onnx.numpy_helper.to_array(tensor))


def constant(node: NodeProto) -> Array:
    """The value of a Constant, whichever of its attributes holds it."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return array_of(value)
    kind = np.float32 if attribute.name.startswith("value_float") else np.int64
    return np.array(value, dtype=None if attribute.name.startswith("value_string") else kind)


def filled(node: NodeProto, shape: Array, name: str) -> Array:
    """The value of a ConstantOfShape whose shape is stored."""
    sizes = [int(size) for size in np.ravel(shape)]
    fill = array_of(helper.get_attribute_value(node.attribute[0])) if node.attribute else np.zeros(1, np.float32)
    wanted = math.prod(sizes) * fill.itemsize
    if any(size < 0 for size in sizes) or wanted > LARGEST:
        raise Refused(f"{name}: {node.output[0]!r} of shape {sizes} would be {wanted} bytes; expected 0 to {LARGEST}")
    return np.full(sizes, fill.reshape(-1)[0], fill.dtype)


def learned(nodes: Sequence[NodeProto], values: Mapping[str, Array]) -> tuple[list[str], list[str]]:
    """Of the stored tensors, those that are weights, biases or statistics; and of these, the statistics.

    A stored number belongs to them when it reaches an operation with weights, moved about or not, or is added to or
    multiplied with what came out of one. Means that are subtracted from images, and the constants of a response
    normalisation written by hand, stay what they are.
    """
    sources = {name: {name} for name in values}  # what stored tensors a tensor is made of, where of nothing else
    after: set[str] = set()  # what depends on an operation with weights
    found, statistics = set(), set()
    for node in nodes:
        if node.op_type in MAKERS:
            continue
        came = [name for name in node.input if name]
        if came and all(name in sources for name in came) and node.op_type in MOVES:
            made = set().union(*(sources[name] for name in came))
            made = {name for name in made if values[name].size > 1} or made  # a factor does not make a weight
            sources.update(dict.fromkeys(node.output, made))
            continue
        places: Sequence[str] = ()
        if node.op_type in HOLDERS:
            places = node.input
        elif node.op_type in ("Add", "Sum", "Mul") and any(name in after for name in came):
            places = [name for name in came if name in sources and any(values[s].size > 1 for s in sources[name])]
        found |= {source for name in places for source in sources.get(name, ())}
        if node.op_type == "BatchNormalization":
            statistics |= {source for name in node.input[3:5] for source in sources.get(name, ())}
        if node.op_type in LINEAR or any(name in after for name in came):
            after.update(node.output)
    names = [name for name, value in values.items() if name in found and is_float(value)]
    return names, [name for name in names if name in statistics]


def is_float(value: Array) -> bool:
    return value.dtype.kind == "f" or value.dtype.name == "bfloat16"


# Running --------------------------------------------------------------------------------------------------------------

Run = Callable[[Mapping[str, Array]], list[Any]]


REFERENCE = f"onnx {onnx.__version__} on its reference evaluator"


def prepared(model: onnx.ModelProto, name: str) -> tuple[str, Run]:
    """(what runs it, how): onnxruntime, or, where that is not installed or cannot load it, the reference evaluator."""
    if util.find_spec("onnxruntime") is None:
        return REFERENCE, on_reference(model, name)
    version = metadata.version("onnxruntime")
    try:
        return f"onnx {onnx.__version__} on onnxruntime {version}", on_runtime(model)
    except Exception as error:  # its own classes, of several modules
        try:
            return f"{REFERENCE} (onnxruntime {version} cannot load it)", on_reference(model, name)
        except Refused:
            raise Refused(f"{name}: onnxruntime {version} cannot load it: {one_line(error)}") from None


def on_runtime(model: onnx.ModelProto) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feed: list(session.run(None, dict(feed)))


def on_reference(model: onnx.ModelProto, name: str) -> Run:
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(model, new_ops=[response_normalisation()])
    except Exception as error:  # whatever NumPy or its own operators raise
        raise Refused(f"{name}: ONNX's reference evaluator cannot load it: {one_line(error)}") from None
    return lambda feed: list(evaluator.run(None, dict(feed)))


def response_normalisation() -> type:
    """LRN by its specification: the evaluator's own (onnx 1.23) normalises only as many maps as there are images."""
    from onnx.reference.op_run import OpRun

    class LRN(OpRun):  # found by its name
        op_domain = ""

        def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
            before, maps = (size - 1) // 2, x.shape[1]
            squares = np.pad(x * x, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
            total = sum(squares[:, shift : shift + maps] for shift in range(size))
            return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)

    return LRN


class Model:
    """An ONNX model as a Subject. Everything in it is N, C, H, W."""

    trains = False

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.file = name
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        values = stored(model, name)
        self.nodes = [node for node in model.graph.node if not (node.op_type in MAKERS and node.output[0] in values)]
        names, self.frozen = learned(self.nodes, values)
        self.values = {key: values[key] for key in names}
        self.constants = {key: value for key, value in values.items() if key not in self.values}
        self.input, self.dtype, dims = only_input(model, values, name)
        self.channels_last = dims is not None and dims[1] not in (1, 3) and dims[3] in (1, 3)
        maps = None if dims is None else (dims[3], dims[1], dims[2]) if self.channels_last else tuple(dims[1:])
        self.input_shape: Shape | None = maps
        self.batch = batch_of(model, self.input)
        self.outputs = [output.name for output in model.graph.output]
        wired = rewired(model, self.nodes, self.values, self.constants)  # without the weights: light
        self.recorded, self.narrow = recorded(wired, self.nodes)
        give(wired, self.recorded, self.narrow)
        self.framework, self.prepared = prepared(wired, name)

    @property
    def parameters(self) -> dict[str, Shape]:
        return {name: value.shape for name, value in self.values.items()}

    def value(self, name: str) -> Array:
        value = self.values[name]
        return value.astype(np.float32) if value.dtype.name == "bfloat16" else value.copy()

    def load(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            if name not in self.values:
                raise ValueError(f"{self.file} has no parameter {name!r}; it has {', '.join(self.values)}")
            if np.shape(value) != self.values[name].shape:
                raise unlike(name, np.shape(value), self.values[name].shape)
        for name, value in values.items():
            self.values[name] = np.array(value, self.values[name].dtype, order="C")

    def run(self, x: Array) -> dict[str, Any]:
        """Every tensor that the nodes gave, by its name in the file."""
        feed = {self.input: np.ascontiguousarray(x.transpose(0, 2, 3, 1) if self.channels_last else x, self.dtype)}
        given = self.prepared({**feed, **self.values})
        return {**feed, **dict(zip(self.recorded, given, strict=True))}

    def record(self, x: Array, training: bool = False) -> Graph:
        return Recorder(self, x, self.run(x)).graph()


def only_input(
    model: onnx.ModelProto, values: Mapping[str, Array], name: str
) -> tuple[str, np.dtype, list[int] | None]:
    """(name, dtype, sizes with 0 for free ones) of the one input; sizes are None unless there are four."""
    inputs = [value for value in model.graph.input if value.name not in values]
    if len(inputs) != 1:
        raise Refused(
            f"{name} takes {len(inputs)} inputs ({', '.join(v.name for v in inputs)}); expected one, the images"
        )
    kind = inputs[0].type.tensor_type
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    except (KeyError, ValueError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiu":
        raise Refused(f"{name}: input {inputs[0].name!r} holds {dtype}; expected images, as numbers")
    sizes = [max(0, dim.dim_value) for dim in kind.shape.dim]
    return inputs[0].name, dtype, sizes if len(sizes) == 4 else None


def batch_of(model: onnx.ModelProto, name: str) -> int | None:
    for value in model.graph.input:
        if value.name == name and value.type.tensor_type.shape.dim:
            return int(value.type.tensor_type.shape.dim[0].dim_value) or None
    return None


def recorded(model: onnx.ModelProto, nodes: Sequence[NodeProto]) -> tuple[list[str], dict[str, str]]:
    """The tensors to record, and those of them that NumPy has no type for, bfloat16, with the name of a float32 copy."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = model
    kinds = {v.name: v.type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    check_sizes(kinds)
    tensors = [name for node in nodes for name in node.output if name]
    tensors = [name for name in tensors if name not in kinds or kinds[name].HasField("tensor_type")]
    narrow = [n for n in tensors if n in kinds and kinds[n].tensor_type.elem_type == TensorProto.BFLOAT16]
    return tensors, {name: f"{name}__in_float32" for name in narrow}


def check_sizes(kinds: Mapping[str, onnx.TypeProto]) -> None:
    """Refuse a model that would fill the memory with one intermediate tensor."""
    for name, kind in kinds.items():
        wanted = 4 * math.prod(dim.dim_value or 1 for dim in kind.tensor_type.shape.dim)
        if wanted > LARGEST:
            raise Refused(f"tensor {name!r} would be {wanted} bytes; expected at most {LARGEST}")


def rewired(
    model: onnx.ModelProto,
    nodes: Sequence[NodeProto],
    values: Mapping[str, Array],
    constants: Mapping[str, Array],
) -> onnx.ModelProto:
    """The same operations with parameters as inputs, and no outputs yet."""
    wired = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    wired.opset_import.extend(model.opset_import)
    graph = wired.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(nodes)
    made = {node.output[0]: node for node in model.graph.node if node.op_type in MAKERS and node.output[0] in constants}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items() if value.dtype.kind not in "OUS"
    )
    for node in made.values():
        if constants[node.output[0]].dtype.kind in "OUS":
            graph.node.insert(0, node)
    kept = set(values) | set(constants)
    graph.input.extend(value for value in model.graph.input if value.name not in kept)
    for name, value in {**constants, **values}.items():  # before IR 4 an initializer had to be an input as well
        if name in values or (model.ir_version < 4 and value.dtype.kind not in "OUS"):
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
    return wired


def give(wired: onnx.ModelProto, outputs: Sequence[str], narrow: Mapping[str, str]) -> None:
    """Make every tensor an output."""
    graph = wired.graph
    graph.node.extend(helper.make_node("Cast", [name], [copy], to=TensorProto.FLOAT) for name, copy in narrow.items())
    graph.output.extend(onnx.ValueInfoProto(name=narrow.get(name, name)) for name in outputs)


class Recorder:
    """Turns one run into a Graph."""

    def __init__(self, model: Model, x: Array, arrays: Mapping[str, Any]) -> None:
        self.model, self.x, self.arrays = model, x, arrays
        self.tensors: dict[str, Array] = {}
        self.names: set[str] = set()
        self.operations: list[Operation] = []
        self.dtypes: dict[str, str] = {}

    def graph(self) -> Graph:
        start = self.start()
        reader = Reader(self.model.opset, {**self.arrays, **self.model.constants, **self.model.values}, self.stems())
        for node in self.model.nodes:
            self.operations.append(self.operation(node, reader))
        outputs = tuple(self.known(name) for name in self.model.outputs)
        return Graph(self.operations, self.tensors, start, outputs, "NCHW", self.dtypes)

    def start(self) -> str:
        """The input's name; where the model takes N, H, W, C the batch is turned first, in an operation of its own."""
        name = self.model.input
        self.keep(name)
        if not self.model.channels_last:
            return name
        images = numbered("images", set(self.arrays))
        self.tensors[images] = np.array(self.x)
        call = "images as the model takes them: (N, H, W, C)"
        turn = Operation("turned", "transpose", call, (images,), (name,), {"x": 0}, {"perm": (0, 2, 3, 1)})
        self.names.add("turned")
        self.operations.append(turn)
        return images

    def stems(self) -> set[str]:
        """Tensors made of parameters alone, moved about or not."""
        found = set(self.model.values)
        for node in self.model.nodes:
            came = [name for name in node.input if name]
            fixed = came and all(name in found or name in self.model.constants for name in came)
            if fixed and any(name in found for name in came):
                found.update(node.output)
        return found

    def operation(self, node: NodeProto, reader: Reader) -> Operation:
        name = numbered(node.name or node.op_type, self.names)
        self.names.add(name)
        inputs = tuple(self.known(name) for name in node.input if name)
        for output in node.output:
            if output:
                self.keep(output)
        outputs = tuple(name for name in node.output if name)
        read = word(node, reader)
        return Operation(name, read.kind, read.call, inputs, outputs, read.roles, read.attributes)

    def known(self, name: str) -> str:
        """The tensor's id: parameters and constants say that they are."""
        if name in self.model.values:
            return f"param:{name}"
        if name in self.model.constants:
            if self.model.constants[name].dtype.kind in "fiub":
                self.tensors[f"const:{name}"] = np.array(self.model.constants[name])
            return f"const:{name}"
        return name

    def keep(self, name: str) -> None:
        value = self.arrays.get(name)
        if name in self.model.narrow or getattr(getattr(value, "dtype", None), "name", "") == "bfloat16":
            self.dtypes[name] = "bfloat16"
            value = np.asarray(value).astype(np.float32)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
            self.tensors[name] = np.array(value)
