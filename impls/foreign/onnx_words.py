"""What an ONNX node is in the words of `graph.py`: kind, call, roles and attributes, its defaults resolved.

Defaults and formulas are those of the operators' specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper

from .graph import Array

SIMPLE = {
    **{"Identity": "identity", "Cast": "cast", "CastLike": "cast", "Pad": "pad", "Add": "add", "Sum": "add"},
    **{
        "Sub": "sub",
        "Mul": "mul",
        "Div": "div",
        "Pow": "pow",
        "Sqrt": "sqrt",
        "ReduceSum": "sum",
        "ReduceMean": "mean",
    },
    **{"Reshape": "reshape", "Flatten": "reshape", "Squeeze": "reshape", "Unsqueeze": "reshape"},
    **{"GlobalMaxPool": "adaptive_max_pool", "GlobalAveragePool": "adaptive_avg_pool"},
}
ACTIVATIONS = {
    **{"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu", "Elu": "elu", "Selu": "selu"},
    **{"Softplus": "softplus", "Softsign": "softsign", "Gelu": "gelu", "Abs": "abs", "PRelu": "prelu", "Swish": "silu"},
    **{"ThresholdedRelu": "thresholded_relu", "HardSigmoid": "hard_sigmoid", "Celu": "celu", "Mish": "mish"},
    **{"HardSwish": "hard_swish"},
}
SLOPES = {"LeakyRelu": 0.01, "Elu": 1.0}


@dataclass(frozen=True)
class Word:
    kind: str
    call: str
    roles: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """What is needed to read a node: the opset, every tensor, and which of them are parameters moved about."""

    opset: int
    arrays: Mapping[str, Any]
    stems: set[str]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(np.shape(self.arrays[name])) if name in self.arrays else ()

    def numbers(self, node: NodeProto, position: int) -> list[Any] | None:
        """An optional input that holds a few numbers, such as the axes of a Slice."""
        if position >= len(node.input) or node.input[position] not in self.arrays:
            return None
        return list(np.ravel(np.asarray(self.arrays[node.input[position]])).tolist())


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Attributes that are numbers or words; tensors and graphs are left out."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    return {name: value for name, value in values.items() if not isinstance(value, (onnx.TensorProto, onnx.GraphProto))}


def word(node: NodeProto, reader: Reader) -> Word:
    """A node in our words; "other" where nothing fits."""
    given = attributes_of(node)
    call = f"{node.op_type}({', '.join(f'{name}={shown(value)}' for name, value in given.items())})"
    if node.domain not in ("", "ai.onnx"):
        return Word("other", f"{node.domain}.{call}")
    if node.op_type in SPECIAL:
        kind, roles, attributes = SPECIAL[node.op_type](node, given, reader)
        return Word(kind, call, roles, attributes)
    if node.op_type in ACTIVATIONS:
        return Word("activation", call, {"x": 0}, activation(node, given))
    kind = SIMPLE.get(node.op_type, "other")
    if kind == "add":
        return Word(kind, call, added(node, reader))
    return Word(
        kind, call, {"x": 0} if node.input else {}, {"size": (1, 1), "layout": "NCHW"} if "pool" in kind else {}
    )


def shown(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else repr(value)


Read = tuple[str, Mapping[str, int], Mapping[str, Any]]
Given = Mapping[str, Any]


def activation(node: NodeProto, given: Given) -> dict[str, Any]:
    function = ACTIVATIONS[node.op_type]
    if node.op_type == "Gelu" and given.get("approximate", "none") == "tanh":
        function = "gelu_tanh"
    slope = {"slope": given.get("alpha", SLOPES[node.op_type])} if node.op_type in SLOPES else {}
    return {"function": function, **slope}


def added(node: NodeProto, reader: Reader) -> dict[str, int]:
    """Which operand of an addition is a bias, if one is."""
    fixed = [name in reader.stems for name in node.input]
    if len(fixed) == 2 and sum(fixed) == 1:
        return {"x": fixed.index(False), "bias": fixed.index(True)}
    return {}


# Windows --------------------------------------------------------------------------------------------------------------

Sides = tuple[tuple[int, int], tuple[int, int]]


def sides(given: Given, maps: tuple[int, ...], kernel: list[int], stride: list[int], dilation: list[int]) -> Sides:
    """((above, below), (left, right)), `auto_pad` worked out: SAME gives ceil(size / stride) outputs."""
    auto = given.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return (0, 0), (0, 0)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for size, k, s, d in zip(maps, kernel, stride, dilation, strict=True):
            total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            less, more = total // 2, total - total // 2
            found.append((less, more) if auto == "SAME_UPPER" else (more, less))
        return found[0], found[1]
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return (top, bottom), (left, right)


def conv(node: NodeProto, given: Given, reader: Reader) -> Read:
    x, weight = reader.shape(node.input[0]), reader.shape(node.input[1])
    if len(x) != 4:
        return "other", {}, {}
    stride, dilation = list(given.get("strides", (1, 1))), list(given.get("dilations", (1, 1)))
    attributes = {
        "stride": tuple(stride),
        "padding": sides(given, x[2:], list(weight[2:]), stride, dilation),
        "dilation": tuple(dilation),
        "groups": given.get("group", 1),
        "layout": "NCHW",
        "weight_layout": "OIHW",
    }
    return "conv", with_bias(node), attributes


def with_bias(node: NodeProto) -> dict[str, int]:
    return {"x": 0, "weight": 1, **({"bias": 2} if len(node.input) > 2 and node.input[2] else {})}


def pool(node: NodeProto, given: Given, reader: Reader) -> Read:
    x = reader.shape(node.input[0])
    kernel = list(given.get("kernel_shape", ()))
    dilation = list(given.get("dilations", (1,) * len(kernel)))
    if len(x) != 4 or len(kernel) != 2 or set(dilation) != {1}:
        return "other", {}, {}
    stride = list(given.get("strides", (1, 1)))
    attributes = {
        "kernel": tuple(kernel),
        "stride": tuple(stride),
        "padding": sides(given, x[2:], kernel, stride, dilation),
        "ceil": bool(given.get("ceil_mode", 0)),
        "layout": "NCHW",
    }
    if node.op_type == "MaxPool":
        return "max_pool", {"x": 0}, attributes
    return "avg_pool", {"x": 0}, {**attributes, "count_include_pad": bool(given.get("count_include_pad", 0))}


# Products -------------------------------------------------------------------------------------------------------------


def gemm(node: NodeProto, given: Given, reader: Reader) -> Read:
    """alpha A B + beta C: dense where nothing is scaled and B is a parameter."""
    plain = given.get("alpha", 1.0) == 1 and given.get("beta", 1.0) == 1 and not given.get("transA", 0)
    if not plain or node.input[1] not in reader.stems:
        return "other", {}, {}
    return "dense", with_bias(node), {"weight_layout": "OI" if given.get("transB", 0) else "IO"}


def matmul(node: NodeProto, given: Given, reader: Reader) -> Read:
    x, weight = node.input
    if weight in reader.stems and x not in reader.stems and len(reader.shape(weight)) == 2:
        return "dense", {"x": 0, "weight": 1}, {"weight_layout": "IO"}
    return "other", {}, {}


# Normalisation --------------------------------------------------------------------------------------------------------


def lrn(node: NodeProto, given: Given, reader: Reader) -> Read:
    """x / (bias + alpha / size * sum of squares)^beta, the window from floor((size - 1) / 2) below to ceil(...) above."""
    size = given["size"]
    before = (size - 1) // 2
    attributes = {
        "before": before,
        "after": size - 1 - before,
        "k": given.get("bias", 1.0),
        "alpha": given.get("alpha", 1e-4) / size,
        "beta": given.get("beta", 0.75),
        "layout": "NCHW",
    }
    return "lrn", {"x": 0}, attributes


def batch_norm(node: NodeProto, given: Given, reader: Reader) -> Read:
    roles = {"x": 0, "weight": 1, "bias": 2, "mean": 3, "variance": 4}
    return "batch_norm", roles, {"eps": given.get("epsilon", 1e-5), "layout": "NCHW"}


def softmax(node: NodeProto, given: Given, reader: Reader) -> Read:
    """Before opset 13 the axes from `axis` (by default 1) on were one; since, it is a single one, by default the last."""
    rank = len(reader.shape(node.input[0]))
    old = reader.opset < 13
    axis = given.get("axis", 1 if old else -1) % max(rank, 1)
    together = {"axes": tuple(range(axis, rank))} if old and axis < rank - 1 else {}
    return ("softmax" if node.op_type == "Softmax" else "log_softmax"), {"x": 0}, {"axis": axis, **together}


def dropout(node: NodeProto, given: Given, reader: Reader) -> Read:
    """The rate was an attribute, since opset 12 it is an input; so is whether it really drops."""
    rate, training = reader.numbers(node, 1), reader.numbers(node, 2)
    found = given.get("ratio", 0.5) if reader.opset < 12 else rate[0] if rate else 0.5
    return "dropout", {"x": 0}, {"rate": float(found), "training": bool(training and training[0])}


# Order ----------------------------------------------------------------------------------------------------------------


def transpose(node: NodeProto, given: Given, reader: Reader) -> Read:
    rank = len(reader.shape(node.input[0]))
    return "transpose", {"x": 0}, {"perm": tuple(given.get("perm", range(rank)[::-1]))}


def joined(node: NodeProto, given: Given, reader: Reader) -> Read:
    axis = given.get("axis", 0 if node.op_type == "Split" else 1)
    return node.op_type.lower(), {"x": 0}, {"axis": axis % max(1, len(reader.shape(node.input[0])))}


def slices(node: NodeProto, given: Given, reader: Reader) -> Read:
    """A Slice; a "flip" where whole axes are read backwards."""
    x, steps = reader.shape(node.input[0]), reader.numbers(node, 4)
    starts = given.get("starts") or reader.numbers(node, 1) or []
    axes = given.get("axes") or reader.numbers(node, 3) or range(len(starts))
    axes = tuple(axis % max(1, len(x)) for axis in axes)
    whole = reader.shape(node.output[0]) == x
    if steps and whole and set(steps) == {-1}:
        return "flip", {"x": 0}, {"axes": axes}
    return "slice", {"x": 0}, {"axes": axes}


def clip(node: NodeProto, given: Given, reader: Reader) -> Read:
    """ReLU and ReLU6 are often written so."""
    low, high = (given.get(name) for name in ("min", "max"))
    low = (reader.numbers(node, 1) or [low])[0]
    high = (reader.numbers(node, 2) or [high])[0]
    if low == 0 and (high is None or high == 6 or high > 1e30):
        return "activation", {"x": 0}, {"function": "relu6" if high == 6 else "relu"}
    return "other", {}, {}


def power(node: NodeProto, given: Given, reader: Reader) -> Read:
    exponent: Array | None = reader.arrays.get(node.input[1])
    return ("square" if exponent is not None and np.all(np.asarray(exponent) == 2) else "pow"), {"x": 0}, {}


def maximum(node: NodeProto, given: Given, reader: Reader) -> Read:
    """max(x, 0)."""
    for position, name in enumerate(node.input[:2]):
        value = np.asarray(reader.arrays.get(name, 1))
        if len(node.input) == 2 and value.size == 1 and not value.any():
            return "activation", {"x": 1 - position}, {"function": "relu"}
    return "other", {}, {}


SPECIAL = {
    **{"Conv": conv, "MaxPool": pool, "AveragePool": pool, "Gemm": gemm, "MatMul": matmul, "LRN": lrn},
    **{"BatchNormalization": batch_norm, "Softmax": softmax, "LogSoftmax": softmax, "Dropout": dropout},
    **{"Transpose": transpose, "Concat": joined, "Split": joined, "Slice": slices, "Clip": clip, "Pow": power},
    **{"Max": maximum},
}
