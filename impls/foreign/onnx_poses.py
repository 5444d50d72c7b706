"""Networks, right or with a mistake, as ONNX models such as exporters write: what the audit must see through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...reference import mistaken as m
from ...reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Lrn,
    Network,
    Pool,
    Relu,
    Shape,
    Softmax,
    SpatialLrn,
    borders,
)
from ..interface import Unsupported
from .graph import Array

OPSET, IR = 20, 10
Tricks = Mapping[str, Sequence[str]]
ACTIVATIONS = {
    **{"tanh": "Tanh", "sigmoid": "Sigmoid", "selu": "Selu", "gelu": "Gelu", "softplus": "Softplus", "abs": "Abs"},
    **{"softsign": "Softsign"},
}
FLIPS = {"bgr": (1,), "upside-down": (2,), "mirrored": (3,)}
FLATTENED = {"hwc": (0, 2, 3, 1), "cwh": (0, 1, 3, 2), "whc": (0, 3, 2, 1), "hcw": (0, 2, 1, 3)}


def pose(network: Network, tricks: Tricks, params: Mapping[str, Array]) -> onnx.ModelProto:
    """The network with tricks as a model of images (N, C, H, W); raises Unsupported for what ONNX cannot express."""
    graph = Builder(tricks, params)
    for layer, inputs, _ in network.walk():
        graph.add(layer, inputs)
    return graph.model(network)


class Builder:
    """Appends nodes; `here` is the tensor that the chain has come to."""

    def __init__(self, tricks: Tricks, params: Mapping[str, Array]) -> None:
        self.tricks, self.params = tricks, params
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, Array] = {}
        self.here = "images"

    def model(self, network: Network) -> onnx.ModelProto:
        kind = TensorProto.FLOAT
        images = helper.make_tensor_value_info("images", kind, ["N", *network.input_shape])
        output = helper.make_tensor_value_info(self.here, kind, ["N", *(list(network.shapes().values())[-1])])
        weights = [numpy_helper.from_array(value, name) for name, value in self.stored.items()]
        graph = helper.make_graph(self.nodes, network.name, [images], [output], weights)
        return helper.make_model(graph, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)])

    def node(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        """One more node with one output; returns its name."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"/{name}", **attributes))
        return name

    def then(self, kind: str, *more: str, **attributes: object) -> None:
        self.here = self.node(kind, [self.here, *more], **attributes)

    def const(self, value: object, dtype: type = np.float32) -> str:
        name = f"onnx::constant_{len(self.stored)}"
        self.stored[name] = np.array(value, dtype)
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, np.int64)

    def split(self, name: str, sizes: Sequence[int], axis: int) -> list[str]:
        outputs = [f"Split_{len(self.nodes)}_{part}" for part in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [name, self.ints(*sizes)], outputs, axis=axis))
        return outputs

    def backwards(self, name: str, *axes: int) -> str:
        """A Slice that reads whole axes from their ends."""
        ends = self.ints(*(-(2**31) for _ in axes))
        steps = self.ints(*(-1 for _ in axes))
        return self.node("Slice", [name, self.ints(*(-1 for _ in axes)), ends, self.ints(*axes), steps])

    # Layers -----------------------------------------------------------------------------------------------------------

    def add(self, layer: Layer, inputs: Shape) -> None:
        match layer:
            case Conv():
                self.affine(layer, "Conv", self.conv_attributes(layer, inputs))
            case Dense() if layer.groups == 1:
                self.affine(layer, "Gemm", {"transB": 1})
            case Dense():
                self.grouped(layer, inputs)
            case Relu():
                self.then("Relu")
            case Lrn():
                self.lrn(layer, inputs)
            case SpatialLrn():
                self.spatial_lrn(layer)
            case Pool():
                self.pool(layer, inputs)
            case Flatten():
                self.then("Flatten")
            case Dropout():
                self.then("Dropout", self.const(layer.rate))
            case Softmax():
                self.then("Softmax", axis=-1)
            case _:
                self.mistaken(layer, inputs)

    def mistaken(self, layer: Layer, inputs: Shape) -> None:
        match layer:
            case m.Activation():
                self.activation(layer)
            case m.WindowLrn():
                self.window_lrn(layer, inputs)
            case m.ChannelNorm():
                self.channel_norm(layer, inputs)
            case m.AdaptivePool():
                self.adaptive(layer, inputs)
            case m.PaddedMean():
                k, s, p = layer.kernel, layer.stride, layer.padding
                self.then("AveragePool", kernel_shape=[k, k], strides=[s, s], pads=[p] * 4, count_include_pad=1)
            case m.Affine():
                shape = (-1, *(1 for _ in inputs[1:]))
                self.then("Mul", self.const(np.reshape(layer.scale, shape)))
                self.then("Add", self.const(np.reshape(layer.shift, shape)))
            case m.Reordered():
                self.reordered(layer.order, inputs)
            case m.LogSoftmax():
                self.then("LogSoftmax", axis=-1)
            case m.SoftmaxOver():
                self.then("Softmax", axis=layer.axis)
            case m.RandomDropout():
                self.random_dropout(layer)
            case _:
                raise Unsupported(f"{layer.name}: no {layer.kind} layer among the ONNX poses")

    def conv_attributes(self, layer: Conv, inputs: Shape) -> dict[str, object]:
        k, s = layer.kernel, layer.stride
        dilation = getattr(layer, "dilation", 1)
        (above, below), (left, right) = borders(layer, inputs)
        attributes = {"kernel_shape": [k, k], "strides": [s, s], "pads": [above, left, below, right]}
        return {**attributes, "group": layer.groups, "dilations": [dilation, dilation]}

    def affine(self, layer: Conv | Dense, kind: str, attributes: Mapping[str, object]) -> None:
        """Conv or Gemm, the weight and the arithmetic changed as the tricks say."""
        tricks = self.tricks.get(layer.name, ())
        weight, bias = self.weight(layer, tricks), ""
        if "no-bias" not in tricks:
            bias = self.parameter(f"{layer.name}.bias")
        given = [self.here, weight, *([bias] if bias else [])]
        if "bfloat16" in tricks:
            raise Unsupported(f"{layer.name}: no CPU runtime of ONNX computes a {kind} in bfloat16")
        if "tf32" in tricks:
            given[:2] = [self.tf32(name) for name in given[:2]]
        if "float16" in tricks:
            given = [self.node("Cast", [name], to=TensorProto.FLOAT16) for name in given]
        self.here = self.node(kind, given, **attributes)
        if "float16" in tricks:
            self.then("Cast", to=TensorProto.FLOAT)
        if "double-bias" in tricks:
            axes = (1, 2) if isinstance(layer, Conv) else ()
            self.then("Add", self.node("Unsqueeze", [bias, self.ints(*axes)]) if axes else bias)

    def parameter(self, name: str) -> str:
        self.stored[name] = np.ascontiguousarray(self.params[name])
        return name

    def weight(self, layer: Conv | Dense, tricks: Sequence[str]) -> str:
        name = self.parameter(f"{layer.name}.weight")
        shape = self.stored[name].shape
        for trick in tricks:
            match trick:
                case "flip":
                    name = self.backwards(name, 2, 3)
                case "transpose" if len(shape) == 4:
                    name = self.node("Transpose", [name], perm=[0, 1, 3, 2])
                case "transpose":
                    name = self.node("Transpose", [name], perm=[1, 0])
                    name = self.node("Reshape", [name, self.ints(*shape)])
                case "bgr":
                    name = self.backwards(name, 1)
                case "swap-halves":
                    half = shape[0] // 2
                    parts = self.split(name, (shape[0] - half, half), axis=0)
                    name = self.node("Concat", parts[::-1], axis=0)
                case "weights-tf32":
                    name = self.tf32(name)
                case "weights-float16" | "weights-bfloat16":
                    narrow = TensorProto.FLOAT16 if trick == "weights-float16" else TensorProto.BFLOAT16
                    name = self.node("Cast", [self.node("Cast", [name], to=narrow)], to=TensorProto.FLOAT)
        return name

    def tf32(self, name: str) -> str:
        """Rounded to 11 significant bits by Veltkamp's splitting: ONNX has no operation on the bits of floats."""
        large = self.node("Mul", [name, self.const(2.0**13 + 1)])
        return self.node("Sub", [large, self.node("Sub", [large, name])])

    def grouped(self, layer: Dense, inputs: Shape) -> None:
        if self.tricks.get(layer.name):
            raise Unsupported(f"{layer.name}: tricks on dense layers in groups are not posed")
        g = layer.groups
        parts = [
            self.split(self.here, [inputs[0] // g] * g, 1),
            self.split(self.parameter(f"{layer.name}.weight"), [layer.units // g] * g, 0),
            self.split(self.parameter(f"{layer.name}.bias"), [layer.units // g] * g, 0),
        ]
        self.here = self.node(
            "Concat", [self.node("Gemm", names, transB=1) for names in zip(*parts, strict=True)], axis=1
        )

    # Normalisation ----------------------------------------------------------------------------------------------------

    def lrn(self, layer: Lrn, inputs: Shape) -> None:
        """ONNX divides alpha by the size, the paper does not: hence alpha * size."""
        size = 2 * (layer.n // 2) + 1
        given = {"size": size, "alpha": layer.alpha * size, "beta": layer.beta, "bias": layer.k}
        if layer.towers == 1:
            self.then("LRN", **given)
            return
        parts = self.split(self.here, [inputs[0] // layer.towers] * layer.towers, axis=1)
        self.here = self.node("Concat", [self.node("LRN", [part], **given) for part in parts], axis=1)

    def divided(self, total: str, k: float, alpha: float, beta: float, inverted: bool = False) -> None:
        """x / (k + alpha total)^beta, by hand."""
        scale = self.node("Add", [self.node("Mul", [total, self.const(alpha)]), self.const(k)])
        self.then("Mul" if inverted else "Div", self.node("Pow", [scale, self.const(beta)]))

    def spatial_lrn(self, layer: SpatialLrn) -> None:
        r, size = layer.n // 2, 2 * (layer.n // 2) + 1
        squares = self.node("Mul", [self.here, self.here])
        mean = self.node("AveragePool", [squares], kernel_shape=[size, size], pads=[r] * 4, count_include_pad=1)
        self.divided(mean, layer.k, layer.alpha * size**2, layer.beta)

    def window_lrn(self, layer: m.WindowLrn, inputs: Shape) -> None:
        size, maps = layer.before + layer.after + 1, inputs[0]
        centred = layer.before == layer.after  # onnxruntime refuses LRN of an even size
        if centred and not (layer.mean or layer.plain or layer.inverted):
            self.then("LRN", size=size, alpha=layer.alpha * size, beta=layer.beta, bias=layer.k)
            return
        terms = self.node("Abs", [self.here]) if layer.plain else self.node("Mul", [self.here, self.here])
        padded = self.node("Pad", [terms, self.ints(0, layer.before, 0, 0, 0, layer.after, 0, 0)])
        shifted = [self.node("Slice", [padded, self.ints(j), self.ints(j + maps), self.ints(1)]) for j in range(size)]
        total = self.node("Sum", shifted)
        if layer.mean:
            counts = layer.window(np.ones((1, maps, 1, 1), np.float32))
            total = self.node("Div", [total, self.const(counts)])
        self.divided(total, layer.k, layer.alpha, layer.beta, layer.inverted)

    def channel_norm(self, layer: m.ChannelNorm, inputs: Shape) -> None:
        """Batch normalisation with mean 0 and variance 1; eps is made up for in the scale."""
        eps = 1e-5
        names = [f"{layer.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        weight, bias = self.params[names[0]], self.params[names[1]]
        values = (weight * np.float32(np.sqrt(1 + eps)), bias, np.zeros(inputs[0]), np.ones(inputs[0]))
        self.stored.update({name: np.array(value, np.float32) for name, value in zip(names, values, strict=True)})
        self.then("BatchNormalization", *names, epsilon=eps)

    # Windows and order ------------------------------------------------------------------------------------------------

    def pool(self, layer: Pool, inputs: Shape) -> None:
        (above, below), (left, right) = borders(layer, inputs)
        k, s = layer.kernel, layer.stride
        kind = "AveragePool" if layer.average else "MaxPool"
        self.then(kind, kernel_shape=[k, k], strides=[s, s], pads=[above, left, below, right])

    def adaptive(self, layer: m.AdaptivePool, inputs: Shape) -> None:
        """Exporters write it as a pool where the sizes divide, and fail elsewhere."""
        if any(n % layer.size for n in inputs[1:]):
            raise Unsupported(f"{layer.name}: ONNX has no adaptive pool from {inputs[1:]} to {layer.size}")
        if layer.size == 1:
            self.then("GlobalAveragePool" if layer.average else "GlobalMaxPool")
            return
        kernel = [n // layer.size for n in inputs[1:]]
        self.then("AveragePool" if layer.average else "MaxPool", kernel_shape=kernel, strides=kernel)

    def reordered(self, order: str, inputs: Shape) -> None:
        if order in FLIPS:
            self.here = self.backwards(self.here, *FLIPS[order])
        elif order in FLATTENED:
            self.then("Transpose", perm=list(FLATTENED[order]))
            self.then("Flatten")
        elif order == "rows-columns":
            self.then("Transpose", perm=[0, 1, 3, 2])
        elif order == "as-if-hwc":
            self.then("Transpose", perm=[0, 2, 3, 1])
            self.then("Reshape", self.ints(0, *inputs))
        elif order == "interleaved":
            c, *maps = inputs
            self.then("Reshape", self.ints(0, 2, c // 2, *maps))
            self.then("Transpose", perm=[0, 2, 1, *range(3, 3 + len(maps))])
            self.then("Reshape", self.ints(0, c, *maps))
        elif order == "halves":
            half = inputs[0] // 2
            self.here = self.node("Concat", self.split(self.here, (inputs[0] - half, half), 1)[::-1], axis=1)
        else:
            raise Unsupported(f"the order {order!r} is not posed in ONNX")

    # Elementwise ------------------------------------------------------------------------------------------------------

    def activation(self, layer: m.Activation) -> None:
        match layer.function:
            case "leaky_relu":
                self.then("LeakyRelu", alpha=layer.slope)
            case "elu":
                self.then("Elu", alpha=layer.slope)
            case "gelu_tanh":
                self.then("Gelu", approximate="tanh")
            case "relu6":
                self.then("Clip", self.const(0.0), self.const(6.0))
            case "silu":
                self.then("Mul", self.node("Sigmoid", [self.here]))
            case function if function in ACTIVATIONS:
                self.then(ACTIVATIONS[function])
            case _:
                raise Unsupported(f"{layer.name}: the activation {layer.function!r} is not posed in ONNX")

    def random_dropout(self, layer: m.RandomDropout) -> None:
        if layer.maps:
            raise Unsupported(f"{layer.name}: ONNX has no dropout of whole maps")
        if layer.always:
            self.then("Dropout", self.const(layer.rate), self.const(True, np.bool_))
            factor = layer.factor if layer.scaled else layer.factor * (1 - layer.rate)
        else:
            self.then("Dropout", self.const(layer.rate))
            factor = layer.factor
        if factor != 1:
            self.then("Mul", self.const(factor))
