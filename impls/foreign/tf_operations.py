"""TensorFlow's types of operation in the words of graph.py: kind, roles, attributes, and the call as its user writes it.

A `Node` is an operation of a graph after a run, its constant operands (paddings, permutations, axes) known as values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .graph import Array, Shape

Pair = tuple[int, int]
Borders = tuple[Pair, Pair]


@dataclass(frozen=True)
class Node:
    """type: "Conv2D". attr: the operation's attributes, as in its NodeDef. inputs, outputs: shapes.

    values: of operands that depend on neither batch nor parameters, None for the others. weights: which operands depend on
    parameters and not on the batch.
    """

    type: str
    attr: Mapping[str, Any]
    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    values: Sequence[Array | None]
    weights: Sequence[bool]

    def ints(self, key: str) -> list[int]:
        return [int(i) for i in self.attr[key].list.i] if key in self.attr else []

    def text(self, key: str, default: str = "") -> str:
        return self.attr[key].s.decode() if key in self.attr else default

    def number(self, key: str, default: float) -> float:
        """A float attribute, as the decimal that its float32 was written as (0.0001, not 0.00009999999747)."""
        return shortest(np.float32(self.attr[key].f)) if key in self.attr else default

    def whole(self, key: str, default: int) -> int:
        return int(self.attr[key].i) if key in self.attr else default

    def flag(self, key: str) -> bool:
        return bool(self.attr[key].b) if key in self.attr else False

    def value(self, operand: int) -> Any:
        """A constant operand as Python numbers; None where it is none."""
        value = self.values[operand] if operand < len(self.values) else None
        return None if value is None else value.tolist()


@dataclass(frozen=True)
class Reading:
    """What an operation is. roles: operand of each; hidden: operands that are attributes and no inputs."""

    kind: str
    call: str
    roles: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = ()


def shortest(value: np.float32) -> float:
    return float(np.format_float_positional(value, unique=True, trim="-"))


def read(node: Node) -> Reading:
    reader = TABLE.get(node.type)
    return reader(node) if reader else Reading("other", f"tf.raw_ops.{node.type}()")


# Windows --------------------------------------------------------------------------------------------------------------


def layout_of(node: Node) -> str:
    return node.text("data_format", "NHWC")


def maps_only(values: Sequence[Any], layout: str) -> tuple[Any, Any]:
    """(height, width) out of four values in the order of the layout."""
    return (values[2], values[3]) if layout == "NCHW" else (values[1], values[2])


def borders(node: Node, kernel: Pair, stride: Pair, dilation: Pair) -> Borders:
    """How many zeros lie above and below, left and right; SAME resolved from the shapes."""
    layout, padding = layout_of(node), node.text("padding")
    if padding == "EXPLICIT":
        explicit = node.ints("explicit_paddings")
        pairs = [(explicit[2 * axis], explicit[2 * axis + 1]) for axis in range(4)]
        return maps_only(pairs, layout)
    if padding != "SAME":
        return ((0, 0), (0, 0))
    sizes, counts = maps_only(node.inputs[0], layout), maps_only(node.outputs[0], layout)
    above_below, left_right = (same(*numbers) for numbers in zip(sizes, counts, kernel, stride, dilation, strict=True))
    return (above_below, left_right)


def same(size: int, count: int, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's SAME: what the windows need, the odd one behind."""
    needed = max(0, (count - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return needed // 2, needed - needed // 2


def brief(values: Sequence[int]) -> str:
    """(2, 2) as 2, (2, 3) as (2, 3)."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def conv(node: Node) -> Reading:
    layout = layout_of(node)
    stride, dilation = (maps_only(node.ints(key) or [1] * 4, layout) for key in ("strides", "dilations"))
    rows, columns, taken, _ = node.inputs[1]
    channels = node.inputs[0][1 if layout == "NCHW" else 3]
    groups = channels // taken if taken else 1
    attributes = {
        "stride": stride,
        "padding": borders(node, (rows, columns), stride, dilation),
        "dilation": dilation,
        "groups": groups,
        "layout": layout,
        "weight_layout": "HWIO",
    }
    words = [f"strides={brief(stride)}", f"padding={node.text('padding')!r}"]
    words += [f"dilations={brief(dilation)}"] if dilation != (1, 1) else []
    return Reading("conv", f"tf.nn.conv2d({', '.join(words)})", {"x": 0, "weight": 1}, attributes)


def depthwise(node: Node) -> Reading:
    """Its kernel (rows, columns, maps, multiplier) is in none of the layouts that a "conv" may have."""
    stride = maps_only(node.ints("strides"), layout_of(node))
    call = f"tf.nn.depthwise_conv2d(strides={brief(stride)}, padding={node.text('padding')!r})"
    return Reading("other", call, {"x": 0, "weight": 1}, {"stride": stride, "layout": layout_of(node)})


def pool(kind: str, function: str) -> Callable[[Node], Reading]:
    def reader(node: Node) -> Reading:
        layout = layout_of(node)
        sizes = [node.ints("ksize") or node.value(1), node.ints("strides") or node.value(2)]  # operands in MaxPoolV2
        kernel, stride = (maps_only(values, layout) for values in sizes)
        attributes = {
            "kernel": kernel,
            "stride": stride,
            "padding": borders(node, kernel, stride, (1, 1)),
            "ceil": False,  # SAME's last windows are in the padding
            "count_include_pad": False,
            "layout": layout,
        }
        words = f"ksize={brief(kernel)}, strides={brief(stride)}, padding={node.text('padding')!r}"
        return Reading(kind, f"tf.nn.{function}({words})", {"x": 0}, attributes, hidden=(1, 2))

    return reader


# Sums of products -----------------------------------------------------------------------------------------------------


def dense(node: Node) -> Reading:
    """A product with something learned on the right is a dense layer; any other product is "other"."""
    left, right = (
        node.flag(f"transpose_{side}") or node.flag(f"adj_{axis}") for side, axis in (("a", "x"), ("b", "y"))
    )
    words = [f"transpose_{side}=True" for side, turned in (("a", left), ("b", right)) if turned]
    call = f"tf.matmul({', '.join(words)})"
    if left or not node.weights[1] or node.weights[0] or len(node.inputs[1]) != 2:
        return Reading("other", call, attributes={"transpose_a": left, "transpose_b": right})
    return Reading("dense", call, {"x": 0, "weight": 1}, {"weight_layout": "OI" if right else "IO"})


def bias_add(node: Node) -> Reading:
    return Reading("add", "tf.nn.bias_add()", {"x": 0, "bias": 1}, {"layout": layout_of(node)})


def add(node: Node) -> Reading:
    """x + b with a learned b has roles; the sum of two tensors of the batch has none."""
    if node.weights[0] == node.weights[1]:
        return Reading("add", "tf.add()")
    bias = 0 if node.weights[0] else 1
    return Reading("add", "tf.add()", {"x": 1 - bias, "bias": bias})


# Normalisation and activations ----------------------------------------------------------------------------------------


def lrn(node: Node) -> Reading:
    radius = node.whole("depth_radius", 5)
    k, alpha, beta = node.number("bias", 1), node.number("alpha", 1), node.number("beta", 0.5)
    words = f"depth_radius={radius}, bias={k:g}, alpha={alpha:g}, beta={beta:g}"
    attributes = {"before": radius, "after": radius, "k": k, "alpha": alpha, "beta": beta, "layout": "NHWC"}
    return Reading("lrn", f"tf.nn.local_response_normalization({words})", {"x": 0}, attributes)


def batch_norm(node: Node) -> Reading:
    eps = node.number("epsilon", 1e-4)
    training = node.flag("is_training")
    roles = {"x": 0, "weight": 1, "bias": 2} | ({} if training else {"mean": 3, "variance": 4})
    call = f"tf.compat.v1.nn.fused_batch_norm(epsilon={eps:g}, is_training={training})"
    return Reading("batch_norm", call, roles, {"eps": eps, "training": training, "layout": layout_of(node)})


def activation(function: str, call: str = "") -> Callable[[Node], Reading]:
    def reader(_: Node) -> Reading:
        return Reading("activation", f"{call or f'tf.nn.{function}'}()", {"x": 0}, {"function": function})

    return reader


def leaky_relu(node: Node) -> Reading:
    slope = node.number("alpha", 0.2)
    attributes = {"function": "leaky_relu", "slope": slope}
    return Reading("activation", f"tf.nn.leaky_relu(alpha={slope:g})", {"x": 0}, attributes)


def elu(_: Node) -> Reading:
    return Reading("activation", "tf.nn.elu()", {"x": 0}, {"function": "elu", "slope": 1.0})


def softmax(kind: str) -> Callable[[Node], Reading]:
    def reader(_: Node) -> Reading:
        return Reading(kind, f"tf.nn.{kind}()", {"x": 0}, {"axis": -1})

    return reader


# Numbers moved about --------------------------------------------------------------------------------------------------


def reshape(node: Node) -> Reading:
    shape = node.outputs[0]
    return Reading("reshape", f"tf.reshape(shape={list(shape)})", {"x": 0}, {"shape": shape}, hidden=(1,))


def squeeze(function: str) -> Callable[[Node], Reading]:
    def reader(node: Node) -> Reading:
        return Reading("reshape", f"tf.{function}()", {"x": 0}, {"shape": node.outputs[0]}, hidden=(1,))

    return reader


def transpose(node: Node) -> Reading:
    perm = tuple(node.value(1) or ())
    return Reading("transpose", f"tf.transpose(perm={list(perm)})", {"x": 0}, {"perm": perm}, hidden=(1,))


def pad(node: Node) -> Reading:
    pairs = tuple(tuple(pair) for pair in node.value(1) or ())
    value = node.value(2) if node.type == "PadV2" else 0.0
    mode = node.text("mode", "CONSTANT")
    words = f"paddings={[list(pair) for pair in pairs]}"
    words += f", mode={mode!r}" if mode != "CONSTANT" else ""
    words += f", constant_values={value:g}" if value else ""
    attributes = {"padding": pairs, "value": value, "mode": mode.lower()}
    return Reading("pad", f"tf.pad({words})", {"x": 0}, attributes, hidden=(1, 2))


def concat(node: Node) -> Reading:
    axis = node.value(len(node.inputs) - 1)
    return Reading("concat", f"tf.concat(axis={axis})", attributes={"axis": axis}, hidden=(len(node.inputs) - 1,))


def split(node: Node) -> Reading:
    """Split(axis, x) and SplitV(x, sizes, axis)."""
    x, axis = (1, 0) if node.type == "Split" else (0, 2)
    attributes = {"axis": node.value(axis)}
    words = f"num_or_size_splits={len(node.outputs) if x else node.value(1)}, axis={node.value(axis)}"
    return Reading("split", f"tf.split({words})", {"x": x}, attributes, tuple({0, 1, 2} - {x}))


def strided_slice(node: Node) -> Reading:
    begin, end, step = (node.value(operand) for operand in (1, 2, 3))
    masks = {f"{name}_mask": node.whole(f"{name}_mask", 0) for name in ("begin", "end", "shrink_axis")}
    if not any(part is None for part in (begin, end, step)) and reversed_axes(begin, end, step, masks):
        axes = tuple(axis for axis, by in enumerate(step) if by == -1)
        return Reading("flip", "x[..., ::-1]", {"x": 0}, {"axes": axes}, hidden=(1, 2, 3))
    call = f"tf.strided_slice(begin={begin}, end={end}, strides={step})"
    return Reading("slice", call, {"x": 0}, {"begin": begin, "end": end, "step": step, **masks}, hidden=(1, 2, 3))


def reversed_axes(begin: list[int], end: list[int], step: list[int], masks: Mapping[str, int]) -> bool:
    """Is it x[:, ::-1], whole axes and nothing else?"""
    whole = (1 << len(step)) - 1
    return (
        -1 in step
        and all(abs(by) == 1 for by in step)
        and masks["begin_mask"] == masks["end_mask"] == whole
        and not masks["shrink_axis_mask"]
    )


def slices(node: Node) -> Reading:
    begin, size = node.value(1), node.value(2)
    attributes = {"begin": begin, "size": size}
    return Reading("slice", f"tf.slice(begin={begin}, size={size})", {"x": 0}, attributes, hidden=(1, 2))


def flip(node: Node) -> Reading:
    axes = tuple(node.value(1) or ())
    return Reading("flip", f"tf.reverse(axis={list(axes)})", {"x": 0}, {"axes": axes}, hidden=(1,))


def cast(node: Node) -> Reading:
    return Reading("cast", "tf.cast()", {"x": 0})


# Arithmetic -----------------------------------------------------------------------------------------------------------


def plain(kind: str, call: str) -> Callable[[Node], Reading]:
    def reader(_: Node) -> Reading:
        return Reading(kind, f"{call}()")

    return reader


def over_axes(kind: str, function: str) -> Callable[[Node], Reading]:
    def reader(node: Node) -> Reading:
        found = node.value(1)
        axes = tuple(np.atleast_1d(found).tolist()) if found is not None else ()
        attributes = {"axes": axes, "keepdims": node.flag("keep_dims"), "reduction": function}
        return Reading(kind, f"tf.{function}(axis={list(axes)})", {"x": 0}, attributes, hidden=(1,))

    return reader


def einsum(node: Node) -> Reading:
    equation = node.text("equation")
    return Reading("other", f"tf.einsum({equation!r})", attributes={"equation": equation})


TABLE: dict[str, Callable[[Node], Reading]] = {
    "Conv2D": conv,
    "DepthwiseConv2dNative": depthwise,
    "MatMul": dense,
    "BatchMatMul": dense,
    "BatchMatMulV2": dense,
    "BatchMatMulV3": dense,
    "BiasAdd": bias_add,
    "Add": add,
    "AddV2": add,
    "AddN": plain("add", "tf.add_n"),
    "Relu": activation("relu"),
    "Relu6": activation("relu6"),
    "Tanh": activation("tanh", "tf.tanh"),
    "Sigmoid": activation("sigmoid"),
    "LeakyRelu": leaky_relu,
    "Elu": elu,
    "Selu": activation("selu"),
    "Softplus": activation("softplus"),
    "Softsign": activation("softsign"),
    "Abs": activation("abs", "tf.abs"),
    "LRN": lrn,
    "MaxPool": pool("max_pool", "max_pool2d"),
    "MaxPoolV2": pool("max_pool", "max_pool2d"),
    "MaxPoolWithArgmax": pool("max_pool", "max_pool_with_argmax"),
    "AvgPool": pool("avg_pool", "avg_pool2d"),
    "FusedBatchNorm": batch_norm,
    "FusedBatchNormV2": batch_norm,
    "FusedBatchNormV3": batch_norm,
    "Softmax": softmax("softmax"),
    "LogSoftmax": softmax("log_softmax"),
    "Reshape": reshape,
    "Squeeze": squeeze("squeeze"),
    "ExpandDims": squeeze("expand_dims"),
    "Transpose": transpose,
    "Pad": pad,
    "PadV2": pad,
    "MirrorPad": pad,
    "ConcatV2": concat,
    "Split": split,
    "SplitV": split,
    "StridedSlice": strided_slice,
    "Slice": slices,
    "ReverseV2": flip,
    "Cast": cast,
    "Sub": plain("sub", "tf.subtract"),
    "Mul": plain("mul", "tf.multiply"),
    "Div": plain("div", "tf.divide"),
    "RealDiv": plain("div", "tf.divide"),
    "DivNoNan": plain("div", "tf.math.divide_no_nan"),
    "Pow": plain("pow", "tf.pow"),
    "Sqrt": plain("sqrt", "tf.sqrt"),
    "Rsqrt": plain("other", "tf.math.rsqrt"),
    "Square": plain("square", "tf.square"),
    "Maximum": plain("other", "tf.maximum"),
    "Minimum": plain("other", "tf.minimum"),
    "Exp": plain("other", "tf.exp"),
    "Neg": plain("other", "tf.negative"),
    "Sum": over_axes("sum", "reduce_sum"),
    "Mean": over_axes("mean", "reduce_mean"),
    "Max": over_axes("other", "reduce_max"),
    "SelectV2": plain("other", "tf.where"),
    "Select": plain("other", "tf.where"),
    "Einsum": einsum,
    "XlaEinsum": einsum,
}
