"""Layers, facts and causes in words."""

from __future__ import annotations

from typing import Any

from ...reference.mistaken import (
    Activation,
    AdaptivePool,
    Affine,
    ChannelNorm,
    LogSoftmax,
    MapMean,
    PaddedMean,
    RandomDropout,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from ...reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Lrn,
    Pool,
    Relu,
    Shape,
    Softmax,
    SpatialLrn,
)
from ..traps import BY_ID
from .atoms import Rounded, Unexplained
from .facts import fields

FRAMEWORKS = ("torch", "keras", "tf", "onnx", "jax")


def layer_in_words(layer: Layer, shape: Shape) -> str:
    """ "convolution 11 x 11, 96 maps, stride 4", as a person would say it."""
    match layer:
        case Conv():
            f = fields(layer, shape)
            extra = [f"stride {layer.stride}" if layer.stride > 1 else "", padding_in_words(f["border"])]
            extra += [
                f"{layer.groups} groups" if layer.groups > 1 else "",
                f"dilation {f['dilation']}" if f["dilation"] > 1 else "",
            ]
            return ", ".join(
                [f"convolution {layer.kernel} x {layer.kernel}, {layer.channels} maps", *filter(None, extra)]
            )
        case Dense():
            return f"dense, {layer.units} units" + (f", {layer.groups} groups" if layer.groups > 1 else "")
        case Lrn():
            towers = ", within towers" if layer.towers > 1 else ""
            return f"LRN n={layer.n}, {constants(layer)}{towers}"
        case SpatialLrn():
            return f"LRN within maps, {layer.n} x {layer.n} pixels, {constants(layer)}"
        case WindowLrn():
            kinds = [
                w
                for w, on in (("mean", layer.mean), ("absolute values", layer.plain), ("multiplied", layer.inverted))
                if on
            ]
            window = f"i-{layer.before}..i+{layer.after}"
            return f"LRN over {window}{' of ' + ', '.join(kinds) if kinds else ''}, {constants(layer)}"
        case Pool():
            f = fields(layer, shape)
            what = "average" if layer.average else "max"
            pad = padding_in_words(f["border"])
            return f"{what} pooling {layer.kernel} x {layer.kernel}, stride {layer.stride}" + (
                f", {pad}" if pad else ""
            )
        case AdaptivePool():
            return f"adaptive {'average' if layer.average else 'max'} pooling to {layer.size} x {layer.size}"
        case PaddedMean():
            return f"average pooling {layer.kernel} x {layer.kernel}, stride {layer.stride}, padding {layer.padding} counted"
        case Activation():
            return layer.function + (f" (slope {layer.slope:g})" if layer.slope else "")
        case RandomDropout():
            return dropout_in_words(layer)
        case Dropout():
            return f"dropout {layer.rate:g}"
        case Reordered():
            return f"reordered ({layer.order})"
        case Affine():
            return f"x {numbers(layer.scale)} + {numbers(layer.shift)}"
        case Rounded():
            return f"rounded to {layer.to}"
        case Unexplained():
            return layer.says or "unexplained"
        case SoftmaxOver():
            return f"softmax over axis {layer.axis}"
    return NAMES.get(type(layer), layer.kind)


NAMES = {
    Relu: "ReLU",
    Flatten: "flatten",
    Softmax: "softmax",
    LogSoftmax: "log-softmax",
    ChannelNorm: "batch normalisation",
    MapMean: "mean of each map",
}


def constants(layer: Any) -> str:
    return f"k={layer.k:.4g}, alpha={layer.alpha:.4g}, beta={layer.beta:.4g}"


def numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def padding_in_words(border: Any) -> str:
    (above, below), (left, right) = border
    if not any((above, below, left, right)):
        return ""
    if (above, below) == (left, right):
        return f"padding {above}" if above == below else f"padding {above} + {below}"
    return f"padding {above} + {below} and {left} + {right}"


def dropout_in_words(layer: RandomDropout) -> str:
    parts = [f"dropout {layer.rate:g}"]
    parts += ["at inference too"] if layer.always else []
    parts += ["of whole maps"] if layer.maps else []
    parts += [] if layer.scaled else ["not scaled in training"]
    parts += [f"x {layer.factor:g} at inference"] if layer.factor != 1 else []
    return ", ".join(parts)


def framework_key(framework: str) -> str:
    """ "torch 2.13.0" -> "torch"; "keras 3.15.1 on tensorflow 2.21.0" -> "keras"; "tensorflow ..." -> "tf"."""
    first = framework.split(" ", maxsplit=1)[0].lower()
    return "tf" if first.startswith("tensorflow") else "keras" if first == "tf_keras" else first


def cause(trap: str, framework: str, layer: str, found: str, expected: str) -> str:
    """The catalogue's words for it in the target's framework."""
    entry = BY_ID[trap]
    words = entry.words.get(framework_key(framework)) or f"It agrees if {entry.says}."
    for name, value in (("{layer}", layer), ("{found}", found), ("{expected}", expected)):
        words = words.replace(name, value)
    return words
