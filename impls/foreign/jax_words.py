"""What an equation of a jaxpr is in the words of `graph.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SIMPLE = {
    **{"add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "pow", "sqrt": "sqrt"},
    **{"square": "square", "reduce_sum": "sum", "reshape": "reshape", "squeeze": "reshape", "expand_dims": "reshape"},
    **{"broadcast_in_dim": "reshape", "slice": "slice", "dynamic_slice": "slice", "pad": "pad", "copy": "identity"},
    **{"convert_element_type": "cast", "reduce_precision": "cast", "stop_gradient": "identity", "copy_p": "identity"},
    **{"optimization_barrier": "identity"},
}
ACTIVATIONS = {"tanh": "tanh", "logistic": "sigmoid", "abs": "abs"}
# Functions that JAX ships; a jaxpr keeps their names. JAX calls softmax and log_softmax over the last axis by default.
WHOLE = {
    **{"relu": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu", "elu": "elu", "selu": "selu", "silu": "silu"},
    **{"swish": "silu", "softplus": "softplus", "soft_sign": "softsign", "sigmoid": "sigmoid"},
}
KEPT = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose")  # the same parameter, spread out


@dataclass(frozen=True)
class Value:
    """A tensor: its id, the array, whether it is made without the images, and which parameter it is, if spread only."""

    id: str
    array: Any
    not_from_x: bool = False
    parameter: str = ""


@dataclass(frozen=True)
class Reader:
    inputs: Sequence[Value]
    layout: str


@dataclass(frozen=True)
class Word:
    kind: str
    call: str
    roles: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    spread: str = ""


def whole(name: str, inputs: Sequence[Value], outputs: Sequence[tuple[int, ...]]) -> str | None:
    """The function's name, if it is an activation that is recorded as one operation."""
    same = len(outputs) == 1 and bool(inputs) and inputs[0].array.shape == outputs[0]
    others = all(np.size(value.array) == 1 and value.not_from_x for value in inputs[1:])
    return name if name in WHOLE and same and others else None


def word(called: str, equation: Any, reader: Reader) -> Word:
    """An equation in our words; "other" where nothing fits."""
    given, inputs = equation.params, reader.inputs
    if called in WHOLE:
        slope = {"slope": float(inputs[1].array)} if len(inputs) > 1 else {}
        slope = slope or ({"slope": 1.0} if called == "elu" else {})
        return Word("activation", f"jax.nn.{called}", {"x": 0}, {"function": WHOLE[called], **slope})
    if called in ACTIVATIONS:
        return Word("activation", f"lax.{called}", {"x": 0}, {"function": ACTIVATIONS[called]})
    if called in SPECIAL:
        return SPECIAL[called](f"lax.{called}", given, reader)
    kind = SIMPLE.get(called, "other")
    roles = added(inputs) if kind == "add" else {"x": 0} if inputs else {}
    spread = inputs[0].parameter if called in KEPT and inputs else ""
    return Word(kind, f"lax.{called}", roles, {}, spread)


def added(inputs: Sequence[Value]) -> dict[str, int]:
    """Which operand of an addition is a bias: a parameter that was only spread over the others."""
    spread = [bool(value.parameter) for value in inputs]
    if len(inputs) == 2 and sum(spread) == 1 and not inputs[spread.index(False)].not_from_x:
        return {"x": spread.index(False), "bias": spread.index(True)}
    return {}


def written(call: str, **arguments: Any) -> str:
    return f"{call}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


def ints(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def letters(spec: Sequence[int], axes: str) -> str:
    """Where each of `axes` is found -> the axes in the order in which they are: (3, 2, 0, 1), "OIHW" -> "HWIO"."""
    return "".join(axes[list(spec).index(axis)] for axis in range(len(spec)))


def conv(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    numbers = given["dimension_numbers"]
    strides, padding = ints(given["window_strides"]), tuple(ints(pair) for pair in given["padding"])
    call = written(call, window_strides=strides, padding=padding, feature_group_count=given["feature_group_count"])
    straight = set(given["lhs_dilation"]) <= {1} and numbers.lhs_spec == numbers.out_spec
    if len(strides) != 2 or not straight or given["batch_group_count"] != 1 or not reader.inputs[1].not_from_x:
        return Word("other", call)
    attributes = {
        "stride": strides,
        "padding": padding,
        "dilation": ints(given["rhs_dilation"]),
        "groups": int(given["feature_group_count"]),
        "layout": letters(numbers.lhs_spec, "NCHW"),
        "weight_layout": letters(numbers.rhs_spec, "OIHW"),
    }
    return Word("conv", call, {"x": 0, "weight": 1}, attributes)


def dot(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    """x W or x W^T with W made of parameters alone."""
    ((left, right), (batch, _)) = given["dimension_numbers"]
    x, weight = reader.inputs
    call = written(call, contracting=(ints(left), ints(right)))
    flat = not batch and len(x.array.shape) == 2 and len(weight.array.shape) == 2
    if flat and ints(right) == (1,) and x.not_from_x and not weight.not_from_x:  # W x^T, as vmap writes `weight @ x`
        return Word("other", call, {"x": 1, "weight": 0}, {"weight_layout": "OI" if ints(left) == (1,) else "IO"})
    plain = flat and ints(left) == (1,)
    if not plain or x.not_from_x or not weight.not_from_x:
        return Word("other", call)
    return Word("dense", call, {"x": 0, "weight": 1}, {"weight_layout": "IO" if ints(right) == (0,) else "OI"})


def windows(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    """reduce_window: a pool, or the sum that a mean or a response normalisation begins with."""
    size, step = ints(given["window_dimensions"]), ints(given["window_strides"])
    padding = tuple(ints(pair) for pair in given["padding"])
    kind = "max_pool" if call.endswith("max") else "sum"
    call = written(call, window_dimensions=size, window_strides=step, padding=padding)
    dilated = {*given.get("base_dilation", ()), *given.get("window_dilation", ())} - {1}
    wide = tuple(axis for axis in range(len(size)) if size[axis] > 1 or step[axis] > 1)
    layouts: dict[tuple[int, ...], str] = {(1, 2): "NHWC", (2, 3): "NCHW"}
    layout = layouts.get(wide, reader.layout if wide == () else "")
    if len(size) != 4 or dilated or not layout:
        return Word("sum" if kind == "sum" else "other", call, {"x": 0})
    rows, columns = layout.index("H"), layout.index("W")
    attributes = {
        "kernel": (size[rows], size[columns]),
        "stride": (step[rows], step[columns]),
        "padding": (padding[rows], padding[columns]),
        "layout": layout,
    }
    return Word(kind, call, {"x": 0}, {**attributes, "ceil": False} if kind == "max_pool" else attributes)


def maximum(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    """max(x, 0)."""
    for position, value in enumerate(reader.inputs):
        if value.not_from_x and not np.any(np.asarray(value.array)):
            return Word("activation", f"{call}(x, 0)", {"x": 1 - position}, {"function": "relu"})
    return Word("other", call)


def power(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    return Word("square" if given["y"] == 2 else "pow", written(call, y=given["y"]), {"x": 0})


def transpose(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    perm = ints(given["permutation"])
    return Word("transpose", written(call, permutation=perm), {"x": 0}, {"perm": perm}, reader.inputs[0].parameter)


def along(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    axis = int(given["dimension"] if "dimension" in given else given["axis"])
    kind = "concat" if call.endswith("concatenate") else "split"
    return Word(kind, written(call, axis=axis), {"x": 0}, {"axis": axis})


def flip(call: str, given: Mapping[str, Any], reader: Reader) -> Word:
    axes = ints(given["dimensions"])
    return Word("flip", written(call, dimensions=axes), {"x": 0}, {"axes": axes})


SPECIAL: dict[str, Callable[[str, Mapping[str, Any], Reader], Word]] = {
    **{"conv_general_dilated": conv, "dot_general": dot, "max": maximum, "integer_pow": power, "transpose": transpose},
    **{"reduce_window_max": windows, "reduce_window_sum": windows, "concatenate": along, "split": along, "rev": flip},
}
