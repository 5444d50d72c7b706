"""Modes of the PyTorch implementation: compiled, and channels last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import torch as eager
from ..interface import Unavailable


class Compiled(eager.Model):
    """Every layer's output by one compiled function, the last alone by another, the loss by a third.

    The outputs of a compiled function do not depend on one another in autograd's eyes: there is no gradient at a layer's
    output, and so no backward(); those of the parameters there are.
    """

    backward = None  # type: ignore[assignment]

    def __init__(self, network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        super().__init__(network, params, device)
        self.every_output = compiled(lambda x: eager.outputs(self.net, x))
        self.last_output = compiled(self.net)
        self.loss = compiled(self.loss_of)

    @torch.no_grad()
    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for name, y in self.every_output(self.tensor(x)).items():
            yield name, eager.to_numpy(y).copy()

    @torch.no_grad()
    def output(self, x: np.ndarray) -> np.ndarray:
        return eager.to_numpy(self.last_output(self.tensor(x))).copy()

    def loss_of(self, x: Tensor, labels: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """The mean cross-entropy, a scalar."""
        outputs = eager.outputs(self.net, x, masks, logits=True)
        return F.cross_entropy(outputs[next(reversed(outputs))], labels)

    def descent(
        self, x: np.ndarray, labels: np.ndarray, masks: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        given = {name: self.tensor(mask) for name, mask in (masks or {}).items()}
        loss = self.loss(self.tensor(x), self.tensor(labels), given)
        names, values = zip(*self.net.named_parameters(), strict=True)
        return loss, dict(zip(names, torch.autograd.grad(loss, values), strict=True))

    def flags(self) -> dict[str, str]:
        return {**super().flags(), "compiler": "inductor"}


def compiled(function: Any) -> Any:
    """By inductor, as a whole, for the shapes it meets."""
    return torch.compile(function, fullgraph=True, dynamic=False)


class ChannelsLast(eager.Model):
    """Maps and kernels lie in memory as N, H, W, C; their axes keep their order."""

    def __init__(self, network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        super().__init__(network, params, device)
        self.net = self.net.to(memory_format=torch.channels_last)

    def tensor(self, values: np.ndarray) -> Tensor:
        found = super().tensor(values)
        return found.contiguous(memory_format=torch.channels_last) if found.ndim == 4 else found

    def flags(self) -> dict[str, str]:
        return {**super().flags(), "memory": "channels last"}


def with_compiler(module: Any) -> Any:
    """Inductor writes C++: raises Unavailable where nothing compiles it."""

    def build(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Compiled:
        compiler = os.environ.get("CXX", "g++")  # what inductor looks for: torch/_inductor/config.py, cpp.cxx
        if shutil.which(compiler) is None:
            raise Unavailable(f"torch.compile needs a C++ compiler, found no {compiler!r}: install g++, or set CXX")
        return Compiled(network, params, device)

    return SimpleNamespace(**(vars(module) | {"build": build}))


WRAPPERS = {
    "compile": with_compiler,
    "channels-last": lambda module: SimpleNamespace(**(vars(module) | {"build": ChannelsLast})),
}
