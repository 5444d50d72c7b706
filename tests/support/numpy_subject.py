"""A model in plain NumPy, recorded as a framework's would be: the audit is tested without any framework.

Float32 throughout, computed by the oracle's functions, which the layers' own tests hold against loops and hand-worked numbers.
`hints=False` hides what an operation is: everything must then be read off the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from alexnet_parity.checks.traps import half, mantissa
from alexnet_parity.impls.foreign.graph import Graph, Operation, unlike
from alexnet_parity.reference import oracle, spec
from alexnet_parity.reference.mistaken import (
    Activation,
    AdaptivePool,
    Affine,
    ChannelNorm,
    Dilated,
    LogSoftmax,
    PaddedMean,
    RandomDropout,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)

Array = np.ndarray


def rolled(weight: Array) -> Array:
    return np.roll(weight, len(weight) // 2, axis=0)


def transposed(weight: Array) -> Array:
    return weight.T.reshape(weight.shape) if weight.ndim == 2 else weight.swapaxes(-2, -1)


WEIGHTS = {
    "flip": lambda w: w[..., ::-1, ::-1],
    "transpose": transposed,
    "bgr": lambda w: w[:, ::-1],
    "swap-halves": rolled,
    "weights-tf32": mantissa(10),
    "weights-float16": half,
    "weights-bfloat16": mantissa(7),
}


class Subject:
    framework = "numpy"
    batch = None
    trains = True

    def __init__(
        self,
        network: spec.Network,
        params: Mapping[str, Array],
        tricks: Mapping[str, tuple[str, ...]] | None = None,
        hints: bool = True,
        seed: int = 0,
    ) -> None:
        self.network, self.tricks, self.hints = network, dict(tricks or {}), hints
        self.held = {n: np.array(v, np.float32) for n, v in params.items() if not self.biasless(n)}
        self.input_shape = network.input_shape
        self.frozen: tuple[str, ...] = ()
        self.random = np.random.default_rng(seed)

    def biasless(self, name: str) -> bool:
        layer, _, role = name.rpartition(".")
        return role == "bias" and "no-bias" in self.tricks.get(layer, ())

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        return {name: value.shape for name, value in self.held.items()}

    def value(self, name: str) -> Array:
        return self.held[name].copy()

    def load(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            if name not in self.held or self.held[name].shape != value.shape:
                raise unlike(name, value.shape, self.held.get(name, np.empty(0)).shape)
            self.held[name] = value.astype(np.float32)

    def record(self, x: Array, training: bool = False) -> Graph:
        return Recorder(self, training).run(x)


class Recorder:
    def __init__(self, subject: Subject, training: bool) -> None:
        self.subject, self.training = subject, training
        self.operations: list[Operation] = []
        self.tensors: dict[str, Array] = {}

    def note(self, name: str, kind: str, inputs: tuple[str, ...], output: Array, call: str = "", **more: Any) -> str:
        kind = kind if self.subject.hints or kind in ("conv", "dense", "add") else "other"
        roles, attributes = more.pop("roles", {}), more if self.subject.hints or kind in ("conv", "dense") else {}
        tensor = f"t{len(self.tensors)}"
        self.tensors[tensor] = np.array(output, dtype=output.dtype if output.dtype == np.float16 else np.float32)
        self.operations.append(Operation(name, kind, call or f"{kind}({name})", inputs, (tensor,), roles, attributes))
        return tensor

    def run(self, x: Array) -> Graph:
        self.tensors["x"] = x.astype(np.float32)
        at = "x"
        with np.errstate(all="ignore"):  # k = 0 divides zeros by zeros
            for layer in self.subject.network.layers:
                at = self.layer(layer, at)
        return Graph(self.operations, self.tensors, "x", (at,), "NCHW")

    def layer(self, layer: spec.Layer, at: str) -> str:
        x = self.tensors[at]
        if isinstance(layer, spec.AFFINE):
            return self.affine(layer, at)
        if isinstance(layer, spec.Dropout | RandomDropout):
            return self.dropout(layer, at, x)
        if isinstance(layer, ChannelNorm):
            names = tuple(f"param:{layer.name}.{part}" for part in ("weight", "bias"))
            roles = {"x": 0, "weight": 1, "bias": 2}
            return self.note(
                layer.name, "batch_norm", (at, *names), oracle.apply(layer, self.subject.held, x), roles=roles
            )
        kind, attributes = described(layer)
        return self.note(layer.name, kind, (at,), oracle.apply(layer, {}, x), **attributes)

    def affine(self, layer: Any, at: str) -> str:
        tricks, held, name = self.subject.tricks.get(layer.name, ()), self.subject.held, layer.name
        weight, bias = f"param:{name}.weight", f"param:{name}.bias"
        narrow = next((t for t in tricks if t in ("float16", "bfloat16", "tf32")), "")
        rounded = {"float16": half, "bfloat16": mantissa(7), "tf32": mantissa(10)}.get(narrow, lambda v: v)
        used = held[f"{name}.weight"]
        for trick in tricks:
            if trick in WEIGHTS:
                used = np.ascontiguousarray(WEIGHTS[trick](used))
                weight = self.note(f"{name}/{trick}", "other", (weight,), used)
        if narrow:
            at = self.note(f"{name}/x", "cast", (at,), rounded(self.tensors[at]))
            used = rounded(used)
            weight = self.note(f"{name}/weight", "cast", (weight,), used)
        values = {f"{name}.weight": used, f"{name}.bias": held.get(f"{name}.bias", np.zeros(len(used), np.float32))}
        inputs = (at, weight) if "no-bias" in tricks else (at, weight, bias)
        roles = {"x": 0, "weight": 1} | ({} if "no-bias" in tricks else {"bias": 2})
        y = oracle.apply(layer, values, self.tensors[at])
        y = y.astype(np.float16) if narrow == "float16" else y
        if isinstance(layer, spec.Dense):
            out = self.note(name, "dense", inputs, y, roles=roles, weight_layout="OI", groups=layer.groups)
        elif isinstance(layer, spec.Local):
            out = self.note(name, "other", inputs, y)
        else:
            pads = spec.borders(layer, self.tensors[at].shape[1:])
            dilation = layer.dilation if isinstance(layer, Dilated) else 1
            geometry = {
                "stride": (layer.stride,) * 2,
                "padding": pads,
                "dilation": (dilation,) * 2,
                "groups": layer.groups,
            }
            out = self.note(name, "conv", inputs, y, roles=roles, weight_layout="OIHW", layout="NCHW", **geometry)
        if narrow == "float16":
            out = self.note(f"{name}/float32", "cast", (out,), y.astype(np.float32))
        if "double-bias" in tricks:
            again = self.tensors[out] + held[f"{name}.bias"].reshape(1, -1, *(1 for _ in y.shape[2:]))
            out = self.note(f"{name}/bias", "add", (out, bias), again, roles={"x": 0, "bias": 1})
        return out

    def dropout(self, layer: Any, at: str, x: Array) -> str:
        always, scaled, factor, maps = (
            getattr(layer, field, default)
            for field, default in (("always", False), ("scaled", True), ("factor", 1.0), ("maps", False))
        )
        if not (self.training or always):
            return self.note(layer.name, "dropout", (at,), x * np.float32(factor), rate=layer.rate)
        shape = (*x.shape[:2], 1, 1) if maps else x.shape
        kept = self.subject.random.random(shape) >= layer.rate
        y = x * kept * np.float32(1 / (1 - layer.rate) if scaled else 1)
        return self.note(layer.name, "dropout", (at,), y.astype(np.float32), rate=layer.rate)


def described(layer: spec.Layer) -> tuple[str, dict[str, Any]]:
    """Kind and attributes as an adapter would give them."""
    match layer:
        case spec.Relu():
            return "activation", {"function": "relu"}
        case Activation():
            return "activation", {"function": layer.function, "slope": layer.slope}
        case spec.Lrn() if layer.towers == 1:
            half = layer.n // 2
            return "lrn", {"before": half, "after": half, "k": layer.k, "alpha": layer.alpha, "beta": layer.beta}
        case WindowLrn() if not (layer.mean or layer.plain or layer.inverted):
            constants = {"k": layer.k, "alpha": layer.alpha, "beta": layer.beta}
            return "lrn", {"before": layer.before, "after": layer.after, **constants}
        case spec.Pool():
            sizes = {"kernel": (layer.kernel,) * 2, "stride": (layer.stride,) * 2}
            pads = {"padding": getattr(layer, "border", (layer.padding, layer.padding)), "ceil": layer.ceil}
            return ("avg_pool" if layer.average else "max_pool"), sizes | pads
        case PaddedMean():
            sizes = {"kernel": (layer.kernel,) * 2, "stride": (layer.stride,) * 2}
            return "avg_pool", {**sizes, "padding": ((layer.padding,) * 2,) * 2, "count_include_pad": True}
        case Affine():
            return "mul", {}
        case Reordered(order="rows-columns"):
            return "transpose", {"perm": (0, 1, 3, 2)}
        case AdaptivePool():
            return "adaptive_avg_pool" if layer.average else "adaptive_max_pool", {"size": (layer.size,) * 2}
        case spec.Flatten():
            return "reshape", {}
        case spec.Softmax() | SoftmaxOver():
            return "softmax", {"axis": getattr(layer, "axis", 1)}
        case LogSoftmax():
            return "log_softmax", {"axis": 1}
    return "other", {}
