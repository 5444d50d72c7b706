"""Which layer, with which numbers, explains what a step took and gave: proved on every element, within the derived bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ...impls.foreign.graph import Operation
from ...reference import oracle
from ...reference.mistaken import Border, BorderedConv, ChannelNorm, Dilated
from ...reference.spec import AFFINE, Conv, Dense, Layer, Lrn, Shape
from .. import bounds, compare
from ..traps import TRAPS, Site
from ..traps.trap import Trap
from .atoms import Bias, Dropped, Padded, Same, Unexplained
from .chain import Segment
from .plain import COARSER, candidates
from .tape import Tape

Array = np.ndarray
Params = dict[str, Array]

TINY = 2.0**-126  # numbers below it lose bits, or are taken for zero
SAME_BITS = ({"tf32", "float16"}, {"weights-tf32", "weights-float16"})  # told alike by ten bits of mantissa


@dataclass(frozen=True)
class Reading:
    """A step and the layer that it is.

    params: the layer's own, canonical ("NAME.weight", "NAME.bias"). share: of the bound that was used. quirks: traps that
    lie in how its weights are used. origin: the model's parameters by role ("weight", "bias"). x, y: float32, N, C, H, W.
    """

    layer: Layer
    segment: Segment
    x: Array
    y: Array
    params: Params = field(default_factory=dict)
    share: float = 0.0
    quirks: tuple[str, ...] = ()
    origin: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Of the input, without the batch."""
        return self.x.shape[1:]


def read(segment: Segment, tape: Tape) -> Reading:
    """The first reading that holds; Unexplained where none does."""
    x, y = segment.arrays(tape)
    if np.isnan(x).any():
        return unexplained(segment, x, y, "was given numbers that are not finite")
    if np.isnan(y).any() or (np.isinf(y).any() and not is_padding(segment)):
        return unexplained(segment, x, y, "gave numbers that are not finite")
    if segment.parts and segment.parts[0].operations:
        return read_towers(segment, tape, x, y)
    affine = [op for op in segment.operations if op.kind in ("conv", "dense") and learned(op, tape)]
    if len(affine) == 1:
        return read_affine(segment, affine[0], tape, x, y)
    if affine:
        return unexplained(segment, x, y, f"mixes {len(affine)} layers with weights")
    return read_plain(segment, tape, x, y)


def learned(op: Operation, tape: Tape) -> bool:
    """Is its weight made of parameters? A convolution with constants is a way to sum or to cut out patches."""
    return bool(tape.origins(tape.operand(op, "weight")))


def is_padding(segment: Segment) -> bool:
    """Minus infinity around the maps is how max-pooling is padded by hand."""
    return any(op.kind == "pad" for op in segment.operations)


def unexplained(segment: Segment, x: Array, y: Array, why: str) -> Reading:
    kinds = [op.kind for op in segment.operations]
    called = segment.operations[-1].call if segment.operations else segment.name
    label = max(segment.operations, key=lambda op: len(op.call)).call if "other" in kinds else called
    return Reading(Unexplained(segment.name, says=f"{label}: {why}"), segment, x, y)


def judge(
    layer: Layer, params: Params, x: Array, y: Array, coarser: float = 1.0, carried: bool = False
) -> float | None:
    """The share of the bound that is used, where the layer explains y; None where it does not.

    carried: the bound of a normalisation whose sum of squares is carried along from map to map.
    """
    try:
        if (len(x), *layer.output(x.shape[1:])) != y.shape:
            return None
        deep = x.astype(np.float64)
        with np.errstate(all="ignore"):
            want = oracle.apply(layer, params, deep)
            bound = (
                bounds.running_sum_tolerance(layer, deep, want)
                if carried and isinstance(layer, Lrn)
                else coarser * bounds.local_tolerance(layer, params, deep, want)
            )
            outcome = compare.within(y, want, bound + TINY)
    except (ValueError, KeyError, IndexError):
        return None
    return (outcome.share or 0.0) if outcome.ok else None


# Layers with weights ----------------------------------------------------------------------------------------------------


def read_affine(segment: Segment, op: Operation, tape: Tape, x: Array, y: Array) -> Reading:
    weight_at, bias_at = tape.operand(op, "weight"), tape.operand(op, "bias")
    if not weight_at or weight_at in tape.fed or not tape.known(weight_at):
        return unexplained(segment, x, y, "has weights that depend on its input")
    if tape.operand(op, "x") != segment.x or op.outputs[0] != segment.y:
        return unexplained(segment, x, y, f"does more than one thing around {op.call}")
    weight = tape.weight(op, weight_at)
    name = op.name
    layer = declared(op, weight, x)
    if layer is None:
        return unexplained(segment, x, y, f"a weight of {weight.shape} over an input of {x.shape[1:]}")
    bias = np.asarray(tape.raw(bias_at), dtype=np.float32).reshape(-1) if bias_at else np.zeros(len(weight), np.float32)
    params = {f"{name}.weight": weight, f"{name}.bias": bias}
    coarse = tape.dtype(op.outputs[0])
    share = judge(layer, params, x, y, COARSER.get(coarse, 1.0))
    if share is None:
        return alternative(segment, layer, params, x, y)
    origin = {"weight": tape.sole(weight_at), "bias": tape.sole(bias_at) if bias_at else ""}
    quirks = used_otherwise(layer, tape, op, weight_at, weight, x)
    narrow = (coarse,) if coarse in COARSER else ()
    same = ("tf32", "float16") if coarse == "float16" else narrow
    quirks = tuple(q for q in quirks if not narrow or q.removeprefix("weights-") not in same)
    return Reading(layer, segment, x, y, params, share, (*narrow, *quirks), origin)


def declared(op: Operation, weight: Array, x: Array) -> Conv | Dense | None:
    """The layer as the operation describes itself; None where its sizes do not fit together."""
    if op.kind == "dense":
        groups = int(op.attributes.get("groups", 1))
        fits = x.ndim == 2 and weight.ndim == 2 and groups * weight.shape[1] == x.shape[1]
        return Dense(op.name, len(weight), groups) if fits else None
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[2] != weight.shape[3] or x.shape[1] % weight.shape[1]:
        return None
    stride, dilation = (op.attributes.get(key, (1, 1)) for key in ("stride", "dilation"))
    if len({*stride}) > 1 or len({*dilation}) > 1:
        return None
    (above, below), (left, right) = op.attributes.get("padding", ((0, 0), (0, 0)))
    border = ((int(above), int(below)), (int(left), int(right)))
    groups = x.shape[1] // weight.shape[1]
    return convolution(op.name, len(weight), weight.shape[2], int(stride[0]), border, groups, int(dilation[0]))


def convolution(name: str, channels: int, kernel: int, stride: int, border: Border, groups: int, dilation: int) -> Conv:
    """The plainest layer that says it: padding alike in rows and columns, no dilation, where that is so."""
    rows, columns = border
    if rows != columns:
        return BorderedConv(name, channels, kernel, stride, groups=groups, dilation=dilation, border=(rows, columns))
    if dilation > 1:
        return Dilated(name, channels, kernel, stride, (rows[0], rows[1]), groups, dilation=dilation)
    return Conv(name, channels, kernel, stride, (rows[0], rows[1]), groups)


def alternative(segment: Segment, layer: Conv | Dense, params: Params, x: Array, y: Array) -> Reading:
    """It is not what it says: the same layer under each mistake of arithmetic that the catalogue knows."""
    site = Site(layer, x.shape[1:], x.shape[1:])
    found = []
    for trap in TRAPS:
        if (trap.weights or trap.inputs) and isinstance(layer, trap.kinds):
            own = trap.edited_params(site, params)
            fed = trap.inputs(x) if trap.inputs else x
            if own is not None and (share := judge(layer, {**params, **own}, fed, y)) is not None:
                found.append((trap.id, share))
    if len(found) == 1 or {trap for trap, _ in found} in SAME_BITS:
        return Reading(layer, segment, x, y, params, found[0][1], (found[0][0],))
    return replace(unexplained(segment, x, y, "its weights do not explain its output"), params=params)


def used_otherwise(layer: Layer, tape: Tape, op: Operation, tensor: str, weight: Array, x: Array) -> tuple[str, ...]:
    """How the weight that was used differs from the parameter that it was made of: the catalogue's edits, or two of them."""
    if tensor.startswith("param:"):
        return ()
    name = tape.sole(tensor)
    if not name:
        return () if tape.origins(tensor) else ("weights-fixed",)
    stored = tape.raw(f"param:{name}")
    for given in arrangements(stored, weight):
        if np.array_equal(given, weight):
            return ()
        for quirks, edited in edits(layer, given, x.shape[1:]):
            if edited.shape == weight.shape and np.array_equal(edited, weight):
                return quirks
    return ("weights-derived",)


def arrangements(stored: Array, weight: Array) -> Iterator[Array]:
    """The parameter as each order of axes makes it a weight of this shape."""
    layouts = {4: ("OIHW", "HWIO", "OHWI"), 2: ("OI", "IO")}.get(weight.ndim, ())
    axes = "OIHW"[: weight.ndim]
    if stored.ndim != weight.ndim:
        if stored.size == weight.size:
            yield stored.reshape(weight.shape).astype(np.float32)
        return
    for layout in layouts:
        given = stored.transpose([layout.index(axis) for axis in axes])
        if given.shape == weight.shape or sorted(given.shape) == sorted(weight.shape):
            yield np.ascontiguousarray(given, dtype=np.float32)


def edits(layer: Layer, weight: Array, inputs: Shape) -> Iterator[tuple[tuple[str, ...], Array]]:
    """Weights under one mistake, then under two."""
    site, zeros = Site(layer, inputs, inputs), np.zeros(len(weight), np.float32)
    traps = [t for t in TRAPS if t.weights and not t.inputs and isinstance(layer, t.kinds) and t.trick != "no-bias"]

    def under(trap: Trap, given: Array) -> Array | None:
        changed = trap.weights(site, given, zeros) if trap.weights else None
        return None if changed is None else changed[0]

    singles = [((trap.id,), new) for trap in traps if (new := under(trap, weight)) is not None]
    yield from singles
    for (first,), given in singles:
        for trap in traps:
            if trap.id != first and (new := under(trap, given)) is not None:
                yield (first, trap.id), new


# Towers -----------------------------------------------------------------------------------------------------------------


def read_towers(segment: Segment, tape: Tape, x: Array, y: Array) -> Reading:
    """The same layer in each tower: one layer in groups, or with towers of its own; judged once more as the whole."""
    parts = [read(part, tape) for part in segment.parts]
    parts = [
        replace(part, layer=replace(part.layer, share=0.5)) if isinstance(part.layer, Dropped) else part
        for part in parts
    ]
    parts = of_one_kind(parts)
    first = parts[0].layer
    alike = all(replace(part.layer, name=first.name) == first for part in parts)
    if not alike or isinstance(first, Unexplained):
        return unexplained(segment, x, y, "is not the same in each tower")
    share = max(part.share for part in parts)
    if isinstance(first, AFFINE):
        return grouped(segment, parts, tape, x, y, share)
    if isinstance(first, Lrn):
        first = replace(first, towers=len(parts) * first.towers)
    if isinstance(first, Dropped):
        first = replace(first, share=float(((x != 0) & (y == 0)).sum() / max(1, (x != 0).sum())))
    params = side_by_side(first.name, parts)
    if needs_judging(first) and judge(first, params, x, y) is None:
        return unexplained(segment, x, y, f"is {first.kind} within each tower")
    return Reading(first, segment, x, y, params, share)


def of_one_kind(parts: list[Reading]) -> list[Reading]:
    """The readings under the first layer without parameters, of one tower, that explains every tower."""
    layers = dict.fromkeys(p.layer for p in parts if isinstance(p.layer, Lrn))
    for layer in layers if len({replace(p.layer, name="") for p in parts}) > 1 else ():
        shares = [judge(layer, {}, p.x, p.y) for p in parts]
        if None not in shares:
            named = [replace(layer, name=p.layer.name) for p in parts]
            return [replace(p, layer=n, share=s or 0.0) for p, n, s in zip(parts, named, shares, strict=True)]
    return parts


def side_by_side(name: str, parts: list[Reading]) -> Params:
    """The parameters of all towers as one layer's."""
    roles = [key.rpartition(".")[2] for key in parts[0].params]
    return {f"{name}.{r}": np.concatenate([p.params[f"{p.layer.name}.{r}"] for p in parts]) for r in roles}


def grouped(segment: Segment, parts: list[Reading], tape: Tape, x: Array, y: Array, share: float) -> Reading:
    """Convolutions or dense layers of all towers as one in groups, or ungrouped where they share their input."""
    first = parts[0].layer
    assert isinstance(first, Conv | Dense)
    if segment.shared and first.groups > 1:
        return unexplained(segment, x, y, "is grouped in each of several towers")
    width = "units" if isinstance(first, Dense) else "channels"
    total = sum(getattr(part.layer, width) for part in parts)
    groups = 1 if segment.shared else len(parts) * first.groups
    layer = replace(first, **{width: total, "groups": groups})
    params, quirks = side_by_side(layer.name, parts), parts[0].quirks
    if all("weights-derived" in part.quirks for part in parts):
        quirks = sliced(layer, params[f"{layer.name}.weight"], {part.origin["weight"] for part in parts}, tape, x)
    return Reading(layer, segment, x, y, params, share, quirks, parts[0].origin)


def sliced(layer: Layer, weight: Array, origins: set[str], tape: Tape, x: Array) -> tuple[str, ...]:
    """Towers that each use a slice of one kernel: how the whole of it is used."""
    if len(origins) != 1 or "" in origins:
        return ("weights-derived",)
    for given in arrangements(tape.raw(f"param:{next(iter(origins))}"), weight):
        for quirks, edited in [((), given), *edits(layer, given, x.shape[1:])]:
            if np.array_equal(edited, weight):
                return quirks
    return ("weights-derived",)


# The rest ---------------------------------------------------------------------------------------------------------------


def read_plain(segment: Segment, tape: Tape, x: Array, y: Array) -> Reading:
    norms: list[Lrn] = []
    for layer, params in candidates(segment, tape, x, y):
        norms += [layer] if isinstance(layer, Lrn) else []
        if not needs_judging(layer):
            return Reading(layer, segment, x, y, params)
        if (share := judge(layer, params, x, y)) is not None:
            origin = {"weight": "", "bias": ""} if isinstance(layer, ChannelNorm) else {}
            return Reading(layer, segment, x, y, params, share, origin=origin)
    for layer in norms[:4]:
        if (share := judge(layer, {}, x, y, carried=True)) is not None:
            return Reading(layer, segment, x, y, share=share, quirks=("lrn-running-sum",))
    return unexplained(segment, x, y, pattern(x, y))


def needs_judging(layer: Layer) -> bool:
    """Steps that are less than a layer were checked number by number when they were proposed."""
    return not isinstance(layer, Same | Bias | Padded | Dropped)


def pattern(x: Array, y: Array) -> str:
    """How the output looks beside the input, for what nothing explains."""
    if x.shape != y.shape:
        return f"makes {y.shape[1:]} of {x.shape[1:]}, in no way the catalogue knows"
    with np.errstate(all="ignore"):
        ratio = y[np.abs(x) > 1e-6] / x[np.abs(x) > 1e-6]
    changed = np.mean(x != y)
    if not ratio.size:
        return "changes zeros"
    return (
        f"changes {changed:.0%} of the numbers, in no way the catalogue knows; "
        f"output over input lies between {ratio.min():.4g} and {ratio.max():.4g}, {np.median(ratio):.4g} in the middle"
    )
