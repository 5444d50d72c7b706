"""Conditions that PyTorch computes under: threads, oneDNN, where weights lie in memory, denormals, and what cuDNN may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from alexnet_parity.impls import torch as implementation
from alexnet_parity.impls.interface import Unavailable
from alexnet_parity.impls.settings.every import after_build, off_boundary, with_flags


def set_once(change: Callable[[], object]) -> Callable[[Any], Any]:
    """The wrapper that changes the process once the model is built: build() has a say in much of it."""
    return lambda module: with_flags(after_build(module, lambda model: change()), flags)


def flags() -> dict[str, str]:
    """As they are now, read from PyTorch."""
    return {
        "threads": str(torch.get_num_threads()),
        "onednn": str(torch._C._get_mkldnn_enabled()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "denormals": "kept" if float(torch.tensor(2.0**-140) * 1) else "flushed",
        "tf32": str(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
        "cudnn_gradients": str(not implementation.DIRECT_GRADIENTS),
    }


def threads(count: int) -> Callable[[Any], Any]:
    return set_once(lambda: torch.set_num_threads(count))


def move_parameters(model: Any) -> None:
    """Each parameter into memory that begins 4 bytes beyond a multiple of 64; raises Unavailable on a GPU."""
    if model.device.type != "cpu":
        raise Unavailable("a GPU has its weights in memory of its own")
    for parameter in model.net.parameters():
        parameter.data = torch.from_numpy(off_boundary(parameter.detach().numpy()))
    beyond = {parameter.data_ptr() % 64 for parameter in model.net.parameters()}
    plain = model.flags
    model.flags = lambda: {**plain(), "parameters": f"{', '.join(map(str, sorted(beyond)))} bytes beyond 64"}


def use_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True


def benchmark() -> None:
    torch.backends.cudnn.benchmark = True


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "threads-1": threads(1),
    "threads-2": threads(2),
    "threads-3": threads(3),
    "onednn-off": set_once(lambda: torch.backends.mkldnn.set_flags(False)),
    "isa-avx2": lambda module: with_flags(module, flags),  # the environment does it
    "unaligned-weights": lambda module: after_build(module, move_parameters),
    "denormals-flushed": set_once(lambda: torch.set_flush_denormal(True)),
    "cudnn-benchmark": set_once(benchmark),
    "tf32-on": set_once(use_tf32),
    "cudnn-gradients": set_once(lambda: setattr(implementation, "DIRECT_GRADIENTS", False)),
    "deterministic-off": set_once(lambda: torch.use_deterministic_algorithms(False)),
}
