"""What a call in PyTorch is: its kind, the numbers that matter, and how its user would write it.

Calls of torch.nn.functional, of torch, methods of tensors and `torch.ops.aten` (as in exported programs) mean the same
things in other words; all are brought to one base name and looked up in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {
    **{
        name: name
        for name in ("relu", "tanh", "sigmoid", "elu", "selu", "gelu", "softplus", "relu6", "silu", "softsign")
    },
    **{
        name: name
        for name in ("leaky_relu", "abs", "celu", "hardtanh", "hardswish", "hardsigmoid", "mish", "logsigmoid")
    },
    "absolute": "abs",
}
SLOPES = {"leaky_relu": ("negative_slope", 0.01), "elu": ("alpha", 1.0), "celu": ("alpha", 1.0)}
KINDS = {
    **dict.fromkeys(ACTIVATIONS, "activation"),
    **dict.fromkeys(("conv2d", "convolution", "_convolution"), "conv"),
    **dict.fromkeys(("linear", "addmm", "mm", "matmul"), "dense"),
    "local_response_norm": "lrn",
    **dict.fromkeys(("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training"), "batch_norm"),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "feature_dropout", "native_dropout"), "dropout"),
    **dict.fromkeys(("softmax", "_softmax"), "softmax"),
    **dict.fromkeys(("log_softmax", "_log_softmax"), "log_softmax"),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), "max_pool"),
    "avg_pool2d": "avg_pool",
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"), "adaptive_max_pool"),
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d"), "adaptive_avg_pool"),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"), "reshape"),
    **dict.fromkeys(("view_as", "reshape_as", "_unsafe_view", "_reshape_alias", "view_copy"), "reshape"),
    **dict.fromkeys(("permute", "transpose", "t", "T", "mT", "H", "mH", "adjoint"), "transpose"),
    **dict.fromkeys(("swapaxes", "swapdims", "movedim", "moveaxis"), "transpose"),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"), "pad"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concat"),
    **dict.fromkeys(("split", "chunk", "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split"), "split"),
    **dict.fromkeys(("getitem", "narrow", "select", "slice", "index_select"), "slice"),
    **dict.fromkeys(("flip", "fliplr", "flipud"), "flip"),
    **dict.fromkeys(
        ("half", "float", "double", "bfloat16", "to", "type", "type_as", "_to_copy", "cuda", "cpu"), "cast"
    ),
    **dict.fromkeys(("contiguous", "clone", "detach", "data", "alias", "requires_grad_", "positive"), "identity"),
    **{name: name for name in ("add", "sub", "mul", "div", "pow", "sqrt", "square", "sum", "mean")},
    **{"subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "truediv": "div"},
    **{"rsub": "sub", "rdiv": "div", "rtruediv": "div", "radd": "add", "rmul": "mul", "rpow": "pow"},
    **{"iadd": "add", "isub": "sub", "imul": "mul", "idiv": "div", "itruediv": "div", "ipow": "pow"},
}
SIGNATURES = {
    "conv2d": "input weight bias stride padding dilation groups",
    "convolution": "input weight bias stride padding dilation transposed output_padding groups",
    "linear": "input weight bias",
    "addmm": "bias input weight",
    "mm": "input weight",
    "matmul": "input weight",
    "local_response_norm": "input size alpha beta k",
    "functional.batch_norm": "input running_mean running_var weight bias training momentum eps",
    "batch_norm": "input weight bias running_mean running_var training momentum eps",
    "_native_batch_norm_legit_no_training": "input weight bias running_mean running_var momentum eps",
    "dropout": "input p training inplace",
    "softmax": "input dim",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "flatten": "input start_dim end_dim",
    "pad": "input pad mode value",
    "cat": "tensors dim",
    "split": "input sizes dim",
    "leaky_relu": "input negative_slope inplace",
    "elu": "input alpha inplace",
    "celu": "input alpha inplace",
    "relu": "input inplace",
    "gelu": "input approximate",
    "clamp": "input min max",
    "threshold": "input threshold value inplace",
    "hardtanh": "input min_val max_val inplace",
}
SAME_SIGNATURE = {
    **{"_convolution": "convolution", "native_batch_norm": "batch_norm", "native_dropout": "dropout"},
    **{"dropout1d": "dropout", "dropout2d": "dropout", "feature_dropout": "dropout", "hardtanh_": "hardtanh"},
    **{"_softmax": "softmax", "log_softmax": "softmax", "_log_softmax": "softmax"},
    **{"max_pool2d_with_indices": "max_pool2d", "concat": "cat", "concatenate": "cat", "clip": "clamp"},
    **{"chunk": "split", "tensor_split": "split", "split_with_sizes": "split", "constant_pad_nd": "pad"},
    **{"unsafe_chunk": "split", "unsafe_split": "split", "relu6": "relu", "selu": "relu", "silu": "relu"},
}
ROLES = {"input": "x", "weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
MODULES: dict[type[nn.Module], str] = {  # what a module's own operation is; what else it calls is named apart
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), "conv"),
    nn.Linear: "dense",
    nn.LocalResponseNorm: "lrn",
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), "batch_norm"),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d), "dropout"),
    nn.MaxPool2d: "max_pool",
    nn.AvgPool2d: "avg_pool",
    nn.AdaptiveAvgPool2d: "adaptive_avg_pool",
    nn.AdaptiveMaxPool2d: "adaptive_max_pool",
    **dict.fromkeys((nn.Flatten, nn.Unflatten), "reshape"),
    **dict.fromkeys((nn.Softmax, nn.Softmax2d), "softmax"),
    nn.LogSoftmax: "log_softmax",
    **dict.fromkeys(
        (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU), "activation"
    ),
}
LAYERS = {cls.__name__: kind for cls, kind in MODULES.items()}


@dataclass(frozen=True)
class Call:
    """A call as read: its base name ("relu", "iadd" as "add" in `kind`), kind, tensors by role, attributes and wording."""

    name: str
    kind: str
    text: str
    roles: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    swapped: bool = False  # 2 - x: the first operand came second


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested lists, tuples and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)


def raw_name(func: Callable[..., Any]) -> str:
    """The name that the call goes by: "conv2d", "relu_", "__iadd__"; of a property its own, "T"."""
    if isinstance(func, torch._ops.OpOverload):
        return func._schema.name.split("::")[1]
    name = getattr(func, "__name__", type(func).__name__)
    return func.__self__.__name__ if name in {"__get__", "__set__"} else name  # type: ignore[attr-defined]


def base_name(func: Callable[..., Any]) -> str:
    """The name without what marks operators and in-place calls: "relu_" is "relu", "__iadd__" is "iadd"."""
    name = raw_name(func)
    if name in KINDS and not name.startswith("__"):
        return name
    if name.startswith("__") and name.endswith("__"):
        return name.strip("_")
    return name[:-1] if name.endswith("_") else name


def is_property(func: Callable[..., Any]) -> bool:
    return getattr(func, "__name__", "") in {"__get__", "__set__"}


def writes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Does the call say that it works in place?"""
    if isinstance(func, torch._ops.OpOverload):
        return func._schema.is_mutable
    name = raw_name(func)
    operator = name.startswith("__i") and name.endswith("__") and name not in {"__int__", "__index__", "__iter__"}
    if operator or name == "__setitem__" or getattr(func, "__name__", "") == "__set__":
        return True
    if name.endswith("_") and not name.endswith("__") and name != "requires_grad_":
        return True
    return "out" in kwargs or bool(arguments(func, args, kwargs).get("inplace"))


def written(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an in-place call says it writes to: by its schema, or the first."""
    if isinstance(func, torch._ops.OpOverload):
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | dict(kwargs)
        marked = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        return [*tensors([named.get(name) for name in marked])]
    return [*tensors(kwargs.get("out", args[:1]))] if writes(func, args, kwargs) else []


def arguments(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, where the call is one of SIGNATURES; else only those that came with their names."""
    base = base_name(func)
    base = SAME_SIGNATURE.get(base, base)
    if base == "batch_norm" and func is F.batch_norm:
        base = "functional.batch_norm"  # the same arguments in another order
    renamed = {{"self": "input", "axis": "dim", "train": "training"}.get(name, name): v for name, v in kwargs.items()}
    return dict(zip(SIGNATURES.get(base, "input").split(), args, strict=False)) | renamed


def pair(value: Any) -> tuple[int, int]:
    """One number or two, as (height, width)."""
    if isinstance(value, list | tuple):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


def both_sides(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = pair(value)
    return ((rows, rows), (columns, columns))


def conv_padding(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> Any:
    """((above, below), (left, right)); "same" puts an odd pixel after, "valid" none anywhere."""
    if padding == "valid":
        return both_sides(0)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return both_sides(padding)


def conv(given: dict[str, Any]) -> dict[str, Any]:
    dilation = pair(given.get("dilation", 1))
    return {
        "stride": pair(given.get("stride", 1)),
        "padding": conv_padding(given.get("padding", 0), tuple(given["weight"].shape[2:]), dilation),
        "dilation": dilation,
        "groups": int(given.get("groups", 1)),
        "layout": "NCHW",
        "weight_layout": "OIHW",
    }


def pool(given: dict[str, Any], average: bool) -> dict[str, Any]:
    kernel = pair(given["kernel_size"])
    stride = given.get("stride")
    attributes = {
        "kernel": kernel,
        "stride": kernel if stride is None or stride == [] else pair(stride),
        "padding": both_sides(given.get("padding", 0)),
        "ceil": bool(given.get("ceil_mode", False)),
        "layout": "NCHW",
    }
    if average:
        return attributes | {"count_include_pad": bool(given.get("count_include_pad", True))}
    return attributes | {"dilation": pair(given.get("dilation", 1))}


def lrn(given: dict[str, Any]) -> dict[str, Any]:
    """torch divides alpha by the window's size; of an even window the longer side is before."""
    size = int(given["size"])
    return {
        "before": size // 2,
        "after": (size - 1) // 2,
        "k": float(given.get("k", 1.0)),
        "alpha": float(given.get("alpha", 1e-4)) / size,
        "beta": float(given.get("beta", 0.75)),
        "layout": "NCHW",
    }


def activation(base: str, given: dict[str, Any]) -> dict[str, Any]:
    function = ACTIVATIONS[base]
    if function == "gelu" and given.get("approximate") == "tanh":
        return {"function": "gelu_tanh"}
    if function == "hardtanh" and (given.get("min_val", -1.0), given.get("max_val", 1.0)) == (0, 6):
        return {"function": "relu6"}
    if function in SLOPES:
        argument, default = SLOPES[function]
        return {"function": function, "slope": float(given.get(argument, default))}
    return {"function": function}


def softmax_axis(dim: int | None, axes: int) -> int:
    """torch's choice where none is named: 0 for 0, 1 and 3 axes, else 1."""
    if dim is None:
        dim = 0 if axes in {0, 1, 3} else 1
    return dim % max(axes, 1)


def permutation(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Which axis went where, told by axes of different sizes."""
    sizes = tuple(range(2, 2 + args[0].ndim))
    probe = func(torch.empty(sizes, device="meta"), *args[1:], **kwargs)
    return tuple(sizes.index(size) for size in probe.shape)


def flipped(base: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    if base in {"fliplr", "flipud"}:
        return (int(base == "fliplr"),)
    dims = kwargs.get("dims", args[1:])
    dims = dims[0] if dims and isinstance(dims[0], list | tuple) else dims
    return tuple(sorted(int(dim) % args[0].ndim for dim in dims))


def attributes_of(
    kind: str,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    result: list[Tensor],
) -> dict[str, Any]:
    """The attributes that `graph.Operation` lists for the kind."""
    given, base = arguments(func, args, kwargs), base_name(func)
    axes = result[0].ndim
    match kind:
        case "conv":
            return conv(given)
        case "dense":
            return {"weight_layout": "OI" if base == "linear" else "IO"}
        case "lrn":
            return lrn(given)
        case "max_pool" | "avg_pool":
            return pool(given, kind == "avg_pool")
        case "adaptive_max_pool" | "adaptive_avg_pool":
            return {"size": tuple(result[0].shape[-2:]), "layout": "NCHW"}
        case "activation":
            return activation(base, given) if base in ACTIVATIONS else {"function": "relu"}
        case "dropout":
            whole = {"maps": True} if base in {"dropout1d", "dropout2d", "feature_dropout"} else {}
            return {"rate": float(given.get("p", 0.5)), "training": bool(given.get("training", True)), **whole}
        case "softmax" | "log_softmax":
            return {"axis": softmax_axis(given.get("dim"), axes)}
        case "transpose":
            return {"perm": permutation(func, args, kwargs)}
        case "concat" | "split":
            return {"axis": int(given.get("dim", 0)) % axes}
        case "flip":
            return {"axes": flipped(base, args, kwargs)}
        case "batch_norm":
            return {"eps": float(given.get("eps", 1e-5)), "layout": "NCHW"}
    return {}


def is_relu(base: str, given: dict[str, Any]) -> bool:
    """Ways to write max(0, x) other than by name."""
    if base in {"clamp", "clip"}:
        return _is_zero(given.get("min")) and given.get("max") is None
    if base == "clamp_min":
        return _is_zero(given.get("min"))
    return base == "threshold" and _is_zero(given.get("threshold")) and _is_zero(given.get("value"))


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value == 0


def kind_of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: list[Tensor]) -> str:
    """One of `graph.KINDS`; "other" where the arguments make a call more than its name says."""
    base, given = base_name(func), arguments(func, args, kwargs)
    kind = KINDS.get(base, "other")
    first = next(tensors((args, kwargs)), None)
    if is_relu(base, given):
        return "activation"
    if kind == "cast" and first is not None and result and first.dtype == result[0].dtype:
        return "identity"
    special = (
        (kind == "conv" and (given.get("transposed") or given["weight"].ndim != 4))
        or (base in {"mm", "matmul", "addmm"} and not _is_dense(given))
        or (base == "addmm" and (kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1))
        or (base == "avg_pool2d" and given.get("divisor_override"))
        or (base in {"add", "sub", "subtract", "rsub"} and kwargs.get("alpha", 1) != 1)
        or (base == "view" and len(args) > 1 and isinstance(args[1], torch.dtype))
        or (kind == "div" and kwargs.get("rounding_mode"))
    )
    return "other" if special else kind


def _is_dense(given: dict[str, Any]) -> bool:
    x, weight = given.get("input"), given.get("weight")
    return isinstance(x, Tensor) and isinstance(weight, Tensor) and x.ndim == 2 and weight.ndim == 2


def wording(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The call as its user would write it, tensors left out: "F.relu(inplace=True)", "x.view(2, -1)"."""
    name = raw_name(func)
    if is_property(func) or name in {"__getitem__", "__setitem__"}:
        return f"x.{name}" if is_property(func) else "x[...]" + " = ..." * (name == "__setitem__")
    signature = SIGNATURES.get(SAME_SIGNATURE.get(base_name(func), base_name(func)), "").split()
    named = signature if len(signature) >= len(args) and len(signature) > 2 else [""] * len(args)
    shown = [
        f"{label}={_brief(value)}" if label else _brief(value)
        for label, value in [*zip(named, args, strict=False), *kwargs.items()]
        if not label.startswith("_") and value is not None and not any(True for _ in tensors(value))
    ]
    return f"{_owner(func)}{name}({', '.join(shown)})"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _owner(func: Callable[..., Any]) -> str:
    name = raw_name(func)
    if isinstance(func, torch._ops.OpOverload):
        return "torch.ops.aten."
    if getattr(Tensor, name, None) is func:
        return "x."
    if getattr(F, name, None) is func:
        return "F."
    return "torch." if getattr(torch, name, None) is func else ""


def read(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: list[Tensor]) -> Call:
    """What the call is. A call whose arguments cannot be made out is of kind "other" and keeps its wording."""
    base, text = base_name(func), wording(func, args, kwargs)
    swapped = base in {"rsub", "rdiv", "rtruediv", "rpow"}
    try:
        kind = kind_of(func, args, kwargs, result)
        attributes = attributes_of(kind, func, args, kwargs, result)
    except Exception:  # a signature of another release: a hint lost, no evidence
        return Call(base, "other", text, swapped=swapped)
    roles = {}
    if kind in {"conv", "dense", "batch_norm"}:
        given = arguments(func, args, kwargs)
        roles = {role: given[name] for name, role in ROLES.items() if isinstance(given.get(name), Tensor)}
    return Call(base, kind, text, roles, attributes, swapped)


def own_class(module: nn.Module) -> type[nn.Module] | None:
    """torch's own class that the module is or extends, where that is a layer and no container."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("torch.nn.modules") and cls is not nn.Module:
            return None if cls.__module__.endswith("container") else cls
    return None


def is_own(module: nn.Module, kind: str) -> bool:
    """Is an operation of this kind what the module is there for?"""
    cls = own_class(module)
    if cls is None:
        return False
    expected = next((MODULES[c] for c in cls.__mro__ if c in MODULES), None)
    return kind == expected if expected else kind in {"activation", "pad", "other"} and not list(module.children())


def described(module: nn.Module) -> str:
    """The module as torch prints it: "nn.MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)"."""
    cls = own_class(module)
    text = module.extra_repr()
    text = f"size={text}" if cls is nn.LocalResponseNorm else text
    return f"nn.{cls.__name__ if cls else type(module).__name__}({text})"
