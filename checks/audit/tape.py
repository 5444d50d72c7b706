"""The recording as the audit reads it: every array in N, C, H, W, weights in O, I, H, W or (out, in), float32."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ...impls.foreign.graph import Graph, Operation

Array = np.ndarray

PARAM = "param:"


class Tape:
    """A graph, and the parameters it was run with (in the framework's own layout)."""

    def __init__(self, graph: Graph, params: Mapping[str, Array]) -> None:
        self.graph, self.params = graph, params
        self.maker = {tensor: op for op in graph.operations for tensor in op.outputs}

    def raw(self, tensor: str) -> Array:
        """As the framework holds it."""
        return self.params[tensor.removeprefix(PARAM)] if tensor.startswith(PARAM) else self.graph.tensors[tensor]

    def known(self, tensor: str) -> bool:
        return tensor in self.graph.tensors or tensor.removeprefix(PARAM) in self.params

    def dtype(self, tensor: str) -> str:
        return self.graph.dtypes.get(tensor) or str(self.raw(tensor).dtype)

    def array(self, tensor: str) -> Array:
        """Float32; maps as N, C, H, W."""
        value = self.raw(tensor)
        if value.ndim == 4 and self.layouts.get(tensor, "NCHW") != "NCHW":
            layout = self.layouts[tensor]
            value = value.transpose([layout.index(axis) for axis in "NCHW"])
        return np.ascontiguousarray(value, dtype=np.float32)

    def weight(self, op: Operation, tensor: str) -> Array:
        """A kernel as O, I, H, W or a matrix as (out, in), by what the operation says of its layout."""
        return canonical(self.raw(tensor), str(op.attributes.get("weight_layout", "OIHW")))

    def operand(self, op: Operation, role: str) -> str:
        """The tensor that an operation takes in a role; "" where it takes none."""
        return op.inputs[op.roles[role]] if role in op.roles else ""

    @cached_property
    def layouts(self) -> dict[str, str]:
        """The order of the axes of every tensor of four axes: said by an operation, or handed on from what it took."""
        default, found = self.graph.layout, {self.graph.input: self.graph.layout}
        for op in self.graph.operations:
            said = str(op.attributes.get("layout", ""))
            if said and op.inputs and op.inputs[0] == self.graph.input:
                found[self.graph.input] = said
            taken = next((found[t] for t in op.inputs if t in found and self.axes(t) == 4), default)
            for tensor in op.outputs:
                if self.axes(tensor) == 4:
                    found[tensor] = said or self.handed_on(op, taken)
        return found

    def axes(self, tensor: str) -> int:
        return self.raw(tensor).ndim if self.known(tensor) else 0

    def handed_on(self, op: Operation, taken: str) -> str:
        if op.kind == "reshape":
            return self.graph.layout if self.axes(op.inputs[0]) != 4 or reordered(self, op) else taken
        perm = op.attributes.get("perm")
        if op.kind == "transpose" and perm is not None and len(perm) == 4:
            new = "".join(taken[axis] for axis in perm)
            return new if new in ("NCHW", "NHWC") else taken
        return taken

    @cached_property
    def fed(self) -> frozenset[str]:
        """Tensors that depend on the input; everything else is constant or made of parameters."""
        found = {self.graph.input}
        for op in self.graph.operations:
            if any(tensor in found for tensor in op.inputs):
                found.update(op.outputs)
        return frozenset(found)

    @cached_property
    def made_of(self) -> dict[str, frozenset[str]]:
        """The parameters that each tensor is made of which does not depend on the input."""
        found: dict[str, frozenset[str]] = {}
        for op in self.graph.operations:
            if not any(tensor in self.fed for tensor in op.inputs):
                parts = [self.named(t) or found.get(t, frozenset()) for t in op.inputs]
                found.update(dict.fromkeys(op.outputs, frozenset().union(*parts)))
        return found

    def named(self, tensor: str) -> frozenset[str]:
        return frozenset({tensor.removeprefix(PARAM)}) if tensor.startswith(PARAM) else frozenset()

    def sole(self, tensor: str) -> str:
        """The one parameter that a tensor is, or is made of; "" where there are none or several."""
        found = self.origins(tensor)
        return next(iter(found)) if len(found) == 1 else ""

    def origins(self, tensor: str) -> frozenset[str]:
        """The parameters that a tensor is made of; none where it depends on the input."""
        return self.named(tensor) or self.made_of.get(tensor, frozenset())


def reordered(tape: Tape, op: Operation) -> bool:
    """Does a reshaping of maps give maps of other sizes? Its axes are then what the framework takes them for."""
    return tape.raw(op.inputs[0]).shape != tape.raw(op.outputs[0]).shape


def canonical(value: Array, layout: str) -> Array:
    """A kernel in any order of O, I, H, W (or O, I) as O, I, H, W (or O, I), float32."""
    axes = [axis for axis in "OIHW" if axis in layout]
    if value.ndim != len(layout):
        return np.ascontiguousarray(value, dtype=np.float32)
    return np.ascontiguousarray(value.transpose([layout.index(axis) for axis in axes]), dtype=np.float32)


def own_layout(value: Array, layout: str) -> Array:
    """The way back: from O, I, H, W (or O, I) to the framework's layout."""
    axes = [axis for axis in "OIHW" if axis in layout]
    return np.ascontiguousarray(value.transpose([axes.index(axis) for axis in layout]))
