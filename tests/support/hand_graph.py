"""A recording written by hand, operation by operation, for tests of the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_parity.checks.audit.chain import chain
from alexnet_parity.checks.audit.merge import merged
from alexnet_parity.checks.audit.reading import Reading, read
from alexnet_parity.checks.audit.tape import Tape
from alexnet_parity.checks.audit.unfolded import joined
from alexnet_parity.impls.foreign.graph import Graph, Operation
from alexnet_parity.reference import oracle, spec

Array = np.ndarray


class Hand:
    """Operations in order; each call gives the name of the tensor it made. `params` are in the framework's own layout."""

    def __init__(self, x: Array, params: Mapping[str, Array] | None = None, layout: str = "NCHW") -> None:
        self.tensors: dict[str, Array] = {"x": np.asarray(x, np.float32)}
        self.params = {name: np.asarray(value, np.float32) for name, value in (params or {}).items()}
        self.operations: list[Operation] = []
        self.layout = layout
        self.dtypes: dict[str, str] = {}

    def __getitem__(self, tensor: str) -> Array:
        return self.params[tensor.removeprefix("param:")] if tensor.startswith("param:") else self.tensors[tensor]

    def op(
        self,
        kind: str,
        inputs: str | Sequence[str],
        value: Array,
        name: str = "",
        roles: Mapping[str, int] | None = None,
        **attributes: Any,
    ) -> str:
        return self.several(kind, inputs, [value], name, roles, **attributes)[0]

    def several(
        self,
        kind: str,
        inputs: str | Sequence[str],
        values: Sequence[Array],
        name: str = "",
        roles: Mapping[str, int] | None = None,
        **attributes: Any,
    ) -> list[str]:
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        outputs = tuple(f"t{len(self.tensors) + i}" for i in range(len(values)))
        self.tensors.update(zip(outputs, (keep(value) for value in values), strict=True))
        name = name or f"op{len(self.operations)}"
        self.operations.append(Operation(name, kind, f"{kind}()", inputs, outputs, roles or {}, attributes))
        return list(outputs)

    def layer(self, layer: spec.Layer, at: str, kind: str = "other", **attributes: Any) -> str:
        """A layer without parameters, computed by the oracle in float32."""
        return self.op(kind, at, oracle.apply(layer, {}, self[at]), layer.name, **attributes)

    def affine(self, layer: Any, at: str, weight: str = "", bias: str | None = None, **more: Any) -> str:
        """A convolution or dense layer of the parameters NAME.weight and NAME.bias; "" for no bias."""
        weight, bias = weight or f"param:{layer.name}.weight", f"param:{layer.name}.bias" if bias is None else bias
        vector = self[bias] if bias else np.zeros(len(self[weight]), np.float32)
        y = oracle.apply(layer, {f"{layer.name}.weight": self[weight], f"{layer.name}.bias": vector}, self[at])
        inputs = (at, weight, bias) if bias else (at, weight)
        roles = {"x": 0, "weight": 1} | ({"bias": 2} if bias else {})
        if isinstance(layer, spec.Dense):
            return self.op("dense", inputs, y, layer.name, roles, weight_layout="OI", groups=layer.groups, **more)
        geometry = {
            "stride": (layer.stride,) * 2,
            "padding": getattr(layer, "border", None) or (layer.padding, layer.padding),
            "dilation": (getattr(layer, "dilation", 1),) * 2,
            "groups": layer.groups,
        }
        return self.op("conv", inputs, y, layer.name, roles, weight_layout="OIHW", **{**geometry, **more})

    def graph(self, *outputs: str) -> Graph:
        last = outputs or (self.operations[-1].outputs[-1],)
        return Graph(tuple(self.operations), self.tensors, "x", last, self.layout, self.dtypes)

    def tape(self, *outputs: str) -> Tape:
        return Tape(self.graph(*outputs), self.params)

    def readings(self, *outputs: str) -> list[Reading]:
        """One for each step, before any are merged."""
        tape = self.tape(*outputs)
        return [read(segment, tape) for segment in chain(tape)]

    def layers(self, *outputs: str) -> list[spec.Layer]:
        """What the audit takes the whole for."""
        return [reading.layer for reading in self.merged(*outputs)]

    def merged(self, *outputs: str) -> list[Reading]:
        tape = self.tape(*outputs)
        return merged(joined(self.readings(*outputs), tape), tape)


def keep(value: Array) -> Array:
    """As it is where it is an ordinary number type, else float32."""
    return value.copy() if value.dtype in (np.float16, np.float32, np.int32, np.bool_) else value.astype(np.float32)


def draw(seed: int, *shape: int, spread: float = 10.0) -> Array:
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def weighted(layers: Sequence[tuple[Any, spec.Shape]], seed: int = 0) -> dict[str, Array]:
    """Parameters of layers on inputs of these shapes, large enough to show."""
    shapes = {name: s for layer, shape in layers for name, s in layer.param_shapes(shape).items()}
    return {name: draw(seed + i, *shape, spread=0.3) for i, (name, shape) in enumerate(shapes.items())}
