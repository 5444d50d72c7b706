"""From a data-flow graph to a chain: cut wherever one single tensor carries everything that is still needed.

What lies between two cuts is one function of one tensor, however many operations it took. Towers that run side by side,
from a split (or a shared input) to a concatenation, are taken in step: the first operation of each together, then the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...impls.foreign.graph import Operation
from .tape import Tape

Array = np.ndarray


@dataclass(frozen=True)
class Segment:
    """One step of the chain. `parts`: the same step in each tower; `shared`: all towers read one input."""

    x: str
    y: str
    operations: tuple[Operation, ...]
    parts: tuple[Segment, ...] = ()
    shared: bool = False

    @property
    def name(self) -> str:
        """The user's name of the operation that says most."""
        if self.parts:
            return self.parts[0].name
        return max(self.operations, key=telling).name if self.operations else self.y

    def arrays(self, tape: Tape) -> tuple[Array, Array]:
        """What went in and what came out, towers side by side along the maps."""
        if not self.parts:
            return tape.array(self.x), tape.array(self.y)
        pairs = [part.arrays(tape) for part in self.parts]
        x = pairs[0][0] if self.shared else np.concatenate([x for x, _ in pairs], axis=1)
        return x, np.concatenate([y for _, y in pairs], axis=1)


TELLING = ("conv", "dense", "lrn", "batch_norm", "max_pool", "avg_pool", "softmax", "activation", "dropout")
ROUTES = ("split", "slice")


def telling(op: Operation) -> int:
    return len(TELLING) - TELLING.index(op.kind) if op.kind in TELLING else 0


def chain(tape: Tape) -> list[Segment]:
    """The steps from the input to the output that the most operations lead to."""
    needed = needed_for(tape, output_of(tape))
    return moved_at_once(in_step(cut(needed, tape.graph.input, output_of(tape), tape), tape), tape)


def output_of(tape: Tape) -> str:
    fed = [t for t in tape.graph.outputs if t in tape.fed]
    return max(fed, key=lambda t: len(needed_for(tape, t)), default="")


def needed_for(tape: Tape, output: str) -> list[Operation]:
    """The operations on the way from the input to `output`, in order."""
    wanted, found = {output}, []
    for op in reversed(tape.graph.operations):
        if any(t in wanted for t in op.outputs) and any(t in tape.fed for t in op.inputs):
            wanted.update(t for t in op.inputs if t in tape.fed)
            found.append(op)
    return found[::-1]


def cut(operations: Sequence[Operation], start: str, end: str, tape: Tape) -> list[Segment]:
    """Steps between tensors that carry everything; the last one ends at `end`."""
    left: dict[str, int] = {end: 1}
    for op in operations:
        for tensor in set(op.inputs) & tape.fed:
            left[tensor] = left.get(tensor, 0) + 1
    alive, segments, held = {start}, [], []
    for op in operations:
        held.append(op)
        for tensor in set(op.inputs) & tape.fed:
            left[tensor] -= 1
        alive |= set(op.outputs) & tape.fed
        alive = {tensor for tensor in alive if left.get(tensor, 0)}
        carrier = min(alive, default="")
        if len(alive) == 1 and is_real(carrier, tape):
            if carrier != start:
                segments.append(Segment(start, carrier, tuple(held)))
            start, held = carrier, []
    if held:
        segments.append(Segment(start, end, tuple(held)))
    return segments


def is_real(tensor: str, tape: Tape) -> bool:
    """Bits taken for whole numbers, masks, and maps of more axes than four are on the way to something: no layer ends there."""
    return tape.known(tensor) and tape.raw(tensor).dtype.kind not in "iub" and tape.raw(tensor).ndim <= 4


MOVES = ("transpose", "reshape", "flip", "identity")


def moved_at_once(segments: Sequence[Segment], tape: Tape) -> list[Segment]:
    """Transpositions and reshapings that follow each other are one rearrangement; a flattening stands for itself, so that a
    transposition before it can belong to the layer that it ends."""
    found: list[Segment] = []
    for segment in segments:
        if found and moves(found[-1]) and moves(segment) and tape.axes(segment.y) != 2:
            found[-1] = as_one([found[-1], segment])
        else:
            found.append(segment)
    return found


def moves(segment: Segment) -> bool:
    return not segment.parts and bool(segment.operations) and all(op.kind in MOVES for op in segment.operations)


def as_one(segments: Sequence[Segment]) -> Segment:
    operations = tuple(op for segment in segments for op in segment.operations)
    return Segment(segments[0].x, segments[-1].y, operations)


# Towers ----------------------------------------------------------------------------------------------------------------


def in_step(segments: list[Segment], tape: Tape) -> list[Segment]:
    return [step for segment in segments for step in (towers(segment, tape) or [segment])]


@dataclass
class Branch:
    start: str
    end: str
    operations: list[Operation]


def towers(segment: Segment, tape: Tape) -> list[Segment] | None:
    """The steps of parallel towers side by side; None where the segment is no such thing."""
    if len(segment.operations) < 3 or segment.operations[-1].kind != "concat":
        return None
    branches = split(segment, tape)
    if branches is None or len(branches) < 2:
        return None
    chains = [in_step(cut(b.operations, b.start, b.end, tape), tape) for b in branches]
    if len({len(steps) for steps in chains}) != 1 or not chains[0]:
        return None
    if not all(abreast([part.arrays(tape)[1] for part in parts]) for parts in zip(*chains, strict=True)):
        return None
    shared = len({b.start for b in branches}) == 1
    if not shared and not abreast([tape.array(b.start) for b in branches]):
        return None
    steps = side_by_side(chains, shared, tape)
    if steps[-1].parts and not beside(segment, branches, tape):
        return None
    return [*routes(segment, steps, branches, tape), *steps, *joins(segment, steps)]


def abreast(maps: list[Array]) -> bool:
    """Can they stand side by side, being alike but for how many maps there are?"""
    return len({(len(m), *m.shape[2:]) for m in maps}) == 1


def side_by_side(chains: list[list[Segment]], shared: bool, tape: Tape) -> list[Segment]:
    """One step from those of all towers; what every tower does alike to an input that they share is done once."""
    steps = []
    for parts in zip(*chains, strict=True):
        outputs = [part.arrays(tape)[1] for part in parts]
        if shared and all(np.array_equal(outputs[0], other) for other in outputs[1:]):
            steps.append(parts[0])
            continue
        operations = tuple(op for part in parts for op in part.operations)
        steps.append(Segment("", "", operations, tuple(parts), shared))
        shared = False
    return steps


def split(segment: Segment, tape: Tape) -> list[Branch] | None:
    """The towers in the order of the concatenation, or None."""
    *inner, last = segment.operations
    starts = {t for op in inner if is_route(op, segment.x) for t in op.outputs} | {segment.x}
    working = [op for op in inner if not is_route(op, segment.x)]
    maker = {t: op for op in working for t in op.outputs}
    branches = []
    for end in (t for t in last.inputs if t in tape.fed):
        own, wanted, begins = [], {end}, set()
        for op in reversed(working):
            if any(t in wanted for t in op.outputs):
                own.append(op)
                wanted.update(t for t in op.inputs if t in tape.fed)
        begins = {t for t in wanted if t not in maker}
        if len(begins) != 1 or not begins <= starts:
            return None
        branches.append(Branch(begins.pop(), end, own[::-1]))
    used = [id(op) for b in branches for op in b.operations]
    return None if len(used) != len(set(used)) else branches


def is_route(op: Operation, x: str) -> bool:
    return op.kind in ROUTES and x in op.inputs


def beside(segment: Segment, branches: list[Branch], tape: Tape) -> bool:
    """Are the towers put side by side at the end, and not along another axis?"""
    put, whole = [tape.array(branch.end) for branch in branches], tape.array(segment.y)
    return abreast([*put, whole]) and np.array_equal(np.concatenate(put, axis=1), whole)


def routes(segment: Segment, steps: list[Segment], branches: list[Branch], tape: Tape) -> list[Segment]:
    """How the maps are dealt to the towers, where that is not simply in order."""
    if steps[0].shared or not steps[0].parts:
        return []
    dealt, whole = np.concatenate([tape.array(b.start) for b in branches], axis=1), tape.array(segment.x)
    if dealt.shape == whole.shape and np.array_equal(dealt, whole):
        return []
    parts = tuple(Segment(segment.x, b.start, ()) for b in branches)
    return [Segment(segment.x, "", segment.operations[:1], parts, shared=True)]


def joins(segment: Segment, steps: list[Segment]) -> list[Segment]:
    """The concatenation, where what all towers did alike was done once."""
    return [] if steps[-1].parts else [Segment(steps[-1].y, segment.y, segment.operations[-1:])]
