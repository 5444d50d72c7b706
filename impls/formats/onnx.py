"""A network as an ONNX model, written from its spec: initializers named as our parameters, tensors as our layers.

Every layer's output is an output of the graph under the layer's name, the last one last. Images are "images", (N, C, H, W)
with N left open. Weights lie in the file as they are shared: kernels (O, I / groups, K, K), dense (units, inputs / groups).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from ...reference.mistaken import Activation
from ...reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Local,
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

OPSET, IR = 20, 10  # of 2023; every operation used is older, and all engines of today read them
IMAGES, BATCH = "images", "N"
NOTHING = 2.0**-100  # times any sum below 2^75 and added to 1 it gives 1


def export(network: Network, params: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The network with these weights (float32, copied), passed by onnx's own checker with its shapes inferred.

    Raises Unsupported for a layer that ONNX's operations do not express.
    """
    nodes = Nodes()
    for layer, before, after in network.walk():
        nodes.layer(layer, before, after)
    outputs = [tensor(name, shape) for name, shape in network.shapes().items()]
    stored = {name: np.ascontiguousarray(params[name]) for name in network.param_shapes()} | nodes.constants
    weights = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes.made, network.name, [tensor(IMAGES, network.input_shape)], outputs, weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, producer_name="alexnet-parity", ir_version=IR, opset_imports=[opset])
    checker.check_model(model, full_check=True)
    return model


def tensor(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])


def save(network: Network, params: Mapping[str, np.ndarray], path: str | Path) -> None:
    """The model as one file."""
    onnx.save(export(network, params), path)


def read_params(path: str | Path) -> dict[str, np.ndarray]:
    """Every weight and bias in a file that `save` wrote, by name, float32; constants of the graph are left out."""
    model = onnx.load(path)
    return {t.name: numpy_helper.to_array(t).copy() for t in model.graph.initializer if t.name.endswith(PARAMETERS)}


PARAMETERS = (".weight", ".bias")


class Nodes:
    """The nodes as they are added. `here`: the tensor that the chain has come to."""

    def __init__(self) -> None:
        self.made: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.here = IMAGES
        self.now = ""  # the layer that is being written

    def layer(self, layer: Layer, before: Shape, after: Shape) -> None:
        self.now = layer.name
        given = f"{layer.name}.weight", f"{layer.name}.bias"
        match layer:
            case Conv():
                self.last("Conv", self.here, *given, **windows(layer, before), group=layer.groups)
            case Local():
                self.local(layer, before, after, *given)
            case Dense() if layer.groups == 1:
                self.last("Gemm", self.here, *given, transB=1)
            case Dense():
                self.grouped(layer, before, *given)
            case Relu():
                self.last("Relu", self.here)
            case Activation(function="tanh"):
                self.last("Tanh", self.here)
            case Lrn():
                self.lrn(layer, before)
            case SpatialLrn():
                self.spatial_lrn(layer)
            case Pool():
                kind = "AveragePool" if layer.average else "MaxPool"
                self.last(kind, self.here, **windows(layer, before))
            case Flatten():
                self.last("Flatten", self.here)  # channel, row, column
            case Dropout():
                self.last("Dropout", self.here, self.constant("ratio", np.float32(layer.rate)))  # training_mode is off
            case Softmax():
                self.last("Softmax", self.here, axis=1)
            case _:
                raise Unsupported(f"{layer.name}: no {layer.kind} layer in the ONNX export")

    def node(self, name: str, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, both called so; the name of a step within a layer follows a slash."""
        self.made.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def step(self, part: str, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.node(f"{self.now}/{part}", kind, *inputs, **attributes)

    def last(self, kind: str, *inputs: str, **attributes: Any) -> None:
        """The node that gives the layer's output."""
        self.here = self.node(self.now, kind, *inputs, **attributes)

    def constant(self, part: str, value: Any) -> str:
        name = f"{self.now}/{part}"
        self.constants[name] = np.asarray(value)
        return name

    def ints(self, part: str, values: Sequence[int]) -> str:
        return self.constant(part, np.array(values, np.int64))

    def split(self, part: str, whole: str, count: int, axis: int) -> list[str]:
        """Equal, consecutive parts."""
        names = [f"{self.now}/{part}{number}" for number in range(count)]
        self.made.append(helper.make_node("Split", [whole], names, f"{self.now}/{part}", axis=axis, num_outputs=count))
        return names

    def grouped(self, layer: Dense, before: Shape, weight: str, bias: str) -> None:
        """A product for each group, side by side."""
        parts = zip(
            self.split("input", self.here, layer.groups, 1),
            self.split("weight", weight, layer.groups, 0),
            self.split("bias", bias, layer.groups, 0),
            strict=True,
        )
        names = [self.step(f"group{number}", "Gemm", *given, transB=1) for number, given in enumerate(parts)]
        self.last("Concat", *names, axis=1)

    def lrn(self, layer: Lrn, before: Shape) -> None:
        """ONNX divides alpha by the size, the paper does not: hence alpha * size.

        ONNX Runtime refuses an alpha of 0 (onnxruntime/core/providers/cpu/nn/lrn.h, line 25); NOTHING stands in for it.
        """
        size = 2 * (layer.n // 2) + 1
        given = {"size": size, "alpha": layer.alpha * size or NOTHING, "beta": layer.beta, "bias": layer.k}
        if layer.towers == 1:
            self.last("LRN", self.here, **given)
            return
        parts = self.split("tower", self.here, layer.towers, 1)
        self.last("Concat", *(self.step(f"{part[-6:]}/lrn", "LRN", part, **given) for part in parts), axis=1)

    def spatial_lrn(self, layer: SpatialLrn) -> None:
        """By hand: ONNX has no such operation. The mean over whole windows, zeros counted, times their size is the sum."""
        radius = layer.n // 2
        size = 2 * radius + 1
        squares = self.step("squares", "Mul", self.here, self.here)
        given = {"kernel_shape": [size, size], "pads": [radius] * 4, "count_include_pad": 1}
        mean = self.step("mean", "AveragePool", squares, **given)
        factor = self.constant("alpha", np.float32(layer.alpha * size**2))
        scaled = self.step("scaled", "Mul", mean, factor)
        scale = self.step("scale", "Add", scaled, self.constant("k", np.float32(layer.k)))
        power = self.step("power", "Pow", scale, self.constant("beta", np.float32(layer.beta)))
        self.last("Div", self.here, power)

    def local(self, layer: Local, before: Shape, after: Shape, weight: str, bias: str) -> None:
        """One product of matrices for each position: its window's pixels, (N, C K K), times its kernels, (C K K, O)."""
        channels, _, width = before
        (above, below), (left, right) = borders(layer, before)
        outputs, rows, columns = after
        taps = layer.kernel**2
        pads = self.ints("pads", [0, 0, above, left, 0, 0, below, right])
        x = self.step("padded", "Pad", self.here, pads)
        pixels = self.step("pixels", "Reshape", x, self.ints("as pixels", [0, channels, -1]))  # (N, C, H W)
        where = self.constant("windows", pixels_of_windows(layer, after, width + left + right))  # (H' W', K K)
        x = self.step("patches", "Gather", pixels, where, axis=2)  # (N, C, H' W', K K)
        x = self.step("by position", "Transpose", x, perm=[2, 0, 1, 3])  # (H' W', N, C, K K)
        flat = self.ints("as rows", [rows * columns, -1, channels * taps])
        x = self.step("rows", "Reshape", x, flat)  # (H' W', N, C K K)
        w = self.step("kernels by position", "Transpose", weight, perm=[1, 2, 3, 4, 5, 0])  # (H', W', C, K, K, O)
        as_matrices = self.ints("as matrices", [rows * columns, channels * taps, outputs])
        w = self.step("kernels", "Reshape", w, as_matrices)  # (H' W', C K K, O)
        y = self.step("products", "MatMul", x, w)  # (H' W', N, O)
        y = self.step("by image", "Transpose", y, perm=[1, 2, 0])  # (N, O, H' W')
        y = self.step("maps", "Reshape", y, self.ints("as maps", [0, outputs, rows, columns]))  # (N, O, H', W')
        self.last("Add", y, bias)


def windows(layer: Conv | Pool, before: Shape) -> dict[str, list[int]]:
    """Attributes of a convolution or a pool; what rounding up adds is part of the padding, so that sizes round down."""
    (above, below), (left, right) = borders(layer, before)
    return {
        "kernel_shape": [layer.kernel, layer.kernel],
        "strides": [layer.stride, layer.stride],
        "pads": [above, left, below, right],
    }


def pixels_of_windows(layer: Local, after: Shape, width: int) -> np.ndarray:
    """Where each window's pixels lie in a padded map of this width, counted row by row: (H' W', K K), int64."""
    _, rows, columns = after
    tops, lefts = np.arange(rows) * layer.stride, np.arange(columns) * layer.stride
    taps = np.arange(layer.kernel)
    at = (tops[:, None, None, None] + taps[:, None]) * width + lefts[:, None, None] + taps  # (H', W', K, K)
    return np.ascontiguousarray(at.reshape(rows * columns, -1).astype(np.int64))
