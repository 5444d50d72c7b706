"""What every recording must satisfy, whichever framework it comes from."""

from __future__ import annotations

from collections.abc import Iterable

from alexnet_parity.impls.foreign.graph import Graph


def check(graph: Graph, parameters: Iterable[str]) -> None:
    """Every operation takes what is there already and gives what is not; names and outputs never repeat."""
    known = {graph.input, *(f"param:{name}" for name in parameters)}
    known |= {name for name in graph.tensors if name.startswith("const:")}
    names = [operation.name for operation in graph.operations]
    assert len(names) == len(set(names)), names
    for operation in graph.operations:
        assert set(operation.inputs) <= known, (operation.name, set(operation.inputs) - known)
        assert not set(operation.outputs) & known, operation.name
        assert len(operation.outputs) == len(set(operation.outputs)), operation.name
        assert all(place < len(operation.inputs) for place in operation.roles.values()), operation.name
        known |= set(operation.outputs)
    assert graph.outputs
    assert set(graph.outputs) <= known
    assert all(array.flags.owndata or array.base is None for array in graph.tensors.values())
