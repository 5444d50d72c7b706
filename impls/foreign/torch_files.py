"""torch's files, read without unpickling anything but plain tensors: exported programs (.pt2) and state dicts (.pt, .pth).

`torch.export.load` unpickles sample inputs and whatever weights ask for it, evaluates symbolic expressions and can load
compiled code. A program here is read for what it is, JSON and raw numbers, and run node by node.
"""

from __future__ import annotations

import json
import math
import operator
import os
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .graph import Refused, Shape

Array = np.ndarray
Json = dict[str, Any]

# As torch numbers them in exported programs.
DTYPES = {
    **{1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16},
    **{7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16},
}
MEMORY_FORMATS = {
    **{1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
}
OPERATORS: dict[str, Callable[..., Any]] = {  # on sizes
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg")
    },
    **{f"_operator.{name}": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge", "pow")},
}
CHECKS = re.compile(r"torch\.ops\.aten\.(_assert\w*|sym_constrain\w*)\.\w+")  # they compute nothing
ATEN = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
FORBIDDEN = {"from_file", "_cuda_getCurrentRawStream"}  # reaches outside of the program
CONFIG_LIMIT = 64 << 20  # bytes of JSON: programs of millions of nodes are no AlexNet
NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep the weights


class Scopes(Protocol):
    """Where a program says which module it is in."""

    def enter(self, path: str, module: None, layer: str) -> None: ...
    def leave(self) -> None: ...


@dataclass(frozen=True)
class Program:
    """An exported program: nodes to be run in order, on parameters by name and one input."""

    nodes: Sequence[Json]
    parameters: Mapping[str, Tensor]
    buffers: frozenset[str]
    arguments: Mapping[str, str]  # the graph's name for it -> the parameter's name
    input: str
    shape: Shape | None  # of the input, 0 where any size will do
    outputs: Sequence[Json]

    def run(self, x: Tensor, scopes: Scopes) -> list[Any]:
        """What the program returns; Refused where its nodes do not fit together. Errors of the operations come through."""
        values: dict[str, Any] = {name: self.parameters[source] for name, source in self.arguments.items()}
        values[self.input] = x
        target = "outputs"
        try:
            for node in self.nodes:
                target = node["target"]
                if not CHECKS.fullmatch(target):
                    self._step(node, values, scopes)
            return [_value(output, values) for output in self.outputs]
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise Refused(
                f"not a well-formed program at {target} ({problem}); save it anew with torch.export.save"
            ) from error

    @staticmethod
    def _step(node: Json, values: dict[str, Any], scopes: Scopes) -> None:
        path, layer = _module(node)
        scopes.enter(path, None, layer)
        try:
            result = _target(node["target"])(*_positional(node, values), **_by_name(node, values))
        finally:
            scopes.leave()
        _store(node["outputs"], result, values)


def _module(node: Json) -> tuple[str, str]:
    """(path, class) of the module that the node came from.

    "L__self__,,torch.nn.Sequential;L__self__0,0,torch.nn.modules.conv.Conv2d" is a Conv2d called 0.
    """
    last = node.get("metadata", {}).get("nn_module_stack", "").split(";")[-1].split(",")
    return (last[1], last[2].split(".")[-1]) if len(last) == 3 else ("", "")


def _target(name: str) -> Callable[..., Any]:
    if name in OPERATORS:
        return OPERATORS[name]
    match = ATEN.fullmatch(name)
    if match is None or match[1] in FORBIDDEN:
        raise Refused(
            f"the program calls {name}; only torch.ops.aten can be audited; export it without custom operators"
        )
    try:
        return getattr(getattr(torch.ops.aten, match[1]), match[2])
    except AttributeError:
        raise Refused(f"the program calls {name}, which torch {torch.__version__} does not have") from None


def _positional(node: Json, values: Mapping[str, Any]) -> list[Any]:
    return [_value(given["arg"], values) for given in node["inputs"] if given.get("kind") != 2]


def _by_name(node: Json, values: Mapping[str, Any]) -> dict[str, Any]:
    return {given["name"]: _value(given["arg"], values) for given in node["inputs"] if given.get("kind") == 2}


def _value(argument: Json, values: Mapping[str, Any]) -> Any:
    """What an argument means: the union type of torch's schema, by the name of its one member."""
    ((form, value),) = argument.items()
    match form:
        case "as_none":
            return None
        case "as_tensor" | "as_custom_obj":
            return values[value["name"]]
        case "as_tensors":
            return [values[item["name"]] for item in value]
        case "as_optional_tensors":
            return [_value(item, values) for item in value]
        case "as_optional_tensor":
            return _value(value, values)
        case "as_int" | "as_float" | "as_bool" | "as_string":
            return float(value) if form == "as_float" else value  # infinities come as strings
        case "as_floats":
            return [float(item) for item in value]
        case "as_ints" | "as_bools" | "as_strings" | "as_int_lists":
            return value
        case "as_sym_int" | "as_sym_bool" | "as_sym_float":
            return _value(value, values)
        case "as_sym_ints" | "as_sym_bools" | "as_sym_floats":
            return [_value(item, values) for item in value]
        case "as_name":
            return values[value]
        case "as_scalar_type":
            return DTYPES[value]
        case "as_memory_format":
            return MEMORY_FORMATS[value]
        case "as_layout":
            return torch.strided
        case "as_device":
            return torch.device("cpu")  # wherever it was exported: weights are read to the CPU
    raise Refused(f"the program has an argument of the form {form}, which cannot be audited; export it in eager terms")


def _store(outputs: Sequence[Json], result: Any, values: dict[str, Any]) -> None:
    several = len(outputs) > 1
    for output, value in zip(outputs, result if several else [result], strict=True):
        ((form, name),) = output.items()
        if form == "as_tensor":
            values[name["name"]] = value
        elif form == "as_tensors":
            values.update({item["name"]: part for item, part in zip(name, value, strict=True)})
        elif form in {"as_sym_int", "as_sym_bool", "as_sym_float"}:
            values[name["as_name"]] = value


def program(path: str | os.PathLike[str]) -> Program:
    """The program in a file that torch.export.save (2.8 or newer) wrote, weights on the CPU; Refused for any other file."""
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Members(archive, path))
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise Refused(
            f"{path}: found no readable zip archive ({error}), expected a file of torch.export.save"
        ) from None
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Refused(
            f"{path}: not a well-formed exported program ({problem}); save it anew with torch.export.save"
        ) from None


class _Members:
    """The files in an archive, by their names below its root folder. None may claim to be larger than it can be."""

    def __init__(self, archive: zipfile.ZipFile, path: str) -> None:
        self.archive, self.path = archive, path
        check_stored(archive, path)
        self.infos = {str(PurePosixPath(*PurePosixPath(i.filename).parts[1:])): i for i in archive.infolist()}
        if native := next((name for name in self.infos if name.startswith("data/aotinductor")), None):
            raise Refused(f"{path}: holds compiled code ({native}); audit a program saved with torch.export.save")
        if any(i.filename.endswith("serialized_exported_program.json") for i in archive.infolist()):
            raise Refused(f"{path}: written by a torch before 2.8, with pickles; save it anew with torch.export.save")

    def json(self, name: str) -> Json:
        if name not in self.infos:
            raise Refused(f"{self.path}: has no {name}; expected a file of torch.export.save")
        if self.infos[name].file_size > CONFIG_LIMIT:
            raise Refused(
                f"{self.path}: {name} has {self.infos[name].file_size} bytes; expected at most {CONFIG_LIMIT}"
            )
        return json.loads(self.archive.read(self.infos[name]))

    def bytes(self, name: str) -> bytearray:
        return bytearray(self.archive.read(self.infos[name]))


def check_stored(archive: zipfile.ZipFile, path: str) -> None:
    """torch stores without compression: what is compressed, or larger than the file, was not written by torch."""
    size = os.path.getsize(path)
    total = 0
    for info in archive.infolist():
        total += info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or total > size:
            raise Refused(
                f"{path}: {info.filename} is compressed or larger than its file; expected what torch itself saves"
            )


def _read(members: _Members) -> Program:
    models = [name for name in members.infos if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise Refused(
            f"{members.path}: found {len(models)} programs in it, expected one; save one with torch.export.save"
        )
    model = PurePosixPath(models[0]).stem
    module = members.json(models[0])["graph_module"]
    graph, signature = module["graph"], module["signature"]
    tensors = _tensors(members, f"data/weights/{model}_weights_config.json", "data/weights")
    tensors |= _tensors(members, f"data/constants/{model}_constants_config.json", "data/constants")
    arguments, buffers, inputs = _inputs(members.path, signature["input_specs"])
    if missing := next((name for name in arguments.values() if name not in tensors), None):
        raise Refused(f"{members.path}: has no values for {missing}; save the program anew with torch.export.save")
    for node in graph["nodes"]:
        if not CHECKS.fullmatch(node["target"]):
            _target(node["target"])  # refused now, not half-way
    used = {name: tensors[name] for name in arguments.values()}
    shape = _shape(graph["tensor_values"][inputs])
    outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
    return Program(graph["nodes"], used, frozenset(buffers), arguments, inputs, shape, outputs)


def _inputs(path: str, specs: Sequence[Json]) -> tuple[dict[str, str], list[str], str]:
    """(parameter by the graph's name, those that are not learned, the graph's name of the input)."""
    arguments: dict[str, str] = {}
    buffers, inputs = [], []
    for spec in specs:
        ((form, value),) = spec.items()
        if form == "user_input":
            inputs.append(value["arg"]["as_tensor"]["name"])
        elif form in {"parameter", "buffer", "tensor_constant"}:
            name = value[f"{form}_name"]
            arguments[value["arg"]["name"]] = name
            buffers += [] if form == "parameter" else [name]
        else:
            raise Refused(
                f"{path}: takes a {form.replace('_', ' ')} besides tensors; export it with one batch as its input"
            )
    if len(inputs) != 1:
        raise Refused(f"{path}: takes {len(inputs)} inputs, expected one batch (N, C, H, W)")
    return arguments, buffers, inputs[0]


def _shape(meta: Json) -> Shape:
    return tuple(size.get("as_int", 0) for size in meta["sizes"])


def _tensors(members: _Members, config: str, folder: str) -> dict[str, Tensor]:
    found = {}
    for name, entry in members.json(config)["config"].items():
        if entry["use_pickle"]:
            raise Refused(
                f"{members.path}: {name} is a pickle, which is not opened; export the model with plain tensors"
            )
        found[name] = _tensor(members, name, f"{folder}/{entry['path_name']}", entry["tensor_meta"])
    return found


def _tensor(members: _Members, name: str, file: str, meta: Json) -> Tensor:
    """Raw numbers with a shape and strides; refused where they would reach beyond what is stored."""
    sizes, strides = (tuple(n["as_int"] for n in meta[key]) for key in ("sizes", "strides"))
    if meta["dtype"] not in DTYPES:
        raise Refused(f"{members.path}: {name} has torch's scalar type {meta['dtype']}, which cannot be audited")
    dtype, offset = DTYPES[meta["dtype"]], meta["storage_offset"]["as_int"]
    stored = members.infos[file].file_size // dtype.itemsize
    last = offset + sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True))
    count = math.prod(sizes)
    if min((offset, *sizes, *strides)) < 0 or (count and last >= stored) or count > stored:
        raise Refused(f"{members.path}: {name} is said to be {sizes}, but the file holds {stored} numbers for it")
    if not count:
        return torch.empty(sizes, dtype=dtype)
    return torch.frombuffer(members.bytes(file), dtype=dtype).as_strided(sizes, strides, offset).clone()


# State dicts ----------------------------------------------------------------------------------------------------------


def state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """A state dict's floating-point values by name, as float32; `tensors` says which."""
    found = tensors(path).items()
    return {name: value.to(torch.float32, copy=True).numpy() for name, value in found if value.is_floating_point()}


def tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """A state dict's values by name, as they are stored; of a checkpoint, those under "state_dict" or the like.

    Read with weights_only; names lose the "module." that DataParallel puts before all of them. Refused for anything else.
    """
    path = os.fspath(path)
    try:
        _check_sizes(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Refused:
        raise
    except FileNotFoundError:
        raise Refused(f"{path}: no such file") from None
    except Exception as error:  # torch raises whatever a malformed file leads it to
        problem = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise Refused(f"{path}: not a state dict of plain tensors ({problem}); save model.state_dict()") from None
    values = _weights(path, content)
    if values and all(name.startswith("module.") for name in values):
        values = {name.removeprefix("module."): value for name, value in values.items()}
    for name, value in values.items():
        _check_stored(path, name, value)
    return values


def _check_sizes(path: str) -> None:
    """Nothing in the file may claim more numbers than the file has bytes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_stored(archive, path)
        return
    size = os.path.getsize(path)
    with open(path, "rb") as file:  # torch's format until 1.6: pickles one after another, the fourth has the content
        for _ in range(3):
            for _ in pickletools.genops(file):
                pass
        if any(isinstance(argument, int) and argument > size for _, argument, _ in pickletools.genops(file)):
            raise Refused(f"{path}: claims more numbers than the file has bytes; expected a state dict saved by torch")


def _weights(path: str, content: Any) -> dict[str, Tensor]:
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise Refused(f"{path}: found {type(content).__name__}, expected a state dict; save model.state_dict()")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) != len(content):
        odd = next(str(name) for name, value in content.items() if not isinstance(value, Tensor))
        raise Refused(f"{path}: found {odd!r} among the weights, which is no tensor; save model.state_dict()")
    return tensors


def _check_stored(path: str, name: str, value: Tensor) -> None:
    """Refused where a few stored numbers pose as many."""
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise Refused(
            f"{path}: {name} is said to be {tuple(value.shape)}, more than is stored; save model.state_dict()"
        )
