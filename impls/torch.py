"""AlexNet in PyTorch."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_parity.impls.augmentation import torch as augmentation  # noqa: F401 - what it offers
from alexnet_parity.impls.formats import torch as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.initialisers import torch as initialisers  # noqa: F401 - what it offers
from alexnet_parity.impls.interface import Backward, Unavailable, Unsupported
from alexnet_parity.impls.losses import torch as losses  # noqa: F401 - what it offers
from alexnet_parity.impls.optimisers import torch as optimisers
from alexnet_parity.reference.mistaken import Activation
from alexnet_parity.reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Local,
    Lrn,
    Network,
    Pool,
    Relu,
    Shape,
    Softmax,
    SpatialLrn,
    borders,
)

requires = ("torch",)


class LocalResponseNorm(nn.LocalResponseNorm):
    """The paper's LRN. torch divides alpha by the window's size, the paper does not: hence alpha * size.

    With `towers` > 1 the windows stop at the border of each tower. On a GPU its pixels are laid out in one row: for maps torch
    sums by avg_pool3d, which has no deterministic backward pass there; for rows by avg_pool2d, which has, to the same bits.
    """

    def __init__(self, n: int, alpha: float, beta: float, k: float, towers: int = 1) -> None:
        size = 2 * (n // 2) + 1
        super().__init__(size, alpha * size, beta, k)
        self.towers = towers

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W)
        rows = input.flatten(2) if input.is_cuda else input  # (N, C, H * W)
        parts = [super(LocalResponseNorm, self).forward(part) for part in rows.chunk(self.towers, dim=1)]
        return torch.cat(parts, dim=1).view_as(input)


class SpatialResponseNorm(nn.Module):
    """Response normalisation within each map, over n x n pixels; alpha multiplies the sum of squares."""

    def __init__(self, layer: SpatialLrn) -> None:
        super().__init__()
        self.radius, self.k, self.alpha, self.beta = layer.n // 2, layer.k, layer.alpha, layer.beta

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W)
        size = 2 * self.radius + 1
        total = F.avg_pool2d(input.square(), size, stride=1, padding=self.radius, divisor_override=1)
        return input / (self.k + self.alpha * total) ** self.beta


def border(layer: Conv | Local | Pool, inputs: Shape) -> tuple[int, int, int, int]:
    """How far the windows reach beyond the edge, as F.pad wants it: left, right, above, below."""
    (above, below), (left, right) = borders(layer, inputs)
    return left, right, above, below


class Given:
    """Leaves parameters as allocated: every weight is loaded, random ones would be drawn for nothing."""

    def reset_parameters(self) -> None:
        pass


class Linear(Given, nn.Linear):
    pass


class GroupedLinear(nn.Module):
    """Equal, consecutive parts of the units, each reading only its own part of the inputs: weight (units, inputs / groups)."""

    def __init__(self, inputs: int, layer: Dense) -> None:
        super().__init__()
        self.groups = layer.groups
        self.weight = nn.Parameter(torch.empty(layer.units, inputs // layer.groups))
        self.bias = nn.Parameter(torch.empty(layer.units))

    def forward(self, input: Tensor) -> Tensor:  # (N, inputs)
        parts = zip(
            input.chunk(self.groups, 1), self.weight.chunk(self.groups), self.bias.chunk(self.groups), strict=True
        )
        return torch.cat([F.linear(x, weight, bias) for x, weight, bias in parts], dim=1)


class Conv2d(Given, nn.Conv2d):
    """A convolution whose zero padding may differ on each side."""

    def __init__(self, inputs: Shape, layer: Conv) -> None:
        before, after = layer.padding
        even = before == after and replace(layer, ceil=False).output(inputs) == layer.output(inputs)
        super().__init__(
            inputs[0],
            layer.channels,
            layer.kernel,
            layer.stride,
            padding=before if even else 0,
            groups=layer.groups,
        )
        self.border = None if even else border(layer, inputs)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.border) if self.border else input)


class LocallyConnected2d(nn.Module):
    """A convolution with its own kernels at each position: weight (O, H', W', C, K, K), bias (O, H', W')."""

    def __init__(self, inputs: Shape, layer: Local) -> None:
        super().__init__()
        self.border, self.kernel, self.stride = border(layer, inputs), layer.kernel, layer.stride
        shapes = layer.param_shapes(inputs)
        self.weight = nn.Parameter(torch.empty(shapes[f"{layer.name}.weight"]))
        self.bias = nn.Parameter(torch.empty(shapes[f"{layer.name}.bias"]))

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W)
        patches = F.unfold(F.pad(input, self.border), self.kernel, stride=self.stride)  # (N, C K K, H' W')
        kernels = self.weight.flatten(3).flatten(1, 2)  # (O, H' W', C K K)
        sums = torch.einsum("nip,opi->nop", patches, kernels)  # (N, O, H' W')
        return sums.unflatten(2, self.bias.shape[1:]) + self.bias  # (N, O, H', W')


class MaxPool2d(nn.Module):
    """Max-pooling whose windows may reach beyond the edge, differently on each side; -inf stands there."""

    def __init__(self, inputs: Shape, layer: Pool) -> None:
        super().__init__()
        self.border, self.kernel, self.stride = border(layer, inputs), layer.kernel, layer.stride

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(input, self.border, value=-torch.inf), self.kernel, self.stride)


def pool(layer: Pool, inputs: Shape) -> nn.Module:
    before, after = layer.padding
    if layer.average:
        if before != after:
            raise Unsupported(
                f"{layer.name}: no average pooling with padding {layer.padding} in the PyTorch implementation"
            )
        return nn.AvgPool2d(layer.kernel, layer.stride, before, ceil_mode=layer.ceil, count_include_pad=False)
    if before != after:
        return MaxPool2d(inputs, layer)
    return nn.MaxPool2d(layer.kernel, layer.stride, before, ceil_mode=layer.ceil)


def module(layer: Layer, inputs: Shape) -> nn.Module:
    match layer:
        case Conv():
            return Conv2d(inputs, layer)
        case Relu():
            return nn.ReLU()
        case Activation(function="tanh"):
            return nn.Tanh()
        case Lrn():
            return LocalResponseNorm(layer.n, layer.alpha, layer.beta, layer.k, layer.towers)
        case SpatialLrn():
            return SpatialResponseNorm(layer)
        case Pool():
            return pool(layer, inputs)
        case Local():
            return LocallyConnected2d(inputs, layer)
        case Flatten():
            return nn.Flatten()
        case Dense():
            return Linear(inputs[0], layer.units) if layer.groups == 1 else GroupedLinear(inputs[0], layer)
        case Dropout():
            return nn.Dropout(layer.rate)
        case Softmax():
            return nn.Softmax(dim=1)
    raise Unsupported(f"{layer.name}: no {layer.kind} layer in the PyTorch implementation")


class AlexNet(nn.Sequential):
    """The network, a child module for each layer under the layer's name."""

    def __init__(self, network: Network) -> None:
        super().__init__(OrderedDict((layer.name, module(layer, inputs)) for layer, inputs, _ in network.walk()))


def outputs(
    net: AlexNet, x: Tensor, masks: Mapping[str, Tensor] | None = None, logits: bool = False
) -> dict[str, Tensor]:
    """Every layer's output by name; a dropout layer multiplies by its mask (N, units). logits: not that of a closing softmax."""
    found = {}
    for name, layer in net.named_children():
        if logits and isinstance(layer, nn.Softmax):
            break
        x = found[name] = x * masks[name] if masks and name in masks else layer(x)
    return found


DIRECT_GRADIENTS = True  # False: cuDNN, where there is a GPU, as PyTorch has it


def gradients_of(y: Tensor, sources: Sequence[Tensor], start: Tensor | None = None) -> tuple[Tensor, ...]:
    """torch.autograd.grad, on a GPU with convolutions summed directly.

    For a convolution's gradients cuDNN takes transforms (FFT, Winograd) where it thinks them faster, asked for determinism or
    not: they round what direct sums of integers keep exact, and their errors are as large as the largest numbers nearby.
    """
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = enabled and not DIRECT_GRADIENTS
    try:
        return torch.autograd.grad(y, list(sources), start)
    finally:
        torch.backends.cudnn.enabled = enabled


def select(device: str) -> torch.device:
    """The device to run on, after switching reduced precision and non-deterministic kernels off everywhere."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True), without importing the compiler
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # on by default for convolutions
    torch.backends.cuda.matmul.allow_tf32 = False
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; run with --device cpu, or install a CUDA build of torch")
    return torch.device(device)


def flags(device: torch.device) -> dict[str, str]:
    """What a model on this device says of itself."""
    on_gpu = device.type == "cuda"
    gpu = torch.cuda.get_device_name() if on_gpu else ""
    libraries = {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())} if on_gpu else {}
    return {
        **libraries,
        "device": f"{device.type} {gpu}".strip(),
        "threads": str(torch.get_num_threads()),
        "tf32": str(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
    }


class Model:
    def __init__(self, network: Network, params: Mapping[str, np.ndarray], device: str) -> None:
        self.device = select(device)
        self.net = AlexNet(network).to(self.device).eval()
        self.net.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})

    @torch.inference_mode()
    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        y = self.tensor(x)
        for name, layer in self.net.named_children():
            y = layer(y)
            yield name, y.cpu().numpy().copy()

    @torch.inference_mode()
    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, and nothing recorded on the way."""
        return self.net(self.tensor(x)).cpu().numpy().copy()

    def backward(
        self,
        x: np.ndarray,
        upstream: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> Backward:
        leaf = self.tensor(x).requires_grad_()
        outputs = self.up_to_logits(leaf, masks)
        y = outputs[next(reversed(outputs))]
        loss = None if labels is None else F.cross_entropy(y, self.tensor(labels))
        sources = {"input": leaf, **outputs, **dict(self.net.named_parameters())}
        start = None if upstream is None else self.tensor(upstream)
        gradients = gradients_of(y if loss is None else loss, list(sources.values()), start)
        return Backward(
            {name: to_numpy(output) for name, output in outputs.items()},
            {name: to_numpy(gradient) for name, gradient in zip(sources, gradients, strict=True)},
            None if loss is None else to_numpy(loss[None]),
        )

    def up_to_logits(self, x: Tensor, masks: Mapping[str, np.ndarray] | None) -> dict[str, Tensor]:
        """Every layer's output before a closing softmax, which belongs to the loss; the logits come last."""
        return outputs(self.net, x, {name: self.tensor(mask) for name, mask in (masks or {}).items()}, logits=True)

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        _, found = self.descent(x, labels)
        return {name: to_numpy(gradient) for name, gradient in found.items()}

    def step(
        self, x: np.ndarray, labels: np.ndarray, rate: float, masks: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """One update by the paper's rule; the loss before it, (1,)."""
        loss, found = self.descent(x, labels, masks)
        self.optimiser.step(found, rate)
        return to_numpy(loss).reshape(1)

    def descent(
        self, x: np.ndarray, labels: np.ndarray, masks: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar, and its gradient with respect to every parameter."""
        outputs = self.up_to_logits(self.tensor(x), masks)
        loss = F.cross_entropy(outputs[next(reversed(outputs))], self.tensor(labels))
        names, values = zip(*self.net.named_parameters(), strict=True)
        return loss, dict(zip(names, gradients_of(loss, values), strict=True))

    @cached_property
    def optimiser(self) -> optimisers.Paper:
        """Made by the first step: its velocities are as large as the weights."""
        return optimisers.Paper(dict(self.net.named_parameters()))

    def velocities(self) -> dict[str, np.ndarray]:
        """What the next step adds 0.9 of, as the paper counts it: w <- w + v. Zeros before the first step."""
        return {name: to_numpy(value) for name, value in self.optimiser.velocities().items()}

    def restore(self, velocities: Mapping[str, np.ndarray]) -> None:
        self.optimiser.load({name: self.tensor(value) for name, value in velocities.items()})

    def tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def params(self) -> dict[str, np.ndarray]:
        return {name: value.cpu().numpy().copy() for name, value in self.net.state_dict().items()}

    def flags(self) -> dict[str, str]:
        return flags(self.device)


def to_numpy(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()


def dropout(
    x: np.ndarray, upstream: np.ndarray, rate: float, seed: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """nn.Dropout in training: what it gives and passes back, one call for each step.

    x, upstream and both results are (steps, N, ...), float32. The seed is set once, before the first step.
    """
    on = select(device)
    torch.manual_seed(seed)
    layer = nn.Dropout(rate).train()
    outputs, gradients = [], []
    for inputs, start in zip(x, upstream, strict=True):
        leaf = torch.tensor(inputs, device=on, requires_grad=True)
        y = layer(leaf)
        (gradient,) = torch.autograd.grad(y, leaf, torch.tensor(start, device=on))
        outputs.append(to_numpy(y))
        gradients.append(to_numpy(gradient))
    return np.stack(outputs), np.stack(gradients)


def dropout_at_test(x: np.ndarray, rate: float, device: str = "cpu") -> np.ndarray:
    """nn.Dropout in evaluation: (N, ...) -> same."""
    return to_numpy(nn.Dropout(rate).eval()(torch.tensor(x, device=select(device))))


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
