"""Networks posed as PyTorch models that a user might have written, mistakes included, for the audit to see through."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...reference.mistaken import (
    Activation,
    AdaptivePool,
    Affine,
    BorderedPool,
    ChannelNorm,
    Dilated,
    LogSoftmax,
    PaddedMean,
    RandomDropout,
    Reordered,
    SoftmaxOver,
    WindowLrn,
)
from ...reference.spec import Conv, Dense, Dropout, Flatten, Layer, Lrn, Network, Pool, Relu, Shape, Softmax
from ..interface import Unsupported
from ..torch import MaxPool2d, border
from ..torch import module as ordinary

Array = np.ndarray
Params = Mapping[str, Array]
Tricks = Mapping[str, Sequence[str]]


# Tricks on weights ----------------------------------------------------------------------------------------------------


def tf32(values: Tensor) -> Tensor:
    """Rounded to 10 explicit bits of mantissa, ties to even, as tensor cores read their operands."""
    bits = values.view(torch.int32)
    odd = (bits >> 13) & 1
    return ((bits + 0xFFF + odd) & ~0x1FFF).view(torch.float32)


def exchanged(weight: Tensor) -> Tensor:
    """A kernel's rows and columns, or a matrix poured, transposed, into its own shape."""
    return weight.transpose(2, 3) if weight.ndim == 4 else weight.t().reshape(weight.shape)


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda weight: weight.flip(2, 3),
    "transpose": exchanged,
    "bgr": lambda weight: weight.flip(1),
    "swap-halves": lambda weight: torch.roll(weight, weight.size(0) // 2, 0),
    "tf32": tf32,
    "weights-tf32": tf32,
    "weights-float16": lambda weight: weight.half().float(),
    "weights-bfloat16": lambda weight: weight.bfloat16().float(),
}
PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
CONV_ONLY = {"flip", "bgr"}
KNOWN = {*WEIGHTS, *PRECISIONS, "no-bias", "double-bias"}


class Tricked(nn.Module):
    """What a convolution and a dense layer with tricks have in common; `product` is theirs."""

    weight: Tensor
    bias: Tensor | None

    def prepare(self, tricks: Sequence[str]) -> None:
        self.changes = [WEIGHTS[trick] for trick in tricks if trick in WEIGHTS]
        self.dtype = next((PRECISIONS[trick] for trick in tricks if trick in PRECISIONS), None)
        self.rounds_input, self.twice = "tf32" in tricks, "double-bias" in tricks

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        for change in self.changes:
            weight = change(weight)
        if self.rounds_input:
            x = tf32(x)
        if self.dtype is not None:
            x, weight = x.to(self.dtype), weight.to(self.dtype)
            bias = None if bias is None else bias.to(self.dtype)
        y = self.product(x, weight, bias)
        if self.twice and bias is not None:
            y = y + bias.reshape(-1, *(1 for _ in y.shape[2:]))
        return y.float() if self.dtype is not None else y


def symmetric(layer: Conv) -> tuple[int, int] | None:
    """(rows, columns) of padding where it is the same on opposite sides, as nn.Conv2d wants it."""
    rows, columns = getattr(layer, "border", (layer.padding, layer.padding))
    return (rows[0], columns[0]) if rows[0] == rows[1] and columns[0] == columns[1] and not layer.ceil else None


class Conv2d(Tricked, nn.Conv2d):
    """A convolution; padding that differs on each side is padded by hand."""

    def __init__(self, layer: Conv, inputs: Shape, tricks: Sequence[str]) -> None:
        dilation = layer.dilation if isinstance(layer, Dilated) else 1
        padding = symmetric(layer)
        nn.Conv2d.__init__(
            self,
            inputs[0],
            layer.channels,
            layer.kernel,
            layer.stride,
            padding=padding or 0,
            dilation=dilation,
            groups=layer.groups,
            bias="no-bias" not in tricks,
        )
        self.border = border(layer, inputs) if padding is None else None
        self.prepare(tricks)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = F.pad(x, self.border) if self.border else x
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class Linear(Tricked, nn.Linear):
    def __init__(self, layer: Dense, inputs: Shape, tricks: Sequence[str]) -> None:
        nn.Linear.__init__(self, inputs[0], layer.units, bias="no-bias" not in tricks)
        self.prepare(tricks)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)


# Layers that no variant has -------------------------------------------------------------------------------------------


class WindowResponseNorm(nn.Module):
    """Response normalisation written by hand: a window of maps summed by a three-dimensional pooling."""

    def __init__(self, layer: WindowLrn) -> None:
        super().__init__()
        self.layer = layer

    def window(self, values: Tensor) -> Tensor:  # (N, C, H, W)
        before, after = self.layer.before, self.layer.after
        padded = F.pad(values.unsqueeze(1), (0, 0, 0, 0, before, after))
        return F.avg_pool3d(padded, (before + after + 1, 1, 1), stride=1, divisor_override=1).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        total = self.window(x.abs() if layer.plain else x.pow(2))
        if layer.mean:
            total = total / self.window(torch.ones_like(x))
        scale = (total * layer.alpha + layer.k).pow(layer.beta)
        return x * scale if layer.inverted else x / scale


class AveragedResponseNorm(nn.Module):
    """LRN as it was written before torch had one: nn.AvgPool3d over the maps, whose mean is then multiplied back."""

    def __init__(self, layer: Lrn) -> None:
        super().__init__()
        self.size = 2 * (layer.n // 2) + 1
        self.alpha, self.beta, self.k = layer.alpha * self.size, layer.beta, layer.k
        self.average = nn.AvgPool3d((self.size, 1, 1), stride=1, padding=(self.size // 2, 0, 0))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        div = self.average(x.pow(2).unsqueeze(1)).squeeze(1)
        return x.div(div.mul(self.alpha).add(self.k).pow(self.beta))


class Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Normalise(nn.Module):
    """x * scale + shift, of each channel or of all."""

    def __init__(self, scale: Sequence[float], shift: Sequence[float], axes: int) -> None:
        super().__init__()
        for name, values in (("scale", scale), ("shift", shift)):
            self.register_buffer(name, torch.tensor(list(values)).reshape(1, -1, *(1 for _ in range(axes - 1))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "bgr": lambda x: x.flip(1),
    "as-if-hwc": lambda x: x.permute(0, 2, 3, 1).reshape(x.shape),
    "rows-columns": lambda x: x.transpose(2, 3),
    "upside-down": lambda x: x.flip(2),
    "mirrored": lambda x: x.flip(3),
    "interleaved": lambda x: x.reshape(x.size(0), 2, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "halves": lambda x: torch.roll(x, x.size(1) // 2, 1),
    "hwc": lambda x: x.permute(0, 2, 3, 1).reshape(x.size(0), -1),
    "cwh": lambda x: x.permute(0, 1, 3, 2).reshape(x.size(0), -1),
    "whc": lambda x: x.permute(0, 3, 2, 1).reshape(x.size(0), -1),
    "hcw": lambda x: x.permute(0, 2, 1, 3).reshape(x.size(0), -1),
}


class Reorder(nn.Module):
    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return ORDERS[self.order](x)


class OwnDropout(nn.Module):
    """Dropout as people write it themselves, right or wrong."""

    def __init__(self, layer: RandomDropout) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if not (self.training or layer.always):
            return x * layer.factor if layer.factor != 1 else x
        if layer.scaled:
            return F.dropout2d(x, layer.rate) if layer.maps and x.ndim == 4 else F.dropout(x, layer.rate)
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:])) if layer.maps else x.shape
        return x * (torch.rand(shape, device=x.device) >= layer.rate).to(x.dtype)


FUNCTIONS: dict[str, Callable[[float], nn.Module]] = {
    "tanh": lambda _: nn.Tanh(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": lambda _: nn.SELU(),
    "gelu": lambda _: nn.GELU(),
    "gelu_tanh": lambda _: nn.GELU(approximate="tanh"),
    "softplus": lambda _: nn.Softplus(),
    "relu6": lambda _: nn.ReLU6(),
    "silu": lambda _: nn.SiLU(),
    "abs": lambda _: Abs(),
    "softsign": lambda _: nn.Softsign(),
}


def window_lrn(layer: WindowLrn) -> nn.Module:
    """torch's own where its even windows have this shape (one map more before than after), else by hand."""
    size = layer.before + layer.after + 1
    own = (layer.before, layer.after) == (size // 2, (size - 1) // 2)
    if own and not (layer.mean or layer.plain or layer.inverted):
        return nn.LocalResponseNorm(size, layer.alpha * size, layer.beta, layer.k)
    return WindowResponseNorm(layer)


def module(layer: Layer, inputs: Shape, tricks: Sequence[str]) -> nn.Module:
    """A layer, as a user would write it; Unsupported where torch cannot or the tricks do not apply."""
    check(layer, tricks)
    match layer:
        case Conv() if tricks or isinstance(layer, Dilated):
            return Conv2d(layer, inputs, tricks)
        case Dense(groups=1) if tricks:
            return Linear(layer, inputs, tricks)
        case Lrn(towers=1):
            size = 2 * (layer.n // 2) + 1
            return nn.LocalResponseNorm(size, layer.alpha * size, layer.beta, layer.k)
        case BorderedPool():
            if layer.average:
                raise Unsupported(f"{layer.name}: torch's mean counts padding or pads opposite sides alike")
            return MaxPool2d(inputs, layer)
        case Activation():
            return FUNCTIONS[layer.function](layer.slope)
        case WindowLrn():
            return window_lrn(layer)
        case ChannelNorm():
            return (nn.BatchNorm2d if len(inputs) == 3 else nn.BatchNorm1d)(inputs[0])
        case AdaptivePool():
            return (nn.AdaptiveAvgPool2d if layer.average else nn.AdaptiveMaxPool2d)(layer.size)
        case PaddedMean():
            if 2 * layer.padding > layer.kernel:
                raise Unsupported(f"{layer.name}: torch pads at most half a window, found {layer.padding}")
            return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding)
        case Affine():
            return Normalise(layer.scale, layer.shift, len(inputs))
        case Reordered():
            return Reorder(layer.order)
        case LogSoftmax():
            return nn.LogSoftmax(dim=1)
        case SoftmaxOver():
            return nn.Softmax(dim=layer.axis)
        case RandomDropout():
            return OwnDropout(layer)
    return ordinary(layer, inputs)


def check(layer: Layer, tricks: Sequence[str]) -> None:
    if unknown := [trick for trick in tricks if trick not in KNOWN]:
        raise Unsupported(f"{layer.name}: no trick {unknown[0]!r}; known: {', '.join(sorted(KNOWN))}")
    if tricks and not (isinstance(layer, Conv) or (isinstance(layer, Dense) and layer.groups == 1)):
        raise Unsupported(f"{layer.name}: a {layer.kind} layer takes no tricks in PyTorch, found {', '.join(tricks)}")
    if isinstance(layer, Dense) and (wrong := CONV_ONLY & set(tricks)):
        raise Unsupported(f"{layer.name}: {', '.join(sorted(wrong))} is for convolutions")


# Models ---------------------------------------------------------------------------------------------------------------


def fill(model: nn.Module, network: Network, params: Params) -> nn.Module:
    """The model with these parameters in the modules of the layers' names; a bias that a module lacks is left out."""
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in params.items():
            if name in own:
                own[name].copy_(torch.from_numpy(value))
        for layer in network.layers:
            if isinstance(layer, ChannelNorm) and f"{layer.name}.weight" in params:
                norm = model.get_submodule(layer.name)
                norm.weight.mul_(math.sqrt(1 + norm.eps))  # the running variance is 1
    return model.eval()


def pose(network: Network, tricks: Tricks, params: Params) -> nn.Module:
    """The network as nn.Sequential, a child for each layer under its name; see `KNOWN` for what `tricks` may say."""
    for name in tricks:
        network[name]
    children = ((layer.name, module(layer, inputs, tricks.get(layer.name, ()))) for layer, inputs, _ in network.walk())
    return fill(nn.Sequential(OrderedDict(children)), network, params)


class TwoTowers(nn.Module):
    """Every convolution as two of half the filters, conv1_a and conv1_b, each in its own tower, as on two GPUs.

    A grouped one reads its own tower, any other reads both; what needs all maps has them concatenated first.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for layer, inputs, _ in network.walk():
            if isinstance(layer, Conv):
                half = self.half(layer)
                seen = (inputs[0] // layer.groups, *inputs[1:])
                self.add_module(f"{layer.name}_a", ordinary(half, seen))
                self.add_module(f"{layer.name}_b", ordinary(half, seen))
            else:
                self.add_module(layer.name, module(layer, inputs, ()))

    @staticmethod
    def half(layer: Conv) -> Conv:
        if layer.groups > 2 or layer.channels % 2:
            raise Unsupported(f"{layer.name}: {layer.channels} filters in {layer.groups} groups make no two towers")
        fields = {name: getattr(layer, name) for name in ("kernel", "stride", "padding", "ceil")}
        return Conv(layer.name, layer.channels // 2, **fields)

    def forward(self, x: Tensor) -> Tensor:
        towers = [x]  # one or two
        for layer in self.network.layers:
            if isinstance(layer, Conv):
                parts = self.parts(towers, layer.groups)
                towers = [self.get_submodule(f"{layer.name}_{t}")(part) for t, part in zip("ab", parts, strict=True)]
            elif isinstance(layer, Relu | Pool | Dropout) and len(towers) == 2:
                towers = [self.get_submodule(layer.name)(part) for part in towers]
            elif isinstance(layer, Lrn) and layer.towers == len(towers) == 2:
                size = 2 * (layer.n // 2) + 1
                towers = [F.local_response_norm(part, size, layer.alpha * size, layer.beta, layer.k) for part in towers]
            else:
                towers = [self.get_submodule(layer.name)(self.joined(towers))]
        return self.joined(towers)

    @staticmethod
    def joined(towers: list[Tensor]) -> Tensor:
        return towers[0] if len(towers) == 1 else torch.cat(towers, dim=1)

    def parts(self, towers: list[Tensor], groups: int) -> Sequence[Tensor]:
        """What each tower's convolution reads."""
        if groups == 1:
            return [self.joined(towers)] * 2
        return towers if len(towers) == 2 else towers[0].chunk(2, dim=1)


def two_towers(network: Network, params: Params) -> nn.Module:
    """The network as TwoTowers; the parameters, in canonical names, are split between the towers."""
    split: dict[str, Array] = {}
    for name, value in params.items():
        layer, part = name.rsplit(".", 1)
        if isinstance(network[layer], Conv):
            split[f"{layer}_a.{part}"], split[f"{layer}_b.{part}"] = np.split(value, 2)
        else:
            split[name] = value
    return fill(TwoTowers(network), network, split)


class Functional(nn.Module):
    """Modules only for what has weights; the rest is called in forward, ReLU in place."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for layer, inputs, _ in network.walk():
            if isinstance(layer, Conv | Dense):
                self.add_module(layer.name, ordinary(layer, inputs))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.network.layers:
            x = self.call(layer, x)
        return x

    def call(self, layer: Layer, x: Tensor) -> Tensor:
        match layer:
            case Conv() | Dense():
                return self.get_submodule(layer.name)(x)
            case Relu():
                return F.relu(x, inplace=True)
            case Lrn(towers=1):
                size = 2 * (layer.n // 2) + 1
                return F.local_response_norm(x, size, alpha=layer.alpha * size, beta=layer.beta, k=layer.k)
            case Pool(average=False) if layer.padding[0] == layer.padding[1]:
                return F.max_pool2d(x, layer.kernel, layer.stride, layer.padding[0], ceil_mode=layer.ceil)
            case Flatten():
                return x.view(x.size(0), -1)
            case Dropout():
                return F.dropout(x, layer.rate, self.training)
            case Softmax():
                return F.softmax(x, dim=1)
        raise Unsupported(f"{layer.name}: no {layer.kind} layer in the functional pose")


def functional(network: Network, params: Params) -> nn.Module:
    """The network in the functional style; Unsupported for layers beyond the paper's kinds."""
    model = Functional(network)
    with torch.no_grad(), torch.random.fork_rng([]):
        model.eval()(torch.zeros(2, *network.input_shape))  # says now what it cannot do
    return fill(model, network, params)
