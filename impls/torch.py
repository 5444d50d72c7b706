"""AlexNet in PyTorch."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_parity.impls.interface import Unavailable, Unsupported
from alexnet_parity.reference.spec import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Lrn,
    Network,
    Pool,
    Relu,
    Shape,
    Softmax,
)

requires = ("torch",)


class LocalResponseNorm(nn.LocalResponseNorm):
    """The paper's LRN. torch divides alpha by the window's size, the paper does not: hence alpha * size.

    With `towers` > 1 the windows stop at the border of each tower.
    """

    def __init__(self, n: int, alpha: float, beta: float, k: float, towers: int = 1) -> None:
        size = 2 * (n // 2) + 1
        super().__init__(size, alpha * size, beta, k)
        self.towers = towers

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W)
        parts = input.chunk(self.towers, dim=1)
        return torch.cat([super(LocalResponseNorm, self).forward(part) for part in parts], dim=1)


class Given:
    """Leaves parameters as allocated: every weight is loaded, random ones would be drawn for nothing."""

    def reset_parameters(self) -> None:
        pass


class Linear(Given, nn.Linear):
    pass


class Conv2d(Given, nn.Conv2d):
    """A convolution whose zero padding may differ between (left, top) and (right, bottom)."""

    def __init__(self, inputs: int, layer: Conv) -> None:
        before, after = layer.padding
        super().__init__(
            inputs,
            layer.channels,
            layer.kernel,
            layer.stride,
            padding=before if before == after else 0,
            groups=layer.groups,
        )
        self.border = None if before == after else (before, after, before, after)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.border) if self.border else input)


def module(layer: Layer, inputs: Shape) -> nn.Module:
    match layer:
        case Conv():
            return Conv2d(inputs[0], layer)
        case Relu():
            return nn.ReLU()
        case Lrn():
            return LocalResponseNorm(layer.n, layer.alpha, layer.beta, layer.k, layer.towers)
        case Pool():
            return nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=layer.ceil)
        case Flatten():
            return nn.Flatten()
        case Dense():
            return Linear(inputs[0], layer.units)
        case Dropout():
            return nn.Dropout(layer.rate)
        case Softmax():
            return nn.Softmax(dim=1)
    raise Unsupported(f"{layer.name}: no {layer.kind} layer in the PyTorch implementation")


class AlexNet(nn.Sequential):
    """The network, a child module for each layer under the layer's name."""

    def __init__(self, network: Network) -> None:
        super().__init__(OrderedDict((layer.name, module(layer, inputs)) for layer, inputs, _ in network.walk()))


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


class Model:
    def __init__(self, network: Network, params: Mapping[str, np.ndarray], device: str) -> None:
        self.device = select(device)
        self.net = AlexNet(network).to(self.device).eval()
        self.net.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})

    @torch.inference_mode()
    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        y = torch.from_numpy(x).to(self.device)
        for name, layer in self.net.named_children():
            y = layer(y)
            yield name, y.cpu().numpy().copy()

    def params(self) -> dict[str, np.ndarray]:
        return {name: value.cpu().numpy() for name, value in self.net.state_dict().items()}

    def flags(self) -> dict[str, str]:
        gpu = torch.cuda.get_device_name() if self.device.type == "cuda" else ""
        return {
            "device": f"{self.device.type} {gpu}".strip(),
            "threads": str(torch.get_num_threads()),
            "tf32": str(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32),
            "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        }


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
